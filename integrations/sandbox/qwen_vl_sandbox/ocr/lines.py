"""Lines of text with their places, and the rows that they form."""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]
Corners = tuple[Point, Point, Point, Point]
Box = tuple[int, int, int, int]

_SAME_ROW = 0.5
# Parts of the size of a font, as in most fonts.
_CAPITAL, _SMALL, _BELOW, _CJK_SHARE, _MAX_SHARE = 0.73, 0.53, 0.21, 0.95, 0.85
_HIGH = re.compile(r"[A-Z0-9bdfhklt]")
_LOW = re.compile(r"[gjpqy,;()Q]")
_CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "FULLWIDTH", "IDEOGRAPHIC")


@dataclass(frozen=True, slots=True)
class TextLine:
    """Text that stands in one line, without large gaps.

    Args:
        text: Its words.
        corners: Top left, top right, bottom right and bottom left, in pixels of the image.
        height: Of the line, in pixels; the same for lines with and without descenders.
        words: Words that the line consists of, each with its left and right edge.
    """

    text: str
    corners: Corners
    height: float
    words: tuple[tuple[str, float, float], ...] = ()

    @property
    def box(self) -> Box:
        """The upright box around the line.

        Example:
            >>> TextLine("Hi", ((1, 2), (9.5, 2), (9.5, 8), (1, 8)), 6).box
            (1, 2, 10, 8)
        """
        xs, ys = zip(*self.corners, strict=True)
        return math.floor(min(xs)), math.floor(min(ys)), math.ceil(max(xs)), math.ceil(max(ys))

    @property
    def rotate_rect(self) -> tuple[float, float, float, float, float]:
        """The middle, width, height, and clockwise angle in degrees."""
        (x1, y1), (x2, y2), (x3, y3), (x4, y4) = self.corners
        middle = ((x1 + x2 + x3 + x4) / 4, (y1 + y2 + y3 + y4) / 4)
        angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
        width = math.dist(self.corners[0], self.corners[1])
        return (*middle, width, math.dist(self.corners[0], self.corners[3]), angle)

    @property
    def font_size(self) -> float:
        """The size of the font, estimated from what its letters need above and below."""
        _, top, _, bottom = self.box
        if any(map(_is_cjk, self.text)):
            share = _CJK_SHARE
        else:
            share = _CAPITAL if _HIGH.search(self.text) else _SMALL
            share += _BELOW if _LOW.search(self.text) else 0
        # Where a rule of a table is within the box, that is too high.
        return min((bottom - top) / share, _MAX_SHARE * self.height)

    @property
    def middle(self) -> float:
        """Pixels from the upper edge of the image to the middle of the line."""
        return sum(y for _, y in self.corners) / len(self.corners)


def group_rows(lines: Iterable[TextLine]) -> list[list[TextLine]]:
    """Group lines that stand beside each other, from top to bottom and from left to right."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda each: each.middle):
        row = rows[-1] if rows else []
        middle = sum(each.middle for each in row) / len(row) if row else math.inf
        least = min((each.height for each in row), default=0)
        if abs(line.middle - middle) < _SAME_ROW * min(line.height, least):
            row.append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda each: each.box[0]) for row in rows]


def join_texts(texts: Sequence[str]) -> str:
    """Join lines to one text: with spaces, except between Chinese or Japanese characters.

    Example:
        >>> join_texts(["two", "words"]), join_texts(["中文", "字"])
        ('two words', '中文字')
    """
    joined = ""
    for text in texts:
        space = " " if joined and not (_is_cjk(joined[-1]) and _is_cjk(text[:1])) else ""
        joined += space + text
    return joined


def _is_cjk(character: str) -> bool:
    return bool(character) and unicodedata.name(character, "").startswith(_CJK)


def union(boxes: Iterable[Box]) -> Box:
    """Return the box around several boxes, of which there is at least one."""
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)
