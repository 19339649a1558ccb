"""The real service: run with `make live` where `DASHSCOPE_API_KEY` is set."""

import os

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, VideoBlock
from PIL import Image
from pydantic import BaseModel

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.grounding.grounder import Grounder
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.vision import count_image_tokens

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
    counted = count_image_tokens(451, 300, get_model_spec("qwen3-vl-plus"))
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


def test_picture_and_video_are_seen_through_llama_index() -> None:
    blocks = [
        ImageBlock(path=CHELSEA),
        VideoBlock(path=BIG_BUCK_BUNNY, fps=2),
        TextBlock(text="Which animal is in the image? One word."),
    ]
    *_, last = QwenVL().stream_chat([ChatMessage(blocks)])

    assert "cat" in (last.message.content or "").lower()
    assert last.additional_kwargs["prompt_tokens"] > 128


class Animal(BaseModel):
    """The animal in the image."""

    species: str


@pytest.mark.parametrize("model", ["qwen3-vl-plus", "qwen3.8-flash"])
def test_picture_in_a_schema(model: str) -> None:
    message = ChatMessage([ImageBlock(path=CHELSEA), TextBlock(text="Which animal is this?")])
    answer = QwenVL(model).as_structured_llm(Animal).chat([message])

    assert "cat" in answer.raw.species.lower()


async def test_agent_sees_what_its_tool_returns() -> None:
    def look() -> list[ImageBlock]:
        """Look at the image."""
        return [ImageBlock(path=CHELSEA)]

    agent = FunctionAgent(llm=QwenVL(), tools=[look])
    answer = await agent.run(user_msg="Use the tool look, then say which animal it shows.")

    assert "cat" in str(answer).lower()


@pytest.mark.parametrize(
    "model", ["qwen3-vl-plus", "qwen3.5-plus", "qwen3.7-plus", "qwen3.8-flash"]
)
def test_coordinates_count_in_what_is_known_of_the_family(model: str) -> None:
    image = Image.new("RGB", (1920, 1080), "white")
    image.paste("red", (192, 108, 768, 432))
    found = Grounder(QwenVLSettings(model=model)).locate(image, "red rectangles")

    (box,) = found.boxes
    assert box.xyxy == pytest.approx((192, 108, 768, 432), abs=40)


def test_times_count_from_the_videos_beginning() -> None:
    timeline = Grounder(QwenVLSettings()).timeline(BIG_BUCK_BUNNY, fps=2)

    assert timeline.events
    assert timeline.seconds == 5.28
