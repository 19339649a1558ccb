"""Tools: what is sent, what is read, and what core's methods make of both."""

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.tools import FunctionTool

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import AnswerFormatError, ConfigurationError
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeLlm = Callable[..., QwenVL]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def negate(a: int) -> int:
    """Turn a number's sign."""
    return -a


TOOLS = [FunctionTool.from_defaults(add), FunctionTool.from_defaults(negate)]
BOTH = ScriptedAnswer(
    tool_calls=(ToolCall("add", {"a": 1, "b": 2}, id="x"), ToolCall("negate", {"a": 7}, id="y"))
)
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "add(a: int, b: int) -> int\nAdd two numbers.",
        "parameters": {
            "properties": {
                "a": {"title": "A", "type": "integer"},
                "b": {"title": "B", "type": "integer"},
            },
            "required": ["a", "b"],
            "type": "object",
        },
    },
}


def test_tools_that_are_sent(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    llm.chat_with_tools(TOOLS[:1], user_msg="What is 1 and 2?")
    body = qwen_vl_sandbox.last_request.json
    assert body["tools"] == [ADD]
    assert body.keys() == {"model", "messages", "tools"}


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({"tool_required": True}, "required"),
        ({"tool_choice": "auto"}, "auto"),
        ({"tool_choice": "none"}, "none"),
        ({"tool_choice": "any"}, "required"),
        ({"tool_choice": "add"}, {"type": "function", "function": {"name": "add"}}),
        (
            {"tool_choice": "add", "tool_required": True},
            {"type": "function", "function": {"name": "add"}},
        ),
        (
            {"tool_choice": {"type": "function", "function": {"name": "negate"}}},
            {"type": "function", "function": {"name": "negate"}},
        ),
    ],
)
def test_tool_choice(
    options: dict[str, Any], sent: Any, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    response = llm.chat_with_tools(TOOLS, user_msg="What is 1 and 2?", **options)
    assert qwen_vl_sandbox.last_request.json["tool_choice"] == sent
    calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    assert bool(calls) == (sent not in ("auto", "none"))


def test_tool_choice_that_is_no_tool(llm: QwenVL) -> None:
    with pytest.raises(ConfigurationError, match="'divide' is none of the tools: add, negate"):
        llm.chat_with_tools(TOOLS, user_msg="What is 1 by 2?", tool_choice="divide")


def test_what_is_no_tool(llm: QwenVL) -> None:
    with pytest.raises(ConfigurationError, match="FunctionTool"):
        llm.chat_with_tools([add], user_msg="What is 1 and 2?")  # type: ignore[list-item]


def test_strict_tools(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    llm.chat_with_tools(TOOLS, user_msg="What is 1 and 2?", strict=True)
    tools = qwen_vl_sandbox.last_request.json["tools"]
    assert [tool["function"]["strict"] for tool in tools] == [True, True]
    assert "strict" not in TOOLS[0].metadata.to_openai_tool()["function"]


def test_long_description(llm: QwenVL) -> None:
    tool = FunctionTool.from_defaults(add, description="Adds. " * 300)
    assert llm.chat_with_tools([tool], user_msg="What is 1 and 2?").message.content


def test_no_tools(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    llm.chat_with_tools([], user_msg="Hello", tool_required=True, allow_parallel_tool_calls=True)
    assert qwen_vl_sandbox.last_request.json.keys() == {"model", "messages"}


def test_parallel_calls(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(BOTH)
    response = llm.chat_with_tools(TOOLS, user_msg="Both!", allow_parallel_tool_calls=True)
    assert qwen_vl_sandbox.last_request.json["parallel_tool_calls"] is True
    calls = llm.get_tool_calls_from_response(response)
    assert [(call.tool_id, call.tool_name, call.tool_kwargs) for call in calls] == [
        ("x", "add", {"a": 1, "b": 2}),
        ("y", "negate", {"a": 7}),
    ]


@pytest.mark.parametrize("is_async", [False, True])
async def test_one_call_where_one_is_allowed(
    is_async: bool, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(BOTH)
    response = (
        await llm.achat_with_tools(TOOLS, user_msg="Both!")
        if is_async
        else llm.chat_with_tools(TOOLS, user_msg="Both!")
    )
    assert "parallel_tool_calls" not in qwen_vl_sandbox.last_request.json
    assert [call.tool_id for call in llm.get_tool_calls_from_response(response)] == ["x"]
    assert len([b for b in response.message.blocks if isinstance(b, ToolCallBlock)]) == 1
    assert [call["id"] for call in response.message.additional_kwargs["tool_calls"]] == ["x"]


async def test_streams_with_tools(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(BOTH, BOTH)
    *_, last = llm.stream_chat_with_tools(TOOLS, user_msg="Both!", allow_parallel_tool_calls=True)
    assert len(llm.get_tool_calls_from_response(last)) == 2
    stream = await llm.astream_chat_with_tools(
        TOOLS, user_msg="Both!", allow_parallel_tool_calls=True
    )
    *_, last = [response async for response in stream]
    assert len(llm.get_tool_calls_from_response(last)) == 2


def test_words_instead_of_a_call(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script("Three.", "Three.")
    response = llm.chat_with_tools(TOOLS, user_msg="What is 1 and 2?")
    with pytest.raises(AnswerFormatError, match=r"'Three\.'"):
        llm.get_tool_calls_from_response(response)
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []


async def test_predict_and_call(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    one = ScriptedAnswer(tool_calls=(ToolCall("add", {"a": 1, "b": 2}),))
    qwen_vl_sandbox.script(one, one, BOTH)
    assert llm.predict_and_call(TOOLS, user_msg="What is 1 and 2?").response == "3"
    assert (await llm.apredict_and_call(TOOLS, user_msg="What is 1 and 2?")).response == "3"
    both = llm.predict_and_call(TOOLS, user_msg="Both!", allow_parallel_tool_calls=True)
    assert [source.content for source in both.sources] == ["3", "-7"]


def test_whole_round(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(BOTH)
    history = [ChatMessage("Both!")]
    first = llm.chat_with_tools(TOOLS, chat_history=history, allow_parallel_tool_calls=True)
    results = [
        ChatMessage(content, role="tool", additional_kwargs={"tool_call_id": call_id})
        for call_id, content in (("x", "3"), ("y", "-7"))
    ]
    llm.chat_with_tools(TOOLS, chat_history=[*history, first.message, *results])
    sent = qwen_vl_sandbox.last_request.json["messages"]
    assert sent == [
        {"role": "user", "content": "Both!"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "x",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'},
                },
                {
                    "id": "y",
                    "type": "function",
                    "function": {"name": "negate", "arguments": '{"a": 7}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "x", "content": "3"},
        {"role": "tool", "tool_call_id": "y", "content": "-7"},
    ]
    assert history == [ChatMessage("Both!")]


@pytest.mark.parametrize("model", ["qwen3.8-flash", "qwen3.6-plus"])
def test_forced_tool_turns_thinking_off_for_one_request(
    model: str, make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    llm = make_llm(model)
    llm.chat_with_tools(TOOLS, user_msg="What is 1 and 2?", tool_required=True)
    assert qwen_vl_sandbox.last_request.json["enable_thinking"] is False
    llm.chat_with_tools(TOOLS, user_msg="What is 1 and 2?")
    assert "enable_thinking" not in qwen_vl_sandbox.last_request.json


def test_forced_tool_and_thinking_asked_for(make_llm: MakeLlm, qwen_vl_sandbox: Sandbox) -> None:
    llm = make_llm("qwen3.8-flash", enable_thinking=True)
    with pytest.warns(UserWarning, match="forced tool"):
        llm.chat_with_tools(TOOLS, user_msg="What is 1 and 2?", tool_required=True)
    assert qwen_vl_sandbox.last_request.json["enable_thinking"] is False
