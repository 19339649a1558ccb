"""Tools: what is bound, what is sent, what comes back, whole and streamed."""

import functools
import json
import operator
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    InvalidToolCall,
    ToolMessage,
)
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_qwen_vl import ChatQwenVL
from qwen_vl.errors import ConfigurationError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall
from qwen_vl_sandbox.specs.servers import ServerName

MakeChat = Callable[..., ChatQwenVL]


@tool
def weather_tool(city: str) -> str:
    """Tell the weather."""
    return f"Rain in {city}."


def weather_function(city: str) -> str:
    """Tell the weather."""
    return f"Rain in {city}."


class WeatherModel(BaseModel):
    """Tell the weather."""

    city: str


class WeatherDict(TypedDict):
    """Tell the weather."""

    city: Annotated[str, ..., ""]


PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
OPENAI_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": PARAMETERS,
    },
}
JSON_SCHEMA = {"title": "weather", "description": "Tell the weather.", **PARAMETERS}
ANTHROPIC_TOOL = {
    "name": "weather",
    "description": "Tell the weather.",
    "input_schema": PARAMETERS,
    "cache_control": {"type": "ephemeral"},
}


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (weather_tool, "weather_tool"),
        (weather_function, "weather_function"),
        (WeatherModel, "WeatherModel"),
        (WeatherDict, "WeatherDict"),
        (JSON_SCHEMA, "weather"),
        (OPENAI_TOOL, "weather"),
        (ANTHROPIC_TOOL, "weather"),
    ],
    ids=["tool", "function", "pydantic", "TypedDict", "JSON schema", "OpenAI", "Anthropic"],
)
def test_tool_of_any_kind_leaves_as_a_function(
    values: Any, name: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    chat.bind_tools([values]).invoke("Hello")
    at_the_call = chat.invoke("Hello", tools=[values])

    for request in qwen_vl_sandbox.requests:
        (function,) = request.json["tools"]
        assert function["type"] == "function"
        assert function["function"]["name"] == name
        assert function["function"]["description"] == "Tell the weather."
        parameters = function["function"]["parameters"]
        assert parameters["properties"]["city"]["type"] == "string"
        assert parameters["required"] == ["city"]
    assert at_the_call.text


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, "required"),
        (False, "none"),
        ("weather", {"type": "function", "function": {"name": "weather"}}),
        (
            {"type": "function", "function": {"name": "weather"}},
            {"type": "function", "function": {"name": "weather"}},
        ),
    ],
    ids=str,
)
def test_tool_choice_leaves_in_the_service_s_words(
    choice: Any, sent: Any, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    answer = chat.bind_tools([OPENAI_TOOL], tool_choice=choice).invoke("Hangzhou?")
    chat.invoke("Hangzhou?", tools=[OPENAI_TOOL], tool_choice=choice)

    assert [request.json["tool_choice"] for request in qwen_vl_sandbox.requests] == [sent] * 2
    assert bool(answer.tool_calls) is (sent not in ("auto", "none"))


def test_tool_choice_without_such_a_tool_is_refused(chat: ChatQwenVL) -> None:
    with pytest.raises(ConfigurationError, match="weather"):
        chat.bind_tools([OPENAI_TOOL], tool_choice="wether")


@pytest.mark.parametrize("value", [True, False])
def test_parallel_and_strict_reach_the_wire(
    value: bool, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    chat.bind_tools([WeatherModel], parallel_tool_calls=value, strict=value).invoke("Hello")
    body = qwen_vl_sandbox.last_request.json

    assert body["parallel_tool_calls"] is value
    assert body["tools"][0]["function"]["strict"] is value


@pytest.mark.openai_wire
def test_no_tools_are_left_out(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": PARAMETERS}}
    chat.bind_tools([]).invoke("Hello")
    first = qwen_vl_sandbox.last_request.json
    chat.bind_tools([], tool_choice="any", response_format=schema, model="qwen3.7-plus").invoke("A")
    second = qwen_vl_sandbox.last_request.json

    assert first.keys() == {"model", "messages"}
    assert second["response_format"] == schema
    assert not {"tools", "tool_choice"} & second.keys()


def test_calls_are_parsed_and_broken_ones_kept(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    calls = (
        ToolCall("weather", {"city": "杭州"}, id="a"),
        ToolCall("weather", '{"city": ', id="b"),
        ToolCall("weather", "[1]", id="c"),
        ToolCall("weather", "", id="d"),
    )
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=calls))
    answer = chat.bind_tools([OPENAI_TOOL]).invoke("Weather?")

    assert [(call["id"], call["args"]) for call in answer.tool_calls] == [
        ("a", {"city": "杭州"}),
        ("d", {}),
    ]
    assert [(call["id"], call["args"]) for call in answer.invalid_tool_calls] == [
        ("b", '{"city": '),
        ("c", "[1]"),
    ]
    assert all(call["error"] for call in answer.invalid_tool_calls)
    assert answer.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("output_version", [None, "v1"])
def test_streamed_calls_merge_by_index(
    output_version: str | None, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    calls = (
        ToolCall("weather", {"city": "杭州"}, id="a"),
        ToolCall("weather", {"city": "Paris"}, id="b"),
    )
    qwen_vl_sandbox.script(ScriptedAnswer(text="I look.", tool_calls=calls))
    chat = make_chat(output_version=output_version).bind_tools([OPENAI_TOOL])
    whole: AIMessageChunk | None = None
    for chunk in chat.stream("Weather?"):
        whole = chunk if whole is None else whole + chunk

    assert whole is not None
    assert [(c["id"], c["name"], c["args"]) for c in whole.tool_calls] == [
        ("a", "weather", {"city": "杭州"}),
        ("b", "weather", {"city": "Paris"}),
    ]
    kinds = [block["type"] for block in whole.content_blocks]
    assert kinds == ["text", "tool_call", "tool_call"]


def test_chunk_of_text_and_call_pieces_is_read_as_both(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    chunk = AIMessageChunk(
        content="I look.",
        tool_call_chunks=[
            {"name": "weather", "args": '{"ci', "id": "a", "index": 0, "type": "tool_call_chunk"}
        ],
        response_metadata={"model_provider": "qwen_vl"},
    )

    # LangChain's own guess makes a whole call with half its arguments of it.
    text, piece = chunk.content_blocks
    assert (text["type"], text["text"]) == ("text", "I look.")
    assert (piece["type"], piece["id"], piece["args"]) == ("tool_call_chunk", "a", '{"ci')
    assert text["index"] != piece["index"]


def test_history_of_calls_goes_back_as_it_came(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(
        ScriptedAnswer(
            reasoning="I need the weather.",
            tool_calls=(ToolCall("weather", {"city": "杭州"}, id="call_1"),),
        )
    )
    model = chat.bind_tools([OPENAI_TOOL])
    question = HumanMessage("Weather?")
    answer = model.invoke([question])
    model.invoke([question, answer, ToolMessage("Rain.", tool_call_id="call_1")])

    # OpenAI-Chat page (2026-10): reasoning goes back within the tool loop.
    assert qwen_vl_sandbox.last_request.json["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "I need the weather.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "杭州"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
    ]


@pytest.mark.parametrize(
    "content",
    [
        [{"type": "tool_use", "id": "a", "name": "weather", "input": {"city": "Paris"}}],
        [{"type": "tool_call", "id": "a", "name": "weather", "args": {"city": "Paris"}}],
        [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "tool_use", "id": "a", "name": "weather", "input": {}},
        ],
        [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": ""}],
        "",
    ],
    ids=["Anthropic", "v1", "Anthropic, thinking", "v1, reasoning", "text"],
)
def test_calls_of_other_models_histories_leave_once(
    content: Any, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    call = {"name": "weather", "args": {"city": "Paris"}, "id": "a", "type": "tool_call"}
    history = [
        HumanMessage("Weather?"),
        AIMessage(content, tool_calls=[call]),
        ToolMessage("Rain.", tool_call_id="a"),
    ]
    chat.bind_tools([OPENAI_TOOL]).invoke(history)
    sent = qwen_vl_sandbox.last_request.json["messages"][1]

    assert sent["content"] == ""
    assert [c["function"]["arguments"] for c in sent["tool_calls"]] == ['{"city": "Paris"}']


def test_broken_arguments_in_history_are_sent_as_json_that_holds_them(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    broken = InvalidToolCall(
        type="invalid_tool_call", name="weather", args='{"city": ', id="a", error="cut"
    )
    history = [
        HumanMessage("Weather?"),
        AIMessage("", invalid_tool_calls=[broken]),
        ToolMessage("The arguments were cut off.", tool_call_id="a", status="error"),
    ]
    chat.bind_tools([OPENAI_TOOL]).invoke(history)
    sent = qwen_vl_sandbox.last_request.json["messages"]

    arguments = json.loads(sent[1]["tool_calls"][0]["function"]["arguments"])
    assert arguments == {"_invalid_arguments": '{"city": '}
    # The message itself stays as it was.
    assert history[1] == AIMessage("", invalid_tool_calls=[broken])
    assert sent[2]["content"] == "The arguments were cut off."


@pytest.mark.openai_wire
@pytest.mark.parametrize("server", ["vllm", "sglang", "llamacpp", "ollama"])
def test_conversation_goes_on_after_broken_arguments(server: ServerName) -> None:
    with Sandbox(server=server) as sandbox:
        model = ChatQwenVL(
            model="Qwen/Qwen3-VL-8B-Instruct", server=server, base_url=sandbox.base_url
        )
        question = HumanMessage("Weather?")
        for cut in ('{"city": ', "[1]", '{"x": NaN}', '{"x": ' + "1" * 5_000 + "}", ""):
            sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("weather", cut, id="a"),)))
            tools = [OPENAI_TOOL]
            answer = model.bind_tools(tools).invoke([question])
            result = ToolMessage("The arguments were cut off.", tool_call_id="a", status="error")
            assert model.bind_tools(tools).invoke([question, answer, result]).text
            assert sandbox.last_request.unknown_fields == ()


@pytest.mark.parametrize("args", ['{"x": ' + "1" * 5_000 + "}", '{"x": ' * 1_500 + "}" * 1_500])
def test_arguments_that_python_cannot_read_are_invalid(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox, args: str
) -> None:
    tools = chat.bind_tools([OPENAI_TOOL])
    qwen_vl_sandbox.script(*[ScriptedAnswer(tool_calls=(ToolCall("weather", args),))] * 2)
    streamed = functools.reduce(operator.add, tools.stream("Weather?"))
    for answer in (tools.invoke("Weather?"), streamed):
        assert (answer.tool_calls, answer.invalid_tool_calls[0]["args"]) == ([], args)


def test_picture_and_tools_go_together(chat: ChatQwenVL) -> None:
    question = HumanMessage(
        [{"type": "image", "image": CHELSEA}, 'Use weather with city="杭州" for it.']
    )
    answer = chat.bind_tools([OPENAI_TOOL]).invoke([question])

    assert answer.tool_calls[0]["args"] == {"city": "杭州"}
