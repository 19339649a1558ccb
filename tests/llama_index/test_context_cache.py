"""The explicit context cache: the first call pays for it, the second finds it."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    ChatResponse,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    VideoBlock,
)
from PIL import Image

from llama_index.llms.qwen_vl import QwenVL, image_block
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox

Ask = Callable[..., ChatResponse]
POINT = CachePoint(cache_control=CacheControl(type="ephemeral"))
LONG = TextBlock(text="word" * 1100)
QUESTION = ChatMessage("What does it say?")


@pytest.fixture(params=["chat", "stream_chat"])
def ask(request: pytest.FixtureRequest, llm: QwenVL) -> Ask:
    """Ask in one piece or in many."""
    if request.param == "chat":
        return llm.chat
    return lambda messages: list(llm.stream_chat(messages))[-1]


def counts(response: ChatResponse) -> tuple[Any, Any]:
    held = response.additional_kwargs
    return held.get("cache_creation_tokens"), held.get("cached_tokens")


def said(*blocks: Any, role: MessageRole = MessageRole.USER) -> ChatMessage:
    return ChatMessage(blocks=list(blocks), role=role)


PREFIXES: dict[str, list[ChatMessage]] = {
    "text": [said(LONG, POINT, TextBlock(text="What?"))],
    "image": [
        said(image_block(CHELSEA, min_pixels=2_000_000), POINT, TextBlock(text="What?")),
    ],
    "video": [said(VideoBlock(path=BIG_BUCK_BUNNY), POINT, TextBlock(text="What?"))],
    "system": [said(LONG, POINT, role=MessageRole.SYSTEM), QUESTION],
    "assistant": [QUESTION, said(LONG, POINT, role=MessageRole.ASSISTANT), QUESTION],
}


@pytest.mark.parametrize("messages", PREFIXES.values(), ids=PREFIXES)
def test_first_call_creates_and_second_finds(ask: Ask, messages: list[ChatMessage]) -> None:
    first, second = ask(messages), ask(messages)
    created, found = counts(first)
    assert created > 1024
    assert found == 0
    assert counts(second) == (0, created)
    assert first.additional_kwargs["prompt_tokens"] > created


def test_call_without_markers_has_no_creation(ask: Ask) -> None:
    assert counts(ask([said(LONG)])) == (None, 0)


def test_point_behind_a_document_marks_its_last_page(
    llm: QwenVL, qwen_vl_sandbox: Sandbox, two_pages: bytes
) -> None:
    llm.chat([said(DocumentBlock(data=two_pages), POINT, TextBlock(text="What?"))])
    content = qwen_vl_sandbox.last_request.json["messages"][0]["content"]
    marks = [part.get("cache_control") for part in content]
    assert marks == [None, None, None, {"type": "ephemeral"}, None]


@pytest.fixture
def two_pages() -> bytes:
    pages = [Image.new("RGB", (200, 100), color) for color in ("red", "blue")]
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:])
    return buffer.getvalue()


def test_fifth_point_is_refused(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    pairs = [block for n in range(5) for block in (TextBlock(text=f"{n}"), POINT)]
    with pytest.raises(UnsupportedContentError, match=r"blocks\[8\]: .*5 .*markers.* takes 4"):
        llm.chat([said(*pairs)])
    assert not qwen_vl_sandbox.requests


def test_kind_that_the_service_has_not(llm: QwenVL) -> None:
    point = CachePoint(cache_control=CacheControl(type="persistent"))
    with pytest.raises(UnsupportedContentError, match="Unknown cache_control type 'persistent'"):
        llm.chat([said(ImageBlock(path=CHELSEA), point)])


def test_lifetime_that_the_model_has_not(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral", ttl="1h"))
    with pytest.raises(UnsupportedContentError, match="ttl of '1h'; qwen3-vl-plus keeps"):
        llm.chat([said(LONG, point)])
    assert not qwen_vl_sandbox.requests
