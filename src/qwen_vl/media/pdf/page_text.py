"""The text of a PDF page, and where its lines are."""

from collections.abc import Sequence
from dataclasses import dataclass

# Runs of one line overlap by at least this fraction of the lower one's height.
_SAME_LINE = 0.5
# So few letters may be higher than wide.
_FEW = 2

FractionBox = tuple[float, float, float, float]
"""Left, top, right and bottom as fractions of the page's width and height, from the top left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextLine:
    """A line of a page, or the part of it that stands in one column.

    Args:
        text: What it says.
        box: Where it is, as fractions of the page's width and height.
    """

    text: str
    box: FractionBox


@dataclass(frozen=True, slots=True, kw_only=True)
class TextWord:
    """A word of a page, or the part of it that stands on one line.

    Args:
        text: The word, with punctuation.
        box: Where its ink is, as fractions of the page's width and height.
    """

    text: str
    box: FractionBox


@dataclass(frozen=True, slots=True, kw_only=True)
class PageText:
    """The text of a page.

    Args:
        page: Its number, from 1 on.
        text: All of it; empty for a page that is only an image.
        lines: Its lines, in the order of the text.
    """

    page: int
    text: str
    lines: tuple[TextLine, ...]


def to_page_text(page: int, text: str, runs: Sequence[tuple[str, tuple[float, ...]]]) -> PageText:
    """Join the runs of a page to lines.

    Args:
        page: Number of the page, from 1 on.
        text: All of its text.
        runs: Text of one line and font with two opposite corners, as fractions.

    Example:
        >>> runs = [("Net", (0.1, 0.12, 0.2, 0.1)), ("income", (0.21, 0.12, 0.4, 0.1))]
        >>> to_page_text(1, "Net income", runs).lines
        (TextLine(text='Net income', box=(0.1, 0.1, 0.4, 0.12)),)
    """
    lines: list[TextLine] = []
    for run, (x1, y1, x2, y2) in runs:
        words = " ".join(run.split())
        if not words:
            continue
        box = (min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))
        is_across = len(words) <= _FEW or _is_flat(box)
        if lines and is_across and _is_flat(lines[-1].box) and _continues(lines[-1].box, box):
            joined = f"{lines[-1].text} {words}"
            lines[-1] = TextLine(text=joined, box=join_boxes([lines[-1].box, box]))
        else:
            lines.append(TextLine(text=words, box=box))
    plain = "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n")).strip()
    return PageText(page=page, text=plain, lines=tuple(lines))


def to_words(words: Sequence[tuple[str, tuple[float, ...]]]) -> tuple[TextWord, ...]:
    """Return the words of a page with their boxes.

    Args:
        words: Each with two opposite corners, as fractions.

    Example:
        >>> to_words([("Net", (0.1, 0.12, 0.2, 0.1))])
        (TextWord(text='Net', box=(0.1, 0.1, 0.2, 0.12)),)
    """
    return tuple(
        TextWord(text=word, box=(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)))
        for word, (x1, y1, x2, y2) in words
    )


def join_boxes(boxes: Sequence[FractionBox]) -> FractionBox:
    """Return the smallest box that holds all.

    Args:
        boxes: One or more.

    Example:
        >>> join_boxes([(0.1, 0.1, 0.2, 0.2), (0.3, 0.0, 0.4, 0.1)])
        (0.1, 0.0, 0.4, 0.2)
    """
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _is_flat(box: FractionBox) -> bool:
    """Return whether text runs across the page, and not along its height."""
    return box[3] - box[1] <= 2 * (box[2] - box[0])


def _continues(before: FractionBox, box: FractionBox) -> bool:
    """Return whether a run stands to the right of the line so far, a few letters away."""
    height = min(before[3] - before[1], box[3] - box[1])
    overlap = min(before[3], box[3]) - max(before[1], box[1])
    is_beside = overlap >= _SAME_LINE * height
    # A page is higher than wide, so that this is about the height of a line as well.
    gap = box[0] - before[2]
    return is_beside and -height <= gap <= 2 * max(before[3] - before[1], box[3] - box[1])
