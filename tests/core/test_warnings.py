"""A warning is for the line of the program, not for one of this package or of a framework."""

import asyncio
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from llama_index.core.llms import ChatMessage
from PIL import Image

import qwen_vl
from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import warn
from qwen_vl.request.build import build_request
from qwen_vl.tokens.conversation import count_tokens
from qwen_vl_sandbox import Sandbox

BOX = qwen_vl.Box(x1=50, y1=50, x2=100, y2=100, label="\U0010fffd")
FOUND = qwen_vl.Grounding(boxes=(BOX,), width=400, height=300, space="normalized")


@pytest.fixture
def caught() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def this_line() -> int:
    """Return the number of the line that calls this function."""
    return sys._getframe(1).f_lineno


def places(caught: list[warnings.WarningMessage]) -> list[tuple[str, int]]:
    assert {warning.category for warning in caught} == {UserWarning}
    return [(warning.filename, warning.lineno) for warning in caught]


def test_core(caught: list[warnings.WarningMessage]) -> None:
    turn = qwen_vl.Turn(role="user", parts=(qwen_vl.Text(text="Hello"),))
    lines = [this_line() + 1]
    build_request(qwen_vl.QwenVLSettings(), [turn], speed=2)
    lines.append(this_line() + 1)
    count_tokens(qwen_vl.Image(source=qwen_vl.Url("https://example.com/cat.png")), "qwen3-vl-plus")
    lines.append(this_line() + 1)
    qwen_vl.draw_grounding(Image.new("RGB", (400, 300)), FOUND)
    assert places(caught) == [(__file__, line) for line in lines]


def test_langchain(caught: list[warnings.WarningMessage], make_chat: Any) -> None:
    lines = [this_line() + 1]
    chat = ChatQwenVL(base_url=make_chat().base_url, api_key="sk-sandbox", speed=2)
    lines.append(this_line() + 1)
    (ChatPromptTemplate.from_template("{word}") | chat.bind(pace=2)).invoke({"word": "Hello"})
    lines.append(this_line() + 1)
    asyncio.run(chat.ainvoke("Hello", pace=2))
    assert places(caught) == [(__file__, line) for line in lines]


async def test_llama_index(caught: list[warnings.WarningMessage], qwen_vl_sandbox: Sandbox) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    lines = [this_line() + 1]
    llm.complete("Hello", speed=2)
    lines.append(this_line() + 1)
    await llm.achat([ChatMessage("Hello")], speed=2)
    assert places(caught) == [(__file__, line) for line in lines]


@pytest.mark.any_version
def test_without_a_line_of_the_program(caught: list[warnings.WarningMessage]) -> None:
    # Threads begin in the standard library.
    module = types.ModuleType("qwen_vl.some.module")
    exec(compile("def report(): warn('Late.')", "module.py", "exec"), vars(module))  # noqa: S102
    module.warn = warn  # type: ignore[attr-defined]
    report: Callable[[], None] = module.report
    thread = threading.Thread(target=report)
    thread.start()
    thread.join()
    assert places(caught) == [("module.py", 1)]


@pytest.mark.any_version
def test_each_line_once() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(2):
            warn("Often.")
        warn("Often.")
    assert [warning.lineno for warning in caught] == [this_line() - 2, this_line() - 1]


@pytest.mark.any_version
def test_filters_by_module() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", module=__name__)
        warn("Not here.")
    assert not caught
