"""The first asynchronous call of a process: what takes time is done in a thread."""

import asyncio
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from blockbuster import BlockBuster

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl import client
from qwen_vl.connection import Connection
from qwen_vl.transport import AsyncTransport, open_async_transport
from qwen_vl_sandbox import Sandbox

FIRST_CALL = Path(__file__).with_name("first_call.py")


@pytest.mark.parametrize(
    ("framework", "stream"),
    [
        ("langchain", "whole"),
        pytest.param("llama_index", "stream", marks=pytest.mark.slow),
        pytest.param("langchain", "error", marks=pytest.mark.slow),
        pytest.param("langchain", "stream", marks=pytest.mark.slow),
        pytest.param("llama_index", "whole", marks=pytest.mark.slow),
    ],
)
def test_first_call_of_a_process_blocks_no_loop(
    qwen_vl_sandbox: Sandbox, framework: str, stream: str
) -> None:
    command = [sys.executable, str(FIRST_CALL), framework, stream, qwen_vl_sandbox.base_url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    blocked, elsewhere = (line.split() for line in done.stdout.splitlines())
    assert blocked == ["in-the-loop"]
    assert ("tls-context" in elsewhere) == (stream == "error")
    # Each was seen at all: otherwise nothing was watched.
    assert {"version", "httpcore2"} <= set(elsewhere)


def test_program_that_runs_by_anyio_is_answered(qwen_vl_sandbox: Sandbox) -> None:
    async def ask() -> str:
        model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-1")
        return (await model.ainvoke("Hello")).text

    # As Starlette's and FastAPI's test clients do. Then sniffio, if it is installed, says so.
    assert anyio.run(ask)


async def test_calls_that_begin_together_open_one_transport(
    qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, loop, has_begun = [], asyncio.get_running_loop(), asyncio.Event()

    def open_transport(connection: Connection) -> AsyncTransport:
        opened.append(connection)
        loop.call_soon_threadsafe(has_begun.set)
        return open_async_transport(connection)

    monkeypatch.setattr(client, "open_async_transport", open_transport)
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-1")
    first, *others = [asyncio.create_task(model.ainvoke("Hello")) for _ in range(20)]
    await has_begun.wait()
    # What the first one has begun is done by the next one.
    first.cancel()
    assert all([(await task).text for task in others])
    assert first.cancelled()
    assert len(opened) == 2
    assert (await model.ainvoke("Hello")).text
    assert len(opened) == 2


async def test_calls_block_no_loop(qwen_vl_sandbox: Sandbox) -> None:
    url = qwen_vl_sandbox.base_url
    chat, llm = ChatQwenVL(base_url=url, api_key="sk-1"), QwenVL(base_url=url, api_key="sk-1")
    # LangChain's and LlamaIndex's own imports are done then.
    await chat.ainvoke("Hello")
    await llm.acomplete("Hello")
    watch = BlockBuster()
    watch.activate()
    try:
        chat, llm = ChatQwenVL(base_url=url, api_key="sk-1"), QwenVL(base_url=url, api_key="sk-1")
        answers = [(await chat.ainvoke("Hello")).text, (await llm.acomplete("Hello")).text]
    finally:
        watch.deactivate()
    assert all(answers)
