"""Gateways such as LiteLLM, OpenRouter and LM Studio: the fields of OpenAI's API, and no others."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage, TextBlock

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL, image_block
from raw_server import RawServer, raw_server, whole

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

    assert chat.connection().require_api_key() != "sk-of-the-service"


def test_limits_of_the_hosted_service_do_not_hold(gateway: RawServer) -> None:
    # The service takes four frames at least.
    video = {"type": "video", "video": [URL, URL]}
    make_chat(gateway).invoke([HumanMessage([video, "What happens?"])])

    assert len(sent(gateway)["messages"][0]["content"]) == 4
