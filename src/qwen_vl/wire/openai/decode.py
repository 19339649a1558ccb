"""From the bytes of an answer to a reply, or to the error that they tell of.

Forms: OpenAI-Chat page (2026-10); errors: Error codes page (2026-07) and Rate-limit page (2026).
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from qwen_vl.content import ToolCall
from qwen_vl.errors import (
    APITimeoutError,
    AuthenticationError,
    ContentModerationError,
    ContextOverflowError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    ServiceError,
)
from qwen_vl.reply import Reply, Usage

_Json = Mapping[str, Any]

_REQUEST_ID_HEADERS = ("x-request-id", "x-dashscope-request-id", "x-acs-request-id")
_TRUNCATED_HEADER = "x-dashscope-partialresponse"

_BY_STATUS: Mapping[int, type[ServiceError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: APITimeoutError,
    429: RateLimitError,
}

# The first pattern found at the beginning of the code counts. For errors without a status of
# their own: inside a stream, or inside HTTP 200.
_STATUS_BY_CODE: tuple[tuple[str, int], ...] = (
    (r"invalid_?api_?key", 401),
    (r"access_?denied|model\.access_?denied|workspace\.access_?denied", 403),
    (r"allocationquota\.freetieronly|arrearage", 403),
    (r"model_?not_?(found|supported)|work_?space_?not_?found", 404),
    (r"throttling|limit_(requests|burst_rate)|insufficient_quota", 429),
    (r"internalerror\.algo\.invalidparameter", 400),
    (r"invalid|data_?inspection|badrequest|context_length", 400),
    (r"model(serving_?error|_?unavailable)", 503),
    (r"gateway_?timeout", 504),
    (r"internal_?error|request_?time_?out|system_?error", 500),
)
_OVERFLOW = re.compile(
    r"range of input length should be|maximum context length|context_length_exceeded"
    r"|longer than the maximum model length",
    re.IGNORECASE,
)


def decode_reply(body: bytes, headers: Mapping[str, str]) -> Reply:
    """Read a whole answer.

    Args:
        body: The HTTP body of a 200.
        headers: Its headers, names in lower case.

    Raises:
        ServiceError: The body is an error all the same, or no answer at all.

    Example:
        >>> decode_reply(b'{"choices":[{"message":{"content":"A cat."}}]}', {}).text
        'A cat.'
    """
    data = load_json(body)
    choice = find_choice(data)
    if not choice:
        raise decode_error(None, body, headers)
    message = as_object(choice.get("message"))
    return Reply(
        text=decode_text(message.get("content")),
        reasoning=decode_reasoning(message),
        tool_calls=tuple(_decode_tool_call(call) for call in find_tool_calls(message)),
        finish_reason=decode_finish_reason(choice),
        usage=decode_usage(data.get("usage")),
        model=data.get("model"),
        id=data.get("id"),
        request_id=find_request_id(data, headers),
        logprobs=choice.get("logprobs"),
        is_truncated=is_truncated(headers),
    )


def as_object(value: object) -> _Json:
    """Give a JSON object as it is, and an empty one for anything else that may stand there."""
    return value if isinstance(value, dict) else {}


def find_choice(data: object) -> _Json:
    """Find the answer among `choices`; empty where there is none."""
    choices = as_object(data).get("choices")
    return as_object(choices[0]) if isinstance(choices, list) and choices else {}


def find_tool_calls(message: _Json) -> list[_Json]:
    """Find the tool calls of a message or a delta."""
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def decode_finish_reason(choice: _Json) -> str | None:
    """Read why the answer ended; real streams write "null" too (Streaming page, 2026-07)."""
    reason = choice.get("finish_reason")
    return str(reason) if reason not in {None, "", "null"} else None


def decode_text(content: object) -> str:
    """Read `content`: text, nothing, or a list of text parts."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def decode_reasoning(message: _Json) -> str:
    """Read what the model thought: `reasoning_content` here, `reasoning` at self-hosted servers."""
    return str(message.get("reasoning_content") or message.get("reasoning") or "")


def decode_usage(usage: object) -> Usage | None:
    """Read the token counts; any detail may be missing or null."""
    if not usage or not isinstance(usage, dict):
        return None
    into = as_object(usage.get("prompt_tokens_details"))
    out = as_object(usage.get("completion_tokens_details"))
    # vLLM's name for the same breakdown.
    media = as_object(into.get("multimodal_tokens"))
    input_tokens = usage.get("prompt_tokens") or 0
    output_tokens = usage.get("completion_tokens") or 0
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=usage.get("total_tokens") or input_tokens + output_tokens,
        image_tokens=_first_int(into.get("image_tokens"), media.get("image")),
        video_tokens=_first_int(into.get("video_tokens"), media.get("video")),
        audio_tokens=_first_int(into.get("audio_tokens"), media.get("audio")),
        text_tokens=_first_int(into.get("text_tokens")),
        cached_tokens=_first_int(into.get("cached_tokens")),
        cache_creation_tokens=_first_int(into.get("cache_creation_input_tokens")),
        reasoning_tokens=_first_int(out.get("reasoning_tokens")),
        raw=usage,
    )


def decode_error(status: int | None, body: bytes | str, headers: Mapping[str, str]) -> ServiceError:
    """Read an error in any of the forms that the service and the gateways before it use.

    Args:
        status: HTTP status; `None` where the error stands inside a stream or a 200.
        body: JSON of either protocol, the same behind `data:`, or a gateway's HTML page.
        headers: The answer's headers, names in lower case.

    Example:
        >>> error = decode_error(429, b'{"error":{"code":"limit_requests","message":"Slow"}}', {})
        >>> type(error).__name__, error.code
        ('RateLimitError', 'limit_requests')
    """
    raw = body.encode() if isinstance(body, str) else body
    data = load_json(raw.strip().removeprefix(b"data:"))
    details: _Json = data if isinstance(data, dict) else {}
    inner = details.get("error")
    if isinstance(inner, dict):
        details = {**inner, "request_id": details.get("request_id") or details.get("id")}
    elif isinstance(inner, str):
        details = {**details, "message": inner}
    code = details.get("code")
    code = str(code) if code not in {None, ""} else None
    message = str(details.get("message") or details.get("detail") or _plain_message(raw, status))
    status = status or _status_of(code)
    return _error_class(status, code, message)(
        message,
        status=status,
        code=code,
        request_id=find_request_id(details, headers),
        body=data if data is not None else raw.decode(errors="replace"),
        headers=dict(headers),
    )


def load_json(raw: bytes) -> Any:
    """Read JSON; `None` where it is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def find_request_id(data: _Json, headers: Mapping[str, str]) -> str | None:
    """Find the id that the service's support asks for, in the body or in a header."""
    found = data.get("request_id")
    return found or next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None)


def is_truncated(headers: Mapping[str, str]) -> bool:
    """Tell whether the service cut the answer at its time limit (Streaming page, 2026-07)."""
    return headers.get(_TRUNCATED_HEADER, "").lower() == "true"


def _decode_tool_call(call: _Json) -> ToolCall:
    function = as_object(call.get("function"))
    return ToolCall(
        id=call.get("id") or "",
        name=function.get("name") or "",
        arguments=function.get("arguments") or "",
    )


def _error_class(status: int | None, code: str | None, message: str) -> type[ServiceError]:
    spelled = (code or "").lower().replace("_", "")
    if _OVERFLOW.search(f"{code} {message}"):
        return ContextOverflowError
    if spelled == "datainspectionfailed":
        return ContentModerationError
    if spelled == "arrearage":
        return PermissionDeniedError
    if status is None:
        return ServiceError
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ServerError if status >= 500 else InvalidRequestError  # noqa: PLR2004 - HTTP's own line.


def _status_of(code: str | None) -> int | None:
    spelled = (code or "").lower()
    if re.fullmatch(r"[45]\d\d", spelled):
        # vLLM's codes are the HTTP status itself.
        return int(spelled)
    return next((status for pattern, status in _STATUS_BY_CODE if re.match(pattern, spelled)), None)


def _plain_message(raw: bytes, status: int | None) -> str:
    text = raw.decode(errors="replace").strip()
    title = re.search(r"<title>\s*(.*?)\s*</title>", text, re.IGNORECASE | re.DOTALL)
    what = f"HTTP {status}" if status else "The answer"
    if title:
        return f"{what} came with a web page instead of an answer: {title[1]}"
    return f"{what} held no answer: {text[:200]}" if text else f"{what} came with an empty body"


def _first_int(*values: object) -> int | None:
    return next((value for value in values if isinstance(value, int)), None)
