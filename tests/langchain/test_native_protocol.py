"""The native protocol: the bodies that leave are those of the official SDK for the same call.

Both ask one sandbox. The first two bodies are those of the Vision page (2025-10), which prints them
for its HTTP call; the others follow the Native-API page (2026-09).
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import dashscope
import pytest
from dashscope import MultiModalConversation
from dashscope.api_entities.http_request import close_shared_sync_session
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import (
    AuthenticationError,
    ConfigurationError,
    ContentModerationError,
    PartialResponseError,
    RateLimitError,
)
from qwen_vl.request.build import build_connection
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl.wire.protocols import find_wire
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

DOG = "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20241022/emyrja/dog_and_girl.jpeg"
TIGER = "https://dashscope.oss-cn-beijing.aliyuncs.com/images/tiger.png"
FILM = "https://example.com/walk.mp4"
FRAMES = [f"https://example.com/{number}.jpg" for number in range(4)]
TOOL = {
    "type": "function",
    "function": {
        "name": "crop",
        "description": "Cut an image.",
        "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
    },
}
CALL = {"id": "a", "type": "function", "function": {"name": "crop", "arguments": '{"x": 1}'}}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def human(*parts: Any) -> HumanMessage:
    return HumanMessage(list(parts))


# Name, what the SDK is called with, what the model is, and its options.
CASES: list[tuple[str, list[Any], dict[str, Any], list[Any], dict[str, Any]]] = [
    (
        "one image",
        [user({"image": DOG}, {"text": "图中描绘的是什么景象?"})],
        {},
        [human({"type": "image", "url": DOG}, "图中描绘的是什么景象?")],
        {},
    ),
    (
        "two images",
        [user({"image": DOG}, {"image": TIGER}, {"text": "这些图描绘了什么内容?"})],
        {},
        [
            human(
                {"type": "image", "url": DOG},
                {"type": "image_url", "image_url": {"url": TIGER}},
                "这些图描绘了什么内容?",
            )
        ],
        {},
    ),
    (
        "the SDK's own parts",
        [user({"image": DOG, "min_pixels": 65536, "max_pixels": 655360}, {"text": "?"})],
        {},
        [human({"image": DOG, "min_pixels": 65536, "max_pixels": 655360}, {"text": "?"})],
        {},
    ),
    (
        "video",
        [user({"video": FILM, "fps": 2, "max_frames": 64, "total_pixels": 4194304}, {"text": "?"})],
        {},
        [
            human(
                {"type": "video", "url": FILM, "fps": 2, "max_frames": 64, "total_pixels": 4194304},
                "?",
            )
        ],
        {},
    ),
    (
        "frames",
        [user({"video": FRAMES, "fps": 2}, {"text": "?"})],
        {},
        [human({"type": "video", "video": FRAMES, "fps": 2}, "?")],
        {},
    ),
    (
        "parameters",
        [
            {"role": "system", "content": [{"text": "Be brief."}]},
            user({"image": DOG}, {"text": "?"}),
        ],
        {
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 20,
            "max_tokens": 64,
            "seed": 7,
            "stop": ["x"],
            "presence_penalty": 0.5,
            "repetition_penalty": 1.1,
            "vl_high_resolution_images": True,
            "vl_enable_image_hw_output": True,
        },
        [SystemMessage("Be brief."), human({"type": "image", "url": DOG}, "?")],
        {
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 20,
            "max_tokens": 64,
            "seed": 7,
            "stop": ["x"],
            "presence_penalty": 0.5,
            "repetition_penalty": 1.1,
            "vl_high_resolution_images": True,
            "vl_enable_image_hw_output": True,
        },
    ),
    (
        "tools",
        [
            user({"image": DOG}, {"text": "?"}),
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "a", "content": "Cut."},
        ],
        {"tools": [TOOL], "tool_choice": "auto"},
        [
            human({"type": "image", "url": DOG}, "?"),
            AIMessage(
                "", tool_calls=[{"name": "crop", "args": {"x": 1}, "id": "a", "type": "tool_call"}]
            ),
            ToolMessage("Cut.", tool_call_id="a"),
        ],
        {"tools": [TOOL], "tool_choice": "auto"},
    ),
    (
        "JSON",
        [user({"image": DOG}, {"text": "Answer in JSON."})],
        {"response_format": {"type": "json_object"}},
        [human({"type": "image", "url": DOG}, "Answer in JSON.")],
        {"response_format": {"type": "json_object"}},
    ),
]
STREAMED = [
    (
        "stream",
        [user({"image": DOG}, {"text": "?"})],
        {},
        [human({"type": "image", "url": DOG}, "?")],
        {},
    ),
    (
        "thinking",
        [user({"image": DOG}, {"text": "?"})],
        {"enable_thinking": True, "thinking_budget": 100},
        [human({"type": "image", "url": DOG}, "?")],
        {"enable_thinking": True, "thinking_budget": 100},
    ),
]


def name_of(value: object) -> str:
    return value if isinstance(value, str) else ""


@pytest.fixture
def chat(qwen_vl_sandbox: Sandbox) -> ChatQwenVL:
    return ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox", protocol="native")


@pytest.fixture
def sdk(qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    monkeypatch.setattr(dashscope, "base_http_api_url", qwen_vl_sandbox.native_base_url)

    def call(messages: list[Any], **options: Any) -> Any:
        return MultiModalConversation.call(
            model="qwen3-vl-plus", messages=messages, api_key="sk-sandbox", **options
        )

    yield call
    close_shared_sync_session()


@pytest.mark.parametrize(
    ("name", "native", "options", "messages", "call"),
    CASES,
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_body_is_the_sdk_s(
    name: str,
    native: list[Any],
    options: dict[str, Any],
    messages: list[Any],
    call: dict[str, Any],
    sdk: Callable[..., Any],
    chat: ChatQwenVL,
    qwen_vl_sandbox: Sandbox,
) -> None:
    theirs = sdk(native, **options)
    ours = chat.invoke(messages, **call)
    first, second = qwen_vl_sandbox.requests

    assert first.path == second.path == "/api/v1/services/aigc/multimodal-generation/generation"
    assert first.json == {
        "model": "qwen3-vl-plus",
        "input": {"messages": native},
        "parameters": options,
    }
    assert second.json == first.json
    message = theirs.output.choices[0].message
    assert ours.text == "".join(part.get("text", "") for part in message.content)
    assert ours.usage_metadata
    assert ours.usage_metadata["input_tokens"] == theirs.usage.input_tokens
    assert ours.response_metadata["finish_reason"] == theirs.output.choices[0].finish_reason


@pytest.mark.parametrize(
    ("name", "native", "options", "messages", "call"),
    STREAMED,
    ids=lambda v: v if isinstance(v, str) else "",
)
async def test_streamed_body_is_the_sdk_s(
    name: str,
    native: list[Any],
    options: dict[str, Any],
    messages: list[Any],
    call: dict[str, Any],
    sdk: Callable[..., Any],
    chat: ChatQwenVL,
    qwen_vl_sandbox: Sandbox,
) -> None:
    def ask() -> list[Any]:
        return list(sdk(native, stream=True, incremental_output=True, **options))

    chunks = await asyncio.to_thread(ask)
    ours = [chunk async for chunk in chat.astream(messages, **call)]
    first, second = qwen_vl_sandbox.requests

    assert first.json["parameters"] == {"incremental_output": True, **options}
    assert second.json == first.json
    for request in (first, second):
        assert request.headers["x-dashscope-sse"] == "enable"
        assert "text/event-stream" in request.headers["accept"]
    texts = (chunk.output.choices[0].message.content for chunk in chunks)
    whole = "".join(part["text"] for parts in texts for part in parts)
    assert "".join(chunk.text for chunk in ours) == whole
    total = ours[0]
    for chunk in ours[1:]:
        total = total + chunk
    assert total.usage_metadata
    assert total.usage_metadata["output_tokens"] == chunks[-1].usage.output_tokens
    assert total.response_metadata["finish_reason"] == "stop"
    if name == "thinking":
        thoughts = (
            chunk.output.choices[0].message.get("reasoning_content", "") for chunk in chunks
        )
        assert total.additional_kwargs["reasoning_content"] == "".join(thoughts)


def test_text_so_far_is_taken_apart(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(text=("One ", "two ", "three.")))
    chunks = list(chat.stream("Count.", incremental_output=False))
    assert [chunk.text for chunk in chunks if chunk.text] == ["One ", "two ", "three."]
    assert qwen_vl_sandbox.last_request.json["parameters"] == {"incremental_output": False}


def test_calls_so_far_are_taken_apart(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("crop", {"x": 12345, "y": 678}),)))
    whole = None
    for chunk in chat.stream("Cut.", incremental_output=False, tools=[TOOL]):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert [(call["name"], call["args"]) for call in whole.tool_calls] == [
        ("crop", {"x": 12345, "y": 678})
    ]


@pytest.mark.parametrize("how", ["invoke", "stream"])
def test_size_that_the_model_sees_comes_back(how: str, chat: ChatQwenVL) -> None:
    question = [human({"type": "image", "image": CHELSEA}, "?")]
    if how == "invoke":
        answer: Any = chat.invoke(question, vl_enable_image_hw_output=True)
    else:
        answer = None
        for chunk in chat.stream(question, vl_enable_image_hw_output=True):
            answer = chunk if answer is None else answer + chunk
    # 451x300 as squares of 32: 448x288, the height first.
    assert answer.response_metadata["image_hw"] == [[288, 448]]


def test_size_comes_back_in_llama_index(qwen_vl_sandbox: Sandbox) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk", protocol="native")
    message = ChatMessage([ImageBlock(path=CHELSEA), TextBlock(text="?")])
    response = llm.chat([message], vl_enable_image_hw_output=True)
    assert response.additional_kwargs["image_hw"] == [[288, 448]]


@pytest.mark.parametrize("mode", ["auto", "inline", "upload"])
def test_max_frames_goes_with_a_whole_video(
    mode: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    video = {"type": "video", "video": BIG_BUCK_BUNNY, "video_mode": mode}
    answer = chat.invoke([human(video, "?")], max_frames=4)
    part = qwen_vl_sandbox.last_request.json["input"]["messages"][0]["content"][0]
    assert part.keys() == {"video", "max_frames"}
    assert part["max_frames"] == 4
    assert "4 frames sampled" in answer.text


def test_picture_is_turned_where_it_is_asked_for(qwen_vl_sandbox: Sandbox) -> None:
    chat = ChatQwenVL(
        model="qwen-vl-ocr",
        base_url=qwen_vl_sandbox.base_url,
        api_key="sk",
        protocol="native",
        enable_rotate=True,
    )
    chat.invoke([human({"type": "image", "url": DOG}, "?")])
    content = qwen_vl_sandbox.last_request.json["input"]["messages"][0]["content"]
    assert content[0] == {"image": DOG, "enable_rotate": True}


def test_errors_are_read_in_the_protocol_s_own_form(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    quick = chat.model_copy(update={"max_retries": 0})
    qwen_vl_sandbox.fail(status=429)
    with pytest.raises(RateLimitError) as caught:
        quick.invoke("?")
    assert caught.value.code == "Throttling.RateQuota"
    assert caught.value.request_id
    for error_in_200 in (True, False):
        qwen_vl_sandbox.fail(
            status=400,
            code="DataInspectionFailed",
            message="Input data may contain inappropriate content.",
            error_in_200=error_in_200,
        )
        with pytest.raises(ContentModerationError):
            quick.invoke("?")


async def test_error_inside_a_stream(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(error_event_after=2, status=None, code="Throttling.BurstRate")
    with pytest.raises(RateLimitError):
        [chunk async for chunk in chat.astream("?")]
    qwen_vl_sandbox.fail(cut_after_chunks=2)
    with pytest.raises(PartialResponseError) as caught:
        list(chat.stream("?"))
    assert caught.value.text
    qwen_vl_sandbox.fail(broken_event=True)
    with pytest.raises(PartialResponseError, match="not JSON"):
        list(chat.stream("?"))


# Where requests go.


@pytest.mark.parametrize(
    ("settings", "native"),
    [
        # Base-URL page, 2026.
        ({}, "https://dashscope.aliyuncs.com/api/v1"),
        ({"region": "ap-southeast-1"}, "https://dashscope-intl.aliyuncs.com/api/v1"),
        ({"region": "us-east-1"}, "https://dashscope-us.aliyuncs.com/api/v1"),
        ({"region": "cn-hongkong"}, "https://cn-hongkong.dashscope.aliyuncs.com/api/v1"),
        (
            {"region": "eu-central-1", "workspace": "ws-1"},
            "https://ws-1.eu-central-1.maas.aliyuncs.com/api/v1",
        ),
        (
            {"base_url": "https://dashscope.aliyuncs.com/api/v1"},
            "https://dashscope.aliyuncs.com/api/v1",
        ),
        ({"base_url": "http://127.0.0.1:8000/api/v1"}, "http://127.0.0.1:8000/api/v1"),
    ],
)
def test_address_of_each_region(settings: dict[str, str], native: str) -> None:
    chat = ChatQwenVL(api_key="sk-1", protocol="native", **settings)
    path = find_wire("native").path(build_connection(chat).base_url)
    assert path == f"{native}/services/aigc/multimodal-generation/generation"


def test_native_address_is_taken(qwen_vl_sandbox: Sandbox) -> None:
    chat = ChatQwenVL(base_url=qwen_vl_sandbox.native_base_url, api_key="sk", protocol="native")
    assert chat.invoke("Hello").text


def test_other_servers_do_not_speak_it() -> None:
    url = "http://ada:hidden-9876@127.0.0.1:9/v1"
    chat = ChatQwenVL(base_url=url, protocol="native")
    with pytest.raises(ConfigurationError, match="does not speak the native protocol") as caught:
        chat.invoke("Hello")
    assert "hidden-9876" not in str(caught.value)


def test_refused_key_says_that_keys_belong_to_a_region(protocol: Any) -> None:
    with Sandbox(api_keys=["sk-of-another-region"]) as sandbox:
        chat = ChatQwenVL(base_url=sandbox.base_url, api_key="sk-beijing-1", protocol=protocol)
        with pytest.raises(AuthenticationError, match="Keys belong to a region") as caught:
            chat.invoke("Hello")
    assert "sk-beijing-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("vl_enable_image_hw_output", True),
        ("ocr_options", {"task": "table_parsing"}),
        ("incremental_output", True),
    ],
)
def test_other_protocol_refuses_what_it_has_no_place_for(
    option: str, value: Any, qwen_vl_sandbox: Sandbox
) -> None:
    chat = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk")
    with pytest.raises(ConfigurationError, match='protocol="native"'):
        chat.invoke("Hello", **{option: value})
    assert qwen_vl_sandbox.requests == []
