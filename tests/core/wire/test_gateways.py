"""Gateways such as LiteLLM, OpenRouter and LM Studio: the fields of OpenAI's API, and no others."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from llama_index.core.base.llms.types import ChatMessage, TextBlock

from langchain_qwen_vl import ChatQwenVL, QwenVLAPIError, QwenVLInvalidRequestError
from llama_index.llms.qwen_vl import QwenVL, frames_block, image_block
from qwen_vl.errors import InvalidRequestError
from qwen_vl.request.build import build_connection
from raw_server import END_OF_BODY, STREAM_HEAD, RawServer, chunked, raw_server, sse, whole

ANSWER = json.dumps(
    {"choices": [{"message": {"role": "assistant", "content": "A cat."}, "finish_reason": "stop"}]}
).encode()
URL = "https://example.com/cat.png"


@pytest.fixture
def gateway() -> Iterator[RawServer]:
    with raw_server(whole(ANSWER)) as running:
        yield running


def make_chat(gateway: RawServer, **fields: Any) -> ChatQwenVL:
    options = {"model": "my-vision", "server": "openai_compatible", "base_url": gateway.base_url}
    return ChatQwenVL(**{**options, **fields})


def sent(gateway: RawServer) -> Any:
    return json.loads(gateway.requests[-1])


def test_both_frameworks_send_the_fields_of_openai(gateway: RawServer) -> None:
    # The body is that of OpenAI's API reference, Chat Completions, with an image by URL.
    expected = {
        "model": "my-vision",
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": URL}},
                    {"type": "text", "text": "What is this?"},
                ],
            }
        ],
        "temperature": 0.5,
        "max_tokens": 30,
    }
    question = HumanMessage([{"type": "image", "url": URL}, "What is this?"])
    answer = make_chat(gateway, temperature=0.5, max_tokens=30).invoke([question])
    assert answer.text == "A cat."
    assert sent(gateway) == expected

    llm = QwenVL(
        "my-vision",
        server="openai_compatible",
        base_url=gateway.base_url,
        temperature=0.5,
        max_tokens=30,
    )
    llm.chat([ChatMessage([image_block(URL), TextBlock(text="What is this?")])])
    assert sent(gateway) == expected


def test_parameters_of_the_service_are_left_out_with_a_warning(gateway: RawServer) -> None:
    chat = make_chat(gateway, top_k=20, max_pixels=100_000, vl_high_resolution_images=True)
    question = HumanMessage([{"type": "image", "url": URL}, "What is this?"])
    with pytest.warns(UserWarning, match="max_pixels, top_k, vl_high_resolution_images"):
        chat.invoke([question])

    assert sent(gateway).keys() == {"model", "messages"}


def test_extra_body_is_sent_as_it_is(gateway: RawServer) -> None:
    extra_body = {"top_k": 20, "enable_thinking": False, "provider": {"order": ["alibaba"]}}
    make_chat(gateway, extra_body=extra_body).invoke("Hi")

    assert {name: sent(gateway)[name] for name in extra_body} == extra_body


def test_frames_are_images_with_their_rate_as_text(gateway: RawServer) -> None:
    frames = [f"https://example.com/{number}.jpg" for number in range(2)]
    video = {"type": "video", "video": frames, "fps": 2}
    make_chat(gateway).invoke([HumanMessage([video, "What happens?"])])

    kinds = [part["type"] for part in sent(gateway)["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "image_url", "text"]
    assert "2 per second" in sent(gateway)["messages"][0]["content"][0]["text"]


def test_key_of_the_service_stays_here(gateway: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-of-the-service")
    chat = make_chat(gateway)
    chat.invoke("Hi")

    assert build_connection(chat).require_api_key() != "sk-of-the-service"


def test_limits_of_the_hosted_service_do_not_hold(gateway: RawServer) -> None:
    # The service takes four frames at least.
    video = {"type": "video", "video": [URL, URL]}
    make_chat(gateway).invoke([HumanMessage([video, "What happens?"])])

    assert len(sent(gateway)["messages"][0]["content"]) == 4


# What follows is as LiteLLM 1.108.7 was seen to answer (2026-11-29).
REFUSED = {
    "error": {
        "message": "litellm.APIConnectionError: APIConnectionError: DashscopeException - Invalid "
        "user message at index 0. Please ensure all user messages are valid OpenAI chat "
        "completion messages.\n\nLiteLLM: model group 'my-vision' failed with the error above. "
        "No fallback was attempted.",
        "type": "internal_server_error",
        "param": None,
        "code": "500",
    }
}
CUT_OFF = {
    "error": {
        "message": "litellm.APIConnectionError: APIConnectionError: OpenAIException - Connection "
        "error.",
        "type": None,
        "param": None,
        "code": "500",
    }
}
USAGE = {
    "completion_tokens": 4,
    "prompt_tokens": 25,
    "total_tokens": 29,
    "completion_tokens_details": {"reasoning_tokens": 1, "text_tokens": 3},
    "prompt_tokens_details": {"cached_tokens": 0, "text_tokens": 25},
    "cost": 0.0000114,
}
FRAMES = [f"https://example.com/{number}.jpg" for number in range(4)]


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    ending = {} if finish_reason is None else {"finish_reason": finish_reason}
    return {
        "id": "chatcmpl-1",
        "created": 1795933057,
        "model": "my-vision",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, **ending}],
        **fields,
    }


def call_delta(index: int, call_id: str, arguments: str, **function: str) -> dict[str, Any]:
    call = {"id": call_id, "function": {"arguments": arguments, **function}, "type": "function"}
    return {"tool_calls": [{**call, "index": index}]}


def streamed(*events: Any, done: bool = True) -> list[bytes]:
    end = [b"data: [DONE]\n\n"] if done else []
    return [STREAM_HEAD, *chunked(*map(sse, events), *end), END_OF_BODY]


CALLS = streamed(
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Two."}),
    chunk(call_delta(0, "call_a", "", name="look")),
    chunk(call_delta(0, "", '{"where":"left"}')),
    chunk(call_delta(1, "call_b", "", name="look")),
    chunk(call_delta(1, "", '{"where":"right"}')),
    chunk({}, "tool_calls"),
    chunk({}, usage=USAGE),
)


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return where


def test_stream_of_calls_has_its_usage_once() -> None:
    with raw_server(CALLS) as litellm:
        chunks = list(make_chat(litellm).bind_tools([look]).stream("Look."))
        question = ChatMessage("Look.")
        llm = QwenVL("my-vision", server="openai_compatible", base_url=litellm.base_url)
        *_, last = llm.stream_chat([question])

    whole_message = AIMessageChunk("")
    for piece in chunks:
        assert isinstance(piece, AIMessageChunk)
        whole_message += piece
    assert [call["args"]["where"] for call in whole_message.tool_calls] == ["left", "right"]
    assert [call["id"] for call in whole_message.tool_calls] == ["call_a", "call_b"]
    usage = [piece.usage_metadata for piece in chunks if piece.usage_metadata]
    assert [(one["input_tokens"], one["output_tokens"]) for one in usage] == [(25, 4)]
    assert whole_message.response_metadata["finish_reason"] == "tool_calls"
    assert whole_message.response_metadata["model_name"] == "my-vision"

    calls = llm.get_tool_calls_from_response(last)
    assert [call.tool_kwargs["where"] for call in calls] == ["left", "right"]
    assert last.additional_kwargs["prompt_tokens"] == 25
    assert last.additional_kwargs["finish_reason"] == "tool_calls"


def test_stream_that_breaks_off_behind_the_gateway_raises() -> None:
    pieces = []
    begun = [chunk({"role": "assistant", "content": ""}), chunk({"content": "A ca"})]
    with raw_server(streamed(*begun, CUT_OFF, done=False)) as litellm:
        stream = make_chat(litellm).stream("Hi")
        with pytest.raises(QwenVLAPIError, match="Connection error"):
            pieces.extend(stream)

    assert "".join(piece.text for piece in pieces) == "A ca"


async def ask(chat: ChatQwenVL, how: str, question: HumanMessage) -> None:
    if how == "ainvoke":
        await chat.ainvoke([question])
    elif how == "stream":
        list(chat.stream([question]))
    else:
        chat.invoke([question])


@pytest.mark.parametrize("by_sdk", [False, True])
@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream"])
async def test_part_that_the_gateway_does_not_know_is_sent_once(how: str, by_sdk: bool) -> None:
    body = json.dumps(REFUSED).encode()
    question = HumanMessage([{"type": "video", "video": FRAMES}, "What happens?"])
    with raw_server(whole(body, b"500 Internal Server Error")) as litellm:
        place = {"base_url": litellm.base_url, "api_key": "sk-litellm"}
        async with openai.AsyncOpenAI(**place) as async_sdk:
            with openai.OpenAI(**place) as sdk:
                clients = {"openai_client": sdk, "async_openai_client": async_sdk}
                chat = ChatQwenVL(
                    model="my-vision",
                    base_model="qwen3-vl-plus",
                    **(clients if by_sdk else place),
                )
                with pytest.raises(QwenVLInvalidRequestError, match="Invalid user message") as told:
                    await ask(chat, how, question)

    assert len(litellm.requests) == 1
    assert (told.value.status, told.value.is_retryable) == (500, False)
    assert 'server="openai_compatible"' in str(told.value)


def test_llama_index_is_told_of_a_part_that_the_gateway_does_not_know() -> None:
    body = json.dumps(REFUSED).encode()
    with raw_server(whole(body, b"500 Internal Server Error")) as litellm:
        llm = QwenVL("my-vision", base_url=litellm.base_url, api_key="sk-litellm")
        with pytest.raises(InvalidRequestError, match="pass-through route"):
            llm.chat([ChatMessage([frames_block(FRAMES, fps=2), TextBlock(text="What happens?")])])

    assert len(litellm.requests) == 1


def test_service_behind_the_gateway_is_spoken_to_as_itself(gateway: RawServer) -> None:
    # `server` is left out: LiteLLM passes the fields of the service on to the service.
    fields = {"base_url": gateway.base_url, "api_key": "sk-litellm", "top_k": 20}
    chat = ChatQwenVL(model="my-newest", base_model="qwen3.7-plus", **fields)
    chat.bind_tools([look], tool_choice="any").invoke("Look.")
    body = sent(gateway)
    assert (body["model"], body["tool_choice"], body["top_k"]) == ("my-newest", "required", 20)
    assert body["enable_thinking"] is False

    llm = QwenVL("my-newest", base_model="qwen3.7-plus", **fields)
    llm.chat([ChatMessage([image_block(URL, max_pixels=100_000), TextBlock(text="What?")])])
    body = sent(gateway)
    assert (body["model"], body["top_k"]) == ("my-newest", 20)
    assert body["messages"][0]["content"][0]["max_pixels"] == 100_000


def test_request_id_of_the_service_is_found() -> None:
    head = b"200 OK\r\nrequest-id: r-1\r\nllm_provider-x-request-id: r-1"
    with raw_server(whole(ANSWER, head)) as litellm:
        answer = make_chat(litellm).invoke("Hi")

    assert answer.response_metadata["request_id"] == "r-1"
