"""What is on a page: its text where it is read, else the sandbox's own words; and vivid colors."""

from dataclasses import dataclass
from typing import Literal

from qwen_vl_sandbox.media.colors import Place
from qwen_vl_sandbox.media.hosted import InspectedMedia
from qwen_vl_sandbox.ocr.layout import find_blocks
from qwen_vl_sandbox.ocr.lines import TextLine

_TEXT_SHARE = 0.4
"""Part of a colored box that text covers, from which on the color is that of the text."""


@dataclass(frozen=True, slots=True)
class PageElement:
    """Something on a page.

    Args:
        kind: What it is.
        text: Its words; of a table its cells, between tabs and line breaks.
        box: Where it is, in pixels of the image as it came.
    """

    kind: Literal["heading", "paragraph", "table", "image"]
    text: str
    box: tuple[int, int, int, int]


def describe_page(seen: InspectedMedia) -> tuple[PageElement, ...]:
    """Describe what was received in a paragraph that fills the page; each vivid color is an image.

    Example:
        >>> seen = InspectedMedia("image", "PNG 451x300, 128 tokens", 128, size=(451, 300))
        >>> describe_page(seen)[0].box
        (0, 0, 451, 300)
    """
    if seen.size is None:
        return ()
    words = own_words(seen)
    found = (PageElement("image", place.word, place.box) for place in seen.boxes or ())
    return (PageElement("paragraph", words, (0, 0, *seen.size)), *found)


def read_page(seen: InspectedMedia) -> tuple[PageElement, ...]:
    """Return the elements of an image, in reading order."""
    if seen.lines is None:
        return describe_page(seen)
    blocks = [PageElement(each.kind, each.text, each.box) for each in find_blocks(seen.lines)]
    images = (
        PageElement("image", place.word, place.box)
        for place in seen.boxes or ()
        if not _is_colored_text(place, seen.lines)
    )
    return tuple(sorted([*blocks, *images], key=lambda each: (each.box[1], each.box[0])))


def own_words(seen: InspectedMedia | None) -> str:
    """Return what the sandbox says in place of text that it did not read.

    Example:
        >>> own_words(None)
        'sandbox, not a model; received no image'
    """
    if seen is None:
        return "sandbox, not a model; received no image"
    why = f". {seen.unread}" if seen.unread else ""
    return f"sandbox, not a model; received {seen.description}{why}"


def _is_colored_text(place: Place, lines: tuple[TextLine, ...]) -> bool:
    left, top, right, bottom = place.box
    covered = sum(
        max(min(right, x2) - max(left, x1), 0) * max(min(bottom, y2) - max(top, y1), 0)
        for x1, y1, x2, y2 in (line.box for line in lines)
    )
    return covered > _TEXT_SHARE * (right - left) * (bottom - top)
