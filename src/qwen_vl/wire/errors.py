"""From an answer that tells of an error to the error.

Forms: Error codes page (2026-07) and Rate-limit page (2026), of both protocols; self-hosted servers
and gateways have forms of their own.
"""

import re
from collections.abc import Mapping

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
_OVERFLOW = re.compile(
    r"range of input length should be|maximum context length|context_length_exceeded"
    r"|longer than the maximum model length",
    re.IGNORECASE,
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
    data = load_json(raw.strip().removeprefix(b"data:"))
    details: Json = data if isinstance(data, dict) else {}
    inner = details.get("error")
    if isinstance(inner, dict):
        details = {**inner, "request_id": details.get("request_id") or details.get("id")}
    elif isinstance(inner, str):
        details = {**details, "message": inner}
    code = as_text(details.get("code"))
    message = as_text(details.get("message")) or as_text(details.get("detail"))
    message = message or _plain_message(raw, status)
    status = status or _status_of(code)
    return _error_class(status, code, message)(
        message,
        status=status,
        code=code,
        request_id=find_request_id(details, headers),
        body=data if data is not None else raw.decode(errors="replace"),
        headers=dict(headers),
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
