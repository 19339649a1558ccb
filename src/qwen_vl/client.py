"""The way to the endpoint and back: the only module that talks to it.

Transport is the `openai` SDK: its retries, time limits, connection pools and whatever a caller's
own client brings. Bodies go in as ready bytes and come out as raw bytes; the wire room reads them.
"""

import asyncio
import re
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from qwen_vl.errors import APIConnectionError, APITimeoutError, QwenVLError
from qwen_vl.media import needs_io, prepare_media
from qwen_vl.pool import Pool
from qwen_vl.reply import Delta, Reply, ReplyBuilder
from qwen_vl.request import Request
from qwen_vl.settings import Connection
from qwen_vl.wire.openai import StreamDecoder, decode_error, decode_reply, encode_request
from qwen_vl.wire.openai.encode import uses_oss

_PATH = "/chat/completions"


class QwenVLClient:
    """Asks a Qwen VL endpoint, and waits.

    Args:
        connection: How to reach it.

    Example:
        >>> from pydantic import SecretStr
        >>> from qwen_vl.content import Image, LocalFile, Text, Turn
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl.sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     client = QwenVLClient(
        ...         Connection(base_url=sandbox.base_url, api_key=SecretStr("sk-sandbox"))
        ...     )
        ...     picture = Image(source=LocalFile(CHELSEA, is_trusted=True))
        ...     turn = Turn(role="user", parts=(picture, Text(text="What is this?")))
        ...     reply = client.ask(Request(model="qwen3-vl-plus", turns=(turn,)))
        >>> reply.usage.image_tokens
        128
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._openai = connection.openai_client
        self._making = threading.Lock()
        self._address = _address(connection.openai_client or connection)

    def ask(self, request: Request) -> Reply:
        """Get the whole answer.

        Args:
            request: What to ask. With `stream` set, the answer is streamed underneath and added
                up, which the service demands of models that think (Native-API page, 2026-09).

        Raises:
            ContentError: A part cannot be sent; nothing was.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        if request.stream:
            builder = ReplyBuilder()
            for delta in self.stream(request):
                builder.add(delta)
            return _checked(builder.reply())
        call = _Call(prepare_media(request), self._address)
        with call.errors_translated():
            answer = self._client().post(**call.whole())
        return _checked(decode_reply(answer.content, _headers(answer.response)))

    def stream(self, request: Request) -> Generator[Delta, None, None]:
        """Get the answer in pieces, as they come.

        Args:
            request: What to ask, with `stream` set.

        Raises:
            ContentError: A part cannot be sent; nothing was.
            ServiceError: The endpoint answered with an error, or broke off.
        """
        call = _Call(prepare_media(request), self._address)
        with call.errors_translated():
            response = self._client().post(**call.streamed("Stream")).response
        decoder = StreamDecoder(_headers(response))
        try:
            with call.errors_translated(decoder):
                for raw in response.iter_bytes():
                    yield from decoder.feed(raw)
                yield from decoder.finish()
        finally:
            response.close()

    def _client(self) -> Any:
        with self._making:
            if self._openai is None:
                self._openai = _make_sdk_client("OpenAI", self._connection)
                # Connections are closed before the collector finds them and complains.
                weakref.finalize(self, self._openai.close)
            return self._openai


class AsyncQwenVLClient:
    """Asks a Qwen VL endpoint without blocking the event loop.

    Files are read and pictures encoded in a thread. Connections belong to the loop that opened
    them, so each loop gets its own pool.

    Args:
        connection: How to reach the endpoint.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._address = _address(connection.async_openai_client or connection)
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}

    async def ask(self, request: Request) -> Reply:
        """Get the whole answer; see `QwenVLClient.ask`."""
        if request.stream:
            builder = ReplyBuilder()
            async for delta in self.stream(request):
                builder.add(delta)
            return _checked(builder.reply())
        call = _Call(await _prepare(request), self._address)
        with call.errors_translated():
            answer = await (await self._client()).post(**call.whole())
        return _checked(decode_reply(answer.content, _headers(answer.response)))

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Get the answer in pieces, as they come; see `QwenVLClient.stream`."""
        call = _Call(await _prepare(request), self._address)
        with call.errors_translated():
            response = (await (await self._client()).post(**call.streamed("AsyncStream"))).response
        decoder = StreamDecoder(_headers(response))
        try:
            with call.errors_translated(decoder):
                async for raw in response.aiter_bytes():
                    for delta in decoder.feed(raw):
                        yield delta
                for delta in decoder.finish():
                    yield delta
        finally:
            await response.aclose()

    async def _client(self) -> Any:
        if self._connection.async_openai_client is not None:
            return self._connection.async_openai_client
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            self._forget_closed_loops()
            self._pools[loop] = pool = Pool(_make_sdk_client("AsyncOpenAI", self._connection))
            await pool.close_with(self, loop)
        return pool.client

    def _forget_closed_loops(self) -> None:
        # A pool refers to its loop, so that no loop would ever be freed by itself.
        for loop in list(self._pools):
            if loop.is_closed() and (pool := self._pools.pop(loop, None)):
                pool.forget()


class ClientCache:
    """The clients of one model object: made at their first use, made again when it changes.

    Deep copies and pickles of the object begin without any, since connections cannot be copied.
    Shallow copies share the cache, and may use it from other threads: whoever asks gets a client
    of the connection asked for, whatever another has put here in the meantime.
    """

    def __init__(self) -> None:
        self._sync: tuple[Connection, QwenVLClient] | None = None
        self._async: tuple[Connection, AsyncQwenVLClient] | None = None
        # Threads that begin together would each open connections of their own.
        self._making = threading.Lock()

    def sync(self, connection: Connection) -> QwenVLClient:
        """Give the client of this connection."""
        with self._making:
            held = self._sync
            if held is None or held[0] != connection:
                self._sync = held = (connection, QwenVLClient(connection))
            return held[1]

    def asynchronous(self, connection: Connection) -> AsyncQwenVLClient:
        """Give the asynchronous client of this connection."""
        with self._making:
            held = self._async
            if held is None or held[0] != connection:
                self._async = held = (connection, AsyncQwenVLClient(connection))
            return held[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> "ClientCache":
        return ClientCache()

    def __reduce__(self) -> tuple[type["ClientCache"], tuple[()]]:
        return ClientCache, ()


class _Call:
    """What is sent for one request, and what its failures mean."""

    def __init__(self, request: Request, address: str) -> None:
        self._request = request
        self._address = address
        self._body = encode_request(request)

    def whole(self) -> dict[str, Any]:
        return {**self._arguments(), "cast_to": _openai_sdk().HttpxBinaryResponseContent}

    def streamed(self, stream_class: str) -> dict[str, Any]:
        kind = getattr(_openai_sdk(), stream_class)
        return {**self._arguments(), "cast_to": object, "stream": True, "stream_cls": kind[object]}

    def _arguments(self) -> dict[str, Any]:
        headers = dict(self._request.headers)
        if uses_oss(self._request.turns):
            headers["X-DashScope-OssResourceResolve"] = "enable"
        options: dict[str, Any] = {"headers": headers}
        if self._request.timeout is not None:
            options["timeout"] = self._request.timeout
        return {"path": _PATH, "content": self._body, "options": options}

    @contextmanager
    def errors_translated(self, decoder: StreamDecoder | None = None) -> Iterator[None]:
        """Raise in place of the transport's errors what they mean; let all others pass."""
        try:
            yield
        except Exception as error:
            meaning = self._meaning(error, decoder)
            if meaning is None:
                raise
            raise meaning from error

    def _meaning(self, error: Exception, decoder: StreamDecoder | None) -> QwenVLError | None:
        sdk = _openai_sdk()
        where = self._address
        if isinstance(error, sdk.APIStatusError):
            response: Any = error.response
            return decode_error(response.status_code, response.content, _headers(response))
        if isinstance(error, sdk.APITimeoutError) or _is_transport(error, "TimeoutException"):
            return APITimeoutError(
                f"{where} did not answer in time. Raise timeout=… (seconds), or stream the answer."
            )
        if decoder is not None and _is_transport(error, "TransportError"):
            return decoder.broken(f"The connection to {where} was cut")
        if isinstance(error, sdk.APIConnectionError) or _is_transport(error, "TransportError"):
            return APIConnectionError(
                f"{where} cannot be reached: {error.__cause__ or error}. Check base_url, region "
                "and the network."
            )
        return None


def _address(client: Any) -> str:
    # Who stands before the host, with a password, is nothing to show.
    return re.sub(r"//[^/@]*@", "//", str(client.base_url)).rstrip("/")


def _openai_sdk() -> ModuleType:
    import openai  # noqa: PLC0415 - a quarter of a framework's import time, and not for a refusal.

    return openai


def _is_transport(error: Exception, name: str) -> bool:
    # openai 2 stands on httpx, openai 3 on httpx2: the error's own package has the class.
    package = sys.modules.get(type(error).__module__.split(".")[0])
    kind = getattr(package, name, None)
    is_http = getattr(package, "__name__", "").startswith("httpx")
    return is_http and isinstance(kind, type) and isinstance(error, kind)


def _make_sdk_client(kind: str, connection: Connection) -> Any:
    options: dict[str, Any] = {
        "api_key": connection.require_api_key(),
        "base_url": connection.base_url,
        "max_retries": connection.max_retries,
    }
    if connection.timeout is not None:
        options["timeout"] = connection.timeout
    client = getattr(_openai_sdk(), kind)(**options)
    # The SDK reads these from the environment for OpenAI's own service; they are nobody else's.
    client.organization = client.project = None
    client._custom_headers = dict(connection.headers)  # noqa: SLF001 - there is no public way.
    return client


async def _prepare(request: Request) -> Request:
    if needs_io(request):
        return await asyncio.to_thread(prepare_media, request)
    return prepare_media(request)


def _headers(response: Any) -> Mapping[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}


def _checked(reply: Reply) -> Reply:
    if reply.is_truncated:
        warnings.warn(
            "The service cut this answer at its time limit (x-dashscope-partialresponse). Stream "
            "the answer, or ask for a shorter one.",
            UserWarning,
            stacklevel=2,
        )
    return reply
