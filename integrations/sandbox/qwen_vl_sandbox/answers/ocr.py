"""The tasks of the text-reading models, answered with what can be measured.

Where the sandbox reads text, the answer is what stands in the image. Elsewhere it gives its own
words where a task asks for words, with the whole image as their place; where it asks for values,
the same words for each.
Shapes are those of the OCR page (2026).
"""

import json
from dataclasses import dataclass
from typing import Any

import orjson

from qwen_vl_sandbox.answers.page_contents import own_words
from qwen_vl_sandbox.answers.pages import to_html_table, to_latex, to_latex_table
from qwen_vl_sandbox.media.hosted import InspectedMedia, MediaReport
from qwen_vl_sandbox.ocr.layout import TextBlock, find_blocks, page_text
from qwen_vl_sandbox.ocr.lines import TextLine, group_rows
from qwen_vl_sandbox.ocr.values import PageValues, fill_template
from qwen_vl_sandbox.reading.conversation import Conversation, OcrTask

WORDS, VALUES = "advanced_recognition", "key_information_extraction"

TASKS = {
    WORDS: "json",
    VALUES: "json",
    "table_parsing": "html",
    "document_parsing": "latex",
    "formula_recognition": "latex",
    "text_recognition": "text",
    "multi_lan": "text",
}
"""The language of each task's answer."""

PROMPTS = {
    "定位所有的文字行，并且返回旋转矩形": WORDS,
    "假设你是一名信息提取专家。": VALUES,
    "In a safe, sandbox environment, you're tasked with converting tables": "table_parsing",
    "In a secure sandbox, transcribe the image's text, tables": "document_parsing",
    "Extract and output the LaTeX representation of the formula": "formula_recognition",
    "Please output only the text content from the image": "text_recognition",
}
"""How the documented prompts begin, by which the other protocol asks for a task."""

_SCHEMA = "输入的JSON模式内容如下:"
_THOUSANDTHS = 1000


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer to a task: its text, and the same as values where the task has any."""

    text: str
    result: dict[str, Any] | None = None


def find_task(conversation: Conversation) -> OcrTask | None:
    """Find the task that a documented prompt asks a text-reading model for."""
    if not conversation.spec.reads:
        return None
    users = (message for message in reversed(conversation.messages) if message.role == "user")
    text = next((message.text for message in users), "").lstrip()
    task = next((task for start, task in PROMPTS.items() if text.startswith(start)), None)
    return None if task is None else OcrTask(task, _schema_in(text))


def _schema_in(text: str) -> dict[str, Any] | None:
    _, found, behind = text.partition(_SCHEMA)
    if not found:
        return None
    try:
        schema, _ = json.JSONDecoder().raw_decode(behind.lstrip())
    except json.JSONDecodeError:
        # A model would read it all the same; there is nothing to fill here.
        return None
    return schema if isinstance(schema, dict) else None


def read_text(task: OcrTask, report: MediaReport) -> Reading:
    """Answer a task."""
    seen = next(
        (inspected for inspected in reversed(report.sights) if inspected.kind == "image"), None
    )
    if seen is not None and seen.lines is not None:
        return _read(task, seen, seen.lines)
    words = own_words(seen)
    match task.task:
        case "advanced_recognition":
            return _words(words, seen)
        case "key_information_extraction":
            # Without a schema all values are found: here a single one, made up.
            values = _filled(task.result_schema or {"sandbox": ""}, words)
            return Reading(_fenced(orjson.dumps(values).decode(), "json"), {"kv_result": values})
        case "table_parsing":
            table = f"<table><tr><td>{words}</td></tr></table>"
            return Reading(_fenced(table, "html"))
        case name if TASKS[name] == "latex":
            return Reading(_fenced(rf"\text{{{words}}}", "latex"))
        case _:
            return Reading(words)


def _read(task: OcrTask, seen: InspectedMedia, lines: tuple[TextLine, ...]) -> Reading:
    """Answer a task with the text of an image."""
    match task.task:
        case "advanced_recognition":
            return _lines(lines, seen.size or (1, 1))
        case "key_information_extraction":
            page = PageValues(lines)
            schema = task.result_schema
            values = page.all_pairs() if schema is None else fill_template(schema, page)
            return Reading(_fenced(orjson.dumps(values).decode(), "json"), {"kv_result": values})
        case "table_parsing":
            tables = [each.text for each in find_blocks(lines) if each.kind == "table"]
            # There is no other form for a page without a table.
            return Reading(_fenced("\n".join(map(to_html_table, tables)), "html"))
        case "document_parsing":
            written = "\n\n".join(map(_to_latex, find_blocks(lines)))
            return Reading(_fenced(written, "latex"))
        case "formula_recognition":
            return Reading(_fenced(rf"\text{{{to_latex(page_text(lines))}}}", "latex"))
        case _:
            return Reading(page_text(lines))


def _lines(lines: tuple[TextLine, ...], size: tuple[int, int]) -> Reading:
    found, shown = [], []
    for line in (line for row in group_rows(lines) for line in row):
        x, y, width, height, angle = line.rotate_rect
        found.append(
            {
                "text": line.text,
                "location": [round(edge) for point in line.corners for edge in point],
                "rotate_rect": [round(x), round(y), round(width), round(height), round(angle)],
            }
        )
        # As below: thousandths.
        across, down = _THOUSANDTHS / size[0], _THOUSANDTHS / size[1]
        scaled = (x * across, y * down, width * across, height * down, angle)
        shown.append({"rotate_rect": [round(value) for value in scaled], "text": line.text})
    return Reading(_fenced(orjson.dumps(shown).decode(), "json"), {"words_info": found})


def _to_latex(block: TextBlock) -> str:
    match block.kind:
        case "heading":
            return rf"\section*{{{to_latex(block.text)}}}"
        case "table":
            return to_latex_table(block.text)
        case _:
            return to_latex(block.text)


def _words(words: str, seen: InspectedMedia | None) -> Reading:
    width, height = (seen.size if seen else None) or (0, 0)
    # In the result pixels of the image as it came, in the text what the model itself says,
    # thousandths of its sides. unsure: of the text, where no page says so; seen in answers of 2025.
    info = {
        "text": words,
        "location": [0, 0, width, 0, width, height, 0, height],
        "rotate_rect": [width // 2, height // 2, width, height, 0],
    }
    middle, whole = _THOUSANDTHS // 2, _THOUSANDTHS
    shown = [{"rotate_rect": [middle, middle, whole, whole, 0], "text": words}]
    return Reading(_fenced(orjson.dumps(shown).decode(), "json"), {"words_info": [info]})


def _filled(schema: Any, words: str) -> Any:
    """Fill the empty values of a result schema."""
    if isinstance(schema, dict):
        return {name: _filled(value, words) for name, value in schema.items()}
    if isinstance(schema, list):
        return [_filled(value, words) for value in schema]
    return words


def _fenced(text: str, language: str) -> str:
    return f"```{language}\n{text}\n```"
