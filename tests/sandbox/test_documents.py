"""Pages in the documented forms, through the official SDK."""

import io
import re
from typing import Any

import openai
import pybase64
import pytest
from PIL import Image

from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.answers.page_contents import PageElement
from qwen_vl_sandbox.answers.pages import _to_html, _to_markdown


@pytest.fixture(scope="module")
def page() -> str:
    """An image of 1920 x 1080 with a red and a blue box in it."""
    image = Image.new("RGB", (1920, 1080), "white")
    image.paste("#e02020", (192, 108, 960, 540))
    image.paste("#2040e0", (1000, 600, 1900, 1000))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{pybase64.b64encode(buffer.getvalue()).decode()}"


def ask(client: openai.OpenAI, url: str, text: str, model: str) -> str:
    content: Any = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": text},
    ]
    messages: Any = [{"role": "user", "content": content}]
    answer = client.chat.completions.create(model=model, messages=messages)
    return answer.choices[0].message.content or ""


@pytest.mark.parametrize("prompt", ["qwenvl html", "QwenVL HTML", " qwenvl html\n"])
def test_html(client: openai.OpenAI, page: str, prompt: str) -> None:
    answer = ask(client, page, prompt, "qwen3-vl-plus")

    assert re.fullmatch(r"```html\n<html><body>\n(<.*>\n)+</body></html>\n```", answer)
    found = [tuple(map(int, box.split())) for box in re.findall(r'data-bbox="([^"]*)"', answer)]
    assert found == [
        (0, 0, 1000, 1000),
        *[(100, 100, 500, 500)] * 2,
        *[(521, 556, 990, 926)] * 2,
    ]
    assert answer.count('<div class="image" data-bbox') == 2
    assert "sandbox, not a model; received PNG 1920x1080" in answer


def test_markdown(client: openai.OpenAI, page: str) -> None:
    answer = ask(client, page, "qwenvl markdown", "qwen3-vl-plus")

    assert answer.startswith("```markdown\nsandbox, not a model; received PNG 1920x1080")
    assert re.findall(r"<!-- (Image|Table) \((\d+), (\d+), (\d+), (\d+)\) -->", answer) == [
        ("Image", "100", "100", "500", "500"),
        ("Image", "521", "556", "990", "926"),
    ]


def test_qwen25_counts_pixels_of_the_resized_image(client: openai.OpenAI, page: str) -> None:
    answer = ask(client, page, "QwenVL HTML", "qwen2.5-vl-7b-instruct")

    # 1316 x 728, by the rule of the Vision page.
    assert 'data-bbox="0 0 1316 728"' in answer
    assert 'data-bbox="132 73 658 364"' in answer
    # It was not trained on the other form (Vision page, 2026-08).
    plain = ask(client, page, "qwenvl markdown", "qwen2.5-vl-7b-instruct")
    assert plain.startswith("I am the qwen-vl sandbox")


def test_other_words_are_another_question(client: openai.OpenAI, page: str) -> None:
    answer = ask(client, page, "Please answer in qwenvl html", "qwen3-vl-plus")

    assert answer.startswith("I am the qwen-vl sandbox")


def test_answer_is_cut_at_max_tokens(client: openai.OpenAI, page: str) -> None:
    content: Any = [
        {"type": "image_url", "image_url": {"url": page}},
        {"type": "text", "text": "qwenvl html"},
    ]
    messages: Any = [{"role": "user", "content": content}]
    whole = client.chat.completions.create(model="qwen3-vl-plus", messages=messages)
    cut = client.chat.completions.create(model="qwen3-vl-plus", messages=messages, max_tokens=30)

    assert (whole.choices[0].finish_reason, cut.choices[0].finish_reason) == ("stop", "length")
    assert (whole.choices[0].message.content or "").startswith(cut.choices[0].message.content or "")
    assert cut.usage
    assert cut.usage.completion_tokens == 30


def test_self_hosted_server(page: str) -> None:
    with Sandbox(server="vllm") as sandbox:
        client = openai.OpenAI(base_url=sandbox.base_url, api_key="none")
        answer = ask(client, page, "qwenvl html", "Qwen/Qwen3-VL-8B-Instruct")

    assert 'data-bbox="100 100 500 500"' in answer


@pytest.mark.parametrize(
    ("element", "html", "markdown"),
    [
        (
            PageElement("heading", "R&D", (0, 0, 1, 1)),
            '<h2 data-bbox="1 2 3 4">R&amp;D</h2>',
            "## R&D",
        ),
        (
            PageElement("table", "a\tb\nc", (0, 0, 1, 1)),
            '<table data-bbox="1 2 3 4"><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>',
            (
                "<!-- Table (1, 2, 3, 4) -->\n"
                "\\begin{tabular}{ll}\na & b \\\\\nc \\\\\n\\end{tabular}"
            ),
        ),
    ],
)
def test_forms_of_elements(element: PageElement, html: str, markdown: str) -> None:
    assert _to_html(element, (1, 2, 3, 4)) == html
    assert _to_markdown(element, (1, 2, 3, 4)) == markdown
