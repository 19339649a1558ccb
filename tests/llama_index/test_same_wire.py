"""The same content through LangChain and through LlamaIndex: the same bytes leave."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from langchain_qwen_vl import frames_block as langchain_frames_block
from llama_index.llms.qwen_vl import QwenVL, frames_block, image_block, video_block
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET
from qwen_vl_sandbox import Sandbox

CAT = "https://example.com/cat.png"
WALK = "https://example.com/walk.mp4"
FRAMES = [f"https://example.com/{number}.jpg" for number in range(4)]
QUESTION = "What is this?"


def human(*blocks: dict[str, Any]) -> list[BaseMessage]:
    return [HumanMessage([*blocks, {"type": "text", "text": QUESTION}])]


def user(*blocks: Any) -> list[ChatMessage]:
    return [ChatMessage([*blocks, TextBlock(text=QUESTION)])]


def decoded(path: Path) -> Image.Image:
    with Image.open(path) as opened:
        return opened.convert("RGB")


Case = tuple[Callable[[], list[BaseMessage]], Callable[[], list[ChatMessage]]]

CASES: dict[str, Case] = {
    "text": (
        lambda: [SystemMessage("Be brief."), HumanMessage(QUESTION)],
        lambda: [ChatMessage("Be brief.", role="system"), ChatMessage(QUESTION)],
    ),
    "image by address": (
        lambda: human({"type": "image", "url": CAT}),
        lambda: user(ImageBlock(url=CAT)),
    ),
    "image by path": (
        lambda: human({"type": "image", "image": CHELSEA}),
        lambda: user(ImageBlock(path=CHELSEA)),
    ),
    "image by bytes, with limits": (
        lambda: human(
            {
                "type": "image",
                "base64": ROCKET.read_bytes(),
                "extras": {"min_pixels": 65_536, "max_pixels": 655_360},
            }
        ),
        lambda: user(image_block(ROCKET.read_bytes(), min_pixels=65_536, max_pixels=655_360)),
    ),
    "decoded image": (
        lambda: human({"type": "image", "image": decoded(COFFEE)}),
        lambda: user(image_block(decoded(COFFEE))),
    ),
    "two images": (
        lambda: human({"type": "image", "url": CAT}, {"type": "image", "image": COFFEE}),
        lambda: user(ImageBlock(url=CAT), ImageBlock(path=COFFEE)),
    ),
    "video by address": (
        lambda: human({"type": "video", "url": WALK, "fps": 0.5}),
        lambda: user(video_block(WALK, fps=0.5)),
    ),
    "video by path": (
        lambda: human({"type": "video", "video": BIG_BUCK_BUNNY, "fps": 2}),
        lambda: user(VideoBlock(path=BIG_BUCK_BUNNY, fps=2)),
    ),
    "frames": (
        lambda: human(langchain_frames_block(FRAMES, fps=0.5, max_pixels=655_360)),
        lambda: user(frames_block(FRAMES, fps=0.5, max_pixels=655_360)),
    ),
    "frames by path": (
        lambda: human(langchain_frames_block([CHELSEA, COFFEE, ROCKET, CHELSEA], fps=1.0)),
        lambda: user(frames_block([CHELSEA, COFFEE, ROCKET, CHELSEA], fps=1.0)),
    ),
    "tool's image": (
        lambda: [
            HumanMessage(QUESTION),
            AIMessage(
                "",
                additional_kwargs={"reasoning_content": "Hm."},
                tool_calls=[{"name": "look", "args": {"at": "左"}, "id": "a", "type": "tool_call"}],
            ),
            ToolMessage(
                [{"type": "text", "text": "Here:"}, {"type": "image", "url": CAT}], tool_call_id="a"
            ),
        ],
        lambda: [
            ChatMessage(QUESTION),
            ChatMessage(
                role="assistant",
                blocks=[
                    ThinkingBlock(content="Hm."),
                    ToolCallBlock(tool_call_id="a", tool_name="look", tool_kwargs={"at": "左"}),
                ],
            ),
            ChatMessage(
                role="tool",
                blocks=[TextBlock(text="Here:"), ImageBlock(url=CAT)],
                additional_kwargs={"tool_call_id": "a"},
            ),
        ],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["qwen3-vl-plus", "qwen3.8-flash"])
@pytest.mark.parametrize("name", CASES)
async def test_same_bytes_leave(
    name: str, model: str, stream: bool, qwen_vl_sandbox: Sandbox
) -> None:
    settings = {
        "base_url": qwen_vl_sandbox.base_url,
        "api_key": "sk-sandbox-7712",
        "model": model,
        "temperature": 0.1,
        "fps": 4.0,
        "max_pixels": 1_310_720,
    }
    chat, llm = ChatQwenVL(**settings), QwenVL(**settings)
    by_langchain, by_llama_index = CASES[name]
    if stream:
        list(chat.stream(by_langchain()))
        list(llm.stream_chat(by_llama_index()))
        _ = [item async for item in await llm.astream_chat(by_llama_index())]
    else:
        chat.invoke(by_langchain())
        llm.chat(by_llama_index())
        await llm.achat(by_llama_index())
    first, second, third = (request.body for request in qwen_vl_sandbox.requests)
    assert first == second == third


@pytest.mark.parametrize(
    "example",
    sorted((Path(__file__).parents[1] / "wire_examples").glob("*.json")),
    ids=lambda path: path.stem,
)
def test_body_equals_the_guide_s(example: Path, llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    body = json.loads(example.read_text())["body"]
    blocks = [to_block(part) for part in body["messages"][0]["content"]]
    llm.chat([ChatMessage(blocks)])
    assert qwen_vl_sandbox.last_request.json == body


def to_block(part: dict[str, Any]) -> Any:
    """Say the guide's own part in LlamaIndex's words."""
    match part["type"]:
        case "image_url":
            return ImageBlock(url=part["image_url"]["url"])
        case "video_url":
            return video_block(part["video_url"]["url"], fps=part.get("fps"))
        case "video":
            return frames_block(part["video"], fps=part.get("fps"))
    return TextBlock(text=part["text"])
