"""Boxes of blocks: from the numbers that a model writes to pixels of the page."""

import math
import re
from dataclasses import dataclass

from qwen_vl.documents.blocks import PixelBox
from qwen_vl.grounding.coordinates import CoordinateFrame

_NUMBER = re.compile(r"-?\d{1,9}(?:\.\d{1,9})?+")
_BETWEEN = re.compile(r"[\s,;()\[\]]*+")
_N_BOX, _N_CORNER = 4, 2
_MIN_CORNERS = 3
UNKNOWN_SIZE = "the size of the image is not known here, since the service fetches it by its URL"


@dataclass(frozen=True, slots=True)
class ReadBox:
    """A box as far as it can be used.

    Args:
        box: In pixels of the page.
        reason: Why there is none.
        note: What was changed, where it was not right as it stands.
    """

    box: PixelBox | None = None
    reason: str | None = None
    note: str | None = None


def read_box(written: str | None, frame: CoordinateFrame | None) -> ReadBox:
    """Read a box as models write it: four numbers, between spaces or commas.

    Args:
        written: Without the quotes or parentheses around it; `None` where there is none.
        frame: The coordinate space of the answer; `None` where the page's size is unknown.

    Example:
        >>> frame = CoordinateFrame(space="normalized", image=(640, 480), scale=(1000, 1000))
        >>> read_box("500 250 1000 500", frame).box
        (320, 120, 640, 240)
        >>> read_box("500 250 1000", frame).reason
        'the box has 3 numbers instead of 4'
    """
    if written is None:
        return ReadBox(reason="the model gave no box")
    numbers = _read_numbers(written)
    if numbers is None:
        return ReadBox(reason="the box is not made of numbers")
    if len(numbers) != _N_BOX:
        return ReadBox(reason=f"the box has {len(numbers)} numbers instead of {_N_BOX}")
    if frame is None:
        return ReadBox(reason=UNKNOWN_SIZE)
    x1, y1, x2, y2 = numbers
    if frame.is_beyond(x1, y1) or frame.is_beyond(x2, y2):
        return ReadBox(reason=f"the box is outside of the page, which has {frame}")
    note = None
    if x1 > x2 or y1 > y2:
        note = "the corners of the box were in the wrong order"
        x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
    width, height = frame.scale
    inside = (max(x1, 0), max(y1, 0), min(x2, width), min(y2, height))
    if inside != (x1, y1, x2, y2):
        note = "the box reached beyond the page, and was clipped"
    x1, y1, x2, y2 = inside
    if x1 >= x2 or y1 >= y2:
        return ReadBox(reason="the box is empty")
    left, top = frame.to_pixels(x1, y1)
    right, bottom = frame.to_pixels(x2, y2)
    # Outwards, so that no pixel of the block is left out and no box is empty.
    return ReadBox((int(left), int(top), math.ceil(right), math.ceil(bottom)), note=note)


def read_polygon(
    written: str | None, frame: CoordinateFrame | None
) -> tuple[tuple[int, int], ...] | None:
    """Read corners as models write them: pairs of numbers; `None` if they are not a polygon.

    Args:
        written: Without the quotes around it.
        frame: The coordinate space of the answer.

    Example:
        >>> frame = CoordinateFrame(space="normalized", image=(100, 100), scale=(1000, 1000))
        >>> read_polygon("0 0 500 0 500 500", frame)
        ((0, 0), (50, 0), (50, 50))
    """
    numbers = _read_numbers(written or "")
    if frame is None or numbers is None or len(numbers) % _N_CORNER:
        return None
    corners = list(zip(numbers[::2], numbers[1::2], strict=True))
    if len(corners) < _MIN_CORNERS or any(frame.is_beyond(x, y) for x, y in corners):
        return None
    pixels = (frame.clip(*frame.to_pixels(x, y)) for x, y in corners)
    return tuple((round(x), round(y)) for x, y in pixels)


def _read_numbers(written: str) -> list[float] | None:
    numbers: list[float] = []
    at = 0
    for found in _NUMBER.finditer(written):
        between = written[at : found.start()]
        # Two numbers need something between them: "1-2" is not a pair.
        if (numbers and not between) or not _BETWEEN.fullmatch(between):
            return None
        numbers.append(float(found[0]))
        at = found.end()
    return numbers if numbers and _BETWEEN.fullmatch(written[at:]) else None
