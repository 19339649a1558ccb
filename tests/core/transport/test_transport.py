"""Both ways to an endpoint: the package's own, and a client of the SDK that the program made."""

import asyncio
import io
import random
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import format_datetime, localtime
from pathlib import Path

import openai
import pytest
from PIL import Image as Pillow
from pydantic import SecretStr

from qwen_vl.client import AsyncQwenVLClient, QwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.content import DataUrl, Image, Inline, Text, Turn, Url
from qwen_vl.errors import (
    APIConnectionError,
    APITimeoutError,
    InvalidRequestError,
    PartialResponseError,
    RateLimitError,
    ServerError,
)
from qwen_vl.process_local import ProcessLocal
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_connection
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.transport import connections
from qwen_vl.transport.http import AsyncHttpTransport, HttpTransport
from qwen_vl.transport.retries import is_retryable, retry_delay
from qwen_vl.wire.body import Attachment, Body
from qwen_vl_sandbox import Sandbox

Ask = Callable[[Request], Reply]

WAYS = ("http", "async http", "sdk", "async sdk")


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest, qwen_vl_sandbox: Sandbox) -> Iterator[Ask]:
    """Asks by each way, with one attempt more than the first."""
    url, key = qwen_vl_sandbox.base_url, "sk-sandbox"
    connection = Connection(base_url=url, api_key=SecretStr(key), max_retries=1)
    options = {"base_url": url, "api_key": key, "max_retries": 1}
    match request.param:
        case "http":
            yield QwenVLClient(connection).ask
        case "async http":
            yield lambda asked: asyncio.run(AsyncQwenVLClient(connection).ask(asked))
        case "sdk":
            with openai.OpenAI(**options) as client:
                yield QwenVLClient(build_connection(QwenVLSettings(openai_client=client))).ask
        case "async sdk":

            async def ask_own(asked: Request) -> Reply:
                async with openai.AsyncOpenAI(**options) as client:
                    settings = QwenVLSettings(async_openai_client=client)
                    return await AsyncQwenVLClient(build_connection(settings)).ask(asked)

            yield lambda asked: asyncio.run(ask_own(asked))


def question(*, stream: bool = False, noise: int = 0, timeout: float | None = None) -> Request:
    image = Image(source=Inline(noisy_png(noise)) if noise else Url("https://example.com/a.png"))
    turn = Turn(role="user", parts=(image, Text(text="What is this?")))
    return Request(model="qwen3-vl-plus", turns=(turn,), stream=stream, timeout=timeout)


def noisy_png(side: int) -> bytes:
    file = io.BytesIO()
    noise = random.Random(1).randbytes(side * side * 3)  # noqa: S311 - no secret.
    Pillow.frombytes("RGB", (side, side), noise).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("stream", [False, True])
def test_question_is_answered(ask: Ask, stream: bool) -> None:
    assert "What is this?" in ask(question(stream=stream)).text


@pytest.mark.parametrize("stream", [False, True])
def test_body_of_many_pieces_is_sent_again(
    ask: Ask, stream: bool, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=503, retry_after=0.01)
    # A megabyte of PNG: three pieces, of which the last is padded.
    assert ask(question(stream=stream, noise=600)).text
    first, second = qwen_vl_sandbox.requests
    assert first.body == second.body
    assert len(first.body) > 1_400_000
    assert first.headers["content-length"] == str(len(first.body))


@pytest.mark.parametrize("stream", [False, True])
def test_passing_error_is_tried_as_often_as_allowed(
    ask: Ask, stream: bool, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=429, retry_after=0.01, times=3)
    with pytest.raises(RateLimitError):
        ask(question(stream=stream))
    assert len(qwen_vl_sandbox.requests) == 2


def test_lasting_error_is_tried_once(ask: Ask, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(status=400)
    with pytest.raises(InvalidRequestError):
        ask(question())
    assert len(qwen_vl_sandbox.requests) == 1


def test_time_limit_of_one_call(ask: Ask, qwen_vl_sandbox: Sandbox) -> None:
    # Long enough for a busy machine to connect.
    qwen_vl_sandbox.fail(latency=1, times=2)
    with pytest.raises(APITimeoutError, match=r"timeout=… \(seconds\)"):
        ask(question(timeout=0.4))
    assert len(qwen_vl_sandbox.requests) == 2


def test_connection_that_is_cut_in_mid_stream(ask: Ask, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(cut_after_chunks=3)
    with pytest.raises(PartialResponseError, match="was cut"):
        ask(question(stream=True))
    assert len(qwen_vl_sandbox.requests) == 1


@pytest.mark.parametrize(
    ("base_url", "reported"),
    [
        ("http://127.0.0.1:9/v1", "cannot be reached"),
        ("https://127.0.0.1:9/v1", "cannot be reached"),
    ],
)
def test_address_that_nobody_answers(base_url: str, reported: str) -> None:
    connection = Connection(base_url=base_url, api_key=SecretStr("sk"), max_retries=0)
    with pytest.raises(APIConnectionError, match=reported):
        QwenVLClient(connection).ask(question())


async def test_certificate_that_nobody_has_signed(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = Path(__file__).with_name("self_signed.pem")
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    connection = Connection(
        base_url=f"https://127.0.0.1:{port}/v1", api_key=SecretStr("sk"), max_retries=0
    )
    async with server:
        with pytest.raises(APIConnectionError, match="certificate verify failed"):
            await AsyncQwenVLClient(connection).ask(question())


def find_pooled(transport: object) -> connections.AsyncPooledTransport:
    assert isinstance(transport, AsyncHttpTransport)
    pooled = transport._client._transport
    assert isinstance(pooled, connections.AsyncPooledTransport)
    return pooled


async def test_requests_at_once_are_spread_and_their_connections_kept(
    qwen_vl_sandbox: Sandbox,
) -> None:
    connection = Connection(base_url=qwen_vl_sandbox.base_url, api_key=SecretStr("sk-sandbox"))
    client = AsyncQwenVLClient(connection)
    for _ in range(2):
        await asyncio.gather(*(client.ask(question()) for _ in range(20)))
    await client.ask(question())
    pooled = find_pooled(await client._transport())
    assert pooled.slots.n_taken == [0] * 3
    assert [len(pool._pool.connections) for pool in pooled.slots.pools] == [8, 8, 4]


async def test_stream_keeps_its_seat_until_it_is_closed(qwen_vl_sandbox: Sandbox) -> None:
    connection = Connection(base_url=qwen_vl_sandbox.base_url, api_key=SecretStr("sk-sandbox"))
    client = AsyncQwenVLClient(connection)
    streams = [client.stream(question(stream=True)) for _ in range(10)]
    for stream in streams:
        await anext(stream)
    pooled = find_pooled(await client._transport())
    assert pooled.slots.n_taken == [8, 2]
    for stream in streams:
        await stream.aclose()
    assert pooled.slots.n_taken == [0, 0]


async def test_slots_are_freed_on_errors_and_cancelled_calls(qwen_vl_sandbox: Sandbox) -> None:
    connection = Connection(
        base_url=qwen_vl_sandbox.base_url, api_key=SecretStr("sk-sandbox"), max_retries=0
    )
    client = AsyncQwenVLClient(connection)
    qwen_vl_sandbox.fail(status=500, times=2)
    qwen_vl_sandbox.fail(cut_after_chunks=2, times=2)
    qwen_vl_sandbox.fail(latency=20, times=2)
    for _ in range(2):
        with pytest.raises(ServerError):
            await client.ask(question())
    for _ in range(2):
        with pytest.raises(PartialResponseError):
            await client.ask(question(stream=True))
    for stream in (False, True):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.ask(question(stream=stream)), 0.1)
    pooled = find_pooled(await client._transport())
    assert pooled.slots.n_taken == [0]
    assert all(
        connection.is_idle() or connection.is_closed()
        for connection in pooled.slots.pools[0]._pool.connections
    )


def test_certificates_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    n_read = 0

    def read() -> ssl.SSLContext:
        nonlocal n_read
        n_read += 1
        return ssl.create_default_context()

    connection = Connection(base_url="https://example.com/v1", api_key=SecretStr("sk"))
    monkeypatch.setattr(connections, "_tls_context", ProcessLocal(read))
    for _ in range(3):
        pooled = HttpTransport(connection)._client._transport
        assert isinstance(pooled, connections.PooledTransport)
        pooled.slots.take()
    assert n_read == 1


@pytest.mark.parametrize(
    ("status", "headers", "passes"),
    [
        (408, {}, True),
        (409, {}, True),
        (429, {}, True),
        (500, {}, True),
        (599, {}, True),
        (400, {}, False),
        (401, {}, False),
        (404, {}, False),
        (429, {"x-should-retry": "false"}, False),
        (400, {"x-should-retry": "true"}, True),
    ],
)
def test_what_passes(status: int, headers: dict[str, str], passes: bool) -> None:
    assert is_retryable(status, headers, b'{"error":{"message":"busy"}}') == passes


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"retry-after": "3"}, 3, 3),
        ({"retry-after": "0.25"}, 0.25, 0.25),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, 1.5),
        ({"retry-after": "61"}, 0.375, 0.5),
        ({"retry-after": "-1"}, 0.375, 0.5),
        ({"retry-after": "soon"}, 0.375, 0.5),
        ({"retry-after": "Mon, 01 Jan 99999 00:00:00 GMT"}, 0.375, 0.5),
        ({"retry-after": "Mon, 32 Foo 2026"}, 0.375, 0.5),
        ({"retry-after": "1e999"}, 0.375, 0.5),
        ({"retry-after": "nan"}, 0.375, 0.5),
        ({"retry-after": "9" * 400}, 0.375, 0.5),
        ({"retry-after": "\xff"}, 0.375, 0.5),
        ({"retry-after": "Mon, 01 Jan 2026 00:00:00 +9999999999"}, 0.375, 0.5),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2, 2),
        ({}, 0.375, 0.5),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], least: float, most: float) -> None:
    assert least <= retry_delay(0, headers) <= most


def test_wait_until_a_date() -> None:
    date = format_datetime(localtime() + timedelta(seconds=30))
    assert 28 <= retry_delay(0, {"retry-after": date}) <= 30


def test_waits_grow_to_eight_seconds() -> None:
    assert [retry_delay(n) <= 0.5 * 2**n for n in range(4)] == [True] * 4
    assert 6 <= retry_delay(100) <= 8


@pytest.mark.parametrize("n_bytes", [1, 2, 3, 384 * 1024 - 1, 384 * 1024, 384 * 1024 + 1, 10**6])
@pytest.mark.parametrize("is_bare", [False, True])
def test_body_is_as_long_as_it_says(n_bytes: int, is_bare: bool) -> None:
    data = random.Random(n_bytes).randbytes(n_bytes)  # noqa: S311 - no secret.
    raw = DataUrl("image/png", data, None, n_bytes)
    spelt = DataUrl("image/png", None, raw.url.partition(",")[2].encode(), n_bytes)
    for url in (raw, spelt):
        body = Body.write({"a": ["é", Attachment(url, is_bare=is_bare)], "b": 1})
        address = url.url.partition(",")[2] if is_bare else url.url
        assert bytes(body) == f'{{"a":["é","{address}"],"b":1}}'.encode()
        assert len(body) == len(bytes(body)) == sum(map(len, body))
        assert max(map(len, body)) <= 512 * 1024


def test_text_cannot_stand_in_for_media() -> None:
    url = DataUrl("image/png", b"abc", None, 3)
    bodies = [bytes(Body.write({"text": "", "url": Attachment(url)})) for _ in range(2)]
    assert bodies[0] == bodies[1] == b'{"text":"","url":"data:image/png;base64,YWJj"}'
