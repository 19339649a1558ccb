"""The real service: run with `make live` where `DASHSCOPE_API_KEY` is set."""

import os

import pytest
from langchain_core.messages import HumanMessage

from langchain_qwen_vl import ChatQwenVL
from qwen_vl.models import find_model
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl.tokens import count_image_tokens

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not os.environ.get("DASHSCOPE_API_KEY"), reason="DASHSCOPE_API_KEY is not set"
    ),
]


def test_picture_is_seen_and_costs_what_we_count() -> None:
    blocks = [{"type": "image", "image": CHELSEA}, "Which animal is this? One word."]
    answer = ChatQwenVL().invoke([HumanMessage(blocks)])

    assert "cat" in answer.text.lower()
    assert answer.usage_metadata is not None
    text_tokens = 40
    counted = count_image_tokens(451, 300, find_model("qwen3-vl-plus"))
    assert counted - 2 <= answer.usage_metadata["input_tokens"] <= counted + text_tokens


def test_video_is_seen_and_streamed() -> None:
    blocks = [{"type": "video", "video": BIG_BUCK_BUNNY, "fps": 2}, "Is this a film? One word."]
    chunks = list(ChatQwenVL().stream([HumanMessage(blocks)]))

    assert "".join(chunk.text for chunk in chunks).strip()
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1


@pytest.mark.parametrize("model", ["qwen3-vl-plus", "qwen3.8-flash"])
async def test_thinking_is_read(model: str) -> None:
    chat = ChatQwenVL(model=model, enable_thinking=True)
    answer = await chat.ainvoke([HumanMessage([{"type": "image", "image": CHELSEA}, "A cat?"])])

    assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]
