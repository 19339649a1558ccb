"""HTTP to the endpoint: bytes in, bytes out, and errors that say what they mean.

There are two ways. Requests go by httpx2, with a client of the model's own or one that the program
gave; or through an `openai.OpenAI` or `openai.AsyncOpenAI` that the program gave.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qwen_vl.connection import Timeout, normalize_timeout
from qwen_vl.transport.errors import broken_if_cut
from qwen_vl.transport.flow import Flow, Step, arun, run
from qwen_vl.transport.limits import ByteLimit, Deadline, abounded, bounded
from qwen_vl.wire.body import Body


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One HTTP request.

    Args:
        path: Behind the base URL, or a whole URL.
        body: JSON that is posted; `None` for a GET.
        headers: Of this request only.
        params: Query parameters.
        timeout: Of one attempt, as `Request` has it; `None` for the connection's own.
        queue_seconds: By which the time to read is extended: the service may let a request wait.
        deadline: When the call must have ended.
    """

    path: str
    body: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    timeout: Any = None
    queue_seconds: int = 0
    deadline: Deadline | None = None

    def find_timeout(self, default: Any) -> Timeout | None:
        """Return the timeouts of one attempt.

        Args:
            default: Of the connection, in any form; `None` for none.

        Raises:
            DeadlineError: The deadline has passed.
        """
        timeout = normalize_timeout(default if self.timeout is None else self.timeout)
        if timeout is not None:
            connect, read, write, pool = timeout
            timeout = connect, None if read is None else read + self.queue_seconds, write, pool
        return timeout if self.deadline is None else self.deadline.shorten(timeout)

    @property
    def method(self) -> str:
        """Its HTTP method."""
        return "GET" if self.body is None else "POST"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer.

    Args:
        content: Its body, decoded.
        headers: Found by names in any case.
    """

    content: bytes
    headers: Mapping[str, str]


class _Reading:
    """What both kinds of streams share.

    Args:
        response: Of httpx or httpx2, unread.
        deadline: When the call must have ended.
        max_bytes: Maximum number of bytes of the decoded body.
    """

    def __init__(self, response: Any, deadline: Deadline | None, max_bytes: int) -> None:
        self.response = response
        self.headers: Mapping[str, str] = response.headers
        self._deadline = deadline
        self._limit = ByteLimit(max_bytes)

    def _read(self, take_next: Step, max_bytes: int | None) -> Flow[bytes]:
        chunks: list[bytes] = []
        with broken_if_cut():
            while (chunk := (yield take_next)) is not None:
                chunks.append(chunk)
                if max_bytes is not None and sum(map(len, chunks)) > max_bytes:
                    break
        return b"".join(chunks)


class Stream(_Reading):
    """An answer whose body is still being received.

    Args:
        response: Of httpx or httpx2, unread.
        deadline: When the call must have ended.
        max_bytes: Maximum number of bytes of the decoded body.
    """

    def iter_bytes(self) -> Iterator[bytes]:
        """Return the decoded body, as it is received."""
        chunks = self.response.iter_bytes()
        if self._deadline is not None:
            chunks = _within(self._deadline, chunks)
        yield from map(self._limit.add, chunks)

    def read(self, max_bytes: int | None = None) -> bytes:
        """Return the decoded body.

        Args:
            max_bytes: Reading stops behind these; `None` for all.

        Raises:
            BrokenAnswerError: The connection was cut.
        """
        chunks = self.iter_bytes()
        return run(self._read(lambda: next(chunks, None), max_bytes))

    def close(self) -> None:
        """Let the connection go."""
        self.response.close()


class AsyncStream(_Reading):
    """The async form of `Stream`.

    Args:
        response: Of httpx or httpx2, unread.
        deadline: When the call must have ended.
        max_bytes: Maximum number of bytes of the decoded body.
    """

    async def aiter_bytes(self) -> AsyncGenerator[bytes, None]:
        """Return the decoded body, as it is received."""
        chunks: AsyncIterator[bytes] = self.response.aiter_bytes()
        if self._deadline is not None:
            chunks = _awithin(self._deadline, chunks)
        async for chunk in chunks:
            yield self._limit.add(chunk)

    async def read(self, max_bytes: int | None = None) -> bytes:
        """Return the decoded body; see `Stream.read`."""
        chunks = self.aiter_bytes()
        return await arun(self._read(lambda: anext(chunks, None), max_bytes))

    async def close(self) -> None:
        """Let the connection go."""
        await self.response.aclose()


def _within(deadline: Deadline, chunks: Iterator[bytes]) -> Iterator[bytes]:
    while True:
        with bounded(deadline):
            chunk = next(chunks, None)
        if chunk is None:
            return
        yield chunk


async def _awithin(deadline: Deadline, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    # Step by step: what the reader does between two chunks must not be cancelled.
    while (chunk := await abounded(deadline, lambda: anext(chunks, None))) is not None:
        yield chunk


class Endpoint:
    """Where requests go.

    Args:
        base_url: Ends before `/chat/completions`.
        api_key: Sent as a bearer token.
        max_retries: Further attempts after a failure that may pass.
    """

    def __init__(self, base_url: str, api_key: str, max_retries: int) -> None:
        self.base_url = base_url
        self.api_key = api_key
        self.max_retries = max_retries


class Transport(Endpoint, ABC):
    """Sends requests, and waits."""

    @abstractmethod
    def send(self, outgoing: Outgoing) -> Answer:
        """Return a whole answer.

        Args:
            outgoing: What to send.
        """

    @abstractmethod
    def stream(self, outgoing: Outgoing) -> Stream:
        """Return an answer whose body is read as it is received.

        Args:
            outgoing: What to send.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


class AsyncTransport(Endpoint, ABC):
    """Sends requests from one event loop; see `Transport`."""

    @abstractmethod
    async def send(self, outgoing: Outgoing) -> Answer:
        """Return a whole answer; see `Transport.send`."""

    @abstractmethod
    async def stream(self, outgoing: Outgoing) -> AsyncStream:
        """Return an answer whose body is read as it is received; see `Transport.stream`."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""
