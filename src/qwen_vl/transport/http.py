"""Requests by httpx: as few steps as there can be, with the `openai` SDK's limits and retries.

The SDK's own steps take a fifth of a small request's time, and a second to load.
"""

import asyncio
import functools
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from importlib.metadata import version
from threading import Lock
from typing import Any, Generic, TypeVar

import httpx

from qwen_vl.connection import Connection
from qwen_vl.process_local import ProcessLocal
from qwen_vl.transport.base import Answer, AsyncStream, AsyncTransport, Post, Stream, Transport
from qwen_vl.transport.retries import is_retryable, retry_delay
from qwen_vl.wire.body import Body

_Client = TypeVar("_Client")

_TIMEOUT = httpx.Timeout(600.0, connect=5.0)
_WHOLE_BYTES = 256 * 1024
"""Longer bodies leave in pieces."""

# httpx looks at each connection of a client for each of its requests, at idle ones time and again:
# 64 requests at once take 11 ms each by one client, and 3 ms by sixteen.
_REQUESTS_EACH = 4
_MOST_CLIENTS = 128
_LIMITS = httpx.Limits(max_connections=8, max_keepalive_connections=8)

# What may be otherwise the next time; a wrong address or header stays wrong.
_RETRYABLE_ERRORS = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.ProxyError,
    httpx.RemoteProtocolError,
)


class HttpTransport(Transport):
    """Sends requests by httpx.

    Args:
        connection: How to reach the endpoint.
    """

    def __init__(self, connection: Connection) -> None:
        key = connection.require_api_key()
        super().__init__(connection.base_url, key, connection.max_retries)
        self._pool = _ClientPool(lambda: httpx.Client(**_to_options(connection, key)))

    def post(self, post: Post) -> Answer:
        """Get a whole answer."""
        request = _to_request(self.base_url, post)
        lease, response = self._send(request, stream=False)
        lease.leave()
        return response

    def stream(self, post: Post) -> Stream:
        """Get an answer whose body is read as it comes."""
        request = _to_request(self.base_url, post)
        return _LeasedStream(*self._send(request, stream=True))

    def get(self, url: str, params: Mapping[str, str]) -> Answer:
        """Get what lies at an address."""
        lease, response = self._send({"method": "GET", "url": url, "params": params}, stream=False)
        lease.leave()
        return response

    def close(self) -> None:
        """Close all connections."""
        for client in self._pool.clients:
            client.close()

    def _send(
        self, request: Mapping[str, Any], *, stream: bool
    ) -> tuple["_Lease[httpx.Client]", httpx.Response]:
        attempt = 0
        while True:
            with self._pool.take_lease() as lease:
                client = lease.client
                try:
                    response = client.send(client.build_request(**request), stream=stream)
                except _RETRYABLE_ERRORS:
                    if attempt >= self.max_retries:
                        raise
                    seconds = retry_delay(attempt)
                else:
                    if response.is_success:
                        return lease.keep(), response
                    if attempt >= self.max_retries or not _is_retryable(response):
                        response.read()
                        response.raise_for_status()
                    response.close()
                    seconds = retry_delay(attempt, response.headers)
            attempt += 1
            time.sleep(seconds)


class AsyncHttpTransport(AsyncTransport):
    """Sends requests by httpx, from one event loop.

    Args:
        connection: How to reach the endpoint.
    """

    def __init__(self, connection: Connection) -> None:
        key = connection.require_api_key()
        super().__init__(connection.base_url, key, connection.max_retries)
        self._pool = _ClientPool(lambda: httpx.AsyncClient(**_to_options(connection, key)))

    async def post(self, post: Post) -> Answer:
        """Get a whole answer."""
        request = _to_request(self.base_url, post, in_loop=True)
        lease, response = await self._send(request, stream=False)
        lease.leave()
        return response

    async def stream(self, post: Post) -> AsyncStream:
        """Get an answer whose body is read as it comes."""
        request = _to_request(self.base_url, post, in_loop=True)
        return _LeasedAsyncStream(*await self._send(request, stream=True))

    async def get(self, url: str, params: Mapping[str, str]) -> Answer:
        """Get what lies at an address."""
        request = {"method": "GET", "url": url, "params": params}
        lease, response = await self._send(request, stream=False)
        lease.leave()
        return response

    async def close(self) -> None:
        """Close all connections."""
        for client in self._pool.clients:
            await client.aclose()

    async def _send(
        self, request: Mapping[str, Any], *, stream: bool
    ) -> tuple["_Lease[httpx.AsyncClient]", httpx.Response]:
        attempt = 0
        while True:
            with self._pool.take_lease() as lease:
                client = lease.client
                try:
                    response = await client.send(client.build_request(**request), stream=stream)
                except _RETRYABLE_ERRORS:
                    if attempt >= self.max_retries:
                        raise
                    seconds = retry_delay(attempt)
                else:
                    if response.is_success:
                        return lease.keep(), response
                    if attempt >= self.max_retries or not _is_retryable(response):
                        await response.aread()
                        response.raise_for_status()
                    await response.aclose()
                    seconds = retry_delay(attempt, response.headers)
            attempt += 1
            await asyncio.sleep(seconds)


class _ClientPool(Generic[_Client]):
    """Clients of one endpoint, as many as the requests under way need.

    Args:
        make: Makes a client.
    """

    def __init__(self, make: Callable[[], _Client]) -> None:
        self._make = make
        self._choosing = Lock()
        self.clients: list[_Client] = []
        self.n_leased: list[int] = []

    def take_lease(self) -> "_Lease[_Client]":
        """Choose a client for a request, the first that has room, so that few connections open."""
        with self._choosing:
            index = next((i for i, n in enumerate(self.n_leased) if n < _REQUESTS_EACH), None)
            if index is None and len(self.clients) < _MOST_CLIENTS:
                index = len(self.clients)
                self.clients.append(self._make())
                self.n_leased.append(0)
            elif index is None:
                index = self.n_leased.index(min(self.n_leased))
            self.n_leased[index] += 1
        return _Lease(self, index)

    def free_lease(self, index: int) -> None:
        """Count one request less."""
        with self._choosing:
            self.n_leased[index] -= 1


class _Lease(Generic[_Client]):
    """The place of one request at a client; left at the end of its block, unless it is kept.

    Args:
        clients: Of the client.
        index: Of the client.
    """

    def __init__(self, clients: _ClientPool[_Client], index: int) -> None:
        self._pool = clients
        self._index = index
        self._is_kept = False
        self._is_taken = True
        self.client = clients.clients[index]

    def keep(self) -> "_Lease[_Client]":
        """Stay beyond the end of the block."""
        self._is_kept = True
        return self

    def leave(self) -> None:
        """Make room, once."""
        if self._is_taken:
            self._is_taken = False
            self._pool.free_lease(self._index)

    def __enter__(self) -> "_Lease[_Client]":
        return self

    def __exit__(self, *error: object) -> None:
        if not self._is_kept:
            self.leave()


class _LeasedStream:
    """A stream that keeps its seat until it is closed."""

    def __init__(self, lease: _Lease[httpx.Client], response: httpx.Response) -> None:
        self._lease = lease
        self._response = response
        self.headers: Mapping[str, str] = response.headers
        self.extensions = response.extensions

    def iter_bytes(self) -> Iterator[bytes]:
        """Give its body, as it comes."""
        return self._response.iter_bytes()

    def close(self) -> None:
        """Let the connection go."""
        self._response.close()
        self._lease.leave()


class _LeasedAsyncStream:
    """The same for an event loop."""

    def __init__(self, lease: _Lease[httpx.AsyncClient], response: httpx.Response) -> None:
        self._lease = lease
        self._response = response
        self.headers: Mapping[str, str] = response.headers

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Give its body, as it comes."""
        return self._response.aiter_bytes()

    async def aclose(self) -> None:
        """Let the connection go."""
        self._lease.leave()
        await self._response.aclose()


class _InLoop:
    """A body that an event loop sends, as often as need be."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.in_loop()


# Not inherited by forked children: the lock of its certificates may be held by a thread of the
# parent, which checks a server's certificate without Python's lock.
_tls_context = ProcessLocal(httpx.create_ssl_context)


def tls_context() -> ssl.SSLContext:
    """Return the machine's certificates, read once for all clients of a process."""
    return _tls_context.get()


def _is_retryable(response: httpx.Response) -> bool:
    return is_retryable(response.status_code, response.headers)


def _to_options(connection: Connection, api_key: str) -> dict[str, Any]:
    return {
        "headers": {
            "Accept": "application/json",
            "Authorization": f"Bearer {api_key}",
            "Content-Type": "application/json",
            "User-Agent": f"qwen-vl/{version('qwen-vl')}",
            **connection.headers,
        },
        "timeout": _TIMEOUT if connection.timeout is None else connection.timeout,
        "limits": _LIMITS,
        "follow_redirects": True,
        "verify": tls_context(),
    }


def _to_request(base_url: str, post: Post, *, in_loop: bool = False) -> dict[str, Any]:
    is_behind = post.path.startswith("/")
    url = f"{base_url.rstrip('/')}{post.path}" if is_behind else post.path
    request: dict[str, Any] = {"method": "POST", "url": _parse(url)}
    if len(post.body) <= _WHOLE_BYTES:
        request |= {"content": bytes(post.body), "headers": post.headers}
    else:
        length = {"Content-Length": str(len(post.body))}
        content = _InLoop(post.body) if in_loop else post.body
        request |= {"content": content, "headers": {**post.headers, **length}}
    if post.timeout is not None:
        request["timeout"] = post.timeout
    return request


@functools.lru_cache(maxsize=64)
def _parse(url: str) -> httpx.URL:
    return httpx.URL(url)
