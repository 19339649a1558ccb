"""The service's errors as all three: qwen-vl's, LangChain's and the openai SDK's.

Code that catches any of them works: `qwen_vl.errors.RateLimitError`,
`langchain_core.exceptions.ModelRateLimitError` and `openai.RateLimitError`.
"""

from typing import Any

import openai
from langchain_core import exceptions as langchain

from qwen_vl import errors as core


class QwenVLServiceError(core.ServiceError, openai.APIError, langchain.ModelError):
    """Base of every error of the service, and the class of errors without a specific one.

    It holds what the SDK's errors have and the core's do not; `status_code` is the SDK's name of
    `status`.

    Example:
        >>> issubclass(QwenVLRateLimitError, QwenVLServiceError)
        True
    """

    response: Any = None
    """The SDK's response object, `None` where there was no answer."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The response holds its request, and that the key.
        rebuild, (kind, args, state) = super().__reduce__()
        return rebuild, (kind, args, {**state, "response": None, "request": None})


class QwenVLAuthenticationError(
    core.AuthenticationError,
    QwenVLServiceError,
    openai.AuthenticationError,
    langchain.ModelAuthenticationError,
):
    """The API key is missing, wrong, or of another region (401)."""


class QwenVLPermissionDeniedError(
    core.PermissionDeniedError,
    QwenVLServiceError,
    openai.PermissionDeniedError,
    langchain.ModelPermissionDeniedError,
):
    """The account may not use this model, or its payment is overdue (403)."""


class QwenVLNotFoundError(
    core.NotFoundError, QwenVLServiceError, openai.NotFoundError, langchain.ModelNotFoundError
):
    """The model or the path is unknown (404)."""


class QwenVLInvalidRequestError(
    core.InvalidRequestError,
    QwenVLServiceError,
    openai.BadRequestError,
    langchain.ModelInvalidRequestError,
):
    """The service refused the request as it was written (400, 413, 422)."""


class QwenVLContextOverflowError(
    core.ContextOverflowError,
    QwenVLServiceError,
    openai.BadRequestError,
    langchain.ContextOverflowError,
    langchain.ModelInvalidRequestError,
):
    """The conversation is longer than the model takes."""


class QwenVLContentModerationError(
    core.ContentModerationError,
    QwenVLServiceError,
    openai.BadRequestError,
    langchain.ModelInvalidRequestError,
):
    """The content inspection refused the request or the answer."""


class QwenVLRateLimitError(
    core.RateLimitError, QwenVLServiceError, openai.RateLimitError, langchain.ModelRateLimitError
):
    """Too many requests or tokens for now (429)."""


class QwenVLAPIError(
    core.ServerError, QwenVLServiceError, openai.InternalServerError, langchain.ModelAPIError
):
    """The service failed (5xx)."""


class QwenVLConnectionError(
    core.APIConnectionError,
    QwenVLServiceError,
    openai.APIConnectionError,
    langchain.ModelConnectionError,
):
    """No answer came."""


class QwenVLTimeoutError(
    core.APITimeoutError, QwenVLServiceError, openai.APITimeoutError, langchain.ModelTimeoutError
):
    """No answer came in time."""


class QwenVLPartialResponseError(
    core.PartialResponseError, QwenVLServiceError, openai.APIError, langchain.ModelAPIError
):
    """The answer broke off before its end; `text` holds what had come."""


class QwenVLResponseTooLargeError(core.ResponseTooLargeError, QwenVLPartialResponseError):
    """The answer has more bytes than `max_response_bytes` allows."""


_KINDS: dict[type[core.ServiceError], type[core.ServiceError]] = {
    core.ServiceError: QwenVLServiceError,
    core.AuthenticationError: QwenVLAuthenticationError,
    core.PermissionDeniedError: QwenVLPermissionDeniedError,
    core.NotFoundError: QwenVLNotFoundError,
    core.InvalidRequestError: QwenVLInvalidRequestError,
    core.ContextOverflowError: QwenVLContextOverflowError,
    core.ContentModerationError: QwenVLContentModerationError,
    core.RateLimitError: QwenVLRateLimitError,
    core.ServerError: QwenVLAPIError,
    core.APIConnectionError: QwenVLConnectionError,
    core.APITimeoutError: QwenVLTimeoutError,
    core.PartialResponseError: QwenVLPartialResponseError,
    core.ResponseTooLargeError: QwenVLResponseTooLargeError,
}


def to_langchain_error(error: core.ServiceError) -> core.ServiceError:
    """Convert an error of the core, with all that it carries.

    Args:
        error: What the client raised.

    Returns:
        An error that is also LangChain's and the SDK's.

    Example:
        >>> from langchain_core.exceptions import ModelRateLimitError
        >>> from qwen_vl.errors import RateLimitError
        >>> isinstance(to_langchain_error(RateLimitError("slow down")), ModelRateLimitError)
        True
    """
    kind = _KINDS[type(error)]
    # The SDK's constructors want a response, which an error inside a stream does not have.
    converted = kind.__new__(kind, *error.args)
    converted.args = error.args
    sdk_error = error.__cause__
    converted.__dict__.update(
        {
            "response": getattr(sdk_error, "response", None),
            "request": getattr(sdk_error, "request", None),
            "param": getattr(sdk_error, "param", None),
            "type": getattr(sdk_error, "type", None),
            "status_code": error.status,
            **error.__dict__,
        }
    )
    return converted
