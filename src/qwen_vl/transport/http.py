"""Requests by httpx2: as few steps as there can be, with the `openai` SDK's limits and retries.

The SDK's own steps take a fifth of a small request's time, and a second to load.
"""

import asyncio
import contextvars
import functools
import re
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from importlib.metadata import version
from typing import Any

import anyio
import httpx2

from qwen_vl.connection import Connection, normalize_timeout
from qwen_vl.errors import ConfigurationError
from qwen_vl.process_local import check_process
from qwen_vl.specs.endpoints import check_base_url
from qwen_vl.transport.base import (
    Answer,
    AsyncStream,
    AsyncTransport,
    Outgoing,
    Stream,
    Transport,
)
from qwen_vl.transport.connections import (
    PROXY_LIMITS,
    AsyncPooledTransport,
    PooledTransport,
    bound,
    context_for,
    has_proxies,
    tls_context,
)
from qwen_vl.transport.flow import Flow, arun, run
from qwen_vl.transport.limits import (
    BrokenAnswerError,
    Deadline,
    ResponseTooLongError,
    abounded,
    bounded,
)
from qwen_vl.transport.retries import Attempts, is_retryable
from qwen_vl.wire.body import Body

_TIMEOUT = httpx2.Timeout(600.0, connect=5.0)
_CLIENT_DEFAULT_TIMEOUT = httpx2.Timeout(5.0)
_WHOLE_BYTES = 256 * 1024
"""Longer bodies leave in pieces."""
_MAX_ERROR_BYTES = 2**20
_MAX_REDIRECTS = 5
_FRAMING = frozenset({"content-length", "transfer-encoding"})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_UNREAD: Mapping[str, Any] = {"stream": True, "follow_redirects": False}

# What may be otherwise the next time; a wrong URL or header stays wrong.
_RETRYABLE_ERRORS = (
    httpx2.TimeoutException,
    httpx2.NetworkError,
    httpx2.ProxyError,
    httpx2.RemoteProtocolError,
)
_UNREADABLE = (
    BrokenAnswerError,
    ResponseTooLongError,
    httpx2.DecodingError,
    httpx2.TimeoutException,
)


class HttpTransport(Transport):
    """Sends requests by httpx2.

    Args:
        connection: How to reach the endpoint.

    Raises:
        ConfigurationError: The key, a header, the URL or the environment's proxy cannot be used.
    """

    def __init__(self, connection: Connection) -> None:
        own = connection.http_client
        self._calls = _Calls(connection, own, "http_client", self)
        super().__init__(self._calls.base_url, self._calls.api_key, connection.max_retries)
        self._client: httpx2.Client = own or _open_client(self.base_url)

    def send(self, outgoing: Outgoing) -> Answer:
        """Return a whole answer; see `Transport.send`."""
        return run(self._calls.send(outgoing))

    def stream(self, outgoing: Outgoing) -> Stream:
        """Return an answer whose body is read as it is received; see `Transport.stream`."""
        flow: Flow[Stream] = self._calls.open_stream(outgoing, self._calls.attempts(outgoing))
        return run(flow)

    def close(self) -> None:
        """Close all connections; a client that the program gave stays open."""
        if self._calls.is_own:
            self._client.close()

    sleep = staticmethod(time.sleep)
    stream_class = Stream

    def send_once(self, arguments: Mapping[str, Any], deadline: Deadline | None) -> httpx2.Response:
        """Return the answer to one attempt, its body unread.

        Args:
            arguments: Of the client's `build_request`.
            deadline: When the call must have ended.
        """
        with bounded(deadline):
            return self._client.send(self._client.build_request(**arguments), **_UNREAD)


class AsyncHttpTransport(AsyncTransport):
    """Sends requests by httpx2, from one event loop; see `HttpTransport`.

    To be made in a thread without an event loop: it loads packages, and reads certificates, the
    environment and the package's version.

    Args:
        connection: How to reach the endpoint.

    Raises:
        ConfigurationError: The key, a header, the URL or the environment's proxy cannot be used.
    """

    def __init__(self, connection: Connection) -> None:
        # anyio loads what it needs in the first loop that runs by it: here that is a thread's.
        # In an empty context: that of a program that uses anyio says that a loop runs already.
        contextvars.Context().run(anyio.run, anyio.sleep, 0)
        own = connection.http_async_client
        self._calls = _Calls(connection, own, "http_async_client", self)
        super().__init__(self._calls.base_url, self._calls.api_key, connection.max_retries)
        self._client: httpx2.AsyncClient = own or _open_async_client(self.base_url)

    async def send(self, outgoing: Outgoing) -> Answer:
        """Return a whole answer; see `Transport.send`."""
        return await arun(self._calls.send(outgoing))

    async def stream(self, outgoing: Outgoing) -> AsyncStream:
        """Return an answer whose body is read as it is received; see `Transport.stream`."""
        flow: Flow[AsyncStream] = self._calls.open_stream(outgoing, self._calls.attempts(outgoing))
        return await arun(flow)

    async def close(self) -> None:
        """Close all connections; a client that the program gave stays open."""
        if self._calls.is_own:
            await self._client.aclose()

    sleep = staticmethod(asyncio.sleep)
    stream_class = AsyncStream

    def send_once(
        self, arguments: Mapping[str, Any], deadline: Deadline | None
    ) -> Awaitable[httpx2.Response]:
        """Return the answer to one attempt; see `HttpTransport.send_once`."""
        content = arguments["content"]
        body = _InLoop(content) if isinstance(content, Body) else content
        request = self._client.build_request(**{**arguments, "content": body})
        return abounded(deadline, functools.partial(self._client.send, request, **_UNREAD))


class _Calls:
    """What both transports share: all but how a step is waited for.

    Args:
        connection: How to reach the endpoint.
        client: The program's own, if there is one.
        name: The option that it was passed as.
        steps: The transport, which does what is waited for.
    """

    def __init__(
        self,
        connection: Connection,
        client: Any,
        name: str,
        steps: "HttpTransport | AsyncHttpTransport",
    ) -> None:
        if client is not None:
            check_process(client, name)
        self.base_url = check_base_url(connection.base_url)
        authorization = connection.authorization
        self.api_key = authorization.partition(" ")[2]
        self._steps: Any = steps
        self._max_retries = connection.max_retries
        self._max_response_bytes = connection.max_response_bytes
        self.is_own = client is None
        self._retries_partial = connection.retry_partial_answers
        self._headers = {
            "accept": "application/json",
            "authorization": authorization,
            "content-type": "application/json",
            "user-agent": f"qwen-vl/{version('qwen-vl')}",
            **_read_headers(connection.headers),
        }
        self._timeout = _to_timeout(connection.timeout)
        if self._timeout is None:
            # As in the SDK: five seconds are too short for a vision model.
            is_set = client is not None and client.timeout != _CLIENT_DEFAULT_TIMEOUT
            self._timeout = client.timeout if is_set else _TIMEOUT

    def attempts(self, outgoing: Outgoing) -> Attempts:
        """Return what decides about further attempts."""
        return Attempts(self._max_retries, outgoing.deadline)

    def send(self, outgoing: Outgoing) -> Flow[Answer]:
        """Return a whole answer."""
        attempts = self.attempts(outgoing)
        while True:
            stream = yield from self.open_stream(outgoing, attempts)
            try:
                content = yield stream.read
            except (BrokenAnswerError, httpx2.TimeoutException) as error:
                # The service has answered, and bills it: only who asks for it gets another.
                if not self._retries_partial:
                    raise
                seconds = _delay_after(error, attempts)
            else:
                return Answer(content, stream.headers)
            finally:
                yield stream.close
            yield functools.partial(self._steps.sleep, seconds)

    def open_stream(self, outgoing: Outgoing, attempts: Attempts) -> Flow[Any]:
        """Return an answer whose body is unread."""
        url, n_redirects = self._to_url(outgoing), 0
        while True:
            arguments = self._to_arguments(url, outgoing)
            try:
                response = yield functools.partial(
                    self._steps.send_once, arguments, outgoing.deadline
                )
            except _RETRYABLE_ERRORS as error:
                seconds = _delay_after(error, attempts)
            except httpx2.HTTPStatusError as error:
                # A hook of the program's client raised it, and closed the answer.
                answered = error.response
                content = answered.content if answered.is_stream_consumed else b""
                seconds = _delay_after_status(answered, content, attempts)
            else:
                stream = self._steps.stream_class(
                    response, outgoing.deadline, self._max_response_bytes
                )
                if response.is_success:
                    return stream
                try:
                    content = yield functools.partial(stream.read, _MAX_ERROR_BYTES)
                except _UNREADABLE:
                    # The status is known; only its explanation is lost.
                    content = b""
                finally:
                    yield stream.close
                target = _find_redirect(response, n_redirects)
                if target is not None:
                    url, n_redirects = target, n_redirects + 1
                    continue
                seconds = _delay_after_status(response, content, attempts)
            yield functools.partial(self._steps.sleep, seconds)

    def _to_url(self, outgoing: Outgoing) -> httpx2.URL:
        path = outgoing.path
        is_behind = path.startswith("/")
        return _parse(f"{self.base_url.rstrip('/')}{path}" if is_behind else path)

    def _to_arguments(self, url: httpx2.URL, outgoing: Outgoing) -> dict[str, Any]:
        headers = {**self._headers, **_read_headers(outgoing.headers)}
        content: bytes | Body | None = outgoing.body
        if outgoing.body is not None:
            if len(outgoing.body) <= _WHOLE_BYTES:
                content = bytes(outgoing.body)
            else:
                headers["content-length"] = str(len(outgoing.body))
        arguments: dict[str, Any] = {
            "method": outgoing.method,
            "url": url,
            "content": content,
            "headers": headers,
            "timeout": _to_timeout(outgoing.find_timeout(self._timeout)),
        }
        if outgoing.params:
            arguments["params"] = outgoing.params
        return arguments


class _InLoop:
    """A body that an event loop sends, as often as need be."""

    def __init__(self, body: Body) -> None:
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body.in_loop()


def _to_timeout(timeout: Any) -> httpx2.Timeout | None:
    timeouts = normalize_timeout(timeout)
    if timeouts is None:
        return None
    connect, read, write, pool = timeouts
    return httpx2.Timeout(connect=connect, read=read, write=write, pool=pool)


def _open_client(base_url: str) -> httpx2.Client:
    client = httpx2.Client(**_to_client_options(base_url, PooledTransport))
    # httpx2 opens them for the environment's proxies.
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001 - as `bound`
        if isinstance(transport, httpx2.HTTPTransport):
            bound(transport)
    return client


def _open_async_client(base_url: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(**_to_client_options(base_url, AsyncPooledTransport))


def _to_client_options(base_url: str, pooled: Any) -> dict[str, Any]:
    # Nothing that one answer sets goes out with another request.
    options: dict[str, Any] = {"cookies": CookieJar(DefaultCookiePolicy(allowed_domains=()))}
    if has_proxies():
        return options | {"verify": tls_context(), "limits": PROXY_LIMITS}
    # The certificates are read now: later an event loop might wait for them.
    return options | {"transport": pooled(context_for(base_url))}


def _read_headers(headers: Mapping[Any, Any]) -> dict[str, str]:
    """Return headers by names in lower case: one replaces another, whatever its case."""
    read: dict[str, str] = {}
    for name, value in headers.items():
        is_name = isinstance(name, str) and _HEADER_NAME.fullmatch(name)
        if not (is_name and _is_header_text(value)):
            # Its value may be a secret.
            raise ConfigurationError(
                f"The header {str(name)!r} cannot be sent: the name of a header is letters, digits "
                "and dashes, and its value is text in ASCII without line breaks."
            )
        if name.lower() in _FRAMING:
            raise ConfigurationError(
                f"The header {name!r} cannot be set: it says how long the body is. Leave it out of "
                "default_headers and extra_headers."
            )
        read[name.lower()] = value
    return read


def _is_header_text(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()


def _delay_after(error: Exception, attempts: Attempts) -> float:
    seconds = attempts.next_delay(type(error).__name__)
    if seconds is None:
        raise error
    return seconds


def _delay_after_status(response: httpx2.Response, content: bytes, attempts: Attempts) -> float:
    if is_retryable(response.status_code, response.headers, content):
        seconds = attempts.next_delay(f"HTTP {response.status_code}", response.headers)
        if seconds is not None:
            return seconds
    # As if it had been read by the client: content is decoded already.
    encoded = {b"content-encoding", b"content-length", b"transfer-encoding"}
    headers = [item for item in response.headers.raw if item[0].lower() not in encoded]
    answered = httpx2.Response(
        response.status_code, headers=headers, content=content, request=response.request
    )
    # Its own message would hold the URL, and with it a password.
    message = f"HTTP {response.status_code}"
    raise httpx2.HTTPStatusError(message, request=response.request, response=answered)


def _find_redirect(response: httpx2.Response, n_redirects: int) -> httpx2.URL | None:
    """Return where a request is to be sent instead, if that is the same origin and method.

    Elsewhere, the key and the images would go to a host that the answer names.
    """
    keeps_method = response.status_code in {307, 308} or response.request.method == "GET"
    if not (response.has_redirect_location and keeps_method and n_redirects < _MAX_REDIRECTS):
        return None
    here = response.request.url
    try:
        target = here.join(response.headers["location"])
    except (httpx2.InvalidURL, UnicodeError):
        return None
    return target if _origin(target) == _origin(here) else None


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


@functools.lru_cache(maxsize=64)
def _parse(url: str) -> httpx2.URL:
    return httpx2.URL(url)
