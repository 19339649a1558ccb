"""LangChain's messages and the turns that they stand for, and answers as LangChain's messages."""

import json
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages import AIMessageChunk as LangChainMessageChunk

from langchain_qwen_vl.messages import (
    AIMessageChunk,
    read_call,
    to_chunk,
    to_message,
    to_metadata,
    to_turns,
    to_usage_metadata,
)
from qwen_vl.content import File, Image, Inline, Reasoning, Text, ToolCall, ToolResult, Turn, Url
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.reply import Delta, Reply, ResponseMetadata, ToolCallDelta, Usage
from qwen_vl.reply import ToolCall as ReplyToolCall

CAT = Url("https://example.com/cat.png")
CALL = {"name": "look", "args": {"at": "ä"}, "id": "a", "type": "tool_call"}
WRONG = {"name": "look", "args": '{"at"', "id": "b", "type": "invalid_tool_call", "error": None}
OWN_CALL = ToolCall(id="a", name="look", arguments='{"at": "ä"}')
USED = {"type": "tool_use", "id": "a", "name": "look", "input": {"at": "ä"}}


@pytest.mark.parametrize(
    ("message", "turn"),
    [
        (HumanMessage("Hi", name="ann"), Turn(role="user", parts=(Text(text="Hi"),), name="ann")),
        (SystemMessage("Hi"), Turn(role="system", parts=(Text(text="Hi"),))),
        (ChatMessage("Hi", role="developer"), Turn(role="system", parts=(Text(text="Hi"),))),
        (ChatMessage("Hi", role="human"), Turn(role="user", parts=(Text(text="Hi"),))),
        (ChatMessage("Hi", role="ai"), Turn(role="assistant", parts=(Text(text="Hi"),))),
        (
            HumanMessage(["Hi", {"type": "image", "url": CAT.url}]),
            Turn(role="user", parts=(Text(text="Hi"), Image(source=CAT))),
        ),
        (
            AIMessage("Hi", name="bob", additional_kwargs={"partial": True}),
            Turn(role="assistant", parts=(Text(text="Hi"),), name="bob", is_partial=True),
        ),
        # Reasoning, which may stand beside the content and in it.
        (
            AIMessage("Hi", additional_kwargs={"reasoning_content": "Hm."}),
            Turn(role="assistant", parts=(Reasoning(text="Hm."), Text(text="Hi"))),
        ),
        (
            AIMessage(
                [{"type": "reasoning", "reasoning": "Hm."}, "Hi"],
                additional_kwargs={"reasoning_content": "Hm."},
            ),
            Turn(role="assistant", parts=(Reasoning(text="Hm."), Text(text="Hi"))),
        ),
        (
            AIMessage([{"type": "reasoning", "reasoning": "Hm."}, "Hi"]),
            Turn(role="assistant", parts=(Reasoning(text="Hm."), Text(text="Hi"))),
        ),
        (
            AIMessage(
                [{"type": "reasoning", "reasoning": "Hm.", "extras": {"encrypted_content": "gA"}}],
                additional_kwargs={"reasoning_content": "Hm."},
            ),
            Turn(
                role="assistant",
                parts=(Reasoning(text="Hm."), Reasoning(text="", encrypted_content="gA")),
            ),
        ),
        (
            AIMessage("Hi", additional_kwargs={"encrypted_content": "gA"}),
            Turn(
                role="assistant",
                parts=(Reasoning(text="", encrypted_content="gA"), Text(text="Hi")),
            ),
        ),
        # That of another provider cannot be read here.
        (
            AIMessage(
                [
                    {"type": "reasoning", "reasoning": "", "extras": {"encrypted_content": "gA"}},
                    "Hi",
                ],
                additional_kwargs={"encrypted_content": "gA"},
                response_metadata={"model_provider": "openai"},
            ),
            Turn(role="assistant", parts=(Text(text="Hi"),)),
        ),
        (
            AIMessage(
                "Hi",
                additional_kwargs={"encrypted_content": "gA"},
                response_metadata={"model_provider": "qwen_vl"},
            ),
            Turn(
                role="assistant",
                parts=(Reasoning(text="", encrypted_content="gA"), Text(text="Hi")),
            ),
        ),
        # Tool calls, which may be in the content only, or be repeated there.
        (
            AIMessage("", tool_calls=[CALL], invalid_tool_calls=[WRONG]),
            Turn(
                role="assistant",
                parts=(
                    Text(text=""),
                    OWN_CALL,
                    ToolCall(id="b", name="look", arguments='{"at"'),
                ),
            ),
        ),
        (
            AIMessage([USED], tool_calls=[CALL]),
            Turn(role="assistant", parts=(OWN_CALL,)),
        ),
        (AIMessage([USED]), Turn(role="assistant", parts=(OWN_CALL,))),
        (
            AIMessage([{"type": "function_call", "call_id": "a", "id": "x", "name": "look"}]),
            Turn(role="assistant", parts=(ToolCall(id="a", name="look", arguments="{}"),)),
        ),
        (
            AIMessage([{"type": "function_call", "name": "look", "arguments": '{"at": 1}'}]),
            Turn(role="assistant", parts=(ToolCall(id="", name="look", arguments='{"at": 1}'),)),
        ),
        (
            AIMessage(
                [{"type": "tool_call_chunk", "args": "{}"}, {"type": "input_json_delta"}, "Hi"]
            ),
            Turn(role="assistant", parts=(Text(text="Hi"),)),
        ),
        (
            AIMessage("", invalid_tool_calls=[{**WRONG, "id": None, "name": None, "args": None}]),
            Turn(
                role="assistant",
                parts=(Text(text=""), ToolCall(id="", name="", arguments="")),
            ),
        ),
        (
            ToolMessage("Found.", tool_call_id="a"),
            Turn(role="tool", parts=(ToolResult(tool_call_id="a", parts=(Text(text="Found."),)),)),
        ),
        (
            ToolMessage(
                "Found.",
                tool_call_id="a",
                artifact=(
                    SimpleNamespace(type="image", data="QUJD", mimeType="image/png"),
                    {"type": "resource_link", "uri": "demo://a", "title": "A", "mimeType": "a/b"},
                    {"type": "resource", "resource": {"uri": "demo://a", "blob": "QUJD"}},
                    {"type": "resource", "resource": {"uri": "u", "text": "T", "mime_type": "a/b"}},
                ),
            ),
            Turn(
                role="tool",
                parts=(
                    ToolResult(
                        tool_call_id="a",
                        parts=(
                            Text(text="Found."),
                            Image(source=Inline("QUJD")),
                            File(source=Url("demo://a"), media_type="a/b", title="A"),
                            File(source=Inline("QUJD"), title="demo://a"),
                            File(source=Inline(b"T"), media_type="a/b", title="u"),
                        ),
                    ),
                ),
            ),
        ),
    ],
)
def test_turns(message: Any, turn: Turn) -> None:
    assert to_turns([HumanMessage(""), message])[1] == turn


def test_places_are_those_of_the_messages() -> None:
    answer = AIMessage(["a", {"type": "image", "url": CAT.url}], tool_calls=[CALL])
    result = ToolMessage([{"type": "text", "text": "b"}], tool_call_id="a", artifact=[{"x": 1}])
    asked, said, told = to_turns([HumanMessage("Hi"), answer, result])

    assert [part.where for part in asked.parts] == ["messages[0].content"]
    assert [part.where for part in said.parts] == [
        "messages[1].content[0]",
        "messages[1].content[1]",
        "messages[1]",
    ]
    (held,) = told.parts
    assert isinstance(held, ToolResult)
    assert (held.where, held.parts[0].where) == ("messages[2]", "messages[2].content[0]")


@pytest.mark.parametrize(
    ("message", "where", "words"),
    [
        (ChatMessage("Hi", role="critic"), "messages[0]", "A message of type 'chat' is not"),
        (FunctionMessage("Hi", name="f"), "messages[0]", "A message of type 'function' is not"),
        (
            AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
            "messages[0].additional_kwargs",
            "A function_call, which OpenAI's API has given up",
        ),
        (
            AIMessage("", tool_calls=[{**CALL, "args": {"at": {1}}}]),
            "messages[0]",
            "The arguments of a tool call are not JSON",
        ),
    ],
)
def test_errors(message: Any, where: str, words: str) -> None:
    with pytest.raises(UnsupportedContentError) as caught:
        to_turns([message])
    assert (caught.value.where, caught.value.problem[: len(words)]) == (where, words)
    assert caught.value.remedy


USAGE = Usage(
    input_tokens=5,
    output_tokens=3,
    total_tokens=8,
    image_tokens=2,
    cached_tokens=1,
    reasoning_tokens=0,
    raw={"total_tokens": 8},
)
COUNTS = {
    "input_tokens": 5,
    "output_tokens": 3,
    "total_tokens": 8,
    "input_token_details": {"cache_read": 1, "image": 2},
    "output_token_details": {"reasoning": 0},
}


def test_counts_have_the_names_of_langchain() -> None:
    assert to_usage_metadata(USAGE) == COUNTS
    assert to_usage_metadata(None) is None


def test_metadata_is_what_was_reported() -> None:
    assert to_metadata(None, None) == {"model_provider": "qwen_vl"}
    metadata = ResponseMetadata(
        model="m",
        id="i",
        request_id="r",
        finish_reason="stop",
        usage=USAGE,
        is_truncated=True,
        image_hw=((4, 5),),
        ocr_result={"text": "a"},
        search_info={"results": []},
    )
    assert to_metadata(metadata, {"content": []}) == {
        "model_provider": "qwen_vl",
        "model_name": "m",
        "id": "i",
        "request_id": "r",
        "finish_reason": "stop",
        "logprobs": {"content": []},
        "token_usage": {"total_tokens": 8},
        "is_truncated": True,
        "image_hw": [[4, 5]],
        "ocr_result": {"text": "a"},
        "search_info": {"results": []},
    }


def test_answer_is_a_message() -> None:
    calls = (
        ReplyToolCall(id="a", name="look", arguments='{"at": 1}'),
        ReplyToolCall(id="", name="look", arguments='{"at"'),
    )
    reply = Reply(
        text="Hi", reasoning="Hm.", encrypted_content="gA", tool_calls=calls, usage=USAGE, model="m"
    )
    message = to_message(reply)

    assert message.content == "Hi"
    assert message.additional_kwargs == {"reasoning_content": "Hm.", "encrypted_content": "gA"}
    assert message.usage_metadata == COUNTS
    assert message.response_metadata["model_name"] == "m"
    assert message.tool_calls == [{**CALL, "args": {"at": 1}}]
    (wrong,) = message.invalid_tool_calls
    assert (wrong["id"], wrong["name"], wrong["args"]) == (None, "look", '{"at"')
    assert wrong["error"]
    assert to_message(Reply(text="Hi")).additional_kwargs == {}


def test_calls_are_read_whole() -> None:
    assert read_call("look", '{"at": 1}', "a") == {**CALL, "args": {"at": 1}}
    nameless = read_call(None, "{}", None)
    assert (nameless["type"], nameless["args"]) == ("invalid_tool_call", "{}")
    assert nameless["error"] == "The call does not name a tool."
    wrong = read_call("look", "[1]", "a")
    assert (wrong["type"], wrong["args"]) == ("invalid_tool_call", "[1]")


def delta(arguments: str, **fields: Any) -> Delta:
    piece = ToolCallDelta(index=0, id="a", name="look", arguments=arguments)
    return Delta(tool_calls=(piece,), **fields)


@pytest.mark.parametrize(
    ("arguments", "read"),
    [
        ("", {}),
        ('{"at": "ca', {"at": "ca"}),
        ('{"at": 1}', {"at": 1}),
        (' \t\r\n{"at": 1}', {"at": 1}),
        ('"at": 1}', None),
        ("[1]", None),
        ("{" * 129, None),
        # What is long is read when it is whole.
        ('{"at": "' + "x" * 4_087 + "y", {"at": "x" * 4_087 + "y"}),
        ('{"at": "' + "x" * 4_088 + "y", None),
        ('{"at": "' + "x" * 5_000 + '"}', {"at": "x" * 5_000}),
    ],
)
def test_calls_that_are_coming_are_read_as_far_as_they_came(arguments: str, read: Any) -> None:
    chunk = to_chunk(delta(arguments))
    assert chunk.tool_call_chunks[0]["args"] == arguments
    if read is None:
        assert [call["args"] for call in chunk.invalid_tool_calls] == [arguments]
        assert chunk.tool_calls == []
    else:
        assert [call["args"] for call in chunk.tool_calls] == [read]
        assert chunk.invalid_tool_calls == []


def test_call_of_an_answer_that_has_ended_is_not_completed() -> None:
    ended = to_chunk(delta('{"at": "ca', metadata=ResponseMetadata(finish_reason="length")))
    assert (ended.tool_calls, len(ended.invalid_tool_calls)) == ([], 1)
    last = to_chunk(delta('{"at": "ca')) + LangChainMessageChunk(content="", chunk_position="last")
    assert (last.tool_calls, len(last.invalid_tool_calls)) == ([], 1)
    going_on = to_chunk(delta('{"at": "ca')) + to_chunk(Delta(text="x"))
    assert (len(going_on.tool_calls), going_on.invalid_tool_calls) == (1, [])


def test_chunks() -> None:
    assert to_chunk(Delta(text="Hi")).response_metadata == {"model_provider": "qwen_vl"}
    chunk = to_chunk(Delta(text="Hi", reasoning="Hm.", logprobs={"content": []}))
    assert chunk.response_metadata["logprobs"] == {"content": []}
    assert chunk.additional_kwargs == {"reasoning_content": "Hm."}
    assert chunk.usage_metadata is None
    counted = to_chunk(Delta(text="", metadata=ResponseMetadata(usage=USAGE)))
    assert counted.usage_metadata == COUNTS


def test_chunk_made_of_calls_has_their_pieces() -> None:
    chunk = AIMessageChunk(content="", tool_calls=[CALL], invalid_tool_calls=[WRONG])
    assert [
        (one["name"], one["args"], one["id"], one["index"]) for one in chunk.tool_call_chunks
    ] == [
        ("look", json.dumps({"at": "ä"}), "a", None),
        ("look", '{"at"', "b", None),
    ]


def test_chunk_is_langchains_own_to_all_others() -> None:
    chunk = to_chunk(Delta(text="Hi"))
    theirs = LangChainMessageChunk(content="Hi", response_metadata={"model_provider": "qwen_vl"})
    assert pickle.loads(pickle.dumps(chunk)) == theirs
    assert type(pickle.loads(pickle.dumps(chunk))) is LangChainMessageChunk
    assert chunk == theirs
    assert chunk != to_chunk(Delta(text="Ho"))
    assert chunk != "Hi"
    total = theirs + chunk
    assert (type(total), total.content) == (AIMessageChunk, "HiHi")
    with pytest.raises(TypeError):
        "Hi" + chunk  # type: ignore[operator]


def test_calls_in_the_content_of_a_whole_stream_are_whole() -> None:
    piece = {"type": "tool_call_chunk", "id": "a", "args": "{}", "extras": {"x": 1}}
    other = {"type": "tool_call_chunk", "id": "z", "args": "{}"}
    chunk = AIMessageChunk(
        content=["Hi", piece, {**other}],
        tool_call_chunks=[
            {"name": "look", "args": "{}", "id": "a", "index": 0, "type": "tool_call_chunk"}
        ],
        chunk_position="last",
    )
    assert chunk.content == ["Hi", {**CALL, "args": {}, "extras": {"x": 1}}, other]
