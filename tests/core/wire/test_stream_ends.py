"""Where a stream ends: at once, with what it has brought, whatever the connection does then."""

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from pydantic import SecretStr

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.client import AsyncQwenVLClient, QwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.content import Text, Turn
from qwen_vl.errors import PartialResponseError
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_connection
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from raw_server import END_OF_BODY, STREAM_HEAD, RawServer, chunked, raw_server, sse

Ask = Callable[[RawServer], Reply]

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
DONE = b"data: [DONE]\n\n"


def compatible(text: str, reason: str | None = "stop") -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": reason}
    return sse({"choices": [choice]}, {"choices": [], "usage": USAGE})


def native(text: str, reason: str = "stop") -> bytes:
    message = {"role": "assistant", "content": [{"text": text}]}
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    output = {"choices": [{"message": message, "finish_reason": reason}]}
    return sse({"output": output, "usage": usage})


def question(protocol: str) -> Request:
    turn = Turn(role="user", parts=(Text(text="Hi"),))
    parameters = {"stream_options": {"include_usage": True}} if protocol == "openai" else {}
    return Request(
        model="qwen3-vl-plus",
        turns=(turn,),
        stream=True,
        parameters=parameters,
        protocol=protocol,  # type: ignore[arg-type]
    )


def connect(server: RawServer) -> Connection:
    return Connection(
        base_url=server.base_url, api_key=SecretStr("sk-x"), max_retries=0, timeout=20
    )


@pytest.fixture(params=["http", "async http", "sdk", "async sdk"])
def ask(request: pytest.FixtureRequest, protocol: str) -> Ask:
    """Asks by each way to an endpoint."""
    asked = question(protocol)

    def ask_sdk(server: RawServer) -> Reply:
        with openai.OpenAI(
            base_url=server.base_url, api_key="sk-x", max_retries=0, timeout=20
        ) as client:
            return QwenVLClient(build_connection(QwenVLSettings(openai_client=client))).ask(asked)

    async def ask_async_sdk(server: RawServer) -> Reply:
        async with openai.AsyncOpenAI(
            base_url=server.base_url, api_key="sk-x", max_retries=0, timeout=20
        ) as client:
            settings = QwenVLSettings(async_openai_client=client)
            return await AsyncQwenVLClient(build_connection(settings)).ask(asked)

    ways: dict[str, Ask] = {
        "http": lambda server: QwenVLClient(connect(server)).ask(asked),
        "async http": lambda server: asyncio.run(AsyncQwenVLClient(connect(server)).ask(asked)),
        "sdk": ask_sdk,
        "async sdk": lambda server: asyncio.run(ask_async_sdk(server)),
    }
    return ways[request.param]


ENDS = {
    "[DONE]": DONE,
    "one line end": b"data: [DONE]\n",
    "no line end": b"data: [DONE]",
    "no space": b"data:[DONE]\n\n",
    "carriage returns": b"data: [DONE]\r\n\r\n",
}


@pytest.mark.openai_wire
def test_done_may_follow_without_an_empty_line(ask: Ask) -> None:
    writes = [STREAM_HEAD, *chunked(compatible("A cat.").rstrip(b"\n") + b"\n", DONE)]
    with raw_server([*writes, END_OF_BODY]) as server:
        reply = ask(server)

    assert (reply.text, reply.finish_reason) == ("A cat.", "stop")


@pytest.mark.openai_wire
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_done_ends_a_stream_whose_connection_stays_open(end: bytes, ask: Ask) -> None:
    writes = [STREAM_HEAD, *chunked(compatible("A cat."), end)]
    with raw_server(writes, holds=True) as server:
        reply = ask(server)

    assert (reply.text, reply.finish_reason) == ("A cat.", "stop")
    assert reply.usage is not None
    assert reply.usage.total_tokens == 5


AFTERMATHS = {
    "text": compatible("A dog."),
    "garbage": b"data: {oh\n\n\xff\xfe\n\n",
    "an error": sse({"error": {"code": "internal_error", "message": "Sorry"}}),
    "another end": DONE,
    "a comment": b": bye\n\n",
}


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    ("in_one_piece", "holds"),
    [(False, True), (True, False)],
    ids=["in pieces, left open", "in one piece, closed"],
)
@pytest.mark.parametrize("aftermath", AFTERMATHS.values(), ids=AFTERMATHS)
def test_what_follows_done_is_ignored(
    aftermath: bytes, in_one_piece: bool, holds: bool, ask: Ask
) -> None:
    parts = [compatible("A cat."), DONE, aftermath]
    parts = [b"".join(parts)] if in_one_piece else parts
    with raw_server([STREAM_HEAD, *chunked(*parts)], holds=holds, closes=not holds) as server:
        reply = ask(server)

    assert (reply.text, reply.finish_reason) == ("A cat.", "stop")


@pytest.mark.openai_wire
def test_connection_that_is_cut_behind_done_takes_nothing_away(ask: Ask) -> None:
    writes = [STREAM_HEAD, *chunked(compatible("A cat."), DONE), b"1f\r\nshort"]
    with raw_server(writes, closes=True) as server:
        assert ask(server).text == "A cat."


@pytest.mark.parametrize("holds", [False, True], ids=["closed", "open"])
def test_last_event_of_the_native_protocol_ends_its_stream(holds: bool) -> None:
    parts = [native("A ", "null"), native("cat."), native("A dog."), b"data: {oh\n\n"]
    with raw_server([STREAM_HEAD, *chunked(*parts)], holds=holds, closes=not holds) as server:
        replies = [
            QwenVLClient(connect(server)).ask(question("native")),
            asyncio.run(AsyncQwenVLClient(connect(server)).ask(question("native"))),
        ]

    assert [(reply.text, reply.finish_reason) for reply in replies] == [("A cat.", "stop")] * 2


@pytest.mark.openai_wire
def test_connection_that_is_cut_behind_the_finish_reason_takes_nothing_away(ask: Ask) -> None:
    choice = {"index": 0, "delta": {"content": "A cat."}, "finish_reason": "stop"}
    writes = [STREAM_HEAD, *chunked(sse({"choices": [choice]})), b"5\r\nda"]
    with raw_server(writes, closes=True) as server:
        reply = ask(server)

    assert (reply.text, reply.finish_reason, reply.usage) == ("A cat.", "stop", None)


@pytest.mark.openai_wire
def test_stream_of_nothing_but_its_end_is_an_error(ask: Ask) -> None:
    with (
        raw_server([STREAM_HEAD, *chunked(DONE), END_OF_BODY]) as server,
        pytest.raises(PartialResponseError, match="without an answer"),
    ):
        ask(server)


@pytest.mark.openai_wire
def test_stream_without_finish_reason_says_so(ask: Ask) -> None:
    parts = chunked(compatible("A cat.", None), DONE)
    with raw_server([STREAM_HEAD, *parts, END_OF_BODY]) as server:
        reply = ask(server)

    assert (reply.text, reply.finish_reason, reply.has_ended) == ("A cat.", None, True)


@pytest.mark.parametrize("end_apart", [False, True], ids=["with [DONE]", "in a packet of its own"])
def test_connection_of_a_stream_is_used_again(end_apart: bool) -> None:
    body = chunked(compatible("A cat."), DONE)
    writes = [*body, END_OF_BODY] if end_apart else [body[0], body[1] + END_OF_BODY]
    with raw_server([STREAM_HEAD, *writes]) as server:
        client = QwenVLClient(connect(server))
        texts = [client.ask(question("openai")).text for _ in range(3)]
        assert server.n_connections == 1

        async def ask_thrice() -> list[str]:
            client = AsyncQwenVLClient(connect(server))
            return [(await client.ask(question("openai"))).text for _ in range(3)]

        texts += asyncio.run(ask_thrice())
        assert server.n_connections == 2

    assert texts == ["A cat."] * 6


def test_frameworks_end_their_streams_at_once() -> None:
    with raw_server([STREAM_HEAD, *chunked(compatible("A cat."), DONE)], holds=True) as server:
        options: dict[str, Any] = {"base_url": server.base_url, "api_key": "sk-x", "timeout": 20}
        chat, llm = ChatQwenVL(**options), QwenVL(**options)

        async def ask_both() -> list[str]:
            chunks = [chunk async for chunk in chat.astream("Hi")]
            responses = [response async for response in await llm.astream_complete("Hi")]
            return ["".join(chunk.text for chunk in chunks), responses[-1].text]

        texts = asyncio.run(ask_both())
        texts += ["".join(chunk.text for chunk in chat.stream("Hi"))]
        texts += [list(llm.stream_complete("Hi"))[-1].text]

    assert texts == ["A cat."] * 4
