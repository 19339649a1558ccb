"""Connections to one endpoint: certificates, proxies, and pools that stay fast when many are open.

httpx2 walks through all connections of a pool for each of its requests: the fewer a pool has, the
less each request costs when many are in flight.
"""

import contextlib
import functools
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from threading import Lock
from typing import Any, Generic, TypeVar
from urllib.request import getproxies

import httpcore2
import httpx2

from qwen_vl.errors import ConfigurationError
from qwen_vl.process_local import ProcessLocal
from qwen_vl.transport.limits import passed, shorten

_Pool = TypeVar("_Pool")

_CONNECTIONS_EACH = 8
_POOL_LIMITS = httpx2.Limits(
    max_connections=_CONNECTIONS_EACH, max_keepalive_connections=_CONNECTIONS_EACH
)
# A call at Batch Chat, or at a queue, says nothing for a long time: routers forget connections
# that are idle for minutes. The names differ between systems.
_IDLE_SECONDS = 60
KEEP_ALIVE: tuple[tuple[int, int, int], ...] = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), _IDLE_SECONDS)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL")
        if hasattr(socket, name)
    ),
)
"""Options of each socket: a connection that is idle is probed once a minute."""

# Behind a proxy all connections are in one pool, httpx2's own. Batch Chat lets 10,000 calls wait
# at once (Batch-Chat page, 2026-10).
PROXY_LIMITS = httpx2.Limits(max_connections=10_000, max_keepalive_connections=100)
# The first one that is set counts.
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def _read_certificates() -> ssl.SSLContext:
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        variable = next((name for name in _CERTIFICATE_VARIABLES if os.environ.get(name)), None)
        if variable is None:
            raise
        raise ConfigurationError(
            f"{variable} in the environment names certificates that cannot be read "
            f"({error.strerror or error}). Set it to a file or folder of certificates in PEM "
            "format, or unset it."
        ) from error


# Not inherited by forked children: the lock of its certificates may be held by a thread of the
# parent, which checks a server's certificate without Python's lock.
_tls_context = ProcessLocal(_read_certificates)


def tls_context() -> ssl.SSLContext:
    """Return the machine's certificates, read once for all clients of a process."""
    return _tls_context.get()


def context_for(base_url: str) -> ssl.SSLContext:
    """Return the certificates for an endpoint.

    Args:
        base_url: For plain HTTP the machine's certificates are not read, which takes longer than
            many calls; no server is trusted then.
    """
    return tls_context() if base_url.lower().startswith("https:") else _plain_context()


# Forked children inherit it: it is never used, and creating another one there may hang.
# A thread of the parent that is about to end takes a lock of OpenSSL's after Python has joined it
# (until Python 3.13), so that a child that is forked at this moment would wait forever.
@functools.cache
def _plain_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class _Slots(Generic[_Pool]):
    """Pools, as many as the requests in flight need.

    Args:
        open_pool: Makes a pool.
    """

    def __init__(self, open_pool: Callable[[], _Pool]) -> None:
        self._open_pool = open_pool
        self._choosing = Lock()
        self.pools: list[_Pool] = []
        self.n_taken: list[int] = []

    def take(self) -> int:
        """Take a slot of the first pool that has a free one, so that few connections open."""
        with self._choosing:
            for index, n_taken in enumerate(self.n_taken):
                if n_taken < _CONNECTIONS_EACH:
                    self.n_taken[index] += 1
                    return index
            self.pools.append(self._open_pool())
            self.n_taken.append(1)
            return len(self.pools) - 1

    def free(self, index: int) -> None:
        """Free a slot."""
        with self._choosing:
            self.n_taken[index] -= 1


class _Slot:
    """One slot, given back once.

    Args:
        slots: Of all pools.
        index: Of its pool.
    """

    def __init__(self, slots: _Slots[Any], index: int) -> None:
        self._slots = slots
        self._index = index
        self._is_taken = True

    def free(self) -> None:
        """Free it."""
        if self._is_taken:
            self._is_taken = False
            self._slots.free(self._index)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.free()


class PooledTransport(httpx2.BaseTransport):
    """Spreads requests over one `httpx2.HTTPTransport` for each 8 connections.

    Args:
        context: Certificates of all connections.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.slots = _Slots(functools.partial(_open_pool, context))

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request over the first pool that has a free connection."""
        index = self.slots.take()
        slot = _Slot(self.slots, index)
        try:
            response = self.slots.pools[index].handle_request(request)
        except BaseException:
            slot.free()
            raise
        response.stream = _SlotStream(response.stream, slot)
        return response

    def close(self) -> None:
        """Close all connections."""
        with contextlib.ExitStack() as closing:
            for pool in self.slots.pools:
                closing.callback(pool.close)


class AsyncPooledTransport(httpx2.AsyncBaseTransport):
    """Spreads requests over one `httpx2.AsyncHTTPTransport` for each 8 connections.

    Args:
        context: Certificates of all connections.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.slots = _Slots(functools.partial(_open_async_pool, context))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request over the first pool that has a free connection."""
        index = self.slots.take()
        slot = _Slot(self.slots, index)
        try:
            response = await self.slots.pools[index].handle_async_request(request)
        except BaseException:
            slot.free()
            raise
        response.stream = _AsyncSlotStream(response.stream, slot)
        return response

    async def aclose(self) -> None:
        """Close all connections."""
        async with contextlib.AsyncExitStack() as closing:
            for pool in self.slots.pools:
                closing.push_async_callback(pool.aclose)


class _SlotStream(httpx2.SyncByteStream):
    """A body whose connection has its slot until it is closed."""

    def __init__(self, stream: Any, slot: _Slot) -> None:
        self._stream = stream
        self._slot = slot

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        with self._slot:
            self._stream.close()


class _AsyncSlotStream(httpx2.AsyncByteStream):
    """The async form of `_SlotStream`."""

    def __init__(self, stream: Any, slot: _Slot) -> None:
        self._stream = stream
        self._slot = slot

    def __aiter__(self) -> AsyncIterator[bytes]:
        chunks: AsyncIterator[bytes] = aiter(self._stream)
        return chunks

    async def aclose(self) -> None:
        with self._slot:
            await self._stream.aclose()


def _open_pool(context: ssl.SSLContext) -> httpx2.HTTPTransport:
    pool = httpx2.HTTPTransport(verify=context, limits=_POOL_LIMITS, socket_options=KEEP_ALIVE)
    bound(pool)
    return pool


def bound(pool: httpx2.HTTPTransport) -> None:
    """Bound the network operations of a pool by the deadline of the call that they belong to.

    Args:
        pool: Nothing is connected yet.
    """
    # The constructor lacks an argument for it.
    pool._pool._network_backend = _BoundedBackend()  # noqa: SLF001


def _open_async_pool(context: ssl.SSLContext) -> httpx2.AsyncHTTPTransport:
    return httpx2.AsyncHTTPTransport(verify=context, limits=_POOL_LIMITS, socket_options=KEEP_ALIVE)


class _BoundedBackend(httpcore2.SyncBackend):
    """Network operations that end with the deadline of the call that they belong to.

    Timeouts only bound the time between two bytes. An event loop cancels what takes too long; a
    thread has to ask before each operation.
    """

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        with _in_time():
            return _BoundedStream(
                super().connect_tcp(host, port, shorten(timeout), local_address, socket_options)
            )


class _BoundedStream(httpcore2.NetworkStream):
    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        with _in_time():
            return self._stream.read(max_bytes, shorten(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        with _in_time():
            self._stream.write(buffer, shorten(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        with _in_time():
            return _BoundedStream(
                self._stream.start_tls(ssl_context, server_hostname, shorten(timeout))
            )

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _in_time:  # noqa: N801 - used as a function; a generator would take longer than a read.
    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, httpcore2.TimeoutException) and (late := passed()):
            raise late from error


def has_proxies() -> bool:
    """Return whether the environment, or the system's settings, name a proxy.

    Raises:
        ConfigurationError: A variable holds what cannot be used.
    """
    proxies = getproxies()
    for scheme in ("http", "https", "all"):
        if proxies.get(scheme):
            _check_proxy(scheme, proxies[scheme])
    for host in proxies.get("no", "").split(","):
        if "/" in host and ":" in host and "://" not in host:
            raise ConfigurationError(
                f"NO_PROXY holds {host.strip()!r}, a range of IPv6 addresses, which httpx2 does "
                "not read. List IP addresses or host names instead, or pass "
                "http_client=httpx2.Client(trust_env=False)."
            )
    return any(proxies.get(scheme) for scheme in ("http", "https", "all"))


def _check_proxy(scheme: str, url: str) -> None:
    variable = f"{scheme.upper()}_PROXY"
    try:
        proxy = httpx2.Proxy(url if "://" in url else f"http://{url}")
        httpx2.HTTPTransport(verify=tls_context(), proxy=proxy).close()
        is_usable = bool(proxy.url.host)
    except (ValueError, httpx2.InvalidURL):
        is_usable = False
    except ImportError as error:
        raise ConfigurationError(
            f"{variable} in the environment (or the system's proxy setting) names a SOCKS proxy, "
            'which needs: pip install "httpx2[socks]"'
        ) from error
    if not is_usable:
        # The value may hold a password.
        raise ConfigurationError(
            f"{variable} in the environment (or the system's proxy setting) is not the URL of a "
            "proxy. Set it to http://host:port, https://host:port or socks5://host:port, or unset "
            "it."
        )
