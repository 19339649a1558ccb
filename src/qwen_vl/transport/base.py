"""HTTP to the endpoint: bytes in, bytes out, and errors that say what they mean.

There are two ways. A model's own requests go by httpx. Where the program gave an `openai.OpenAI`
or `openai.AsyncOpenAI` of its own, they go through that, with all that it brings.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from qwen_vl.wire.body import Body


class Answer(Protocol):
    """A whole answer."""

    @property
    def content(self) -> bytes:
        """Its body."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Found by names in any case."""


class Stream(Protocol):
    """An answer whose body is still coming."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Found by names in any case."""

    def iter_bytes(self) -> Iterator[bytes]:
        """Give its body, as it comes."""

    def close(self) -> None:
        """Let the connection go."""


class AsyncStream(Protocol):
    """The same for an event loop."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Found by names in any case."""

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Give its body, as it comes."""

    async def aclose(self) -> None:
        """Let the connection go."""


@dataclass(frozen=True, slots=True)
class Post:
    """One request.

    Args:
        path: Behind the base URL, or a whole address.
        body: JSON.
        headers: Of this request alone.
        timeout: Seconds for one attempt; `None` for the connection's own.
    """

    path: str
    body: Body
    headers: Mapping[str, str]
    timeout: float | None


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
    def post(self, post: Post) -> Answer:
        """Get a whole answer."""

    @abstractmethod
    def stream(self, post: Post) -> Stream:
        """Get an answer whose body is read as it comes."""

    @abstractmethod
    def get(self, url: str, params: Mapping[str, str]) -> Answer:
        """Get what lies at an address."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections."""


class AsyncTransport(Endpoint, ABC):
    """Sends requests from one event loop; see `Transport`."""

    @abstractmethod
    async def post(self, post: Post) -> Answer:
        """Get a whole answer."""

    @abstractmethod
    async def stream(self, post: Post) -> AsyncStream:
        """Get an answer whose body is read as it comes."""

    @abstractmethod
    async def get(self, url: str, params: Mapping[str, str]) -> Answer:
        """Get what lies at an address."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections."""
