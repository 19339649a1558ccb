"""Clients that a forked child inherits: it opens its own connections, and spares the parent's."""

import asyncio
import ctypes
import gc
import io
import os
import ssl
import subprocess
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
from PIL import Image as Pillow
from pydantic import SecretStr

import forked
from forked import in_child
from qwen_vl.client import AsyncQwenVLClient, ClientCache, QwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.content import Document, Inline, Text, Turn
from qwen_vl.errors import ConfigurationError
from qwen_vl.media.pdf import renderer
from qwen_vl.process_local import ProcessLocal, current_process
from qwen_vl.request.types import Request
from qwen_vl.transport import connections, http

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork"),
    # Each waits for its child to end.
    pytest.mark.slow,
]


@pytest.fixture
def connection(echo_url: str) -> Connection:
    return Connection(base_url=echo_url, api_key=SecretStr("sk"), timeout=10)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def question(text: str, *, stream: bool = False, parts: tuple[Document, ...] = ()) -> Request:
    turn = Turn(role="user", parts=(*parts, Text(text=text)))
    return Request(model="qwen3-vl-plus", turns=(turn,), stream=stream)


def ask(client: QwenVLClient, text: str, *, stream: bool = False) -> list[str]:
    """Ask, and give what was answered and the port that the connection has."""
    return client.ask(question(text, stream=stream)).text.split(" from ")


async def ask_async(client: AsyncQwenVLClient, text: str, *, stream: bool = False) -> list[str]:
    """Ask, and give what was answered and the port that the connection has."""
    return (await client.ask(question(text, stream=stream))).text.split(" from ")


@pytest.mark.parametrize("stream", [False, True])
def test_child_opens_a_connection_of_its_own(connection: Connection, stream: bool) -> None:
    client = QwenVLClient(connection)
    _, parents = ask(client, "before")
    answered, childs = in_child(lambda: ask(client, "in the child", stream=stream))

    assert answered == "in the child"
    assert childs != parents
    # The parent's is still open, and still its own.
    assert ask(client, "after", stream=stream) == ["after", parents]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_child_makes_no_tls_context_for_plain_http(connection: Connection, way: str) -> None:
    # OpenSSL's locks may be held for ever there.
    ask(QwenVLClient(connection), "before")

    def ask_without_openssl() -> str:
        def refuse(*args: object, **kwargs: object) -> None:
            raise AssertionError("a TLS context was made")

        ssl.SSLContext = refuse  # type: ignore[assignment, misc]
        if way == "sync":
            return ask(QwenVLClient(connection), "in the child")[0]
        return asyncio.run(ask_async(AsyncQwenVLClient(connection), "in the child"))[0]

    assert in_child(ask_without_openssl) == "in the child"


@pytest.mark.parametrize("stream", [False, True])
def test_child_asks_in_an_event_loop_of_its_own(
    connection: Connection, loop: asyncio.AbstractEventLoop, stream: bool
) -> None:
    client = AsyncQwenVLClient(connection)
    _, parents = loop.run_until_complete(ask_async(client, "before"))
    answered, childs = in_child(
        lambda: asyncio.run(ask_async(client, "in the child", stream=stream))
    )

    assert answered == "in the child"
    assert childs != parents
    assert loop.run_until_complete(ask_async(client, "after")) == ["after", parents]


def test_processes_that_ask_at_the_same_time_get_their_own_answers(
    connection: Connection,
) -> None:
    client = QwenVLClient(connection)
    ask(client, "before")
    answered: list[str] = []

    def ask_often(who: str) -> list[str]:
        return [ask(client, f"{who} {number}")[0] for number in range(10)]

    thread = threading.Thread(target=lambda: answered.extend(ask_often("parent")))
    thread.start()
    by_child = in_child(lambda: ask_often("child"))
    thread.join()

    assert by_child == [f"child {number}" for number in range(10)]
    assert answered == [f"parent {number}" for number in range(10)]


def test_child_of_a_child_opens_a_connection_of_its_own(connection: Connection) -> None:
    client = QwenVLClient(connection)

    def fork_again() -> list[list[str]]:
        own = ask(client, "child")
        return [own, in_child(lambda: ask(client, "grandchild")), ask(client, "child")]

    ports = [ask(client, "parent")[1]]
    child, grandchild, again = in_child(fork_again)
    ports += [child[1], grandchild[1]]
    assert [child[0], grandchild[0], again] == ["child", "grandchild", child]
    assert len(set(ports)) == 3


def test_child_of_a_fork_without_hooks_opens_a_connection_of_its_own(
    connection: Connection,
) -> None:
    client = QwenVLClient(connection)
    _, parents = ask(client, "before")
    # As a program in C forks that has Python inside.
    answered, childs = in_child(lambda: ask(client, "in the child"), fork=ctypes.PyDLL(None).fork)

    assert answered == "in the child"
    assert childs != parents
    assert ask(client, "after") == ["after", parents]


def test_locks_that_were_held_at_the_fork_do_not_stop_the_child(
    connection: Connection, loop: asyncio.AbstractEventLoop
) -> None:
    cache = ClientCache()
    ask(cache.sync(connection), "before")
    loop.run_until_complete(ask_async(cache.asynchronous(connection), "before"))
    pages = io.BytesIO()
    Pillow.new("RGB", (64, 64)).save(pages, "PDF")
    pdf = Document(source=Inline(pages.getvalue()))

    def ask_all_ways() -> list[str]:
        request = question("with a document", parts=(pdf,))
        answers = [cache.sync(connection).ask(request).text]
        answers += asyncio.run(ask_async(cache.asynchronous(connection), "async"))
        return [answers[0].split(" from ")[0], answers[1]]

    with ExitStack() as held:
        # As threads hold them that are about to make a client, to open it, to choose a
        # connection, and to render a page.
        client = cache.sync(connection)
        held.enter_context(cache._clients.get().making)
        held.enter_context(client._state.get().opening)
        transport = client._state.get().transport
        assert isinstance(transport, http.HttpTransport)
        pooled = transport._client._transport
        assert isinstance(pooled, connections.PooledTransport)
        held.enter_context(pooled.slots._choosing)
        held.enter_context(renderer._processes.get().choosing)
        answers = in_child(ask_all_ways)

    assert answers == ["with a document", "async"]


def test_child_frees_what_it_inherited_without_closing_it(
    connection: Connection, loop: asyncio.AbstractEventLoop
) -> None:
    client, in_loop = QwenVLClient(connection), AsyncQwenVLClient(connection)
    parents = [ask(client, "before"), loop.run_until_complete(ask_async(in_loop, "before"))]
    held: list[Any] = [client, in_loop]
    del client, in_loop

    def free() -> list[bool]:
        # Warnings are errors here, those of finalizers too.
        freed = [weakref.ref(client) for client in held]
        held.clear()
        gc.collect()
        # As at the exit of a worker.
        weakref.finalize._exitfunc()  # type: ignore[attr-defined]
        return [client() is None for client in freed]

    assert in_child(free) == [True, True]
    # Nothing has been written to the loop from outside.
    with pytest.raises(BlockingIOError):
        loop._ssock.recv(1)  # type: ignore[attr-defined]
    client, in_loop = held
    assert ask(client, "before") == parents[0]
    assert loop.run_until_complete(ask_async(in_loop, "before")) == parents[1]


def test_child_that_leaves_the_parents_loop_spares_its_connections(
    connection: Connection, loop: asyncio.AbstractEventLoop
) -> None:
    client = AsyncQwenVLClient(connection)
    parents = loop.run_until_complete(ask_async(client, "before"))

    def leave() -> None:
        # What `asyncio.run` does in a child that was forked inside it and raises SystemExit.
        loop.run_until_complete(loop.shutdown_asyncgens())

    in_child(leave)
    assert loop.run_until_complete(ask_async(client, "before")) == parents


def test_stream_that_was_begun_before_the_fork_is_the_parents(connection: Connection) -> None:
    client = QwenVLClient(connection)
    stream = client.stream(question("a long answer", stream=True))
    text = next(stream).text
    held = [stream]

    def read() -> str:
        with pytest.raises(ConfigurationError, match="begun before the process was forked") as e:
            next(held[0])
        held[0].close()
        held.clear()
        gc.collect()
        return str(e.value)

    assert "Start a new stream" in in_child(read)
    text += "".join(delta.text for delta in stream)
    answered, port = text.split(" from ")
    assert answered == "a long answer"
    # It was read to its end on a connection that is kept.
    assert ask(client, "after") == ["after", port]


def test_async_stream_that_was_begun_before_the_fork_is_the_parents(
    connection: Connection, loop: asyncio.AbstractEventLoop
) -> None:
    client = AsyncQwenVLClient(connection)

    async def begin() -> Any:
        stream = client.stream(question("a long answer", stream=True))
        return stream, (await anext(stream)).text

    async def read_on(stream: AsyncIterator[Any]) -> str:
        return "".join([delta.text async for delta in stream])

    stream, text = loop.run_until_complete(begin())
    held = [stream]

    async def read_in_child() -> None:
        with pytest.raises(ConfigurationError, match="begun before the process was forked"):
            await anext(held[0])
        await held[0].aclose()
        held.clear()
        gc.collect()

    in_child(lambda: asyncio.run(read_in_child()))
    with pytest.raises(BlockingIOError):
        loop._ssock.recv(1)  # type: ignore[attr-defined]
    text += loop.run_until_complete(read_on(stream))
    assert text.startswith("a long answer from ")


def test_stream_that_nobody_has_read_can_be_read_in_the_child(connection: Connection) -> None:
    client = QwenVLClient(connection)
    stream = client.stream(question("unread", stream=True))
    text = in_child(lambda: "".join(delta.text for delta in stream))
    assert text.startswith("unread from ")


def test_client_of_the_caller_that_was_used_is_refused_in_the_child(echo_url: str) -> None:
    def make() -> openai.OpenAI:
        return openai.OpenAI(base_url=echo_url, api_key="sk", max_retries=0)

    def attempt(client: QwenVLClient) -> str:
        with pytest.raises(ConfigurationError) as error:
            ask(client, "in the child")
        return str(error.value)

    with make() as own:
        used = Connection(base_url=echo_url, api_key=None, openai_client=own)
        client = QwenVLClient(used)
        ask(client, "before")
        # Of a model that was made in the child, too: the client is the same.
        for inherited in (client, QwenVLClient(used)):
            message = in_child(lambda inherited=inherited: attempt(inherited))
            assert "openai_client=… was used before this process was forked" in message
            assert "Make the client, and the model that it is passed to, in the child" in message
        assert ask(client, "after")[0] == "after"

    with make() as unused:
        client = QwenVLClient(Connection(base_url=echo_url, api_key=None, openai_client=unused))
        assert in_child(lambda: ask(client, "in the child"))[0] == "in the child"


def test_async_client_of_the_caller_that_was_used_is_refused_in_the_child(
    echo_url: str, loop: asyncio.AbstractEventLoop
) -> None:
    own = openai.AsyncOpenAI(base_url=echo_url, api_key="sk", max_retries=0)
    client = AsyncQwenVLClient(Connection(base_url=echo_url, api_key=None, async_openai_client=own))
    loop.run_until_complete(ask_async(client, "before"))

    def attempt() -> str:
        with pytest.raises(ConfigurationError) as error:
            asyncio.run(ask_async(client, "in the child"))
        return str(error.value)

    assert "async_openai_client=… was used before" in in_child(attempt)
    assert loop.run_until_complete(ask_async(client, "after"))[0] == "after"
    loop.run_until_complete(own.close())


@pytest.fixture
def tls_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a server that speaks TLS."""
    certificate = tmp_path / "server.pem"
    make_certificate(certificate)
    context = ProcessLocal(lambda: ssl.create_default_context(cafile=certificate))
    monkeypatch.setattr(connections, "_tls_context", context)
    with forked.serve(str(certificate)) as port:
        yield f"https://localhost:{port}/v1"


def test_child_says_nothing_on_the_parents_tls_connections(tls_url: str) -> None:
    clients = [QwenVLClient(Connection(base_url=tls_url, api_key=SecretStr("sk")))]
    context = id(connections.tls_context())
    _, parents = ask(clients[0], "before")

    def use_and_free() -> list[Any]:
        answered = ask(clients[0], "in the child")
        clients.clear()
        gc.collect()
        return [*answered, id(connections.tls_context()) == context]

    answered, childs, is_inherited = in_child(use_and_free)
    assert (answered, is_inherited) == ("in the child", False)
    assert childs != parents
    assert ask(clients[0], "after") == ["after", parents]


def make_certificate(file: Path) -> None:
    """Write a key and a certificate of this machine."""
    options = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -batch"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    command = ["openssl", "req", *options.split(), *subject]
    key = file.with_suffix(".key")
    made = subprocess.run(
        [*command, "-keyout", str(key), "-out", str(file)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("openssl, which makes the certificate, is not installed")
    file.write_bytes(file.read_bytes() + key.read_bytes())


def test_values_are_made_once_for_a_process_by_however_many_threads() -> None:
    made: list[object] = []
    barrier = threading.Barrier(4)

    def make() -> object:
        made.append(object())
        return made[-1]

    value: ProcessLocal[object] = ProcessLocal(make)
    got: list[object] = []

    def get() -> None:
        barrier.wait()
        got.append(value.get())

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in got}) == 1
    assert in_child(lambda: value.get() is not got[0])


def test_process_with_the_id_of_a_dead_one_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    parent = current_process()
    parents = [parent.pid]

    def reuse() -> bool:
        # The system may give a child of a child the id that its grandparent had.
        return in_child(compare)

    def compare() -> bool:
        monkeypatch.setattr(os, "getpid", lambda: parents[0])
        return current_process() is parent

    assert in_child(reuse) is False


@pytest.mark.slow
@pytest.mark.parametrize("make", [QwenVLClient, AsyncQwenVLClient])
def test_many_children_and_threads_get_their_own_answers(
    connection: Connection, make: Callable[[Connection], Any]
) -> None:
    client = make(connection)

    def ask_once(text: str) -> list[str]:
        if isinstance(client, QwenVLClient):
            return ask(client, text)
        return asyncio.run(ask_async(client, text))

    def ask_often(who: str) -> list[str]:
        wrong = []
        for number in range(15):
            text = f"{who} {number}"
            answered, _ = ask_once(text)
            wrong += [] if answered == text else [f"{text}: {answered}"]
        return wrong

    ask_once("before")
    wrong: list[str] = []

    def fork(number: int) -> None:
        wrong.extend(in_child(lambda: ask_often(f"child {number}")))

    threads = [threading.Thread(target=fork, args=(number,)) for number in range(6)]
    threads += [
        threading.Thread(target=lambda n=number: wrong.extend(ask_often(f"thread {n}")))
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
