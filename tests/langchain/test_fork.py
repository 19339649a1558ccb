"""`ChatQwenVL` in a forked child, as gunicorn's --preload and Celery's prefork pool make them."""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

import openai
import pytest

from forked import in_child
from langchain_qwen_vl import ChatQwenVL
from qwen_vl.errors import ConfigurationError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


async def astream(model: ChatQwenVL, text: str) -> str:
    return "".join([chunk.text async for chunk in model.astream(text)])


WAYS: dict[str, Callable[[ChatQwenVL, str], str]] = {
    "invoke": lambda model, text: model.invoke(text).text,
    "stream": lambda model, text: "".join(chunk.text for chunk in model.stream(text)),
    "ainvoke": lambda model, text: asyncio.run(model.ainvoke(text)).text,
    "astream": lambda model, text: asyncio.run(astream(model, text)),
}


@pytest.mark.parametrize("way", WAYS)
def test_model_that_was_used_before_the_fork_answers_in_the_child(echo_url: str, way: str) -> None:
    model = ChatQwenVL(base_url=echo_url, api_key="sk", timeout=10)
    ask = WAYS[way]
    _, parents = ask(model, "before").split(" from ")
    answered, childs = in_child(lambda: ask(model, "in the child")).split(" from ")

    assert answered == "in the child"
    assert childs != parents
    assert ask(model, "after").startswith("after from ")


def test_stream_that_was_begun_before_the_fork_is_an_error_in_the_child(echo_url: str) -> None:
    model = ChatQwenVL(base_url=echo_url, api_key="sk", timeout=10)
    stream = model.stream("a long answer")
    text = next(stream).text

    def read() -> None:
        with pytest.raises(ConfigurationError, match="begun before the process was forked"):
            next(stream)

    in_child(read)
    text += "".join(chunk.text for chunk in stream)
    assert text.startswith("a long answer from ")


def test_client_of_the_caller_is_an_error_in_the_child(echo_url: str) -> None:
    with openai.OpenAI(base_url=echo_url, api_key="sk") as own:
        model = ChatQwenVL(openai_client=own)
        model.invoke("before")

        def ask() -> None:
            with pytest.raises(ConfigurationError, match="used before this process was forked"):
                model.invoke("in the child")
            with openai.OpenAI(base_url=echo_url, api_key="sk") as new:
                assert ChatQwenVL(openai_client=new).invoke("new").text.startswith("new from ")

        in_child(ask)
        assert model.invoke("after").text.startswith("after from ")


def ask_once(model: ChatQwenVL, text: str, answers: Any) -> None:
    answers.put(model.invoke(text).text.split(" from ")[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_model_is_passed_to_processes(
    echo_url: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pickles hold no key.
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk")
    model = ChatQwenVL(base_url=echo_url, api_key="sk", timeout=30)
    model.invoke("before")
    context: Any = multiprocessing.get_context(method)
    answers = context.Queue()
    texts = [f"child {number}" for number in range(3)]
    children = [context.Process(target=ask_once, args=(model, text, answers)) for text in texts]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert sorted(answers.get() for _ in children) == texts
    answers.close()
    answers.join_thread()
    assert model.invoke("after").text.startswith("after from ")
