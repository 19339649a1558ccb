"""How the sandbox says no: with a status, a code and a message, as the service does.

Wording that the service documents is used as it stands (Errors page, 2026-07);
everything else says plainly what is wrong.
"""

from typing import Any, NoReturn

ALGO = "<400> InternalError.Algo.InvalidParameter: "
"""The prefix that messages from behind the gateway carry."""

BAD_REQUEST = 400
TOO_MANY = 429
SERVER_SIDE = 500

CODES = {
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

MESSAGES = {
    400: "The request is invalid.",
    401: "Incorrect API key provided.",
    403: "Access denied.",
    404: "Model not exist.",
    413: "The request body is too large.",
    429: "Requests rate limit exceeded, please try again later.",
    500: "An internal error has occured, please try again later or contact service support.",
    502: "Bad gateway.",
    503: "The model is temporarily unavailable, please try again later.",
    504: "The gateway has timed out.",
}
"""Message by status, for when none is given."""


class Refusal(Exception):  # noqa: N818 - a refusal is an answer of the service, not a failure here.
    """The service's refusal of a request.

    Args:
        message: What the caller reads.
        status: HTTP status.
        code: The service's code; by status if not given.
    """

    def __init__(self, message: str, *, status: int = BAD_REQUEST, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code or CODES.get(status, "internal_error")


def refuse(message: str, *, status: int = BAD_REQUEST, code: str | None = None) -> NoReturn:
    """Refuse the request."""
    raise Refusal(message, status=status, code=code)


def error_body(error: Refusal, request_id: str) -> dict[str, Any]:
    """Shape a refusal as the OpenAI-compatible protocol does (Errors page, 2026-07)."""
    return {
        "error": {
            "code": error.code,
            "param": None,
            "message": error.message,
            "type": _kind(error),
        },
        "id": f"chatcmpl-{request_id}",
        "request_id": request_id,
    }


def _kind(error: Refusal) -> str:
    # unsure: the pages print `type` for 400 alone.
    if error.status == TOO_MANY:
        return error.code
    return "internal_error" if error.status >= SERVER_SIDE else "invalid_request_error"
