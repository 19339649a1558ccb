"""`qwen-vl demo` through LangChain: images, a video, boxes, a timeline, and a tool that zooms.

Where the model reads, or the sandbox does, an invoice too.
"""

import base64
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from rich.console import Console

from langchain_qwen_vl.chat_models import ChatQwenVL
from qwen_vl import Block, DocumentParser, QwenVLSettings
from qwen_vl.cli import demo

QUESTIONS: Sequence[tuple[str, str, Sequence[Path]]] = (
    ("image", demo.IMAGE_QUESTION, [demo.IMAGE]),
    ("image", demo.IMAGES_QUESTION, demo.IMAGES),
    ("video", demo.VIDEO_QUESTION, [demo.VIDEO]),
)
MAX_LOOKS = 4
_N_QUESTIONS = len(QUESTIONS) + 3


def run(console: Console, folder: Path, **settings: Any) -> None:
    """Ask every question and print what was asked, sent, answered and counted.

    Args:
        console: Where to print.
        folder: Where to save what is drawn.
        **settings: Of `ChatQwenVL`.
    """
    model = ChatQwenVL(**settings)
    for number, (kind, question, files) in enumerate(QUESTIONS, start=1):
        console.rule(f"LangChain {number} of {_N_QUESTIONS}")
        demo.print_question(console, question, files, model.model)
        blocks: list[str | dict[str, Any]] = [{"type": kind, "url": file} for file in files]
        console.print("[bold]Answered[/bold]  ", end="")
        answer: AIMessageChunk | None = None
        for chunk in model.stream([HumanMessage([*blocks, question])]):
            demo.print_text(console, chunk.text, end="")
            answer = chunk if answer is None else answer + chunk
        console.print(f"\n[bold]Usage[/bold]     {_describe_usage(answer)}\n")

    console.rule(f"LangChain {_N_QUESTIONS - 2} of {_N_QUESTIONS}")
    demo.print_question(console, demo.BOXES_QUESTION, [demo.BOXES_IMAGE], model.model)
    boxes = model.locate(demo.BOXES_IMAGE, demo.BOXES_WHAT)
    demo.show_boxes(console, boxes, folder / "boxes-langchain.png")

    console.rule(f"LangChain {_N_QUESTIONS - 1} of {_N_QUESTIONS}")
    demo.print_question(console, demo.TIMELINE_QUESTION, [demo.VIDEO], model.model)
    demo.show_timeline(console, model.timeline(demo.VIDEO), folder / "timeline-langchain.png")

    console.rule(f"LangChain {_N_QUESTIONS} of {_N_QUESTIONS}")
    _look_closer(console, model)


class Item(BaseModel):
    """A row of an invoice."""

    description: str
    quantity: int
    amount: float


class Invoice(BaseModel):
    """What is wanted of an invoice."""

    invoice_number: str
    due_date: date
    items: list[Item]
    total: float


def read_invoice(console: Console, folder: Path, **settings: Any) -> None:
    """Turn an image of an invoice into an object and a drawn page, and find a text in it.

    Args:
        console: Where to print.
        folder: Where to save what is drawn.
        **settings: Of `ChatQwenVL`, and of a document parser.
    """
    console.rule("LangChain: read an invoice")
    file = demo.save_invoice(console, folder)
    model = ChatQwenVL(**settings)
    demo.print_question(console, demo.INVOICE_QUESTION, [file], model.model)
    asked = HumanMessage([{"type": "image", "image": file}, demo.INVOICE_QUESTION])
    invoice = model.with_structured_output(Invoice).invoke([asked])
    console.print("[bold]Object[/bold]    ", end="")
    demo.print_text(console, repr(invoice))
    document = DocumentParser(QwenVLSettings(**settings)).parse(file)
    page = document.pages[0]
    console.print("[bold]Parsed[/bold]    ", end="")
    demo.print_text(console, f"{len(page.blocks)} blocks: {_count_kinds(page.blocks)}")
    demo.save_image(console, page.draw(), folder / "invoice-layout.png")
    found = model.locate(file, demo.INVOICE_WHAT)
    demo.show_boxes(console, found, folder / "invoice-total.png", image=file)


def _count_kinds(blocks: Sequence[Block]) -> str:
    kinds = Counter(block.kind for block in blocks)
    return ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in kinds.items())


@tool
def zoom(left: int, top: int, right: int, bottom: int) -> list[dict[str, Any]]:
    """Cut a part out of the image, by its corners in pixels, and look at it enlarged."""
    data = base64.b64encode(demo.cut_out(left, top, right, bottom)).decode()
    return [{"type": "image", "base64": data, "mime_type": "image/png"}]


def _look_closer(console: Console, model: ChatQwenVL) -> None:
    demo.print_question(console, demo.AGENT_QUESTION, [demo.AGENT_IMAGE], model.model)
    looking = model.bind_tools([zoom])
    image = {"type": "image", "image": demo.AGENT_IMAGE}
    messages: list[BaseMessage] = [HumanMessage([image, demo.AGENT_QUESTION])]
    for _ in range(MAX_LOOKS):
        answer = looking.invoke(messages)
        messages.append(answer)
        if not answer.tool_calls:
            console.print("[bold]Answered[/bold]  ", end="")
            demo.print_text(console, f"{answer.text}\n")
            return
        for call in answer.tool_calls:
            corners = ", ".join(f"{name}={value}" for name, value in call["args"].items())
            console.print(f"[bold]Calls[/bold]     {call['name']}({corners})")
            messages.append(zoom.invoke(call))
    console.print(f"[bold]Stopped[/bold]   after {MAX_LOOKS} looks\n")


def _describe_usage(answer: AIMessageChunk | None) -> str:
    usage = answer.usage_metadata if answer is not None else None
    if usage is None:
        return "not given"
    media = usage.get("input_token_details", {})
    details = ", ".join(f"{count:,} {kind}" for kind, count in media.items() if count)
    return (
        f"{usage['input_tokens']:,} tokens in{f' ({details})' if details else ''}, "
        f"{usage['output_tokens']:,} out"
    )
