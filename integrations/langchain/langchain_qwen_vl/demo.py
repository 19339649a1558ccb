"""`qwen-vl demo` through LangChain: real pictures, a real video, and a tool that looks closer."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.tools import tool
from PIL import Image
from rich.console import Console
from rich.table import Table

from langchain_qwen_vl.chat_model import ChatQwenVL
from qwen_vl.media import read_image_header, sniff
from qwen_vl.models import find_model
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET
from qwen_vl.tokens import count_image_tokens

QUESTIONS: Sequence[tuple[str, Sequence[Path]]] = (
    ("What is in this picture?", [CHELSEA]),
    ("What do these two pictures have in common?", [COFFEE, ROCKET]),
    ("What happens in this video?", [BIG_BUCK_BUNNY]),
)

AGENT_QUESTION = (
    "What stands beside the rocket? Use zoom, first with left=200, top=100, right=440, bottom=420."
)
MAX_LOOKS = 4


def run(console: Console, **settings: Any) -> None:
    """Ask every question and print what was asked, sent, answered and counted.

    Args:
        console: Where to print.
        **settings: Of `ChatQwenVL`.
    """
    model = ChatQwenVL(**settings)
    for number, (question, files) in enumerate(QUESTIONS, start=1):
        console.rule(f"LangChain {number} of {len(QUESTIONS) + 1}")
        console.print(f"[bold]Asked[/bold]     {question}")
        console.print(_table_of(files, model.model))
        blocks: list[str | dict[str, Any]] = [
            {"type": "video" if _is_video(file) else "image", "url": file} for file in files
        ]
        console.print("[bold]Answered[/bold]  ", end="")
        answer: AIMessageChunk | None = None
        for chunk in model.stream([HumanMessage([*blocks, question])]):
            console.print(chunk.text, end="", markup=False, highlight=False, soft_wrap=True)
            answer = chunk if answer is None else answer + chunk
        console.print(f"\n[bold]Usage[/bold]     {_describe_usage(answer)}\n")

    console.rule(f"LangChain {len(QUESTIONS) + 1} of {len(QUESTIONS) + 1}")
    _look_closer(console, model)


@tool
def zoom(left: int, top: int, right: int, bottom: int) -> list[dict[str, Any]]:
    """Cut a part out of the picture, by its corners in pixels, and look at it enlarged."""
    with Image.open(ROCKET) as picture:
        part = picture.crop((left, top, right, bottom))
    buffer = io.BytesIO()
    part.resize((part.width * 2, part.height * 2)).save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode()
    return [{"type": "image", "base64": data, "mime_type": "image/png"}]


def _look_closer(console: Console, model: ChatQwenVL) -> None:
    console.print(f"[bold]Asked[/bold]     {AGENT_QUESTION}")
    console.print(_table_of([ROCKET], model.model))
    looking = model.bind_tools([zoom])
    messages: list[BaseMessage] = [
        HumanMessage([{"type": "image", "image": ROCKET}, AGENT_QUESTION])
    ]
    for _ in range(MAX_LOOKS):
        answer = looking.invoke(messages)
        messages.append(answer)
        if not answer.tool_calls:
            console.print("[bold]Answered[/bold]  ", end="")
            console.print(answer.text, markup=False, highlight=False, soft_wrap=True)
            return
        for call in answer.tool_calls:
            corners = ", ".join(f"{name}={value}" for name, value in call["args"].items())
            console.print(f"[bold]Looks at[/bold]  {call['name']}({corners})")
            messages.append(zoom.invoke(call))
    console.print(f"[bold]Stopped[/bold]   after {MAX_LOOKS} looks")


def _table_of(files: Sequence[Path], model: str) -> Table:
    table = Table("Sent", "Type", "Size", "Bytes", "Tokens")
    for file in files:
        data = file.read_bytes()
        if _is_video(file):
            size, tokens = "", "as the service samples it"
        else:
            header = read_image_header(data)
            width, height = header.width or 0, header.height or 0
            size = f"{width} x {height}"
            tokens = f"{count_image_tokens(width, height, find_model(model)):,}"
        table.add_row(file.name, sniff(data), size, f"{len(data):,}", tokens)
    return table


def _is_video(file: Path) -> bool:
    return (sniff(file.read_bytes()) or "").startswith("video/")


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
