"""The pieces of streamed tool calls, as servers send them: whole calls come out of each form."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_vl.reply import Reply, ReplyBuilder
from qwen_vl.wire import native, openai
from qwen_vl.wire.tool_calls import ToolCallAssembler, _Brackets, decode_tool_calls
from tool_call_forms import BOTH, CAT_AND_DOG, FORMS, Form, Piece
from tool_call_forms import piece as entry


def sse(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def compatible_stream(pieces: tuple[Piece, ...], reason: str | None = "tool_calls") -> bytes:
    deltas = [{"tool_calls": [piece]} for piece in pieces]
    events = [{"choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    end = [{"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}] if reason else []
    return sse(*events, *end) + b"data: [DONE]\n\n"


def native_stream(pieces: tuple[Piece, ...], reason: str = "tool_calls") -> bytes:
    messages = [{"content": "", "tool_calls": [piece]} for piece in pieces]
    reasons = [*["null"] * len(messages), reason]
    return sse(
        *(
            {"output": {"choices": [{"message": message, "finish_reason": reason}]}}
            for message, reason in zip([*messages, {"content": ""}], reasons, strict=True)
        )
    )


def decode(decoder: Any, raw: bytes) -> Reply:
    builder = ReplyBuilder()
    for delta in (*decoder.feed(raw), *decoder.finish()):
        builder.add(delta)
    return builder.reply()


def read(reply: Reply) -> tuple[tuple[str, dict[str, Any]], ...]:
    return tuple((call.name, json.loads(call.arguments or "{}")) for call in reply.tool_calls)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_pieces_make_whole_calls(form: Form, protocol: str) -> None:
    if protocol == "openai":
        reply = decode(openai.StreamDecoder({}), compatible_stream(form.pieces))
    else:
        reply = decode(native.StreamDecoder({}), native_stream(form.pieces))

    assert read(reply) == form.calls
    ids = [call.id for call in reply.tool_calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_ids_and_names_are_told_once(form: Form) -> None:
    decoder = openai.StreamDecoder({})
    deltas = [
        piece
        for delta in decoder.feed(compatible_stream(form.pieces))
        for piece in delta.tool_calls
    ]

    for index in range(len(form.calls)):
        of_call = [piece for piece in deltas if piece.index == index]
        assert sum(piece.id is not None for piece in of_call) == 1
        assert "".join(piece.name or "" for piece in of_call) == form.calls[index][0]


def test_events_that_repeat_all_so_far_make_one_call() -> None:
    so_far = ("", '{"q"', '{"q": "cat"}', '{"q": "cat"}')
    pieces = tuple(
        {"index": 0, "id": "c1", "function": {"name": "find", "arguments": arguments}}
        for arguments in so_far
    )
    reply = decode(native.StreamDecoder({}, is_incremental=False), native_stream(pieces))

    assert read(reply) == (("find", {"q": "cat"}),)


HEADS = [entry(None, None, "find", ""), entry(None, None, "crop", "")]
TAILS = [entry(None, None, None, '{"q": '), entry(None, None, None, '{"x"')]
ENDS = [entry(None, None, None, '"cat"}'), entry(None, None, None, ": 1}")]
EVENTS_OF_TWO = {
    "names, then pieces": ([HEADS, TAILS, ENDS], BOTH),
    "names with their first pieces": (
        [[entry(None, None, "find", '{"q": '), entry(None, None, "crop", '{"x"')], ENDS],
        BOTH,
    ),
    "two calls of one tool": (
        [
            [entry(None, None, "find", '{"q": '), entry(None, None, "find", '{"q": "d')],
            [entry(None, None, None, '"cat"}'), entry(None, None, None, 'og"}')],
        ],
        CAT_AND_DOG,
    ),
    "the ids with the names": (
        [[entry(None, "c1", "find", ""), entry(None, "c2", "crop", "")], TAILS, ENDS],
        BOTH,
    ),
    "the names with each piece": (
        [HEADS, [entry(None, None, "find", '{"q": "cat"}'), entry(None, None, "crop", '{"x": 1}')]],
        BOTH,
    ),
    "all pieces in one event": (
        [[HEADS[0], TAILS[0], ENDS[0], HEADS[1], TAILS[1], ENDS[1]]],
        BOTH,
    ),
    "whole calls, two at a time": (
        [
            [entry(None, None, "find", '{"q": "cat"}'), entry(None, None, "find", '{"q": "dog"}')],
            [entry(None, None, "crop", '{"x": 1}'), entry(None, None, "crop", '{"x": 2}')],
        ],
        (*CAT_AND_DOG, ("crop", {"x": 1}), ("crop", {"x": 2})),
    ),
}


@pytest.mark.parametrize(("events", "calls"), EVENTS_OF_TWO.values(), ids=EVENTS_OF_TWO)
def test_entries_of_one_event_without_indexes_are_told_by_their_positions(
    events: list[list[Piece]], calls: tuple[tuple[str, dict[str, Any]], ...]
) -> None:
    end = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
    raw = sse(*({"choices": [{"delta": {"tool_calls": entries}}]} for entries in events), end)
    reply = decode(openai.StreamDecoder({}), raw + b"data: [DONE]\n\n")

    assert read(reply) == calls


def test_entries_that_repeat_all_so_far_are_told_by_their_positions() -> None:
    so_far = [("", ""), ('{"q": "c', ""), ('{"q": "cat"}', '{"x": 1'), ('{"q": "cat"}', '{"x": 1}')]
    messages = [
        {"tool_calls": [entry(None, None, "find", first), entry(None, None, "crop", second)]}
        for first, second in so_far
    ]
    reasons = ["null", "null", "null", "tool_calls"]
    raw = sse(
        *(
            {"output": {"choices": [{"message": message, "finish_reason": reason}]}}
            for message, reason in zip(messages, reasons, strict=True)
        )
    )

    assert read(decode(native.StreamDecoder({}, is_incremental=False), raw)) == BOTH


@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "content_filter", "odd", None])
@pytest.mark.parametrize("arguments", ["", "{}", '{"q": "c'])
def test_call_that_is_cut_is_not_whole(reason: str | None, arguments: str) -> None:
    piece = {"index": 0, "id": "c1", "function": {"name": "find", "arguments": arguments}}
    reply = decode(openai.StreamDecoder({}), compatible_stream((piece,), reason))

    with pytest.raises(json.JSONDecodeError):
        json.loads(reply.tool_calls[0].arguments)


def test_whole_call_of_a_cut_answer_is_kept() -> None:
    piece = {"index": 0, "id": "c1", "function": {"name": "find", "arguments": '{"q": "cat"}'}}
    reply = decode(openai.StreamDecoder({}), compatible_stream((piece,), "length"))

    assert read(reply) == (("find", {"q": "cat"}),)


@pytest.mark.parametrize(
    ("held", "arguments"),
    [
        ({"q": [1]}, '{"q":[1]}'),
        ('{"q": [1]}', '{"q": [1]}'),
        ([1], "[1]"),
        (7, "7"),
        (None, ""),
        (True, "true"),
    ],
    ids=str,
)
def test_arguments_of_any_kind_are_text(held: object, arguments: str) -> None:
    call = {"id": 7, "function": {"name": {"a": 1}, "arguments": held}}
    (read_call,) = decode_tool_calls({"tool_calls": [call]}, is_cut=False)

    assert (read_call.id, read_call.name, read_call.arguments) == ("7", '{"a":1}', arguments)


def test_calls_that_are_no_objects_are_not_lost() -> None:
    calls = decode_tool_calls({"tool_calls": [None, "find", {"function": "f"}]}, is_cut=False)

    assert [(call.name, call.arguments) for call in calls] == [("", "find"), ("", "")]


@given(cuts=st.lists(st.integers(0, 60), max_size=12))
def test_arguments_may_be_cut_anywhere(cuts: list[int]) -> None:
    text = '{"q": "a \\"{[\\\\", "n": [1, {"b": {}}], "s": "}]"}'
    boxes = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(boxes)]
    for fields in ({"index": 0}, {"id": "c1"}, {"index": 0, "id": "c1", "name": "find"}):
        assembler = ToolCallAssembler()
        name = fields.get("name")
        head = {"index": 0, "id": "c1", "function": {"name": "find", "arguments": ""}}
        assembler.add(head)
        for piece in pieces:
            assembler.add({**fields, "function": {"name": name, "arguments": piece}})

        assert [call.arguments for call in assembler.calls(is_cut=False)] == [text]


@pytest.mark.parametrize("stream", [False, True])
def test_call_that_the_service_cut_at_its_time_limit_is_not_whole(stream: bool) -> None:
    headers = {"x-dashscope-partialresponse": "true"}
    call = {"index": 0, "id": "c1", "function": {"name": "find", "arguments": ""}}
    if stream:
        reply = decode(openai.StreamDecoder(headers), compatible_stream((call,)))
    else:
        message = {"tool_calls": [call]}
        body = {"choices": [{"message": message, "finish_reason": "tool_calls"}]}
        reply = openai.decode_reply(json.dumps(body).encode(), headers)

    assert reply.tool_calls[0].arguments.isspace()


def test_call_in_the_old_form_is_read() -> None:
    pieces = [{"name": "find", "arguments": ""}, {"arguments": '{"q": "cat"}'}]
    events = [{"choices": [{"delta": {"function_call": piece}}]} for piece in pieces]
    end = {"choices": [{"delta": {}, "finish_reason": "function_call"}]}
    streamed = decode(openai.StreamDecoder({}), sse(*events, end) + b"data: [DONE]\n\n")
    message = {"function_call": {"name": "find", "arguments": '{"q": "cat"}'}}
    body = {"choices": [{"message": message, "finish_reason": "function_call"}]}
    whole = openai.decode_reply(json.dumps(body).encode(), {})

    assert read(streamed) == read(whole) == (("find", {"q": "cat"}),)


def test_whole_message_in_a_stream_is_read_once() -> None:
    message = {"content": "A cat.", "tool_calls": None}
    end = {"message": message, "delta": {}, "finish_reason": "stop"}
    alone = decode(openai.StreamDecoder({}), sse({"choices": [end]}))
    piece = {"delta": {"content": "A cat."}}
    behind = decode(openai.StreamDecoder({}), sse({"choices": [piece]}, {"choices": [end]}))

    assert alone.text == behind.text == "A cat."


@pytest.mark.parametrize("text", ['{"a": "\\\\"}', '{"a": "\\"}"}', '{"a": ["{", "\\\\\\""]}'])
def test_brackets_are_closed_wherever_the_pieces_end(text: str) -> None:
    assert json.loads(text)
    for at in range(1, len(text)):
        brackets = _Brackets()
        brackets.add(text[:at])
        assert not brackets.are_closed
        brackets.add(text[at:])
        assert brackets.are_closed
    brackets = _Brackets()
    for end, sign in enumerate(text, start=1):
        brackets.add(sign)
        assert brackets.are_closed is (end == len(text))
