"""How the sandbox says no: with a status, a code and a message, as the service does.

Wording that the service documents is used as it stands (Errors page, 2026-07);
everything else says plainly what is wrong.
"""

from typing import NoReturn

ALGO = "<400> InternalError.Algo.InvalidParameter: "
"""The prefix that messages from behind the gateway carry."""

BAD_REQUEST = 400

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


class ApiError(Exception):
    """The service's refusal of a request.

    Args:
        message: What the caller reads.
        status: HTTP status.
        code: The service's code; the protocol's own for the status if not given.
        native_code: The native protocol's code, where it is another one than the
            status's own.
        param: The field that a self-hosted server blames.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = BAD_REQUEST,
        code: str | None = None,
        native_code: str | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code
        self.native_code = native_code
        self.param = param


def reject(
    message: str,
    *,
    status: int = BAD_REQUEST,
    code: str | None = None,
    native_code: str | None = None,
    param: str | None = None,
) -> NoReturn:
    """Refuse the request."""
    raise ApiError(message, status=status, code=code, native_code=native_code, param=param)
