"""Odd but legal JSON from servers: a value comes of it, or an error of ours, in both frameworks.

Whatever else left would end as "Empty Response" in LlamaIndex, even for a wrong key.
"""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import AnswerFormatError, ServiceError
from qwen_vl.wire.json import as_text, decode_finish_reason, decode_text
from raw_server import END_OF_BODY, STREAM_HEAD, RawServer, chunked, raw_server, sse, whole

Json = Any
Values = st.SearchStrategy[Json]
N_EXAMPLES = 25
N_EXAMPLES_OF_MANY = 400

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(["stop", "length", "tool_calls", "null", "12", "[DONE]", "{}", '{"a": 1}'])
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def shaped(template: Json) -> Values:
    """Values like a template, with some places taken by anything, and some left out."""
    if isinstance(template, dict):
        names = st.fixed_dictionaries({}, optional={n: shaped(v) for n, v in template.items()})
        whole_ones = st.fixed_dictionaries({n: shaped(v) for n, v in template.items()})
        return _mostly(whole_ones, names | _values)
    if isinstance(template, list):
        return _mostly(st.tuples(*map(shaped, template)).map(list), _values)
    return _mostly(st.just(template), _values)


def _mostly(usual: st.SearchStrategy[Json], odd: st.SearchStrategy[Json]) -> Values:
    return st.integers(0, 7).flatmap(lambda number: odd if number == 0 else usual)


CALLS = [{"index": 0, "id": "c1", "function": {"name": "find", "arguments": '{"q": "cat"}'}}]
LOGPROBS = {
    "content": [{"token": "A", "logprob": -0.1, "bytes": [65], "top_logprobs": [{"token": "B"}]}]
}
USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 2,
    "total_tokens": 5,
    "prompt_tokens_details": {"image_tokens": 1, "cached_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
MESSAGE = {
    "role": "assistant",
    "content": "A cat.",
    "reasoning_content": "Hm.",
    "tool_calls": CALLS,
}
CHOICE = {"index": 0, "finish_reason": "tool_calls", "logprobs": LOGPROBS}
COMPATIBLE = {
    "id": "chatcmpl-1",
    "model": "qwen3-vl-plus",
    "request_id": "r-1",
    "choices": [{**CHOICE, "message": MESSAGE}],
    "usage": USAGE,
}
CHUNK = {**COMPATIBLE, "choices": [{**CHOICE, "delta": MESSAGE}]}
NATIVE_USAGE = {
    "input_tokens": 3,
    "output_tokens": 2,
    "image_tokens": 1,
    "input_tokens_details": {"text_tokens": 2},
    "output_tokens_details": {"reasoning_tokens": 1},
    "prompt_tokens_details": {"cached_tokens": 0},
}
CONTENT = [{"text": "A cat."}, {"image_hw": [[10, 20]]}, {"ocr_result": {"words_info": []}}]
NATIVE = {
    "request_id": "r-1",
    "output": {"choices": [{**CHOICE, "message": {**MESSAGE, "content": CONTENT}}]},
    "usage": NATIVE_USAGE,
}
ERRORS = {
    "error": {"code": "invalid_api_key", "message": "Wrong key", "type": "t", "param": None},
    "request_id": "r-1",
    "id": "chatcmpl-1",
    "code": "InvalidApiKey",
    "message": "Wrong key",
    "detail": [{"loc": ["body"], "msg": "no"}],
}
STATUSES = (b"400 Bad Request", b"401 Unauthorized", b"404 Not Found", b"418 Teapot")
ANSWERS = {"openai": (COMPATIBLE, CHUNK), "native": (NATIVE, NATIVE)}


@pytest.fixture(scope="module")
def server() -> Any:
    with raw_server() as running:
        yield running


def models(server: RawServer, protocol: str) -> tuple[ChatQwenVL, QwenVL]:
    options: dict[str, Any] = {
        "base_url": server.base_url,
        "api_key": "sk-x",
        "protocol": protocol,
        "max_retries": 0,
    }
    return ChatQwenVL(**options), QwenVL(**options)


def ask_langchain(chat: ChatQwenVL, *, stream: bool) -> None:
    if not stream:
        chat.invoke("Hi").model_dump_json()
        chat.generate([[HumanMessage("Hi")]])
        return
    first, *rest = chat.stream("Hi")
    (first + rest).model_dump_json()


def ask_llama_index(llm: QwenVL, *, stream: bool) -> None:
    question = [ChatMessage("Hi")]
    response = list(llm.stream_chat(question))[-1] if stream else llm.chat(question)
    response.model_dump_json()
    llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    # What callbacks read of it.
    usage = (response.raw or {}).get("usage") or {}
    assert all(isinstance(usage.get(name, 0), int) for name in ("prompt_tokens", "input_tokens"))


def check(ask: Callable[[], None]) -> None:
    with suppress(ServiceError, AnswerFormatError):
        ask()


# Some are empty but for their reasoning, which is warned of.
@pytest.mark.filterwarnings("ignore:The (text of the )?answer")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_odd_answers(protocol: str, stream: bool, server: RawServer) -> None:
    try_answers(server, protocol, stream=stream, n_examples=N_EXAMPLES)


@pytest.mark.slow
@pytest.mark.any_version
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:The (text of the )?answer")
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_many_odd_answers(protocol: str, stream: bool, server: RawServer) -> None:
    try_answers(server, protocol, stream=stream, n_examples=N_EXAMPLES_OF_MANY)


def try_answers(server: RawServer, protocol: str, *, stream: bool, n_examples: int) -> None:
    chat, llm = models(server, protocol)

    @settings(max_examples=n_examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(bodies=st.lists(shaped(ANSWERS[protocol][stream]), min_size=1, max_size=3))
    def try_each(bodies: list[Json]) -> None:
        if stream:
            server.writes = [STREAM_HEAD + b"".join(chunked(sse(*bodies))) + END_OF_BODY]
        else:
            server.writes = [b"".join(whole(json.dumps(bodies[0]).encode()))]
        check(lambda: ask_langchain(chat, stream=stream))
        check(lambda: ask_llama_index(llm, stream=stream))

    try_each()


def test_odd_errors(protocol: str, server: RawServer) -> None:
    try_errors(server, protocol, N_EXAMPLES)


@pytest.mark.slow
@pytest.mark.any_version
@pytest.mark.timeout(300)
def test_many_odd_errors(protocol: str, server: RawServer) -> None:
    try_errors(server, protocol, N_EXAMPLES_OF_MANY)


def try_errors(server: RawServer, protocol: str, n_examples: int) -> None:
    chat, llm = models(server, protocol)

    @settings(max_examples=n_examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(body=shaped(ERRORS), status=st.sampled_from(STATUSES))
    def try_each(body: Json, status: bytes) -> None:
        server.writes = [b"".join(whole(json.dumps(body).encode(), status))]
        for ask in (lambda: chat.invoke("Hi"), lambda: llm.chat([ChatMessage("Hi")])):
            with pytest.raises(ServiceError) as caught:
                ask()
            assert caught.value.status == int(status[:3])
            assert isinstance(caught.value.message, str)
            assert caught.value.code is None or isinstance(caught.value.code, str)

    try_each()


DEEP = '{"a":' * 1_500 + "1" + "}" * 1_500
LONG = '{"n": ' + "7" * 5_000 + "}"
UNREADABLE = (DEEP, LONG, '{"x": NaN}', "[1]", '"{}"')


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "arguments", [DEEP, LONG, '{"x": NaN}', "[1]", '"{}"'], ids=lambda a: a[:6]
)
def test_arguments_that_cannot_be_read_make_an_invalid_call(
    arguments: str, stream: bool, protocol: str, server: RawServer
) -> None:
    chat, llm = models(server, protocol)
    call = {"index": 0, "id": "c1", "function": {"name": "find", "arguments": arguments}}
    message = {"role": "assistant", "content": "", "tool_calls": [call]}
    choice = {"index": 0, "finish_reason": "tool_calls"}
    named = {**choice, "delta" if stream and protocol == "openai" else "message": message}
    body = {"choices": [named]} if protocol == "openai" else {"output": {"choices": [named]}}
    if stream:
        server.writes = [STREAM_HEAD, *chunked(sse(body)), END_OF_BODY]
        first, *rest = chat.stream("Hi")
        answer: Any = first + rest
        response = list(llm.stream_chat([ChatMessage("Hi")]))[-1]
    else:
        server.writes = whole(json.dumps(body).encode())
        answer = chat.invoke("Hi")
        response = asyncio.run(llm.achat([ChatMessage("Hi")]))

    assert not answer.tool_calls
    assert answer.invalid_tool_calls[0]["args"] == arguments
    with pytest.raises(AnswerFormatError) as caught:
        llm.get_tool_calls_from_response(response)
    assert caught.value.text == arguments


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error": {"code": {"a": 1}, "message": ["no"]}}, '{"a":1}', '["no"]'),
        ({"error": "no"}, None, "no"),
        ({"code": 7, "message": {"en": "no"}}, "7", '{"en":"no"}'),
        ({"detail": [{"msg": "no"}]}, None, '[{"msg":"no"}]'),
    ],
    ids=str,
)
def test_errors_in_odd_forms_keep_what_they_say(
    body: Json, code: str | None, message: str, protocol: str, server: RawServer
) -> None:
    chat, llm = models(server, protocol)
    server.writes = whole(json.dumps(body).encode(), b"401 Unauthorized")
    for ask in (lambda: chat.invoke("Hi"), lambda: llm.complete("Hi")):
        with pytest.raises(ServiceError) as caught:
            ask()
        assert (caught.value.status, caught.value.code) == (401, code)
        assert caught.value.message == message
        assert caught.value.body == body


@pytest.mark.parametrize("status", [b"7" * 5_000, b"\xd9\xa1", b"99999", b"-1", b""], ids=repr)
def test_odd_status_lines_in_streams_are_ignored(status: bytes, server: RawServer) -> None:
    chat, _ = models(server, "native")
    event = b'data:{"code":"Oh","message":"no"}\n\n'
    server.writes = [
        STREAM_HEAD,
        *chunked(b"id:1\n:HTTP_STATUS/" + status + b"\n" + event),
        END_OF_BODY,
    ]
    with pytest.raises(ServiceError, match="no"):
        list(chat.stream("Hi"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("stop", "stop"),
        ("", None),
        (None, None),
        (False, None),
        (True, "true"),
        ([], None),
        ({}, None),
        (0, "0"),
        (7, "7"),
        ({"a": 1}, '{"a":1}'),
        ([1], "[1]"),
    ],
)
def test_text_of_any_value(value: object, text: str | None) -> None:
    assert as_text(value) == text


def test_text_of_what_is_too_deep_says_so() -> None:
    value: Any = 1
    for _ in range(300):
        value = [value]
    found = as_text(value)
    assert found
    assert "[" not in found


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("A cat.", "A cat."),
        (None, ""),
        (7, ""),
        ([], ""),
        (["A ", {"text": "cat"}, {"text": 7}, {"type": "image"}, None], "A cat7"),
        ({"text": "A cat."}, "A cat."),
        ({"text": None}, ""),
        ({}, ""),
        ({"total": 12}, '{"total":12}'),
    ],
)
def test_content_in_any_form(content: object, text: str) -> None:
    assert decode_text(content) == text


@pytest.mark.parametrize(
    ("held", "reason"),
    [
        ("stop", "stop"),
        ("null", None),
        ("", None),
        (None, None),
        ({"type": "length"}, "length"),
        ({"reason": "stop"}, "stop"),
        ({"x": 1}, '{"x":1}'),
        (["stop"], "stop"),
        (["stop", "length"], '["stop","length"]'),
    ],
)
def test_reason_in_any_form(held: object, reason: str | None) -> None:
    assert decode_finish_reason({"finish_reason": held}) == reason
