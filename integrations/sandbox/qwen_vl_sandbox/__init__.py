"""A local endpoint that speaks as the service documents itself.

`Sandbox` runs it in a thread, `serve` in the foreground, and the fixture
`qwen_vl_sandbox` gives it to tests. It does not import `qwen_vl`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen_vl_sandbox.batches.faults import BatchFault
    from qwen_vl_sandbox.batches.files import BatchFile
    from qwen_vl_sandbox.batches.jobs import BatchRecord
    from qwen_vl_sandbox.faults import Fault, ScriptedAnswer
    from qwen_vl_sandbox.reading.conversation import ToolCall
    from qwen_vl_sandbox.recorder import RecordedRequest
    from qwen_vl_sandbox.server import Sandbox, serve
    from qwen_vl_sandbox.storage import Upload

__all__ = [
    "BatchFault",
    "BatchFile",
    "BatchRecord",
    "Fault",
    "RecordedRequest",
    "Sandbox",
    "ScriptedAnswer",
    "ToolCall",
    "Upload",
    "serve",
]

_HOMES = {
    "BatchFault": "batches.faults",
    "BatchFile": "batches.files",
    "BatchRecord": "batches.jobs",
    "Fault": "faults",
    "RecordedRequest": "recorder",
    "Sandbox": "server",
    "ScriptedAnswer": "faults",
    "ToolCall": "reading.conversation",
    "Upload": "storage",
    "serve": "server",
}
_EXTRA = frozenset({"PIL", "av", "orjson", "pybase64", "python_multipart", "starlette", "uvicorn"})


if not TYPE_CHECKING:
    # Otherwise type checkers accept any name.
    def __getattr__(name: str) -> Any:
        # The pytest plugin of this package is imported in every test run: nothing heavy may
        # come with it.
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _EXTRA:
                raise
            raise ImportError(
                f'The sandbox needs {error.name}: pip install "qwen-vl[sandbox]"', name=error.name
            ) from error


def __dir__() -> list[str]:
    return sorted(__all__)
