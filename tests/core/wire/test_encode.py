"""The OpenAI-compatible body of conversations that no single content block shows.

Forms: OpenAI-Chat page (2026-10), Function calling page (2026-07).
"""

import json
from typing import Any

import orjson
import pytest

from qwen_vl.content import Audio, Image, Reasoning, Text, ToolCall, ToolResult, Turn, Url
from qwen_vl.errors import ConfigurationError, MediaTooLargeError, UnsupportedContentError
from qwen_vl.request.types import Request
from qwen_vl.wire import native, openai
from qwen_vl.wire.openai import encode_request

IMAGE = Image(source=Url("https://example.com/a.png"), where="messages[1].content[0]")
PICTURE_JSON = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}


def encode(*turns: Turn, model: str = "qwen3-vl-plus", **parameters: Any) -> dict[str, Any]:
    body = bytes(encode_request(Request(model=model, turns=turns, parameters=parameters)))
    decoded: dict[str, Any] = orjson.loads(body)
    return decoded


def user(*parts: Any) -> Turn:
    return Turn(role="user", parts=parts)


def assistant(*parts: Any, is_partial: bool = False) -> Turn:
    return Turn(role="assistant", parts=parts, is_partial=is_partial)


def tool(call_id: str, *parts: Any) -> Turn:
    return Turn(role="tool", parts=(ToolResult(tool_call_id=call_id, parts=parts),))


def test_parameters_stand_at_the_top_level() -> None:
    body = encode(user(Text(text="Hi")), temperature=0.2, enable_thinking=False, top_k=5)

    assert body == {
        "model": "qwen3-vl-plus",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.2,
        "enable_thinking": False,
        "top_k": 5,
    }


def test_tool_calls_and_results_stand_in_their_own_messages() -> None:
    body = encode(
        user(Text(text="Weather?")),
        assistant(ToolCall(id="call_1", name="weather", arguments='{"city":"杭州"}')),
        tool("call_1", Text(text="Rain.")),
    )

    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"杭州"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
    ]


def test_media_of_tool_results_follows_the_whole_run_of_them() -> None:
    calls = [ToolCall(id=name, name="look", arguments="{}") for name in ("a", "b")]
    body = encode(
        user(Text(text="Look.")),
        assistant(*calls),
        tool("a", Text(text="The left half."), IMAGE),
        tool("b", IMAGE),
        user(Text(text="Well?")),
    )

    note = "The pictures or videos of this result follow in the next message (1)."
    assert body["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": f"The left half.\n{note}"},
        {"role": "tool", "tool_call_id": "b", "content": note},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "From tool call a:"},
                PICTURE_JSON,
                {"type": "text", "text": "From tool call b:"},
                PICTURE_JSON,
            ],
        },
        {"role": "user", "content": "Well?"},
    ]


@pytest.mark.parametrize(
    ("model", "parameters", "is_sent"),
    [
        ("qwen3-vl-plus", {}, False),
        ("qwen3.8-flash", {}, True),
        ("qwen3.8-flash", {"preserve_thinking": False}, False),
        ("qwen3.7-plus", {}, False),
        ("qwen3.7-plus", {"preserve_thinking": True}, True),
    ],
)
def test_earlier_reasoning_is_sent_where_the_model_reads_it(
    model: str, parameters: dict[str, Any], is_sent: bool
) -> None:
    body = encode(
        user(Text(text="One?")),
        assistant(Reasoning(text="Hm."), Text(text="Two.")),
        user(Text(text="Sure?")),
        model=model,
        **parameters,
    )

    expected = {"role": "assistant", "content": "Two."}
    with_reasoning = {**expected, "reasoning_content": "Hm."}
    assert body["messages"][1] == (with_reasoning if is_sent else expected)


def test_reasoning_of_the_running_tool_loop_is_sent_to_every_model() -> None:
    body = encode(
        user(Text(text="Look.")),
        assistant(Reasoning(text="I should look."), ToolCall(id="a", name="look", arguments="{}")),
        tool("a", Text(text="A cat.")),
    )

    assert body["messages"][1]["reasoning_content"] == "I should look."


def test_beginning_of_an_answer_is_marked_as_partial() -> None:
    body = encode(user(Text(text="Go on.")), assistant(Text(text="Once"), is_partial=True))

    assert body["messages"][1] == {"role": "assistant", "content": "Once", "partial": True}


def test_sound_leaves_as_input_audio() -> None:
    sound = Audio(source=Url("https://example.com/a.mp3"), format="mp3")

    assert encode(user(sound), model="qwen3.8-omni-flash")["messages"][0]["content"] == [
        {
            "type": "input_audio",
            "input_audio": {"data": "https://example.com/a.mp3", "format": "mp3"},
        }
    ]


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_picture_in_a_message_that_takes_text_alone_is_refused(role: Any) -> None:
    with pytest.raises(UnsupportedContentError, match=rf"messages\[1\].content\[0\].*{role}"):
        encode(Turn(role=role, parts=(IMAGE,)))


def test_body_over_the_limit_is_refused() -> None:
    with pytest.raises(MediaTooLargeError, match="67,108,864") as caught:
        encode(user(Text(text="a" * (64 * 2**20))))

    assert caught.value.limit == 64 * 2**20


OBJECTS = {
    "plain": '{"city":"杭州"}',
    "spaced": ' {"city" : "Paris"}\n',
    "empty": "{}",
    "key twice": '{"x": 1, "x": 2}',
    "beyond 64 bits": '{"x": 18446744073709551616000}',
    "escaped": '{"x": "\\ud83d\\ude00 \\u0000"}',
    "deep": '{"x": ' * 500 + "1" + "}" * 500,
}
BROKEN = {
    "cut off": '{"path": "log.txt", "text": "',
    "words": "the left half",
    "quotes of Python": "{'x': 1}",
    "list": '[{"x": 1}]',
    "text": '"x"',
    "number": "3",
    "null": "null",
    "NaN": '{"x": NaN}',
    "Infinity": '{"x": -Infinity}',
    "beyond a double": '{"x": 1e999}',
    "5,000 digits": '{"x": ' + "1" * 5_000 + "}",
    "half a pair, escaped": '{"x": "\\ud83d"}',
    "1,500 deep": '{"x": ' * 1_500 + "1" + "}" * 1_500,
    "two objects": '{"x": 1}{"y": 2}',
    "comma too many": '{"x": 1,}',
    "byte order mark": "\ufeff{}",
    "line break in a text": '{"x": "a\nb"}',
}


def send_arguments(arguments: str, wire: Any) -> str:
    call = ToolCall(id="a", name="write", arguments=arguments)
    turns = (user(Text(text="Write.")), assistant(call), tool("a", Text(text="No.")))
    body = orjson.loads(bytes(wire.encode_request(Request(model="qwen3-vl-plus", turns=turns))))
    messages = body["messages"] if "messages" in body else body["input"]["messages"]
    sent: str = messages[1]["tool_calls"][0]["function"]["arguments"]
    return sent


@pytest.mark.parametrize("wire", [openai, native])
@pytest.mark.parametrize("arguments", OBJECTS.values(), ids=OBJECTS)
def test_arguments_that_are_an_object_leave_byte_for_byte(arguments: str, wire: Any) -> None:
    assert send_arguments(arguments, wire) == arguments


@pytest.mark.parametrize("wire", [openai, native])
@pytest.mark.parametrize("arguments", BROKEN.values(), ids=BROKEN)
def test_other_arguments_leave_in_an_object(arguments: str, wire: Any) -> None:
    sent = send_arguments(arguments, wire)
    # By the strictest reader of the servers, and by that of vLLM.
    assert orjson.loads(sent) == json.loads(sent) == {"_invalid_arguments": arguments}


@pytest.mark.parametrize("arguments", ["", " \n"])
def test_no_arguments_leave_as_an_empty_object(arguments: str) -> None:
    assert send_arguments(arguments, openai) == "{}"


def test_half_a_surrogate_pair_in_arguments_leaves_escaped() -> None:
    sent = send_arguments('{"x": "\ud83d"}', openai)
    assert orjson.loads(sent) == {"_invalid_arguments": '{"x": "\\ud83d"}'}


@pytest.mark.parametrize(
    "value", [object(), 2**70, {1}, "\ud800"], ids=["object", "big", "set", "str"]
)
def test_parameter_that_json_does_not_have_is_named(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^seed cannot be sent as JSON"):
        encode(user(Text(text="Hi")), seed=value)


def test_text_of_a_tool_that_is_no_unicode_leaves_escaped() -> None:
    body = encode(user(Text(text="Hi")), tool("call_1", Text(text="caf\udce9, half: \ud83d")))
    assert body["messages"][-1]["content"] == "caf\\udce9, half: \\ud83d"
