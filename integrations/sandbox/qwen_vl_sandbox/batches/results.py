"""The result files of a batch job.

Lines are those of the Batch-File page (2026): its examples lack `role`, and count tokens plainly.
"""

import uuid
from pathlib import Path
from typing import Any

import orjson

from qwen_vl_sandbox.batches.faults import ErrorSpelling
from qwen_vl_sandbox.errors.api_error import ApiError
from qwen_vl_sandbox.errors.hosted import OPENAI_CODES, openai_error

_WINDOW = 64
_USAGE = ("completion_tokens", "prompt_tokens", "total_tokens")


class ResultFile:
    """A file of results, in another order than that of the requests.

    Args:
        path: Is created with the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self._held: list[bytes] = []

    def add(self, line: dict[str, Any]) -> None:
        """Add a line."""
        self.count += 1
        self._held.append(orjson.dumps(line) + b"\n")
        if len(self._held) >= _WINDOW:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            with self.path.open("ab") as file:
                # The page promises no order.
                file.writelines([*self._held[1::2], *self._held[::2]])
            self._held.clear()


def answered_line(custom_id: str, status: int, body: Any, request_id: str) -> dict[str, Any]:
    """Shape the result of a request that was answered."""
    return {
        "id": request_id,
        "custom_id": custom_id,
        "response": {"status_code": status, "request_id": request_id, "body": body},
        "error": None,
    }


def failed_line(
    custom_id: str, error: ApiError, request_id: str, spelling: ErrorSpelling
) -> dict[str, Any]:
    """Shape the result of a request that failed."""
    body = openai_error(error, request_id)
    line = answered_line(custom_id, error.status, body, request_id)
    code = error.code or OPENAI_CODES.get(error.status, "internal_error")
    if spelling == "code":
        line["error"] = {"code": code, "message": error.message}
    elif spelling == "error_code":
        line["error"] = {"error_code": code, "error_message": error.message}
    return line


def unfinished_line(custom_id: str) -> dict[str, Any]:
    """Shape the result of a request that did not run before its job expired."""
    # unsure: the page says that they are not run any more, and not where they stand; code and
    # message are those of OpenAI's service.
    message = "This request could not be executed before the completion window expired."
    return {
        "id": str(uuid.uuid4()),
        "custom_id": custom_id,
        "response": None,
        "error": {"code": "batch_expired", "message": message},
    }


def to_batch_body(completion: dict[str, Any]) -> dict[str, Any]:
    """Return a completion as it stands in a result file."""
    choices = []
    for choice in completion["choices"]:
        message = {
            name: value
            for name, value in choice["message"].items()
            if name != "role" and value is not None
        }
        choices.append(
            {"finish_reason": choice["finish_reason"], "index": choice["index"], "message": message}
        )
    usage = completion["usage"]
    details = usage.get("completion_tokens_details") or {}
    plain = {name: usage[name] for name in _USAGE if name in usage}
    if details.get("reasoning_tokens"):
        plain["reasoning_tokens"] = details["reasoning_tokens"]
    return {
        "created": completion["created"],
        "usage": plain,
        "model": completion["model"],
        "id": completion["id"],
        "choices": choices,
        "object": "chat.completion",
    }


def make_test_body(request_id: str, created: int, model: str) -> dict[str, Any]:
    """Return the answer of the test model."""
    message = {"content": "This is a test result."}
    return {
        "created": created,
        "usage": {"completion_tokens": 6, "prompt_tokens": 20, "total_tokens": 26},
        "model": model,
        "id": f"chatcmpl-{request_id}",
        "choices": [{"finish_reason": "stop", "index": 0, "message": message}],
        "object": "chat.completion",
    }
