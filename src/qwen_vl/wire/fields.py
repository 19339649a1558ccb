"""Reading what answers are made of, where anything may be missing or of another type."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import orjson

from qwen_vl.content import ToolCall

Json: TypeAlias = Mapping[str, Any]

_REQUEST_ID_HEADERS = ("x-request-id", "x-dashscope-request-id", "x-acs-request-id")
_TRUNCATED_HEADER = "x-dashscope-partialresponse"


def load_json(raw: bytes) -> Any:
    """Read JSON; `None` where it is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def as_object(value: object) -> Json:
    """Give a JSON object as it is, and an empty one for anything else that may stand there."""
    return value if isinstance(value, dict) else {}


def find_tool_calls(message: Json) -> list[Json]:
    """Find the tool calls of a message or a delta."""
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def decode_finish_reason(choice: Json) -> str | None:
    """Read why the answer ended; real streams write "null" too (Streaming page, 2026-07)."""
    reason = choice.get("finish_reason")
    return str(reason) if reason not in {None, "", "null"} else None


def decode_text(content: object) -> str:
    """Read `content`: text, nothing, or a list of text parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def decode_reasoning(message: Json) -> str:
    """Read what the model thought: `reasoning_content` here, `reasoning` at self-hosted servers."""
    return str(message.get("reasoning_content") or message.get("reasoning") or "")


def find_request_id(data: Json, headers: Mapping[str, str]) -> str | None:
    """Find the id that the service's support asks for, in the body or in a header."""
    found = data.get("request_id")
    return found or next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None)


def is_truncated(headers: Mapping[str, str]) -> bool:
    """Tell whether the service cut the answer at its time limit (Streaming page, 2026-07)."""
    return headers.get(_TRUNCATED_HEADER, "").lower() == "true"


def decode_tool_call(call: Json) -> ToolCall:
    """Read a whole tool call."""
    function = as_object(call.get("function"))
    return ToolCall(
        id=call.get("id") or "",
        name=function.get("name") or "",
        arguments=function.get("arguments") or "",
    )


def first_int(*values: object) -> int | None:
    """Give the first that is a whole number."""
    return next((value for value in values if isinstance(value, int)), None)
