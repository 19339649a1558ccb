"""The way to the endpoint and back: media made ready, the request sent, the answer read."""

import asyncio
import contextvars
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from qwen_vl.connection import Connection
from qwen_vl.errors import ConfigurationError, ServiceError, warn
from qwen_vl.generators import Owned
from qwen_vl.media import needs_io, prepare_media, wants_upload
from qwen_vl.media.unfetched import drop_unfetched
from qwen_vl.media.upload.policy import UploadPolicy
from qwen_vl.media.upload.send import wait_unless
from qwen_vl.media.upload.storage import TemporaryStorage, name_account
from qwen_vl.process_local import (
    Process,
    ProcessBoundAsyncIterator,
    ProcessBoundIterator,
    ProcessLocal,
    current_process,
)
from qwen_vl.reply import Delta, Reply, ReplyBuilder, Usage
from qwen_vl.request.types import Request
from qwen_vl.specs.batch_chat import resolve_upload_url
from qwen_vl.specs.endpoints import hide_password, to_native_url
from qwen_vl.specs.models import find_family
from qwen_vl.specs.processors import Family
from qwen_vl.specs.upload_hosts import UploadHosts
from qwen_vl.transport import (
    AsyncTransport,
    Endpoint,
    Outgoing,
    Transport,
    errors_translated,
    open_async_transport,
    open_transport,
)
from qwen_vl.transport.drain import adrain, drain
from qwen_vl.transport.flow import Flow, arun, run
from qwen_vl.transport.lifetime import Pool
from qwen_vl.transport.limits import Deadline, abounded
from qwen_vl.transport.logs import CallLog
from qwen_vl.wire.body import Body
from qwen_vl.wire.events import EventDecoder, to_delta
from qwen_vl.wire.markup import warn_of_misplaced
from qwen_vl.wire.openai.decode import find_model_root
from qwen_vl.wire.protocols import find_wire


class Reported(Protocol):
    """What an answer reports beside its content, for logs."""

    @property
    def usage(self) -> Usage | None:
        """What the request cost."""

    @property
    def request_id(self) -> str | None:
        """The service's id of the request."""


_Answered = TypeVar("_Answered", bound=Reported)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post(Generic[_Answered]):
    """A request for something other than an answer of a chat model.

    Args:
        request: Its model and headers, limits of time, and media, which is prepared or to be
            uploaded.
        find_path: Returns where it goes, from the base URL of the endpoint.
        encode: Writes its body, once all media can be sent.
        decode: Reads the body and headers of the answer.
    """

    request: Request
    find_path: Callable[[str], str]
    encode: Callable[[Request], Body]
    decode: Callable[[bytes, Mapping[str, str]], _Answered]


class _BaseClient(ABC):
    """What both clients share: all but how a step is waited for."""

    _url: str
    _next: Callable[..., Any]

    @abstractmethod
    def stream(self, request: Request) -> Any:
        """Return the answer in pieces, as they are received."""

    def _ask(self, request: Request) -> Flow[Reply]:
        if request.stream:
            builder, take_next = ReplyBuilder(), partial(self._next, self.stream(request), None)
            while (delta := (yield take_next)) is not None:
                builder.add(delta)
            return _checked(builder.reply())
        deadline = Deadline.start(request.deadline)
        storage = yield partial(self._open_storage, request, deadline)
        asked = _Asked(request, storage)
        while True:
            transport = yield self._transport
            prepared = yield partial(self._prepare, asked.request, storage, deadline)
            outgoing = _to_outgoing(prepared, transport, deadline)
            log = CallLog(self._url, prepared)
            try:
                log.log_request(outgoing)
                with errors_translated(self._url):
                    answer = yield partial(transport.send, outgoing)
                reply = find_wire(request.protocol).decode(answer.content, answer.headers, prepared)
                log.log_answer(reply.usage, reply.request_id)
                warn_of_misplaced(
                    prepared,
                    text=reply.text,
                    has_reasoning=bool(reply.reasoning),
                    has_calls=bool(reply.tool_calls),
                    finish_reason=reply.finish_reason,
                )
                return _checked(reply)
            except ServiceError as error:
                log.log_error(error)
                asked.find_remedy(error)

    def _post(self, post: Post[_Answered]) -> Flow[_Answered]:
        deadline = Deadline.start(post.request.deadline)
        storage = yield partial(self._open_storage, post.request, deadline)
        while True:
            transport = yield self._transport
            prepared = post.request
            if wants_upload(prepared):
                prepared = yield partial(self._prepare, prepared, storage, deadline)
            outgoing = Outgoing(
                post.find_path(transport.base_url),
                post.encode(prepared),
                find_wire("openai").headers(prepared),
                timeout=prepared.timeout,
                queue_seconds=prepared.queue_seconds,
                deadline=deadline,
            )
            log = CallLog(self._url, prepared)
            try:
                log.log_request(outgoing)
                with errors_translated(self._url):
                    answer = yield partial(transport.send, outgoing)
                answered = post.decode(answer.content, answer.headers)
            except ServiceError as error:
                log.log_error(error)
                if storage is None or not storage.forgets(error):
                    raise
            else:
                log.log_answer(answered.usage, answered.request_id)
                return answered

    def _detect_family(self, model: str) -> Flow[Family]:
        transport = yield self._transport
        with errors_translated(self._url):
            answer = yield partial(transport.send, Outgoing("/models"))
        root = find_model_root(answer.content, model)
        family = find_family(root or model)
        if family is None:
            said = f"root {root!r}" if root else "no root"
            raise ConfigurationError(
                f"Cannot determine the family of {model!r}: the server's list of models has {said} "
                'for it. Set model_family="qwen2_5_vl" or "qwen3_vl".'
            )
        return family

    @abstractmethod
    def _open_storage(self, request: Request, deadline: Deadline | None) -> Any:
        """Return where files are uploaded to, if the request needs it."""

    @abstractmethod
    def _transport(self) -> Any:
        """Return what sends requests."""

    @abstractmethod
    def _prepare(
        self, request: Request, storage: TemporaryStorage | None, deadline: Deadline | None
    ) -> Any:
        """Return the request with its media ready."""


class QwenVLClient(_BaseClient):
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

    _next = staticmethod(next)

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
        return run(self._ask(request))

    def post(self, post: Post[_Answered]) -> _Answered:
        """Send a request for something other than an answer of a chat model.

        Args:
            post: What to send, and how to read the answer.

        Raises:
            ContentError: A part cannot be sent; nothing was.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        return run(self._post(post))

    def detect_model_family(self, model: str) -> Family:
        """Ask the server which model it serves under a name, for `Request.model_family`.

        Args:
            model: The name.

        Raises:
            ConfigurationError: The server does not report it.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        return run(self._detect_family(model))

    def stream(self, request: Request) -> ProcessBoundIterator[Delta]:
        """Get the answer in pieces, as they come.

        Args:
            request: What to ask, with `stream` set; without it the whole answer is one piece.

        Raises:
            ContentError: A part cannot be sent; nothing was.
            ServiceError: The endpoint answered with an error, or broke off.
            ConfigurationError: The stream was begun before this process was forked.
        """
        return ProcessBoundIterator(lambda: self._stream(request))

    def _stream(self, request: Request) -> Generator[Delta, None, None]:
        if not request.stream:
            yield to_delta(self.ask(request))
            return
        deadline = Deadline.start(request.deadline)
        storage = self._open_storage(request, deadline)
        asked = _Asked(request, storage)
        while True:
            try:
                prepared = prepare_media(asked.request, storage)
                yield from self._stream_once(prepared, asked, deadline)
            except ServiceError as error:
                asked.find_remedy(error)
            else:
                return

    def _stream_once(
        self, request: Request, asked: "_Asked", deadline: Deadline | None
    ) -> Generator[Delta, None, None]:
        transport = self._transport()
        outgoing = _to_outgoing(request, transport, deadline)
        log = CallLog(self._url, request)
        log.log_request(outgoing)
        try:
            with errors_translated(self._url):
                response = transport.stream(outgoing)
            decoder = find_wire(request.protocol).decoder(
                response.headers, request, self._connection.max_response_bytes
            )
            try:
                with errors_translated(self._url, decoder):
                    chunks = response.iter_bytes()
                    for raw in chunks:
                        yield from log.watch(decoder.feed(raw))
                        if decoder.is_done:
                            drain(response.response, chunks)
                            break
                yield from log.watch(decoder.finish())
                _check_end(decoder, request)
            finally:
                asked.confirm(decoder)
                response.close()
        except ServiceError as error:
            log.log_error(error)
            raise
        log.log_answer()

    def _open_storage(self, request: Request, deadline: Deadline | None) -> TemporaryStorage | None:
        if not wants_upload(request):
            return None
        transport = self._transport()
        url = _uploads_url(transport)
        if url is None:
            return None

        def fetch_policy(model: str, _cancelled: threading.Event) -> UploadPolicy:
            with errors_translated(self._url):
                answer = transport.send(_to_policy_request(url, model, deadline))
            return UploadPolicy.read(answer.content)

        return _make_storage(fetch_policy, transport, request)

    def _prepare(
        self, request: Request, storage: TemporaryStorage | None, deadline: Deadline | None
    ) -> Request:
        del deadline  # A thread cannot be stopped in the middle of it.
        return prepare_media(request, storage)

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
    # A forked child's copies are not touched: their locks may be held forever, and what is said
    # on their connections is said on the parent's.
    if process is current_process():
        transport.close()


class AsyncQwenVLClient(_BaseClient):
    """Asks a Qwen VL endpoint without blocking the event loop.

    Files are read and images encoded in a thread. Connections belong to the loop that opened
    them, so each loop gets its own pool.

    Args:
        connection: How to reach the endpoint.
    """

    _next = staticmethod(anext)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._url = _show_url(connection.async_openai_client or connection)
        self._loops: ProcessLocal[dict[asyncio.AbstractEventLoop, _LoopState]] = ProcessLocal(dict)

    async def ask(self, request: Request) -> Reply:
        """Get the whole answer; see `QwenVLClient.ask`."""
        return await arun(self._ask(request))

    async def post(self, post: Post[_Answered]) -> _Answered:
        """Send a request; see `QwenVLClient.post`."""
        return await arun(self._post(post))

    async def detect_model_family(self, model: str) -> Family:
        """Ask the server for a model; see `QwenVLClient.detect_model_family`."""
        return await arun(self._detect_family(model))

    def stream(self, request: Request) -> ProcessBoundAsyncIterator[Delta]:
        """Get the answer in pieces, as they come; see `QwenVLClient.stream`."""
        return ProcessBoundAsyncIterator(lambda: self._stream(request))

    async def _stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        if not request.stream:
            yield to_delta(await self.ask(request))
            return
        deadline = Deadline.start(request.deadline)
        storage = await self._open_storage(request, deadline)
        asked = _Asked(request, storage)
        while True:
            response = decoder = None
            transport = await self._transport()
            prepared = await self._prepare(asked.request, storage, deadline)
            log = CallLog(self._url, prepared)
            try:
                outgoing = _to_outgoing(prepared, transport, deadline)
                log.log_request(outgoing)
                with errors_translated(self._url):
                    response = await transport.stream(outgoing)
                decoder = find_wire(request.protocol).decoder(
                    response.headers, prepared, self._connection.max_response_bytes
                )
                with errors_translated(self._url, decoder):
                    async with Owned(response.aiter_bytes(), with_inner=True) as chunks:
                        async for raw in chunks:
                            for delta in log.watch(decoder.feed(raw)):
                                yield delta
                            if decoder.is_done:
                                await adrain(chunks)
                                break
                for delta in log.watch(decoder.finish()):
                    yield delta
                _check_end(decoder, prepared)
            except ServiceError as error:
                log.log_error(error)
                asked.confirm(decoder)
                asked.find_remedy(error)
            else:
                log.log_answer()
                return
            finally:
                if response is not None:
                    await response.close()

    async def _open_storage(
        self, request: Request, deadline: Deadline | None
    ) -> TemporaryStorage | None:
        if not wants_upload(request):
            return None
        transport = await self._transport()
        url = _uploads_url(transport)
        if url is None:
            return None
        loop = asyncio.get_running_loop()

        async def fetch() -> bytes:
            answer = await transport.send(_to_policy_request(url, request.model, deadline))
            return answer.content

        def fetch_policy(_model: str, cancelled: threading.Event) -> UploadPolicy:
            # Asked in the thread that prepares the media, answered by the loop's own connections.
            fetching = asyncio.run_coroutine_threadsafe(fetch(), loop)
            with errors_translated(self._url):
                return UploadPolicy.read(wait_unless(cancelled, fetching))

        return _make_storage(fetch_policy, transport, request)

    async def _transport(self) -> AsyncTransport:
        loop = asyncio.get_running_loop()
        loops = self._loops.get()
        held = loops.get(loop)
        if held is None:
            _forget_closed_loops(loops)
            held = loops[loop] = _LoopState()
        if held.pool is None:
            # Otherwise each of the tasks that begin together would open a transport.
            async with held.opening:
                if held.pool is None:
                    # Certificates, the environment and packages are read in a thread.
                    pool = Pool(await asyncio.to_thread(open_async_transport, self._connection))
                    await pool.close_with(self, loop)
                    held.pool = pool
        return held.pool.transport

    async def _prepare(
        self, request: Request, storage: TemporaryStorage | None, deadline: Deadline | None
    ) -> Request:
        with errors_translated(self._url):
            return await abounded(deadline, lambda: _prepare(request, storage))


class _LoopState:
    """The connections of one event loop, opened by one of its tasks."""

    def __init__(self) -> None:
        self.opening = asyncio.Lock()
        self.pool: Pool | None = None


def _forget_closed_loops(loops: dict[asyncio.AbstractEventLoop, _LoopState]) -> None:
    # A pool refers to its loop, so that no loop would ever be freed by itself.
    for loop in list(loops):
        if loop.is_closed() and (held := loops.pop(loop, None)) and held.pool:
            held.pool.forget()


def _to_outgoing(request: Request, url: Endpoint, deadline: Deadline | None) -> Outgoing:
    """Write a request whose media is ready."""
    wire = find_wire(request.protocol)
    return Outgoing(
        wire.path(url.base_url),
        wire.encode(request),
        wire.headers(request),
        timeout=request.timeout,
        queue_seconds=request.queue_seconds,
        deadline=deadline,
    )


def _show_url(client: Any) -> str:
    return hide_password(str(client.base_url))


class _Asked:
    """What is asked in one call, and what is asked after an error that something can be done about.

    Args:
        request: As it was given.
        storage: Where its videos are uploaded to.
    """

    def __init__(self, request: Request, storage: TemporaryStorage | None) -> None:
        self.request = request
        self._storage = storage
        self._has_begun = False

    def confirm(self, decoder: EventDecoder | None) -> None:
        """Ask nothing again once an answer has begun: its beginning would come twice."""
        if decoder is not None and decoder.has_begun:
            self._has_begun = True
            if self._storage is not None:
                self._storage.confirm()

    def find_remedy(self, error: ServiceError) -> None:
        """Change what is asked next.

        Raises:
            ServiceError: `error`, where nothing can be done about it.
        """
        if self._storage is not None and self._storage.forgets(error):
            return
        shorter = None if self._has_begun else drop_unfetched(self.request, error)
        if shorter is None:
            raise error
        self.request = shorter


def _uploads_url(url: Endpoint) -> str | None:
    # unsure: no page says whether the host of Batch Chat takes uploads; the region's own does.
    base_url = resolve_upload_url(url.base_url)
    native = to_native_url(base_url)
    return native and f"{native}/uploads"


def _to_policy_request(url: str, model: str, deadline: Deadline | None) -> Outgoing:
    return Outgoing(url, params={"action": "getPolicy", "model": model}, deadline=deadline)


def _make_storage(
    fetch_policy: Callable[[str, threading.Event], UploadPolicy], url: Endpoint, request: Request
) -> TemporaryStorage:
    return TemporaryStorage(
        fetch_policy,
        name_account(url.base_url, url.api_key),
        UploadHosts(request.policy.upload_hosts, url.base_url),
        cache=request.policy.upload_cache,
        max_retries=url.max_retries,
    )


async def _prepare(request: Request, storage: TemporaryStorage | None) -> Request:
    if not needs_io(request):
        return prepare_media(request, storage)
    if storage is None:
        return await asyncio.to_thread(prepare_media, request)
    # Not in the loop's own threads: who uploads waits for the loop, which looks up hosts in those,
    # and for other uploads of the same file.
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


def _check_end(decoder: EventDecoder, request: Request) -> None:
    warn_of_misplaced(
        request,
        text=decoder.text,
        has_reasoning=decoder.has_reasoning,
        has_calls=bool(decoder.calls),
        finish_reason=decoder.reported.get("finish_reason"),
    )


def _checked(reply: Reply) -> Reply:
    if reply.is_truncated:
        warn(
            "The service cut this answer at its time limit (x-dashscope-partialresponse). Stream "
            "the answer, or ask for a shorter one."
        )
    return reply


class _Clients:
    """The clients of one process."""

    def __init__(self) -> None:
        self.sync: tuple[Connection, QwenVLClient] | None = None
        self.asynchronous: tuple[Connection, AsyncQwenVLClient] | None = None
        # Threads that begin together would each open separate connections.
        self.making = threading.Lock()


class ClientCache:
    """The clients of one model object: made at their first use, made again when it changes.

    Deep copies and pickles of the object begin without any, since connections cannot be copied,
    and so does a forked child, whose connections would be its parent's.
    Shallow copies share the cache, and may use it from other threads: each call gets a client
    of the connection asked for, whatever another has put here in the meantime.
    """

    def __init__(self) -> None:
        self._clients = ProcessLocal(_Clients)

    def sync(self, connection: Connection) -> QwenVLClient:
        """Return the client of this connection."""
        clients = self._clients.get()
        with clients.making:
            held = clients.sync
            if held is None or held[0] != connection:
                clients.sync = held = (connection, QwenVLClient(connection))
            return held[1]

    def asynchronous(self, connection: Connection) -> AsyncQwenVLClient:
        """Return the asynchronous client of this connection."""
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
