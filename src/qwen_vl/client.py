"""The way to the endpoint and back: media made ready, the request sent, the answer read."""

import asyncio
import contextvars
import threading
import warnings
import weakref
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qwen_vl.connection import Connection
from qwen_vl.errors import ServiceError
from qwen_vl.media import needs_io, prepare_media, wants_upload
from qwen_vl.media.upload.send import UploadPolicy
from qwen_vl.media.upload.storage import TemporaryStorage, name_account
from qwen_vl.process_local import (
    Process,
    ProcessBoundAsyncIterator,
    ProcessBoundIterator,
    ProcessLocal,
    current_process,
)
from qwen_vl.reply import Delta, Reply, ReplyBuilder
from qwen_vl.request.types import Request
from qwen_vl.specs.endpoints import hide_password, to_native_url
from qwen_vl.transport import (
    Answer,
    AsyncTransport,
    Endpoint,
    Post,
    Transport,
    errors_translated,
    open_async_transport,
    open_transport,
)
from qwen_vl.transport.drain import adrain, drain
from qwen_vl.transport.lifetime import Pool
from qwen_vl.wire.events import EventDecoder
from qwen_vl.wire.protocols import find_wire


class QwenVLClient:
    """Asks a Qwen VL endpoint, and waits.

    Args:
        connection: How to reach it.

    Example:
        >>> from pydantic import SecretStr
        >>> from qwen_vl.content import Image, LocalFile, Text, Turn
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     client = QwenVLClient(
        ...         Connection(base_url=sandbox.base_url, api_key=SecretStr("sk-sandbox"))
        ...     )
        ...     image = Image(source=LocalFile(CHELSEA, is_trusted=True))
        ...     turn = Turn(role="user", parts=(image, Text(text="What is this?")))
        ...     reply = client.ask(Request(model="qwen3-vl-plus", turns=(turn,)))
        >>> reply.usage.image_tokens
        128
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._state = ProcessLocal(_Opened)
        self._url = _show_url(connection.openai_client or connection)

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
        storage = self._open_storage(request)
        while True:
            transport = self._transport()
            prepared = prepare_media(request, storage)
            post = _to_post(prepared, transport)
            try:
                with errors_translated(self._url):
                    answer = transport.post(post)
                return _checked(_read(answer, prepared))
            except ServiceError as error:
                if storage is None or not storage.forgets(error):
                    raise

    def stream(self, request: Request) -> ProcessBoundIterator[Delta]:
        """Get the answer in pieces, as they come.

        Args:
            request: What to ask, with `stream` set.

        Raises:
            ContentError: A part cannot be sent; nothing was.
            ServiceError: The endpoint answered with an error, or broke off.
            ConfigurationError: The stream was begun before this process was forked.
        """
        return ProcessBoundIterator(lambda: self._stream(request))

    def _stream(self, request: Request) -> Generator[Delta, None, None]:
        storage = self._open_storage(request)
        while True:
            try:
                yield from self._stream_once(prepare_media(request, storage), storage)
            except ServiceError as error:
                if storage is None or not storage.forgets(error):
                    raise
            else:
                return

    def _stream_once(
        self, request: Request, storage: TemporaryStorage | None
    ) -> Generator[Delta, None, None]:
        transport = self._transport()
        post = _to_post(request, transport)
        with errors_translated(self._url):
            response = transport.stream(post)
        decoder = find_wire(request.protocol).decoder(response.headers, request)
        try:
            with errors_translated(self._url, decoder):
                chunks = response.iter_bytes()
                for raw in chunks:
                    yield from decoder.feed(raw)
                    if decoder.is_done:
                        drain(response, chunks)
                        break
            yield from decoder.finish()
        finally:
            _confirm_uploads(storage, decoder)
            response.close()

    def _open_storage(self, request: Request) -> TemporaryStorage | None:
        if not wants_upload(request):
            return None
        transport = self._transport()
        url = _uploads_url(transport)
        if url is None:
            return None

        def fetch_policy(model: str) -> UploadPolicy:
            with errors_translated(self._url):
                answer = transport.get(url, _policy_parameters(model))
            return UploadPolicy.read(answer.content)

        return _make_storage(fetch_policy, transport, request)

    def _transport(self) -> Transport:
        state = self._state.get()
        with state.opening:
            if state.transport is None:
                state.transport = open_transport(self._connection)
                # Connections are closed before the collector finds them and complains.
                weakref.finalize(self, _close, current_process(), state.transport)
            return state.transport


class _Opened:
    """The connections of one process."""

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.opening = threading.Lock()


def _close(process: Process, transport: Transport) -> None:
    # A forked child's copies are left alone: their locks may be held for ever, and what is said
    # on their connections is said on the parent's.
    if process is current_process():
        transport.close()


class AsyncQwenVLClient:
    """Asks a Qwen VL endpoint without blocking the event loop.

    Files are read and pictures encoded in a thread. Connections belong to the loop that opened
    them, so each loop gets its own pool.

    Args:
        connection: How to reach the endpoint.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._url = _show_url(connection.async_openai_client or connection)
        self._pools: ProcessLocal[dict[asyncio.AbstractEventLoop, Pool]] = ProcessLocal(dict)

    async def ask(self, request: Request) -> Reply:
        """Get the whole answer; see `QwenVLClient.ask`."""
        if request.stream:
            builder = ReplyBuilder()
            async for delta in self.stream(request):
                builder.add(delta)
            return _checked(builder.reply())
        storage = await self._open_storage(request)
        while True:
            transport = await self._transport()
            prepared = await _prepare(request, storage)
            post = _to_post(prepared, transport)
            try:
                with errors_translated(self._url):
                    answer = await transport.post(post)
                return _checked(_read(answer, prepared))
            except ServiceError as error:
                if storage is None or not storage.forgets(error):
                    raise

    def stream(self, request: Request) -> ProcessBoundAsyncIterator[Delta]:
        """Get the answer in pieces, as they come; see `QwenVLClient.stream`."""
        return ProcessBoundAsyncIterator(lambda: self._stream(request))

    async def _stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        storage = await self._open_storage(request)
        while True:
            response = decoder = None
            try:
                transport = await self._transport()
                prepared = await _prepare(request, storage)
                post = _to_post(prepared, transport)
                with errors_translated(self._url):
                    response = await transport.stream(post)
                decoder = find_wire(request.protocol).decoder(response.headers, prepared)
                with errors_translated(self._url, decoder):
                    chunks = response.aiter_bytes()
                    async for raw in chunks:
                        for delta in decoder.feed(raw):
                            yield delta
                        if decoder.is_done:
                            await adrain(chunks)
                            break
                for delta in decoder.finish():
                    yield delta
            except ServiceError as error:
                _confirm_uploads(storage, decoder)
                if storage is None or not storage.forgets(error):
                    raise
            else:
                return
            finally:
                if response is not None:
                    await response.aclose()

    async def _open_storage(self, request: Request) -> TemporaryStorage | None:
        if not wants_upload(request):
            return None
        transport = await self._transport()
        url = _uploads_url(transport)
        if url is None:
            return None
        loop = asyncio.get_running_loop()

        async def fetch() -> bytes:
            answer = await transport.get(url, _policy_parameters(request.model))
            return answer.content

        def fetch_policy(_model: str) -> UploadPolicy:
            # Asked in the thread that prepares the media, answered by the loop's own connections.
            with errors_translated(self._url):
                body = asyncio.run_coroutine_threadsafe(fetch(), loop).result()
            return UploadPolicy.read(body)

        return _make_storage(fetch_policy, transport, request)

    async def _transport(self) -> AsyncTransport:
        loop = asyncio.get_running_loop()
        pools = self._pools.get()
        pool = pools.get(loop)
        if pool is None:
            _forget_closed_loops(pools)
            pools[loop] = pool = Pool(open_async_transport(self._connection))
            await pool.close_with(self, loop)
        return pool.transport


def _forget_closed_loops(pools: dict[asyncio.AbstractEventLoop, Pool]) -> None:
    # A pool refers to its loop, so that no loop would ever be freed by itself.
    for loop in list(pools):
        if loop.is_closed() and (pool := pools.pop(loop, None)):
            pool.forget()


def _to_post(request: Request, url: Endpoint) -> Post:
    """Write a request whose media is ready."""
    wire = find_wire(request.protocol)
    path = wire.path(url.base_url)
    return Post(path, wire.encode(request), wire.headers(request), request.timeout)


def _read(answer: Answer, request: Request) -> Reply:
    return find_wire(request.protocol).decode(answer.content, answer.headers, request)


def _show_url(client: Any) -> str:
    return hide_password(str(client.base_url))


def _confirm_uploads(storage: TemporaryStorage | None, decoder: EventDecoder | None) -> None:
    if storage is not None and decoder is not None and decoder.has_begun:
        storage.confirm()


def _uploads_url(url: Endpoint) -> str | None:
    native = to_native_url(url.base_url)
    return native and f"{native}/uploads"


def _policy_parameters(model: str) -> dict[str, str]:
    return {"action": "getPolicy", "model": model}


def _make_storage(
    fetch_policy: Callable[[str], UploadPolicy], url: Endpoint, request: Request
) -> TemporaryStorage:
    return TemporaryStorage(
        fetch_policy,
        name_account(url.base_url, url.api_key),
        cache=request.policy.upload_cache,
        max_retries=url.max_retries,
    )


async def _prepare(request: Request, storage: TemporaryStorage | None) -> Request:
    if not needs_io(request):
        return prepare_media(request, storage)
    if storage is None:
        return await asyncio.to_thread(prepare_media, request)
    # Not in the loop's own threads: who uploads waits for the loop, which looks up hosts in those,
    # and for others who upload the same.
    thread = ThreadPoolExecutor(1, thread_name_prefix="qwen-vl-upload")
    prepare = contextvars.copy_context().run
    try:
        return await asyncio.get_running_loop().run_in_executor(
            thread, prepare, prepare_media, request, storage
        )
    except asyncio.CancelledError:
        storage.cancel()
        raise
    finally:
        thread.shutdown(wait=False)


def _checked(reply: Reply) -> Reply:
    if reply.is_truncated:
        warnings.warn(
            "The service cut this answer at its time limit (x-dashscope-partialresponse). Stream "
            "the answer, or ask for a shorter one.",
            UserWarning,
            stacklevel=2,
        )
    return reply


class _Clients:
    """The clients of one process."""

    def __init__(self) -> None:
        self.sync: tuple[Connection, QwenVLClient] | None = None
        self.asynchronous: tuple[Connection, AsyncQwenVLClient] | None = None
        # Threads that begin together would each open connections of their own.
        self.making = threading.Lock()


class ClientCache:
    """The clients of one model object: made at their first use, made again when it changes.

    Deep copies and pickles of the object begin without any, since connections cannot be copied,
    and so does a forked child, whose connections would be its parent's.
    Shallow copies share the cache, and may use it from other threads: whoever asks gets a client
    of the connection asked for, whatever another has put here in the meantime.
    """

    def __init__(self) -> None:
        self._clients = ProcessLocal(_Clients)

    def sync(self, connection: Connection) -> QwenVLClient:
        """Give the client of this connection."""
        clients = self._clients.get()
        with clients.making:
            held = clients.sync
            if held is None or held[0] != connection:
                clients.sync = held = (connection, QwenVLClient(connection))
            return held[1]

    def asynchronous(self, connection: Connection) -> AsyncQwenVLClient:
        """Give the asynchronous client of this connection."""
        clients = self._clients.get()
        with clients.making:
            held = clients.asynchronous
            if held is None or held[0] != connection:
                clients.asynchronous = held = (connection, AsyncQwenVLClient(connection))
            return held[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> "ClientCache":
        return ClientCache()

    def __reduce__(self) -> tuple[type["ClientCache"], tuple[()]]:
        return ClientCache, ()
