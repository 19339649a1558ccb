"""Questions for places in an image, events in a video and whole pages, as the guides put them.

What is looked for are colors, and texts where the sandbox reads: it can find nothing else. Words
that the questions are known by are those of the object location and video pages (2025-2026).
"""

import re
from dataclasses import dataclass
from typing import Literal

from qwen_vl_sandbox.reading.conversation import Conversation

_BOXES = re.compile(
    r"bbox_2d|point_2d|\b(?:bbox|point|box) coordinates?\b|(?:bbox|point)\s*(?:的)?\s*坐标",
    re.IGNORECASE,
)
_POINTS = re.compile(
    r"point_2d|\bpoint coordinates?\b|point\s*(?:的)?\s*坐标|点的形式", re.IGNORECASE
)
_PIXELS = re.compile(r"\bpixels\b|像素", re.IGNORECASE)
# The prompts of the Vision page (2026-08), and that of Qwen2.5-VL's cookbook; nothing else.
_PAGES = re.compile(r"\s*qwenvl (html|markdown)\s*", re.IGNORECASE)
# What the guides' prompts look for.
_WHAT = re.compile(
    r"\b(?:detect|locate) all (.+?) in the image\b|图中所有(.+?)(?:并以JSON|，以JSON)",
    re.IGNORECASE | re.DOTALL,
)
QUOTED = re.compile(r"\"([^\"]+)\"|'([^']+)'|“([^”]+)”|「([^」]+)」")
_TIMES = re.compile(r"start_time.*end_time", re.IGNORECASE | re.DOTALL)

COLORS = {
    "red": "红",
    "orange": "橙",
    "yellow": "黄",
    "green": "绿",
    "cyan": "青",
    "blue": "蓝",
    "purple": "紫",
    "pink": "粉",
}
"""The colors that are looked for, by their names in English and in Chinese."""

_WORDS = {word.lower(): name for name, chinese in COLORS.items() for word in (name, chinese)}
_COLOR = re.compile(
    rf"\b(?:{'|'.join(COLORS)})\b|(?:{'|'.join(COLORS.values())})色?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for.

    Args:
        kind: Places in an image, events in a video, or all that is on a page.
        colors: What is looked for: each color's name, and the word that was said for it.
        wants_points: Whether a place is a point, and not a box.
        in_pixels: Whether pixels of the image as it came were asked for.
        texts: Texts to look for: those that are quoted, or else all that a guide's prompt names.
    """

    kind: Literal["places", "events", "page"]
    colors: tuple[tuple[str, str], ...] = ()
    wants_points: bool = False
    in_pixels: bool = False
    form: Literal["html", "markdown"] = "html"
    """Of a page."""
    texts: tuple[str, ...] = ()

    @property
    def wants_boxes(self) -> bool:
        """Whether images are searched for colors."""
        return self.kind != "events"


def find_question(conversation: Conversation) -> Question | None:
    """Return whether the last user message asks for places, events or a whole page.

    Example:
        >>> from qwen_vl_sandbox.reading.conversation import Message, Options, Text
        >>> from qwen_vl_sandbox.specs.models import NEWEST
        >>> asked = Text("Detect all red balls in the image and output their bbox coordinates.")
        >>> messages = (Message("user", (asked,)),)
        >>> find_question(Conversation("qwen3-vl-plus", NEWEST, messages, Options(False))).colors
        (('red', 'red'),)
    """
    users = (message for message in reversed(conversation.messages) if message.role == "user")
    text = next((message.text for message in users), "")
    if page := _PAGES.fullmatch(text):
        every = tuple((name, name) for name in COLORS)
        return Question("page", every, form="markdown" if page[1].lower() == "markdown" else "html")
    if _TIMES.search(text):
        return Question("events")
    if not _BOXES.search(text):
        return None
    said = {_WORDS[word.lower().removesuffix("色")]: word for word in _COLOR.findall(text)}
    return Question(
        "places",
        tuple(said.items()),
        wants_points=_POINTS.search(text) is not None,
        in_pixels=_PIXELS.search(text) is not None,
        texts=_find_texts(text),
    )


def _find_texts(text: str) -> tuple[str, ...]:
    """Return the texts to look for.

    Example:
        >>> _find_texts('Detect all "Total" and "Date" in the image and output their bbox')
        ('Total', 'Date')
    """
    found = QUOTED.findall(text) or _WHAT.findall(text)
    words = (next(filter(None, groups), "") for groups in found)
    return tuple(dict.fromkeys(filter(None, map(str.strip, words))))
