"""Every error that qwen-vl raises.

    QwenVLError
    ├── ConfigurationError            a setting is missing, unknown or contradicts another
    │   └── MissingExtraError         an optional package is not installed
    ├── ContentError                  one part of one message; `where` names it
    │   ├── UnsupportedContentError   the service does not support it
    │   └── MediaError                `value`, `limit` and `remedy` say what is wrong
    │       ├── MediaNotFoundError    no such file
    │       ├── MediaAccessError      a file that may not be read here
    │       ├── MediaFormatError      empty, damaged, or of a kind that the service does not take
    │       ├── MediaTooSmallError
    │       ├── MediaTooLargeError    too many bytes, or too many images and videos
    │       │   └── RequestTooLargeError  all media of the request together
    │       ├── MediaRatioError       longer than 200 times its width
    │       ├── FrameCountError       too few or too many frames
    │       └── MediaOptionError      fps, a pixel limit or a span out of its range
    ├── AnswerFormatError             not what was asked for: no JSON, no tool call; `text` holds it
    │   ├── CoordinateSpaceError      boxes or points in another coordinate space
    │   └── TimestampError            times behind the end of the video, or that are none
    └── ServiceError                  what the endpoint answered; `status`, `code`, `request_id`
        ├── AuthenticationError       401
        ├── PermissionDeniedError     403, and an overdue account
        ├── NotFoundError             404
        ├── InvalidRequestError       400, 413, 422 and their like
        │   ├── ContextOverflowError      the input is longer than the model takes
        │   └── ContentModerationError    refused by the content inspection
        ├── RateLimitError            429, `insufficient_quota` too; `quota` says of what
        ├── ServerError               5xx
        ├── APIConnectionError        nothing answered
        │   └── APITimeoutError
        └── PartialResponseError      the answer broke off; `text` holds what had come
            └── ResponseTooLargeError     it has more bytes than `max_response_bytes`

None is a `ValueError` or `TypeError`: LlamaIndex turns those into an empty answer.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ClassVar, Literal, Self

_SHOWN_CHARS = 200
# What stands between a program's line and the place that warns.
_NOT_OF_PROGRAM = sys.stdlib_module_names | {
    "anyio",
    "langchain",
    "langchain_classic",
    "langchain_core",
    "langchain_qwen_vl",
    "langgraph",
    "langsmith",
    "llama_index",
    "llama_index_instrumentation",
    "openai",
    "pydantic",
    "qwen_vl",
    "tenacity",
    "workflows",
}


class QwenVLError(Exception):
    """Base of every error of this package.

    Tracers and task queues show the `repr` of an error: it has all that its text has.

    Example:
        >>> ConfigurationError("No API key.")
        ConfigurationError('No API key.')
    """

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class ConfigurationError(QwenVLError):
    """A setting is missing, unknown, or contradicts another. Nothing was sent."""


class MissingExtraError(ConfigurationError):
    """An optional package is needed and not installed.

    Args:
        feature: What needs it.
        extra: The extra of `qwen-vl` that brings it.

    Example:
        >>> raise MissingExtraError("The sandbox", extra="sandbox")
        Traceback (most recent call last):
        qwen_vl.errors.MissingExtraError: The sandbox needs: pip install "qwen-vl[sandbox]"
    """

    def __init__(self, feature: str, *, extra: str) -> None:
        super().__init__(f'{feature} needs: pip install "qwen-vl[{extra}]"')
        self.extra = extra


@contextmanager
def extra_required(feature: str, *, extra: str) -> Iterator[None]:
    """Import optional packages; one that is not installed raises `MissingExtraError`.

    Args:
        feature: What needs them.
        extra: The extra of `qwen-vl` that brings them.

    Raises:
        MissingExtraError: One of them is not installed.

    Example:
        >>> with extra_required("Telepathy", extra="minds"):
        ...     import telepathy
        Traceback (most recent call last):
        qwen_vl.errors.MissingExtraError: Telepathy needs: pip install "qwen-vl[minds]"
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(feature, extra=extra) from error


def warn(message: str) -> None:
    """Issue a `UserWarning` for the line of the program that called this package or a framework.

    Frames of this project, of the frameworks and of the standard library are passed over. Where
    only those are left, as in a thread, the warning is for the line that calls this function.

    Args:
        message: What to warn of.

    Example:
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     warn("The video has no frames.")
        >>> [str(warning.message) for warning in caught]
        ['The video has no frames.']
    """
    caller = sys._getframe(1)  # noqa: SLF001  # As warnings.warn itself does.
    frame: FrameType | None = caller
    while frame is not None and _top_module(frame) in _NOT_OF_PROGRAM:
        frame = frame.f_back
    shown = frame or caller
    names = shown.f_globals
    warnings.warn_explicit(
        message,
        UserWarning,
        shown.f_code.co_filename,
        shown.f_lineno,
        module=names.get("__name__"),
        registry=names.setdefault("__warningregistry__", {}),
    )


def _top_module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]


class ContentError(QwenVLError):
    """One part of one message cannot be sent. Nothing was sent.

    Args:
        problem: What is wrong with it.
        where: The part: `messages[0].content[1]`.
        remedy: What to do about it.
    """

    def __init__(self, problem: str, *, where: str = "", remedy: str = "") -> None:
        self.problem = problem
        self.where = where
        self.remedy = remedy
        super().__init__(problem, where, remedy)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.problem}" + (f" {self.remedy}" if self.remedy else "")

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class UnsupportedContentError(ContentError):
    """A part of a kind that the service does not support."""


class MediaError(ContentError):
    """An image or video cannot be sent as it is.

    Args:
        problem: What is wrong, with the value and the limit in it.
        where: The part: `messages[0].content[1]`.
        value: What was found: pixels, bytes, frames, a ratio, a path, …
        limit: What is allowed, in the same unit; `None` where no limit applies.
        remedy: What to do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        where: str = "",
        value: object = None,
        limit: object = None,
        remedy: str = "",
    ) -> None:
        super().__init__(problem, where=where, remedy=remedy)
        self.value = value
        self.limit = limit


class MediaNotFoundError(MediaError):
    """The file does not exist."""


class MediaAccessError(MediaError):
    """The file may not be read: outside `media_roots`, or named by text where none are set."""


class MediaFormatError(MediaError):
    """Empty, damaged, wrongly encoded, or of a kind that the service does not take."""


class MediaTooSmallError(MediaError):
    """Fewer pixels than the service takes."""


class MediaTooLargeError(MediaError):
    """More bytes, or more images and videos, than the service takes."""


class RequestTooLargeError(MediaTooLargeError):
    """The media of the whole request is too much: the same part in a shorter request may fit."""


class MediaRatioError(MediaError):
    """An image more stretched than the service takes."""


class FrameCountError(MediaError):
    """Fewer or more frames than the model takes."""


class MediaOptionError(MediaError):
    """`fps`, a pixel limit, or what says how to cut a video is out of its range."""


class AnswerFormatError(QwenVLError):
    """The model answered, but not in the form that was asked for.

    Args:
        message: What is wrong with the answer.
        text: The answer.

    Example:
        >>> raise AnswerFormatError("The answer is not JSON.", text="A cat.")
        Traceback (most recent call last):
        qwen_vl.errors.AnswerFormatError: The answer is not JSON. It reads: 'A cat.'
    """

    def __init__(self, message: str, *, text: str) -> None:
        self.text = text
        super().__init__(message, text)

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= _SHOWN_CHARS else f"{self.text[:_SHOWN_CHARS]}…"
        return f"{self.args[0]} It reads: {shown!r}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class CoordinateSpaceError(AnswerFormatError):
    """The answer's coordinates are not in the expected coordinate space."""


class TimestampError(AnswerFormatError):
    """The answer's times lie behind the video's end, or are not times."""


class ServiceError(QwenVLError):
    """What the endpoint, or the way to it, answered instead of a reply.

    Args:
        message: The service's own words.
        status: HTTP status, `None` where there was no answer. An error inside a stream or
            inside HTTP 200 carries the status that its code stands for.
        code: The service's error code, as `invalid_api_key`.
        request_id: What the service's support asks for.
        body: The decoded body, where there was one.
        headers: The answer's headers, names in lower case.
    """

    is_retryable: ClassVar[bool] = False
    """Whether the same request may succeed later."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.message = message
        self.status = status
        self.code = code
        self.request_id = request_id
        self.body = body
        self.headers = headers or {}
        self.advice = ""
        super().__init__(message)

    def with_advice(self, advice: str) -> Self:
        """Add what may be done about it, which is shown behind the service's own words.

        Args:
            advice: A sentence.
        """
        self.advice = advice
        return self

    def __str__(self) -> str:
        shown = self._describe()
        return f"{shown} {self.advice}" if self.advice else shown

    def _describe(self) -> str:
        spec = [
            *([f"HTTP {self.status}"] if self.status else []),
            *([self.code] if self.code else []),
            *([f"request id {self.request_id}"] if self.request_id else []),
        ]
        return f"{self.message} ({', '.join(spec)})" if spec else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)


class AuthenticationError(ServiceError):
    """The API key is missing, wrong, or of another region (401)."""


class PermissionDeniedError(ServiceError):
    """The account may not use this model, or its payment is overdue (403)."""


class NotFoundError(ServiceError):
    """The endpoint does not know the model or the path (404)."""


class InvalidRequestError(ServiceError):
    """The service refused the request as it was written (400, 413, 422)."""


class ContextOverflowError(InvalidRequestError):
    """The conversation is longer than the model takes."""


class ContentModerationError(InvalidRequestError):
    """The content inspection refused the request or the answer."""


class RateLimitError(ServiceError):
    """Too many requests or tokens for now (429).

    `insufficient_quota` is among them: it is the per-minute token throttle, which clears by
    itself, not a billing stop (Rate-limit page, 2026).
    """

    is_retryable = True

    quota: Literal["requests", "tokens", "burst"] | None = None
    """What there was too much of: requests or tokens per minute, or a growth of requests that
    `queue_seconds` has the service wait for; `None` where the service does not say."""


class ServerError(ServiceError):
    """The service failed (5xx)."""

    is_retryable = True


class APIConnectionError(ServiceError):
    """No answer came: wrong URL, no network, or the connection was cut."""

    is_retryable = True


class APITimeoutError(APIConnectionError):
    """No answer came in time."""


class PartialResponseError(ServiceError):
    """The answer broke off before its end.

    Args:
        message: What happened.
        text: What had come until then.
        request_id: What the service's support asks for.
    """

    is_retryable = True

    def __init__(self, message: str, *, text: str = "", request_id: str | None = None) -> None:
        super().__init__(message, request_id=request_id)
        self.text = text


class ResponseTooLargeError(PartialResponseError):
    """The answer has more bytes than `max_response_bytes` allows, and was not read further.

    Args:
        what: What is too large, for the message.
        limit: Maximum number of bytes.
        text: What had come until then.

    Example:
        >>> raise ResponseTooLargeError("The answer", limit=1_000_000)
        Traceback (most recent call last):
        qwen_vl.errors.ResponseTooLargeError: The answer has more bytes than \
max_response_bytes=1000000, decompressed, and was not read further. Raise max_response_bytes=… if \
you expect such answers.
    """

    is_retryable = False

    def __init__(self, what: str, *, limit: int, text: str = "") -> None:
        super().__init__(
            f"{what} has more bytes than max_response_bytes={limit}, decompressed, and was not "
            "read further. Raise max_response_bytes=… if you expect such answers.",
            text=text,
        )
        self.limit = limit


def _rebuild(
    kind: type[QwenVLError], args: tuple[object, ...], state: dict[str, object]
) -> QwenVLError:
    # Keyword-only arguments would be lost by the way that exceptions are pickled by default.
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
