"""Servers that drip, redirect, cut, flood and compress badly: each ends in an answer or an error.

Each is asked in the eight ways that users have: LangChain's four and LlamaIndex's four.
"""

import asyncio
import gzip
import pickle
import socket
import time
import zlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    InvalidRequestError,
    PartialResponseError,
    QwenVLError,
    RateLimitError,
    ServiceError,
)
from scripted_server import STREAM, WHOLE, Handle, Server, answer, event, good_answer

KEY = "sk-very-secret-0123456789"
PROMPT = "WORDS-OF-THE-PROMPT"


def drip(connection: socket.socket, data: bytes, *, seconds: float = 20) -> None:
    """Send a byte each 20 ms, and begin again at the end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(0.02)


# The eight ways


def ask_langchain(url: str, **options: Any) -> str:
    return ChatQwenVL(base_url=url, api_key=KEY, **options).invoke([HumanMessage(PROMPT)]).text


def stream_langchain(url: str, **options: Any) -> str:
    model = ChatQwenVL(base_url=url, api_key=KEY, **options)
    return "".join(chunk.text for chunk in model.stream([HumanMessage(PROMPT)]))


async def aask_langchain(url: str, **options: Any) -> str:
    model = ChatQwenVL(base_url=url, api_key=KEY, **options)
    return (await model.ainvoke([HumanMessage(PROMPT)])).text


async def astream_langchain(url: str, **options: Any) -> str:
    model = ChatQwenVL(base_url=url, api_key=KEY, **options)
    return "".join([chunk.text async for chunk in model.astream([HumanMessage(PROMPT)])])


def ask_llama_index(url: str, **options: Any) -> str:
    llm = QwenVL(base_url=url, api_key=KEY, **options)
    return str(llm.chat([ChatMessage(PROMPT)]).message.content)


def stream_llama_index(url: str, **options: Any) -> str:
    llm = QwenVL(base_url=url, api_key=KEY, **options)
    return "".join(part.delta or "" for part in llm.stream_chat([ChatMessage(PROMPT)]))


async def aask_llama_index(url: str, **options: Any) -> str:
    llm = QwenVL(base_url=url, api_key=KEY, **options)
    return str((await llm.achat([ChatMessage(PROMPT)])).message.content)


async def astream_llama_index(url: str, **options: Any) -> str:
    llm = QwenVL(base_url=url, api_key=KEY, **options)
    parts = await llm.astream_chat([ChatMessage(PROMPT)])
    return "".join([part.delta or "" async for part in parts])


def run(ask: Callable[..., Awaitable[str]]) -> Callable[..., str]:
    async def awaited(url: str, options: dict[str, Any]) -> str:
        return await ask(url, **options)

    return lambda url, **options: asyncio.run(awaited(url, options))


WHOLE_WAYS = {
    "invoke": ask_langchain,
    "ainvoke": run(aask_langchain),
    "chat": ask_llama_index,
    "achat": run(aask_llama_index),
}
STREAM_WAYS = {
    "stream": stream_langchain,
    "astream": run(astream_langchain),
    "stream_chat": stream_llama_index,
    "astream_chat": run(astream_llama_index),
}
Ask = Callable[..., str]


LLAMA_INDEX_WAYS = {"chat", "achat", "stream_chat", "astream_chat"}


def to_params(ways: Iterable[str]) -> list[Any]:
    """Mark half of the ways as slow: both frameworks ask by the same clients."""
    return [
        pytest.param(way, marks=[pytest.mark.slow] if way in LLAMA_INDEX_WAYS else [])
        for way in ways
    ]


@pytest.fixture(params=to_params([*WHOLE_WAYS, *STREAM_WAYS]))
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks in one of the eight ways."""
    return {**WHOLE_WAYS, **STREAM_WAYS}[request.param]


@pytest.fixture(params=to_params(STREAM_WAYS))
def stream(request: pytest.FixtureRequest) -> Ask:
    """Asks in one of the four ways that stream."""
    return STREAM_WAYS[request.param]


@pytest.fixture(params=to_params(WHOLE_WAYS))
def ask_whole(request: pytest.FixtureRequest) -> Ask:
    """Asks in one of the four ways that do not stream."""
    return WHOLE_WAYS[request.param]


# Deadlines


def send_nothing(connection: socket.socket, _request: bytes) -> None:
    connection.settimeout(20)
    connection.recv(1)


def drip_head(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    drip(connection, b"x-slow: yes\r\n")


def drip_body(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    drip(connection, b" ")


def drip_gzip(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 100000\r\n\r\n"
    )
    drip(connection, gzip.compress(b" " * 10**6)[:200])


def ping(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    drip(connection, b": ping\n\n")


def drip_error(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 100000\r\n\r\n")
    drip(connection, b" ")


def busy(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(answer(b"{}", "retry-after: 5", status="503 Busy"))


@pytest.mark.parametrize(
    "handle",
    [
        drip_head,
        ping,
        *(pytest.param(h, marks=pytest.mark.slow) for h in (send_nothing, drip_body)),
        *(pytest.param(h, marks=pytest.mark.slow) for h in (drip_gzip, drip_error)),
    ],
)
def test_deadline_ends_a_call_whatever_the_server_sends(
    ask: Ask, serve: Callable[..., Server], handle: Handle
) -> None:
    start = time.monotonic()
    with pytest.raises(APITimeoutError, match=r"deadline=0\.15 seconds"):
        ask(serve(handle).url, deadline=0.15)
    # The servers go on for 20 s.
    assert time.monotonic() - start < 10


def test_deadline_is_not_waited_for_between_attempts(
    ask: Ask, serve: Callable[..., Server]
) -> None:
    server = serve(busy)
    with pytest.raises(ServiceError) as caught:
        ask(server.url, deadline=1)
    # The next attempt would begin after it.
    assert caught.value.status == 503
    assert len(server.requests) == 1


def test_call_within_its_deadline_is_answered(ask: Ask, serve: Callable[..., Server]) -> None:
    server = serve(lambda connection, request: connection.sendall(good_answer(request)))
    assert ask(server.url, deadline=30) == "A cat."


def test_deadline_of_one_call(serve: Callable[..., Server]) -> None:
    model = ChatQwenVL(base_url=serve(ping).url, api_key=KEY, deadline=60)
    with pytest.raises(APITimeoutError, match=r"deadline=0\.2"):
        model.invoke(PROMPT, deadline=0.2)


@pytest.mark.parametrize("handle", [drip_head, pytest.param(drip_body, marks=pytest.mark.slow)])
def test_deadline_ends_a_call_through_a_proxy(
    ask: Ask, serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, handle: Handle
) -> None:
    monkeypatch.setenv("HTTP_PROXY", serve(handle).origin)
    start = time.monotonic()
    with pytest.raises(APITimeoutError, match=r"deadline=0\.15 seconds"):
        ask("http://far.invalid/v1", deadline=0.15)
    # The proxy goes on for 20 s.
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("deadline", [0, -1, "5", float("nan"), True])
def test_deadline_of_one_call_is_checked(deadline: Any) -> None:
    model = ChatQwenVL(base_url="http://127.0.0.1:9/v1", api_key=KEY)
    with pytest.raises(ConfigurationError, match=r"deadline .* above 0"):
        model.invoke(PROMPT, deadline=deadline)


@pytest.mark.parametrize("seconds", [float("inf"), 1e10])
@pytest.mark.parametrize("name", ["timeout", "deadline"])
def test_more_seconds_than_can_be_counted_do_not_limit(
    ask: Ask, serve: Callable[..., Server], name: str, seconds: float
) -> None:
    server = serve(lambda connection, request: connection.sendall(good_answer(request)))
    options = {"timeout": (None, None), name: seconds}
    assert ask(server.url, **options) == "A cat."


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_to_another_origin_is_not_followed(
    ask: Ask, serve: Callable[..., Server], status: int
) -> None:
    other = serve(lambda connection, request: connection.sendall(good_answer(request)))
    location = f"location: {other.url}/chat/completions?token=hidden"
    server = serve(
        lambda connection, _: connection.sendall(answer(b"", location, status=f"{status} Moved"))
    )
    with pytest.raises(InvalidRequestError, match=f"redirects to {other.url}") as caught:
        ask(server.url, default_headers={"X-Team-Token": "team-secret"})
    assert caught.value.status == status
    assert "hidden" not in str(caught.value)
    assert other.requests == []
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [307, 308])
def test_redirect_within_the_origin_is_followed(
    ask: Ask, serve: Callable[..., Server], status: int
) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        if b" /v1/chat/completions " in request:
            moved = answer(b"", "location: /v2/chat/completions", status=f"{status} Moved")
            connection.sendall(moved)
        else:
            connection.sendall(good_answer(request))

    server = serve(handle)
    assert ask(server.url) == "A cat."
    first, second = server.requests
    assert first.partition(b"\r\n\r\n")[2] == second.partition(b"\r\n\r\n")[2]
    assert f"authorization: bearer {KEY}".encode() in second.lower()


def test_redirect_in_a_circle_ends(ask_whole: Ask, serve: Callable[..., Server]) -> None:
    server = serve(
        lambda connection, _: connection.sendall(
            answer(b"", "location: /v1/chat/completions", status="307 Moved")
        )
    )
    with pytest.raises(InvalidRequestError, match="redirects to"):
        ask_whole(server.url)
    assert len(server.requests) == 6


# Sizes


# 20 MB in 20 KB.
BOMB = gzip.compress(b" " * 20_000_000, 9)


def flood(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(answer(BOMB, "content-encoding: gzip"))


def flood_events(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    while True:
        connection.sendall(event({"content": "meow " * 1000}))


def test_answer_that_unpacks_to_too_much_is_not_read(
    ask: Ask, serve: Callable[..., Server]
) -> None:
    with pytest.raises(PartialResponseError, match="max_response_bytes=1000000"):
        ask(serve(flood).url, max_response_bytes=1_000_000)


def test_stream_without_end_is_not_read_for_ever(stream: Ask, serve: Callable[..., Server]) -> None:
    with pytest.raises(PartialResponseError, match="max_response_bytes=1000000") as caught:
        stream(serve(flood_events).url, max_response_bytes=1_000_000)
    assert caught.value.text.startswith("meow meow")


# Broken answers


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd"])
def test_damaged_compression(ask: Ask, serve: Callable[..., Server], encoding: str) -> None:
    server = serve(
        lambda connection, _: connection.sendall(
            answer(b"\x1f\x8bno such thing" * 10, f"content-encoding: {encoding}")
        )
    )
    with pytest.raises(ServiceError) as caught:
        ask(server.url)
    assert_is_clean(caught.value)


def test_compressed_answer_is_read(ask: Ask, serve: Callable[..., Server]) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        body = STREAM if b'"stream":true' in request else WHOLE
        connection.sendall(answer(zlib.compress(body), "content-encoding: deflate"))

    assert ask(serve(handle).url) == "A cat."


def test_answer_that_broke_off_is_not_asked_for_again(
    ask_whole: Ask, serve: Callable[..., Server]
) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        connection.sendall(good_answer(request)[:-20])
        connection.close()

    server = serve(handle)
    with pytest.raises(PartialResponseError, match="was cut"):
        ask_whole(server.url)
    assert len(server.requests) == 1


def test_answer_that_broke_off_is_asked_for_again_where_that_is_wanted(
    ask_whole: Ask, serve: Callable[..., Server]
) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        if len(server.requests) == 1:
            connection.sendall(good_answer(request)[:-20])
            connection.close()
        else:
            connection.sendall(good_answer(request))

    server = serve(handle)
    assert ask_whole(server.url, retry_partial_answers=True) == "A cat."
    assert len(server.requests) == 2


def test_connection_that_is_cut_before_the_answer_is_tried_again(
    ask: Ask, serve: Callable[..., Server]
) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        if len(server.requests) == 1:
            connection.close()
        else:
            connection.sendall(good_answer(request))

    server = serve(handle)
    assert ask(server.url) == "A cat."
    assert len(server.requests) == 2


@pytest.mark.parametrize("closes", [True, False])
def test_early_413_is_read_while_the_body_is_being_sent(
    ask: Ask, serve: Callable[..., Server], closes: bool
) -> None:
    explanation = b'{"error":{"message":"The request is too large for this gateway"}}'

    def handle(connection: socket.socket, _request: bytes) -> None:
        headers = ["connection: close"] if closes else []
        connection.sendall(answer(explanation, *headers, status="413 Too Large"))
        if not closes:
            # As gateways do: what is still sent is read, and thrown away.
            while connection.recv(65_536):
                pass

    server = serve(handle, reads_body=False)
    with pytest.raises(InvalidRequestError, match="too large for this gateway") as caught:
        ask(server.url, max_retries=0, model_kwargs={"metadata": {"padding": "x" * 5_000_000}})
    assert caught.value.status == 413


def test_error_whose_explanation_breaks_off_keeps_its_status(
    ask: Ask, serve: Callable[..., Server]
) -> None:
    def handle(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 429 Slow\r\ncontent-length: 500\r\n\r\n{")
        connection.close()

    with pytest.raises(RateLimitError):
        ask(serve(handle).url, max_retries=0)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"\x1f\x8bno such thing", ["content-encoding: gzip"]),
        (b"x" * 500, []),
        (b"", ["x-note: zu viele Anfragen, Jürgen"]),
        (b"", ["location: http://exämple.com/"]),
    ],
    ids=["damaged", "too long", "header", "location"],
)
def test_error_that_cannot_be_read_keeps_its_status(
    ask: Ask, serve: Callable[..., Server], body: bytes, headers: list[str]
) -> None:
    refused = answer(body, *headers, "retry-after-ms: 1", status="429 Slow")
    server = serve(lambda connection, _: connection.sendall(refused))
    with pytest.raises(RateLimitError):
        ask(server.url, max_retries=1, max_response_bytes=100)
    assert len(server.requests) == 2


def test_retry_after_that_is_no_text(ask_whole: Ask, serve: Callable[..., Server]) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        if len(server.requests) == 1:
            connection.sendall(
                answer(b"", "retry-after: @", status="503 Busy").replace(b"@", b"\xff")
            )
        else:
            connection.sendall(good_answer(request))

    server = serve(handle)
    assert ask_whole(server.url) == "A cat."


def test_cookies_are_not_sent_back(ask: Ask, serve: Callable[..., Server]) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        head, _, body = good_answer(request).partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\nset-cookie: session=1; Path=/\r\n\r\n" + body)

    server = serve(handle)
    model = ChatQwenVL(base_url=server.url, api_key=KEY)
    assert [model.invoke(PROMPT).text for _ in range(2)] == ["A cat."] * 2
    assert ask(server.url) == "A cat."
    assert not any(b"cookie:" in request.lower() for request in server.requests)


# What no error may hold


def assert_is_clean(error: BaseException) -> None:
    """Check that nothing of the request is in an error's text or pickle."""
    assert isinstance(error, QwenVLError)
    for text in (str(error), repr(error), repr(pickle.dumps(error))):
        assert KEY not in text
        assert PROMPT not in text
        assert "team-secret" not in text


@pytest.mark.parametrize(
    "handle", [send_nothing, drip_body, busy, flood, lambda connection, _: connection.close()]
)
def test_no_error_holds_the_request(ask: Ask, serve: Callable[..., Server], handle: Handle) -> None:
    with pytest.raises(QwenVLError) as caught:
        ask(
            serve(handle).url,
            deadline=0.15,
            max_retries=0,
            max_response_bytes=100_000,
            default_headers={"X-Team-Token": "team-secret"},
        )
    assert_is_clean(caught.value)


@pytest.mark.parametrize(
    "base_url",
    [
        "ftp://127.0.0.1/v1",
        "127.0.0.1:9/v1",
        "http://",
        "http://[::1/v1",
        "http://127.0.0.1:99999999/v1",
        "http://exa mple.com/v1",
        "http://127.0.0.1:9/v1?x=1",
    ],
)
def test_base_url_that_cannot_be_asked(ask: Ask, base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        ask(base_url)
    assert_is_clean(caught.value)


@pytest.mark.parametrize(
    "headers", [{"X-Team-Token": "team-secret\n"}, {"X-Team-Token": "team-secret é"}, {"a b": "c"}]
)
def test_header_that_cannot_be_sent(ask: Ask, headers: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="header") as caught:
        ask("http://127.0.0.1:9/v1", default_headers=headers)
    assert_is_clean(caught.value)


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding"])
def test_header_that_says_how_long_the_body_is(ask: Ask, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}.*default_headers"):
        ask("http://127.0.0.1:9/v1", default_headers={name: "3"})


def test_header_replaces_another_of_any_case(ask: Ask, serve: Callable[..., Server]) -> None:
    server = serve(lambda connection, request: connection.sendall(good_answer(request)))
    ask(server.url, default_headers={"authorization": "Bearer of-a-gateway", "USER-AGENT": "mine"})
    head = server.requests[0].partition(b"\r\n\r\n")[0].lower()
    assert head.count(b"authorization: ") == head.count(b"user-agent: ") == 1
    assert b"bearer of-a-gateway" in head
    assert b"user-agent: mine" in head
    assert KEY.encode() not in head


def test_host_that_does_not_exist(ask: Ask) -> None:
    with pytest.raises(APIConnectionError, match="cannot be reached") as caught:
        ask("http://nothing.invalid/v1", max_retries=0)
    assert_is_clean(caught.value)
