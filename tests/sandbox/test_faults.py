"""Scripted answers and prescribed failures, over real HTTP."""

import http.client
import time
from collections.abc import Callable
from typing import Any

import openai
import orjson
import pytest

from qwen_vl_sandbox import Fault, Sandbox, ScriptedAnswer, ToolCall

BODY = {"model": "qwen3-vl-plus", "messages": [{"role": "user", "content": "Hi"}]}
STREAM = {**BODY, "stream": True}
Post = Callable[..., Any]


def data_lines(body: bytes) -> list[bytes]:
    """The data of each event of a stream."""
    return [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]


def test_scripted_answers_come_in_order_then_the_honest_one(
    qwen_vl_sandbox: Sandbox, post: Post
) -> None:
    """Each scripted answer is used once."""
    qwen_vl_sandbox.script("first", ScriptedAnswer(text="second", finish_reason="length"))
    choices = [post(BODY).json["choices"][0] for _ in range(3)]
    assert [choice["message"]["content"] for choice in choices[:2]] == ["first", "second"]
    assert [choice["finish_reason"] for choice in choices] == ["stop", "length", "stop"]
    assert choices[2]["message"]["content"].startswith("I am the qwen-vl sandbox")


def test_scripted_answer_carries_reasoning_calls_usage_and_header(
    qwen_vl_sandbox: Sandbox, post: Post
) -> None:
    """All fields of a scripted answer reach the client."""
    calls = (ToolCall("crop", {"名": "猫"}, id="call_1"), ToolCall("zoom", "{broken"))
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    qwen_vl_sandbox.script(
        ScriptedAnswer(reasoning="想", tool_calls=calls, usage=usage, partial=True)
    )
    reply = post(BODY)
    choice = reply.json["choices"][0]
    message = choice["message"]
    assert (message["reasoning_content"], message["content"]) == ("想", "")
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == [
        '{"名":"猫"}',
        "{broken",
    ]
    assert message["tool_calls"][0]["id"] == "call_1"
    assert (choice["finish_reason"], reply.json["usage"]) == ("tool_calls", usage)
    assert reply.headers["x-dashscope-partialresponse"] == "true"


def test_scripted_chunks_are_streamed_as_given(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """A tuple sets where the stream is cut."""
    qwen_vl_sandbox.script(ScriptedAnswer(reasoning=("a", "b"), text=("你", "好!")))
    events = [orjson.loads(line) for line in data_lines(post(STREAM).body)[:-1]]
    deltas = [event["choices"][0]["delta"] for event in events]
    assert [d["reasoning_content"] for d in deltas] == [None, "a", "b", None, None, None]
    assert [d["content"] for d in deltas] == ["", None, None, "你", "好!", ""]


def test_raw_answer_is_sent_byte_for_byte(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """Status, body and headers are the given ones."""
    qwen_vl_sandbox.script_raw(b"teapot", status=418, headers={"X-Own": "1"})
    reply = post(BODY)
    assert (reply.status, reply.body, reply.headers["x-own"]) == (418, b"teapot", "1")


def test_scripted_answer_waits_for_a_request_that_passes(
    qwen_vl_sandbox: Sandbox, post: Post
) -> None:
    """A refused request does not use it up."""
    qwen_vl_sandbox.script("mine")
    assert post({"model": "qwen3-vl-plus"}).status == 400
    assert post(BODY).json["choices"][0]["message"]["content"] == "mine"


def test_stream_is_framed_as_documented(post: Post) -> None:
    """Events, one keep-alive comment, and the end mark."""
    reply = post({**STREAM, "stream_options": {"include_usage": True}})
    assert reply.headers["content-type"].startswith("text/event-stream")
    lines = data_lines(reply.body)
    assert lines[-1] == b"[DONE]"
    assert b": keep-alive\n\n" in reply.body
    first, *_, usage = (orjson.loads(line) for line in lines[:-1])
    assert first["choices"][0]["delta"] == {
        "content": "",
        "reasoning_content": None,
        "role": "assistant",
        "function_call": None,
        "refusal": None,
        "tool_calls": None,
    }
    assert (first["object"], first["usage"]) == ("chat.completion.chunk", None)
    assert usage["choices"] == []
    assert set(usage["usage"]) >= {"prompt_tokens", "prompt_tokens_details"}


def test_whole_answer_has_the_documented_fields(post: Post) -> None:
    """Null fields are sent as null."""
    body = post(BODY).json
    assert {name: body[name] for name in ("object", "system_fingerprint", "service_tier")} == {
        "object": "chat.completion",
        "system_fingerprint": None,
        "service_tier": None,
    }
    message = body["choices"][0]["message"]
    assert [message[name] for name in ("refusal", "audio", "function_call", "tool_calls")] == [
        None
    ] * 4
    assert body["usage"]["prompt_tokens_details"]["cached_tokens"] == 0


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "invalid_parameter_error", "invalid"),
        (401, "invalid_api_key", "Incorrect API key"),
        (403, "access_denied", "denied"),
        (404, "model_not_found", "Model not exist."),
        (429, "limit_requests", "Requests rate limit exceeded"),
        (500, "internal_error", "internal error"),
        (503, "ModelServingError", "unavailable"),
    ],
)
def test_fault_has_the_documented_code(
    qwen_vl_sandbox: Sandbox, post: Post, status: int, code: str, words: str
) -> None:
    """Code and message of the Errors page (2026-07) stand in where none are given."""
    qwen_vl_sandbox.fail(status=status)
    reply = post(BODY)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert words in reply.error["message"]


def test_fault_befalls_as_many_requests_as_told(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """Faults are used in order; then the endpoint is well."""
    qwen_vl_sandbox.fail(status=429, code="insufficient_quota", retry_after=0.5, times=2)
    qwen_vl_sandbox.fail(Fault(status=503))
    replies = [post(BODY) for _ in range(4)]
    assert [reply.status for reply in replies] == [429, 429, 503, 200]
    assert replies[0].headers["retry-after"] == "0.5"
    assert replies[0].error["code"] == "insufficient_quota"
    assert "retry-after" not in replies[2].headers


def test_sdk_retries_a_throttled_request(qwen_vl_sandbox: Sandbox) -> None:
    """The SDK waits as `Retry-After` says and gets its answer."""
    qwen_vl_sandbox.fail(status=429, retry_after=0.01)
    with openai.OpenAI(base_url=qwen_vl_sandbox.base_url, api_key="any") as client:
        client.chat.completions.create(
            model="qwen3-vl-plus", messages=[{"role": "user", "content": "Hi"}]
        )
    assert len(qwen_vl_sandbox.requests) == 2


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
def test_error_in_200_is_an_error_all_the_same(
    qwen_vl_sandbox: Sandbox, post: Post, body: dict[str, Any]
) -> None:
    """The status says 200, the body says error, shaped as the request asked."""
    qwen_vl_sandbox.fail(error_in_200=True, code="data_inspection_failed", message="No.")
    reply = post(body)
    sent = orjson.loads(data_lines(reply.body)[0]) if body is STREAM else reply.json
    assert reply.status == 200
    assert (sent["error"]["code"], sent["error"]["message"]) == ("data_inspection_failed", "No.")


def test_html_body_is_a_gateways_page(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """A gateway answers in HTML, with 502 unless told otherwise."""
    qwen_vl_sandbox.fail(html_body=True)
    qwen_vl_sandbox.fail(html_body=True, status=504)
    replies = [post(BODY), post(BODY)]
    assert [reply.status for reply in replies] == [502, 504]
    assert all(reply.body.startswith(b"<html>") for reply in replies)
    assert replies[0].headers["content-type"].startswith("text/html")


def test_sse_error_body_is_an_event_with_status_400(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """A refused stream may carry its error as an event."""
    qwen_vl_sandbox.fail(sse_error_body=True, message="No.")
    reply = post(STREAM)
    assert reply.status == 400
    assert orjson.loads(data_lines(reply.body)[0])["error"]["message"] == "No."


def test_latency_delays_the_answer(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """Nothing is sent before."""
    qwen_vl_sandbox.fail(latency=0.2)
    before = time.perf_counter()
    assert post(BODY).status == 200
    assert time.perf_counter() - before >= 0.2


def test_chunk_delay_spreads_the_chunks(qwen_vl_sandbox: Sandbox, client: openai.OpenAI) -> None:
    """Chunks arrive one by one."""
    qwen_vl_sandbox.script(ScriptedAnswer(text=("a", "b", "c")))
    qwen_vl_sandbox.fail(chunk_delay=0.05)
    stream = client.chat.completions.create(
        model="qwen3-vl-plus", messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    arrivals = [time.perf_counter() for _ in stream]
    assert len(arrivals) == 5
    assert arrivals[-1] - arrivals[0] >= 0.15


@pytest.mark.parametrize("chunks", [0, 2, 100])
def test_cut_stream_ends_without_an_end(qwen_vl_sandbox: Sandbox, post: Post, chunks: int) -> None:
    """The connection closes after so many chunks; no terminator comes."""
    qwen_vl_sandbox.fail(cut_after_chunks=chunks)
    with pytest.raises(http.client.IncompleteRead) as caught:
        post(STREAM)
    lines = data_lines(caught.value.partial)
    assert b"[DONE]" not in lines
    assert len(lines) == chunks if chunks < 3 else len(lines) > 3


def test_cut_whole_answer_is_incomplete(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """Less arrives than the header promises."""
    qwen_vl_sandbox.fail(cut_after_chunks=1)
    with pytest.raises(http.client.IncompleteRead):
        post(BODY)


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
def test_broken_event_is_not_json(
    qwen_vl_sandbox: Sandbox, post: Post, body: dict[str, Any]
) -> None:
    """A stream goes on after it; a whole answer is cut."""
    qwen_vl_sandbox.fail(broken_event=True)
    reply = post(body)
    broken = data_lines(reply.body)[1] if body is STREAM else reply.body
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(broken)
    assert reply.body.endswith(b"[DONE]\n\n") == (body is STREAM)


def test_error_event_ends_the_stream(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """HTTP 200, some chunks, then an error and nothing more."""
    qwen_vl_sandbox.fail(error_event_after=2, code="internal_error", message="Sorry.")
    reply = post(STREAM)
    lines = data_lines(reply.body)
    assert (reply.status, len(lines)) == (200, 3)
    assert orjson.loads(lines[-1])["error"]["message"] == "Sorry."


def test_error_event_of_a_whole_answer_is_an_error_in_200(
    qwen_vl_sandbox: Sandbox, post: Post
) -> None:
    """There is no stream to break."""
    qwen_vl_sandbox.fail(error_event_after=2)
    reply = post(BODY)
    assert (reply.status, reply.error["code"]) == (200, "internal_error")


def test_client_that_gives_up_takes_no_later_answer(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """A script belongs to the requests that come after it."""
    qwen_vl_sandbox.fail(latency=0.3)
    with (
        openai.OpenAI(
            base_url=qwen_vl_sandbox.base_url, api_key="sk", timeout=0.1, max_retries=0
        ) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.chat.completions.create(**BODY)
    qwen_vl_sandbox.script("mine")
    time.sleep(0.3)
    assert post(BODY).json["choices"][0]["message"]["content"] == "mine"


def test_fault_that_is_a_status_is_explained(qwen_vl_sandbox: Sandbox) -> None:
    with pytest.raises(TypeError, match=r"Expected a Fault .* such as status=429\.$"):
        qwen_vl_sandbox.fail(429)  # type: ignore[arg-type]
