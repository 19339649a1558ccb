"""The explicit context cache: the first call pays for it, the second finds it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from PIL import Image as PillowImage

from langchain_qwen_vl import ChatQwenVL
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox

Ask = Callable[..., AIMessage]
MARK = {"type": "ephemeral"}
LONG = "word" * 1100
QUESTION = HumanMessage("What does it say?")


@pytest.fixture(params=["invoke", "stream"])
def ask(request: pytest.FixtureRequest, chat: ChatQwenVL) -> Ask:
    """Ask in one piece or in many."""

    def stream(messages: list[BaseMessage]) -> AIMessage:
        first, *others = chat.stream(messages)
        whole: AIMessageChunk = first
        for chunk in others:
            whole += chunk
        return whole

    return chat.invoke if request.param == "invoke" else stream


def counts(answer: AIMessage) -> tuple[Any, Any]:
    assert answer.usage_metadata
    details = answer.usage_metadata["input_token_details"]
    return details.get("cache_creation"), details.get("cache_read")


def tokens(answer: AIMessage) -> int:
    assert answer.usage_metadata
    return answer.usage_metadata["input_tokens"]


PREFIXES: dict[str, list[BaseMessage]] = {
    "text": [HumanMessage([{"type": "text", "text": LONG, "cache_control": MARK}, "What?"])],
    "image": [
        HumanMessage(
            [
                {"type": "image", "image": CHELSEA, "min_pixels": 2_000_000, "cache_control": MARK},
                "What?",
            ]
        )
    ],
    "image's extras": [
        HumanMessage(
            [
                {
                    "type": "image",
                    "image": CHELSEA,
                    "extras": {"cache_control": MARK, "min_pixels": 2_000_000},
                },
                "What?",
            ]
        )
    ],
    "video": [
        HumanMessage([{"type": "video", "video": BIG_BUCK_BUNNY, "cache_control": MARK}, "What?"])
    ],
    "system": [SystemMessage([{"type": "text", "text": LONG, "cache_control": MARK}]), QUESTION],
    "assistant": [
        QUESTION,
        AIMessage([{"type": "text", "text": LONG, "cache_control": MARK}]),
        QUESTION,
    ],
}


@pytest.mark.parametrize("messages", PREFIXES.values(), ids=PREFIXES)
def test_first_call_creates_and_second_finds(ask: Ask, messages: list[BaseMessage]) -> None:
    first, second = ask(messages), ask(messages)
    created, found = counts(first)
    assert created > 1024
    assert found == 0
    assert counts(second) == (0, created)
    assert tokens(first) == tokens(second) > created


def test_pages_of_a_pdf_are_cached_to_the_last(
    ask: Ask, qwen_vl_sandbox: Sandbox, tmp_path: Path
) -> None:
    pages = [PillowImage.new("RGB", (1241, 1754), color) for color in ("red", "blue")]
    path = tmp_path / "book.pdf"
    pages[0].save(path, "PDF", save_all=True, append_images=pages[1:], resolution=150)
    block = {
        "type": "file",
        "base64": path.read_bytes(),
        "mime_type": "application/pdf",
        "cache_control": MARK,
    }
    messages: list[BaseMessage] = [HumanMessage([block, "What?"])]
    created, _ = counts(ask(messages))
    content = qwen_vl_sandbox.last_request.json["messages"][0]["content"]
    assert [part.get("cache_control") for part in content] == [None, None, None, MARK, None]
    assert counts(ask(messages)) == (0, created)


def test_call_without_markers_has_no_creation(chat: ChatQwenVL) -> None:
    assert counts(chat.invoke(LONG)) == (None, 0)


def test_fifth_marker_is_refused(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    block = {"type": "text", "text": "Long.", "cache_control": MARK}
    with pytest.raises(UnsupportedContentError, match=r"content\[4\]: .*5 .*markers.* takes 4"):
        chat.invoke([HumanMessage([block] * 5)])
    assert not qwen_vl_sandbox.requests


def test_hour_is_refused_where_there_are_five_minutes(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    mark = {"type": "ephemeral", "ttl": "1h"}
    with pytest.raises(UnsupportedContentError, match="ttl of '1h'; qwen3-vl-plus keeps"):
        chat.invoke([HumanMessage([{"type": "text", "text": LONG, "cache_control": mark}])])
    assert not qwen_vl_sandbox.requests


def test_marker_in_a_tool_s_result(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    call = {"name": "look", "args": {}, "id": "call_1"}
    content: list[Any] = [
        {"type": "text", "text": "Here.", "cache_control": MARK},
        {"type": "image", "image": CHELSEA, "cache_control": MARK},
    ]
    messages = [
        QUESTION,
        AIMessage("", tool_calls=[call]),
        ToolMessage(content, tool_call_id="call_1"),
    ]
    with pytest.warns(
        UserWarning, match=r"messages\[2\].content\[0\]: cache_control is not supported"
    ):
        chat.invoke(messages)
    *_, followed = qwen_vl_sandbox.last_request.json["messages"]
    assert [part.get("cache_control") for part in followed["content"]] == [None, MARK]
