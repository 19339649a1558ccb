"""Whole pages in the two forms of document parsing: QwenVL HTML and QwenVL Markdown.

HTML is written as in the Qwen2.5-VL technical report (2025-02), Markdown as in Qwen3-VL's document
parsing cookbook (2025-10); the Vision page (2026-08) names the prompts.
"""

import re
from html import escape
from typing import Literal

from qwen_vl_sandbox.answers.page_contents import PageElement, read_page
from qwen_vl_sandbox.media.hosted import InspectedMedia, MediaReport
from qwen_vl_sandbox.reading.conversation import Conversation
from qwen_vl_sandbox.specs.models import coordinates_of

_THOUSANDTHS = 1_000
_SPECIAL = re.compile(r"[&%$#_{}]")

Box = tuple[int, int, int, int]


def write_page(
    form: Literal["html", "markdown"], conversation: Conversation, report: MediaReport
) -> str | None:
    """Write what is on the last image; `None` where there is none, or the model lacks the form."""
    seen = next((each for each in reversed(report.sights) if each.kind == "image"), None)
    is_old = coordinates_of(conversation.model) == "resized"
    # Markdown came with Qwen3-VL (Vision page, 2026-08).
    if seen is None or (is_old and form == "markdown"):
        return None
    size = seen.size or (_THOUSANDTHS, _THOUSANDTHS)
    scale = (seen.scaled or size) if is_old else (_THOUSANDTHS, _THOUSANDTHS)
    elements = [(each, _to_own(each.box, size, scale)) for each in _elements(seen, size)]
    if form == "html":
        body = "\n".join(_to_html(element, box) for element, box in elements)
        return f"```html\n<html><body>\n{body}\n</body></html>\n```"
    body = "\n\n".join(_to_markdown(element, box) for element, box in elements)
    return f"```markdown\n{body}\n```"


def _elements(seen: InspectedMedia, size: tuple[int, int]) -> tuple[PageElement, ...]:
    return read_page(seen) or (PageElement("paragraph", "", (0, 0, *size)),)


def _to_own(box: Box, size: tuple[int, int], scale: tuple[int, int]) -> Box:
    """Turn pixels of the image as it came into the model's own coordinates, within the page."""
    x1, y1, x2, y2 = (
        min(round(edge * scale[axis] / size[axis]), scale[axis])
        for edge, axis in zip(box, (0, 1, 0, 1), strict=True)
    )
    return x1, y1, max(x2, min(x1 + 1, scale[0])), max(y2, min(y1 + 1, scale[1]))


def _to_html(element: PageElement, box: Box) -> str:
    bbox = f'data-bbox="{" ".join(map(str, box))}"'
    words = escape(element.text, quote=False)
    match element.kind:
        case "image":
            return f'<div class="image" {bbox}><img {bbox} /></div>'
        case "heading":
            return f"<h2 {bbox}>{words}</h2>"
        case "table":
            return to_html_table(element.text, f" {bbox}")
        case _:
            return f"<p {bbox}>{words}</p>"


def to_html_table(text: str, attributes: str = "") -> str:
    r"""Write the cells of a table, between tabs and line breaks, as HTML.

    Example:
        >>> to_html_table("a\tb")
        '<table><tr><td>a</td><td>b</td></tr></table>'
    """
    rows = (
        "".join(f"<td>{cell}</td>" for cell in row.split("\t"))
        for row in escape(text, quote=False).split("\n")
    )
    return f"<table{attributes}>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def to_latex_table(text: str) -> str:
    """Write the cells of a table, between tabs and line breaks, as LaTeX."""
    rows = [row.split("\t") for row in text.split("\n")]
    columns = "l" * max(map(len, rows))
    cells = " \\\\\n".join(" & ".join(map(to_latex, row)) for row in rows)
    return f"\\begin{{tabular}}{{{columns}}}\n{cells} \\\\\n\\end{{tabular}}"


def to_latex(text: str) -> str:
    r"""Escape what is special in LaTeX.

    Example:
        >>> to_latex("R&D: 5 % of $10")
        'R\\&D: 5 \\% of \\$10'
    """
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", text)


def _to_markdown(element: PageElement, box: Box) -> str:
    place = f"({', '.join(map(str, box))})"
    match element.kind:
        case "image":
            return f"<!-- Image {place} -->"
        case "heading":
            return f"## {element.text}"
        case "table":
            return f"<!-- Table {place} -->\n{to_latex_table(element.text)}"
        case _:
            return element.text
