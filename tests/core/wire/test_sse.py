"""Server-sent events: what the standard describes, what servers send, and how large it may be."""

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linear import check_growth
from qwen_vl.errors import ResponseTooLargeError
from qwen_vl.request.types import Request
from qwen_vl.specs.servers import Protocol
from qwen_vl.wire import native, openai
from qwen_vl.wire.protocols import find_wire
from qwen_vl.wire.sse import EventParser
from raw_server import sse

LINE_ENDS = {"LF": b"\n", "CRLF": b"\r\n", "CR": b"\r"}


def cut(raw: bytes, size: int) -> Iterator[bytes]:
    return (raw[start : start + size] for start in range(0, len(raw), size))


def parse(raw: bytes, size: int = 2**20, **options: Any) -> list[bytes]:
    parser = EventParser(**options)
    events = [event for piece in cut(raw, size) for event in parser.feed(piece)]
    return [*events, *parser.finish()]


STREAM = (
    b"\xef\xbb\xbf: hello\n\n"
    b"id: 1\nevent: result\nretry: 10\ndata: first\n\n"
    b"data:second\ndata:  of two lines\n\n"
    b"data:\n\ndata: \n\n"
    b'data: {"text":"\xe7\x8c\xab"}\n\n\n'
    b": ping\n\n"
    b"data: [DONE]\n\n"
)
EVENTS = [b"first", b"second\nof two lines", '{"text":"猫"}'.encode(), b"[DONE]"]


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
@given(size=st.integers(1, 150))
def test_events_are_the_same_wherever_they_are_cut(line_end: bytes, size: int) -> None:
    assert parse(STREAM.replace(b"\n", line_end), size) == EVENTS


@pytest.mark.parametrize("line_end", LINE_ENDS.values(), ids=LINE_ENDS)
def test_event_comes_with_its_last_byte(line_end: bytes) -> None:
    parser = EventParser()

    assert list(parser.feed(b"data: a" + line_end)) == []
    assert list(parser.feed(line_end[:1])) == [b"a"]
    assert list(parser.feed(line_end[1:] + b"data: b" + 2 * line_end)) == [b"b"]


def test_line_feed_that_comes_apart_from_its_carriage_return_ends_no_line() -> None:
    parser = EventParser()

    pieces = [b"data: a\r", b"", b"\n", b"data: b\r", b"\n\r", b"\n"]
    assert [list(parser.feed(piece)) for piece in pieces] == [[], [], [], [], [b"a\nb"], []]


def test_only_one_line_feed_belongs_to_a_carriage_return() -> None:
    parser = EventParser()

    pieces = [b"data: a\r", b"\n", b"\n", b"data: b\n\n"]
    assert [list(parser.feed(piece)) for piece in pieces] == [[], [], [b"a"], [b"b"]]


def test_line_ends_may_be_mixed() -> None:
    assert parse(b"data: a\r\ndata: b\rdata: c\n\rdata: d\n\r\n") == [b"a\nb\nc", b"d"]


def test_json_lines_without_empty_lines_are_events_each() -> None:
    lines = [orjson.dumps({"n": number}) for number in range(3)]
    raw = b"".join(b"data: %b\n" % line for line in lines)
    parser = EventParser()

    assert list(parser.feed(raw)) == lines[:2]
    assert list(parser.feed(b"data: [DONE]\n")) == [lines[2], b"[DONE]"]
    assert list(parser.finish()) == []


def test_json_of_many_lines_is_one_event() -> None:
    held = {"a": [{"b": 1}, {"c": {}}], "d": {"e": "} {"}}
    lines = orjson.dumps(held, option=orjson.OPT_INDENT_2).splitlines()
    (event,) = parse(b"".join(b"data: %b\n" % line for line in lines) + b"\n")

    assert orjson.loads(event) == held


@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n", b"\r", b"  "], ids=repr)
@pytest.mark.parametrize("between", [b"\n\n", b"\n", b"\r"], ids=repr)
def test_done_needs_no_empty_line(between: bytes, end: bytes) -> None:
    parser = EventParser()

    assert list(parser.feed(b"data: {}" + between + b"data: [DONE]" + end)) == [b"{}", b"[DONE]"]


def test_done_behind_empty_data_ends_the_stream() -> None:
    assert list(EventParser().feed(b"data:\ndata: [DONE]\n")) == [b"[DONE]"]


def test_lines_that_belong_to_no_event_are_kept_as_the_body() -> None:
    parser = EventParser()
    assert list(parser.feed(b'\xef\xbb\xbf{"error":\r\n "no"}')) == []
    assert list(parser.finish()) == []

    assert parser.other == b'{"error":\n "no"}'


@pytest.mark.parametrize(
    ("comment", "status"),
    [(b":HTTP_STATUS/429", 429), (b":HTTP_STATUS/none", None), (b": HTTP_STATUS/429", None)],
    ids=repr,
)
def test_status_is_read_from_a_comment(comment: bytes, status: int | None) -> None:
    parser = EventParser()

    assert list(parser.feed(comment + b'\ndata: {"code":"x"}\n\n')) == [b'{"code":"x"}']
    assert parser.status == status


LIMIT = 100


def write_line(held: bytes) -> bytes:
    return b"data:%b\n\n" % held


def write_lines(held: bytes) -> bytes:
    return b"data:%b\ndata:%b\n\n" % (held[:50], held[50:])


@pytest.mark.parametrize("size", [1, 7, 2**20])
@pytest.mark.parametrize("write", [write_line, write_lines])
def test_each_event_may_be_as_large_as_the_limit(
    write: Callable[[bytes], bytes], size: int
) -> None:
    # The field's name counts in a line that has not ended.
    fits = write(b"a" * (LIMIT - len("data:")))
    exceeds = write(b"a" * (LIMIT + 1))

    assert len(parse(3 * fits, size, max_event_bytes=LIMIT)) == 3
    with pytest.raises(ResponseTooLargeError, match="max_response_bytes=100, ") as caught:
        parse(exceeds, size, max_event_bytes=LIMIT)
    assert caught.value.limit == LIMIT
    assert pickle.loads(pickle.dumps(caught.value)).limit == LIMIT


@pytest.mark.parametrize("head", [b"data: ", b": ", b"", b"data: a\ndata: "], ids=repr)
def test_limit_is_checked_while_the_event_is_read(head: bytes) -> None:
    parser, fed = EventParser(max_event_bytes=LIMIT), bytearray(head)
    assert list(parser.feed(head)) == []
    with pytest.raises(ResponseTooLargeError):
        feed_on(parser, fed)

    assert LIMIT < len(fed) <= LIMIT + 20


def feed_on(parser: EventParser, fed: bytearray) -> None:
    while len(fed) < 10 * LIMIT:
        fed += 10 * b"a"
        assert list(parser.feed(10 * b"a")) == []


def test_pings_add_up_to_nothing() -> None:
    raw = 100 * b": ping\n\n" + 100 * b"data:\n\n" + b"data: a\n\n"

    assert parse(raw, max_event_bytes=LIMIT) == [b"a"]


def test_decoders_keep_the_limit(protocol: Protocol) -> None:
    request = Request(model="qwen3-vl-plus", turns=(), stream=True)
    decoder = find_wire(protocol).decoder({}, request, 2 * LIMIT)
    choices = [{"delta": {"content": "A"}, "message": {"content": "A"}}]
    chunk = {"choices": choices, "output": {"choices": choices}}
    assert [delta.text for delta in decoder.feed(sse(chunk))] == ["A"]

    with pytest.raises(ResponseTooLargeError) as caught:
        list(decoder.feed(b"data: " + 2 * LIMIT * b"a"))
    assert caught.value.text == "A"
    assert not caught.value.is_retryable


def read_openai(text: str) -> str:
    choice = {"delta": {"content": text}, "finish_reason": "stop"}
    raw = b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\ndata: [DONE]\n\n"
    return read(openai.StreamDecoder({}), raw)


def read_native(text: str) -> str:
    choice = {"message": {"content": [{"text": text}]}, "finish_reason": "stop"}
    raw = b"data:" + orjson.dumps({"output": {"choices": [choice]}}) + b"\n\n"
    return read(native.StreamDecoder({}), raw)


def read(decoder: Any, raw: bytes) -> str:
    deltas = [delta for piece in cut(raw, 64) for delta in decoder.feed(piece)]
    return "".join(delta.text for delta in (*deltas, *decoder.finish()))


@pytest.mark.parametrize("name", ["words", "line breaks", "backslashes"])
@pytest.mark.parametrize("read_stream", [read_openai, read_native])
def test_large_event_in_small_pieces_takes_time_by_its_length(
    read_stream: Callable[[str], str], name: str
) -> None:
    assert read_stream("A cat.") == "A cat."
    check_growth(read_stream, name, largest=2**20)


def test_first_event_begins_right_behind_a_byte_order_mark() -> None:
    assert parse(b"\xef\xbb\xbfdata:first\n\ndata:second\n\n") == [b"first", b"second"]
