"""Answers as LlamaIndex's responses, with all of their fields, whole and piece by piece."""

from typing import Any

import pytest
from llama_index.core.base.llms.types import LogProb, TextBlock, ThinkingBlock, ToolCallBlock

from llama_index.llms.qwen_vl.responses import (
    ResponseBuilder,
    find_cut,
    keep_first_call,
    select_tools,
    to_chat_response,
    to_completion_response,
)
from qwen_vl.content import ToolCall
from qwen_vl.errors import AnswerFormatError
from qwen_vl.reply import Delta, Reply, ResponseMetadata, ToolCallDelta, Usage

USAGE = Usage(
    input_tokens=5,
    output_tokens=3,
    total_tokens=8,
    image_tokens=2,
    reasoning_tokens=1,
    raw={"total_tokens": 8},
)
LOOK = ToolCall(id="a", name="look", arguments='{"at": 1}')
CUT = ToolCall(id="b", name="look", arguments='{"at": "ca')
LOGPROBS = {
    "content": [
        {"token": "A", "logprob": -0.5, "bytes": [65]},
        {
            "token": "B",
            "top_logprobs": [{"token": "B", "logprob": -1}, {"token": None, "logprob": None}],
        },
    ]
}
READ_LOGPROBS = [
    [LogProb(token="A", logprob=-0.5, bytes=[65])],
    [LogProb(token="B", logprob=-1.0, bytes=[]), LogProb(token="", logprob=0.0, bytes=[])],
]


def test_whole_answer() -> None:
    reply = Reply(
        text="Hi",
        reasoning="Hm.",
        encrypted_content="gA",
        tool_calls=(LOOK,),
        finish_reason="tool_calls",
        usage=USAGE,
        model="m",
        id="i",
        request_id="r",
        logprobs=LOGPROBS,
        is_truncated=True,
        image_hw=((4, 5),),
        ocr_result={"text": "a"},
        search_info={"results": []},
    )
    response = to_chat_response(reply)

    assert response.message.blocks == [
        ThinkingBlock(
            content="Hm.", num_tokens=1, additional_information={"encrypted_content": "gA"}
        ),
        TextBlock(text="Hi"),
        ToolCallBlock(tool_call_id="a", tool_name="look", tool_kwargs={"at": 1}),
    ]
    function = {"name": "look", "arguments": '{"at": 1}'}
    assert response.message.additional_kwargs == {
        "tool_calls": [{"id": "a", "type": "function", "function": function}],
        "encrypted_content": "gA",
    }
    assert response.raw == {
        "id": "i",
        "model": "m",
        "request_id": "r",
        "finish_reason": "tool_calls",
        "usage": {"total_tokens": 8},
    }
    assert response.additional_kwargs == {
        "prompt_tokens": 5,
        "completion_tokens": 3,
        "total_tokens": 8,
        "image_tokens": 2,
        "reasoning_tokens": 1,
        "finish_reason": "tool_calls",
        "request_id": "r",
        "is_truncated": True,
        "image_hw": [[4, 5]],
        "ocr_result": {"text": "a"},
        "search_info": {"results": []},
    }
    assert response.logprobs == READ_LOGPROBS
    completion = to_completion_response(response)
    assert (completion.text, completion.raw, completion.logprobs, completion.additional_kwargs) == (
        *("Hi", response.raw, READ_LOGPROBS),
        response.additional_kwargs,
    )


@pytest.mark.parametrize(
    ("reply", "blocks"),
    [
        (Reply(), [TextBlock(text="")]),
        (Reply(text="Hi"), [TextBlock(text="Hi")]),
        (Reply(reasoning="Hm."), [ThinkingBlock(content="Hm."), TextBlock(text="")]),
        (
            Reply(reasoning="Hm.", usage=USAGE),
            [ThinkingBlock(content="Hm.", num_tokens=1), TextBlock(text="")],
        ),
        (
            Reply(tool_calls=(LOOK, CUT)),
            [
                ToolCallBlock(tool_call_id="a", tool_name="look", tool_kwargs={"at": 1}),
                ToolCallBlock(tool_call_id="b", tool_name="look", tool_kwargs='{"at": "ca'),
            ],
        ),
        # While a stream runs, what has come is completed.
        (
            Reply(text="Hi", tool_calls=(CUT,), has_ended=False),
            [
                TextBlock(text="Hi"),
                ToolCallBlock(tool_call_id="b", tool_name="look", tool_kwargs={"at": "ca"}),
            ],
        ),
        (
            Reply(tool_calls=(CUT,), has_ended=False, finish_reason="length"),
            [ToolCallBlock(tool_call_id="b", tool_name="look", tool_kwargs='{"at": "ca')],
        ),
        (
            Reply(tool_calls=(ToolCall(id="a", name="f", arguments=""),), has_ended=False),
            [ToolCallBlock(tool_call_id="a", tool_name="f", tool_kwargs={})],
        ),
        (
            Reply(tool_calls=(ToolCall(id="a", name="f", arguments="[1]"),), has_ended=False),
            [ToolCallBlock(tool_call_id="a", tool_name="f", tool_kwargs={})],
        ),
        (
            Reply(tool_calls=(ToolCall(id="a", name="f", arguments='"'),), has_ended=False),
            [ToolCallBlock(tool_call_id="a", tool_name="f", tool_kwargs={})],
        ),
    ],
)
def test_blocks(reply: Reply, blocks: list[Any]) -> None:
    response = to_chat_response(reply)
    assert response.message.blocks == blocks
    assert (response.logprobs, "tool_calls" in response.message.additional_kwargs) == (
        None,
        bool(reply.tool_calls),
    )


def test_pieces_add_up() -> None:
    builder = ResponseBuilder()
    first = builder.add(Delta(metadata=ResponseMetadata(id="i", model="m")))
    assert (first.delta, first.raw, first.message.blocks) == (
        "",
        {"id": "i", "model": "m"},
        [TextBlock(text="")],
    )
    thinking = builder.add(Delta(reasoning="Hm."))
    assert thinking.message.blocks == [ThinkingBlock(content="Hm."), TextBlock(text="")]
    assert (thinking.raw, thinking.additional_kwargs) == (first.raw, {"thinking_delta": "Hm."})
    said = builder.add(Delta(text="A", logprobs={"content": LOGPROBS["content"][:1]}))
    assert (said.delta, said.message.content) == ("A", "A")
    assert (said.logprobs, said.additional_kwargs) == (READ_LOGPROBS[:1], {})
    more = builder.add(Delta(text="B", logprobs={"content": LOGPROBS["content"][1:]}))
    assert (more.delta, more.message.content, more.logprobs) == ("B", "AB", READ_LOGPROBS)
    # Earlier responses stay as they were.
    assert said.logprobs == READ_LOGPROBS[:1]
    assert said.message.content == "A"

    piece = ToolCallDelta(index=0, id="a", name="look", arguments='{"at": ')
    called = builder.add(Delta(reasoning="So.", tool_calls=(piece,)))
    assert called.message.blocks == [
        ThinkingBlock(content="Hm.So."),
        TextBlock(text="AB"),
        ToolCallBlock(tool_call_id="a", tool_name="look", tool_kwargs={}),
    ]
    assert called.additional_kwargs == {"thinking_delta": "So."}
    end = ResponseMetadata(finish_reason="tool_calls", usage=USAGE, has_ended=True)
    last = builder.add(Delta(tool_calls=(ToolCallDelta(index=0, arguments="1}"),), metadata=end))
    assert last.message.blocks[-1].tool_kwargs == {"at": 1}  # type: ignore[union-attr]
    assert last.raw == {
        "id": "i",
        "model": "m",
        "finish_reason": "tool_calls",
        "usage": {"total_tokens": 8},
    }
    assert last.logprobs == READ_LOGPROBS
    assert last.additional_kwargs["total_tokens"] == 8


def test_encrypted_reasoning_of_a_stream_is_in_each_response() -> None:
    builder = ResponseBuilder()
    builder.add(Delta(encrypted_content="gA"))
    response = builder.add(Delta(text="Hi"))
    assert response.message.additional_kwargs == {"encrypted_content": "gA"}
    thinking = response.message.blocks[0]
    assert isinstance(thinking, ThinkingBlock)
    assert thinking.additional_information == {"encrypted_content": "gA"}


def test_one_call_is_left_where_one_was_allowed() -> None:
    one = to_chat_response(Reply(text="Hi", tool_calls=(LOOK,)))
    assert keep_first_call(one) is one
    none = to_chat_response(Reply(text="Hi"))
    assert keep_first_call(none) is none
    two = to_chat_response(Reply(text="Hi", tool_calls=(LOOK, CUT)))
    kept = keep_first_call(two)
    assert kept.message.blocks == two.message.blocks[:2]
    assert kept.message.additional_kwargs == one.message.additional_kwargs
    assert len(two.message.blocks) == 3


def test_calls_that_cannot_be_run_raise() -> None:
    assert [
        (each.tool_id, each.tool_name, each.tool_kwargs)
        for each in select_tools(to_chat_response(Reply(tool_calls=(LOOK,))))
    ] == [("a", "look", {"at": 1})]
    assert select_tools(to_chat_response(Reply(text="Hi"))) == []
    cut = to_chat_response(Reply(tool_calls=(CUT,), finish_reason="length"))
    reason = find_cut(cut)
    assert reason
    with pytest.raises(AnswerFormatError) as caught:
        select_tools(cut)
    assert str(caught.value).startswith(f"{reason} It stops within a call of 'look'.")
    whole = to_chat_response(Reply(tool_calls=(CUT,), finish_reason="stop"))
    assert find_cut(whole) is None
    with pytest.raises(AnswerFormatError):
        select_tools(whole)
    assert find_cut(to_chat_response(Reply(is_truncated=True)))
