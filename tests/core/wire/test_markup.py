"""Answers whose text stands in the reasoning, or that hold markup of the model's template."""

import asyncio
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.exceptions import OutputParserException
from llama_index.core.llms import ChatMessage
from pydantic import BaseModel

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

CALL = '<tool_call>\n{"name": "weather", "arguments": {"city": "Bern"}}\n</tool_call>'
THOUGHT = "The user wants the weather.\n</think>\n\nIt is sunny."


def weather(city: str) -> str:
    """Return the weather of a city."""
    return city


class Car(BaseModel):
    """A car."""

    brand: str


def _stream(model: ChatQwenVL) -> None:
    list(model.stream("?"))


def _astream(model: ChatQwenVL) -> None:
    async def read() -> None:
        async for _ in model.astream("?"):
            pass

    asyncio.run(read())


ASK: dict[str, Callable[[Any], object]] = {
    "invoke": lambda model: model.invoke("?"),
    "stream": _stream,
    "ainvoke": lambda model: asyncio.run(model.ainvoke("?")),
    "astream": _astream,
}


def ask(server: Any, answer: ScriptedAnswer, how: str, tools: Any = (), **call: Any) -> list[str]:
    """The warnings of one call."""
    with Sandbox(server=server) as sandbox, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sandbox.script(answer)
        name = "qwen3-vl-plus" if server == "dashscope" else "Qwen/Qwen3-VL-8B-Instruct"
        model = ChatQwenVL(model=name, server=server, base_url=sandbox.base_url, api_key="x")
        ASK[how](model.bind_tools(tools, **call) if tools else model)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("how", ASK)
def test_answer_in_the_reasoning_alone(how: str) -> None:
    (found,) = ask("vllm", ScriptedAnswer(text="", reasoning="A Saab."), how)
    assert found.startswith("The answer is empty, and all of its text stands in its reasoning")
    assert found.endswith(
        "Start the server without --reasoning-parser for models that do not think."
    )


def test_reasoning_that_took_all_tokens() -> None:
    answer = ScriptedAnswer(text="", reasoning="Let me", finish_reason="length")
    (found,) = ask("vllm", answer, "invoke")
    assert "has taken all tokens" in found


@pytest.mark.parametrize("how", ASK)
@pytest.mark.parametrize(
    ("server", "flag"),
    [("vllm", "--tool-call-parser hermes"), ("sglang", "qwen25"), ("llamacpp", "--jinja")],
)
def test_tool_call_that_was_not_parsed(how: str, server: str, flag: str) -> None:
    (found,) = ask(server, ScriptedAnswer(text=CALL), how, [weather])
    assert found.startswith("The text of the answer holds a tool call that was not parsed.")
    assert flag in found


@pytest.mark.parametrize("how", ASK)
@pytest.mark.parametrize(
    ("server", "flag"), [("vllm", "--reasoning-parser qwen3"), ("llamacpp", "--reasoning-format")]
)
def test_reasoning_in_the_text(how: str, server: str, flag: str) -> None:
    (found,) = ask(server, ScriptedAnswer(text=THOUGHT), how)
    assert found.startswith("The text of the answer holds its reasoning, up to </think>.")
    assert flag in found


@pytest.mark.parametrize(
    ("answer", "tools", "call"),
    [
        (ScriptedAnswer(text="It is sunny.", reasoning="Hm."), [], {}),
        (ScriptedAnswer(text="", tool_calls=(ToolCall("weather", {"city": "B"}),)), [weather], {}),
        (
            ScriptedAnswer(
                text="", reasoning="Hm.", tool_calls=(ToolCall("weather", {"city": "B"}),)
            ),
            [weather],
            {},
        ),
        # Markup that was asked about, forbidden, or cut off, which its own error is about.
        (ScriptedAnswer(text=CALL), [], {}),
        (ScriptedAnswer(text=CALL), [weather], {"tool_choice": "none"}),
        (ScriptedAnswer(text=CALL[:40], finish_reason="length"), [weather], {}),
    ],
)
def test_other_answers_are_not_warned_of(answer: ScriptedAnswer, tools: Any, call: Any) -> None:
    assert ask("vllm", answer, "invoke", tools, **call) == []


@pytest.mark.filterwarnings("ignore:The answer is empty")
def test_structured_answer_in_the_reasoning_is_shown() -> None:
    with Sandbox(server="vllm") as sandbox:
        sandbox.script(ScriptedAnswer(text="", reasoning='{"brand": "Saab"}'))
        model = ChatQwenVL(
            model="Qwen/Qwen3-VL-8B-Instruct",
            server="vllm",
            base_url=sandbox.base_url,
            api_key="x",
        )
        with pytest.raises(OutputParserException, match=r"its reasoning reads: '\{\"brand\""):
            model.with_structured_output(Car).invoke("?")


def test_llama_index_warns_too() -> None:
    with Sandbox(server="vllm") as sandbox:
        sandbox.script(ScriptedAnswer(text=THOUGHT))
        llm = QwenVL("Qwen/Qwen3-VL-8B", base_url=sandbox.base_url, api_key="x", server="vllm")
        with pytest.warns(UserWarning, match="--reasoning-parser qwen3"):
            llm.chat([ChatMessage("?")])
