"""The core's own clients, without a framework."""

import gc
import io
import threading
import warnings

import pytest
from pydantic import SecretStr

from qwen_vl.client import AsyncQwenVLClient, ClientCache, QwenVLClient
from qwen_vl.content import Image, LocalFile, OpenFile, Text, Turn, Url
from qwen_vl.request import Request
from qwen_vl.samples import CHELSEA
from qwen_vl.sandbox import Sandbox
from qwen_vl.settings import Connection


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


async def test_async_client_reads_files_off_the_loop(connection: Connection) -> None:
    class Watched(io.BytesIO):
        thread: int | None = None

        def read(self, size: int | None = -1) -> bytes:
            self.thread = threading.get_ident()
            return super().read(size)

    watched = Watched(CHELSEA.read_bytes())
    await AsyncQwenVLClient(connection).ask(question(OpenFile(watched)))

    assert watched.thread not in {None, threading.get_ident()}


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
