"""`qwen-vl demo` through LangChain: real pictures and a real video, asked and answered."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessageChunk, HumanMessage
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


def run(console: Console, **settings: Any) -> None:
    """Ask every question and print what was asked, sent, answered and counted.

    Args:
        console: Where to print.
        **settings: Of `ChatQwenVL`.
    """
    model = ChatQwenVL(**settings)
    for number, (question, files) in enumerate(QUESTIONS, start=1):
        console.rule(f"LangChain {number} of {len(QUESTIONS)}")
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
