"""The pytest fixture `qwen_vl_sandbox`.

Imported in every test run where the package is installed: nothing heavy at import.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from qwen_vl_sandbox.server import Sandbox


@pytest.fixture(scope="session")
def _qwen_vl_sandbox_server() -> Iterator["Sandbox"]:
    from qwen_vl_sandbox import Sandbox  # noqa: PLC0415 - see the module's docstring.

    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def qwen_vl_sandbox(_qwen_vl_sandbox_server: "Sandbox") -> Iterator["Sandbox"]:
    """A running sandbox, one per session, with nothing recorded and nothing scripted."""
    _qwen_vl_sandbox_server.clear()
    yield _qwen_vl_sandbox_server
    _qwen_vl_sandbox_server.clear()
