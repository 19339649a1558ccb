"""What is on a page. The sandbox reads no text: it gives its own words, and the colors it finds."""

from dataclasses import dataclass
from typing import Literal, Protocol

from qwen_vl_sandbox.media.hosted import InspectedMedia


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


class PageContents(Protocol):
    """Finds what is on a page."""

    def __call__(self, seen: InspectedMedia) -> tuple[PageElement, ...]:
        """Return the elements of an image, in reading order."""


def describe_page(seen: InspectedMedia) -> tuple[PageElement, ...]:
    """Describe what was received in a paragraph that fills the page; each vivid color is an image.

    Example:
        >>> seen = InspectedMedia("image", "PNG 451x300, 128 tokens", 128, size=(451, 300))
        >>> describe_page(seen)[0].box
        (0, 0, 451, 300)
    """
    if seen.size is None:
        return ()
    words = f"sandbox, not a model; received {seen.description}"
    found = (PageElement("image", place.word, place.box) for place in seen.boxes or ())
    return (PageElement("paragraph", words, (0, 0, *seen.size)), *found)


read_page: PageContents = describe_page
"""Where the words of a page come from."""
