"""Clients of the program's own: proxies, certificates and hooks, of httpx2 and of the SDK."""

import asyncio
import copy
import pickle
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import APITimeoutError, ConfigurationError, InvalidRequestError
from scripted_server import Handle, Server, answer, good_answer

CERTIFICATE = Path(__file__).with_name("self_signed.pem")


def serve_good_answer(connection: socket.socket, request: bytes) -> None:
    connection.sendall(good_answer(request))


def ask(**options: Any) -> list[str]:
    """Ask whole and streamed, in both frameworks."""
    chat, llm = ChatQwenVL(api_key="sk-1", **options), QwenVL(api_key="sk-1", **options)
    return [
        chat.invoke("Hello").text,
        "".join(chunk.text for chunk in chat.stream("Hello")),
        llm.complete("Hello").text,
        "".join(part.delta or "" for part in llm.stream_complete("Hello")),
    ]


async def aask(**options: Any) -> list[str]:
    """Ask whole and streamed, in both frameworks."""
    chat, llm = ChatQwenVL(api_key="sk-1", **options), QwenVL(api_key="sk-1", **options)
    parts = await llm.astream_complete("Hello")
    return [
        (await chat.ainvoke("Hello")).text,
        "".join([chunk.text async for chunk in chat.astream("Hello")]),
        (await llm.acomplete("Hello")).text,
        "".join([part.delta or "" async for part in parts]),
    ]


ANSWERS = ["A cat."] * 4


def test_http_client_sends_the_requests(serve: Callable[..., Server]) -> None:
    server, hooked = serve(serve_good_answer), []
    hooks: dict[str, list[Callable[..., Any]]] = {"request": [hooked.append]}
    with httpx2.Client(headers={"X-Own": "1"}, event_hooks=hooks) as client:
        assert ask(base_url=server.url, http_client=client) == ANSWERS
        assert not client.is_closed
    assert len(hooked) == 4
    for request in server.requests:
        assert b"x-own: 1" in request.lower()
        assert b"authorization: bearer sk-1" in request.lower()
        assert b"user-agent: qwen-vl/" in request.lower()


async def test_http_async_client_sends_the_requests(serve: Callable[..., Server]) -> None:
    server, hooked = serve(serve_good_answer), []

    async def hook(request: httpx2.Request) -> None:
        hooked.append(request)

    async with httpx2.AsyncClient(event_hooks={"request": [hook]}) as client:
        assert await aask(base_url=server.url, http_async_client=client) == ANSWERS
        assert not client.is_closed
    assert len(hooked) == 4


async def test_llama_index_s_name_of_the_async_client(serve: Callable[..., Server]) -> None:
    server = serve(serve_good_answer)
    async with httpx2.AsyncClient(headers={"X-Own": "1"}) as client:
        llm = QwenVL(base_url=server.url, api_key="sk-1", async_http_client=client)
        assert (await llm.acomplete("Hello")).text == "A cat."
    assert b"x-own: 1" in server.requests[0].lower()


def serve_proxy(connection: socket.socket, request: bytes) -> None:
    # A proxy gets the whole URL in place of the path.
    assert b"POST http://far.invalid/v1/chat/completions HTTP/1.1" in request
    serve_good_answer(connection, request)


def test_proxy_of_an_http_client(serve: Callable[..., Server]) -> None:
    proxy = serve(serve_proxy)
    with httpx2.Client(proxy=proxy.origin) as client:
        assert ask(base_url="http://far.invalid/v1", http_client=client) == ANSWERS


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_of_the_environment(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    proxy = serve(serve_proxy)
    monkeypatch.setenv(variable, proxy.origin)
    assert ask(base_url="http://far.invalid/v1") == ANSWERS
    assert asyncio.run(aask(base_url="http://far.invalid/v1")) == ANSWERS
    assert len(proxy.requests) == 8


def test_host_that_needs_no_proxy(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1,[::1],10.0.0.0/8")
    assert ask(base_url=serve(serve_good_answer).url) == ANSWERS


@pytest.fixture
def tls_url(serve: Callable[..., Server]) -> str:
    """URL of a server whose certificate only its own authority has signed."""
    return serve(serve_good_answer, certificate=CERTIFICATE).url


def trust_own_authority() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=CERTIFICATE)
    context.check_hostname = False
    return context


def test_certificate_authority_of_an_http_client(tls_url: str) -> None:
    with httpx2.Client(verify=trust_own_authority()) as client:
        assert ask(base_url=tls_url, http_client=client) == ANSWERS


async def test_certificate_authority_of_an_async_client(tls_url: str) -> None:
    async with httpx2.AsyncClient(verify=trust_own_authority()) as client:
        assert await aask(base_url=tls_url, http_async_client=client) == ANSWERS


def test_client_of_the_sdk(serve: Callable[..., Server]) -> None:
    server = serve(serve_good_answer)
    with openai.OpenAI(base_url=server.url, api_key="sk-own") as client:
        assert ask(openai_client=client) == ANSWERS
    assert all(b"authorization: bearer sk-own" in sent.lower() for sent in server.requests)


async def test_async_client_of_the_sdk(serve: Callable[..., Server]) -> None:
    server = serve(serve_good_answer)
    async with openai.AsyncOpenAI(base_url=server.url, api_key="sk-own") as client:
        assert await aask(async_openai_client=client) == ANSWERS
    assert all(b"authorization: bearer sk-own" in sent.lower() for sent in server.requests)


@pytest.mark.parametrize("status", [302, 307])
def test_client_of_the_sdk_follows_no_redirect(serve: Callable[..., Server], status: int) -> None:
    other = serve(serve_good_answer)
    location = f"location: {other.url}/chat/completions"
    moved = answer(b"", location, status=f"{status} Moved")
    server = serve(lambda connection, _: connection.sendall(moved))
    with openai.OpenAI(base_url=server.url, api_key="sk-own") as client:
        model = ChatQwenVL(openai_client=client)
        with pytest.raises(Exception, match=f"redirects to {other.url}"):
            model.invoke("Hello")
    assert other.requests == []


# Deadlines


def send_nothing(connection: socket.socket, _request: bytes) -> None:
    connection.settimeout(20)
    connection.recv(1)


def ping(connection: socket.socket, _request: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
    while True:
        connection.sendall(b": ping\n\n")
        time.sleep(0.02)


@pytest.mark.parametrize("handle", [pytest.param(send_nothing, marks=pytest.mark.slow), ping])
@pytest.mark.parametrize("kind", ["http", "sdk"])
def test_deadline_with_a_client_of_the_caller(
    serve: Callable[..., Server], handle: Handle, kind: str
) -> None:
    url = serve(handle).url
    with httpx2.Client() as http, openai.OpenAI(base_url=url, api_key="sk-own") as sdk:
        client = {"http_client": http} if kind == "http" else {"openai_client": sdk}
        model = ChatQwenVL(base_url=url, api_key="sk-1", deadline=0.2, **client)
        with pytest.raises(APITimeoutError, match=r"deadline=0\.2"):
            model.invoke("Hello")
        with pytest.raises(APITimeoutError, match=r"deadline=0\.2"):
            list(model.stream("Hello"))


@pytest.mark.parametrize("handle", [pytest.param(send_nothing, marks=pytest.mark.slow), ping])
@pytest.mark.parametrize("kind", ["http", "sdk"])
async def test_deadline_with_an_async_client_of_the_caller(
    serve: Callable[..., Server], handle: Handle, kind: str
) -> None:
    url = serve(handle).url
    async with (
        httpx2.AsyncClient() as http,
        openai.AsyncOpenAI(base_url=url, api_key="sk-own") as sdk,
    ):
        client = {"http_async_client": http} if kind == "http" else {"async_openai_client": sdk}
        llm = QwenVL(base_url=url, api_key="sk-1", deadline=0.2, **client)
        with pytest.raises(APITimeoutError, match=r"deadline=0\.2"):
            await llm.acomplete("Hello")
        with pytest.raises(APITimeoutError, match=r"deadline=0\.2"):
            [part async for part in await llm.astream_complete("Hello")]


# What cannot be meant


class FakeHttpx:
    """Stands in for a client of httpx, which need not be installed."""


FakeHttpx.__module__ = "httpx"
FakeHttpx.__qualname__ = "Client"


@pytest.mark.parametrize("kind", [ChatQwenVL, QwenVL])
@pytest.mark.parametrize(
    ("option", "name"), [("http_client", "Client"), ("http_async_client", "AsyncClient")]
)
def test_client_of_another_library(kind: Any, option: str, name: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{option} must be an httpx2\.{name}, not httpx"):
        kind(api_key="sk-1", **{option: FakeHttpx()})


@pytest.mark.parametrize(
    ("option", "kind", "wanted"),
    [
        ("openai_client", openai.AsyncOpenAI, "openai.OpenAI, not openai.AsyncOpenAI"),
        ("async_openai_client", openai.OpenAI, "openai.AsyncOpenAI, not openai.OpenAI"),
        ("openai_client", httpx2.Client, "openai.OpenAI, not httpx2.Client"),
        ("async_openai_client", httpx2.AsyncClient, "openai.AsyncOpenAI, not httpx2.AsyncClient"),
    ],
)
@pytest.mark.parametrize("model", [ChatQwenVL, QwenVL])
def test_client_that_is_none_of_the_sdk(model: Any, option: str, kind: Any, wanted: str) -> None:
    client = kind(api_key="sk-1") if kind.__module__.startswith("openai") else kind()
    with pytest.raises(ConfigurationError, match=f"{option} must be an {wanted}"):
        model(**{option: client})


class Wrapped:
    """What tracers return for a client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


async def test_wrapped_clients_of_the_sdk(serve: Callable[..., Server]) -> None:
    place = {"base_url": serve(serve_good_answer).url, "api_key": "sk-1"}
    with openai.OpenAI(**place) as client:
        assert ask(openai_client=Wrapped(client)) == ANSWERS
    async with openai.AsyncOpenAI(**place) as async_client:
        assert await aask(async_openai_client=Wrapped(async_client)) == ANSWERS


@pytest.mark.parametrize("reads", [True, False])
def test_hook_that_raises_for_the_status(serve: Callable[..., Server], reads: bool) -> None:
    def hook(response: httpx2.Response) -> None:
        if reads:
            response.read()
        response.raise_for_status()

    def handle(connection: socket.socket, _request: bytes) -> None:
        is_last = len(server.requests) > 1
        body = b'{"error":{"message":"No such parameter"}}'
        connection.sendall(
            answer(body, "retry-after-ms: 1", status="400 Bad" if is_last else "503 Busy")
        )

    server = serve(handle)
    with httpx2.Client(event_hooks={"response": [hook]}) as client:
        model = ChatQwenVL(base_url=server.url, api_key="sk-1", http_client=client)
        with pytest.raises(InvalidRequestError) as caught:
            model.invoke("Hello")
    assert caught.value.status == 400
    assert ("No such parameter" in str(caught.value)) is reads
    assert len(server.requests) == 2


def test_clients_that_are_exchanged() -> None:
    with httpx2.Client() as client, pytest.raises(ConfigurationError, match="AsyncClient, not"):
        ChatQwenVL(api_key="sk-1", http_async_client=client)


def test_two_clients_for_the_same_calls() -> None:
    with httpx2.Client() as http, openai.OpenAI(api_key="sk-1") as sdk:
        model = ChatQwenVL(api_key="sk-1", http_client=http, openai_client=sdk)
        with pytest.raises(ConfigurationError, match="http_client and openai_client exclude"):
            model.invoke("Hello")


@pytest.mark.parametrize(
    ("option", "missing"),
    [
        ("http_client", "http_async_client"),
        ("openai_client", "async_openai_client"),
    ],
)
async def test_async_call_without_an_async_client(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, option: str, missing: str
) -> None:
    server = serve(serve_good_answer)
    # What the environment says is nothing that the program asked for.
    monkeypatch.setenv("DASHSCOPE_BASE_URL", server.url)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-the-environment")
    with httpx2.Client() as http, openai.OpenAI(api_key="sk-1", base_url=server.url) as sdk:
        client = http if option == "http_client" else sdk
        chat, llm = ChatQwenVL(**{option: client}), QwenVL(**{option: client})
        for call in (chat.ainvoke("Hello"), llm.acomplete("Hello")):
            with pytest.raises(ConfigurationError, match=f"pass {missing}=…"):
                await call
        with pytest.raises(ConfigurationError, match=f"pass {missing}=…"):
            [chunk async for chunk in chat.astream("Hello")]
    assert server.requests == []


@pytest.mark.parametrize(
    ("option", "missing"),
    [
        ("http_async_client", "http_client"),
        ("async_openai_client", "openai_client"),
    ],
)
async def test_sync_call_without_a_sync_client(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, option: str, missing: str
) -> None:
    server = serve(serve_good_answer)
    monkeypatch.setenv("DASHSCOPE_BASE_URL", server.url)
    async with (
        httpx2.AsyncClient() as http,
        openai.AsyncOpenAI(api_key="sk-1", base_url=server.url) as sdk,
    ):
        client = http if option == "http_async_client" else sdk
        model = ChatQwenVL(api_key="sk-1", **{option: client})
        with pytest.raises(ConfigurationError, match=f"pass {missing}=…"):
            model.invoke("Hello")
        with pytest.raises(ConfigurationError, match=f"pass {missing}=…"):
            next(iter(model.stream("Hello")))
    assert server.requests == []


def test_model_with_a_client_is_copied_and_not_pickled(serve: Callable[..., Server]) -> None:
    server = serve(serve_good_answer)
    with httpx2.Client(headers={"X-Own": "1"}) as client:
        model = ChatQwenVL(base_url=server.url, api_key="sk-1", http_client=client)
        assert copy.deepcopy(model).invoke("Hello").text == "A cat."
        with pytest.raises(ConfigurationError, match="cannot be pickled"):
            pickle.dumps(model)
    assert "httpx2" not in repr(model)
    assert b"x-own: 1" in server.requests[0].lower()


# Timeouts


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (7, [7, 7, 7, 7]),
        ((3, 60), [3, 60, 60, 3]),
        ((1, 2, 3, 4), [1, 2, 3, 4]),
        (httpx2.Timeout(9, connect=2), [2, 9, 9, 9]),
        (None, [5, 600, 600, 600]),
    ],
)
@pytest.mark.parametrize("at_call", [True, False])
def test_timeouts_of_a_request(
    serve: Callable[..., Server], timeout: Any, expected: list[float], at_call: bool
) -> None:
    timeouts: list[list[float]] = []

    def note(request: httpx2.Request) -> None:
        timeouts.append(list(request.extensions["timeout"].values()))

    url = serve(serve_good_answer).url
    own, call = ({}, {"timeout": timeout}) if at_call else ({"timeout": timeout}, {})
    with httpx2.Client(event_hooks={"request": [note]}) as client:
        ChatQwenVL(base_url=url, api_key="sk-1", http_client=client, **own).invoke("Hi", **call)
    assert timeouts == [expected]


def test_timeout_of_an_http_client_counts_if_it_was_set(serve: Callable[..., Server]) -> None:
    timeouts: list[float] = []

    def note(request: httpx2.Request) -> None:
        timeouts.append(request.extensions["timeout"]["read"])

    url = serve(serve_good_answer).url
    with httpx2.Client(timeout=33, event_hooks={"request": [note]}) as client:
        ChatQwenVL(base_url=url, api_key="sk-1", http_client=client).invoke("Hi")
    assert timeouts == [33]


@pytest.mark.parametrize(
    "timeout", [0, -1, float("nan"), True, "5", (1, 2, 3), (0, 5), [None, "x"]]
)
def test_timeouts_that_are_none(timeout: Any) -> None:
    with pytest.raises(ValueError, match="not a number of seconds above 0"):
        ChatQwenVL(api_key="sk-1", timeout=timeout)
    with pytest.raises(ConfigurationError, match="not a number of seconds above 0"):
        ChatQwenVL(api_key="sk-1").invoke("Hello", timeout=timeout)
