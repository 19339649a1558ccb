"""`qwen-vl demo` through LlamaIndex: an image, a video, boxes, a timeline, an agent that zooms."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, VideoBlock
from rich.console import Console

from llama_index.llms.qwen_vl.base import QwenVL
from llama_index.llms.qwen_vl.block_builders import image_block, video_block
from qwen_vl.cli import demo

_N_QUESTIONS = 5


def run(console: Console, folder: Path, **settings: Any) -> None:
    """Ask every question and print what was asked, sent, answered and counted.

    Args:
        console: Where to print.
        folder: Where to save what is drawn.
        **settings: Of `QwenVL`.
    """
    llm = QwenVL(**settings)
    console.rule(f"LlamaIndex 1 of {_N_QUESTIONS}")
    _ask(console, llm, demo.IMAGE_QUESTION, [demo.IMAGE], image_block(demo.IMAGE))
    console.rule(f"LlamaIndex 2 of {_N_QUESTIONS}")
    _ask(console, llm, demo.VIDEO_QUESTION, [demo.VIDEO], video_block(demo.VIDEO, fps=2))
    console.rule(f"LlamaIndex 3 of {_N_QUESTIONS}")
    demo.print_question(console, demo.BOXES_QUESTION, [demo.BOXES_IMAGE], llm.model)
    boxes = llm.locate(demo.BOXES_IMAGE, demo.BOXES_WHAT)
    demo.show_boxes(console, boxes, folder / "boxes-llama-index.png")
    console.rule(f"LlamaIndex 4 of {_N_QUESTIONS}")
    demo.print_question(console, demo.TIMELINE_QUESTION, [demo.VIDEO], llm.model)
    demo.show_timeline(console, llm.timeline(demo.VIDEO), folder / "timeline-llama-index.png")
    console.rule(f"LlamaIndex {_N_QUESTIONS} of {_N_QUESTIONS}")
    asyncio.run(_look_closer(console, llm))


def zoom(left: int, top: int, right: int, bottom: int) -> list[ImageBlock]:
    """Cut a part out of the image, by its corners in pixels, and look at it enlarged."""
    return [image_block(demo.cut_out(left, top, right, bottom))]


def _ask(
    console: Console,
    llm: QwenVL,
    question: str,
    files: Sequence[Path],
    block: ImageBlock | VideoBlock,
) -> None:
    demo.print_question(console, question, files, llm.model)
    console.print("[bold]Answered[/bold]  ", end="")
    counts: dict[str, Any] = {}
    for response in llm.stream_chat([ChatMessage([block, TextBlock(text=question)])]):
        demo.print_text(console, response.delta or "", end="")
        counts = response.additional_kwargs
    console.print(f"\n[bold]Usage[/bold]     {_describe_usage(counts)}\n")


async def _look_closer(console: Console, llm: QwenVL) -> None:
    demo.print_question(console, demo.AGENT_QUESTION, [demo.AGENT_IMAGE], llm.model)

    agent = FunctionAgent(llm=llm, tools=[zoom])
    question = [image_block(demo.AGENT_IMAGE), TextBlock(text=demo.AGENT_QUESTION)]
    handler = agent.run(user_msg=ChatMessage(question))
    async for event in handler.stream_events():
        if isinstance(event, ToolCallResult):
            corners = ", ".join(f"{name}={value}" for name, value in event.tool_kwargs.items())
            console.print(f"[bold]Calls[/bold]     {event.tool_name}({corners})")
    console.print("[bold]Answered[/bold]  ", end="")
    demo.print_text(console, f"{await handler}\n")


def _describe_usage(counts: dict[str, Any]) -> str:
    if "prompt_tokens" not in counts:
        return "not given"
    kinds = {"image": counts.get("image_tokens"), "video": counts.get("video_tokens")}
    details = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
    return (
        f"{counts['prompt_tokens']:,} tokens in{f' ({details})' if details else ''}, "
        f"{counts['completion_tokens']:,} out"
    )
