"""One LLM in many hands: threads, loops, and settings that change while it is used."""

import asyncio
import gc
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.base.llms.types import ChatMessage
from pydantic import SecretStr

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl import client
from qwen_vl.connection import Connection
from qwen_vl.request.build import build_connection
from qwen_vl.transport import Transport
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

HELLO = [ChatMessage("Hello")]
LONG = ScriptedAnswer(text=tuple(f"{number} " for number in range(100)))
N_THREADS = 16

MakeLlm = Callable[..., QwenVL]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The URLs to which transports are opened."""
    urls: list[str] = []
    opened = client.open_transport

    def count(connection: Connection) -> Transport:
        urls.append(connection.base_url)
        return opened(connection)

    monkeypatch.setattr(client, "open_transport", count)
    return urls


def test_threads_that_begin_together_share_one_client(llm: QwenVL, made: list[str]) -> None:
    barrier = threading.Barrier(N_THREADS)

    def ask(number: int) -> bool:
        barrier.wait()
        return f"Say {number}." in llm.complete(f"Say {number}.").text

    with ThreadPoolExecutor(N_THREADS) as threads:
        assert all(threads.map(ask, range(N_THREADS)))
    assert made == [build_connection(llm).base_url]


def test_loop_in_every_thread(llm: QwenVL) -> None:
    def ask(number: int) -> bool:
        return f"Say {number}." in asyncio.run(llm.acomplete(f"Say {number}.")).text

    with ThreadPoolExecutor(N_THREADS) as threads:
        assert all(threads.map(ask, range(2 * N_THREADS)))


@pytest.mark.parametrize("key", ["sk-changed-wxyz", SecretStr("sk-changed-wxyz")])
async def test_key_that_is_changed(
    key: str | SecretStr, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    llm.complete("Hello")
    await llm.acomplete("Hello")
    llm.api_key = key  # type: ignore[assignment]  # As code for LlamaIndex's other LLMs does it.
    assert llm.complete("Hello").text
    assert (await llm.acomplete("Hello")).text
    shown = [request.headers["authorization"] for request in qwen_vl_sandbox.requests]
    assert shown == ["Bearer …7712"] * 2 + ["Bearer …wxyz"] * 2
    for text in (repr(llm), str(llm), repr(llm.api_key), llm.to_json(), repr(llm.model_dump())):
        assert "wxyz" not in text


async def test_model_that_is_changed(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    llm.complete("Hello")
    llm.model = "qwen3-vl-flash"
    assert llm.metadata.model_name == llm.model_name == "qwen3-vl-flash"
    llm.complete("Hello")
    assert qwen_vl_sandbox.last_request.json["model"] == "qwen3-vl-flash"


async def test_streams_outlive_a_change_and_their_llm(
    make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(LONG, "Other.", LONG)
    llm = make_llm()
    responses = llm.stream_chat(HELLO)
    next(responses)
    llm.api_key = SecretStr("sk-other")
    assert llm.complete("Hello").text == "Other."
    asynchronous = await llm.astream_chat(HELLO)
    del llm
    gc.collect()
    whole = LONG.text if isinstance(LONG.text, str) else "".join(LONG.text)
    assert list(responses)[-1].message.content == whole
    assert [response async for response in asynchronous][-1].message.content == whole
