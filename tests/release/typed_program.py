"""A user's program, which type checkers read and `make dist` runs: both frameworks, every result.

It asks for the environment's key and endpoint, as any program of a user does.
"""

import asyncio
from pathlib import Path
from typing import assert_type

from langchain_core.messages import AIMessage, HumanMessage
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, TextBlock
from pydantic import BaseModel

from langchain_qwen_vl import ChatQwenVL, QwenVLRateLimitError, get_usage, locate_tool
from llama_index.llms import qwen_vl as llama
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl import Box, ContentError, Event, Grounding, Timeline, Usage
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA


class Animal(BaseModel):
    """The animal in an image."""

    species: str


def ask_langchain(model: ChatQwenVL, image: Path) -> int:
    """Return the tokens that an image cost."""
    question = HumanMessage([{"type": "image", "image": image}, "What is in this image?"])
    try:
        answer = model.invoke([question])
    except (ContentError, QwenVLRateLimitError) as error:
        raise SystemExit(str(error)) from error
    assert_type(answer, AIMessage)
    usage = get_usage(answer)
    assert_type(usage, Usage)
    assert_type(usage.image_tokens, int | None)
    text: str = "".join(str(chunk.text) for chunk in model.stream([question]))
    assert_type(model.get_num_tokens_from_messages([question, ("ai", text)]), int)
    return usage.image_tokens or 0


def find_things(model: ChatQwenVL, image: Path, video: Path) -> list[str]:
    """Return what was found where, and when."""
    found = model.locate(image, "the eyes", points=False)
    assert_type(found, Grounding)
    assert_type(found.boxes, tuple[Box, ...])
    timeline = model.timeline(video, fps=1)
    assert_type(timeline, Timeline)
    assert_type(timeline.events, tuple[Event, ...])
    edges = [assert_type(box.xyxy, tuple[float, float, float, float]) for box in found.boxes]
    return [*map(str, edges), *(f"{event.start:.1f} {event.text}" for event in timeline.events)]


async def ask_llama_index(llm: QwenVL, image: Path) -> str:
    """Return the species in an image."""
    question = ChatMessage([ImageBlock(path=image), TextBlock(text="Which animal is this?")])
    response = await llm.achat([question])
    assert_type(response, ChatResponse)
    assert_type(llama.get_usage(response).input_tokens, int)
    async for partial in await llm.astream_chat([question]):
        assert_type(partial, ChatResponse)
    found = llm.as_structured_llm(Animal).chat([question]).raw
    assert isinstance(found, Animal)
    return found.species


def main() -> None:
    """Ask through both frameworks, and print what comes."""
    model = ChatQwenVL(model="qwen3-vl-plus", timeout=60, temperature=0)
    bound = model.bind_tools([locate_tool(model, {"cat.png": CHELSEA})])
    assert_type(bound.invoke("Hello"), AIMessage)
    print(ask_langchain(model, CHELSEA), "tokens for the image")
    print(*find_things(model, CHELSEA, BIG_BUCK_BUNNY), sep="\n")
    print(asyncio.run(ask_llama_index(QwenVL(max_tokens=200), CHELSEA)))


if __name__ == "__main__":
    main()
