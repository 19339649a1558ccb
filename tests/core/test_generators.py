"""Streams that are given up when their event loop ends: it ends without a complaint."""

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.client import AsyncQwenVLClient
from qwen_vl.content import Text, Turn
from qwen_vl.generators import Owned
from qwen_vl.request.build import build_connection, build_request
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

QUESTION = [ChatMessage("Hello")]
Stream = Callable[[str], Awaitable[Any]]


async def chat(url: str) -> Any:
    return await QwenVL(api_base=url, api_key="sk-sandbox").astream_chat(QUESTION)


async def complete(url: str) -> Any:
    return await QwenVL(api_base=url, api_key="sk-sandbox").astream_complete("Hello")


async def langchain(url: str) -> Any:
    return ChatQwenVL(base_url=url, api_key="sk-sandbox").astream("Hello")


async def core(url: str) -> Any:
    settings = QwenVLSettings(base_url=url, api_key="sk-sandbox")
    turn = Turn(role="user", parts=(Text(text="Hello"),))
    client = AsyncQwenVLClient(build_connection(settings))
    return client.stream(build_request(settings, [turn], stream=True))


async def _break(stream: Stream, url: str) -> None:
    async for _ in await stream(url):
        break


async def _leave_running(stream: Stream, url: str) -> asyncio.Task[None]:
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in await stream(url):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    return task


async def _keep(stream: Stream, url: str) -> Any:
    held = await stream(url)
    await anext(held)
    return held


@pytest.mark.parametrize("stream", [chat, complete, langchain, core])
@pytest.mark.parametrize("leave", [_break, _leave_running, _keep])
def test_loop_that_ends_is_silent(
    leave: Callable[[Stream, str], Any],
    stream: Stream,
    qwen_vl_sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(text="word " * 300))
    qwen_vl_sandbox.fail(chunk_delay=0.02)
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        left = asyncio.run(leave(stream, qwen_vl_sandbox.base_url))
        gc.collect()
    del left
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_loop_does_not_know_what_is_owned() -> None:
    begun: list[AsyncGenerator[int, None]] = []

    async def inner() -> AsyncGenerator[int, None]:
        await asyncio.sleep(0)
        yield 1
        yield 2

    async def outer() -> AsyncGenerator[int, None]:
        await asyncio.sleep(0)
        begun.append(inner())
        async for item in begun[0]:
            yield item

    begun.append(outer())
    loop: Any = asyncio.get_running_loop()
    known = set(loop._asyncgens)
    async with Owned(begun.pop(), with_inner=True) as items:
        assert [item async for item in items] == [1, 2]
        assert set(loop._asyncgens) == known

    # Others are known as ever.
    other = inner()
    await anext(other)
    assert other in loop._asyncgens
    await other.aclose()


async def test_errors_and_cancellation_pass_through() -> None:
    async def failing() -> AsyncGenerator[int, None]:
        await asyncio.sleep(0)
        raise LookupError
        yield 1

    async with Owned(failing(), with_inner=True) as items:
        with pytest.raises(LookupError):
            await anext(items)

    cleaned = asyncio.Event()

    async def waiting() -> AsyncGenerator[int, None]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            cleaned.set()

    async def read() -> None:
        async with Owned(waiting(), with_inner=True) as items:
            await anext(items)

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()
