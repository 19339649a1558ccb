"""A request and its answer, and what a protocol makes of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from qwen_vl_sandbox.answers.compose import Answer
from qwen_vl_sandbox.errors.hosted import ErrorForm
from qwen_vl_sandbox.media.hosted import MediaReport
from qwen_vl_sandbox.reading.conversation import Conversation
from qwen_vl_sandbox.storage import Storage


@dataclass(frozen=True, slots=True)
class ParsedRequest:
    """One request, read: what to answer and how to send it."""

    conversation: Conversation
    stream: bool
    include_usage: bool = True
    incremental: bool = True
    """Whether each chunk of a stream holds what is new, or everything so far."""
    running_usage: bool = False
    """Whether each chunk of a self-hosted server's stream reports the usage so far."""
    reasoning: Literal["apart", "within", "left_out"] = "apart"
    """Where a self-hosted server's answer holds its reasoning."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, ready to be shaped."""

    exchange: ParsedRequest
    report: MediaReport
    answer: Answer
    request_id: str
    created: int
    """Seconds since 1970."""
    usage: Mapping[str, Any] | None = None
    """The usage that a test prescribes, in place of the honest count."""

    @property
    def alternatives(self) -> int | None:
        """How many alternatives the log probabilities list; `None` for no probabilities."""
        options = self.exchange.conversation.options
        return options.top_logprobs if options.logprobs else None


class ChatProtocol(Protocol):
    """How questions and answers look on the wire."""

    @property
    def errors(self) -> ErrorForm:
        """How it writes errors."""

    @property
    def end(self) -> bytes:
        """What ends a stream."""

    @property
    def broken_event(self) -> bytes:
        """An event whose data is not JSON."""

    def unknown_fields(self, body: Any) -> tuple[str, ...]:
        """Name the fields of a request that no page documents, as paths."""

    def wants_stream(self, body: Any, headers: Mapping[str, str]) -> bool:
        """Return whether a request, good or not, asks for a stream."""

    def read(self, body: Any, headers: Mapping[str, str], *, strict: bool) -> ParsedRequest:
        """Read and check a request.

        Raises:
            ApiError: The service would not take it.
        """

    def receive(self, conversation: Conversation, storage: Storage) -> MediaReport:
        """Inspect all media of a conversation and count its tokens.

        Raises:
            ApiError: Some medium is not acceptable, or the prompt is too long.
        """

    def whole(self, reply: Reply) -> bytes:
        """Shape an answer that is not streamed."""

    def events(self, reply: Reply) -> Iterator[bytes]:
        """Shape a stream, its end apart."""
