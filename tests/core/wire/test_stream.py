"""Streams with the service's habits (OpenAI-Chat and Streaming pages, 2026), cut anywhere."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_vl import errors
from qwen_vl.content import ToolCall
from qwen_vl.reply import Delta, Reply, ReplyBuilder
from qwen_vl.wire.openai import StreamDecoder


def event(**fields: Any) -> bytes:
    return b"data: " + orjson.dumps(fields) + b"\n\n"


def choice(finish_reason: str | None = None, **delta: Any) -> bytes:
    choices = [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return event(id="chatcmpl-1", model="qwen3-vl-plus", choices=choices, usage=None)


def call(index: int | None, call_id: str | None, name: str | None, arguments: str) -> bytes:
    function = {"name": name, "arguments": arguments}
    place = {} if index is None else {"index": index}
    piece = {**place, "id": call_id, "type": "function", "function": function}
    return choice(content=None, tool_calls=[piece])


USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
END = event(id="chatcmpl-1", model="qwen3-vl-plus", choices=[], usage=USAGE) + b"data: [DONE]\n\n"
STREAM = (
    choice(role="assistant", content="", function_call=None, refusal=None, tool_calls=None)
    + b": keep-alive\n\n"
    + choice(content=None, reasoning_content="Whis")
    + choice(content=None, reasoning_content="kers.")
    + choice(content="一只", reasoning_content=None)
    + choice(content="猫。", reasoning_content=None)
    + choice("stop", content="")
    + END
)


def decode(raw: bytes, *, chunk: int = 2**20) -> Reply:
    decoder, builder = StreamDecoder({"x-request-id": "r-1"}), ReplyBuilder()
    for start in range(0, len(raw), chunk):
        for delta in decoder.feed(raw[start : start + chunk]):
            builder.add(delta)
    for delta in decoder.finish():
        builder.add(delta)
    return builder.reply()


def test_stream_adds_up_to_the_whole_reply() -> None:
    reply = decode(STREAM)

    assert (reply.text, reply.reasoning) == ("一只猫。", "Whiskers.")
    assert (reply.finish_reason, reply.model) == ("stop", "qwen3-vl-plus")
    assert (reply.id, reply.request_id) == ("chatcmpl-1", "r-1")
    assert reply.usage is not None
    assert reply.usage.total_tokens == 14


@given(chunk=st.integers(min_value=1, max_value=200))
def test_stream_may_be_cut_anywhere(chunk: int) -> None:
    assert decode(STREAM, chunk=chunk) == decode(STREAM)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_stream_with_other_line_ends_and_fields_is_read(line_end: bytes) -> None:
    raw = (b"id:1\nevent:result\n" + choice("stop", content="A") + END).replace(b"\n", line_end)

    assert decode(raw).text == "A"


def test_each_fact_comes_on_one_delta_alone() -> None:
    decoder = StreamDecoder({})
    deltas = [*decoder.feed(STREAM), *decoder.finish()]

    for name in ("model", "id", "finish_reason", "usage"):
        assert sum(bool(getattr(delta.metadata, name, None)) for delta in deltas) == 1, name


def test_usage_with_every_chunk_counts_once() -> None:
    running = [{**USAGE, "completion_tokens": number} for number in (1, 2)]
    chunks = [
        event(choices=[{"delta": {"content": "A"}, "finish_reason": end}], usage=usage)
        for usage, end in zip(running, (None, "stop"), strict=True)
    ]
    decoder = StreamDecoder({})
    deltas = [*decoder.feed(b"".join(chunks) + b"data: [DONE]\n\n"), *decoder.finish()]

    assert [delta.usage.output_tokens for delta in deltas if delta.usage] == [2]


def test_tool_call_pieces_with_empty_ids_and_names_merge() -> None:
    raw = (
        call(0, "call_1", "weather", "")
        + call(0, "", None, '{"city":')
        + call(0, "", "", '"杭州"}')
        + choice("tool_calls", content="")
        + END
    )

    assert decode(raw).tool_calls == (
        ToolCall(id="call_1", name="weather", arguments='{"city":"杭州"}'),
    )


@pytest.mark.parametrize("same_index", [False, True], ids=["own indexes", "one index"])
def test_interleaved_tool_calls_stay_apart(same_index: bool) -> None:
    second = 0 if same_index else 1
    raw = call(0, "a", "one", "{}") + call(second, "b", "two", "{") + call(second, "", None, "}")

    assert decode(raw + choice("tool_calls") + END).tool_calls == (
        ToolCall(id="a", name="one", arguments="{}"),
        ToolCall(id="b", name="two", arguments="{}"),
    )


def test_tool_calls_without_index_are_told_by_their_ids() -> None:
    raw = call(None, "a", "one", "{}") + call(None, "b", "two", "{") + call(None, None, None, "}")

    assert [c.arguments for c in decode(raw + choice("tool_calls") + END).tool_calls] == ["{}"] * 2


def test_id_and_name_that_gateways_repeat_count_once() -> None:
    raw = call(0, "a", "one", "{") + call(0, "a", "one", "}") + choice("tool_calls") + END

    assert decode(raw).tool_calls == (ToolCall(id="a", name="one", arguments="{}"),)


def test_error_event_is_raised_as_what_it_is() -> None:
    raw = choice(content="A") + event(error={"code": "limit_requests", "message": "Slow down"})
    with pytest.raises(errors.RateLimitError, match="Slow down"):
        decode(raw)
    native = choice(content="A") + event(code="DataInspectionFailed", message="no")
    with pytest.raises(errors.ContentModerationError):
        decode(native)


def test_stream_that_breaks_off_tells_what_had_come() -> None:
    with pytest.raises(errors.PartialResponseError) as caught:
        decode(choice(content="Once upon"))

    assert caught.value.text == "Once upon"
    assert caught.value.request_id == "r-1"


@pytest.mark.parametrize("rest", [b"data: [DO", b'data: {"choices":[],"usa', b'data: {"error'])
def test_event_that_is_cut_behind_the_answer_takes_nothing_away(rest: bytes) -> None:
    assert decode(choice("stop", content="A") + rest).text == "A"


def test_damaged_event_is_an_error() -> None:
    with pytest.raises(errors.PartialResponseError, match="not JSON") as caught:
        decode(choice(content="Once") + b"data: {oh\n\n" + END)

    assert caught.value.text == "Once"


def test_whole_answer_in_place_of_a_stream_is_read() -> None:
    answer = {"model": "m", "choices": [{"message": {"content": "A"}, "finish_reason": "stop"}]}

    assert decode(orjson.dumps(answer)).text == "A"


def test_error_in_place_of_a_stream_is_raised() -> None:
    with pytest.raises(errors.AuthenticationError):
        decode(b'{"error":{"code":"invalid_api_key","message":"no"}}')


def test_byte_order_mark_before_the_first_event_is_passed_over() -> None:
    raw = b"\xef\xbb\xbf" + choice("stop", content="A") + END

    assert decode(raw, chunk=1).text == "A"
    with pytest.raises(errors.AuthenticationError):
        decode(b"\xef\xbb\xbf" + event(error={"code": "invalid_api_key", "message": "no"}))


def test_null_error_in_a_chunk_is_no_error() -> None:
    first = event(error=None, code=None, choices=[{"delta": {"content": "A"}}])

    assert decode(first + event(error=None, code="") + choice("stop") + END).text == "A"


def test_empty_event_is_passed_over() -> None:
    assert decode(choice(content="A") + b"data:\n\ndata: \n\n" + choice("stop") + END).text == "A"


def test_finish_reason_spelt_null_is_none() -> None:
    with pytest.raises(errors.PartialResponseError):
        decode(choice("null", content="A"))

    assert decode(choice("null", content="A") + choice("stop") + END).finish_reason == "stop"


def test_finish_reason_that_is_repeated_counts_once() -> None:
    decoder = StreamDecoder({})
    deltas = [*decoder.feed(choice("stop", content="A") + choice("stop") + END), *decoder.finish()]

    assert [delta.finish_reason for delta in deltas if delta.finish_reason] == ["stop"]


def test_model_that_is_told_late_is_kept() -> None:
    first = event(id="", model="", choices=[])

    assert decode(first + choice("stop", content="A") + END).model == "qwen3-vl-plus"


@pytest.mark.parametrize("choices", [[None], ["A"], {"delta": {}}], ids=str)
def test_event_without_an_object_for_its_answer_is_an_error(choices: Any) -> None:
    with pytest.raises(errors.PartialResponseError, match="holds no answer") as caught:
        decode(choice(content="Once") + event(choices=choices) + END)

    assert caught.value.text == "Once"


def test_fields_of_a_wrong_kind_are_passed_over() -> None:
    odd = {"content": 7, "tool_calls": [None, {"function": "f", "index": 0, "id": "a"}]}
    raw = event(choices=[{"delta": odd}], usage=[1]) + choice("stop", content="A") + END

    assert decode(raw).text == "A"


@pytest.mark.parametrize(
    ("event", "is_error"),
    [
        ({"error": {"message": "No."}}, True),
        ({"code": "Throttling", "message": "Slow."}, True),
        ({"code": "ok", "choices": []}, False),
        ({"usage": {"total_tokens": 3}}, False),
        ({"code": None, "message": "Hello"}, False),
        ({"error": None, "choices": []}, False),
    ],
)
def test_events_that_are_errors(event: dict[str, Any], is_error: bool) -> None:
    assert StreamDecoder({}).is_error(event) == is_error


def test_probabilities_of_the_pieces_add_up() -> None:
    builder = ReplyBuilder()
    for token in ("A", "B"):
        builder.add(Delta(text=token, logprobs={"content": [{"token": token}]}))
    builder.add(Delta(text="C", logprobs={"content": None}))
    assert builder.reply().logprobs == {"content": [{"token": "A"}, {"token": "B"}]}
