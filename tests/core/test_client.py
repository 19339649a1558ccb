"""The core's own clients, without a framework."""

import asyncio
import gc
import io
import math
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from pydantic import SecretStr

from connection_pools import find_pools
from qwen_vl.client import AsyncQwenVLClient, ClientCache, QwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.content import Image, LocalFile, OpenFile, Text, Turn, Url
from qwen_vl.errors import APIConnectionError, ConfigurationError
from qwen_vl.request.build import build_connection
from qwen_vl.request.types import Request
from qwen_vl.samples import CHELSEA
from qwen_vl.settings import QwenVLSettings
from qwen_vl.transport.lifetime import Uninterrupted, open_ends
from qwen_vl_sandbox import Sandbox


@pytest.fixture
def connection(qwen_vl_sandbox: Sandbox) -> Connection:
    return Connection(base_url=qwen_vl_sandbox.base_url, api_key=SecretStr("sk-sandbox"))


def question(source: Url | LocalFile | OpenFile, *, stream: bool = False) -> Request:
    parts = (Image(source=source), Text(text="What is this?"))
    turn = Turn(role="user", parts=parts)
    return Request(model="qwen3-vl-plus", turns=(turn,), stream=stream)


async def test_async_client_sends_the_same_bytes(
    connection: Connection, qwen_vl_sandbox: Sandbox
) -> None:
    for stream in (False, True):
        request = question(LocalFile(CHELSEA, is_trusted=True), stream=stream)
        client = AsyncQwenVLClient(connection)
        by_async = await client.ask(request)
        by_sync = QwenVLClient(connection).ask(request)
        first, second = (recorded.body for recorded in qwen_vl_sandbox.requests[-2:])

        assert first == second
        assert by_async.text == by_sync.text


async def test_settings_for_another_service_stay_out(
    connection: Connection, qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A client of the SDK sends these to whatever endpoint it is given.
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Proxy-Token: secret")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    QwenVLClient(connection).ask(question(Url("https://example.com/a.png")))
    await AsyncQwenVLClient(connection).ask(question(Url("https://example.com/a.png")))

    for request in qwen_vl_sandbox.requests:
        assert (
            not {"openai-organization", "openai-project", "x-proxy-token"} & request.headers.keys()
        )
        assert request.headers["authorization"].endswith("dbox")
    assert len(qwen_vl_sandbox.requests) == 2


async def test_client_for_one_kind_of_calls_alone_does_not_serve_the_other(
    qwen_vl_sandbox: Sandbox,
) -> None:
    with openai.OpenAI(base_url=qwen_vl_sandbox.base_url, api_key="sk-own") as own:
        settings = QwenVLSettings(openai_client=own)
        request = question(Url("https://example.com/a.png"))
        assert QwenVLClient(build_connection(settings)).ask(request).text
        with pytest.raises(ConfigurationError, match="pass async_openai_client=… too"):
            await AsyncQwenVLClient(build_connection(settings)).ask(request)


async def test_async_client_reads_files_off_the_loop(connection: Connection) -> None:
    class Watched(io.BytesIO):
        thread: int | None = None

        def read(self, size: int | None = -1) -> bytes:
            self.thread = threading.get_ident()
            return super().read(size)

    watched = Watched(CHELSEA.read_bytes())
    await AsyncQwenVLClient(connection).ask(question(OpenFile(watched)))

    assert watched.thread not in {None, threading.get_ident()}


def test_client_in_a_cycle_leaves_nothing_open(connection: Connection) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            client = QwenVLClient(connection)
            client.ask(question(Url("https://example.com/a.png")))
            cycle = [client, find_pools(client._transport())[0]]
            cycle.append(cycle)
            del client, cycle
        gc.collect()


async def test_async_client_leaves_nothing_open(connection: Connection) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client = AsyncQwenVLClient(connection)
        await client.ask(question(Url("https://example.com/a.png")))
        del client
        gc.collect()


def test_cache_makes_one_client_for_one_connection(connection: Connection) -> None:
    cache = ClientCache()
    other = Connection(base_url="http://127.0.0.1:1/v1", api_key=SecretStr("sk"))
    first = cache.sync(connection)

    assert cache.sync(connection) is first
    assert cache.sync(other) is not first


def test_cache_gives_each_thread_the_client_asked_for(connection: Connection) -> None:
    cache = ClientCache()
    other = Connection(base_url="http://127.0.0.1:1/v1", api_key=SecretStr("sk-other"))
    wanted = [connection, other] * 100

    with ThreadPoolExecutor(8) as threads:
        # As shallow copies of one object, with another key each, would ask at the same time.
        values = list(threads.map(cache.sync, wanted))

    assert [client._connection for client in values] == wanted


def test_async_client_frees_the_loops_that_are_closed(connection: Connection) -> None:
    client = AsyncQwenVLClient(connection)
    request = question(Url("https://example.com/a.png"))
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def ask() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await client.ask(request)

    for _ in range(4):
        asyncio.run(ask())
    gc.collect()

    assert [loop() for loop in loops[:-1]] == [None, None, None]


def test_unreachable_client_of_the_caller_is_named_by_its_own_address() -> None:
    with openai.OpenAI(base_url="http://127.0.0.1:9/own/v1", api_key="sk", max_retries=0) as own:
        client = QwenVLClient(build_connection(QwenVLSettings(openai_client=own)))
        with pytest.raises(APIConnectionError, match=r"^http://127\.0\.0\.1:9/own/v1 cannot"):
            client.ask(question(Url("https://example.com/a.png")))


@pytest.mark.parametrize("n_requests", [1, 24])
def test_connections_are_closed_with_their_loop(connection: Connection, n_requests: int) -> None:
    pools = []

    async def ask() -> None:
        # Nobody has the client any more when the loop ends, and its tasks are cancelled.
        client = AsyncQwenVLClient(connection)
        request = question(Url("https://example.com/a.png"), stream=True)
        streams = [client.stream(request) for _ in range(n_requests)]
        # Each answer has begun, so that all connections are open at once.
        for stream in streams:
            await anext(stream)
        for stream in streams:
            assert [event async for event in stream]
        (held,) = client._loops.get().values()
        pools.extend(find_pools(held.pool.transport))

    asyncio.run(ask())
    gc.collect()
    assert [pool.connections for pool in pools] == [[]] * len(pools)
    assert len(pools) == math.ceil(n_requests / 8)


async def test_connections_are_closed_with_their_owner(connection: Connection) -> None:
    client = AsyncQwenVLClient(connection)
    await client.ask(question(Url("https://example.com/a.png")))
    (held,) = client._loops.get().values()
    (pool,), end = find_pools(held.pool.transport), held.pool._end
    del client, held
    gc.collect()
    for _ in range(20):
        await asyncio.sleep(0)
    assert pool.connections == []
    assert end not in open_ends


async def test_cancelled_closing_goes_on_to_its_end() -> None:
    steps = []

    async def close() -> None:
        for step in range(3):
            steps.append(step)
            await asyncio.sleep(0)

    async def wait() -> None:
        await Uninterrupted(close())

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == [0, 1, 2]


@pytest.mark.parametrize("server", ["vllm", "sglang"])
async def test_family_is_asked_for_by_the_served_name(server: Any) -> None:
    served = {"vision": "/models/Qwen2.5-VL-7B-Instruct-AWQ", "eyes": "Qwen/Qwen3-VL-8B-Instruct"}
    with Sandbox(server=server, served_models=served) as sandbox:
        connection = Connection(base_url=sandbox.base_url, api_key=SecretStr("sk-sandbox"))
        client, asynchronous = QwenVLClient(connection), AsyncQwenVLClient(connection)
        for name, family in (("vision", "qwen2_5_vl"), ("eyes", "qwen3_vl")):
            assert client.detect_model_family(name) == family
            assert await asynchronous.detect_model_family(name) == family


@pytest.mark.parametrize(
    ("server", "served", "words"),
    [
        ("vllm", {"vision": "/models/7b"}, r"has root '/models/7b' for it\. Set model_family="),
        ("vllm", {"other": "Qwen/Qwen3-VL-8B-Instruct"}, r"has no root for it"),
        ("llamacpp", {"vision": "Qwen/Qwen3-VL-8B-Instruct"}, r"has no root for it"),
    ],
)
def test_family_that_the_server_does_not_tell_is_an_error(
    server: Any, served: dict[str, str], words: str
) -> None:
    with Sandbox(server=server, served_models=served) as sandbox:
        connection = Connection(base_url=sandbox.base_url, api_key=SecretStr("sk-sandbox"))
        with pytest.raises(ConfigurationError, match=words):
            QwenVLClient(connection).detect_model_family("vision")
