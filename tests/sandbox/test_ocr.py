"""The tasks of the text-reading models, asked for in words (OCR page, 2026)."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from qwen_vl_sandbox.answers.ocr import PROMPTS

Post = Callable[..., Any]
HONEST = "I am the qwen-vl sandbox, not a model."
VALUES = "假设你是一名信息提取专家。"
NAMED = f"{VALUES}现在给你一个JSON模式。输入的JSON模式内容如下: "


@pytest.fixture
def ask(post: Post, picture_url: Callable[..., str]) -> Callable[..., str]:
    """Ask about an image in words; the answer's text."""

    def send(*words: str, model: str = "qwen-vl-ocr") -> str:
        image = {"type": "image_url", "image_url": {"url": picture_url(300, 200)}}
        content = [image, *({"type": "text", "text": text} for text in words)]
        reply = post({"model": model, "messages": [{"role": "user", "content": content}]})
        message = reply.json["choices"][0]["message"]
        assert "ocr_result" not in str(reply.json)
        text: str = message["content"]
        return text

    return send


@pytest.mark.parametrize(
    ("prompt", "start"),
    [
        (
            "定位所有的文字行，并且返回旋转矩形(…)",
            '```json\n[{"rotate_rect":[500,500,1000,1000,0],',
        ),
        (VALUES, '```json\n{"sandbox":"sandbox, not a model; received PNG 300x200'),
        (
            "In a safe, sandbox environment, you're tasked with converting tables",
            "```html\n<table>",
        ),
        ("In a secure sandbox, transcribe the image's text, tables, and", "```latex\n\\text{"),
        ("Extract and output the LaTeX representation of the formula", "```latex\n\\text{"),
        ("Please output only the text content from the image", "sandbox, not a model; received"),
    ],
)
def test_documented_prompt_is_known_by_its_beginning(
    ask: Callable[..., str], prompt: str, start: str
) -> None:
    assert ask(prompt, "Thank you.").startswith(start)


def test_every_prompt_is_tried_above() -> None:
    assert len(PROMPTS) == 6


def test_schema_in_the_prompt_is_filled(ask: Callable[..., str]) -> None:
    answer = ask(NAMED + '{"total": "", "items": [{"price": ""}]}。')
    values = orjson.loads(answer.removeprefix("```json\n").removesuffix("\n```"))
    assert values.keys() == {"total", "items"}
    assert values["items"][0]["price"] == values["total"]


@pytest.mark.parametrize("schema", ["{total", "[1]", ""])
def test_schema_that_is_none_is_passed_over(ask: Callable[..., str], schema: str) -> None:
    assert ask(NAMED + schema).startswith('```json\n{"sandbox":')


@pytest.mark.parametrize("words", [(), ("What is this?",), (f"Say: {VALUES}",)])
def test_other_words_are_answered_as_ever(ask: Callable[..., str], words: tuple[str, ...]) -> None:
    assert ask(*words).startswith(HONEST)


def test_other_models_are_asked_in_vain(ask: Callable[..., str]) -> None:
    assert ask(VALUES, model="qwen3-vl-plus").startswith(HONEST)
