"""From an error response to an exception.

Forms: Error codes page (2026-07) and Rate-limit page (2026), of both protocols; self-hosted servers
and gateways have other forms.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

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
from qwen_vl.wire.json import Json, as_text, find_request_id, load_json

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
# The code, or the message where a gateway has dropped it (Rate-limit and Errors pages, 2026).
_QUOTAS: Mapping[Literal["requests", "tokens", "burst"], re.Pattern[str]] = {
    "burst": re.compile(
        r"throttling\.burstrate|limit_burst_rate|request rate increased too quickly", re.IGNORECASE
    ),
    "requests": re.compile(
        r"throttling\.ratequota|limit_requests|requests rate limit exceeded", re.IGNORECASE
    ),
    "tokens": re.compile(
        r"throttling\.allocationquota|insufficient_quota|allocated quota exceeded"
        r"|exceeded your current quota",
        re.IGNORECASE,
    ),
}

# As the service, vLLM, SGLang, llama.cpp, Ollama, LM Studio, TGI, LiteLLM and llama-cpp-python word
# it.
_OVERFLOW = re.compile(
    r"range of input length should be|maximum context length|context_length_exceeded"
    r"|longer than the (?:maximum model|model'?s context) length|exceed_context_size"
    r"|exceeds the (?:available context size|maximum allowed length)|exceeded max context length"
    r"|prompt (?:is )?too long|trying to keep the first \d+ tokens"
    r"|context (?:size|length|window) has been exceeded|exceeds? (?:the )?context (?:window|length)"
    r"|context length is only \d+|greater than the context length|contextwindowexceeded"
    r"|cannot truncate prompt with n_keep|reached context length of \d+"
    r"|prompt \([^)]{1,60}\) is too long|(?:too long|too large) to fit into the model"
    r"|context (?:size|length|window) exceeded|larger than the max(?:imum)? context size"
    r"|too (?:big|large) compared to (?:the )?kv size"
    r"|increas(?:e|ing) (?:the )?context (?:size|length)"
    r"|`inputs` tokens \+ `max_new_tokens` must be",
    re.IGNORECASE,
)

# Gateways drop the service's code and keep its message: LiteLLM 1.108 answers with `code: "400"`.
_MODERATION = re.compile(
    r"data_?inspection_?failed|data may contain inappropriate content", re.IGNORECASE
)
_ARREARS = re.compile(r"make sure your account is in good standing", re.IGNORECASE)
# LiteLLM 1.108 checks messages before it sends them, and answers 500 where it does not know a part.
_UNKNOWN_PART = re.compile(
    rb"ensure all (?:user )?messages are valid openai chat completion messages", re.IGNORECASE
)
_UNKNOWN_PART_ADVICE = (
    'The gateway takes only parts of OpenAI\'s API: pass server="openai_compatible", which sends a '
    "list of frames as images, or use a pass-through route of the gateway."
)

_TITLE = re.compile(r"<title>", re.IGNORECASE)
_TITLE_END = re.compile(r"</title>", re.IGNORECASE)
# A title stands at a page's beginning.
_MAX_PAGE_BYTES = 65_536
_MAX_PLAIN_CHARS = 200


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
    data, details = _read_details(raw)
    code = as_text(details.get("code"))
    message = as_text(details.get("message")) or as_text(details.get("detail"))
    message = message or _plain_message(raw, status)
    status = status or _status_of(code)
    kind = as_text(details.get("type"))
    if code == str(status):
        # Self-hosted servers repeat the status there, and name the error in `type`.
        code = kind
    is_of_part = _UNKNOWN_PART.search(raw) is not None
    kind_of_error = InvalidRequestError if is_of_part else _error_class(status, code, kind, message)
    error = kind_of_error(
        message,
        status=status,
        code=code,
        request_id=find_request_id(details, headers),
        body=data if data is not None else raw.decode(errors="replace"),
        headers=dict(headers),
    )
    if isinstance(error, RateLimitError):
        error.quota = _find_quota(code, message)
    return error.with_advice(_UNKNOWN_PART_ADVICE) if is_of_part else error


def _read_details(raw: bytes) -> tuple[Json | list[Any] | None, Json]:
    """Return the JSON of an error, and its fields at the level where they are."""
    data = load_json(raw.strip().removeprefix(b"data:"))
    details: Json = data if isinstance(data, dict) else {}
    inner = details.get("error")
    if isinstance(inner, dict):
        return data, {**inner, "request_id": details.get("request_id") or details.get("id")}
    return data, {**details, "message": inner} if isinstance(inner, str) else details


def is_final_error(body: bytes) -> bool:
    """Return whether an error refuses the request itself, although its status is a server error's.

    Args:
        body: Of the answer.

    Example:
        >>> is_final_error(b'{"error": {"message": "busy", "code": "500"}}')
        False
        >>> is_final_error(b'{"error": {"type": "exceed_context_size_error", "code": 500}}')
        True
    """
    if _UNKNOWN_PART.search(body):
        return True
    _, details = _read_details(body)
    message = as_text(details.get("message")) or as_text(details.get("detail")) or ""
    return _is_overflow(as_text(details.get("code")), as_text(details.get("type")), message)


def _is_overflow(code: str | None, kind: str | None, message: str) -> bool:
    return _OVERFLOW.search(f"{code} {kind} {message}") is not None


def _find_quota(code: str | None, message: str) -> Literal["requests", "tokens", "burst"] | None:
    for text in (code or "", message):
        for quota, pattern in _QUOTAS.items():
            if pattern.search(text):
                return quota
    return None


def _error_class(
    status: int | None, code: str | None, kind: str | None, message: str
) -> type[ServiceError]:
    spelled = (code or "").lower().replace("_", "")
    if _is_overflow(code, kind, message):
        return ContextOverflowError
    if spelled == "datainspectionfailed" or _MODERATION.search(message):
        return ContentModerationError
    if spelled == "arrearage" or _ARREARS.search(message):
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
    text = raw.strip()[:_MAX_PAGE_BYTES].decode(errors="replace").strip()
    title = _find_title(text)
    what = f"HTTP {status}" if status else "The answer"
    if title is not None:
        return f"{what} came with a web page instead of an answer: {title[:_MAX_PLAIN_CHARS]}"
    if not text:
        return f"{what} came with an empty body"
    return f"{what} held no answer: {text[:_MAX_PLAIN_CHARS]}"


def _find_title(page: str) -> str | None:
    # Two searches: one pattern for both ends tries each end with each beginning.
    opening = _TITLE.search(page)
    closing = opening and _TITLE_END.search(page, opening.end())
    return page[opening.end() : closing.start()].strip() if opening and closing else None
