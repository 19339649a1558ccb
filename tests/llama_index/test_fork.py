"""`QwenVL` in a forked child, as gunicorn's --preload and Celery's prefork pool make them."""

import asyncio
import os
from collections.abc import Callable

import openai
import pytest
from llama_index.core.llms import ChatMessage

from forked import in_child
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import ConfigurationError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


async def astream_chat(llm: QwenVL, text: str) -> str:
    stream = await llm.astream_chat([ChatMessage(text)])
    return "".join([response.delta or "" async for response in stream])


WAYS: dict[str, Callable[[QwenVL, str], str]] = {
    "chat": lambda llm, text: str(llm.chat([ChatMessage(text)]).message.content),
    "stream_complete": lambda llm, text: "".join(
        response.delta or "" for response in llm.stream_complete(text)
    ),
    "acomplete": lambda llm, text: asyncio.run(llm.acomplete(text)).text,
    "astream_chat": lambda llm, text: asyncio.run(astream_chat(llm, text)),
}


@pytest.mark.parametrize("way", WAYS)
def test_llm_that_was_used_before_the_fork_answers_in_the_child(echo_url: str, way: str) -> None:
    llm = QwenVL(api_base=echo_url, api_key="sk", timeout=10)
    ask = WAYS[way]
    _, parents = ask(llm, "before").split(" from ")
    answered, childs = in_child(lambda: ask(llm, "in the child")).split(" from ")

    assert answered == "in the child"
    assert childs != parents
    assert ask(llm, "after").startswith("after from ")


def test_stream_that_was_begun_before_the_fork_is_an_error_in_the_child(echo_url: str) -> None:
    llm = QwenVL(api_base=echo_url, api_key="sk", timeout=10)
    stream = llm.stream_chat([ChatMessage("a long answer")])
    next(stream)

    def read() -> None:
        with pytest.raises(ConfigurationError, match="begun before the process was forked"):
            next(stream)

    in_child(read)
    *_, last = stream
    assert str(last.message.content).startswith("a long answer from ")


def test_client_of_the_caller_is_an_error_in_the_child(echo_url: str) -> None:
    with openai.OpenAI(base_url=echo_url, api_key="sk") as own:
        llm = QwenVL(openai_client=own)
        llm.complete("before")

        def ask() -> None:
            with pytest.raises(ConfigurationError, match="used before this process was forked"):
                llm.complete("in the child")

        in_child(ask)
        assert llm.complete("after").text.startswith("after from ")
