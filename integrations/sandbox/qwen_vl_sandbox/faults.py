"""Answers and failures that a test prescribes, in place of the honest answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypedDict

from qwen_vl_sandbox.errors.api_error import MESSAGES, ApiError
from qwen_vl_sandbox.reading.conversation import ToolCall

BAD_REQUEST = 400
BAD_GATEWAY = 502
SERVER_ERROR = 500
TOO_MANY = 429

# Rate-limit and Errors pages, 2026.
BURST = "Request rate increased too quickly."

Endpoint = Literal[
    "chat",
    "uploads",
    "storage",
    "files",
    "file",
    "file_content",
    "batches",
    "batch",
    "batch_list",
    "batch_cancel",
]
"""Which kind of request a fault applies to, see `Fault`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedAnswer:
    """An answer to give instead of the honest one.

    The request is still checked, and its media decoded.

    Args:
        text: The answer's text; a tuple sets where a stream is cut into chunks.
        reasoning: Reasoning before the text; a tuple likewise.
        tool_calls: Tools to call.
        finish_reason: `stop`, or `tool_calls` where there are calls, if not given.
        usage: The whole `usage` object, in place of the honest count.
        partial: Marks the answer as cut by the server's time limit, with the header
            `x-dashscope-partialresponse: true` (OpenAI-Chat page, 2026-10).
        search_results: What a search found, each with `index`, `title`, `url`, `site_name` and
            `icon`. The native protocol returns them to a request with `enable_search` and
            `search_options={"enable_source": True}`, the other never (Web-search page, 2026).

    Example:
        >>> from qwen_vl_sandbox import ScriptedAnswer, ToolCall
        >>> ScriptedAnswer(tool_calls=(ToolCall("crop", {"x": 1}),)).finish_reason
    """

    text: str | tuple[str, ...] | None = None
    reasoning: str | tuple[str, ...] | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    partial: bool = False
    search_results: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An exact HTTP answer: status, body and headers as they are."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class FaultSettings(TypedDict, total=False):
    """The arguments of `Fault`, for `Sandbox.fail`."""

    status: int | None
    code: str | None
    message: str | None
    retry_after: float | None
    error_in_200: bool
    html_body: bool
    sse_error_body: bool
    burst_seconds: float
    latency: float
    chunk_delay: float
    cut_after_chunks: int | None
    broken_event: bool
    error_event_after: int | None
    times: int
    endpoint: Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way for the endpoint to fail.

    Several may be combined where that makes sense, such as `latency` with `status`.

    Args:
        status: HTTP status of an error answer.
        code: The error's code; the documented one of the status if not given.
        message: The error's message; likewise.
        retry_after: Seconds for a `Retry-After` header. unsure: whether the service
            ever sends one.
        error_in_200: Sends the error as the body of an HTTP 200.
        html_body: Sends a gateway's HTML page; status 502 if not given.
        sse_error_body: Shapes the error as a server-sent event; status 400 if not given.
        burst_seconds: Refuses with the 429 of requests that grow too quickly, unless the request
            waits that long by its `X-DashScope-Wait-Timeout`: then it is answered after it.
        latency: Seconds before anything is sent.
        chunk_delay: Seconds before each chunk of a stream.
        cut_after_chunks: Closes the connection after this many chunks of a stream,
            without an end; in the middle of the body of a call that does not stream.
        broken_event: Sends data that is not JSON after the first chunk of a stream, or
            as the body of a call that does not stream.
        error_event_after: Sends an error event after this many chunks of a stream and
            ends it; an error in HTTP 200 for a call that does not stream.
        times: How many requests it applies to.
        endpoint: Which requests it applies to: `chat`; `uploads`, for the policy of an upload;
            `storage`, for the upload itself, where errors are XML. Of batch jobs: `files`, for
            the upload of a file; `file`, to retrieve, list or delete one; `file_content`;
            `batches`, to create a job; `batch`, to retrieve one; `batch_list`; `batch_cancel`.
            Of all but `chat`, nothing is streamed.

    Example:
        >>> Fault(status=429, retry_after=0.5).error().message
        'Requests rate limit exceeded, please try again later.'
        >>> expired = Fault(
        ...     endpoint="storage",
        ...     status=403,
        ...     code="AccessDenied",
        ...     message="Invalid according to Policy: Policy expired.",
        ... )
    """

    status: int | None = None
    code: str | None = None
    message: str | None = None
    retry_after: float | None = None
    error_in_200: bool = False
    html_body: bool = False
    sse_error_body: bool = False
    burst_seconds: float = 0.0
    latency: float = 0.0
    chunk_delay: float = 0.0
    cut_after_chunks: int | None = None
    broken_event: bool = False
    error_event_after: int | None = None
    times: int = 1
    endpoint: Endpoint = "chat"

    def queued(self, wait: int) -> "Fault":
        """Return what becomes of the fault where a request waits.

        Args:
            wait: Seconds that the request may wait.
        """
        if not self.burst_seconds:
            return self
        if wait >= self.burst_seconds:
            return replace(self, burst_seconds=0.0, latency=self.latency + self.burst_seconds)
        return replace(self, status=TOO_MANY, message=self.message or BURST)

    @property
    def is_an_error_answer(self) -> bool:
        """Whether an error takes the answer's place from the start."""
        shaped = self.error_in_200 or self.html_body or self.sse_error_body
        return self.status is not None or shaped

    @property
    def error_status(self) -> int:
        """HTTP status of the error answer."""
        if self.status is not None:
            return self.status
        if self.html_body:
            return BAD_GATEWAY
        return BAD_REQUEST if self.sse_error_body else SERVER_ERROR

    def error(self) -> ApiError:
        """The error, with the documented message where none is given."""
        status = self.error_status
        message = self.message or MESSAGES.get(status, "The request has failed.")
        if self.burst_seconds and self.code is None:
            return ApiError(
                message,
                status=status,
                code="limit_burst_rate",
                native_code="Throttling.BurstRate",
            )
        return ApiError(message, status=status, code=self.code)


NO_FAULT = Fault()
