"""The shapes that a refusal takes: one for each protocol, one for the storage host."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import orjson

from qwen_vl_sandbox.errors.api_error import ApiError

TOO_MANY = 429
SERVER_SIDE = 500

OPENAI_CODES = {
    400: "invalid_parameter_error",
    401: "invalid_api_key",
    403: "access_denied",
    404: "model_not_found",
    413: "request_too_large",  # unsure: no page prints the body of a 413.
    429: "limit_requests",
    500: "internal_error",
    503: "ModelServingError",
    504: "GatewayTimeout",
}
"""Code by status (Errors page, 2026-07), for when none is given."""

# unsure: whether a 400 from behind the gateway says `InvalidParameter` or
# `InternalError.Algo.InvalidParameter`; the page lists both.
NATIVE_CODES = {
    400: "InvalidParameter",
    401: "InvalidApiKey",
    403: "AccessDenied",
    404: "ModelNotFound",
    413: "BadRequest.TooLarge",  # unsure: printed for another protocol.
    429: "Throttling.RateQuota",
    500: "InternalError",
    503: "ModelServingError",
    504: "GatewayTimeout",
}
"""The native protocol's codes (the same page)."""

STORAGE_CODES = {
    400: "InvalidArgument",
    403: "AccessDenied",
    404: "NoSuchKey",
    405: "MethodNotAllowed",
    409: "FileAlreadyExists",
    503: "ServiceUnavailable",
}
"""The storage host's codes."""


@dataclass(frozen=True, slots=True)
class ErrorForm:
    """How one protocol writes an error, as a body and as an event of a stream.

    Both take the refusal and the request's id.
    """

    media_type: str
    body: Callable[[ApiError, str], bytes]
    event: Callable[[ApiError, str], bytes]


def openai_error(error: ApiError, request_id: str) -> dict[str, Any]:
    """Shape a refusal as the OpenAI-compatible protocol does (Errors page, 2026-07)."""
    code = error.code or OPENAI_CODES.get(error.status, "internal_error")
    return {
        "error": {
            "code": code,
            "param": None,
            "message": error.message,
            "type": _kind(error, code),
        },
        "id": f"chatcmpl-{request_id}",
        "request_id": request_id,
    }


def native_error(error: ApiError, request_id: str) -> dict[str, Any]:
    """Shape a refusal as the native protocol does (Errors page, 2026-07)."""
    code = error.native_code or error.code or NATIVE_CODES.get(error.status, "InternalError")
    return {"code": code, "message": error.message, "request_id": request_id}


def _kind(error: ApiError, code: str) -> str:
    # unsure: the pages print `type` for 400 alone.
    if error.status == TOO_MANY:
        return code
    return "internal_error" if error.status >= SERVER_SIDE else "invalid_request_error"


def _openai_body(error: ApiError, request_id: str) -> bytes:
    return orjson.dumps(openai_error(error, request_id))


def _openai_event(error: ApiError, request_id: str) -> bytes:
    return b"data: " + _openai_body(error, request_id) + b"\n\n"


def _native_body(error: ApiError, request_id: str) -> bytes:
    return orjson.dumps(native_error(error, request_id))


def _native_event(error: ApiError, request_id: str) -> bytes:
    body = _native_body(error, request_id)
    return b"id:1\nevent:error\n:HTTP_STATUS/%d\ndata:%b\n\n" % (error.status, body)


def _storage_body(error: ApiError, request_id: str) -> bytes:
    code = error.code or STORAGE_CODES.get(error.status, "InternalError")
    fields = {"Code": code, "Message": error.message, "RequestId": request_id}
    inner = "".join(f"<{name}>{escape(text)}</{name}>" for name, text in fields.items())
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'.encode()


OPENAI = ErrorForm("application/json", _openai_body, _openai_event)
NATIVE = ErrorForm("application/json", _native_body, _native_event)
STORAGE = ErrorForm("application/xml", _storage_body, _storage_body)
