"""The tasks of the text-reading models, answered with what can be measured.

The sandbox reads no text. Where a task asks for words it gives its own, with the whole
picture as their place; where it asks for values, the same words for each.
Shapes are those of the OCR page (2026-07).
"""

from dataclasses import dataclass
from typing import Any

import orjson

from qwen_vl.sandbox.conversation import OcrTask
from qwen_vl.sandbox.engine import Receipt, Sight

WORDS, VALUES = "advanced_recognition", "key_information_extraction"

# unsure: the spelling of the last three, which stand in third-party texts alone.
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


@dataclass(frozen=True, slots=True)
class Reading:
    """The answer to a task: its text, and the same as values where the task has any."""

    text: str
    result: dict[str, Any] | None = None


def read_text(task: OcrTask, receipt: Receipt) -> Reading:
    """Answer a task."""
    seen = next((sight for sight in reversed(receipt.sights) if sight.kind == "image"), None)
    words = f"sandbox, not a model; received {seen.description if seen else 'no picture'}"
    match task.task:
        case "advanced_recognition":
            return _words(words, seen)
        case "key_information_extraction":
            values = _filled(task.result_schema, words)
            return Reading(_fenced(orjson.dumps(values).decode(), "json"), {"kv_result": values})
        case "table_parsing":
            table = f"<table><tr><td>{words}</td></tr></table>"
            return Reading(_fenced(table, "html"))
        case name if TASKS[name] == "latex":
            return Reading(_fenced(rf"\text{{{words}}}", "latex"))
        case _:
            return Reading(words)


def _words(words: str, seen: Sight | None) -> Reading:
    width, height = (seen.size if seen else None) or (0, 0)
    # unsure: pixels of the picture as it came, or as the model sees it; the former here.
    info = {
        "text": words,
        "location": [0, 0, width, 0, width, height, 0, height],
        "rotate_rect": [width // 2, height // 2, width, height, 0],
    }
    shown = [{"rotate_rect": info["rotate_rect"], "text": words}]
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
