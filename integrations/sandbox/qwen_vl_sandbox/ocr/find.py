"""Where a text stands on a page."""

import re
from collections.abc import Iterator, Sequence

from qwen_vl_sandbox.ocr.lines import Box, TextLine


def find_text(text: str, lines: Sequence[TextLine]) -> Iterator[Box]:
    """Find a text, in any case, within lines: as whole words if it stands anywhere as such.

    Example:
        >>> corners = ((0, 0), (99, 0), (99, 9), (0, 9))
        >>> line = TextLine("Total due", corners, 9, words=(("Total", 0, 50), ("due", 60, 99)))
        >>> list(find_text("DUE", [line]))
        [(60, 0, 99, 9)]
    """
    parts = [re.escape(character) for character in _squeezed(text)]
    if not parts:
        return
    anywhere = r"\s*".join(parts)
    # Only letters that are written with spaces between words end where a word ends.
    start, end = (r"\b" if edge.isascii() and edge.isalnum() else "" for edge in _ends(text))
    whole = [*_matches(f"{start}{anywhere}{end}", lines)]
    for line, found in whole or _matches(anywhere, lines):
        before, within = _squeezed(line.text[: found.start()]), _squeezed(found[0])
        yield _cut(line, len(before), len(before) + len(within), len(_squeezed(line.text)))


def _ends(text: str) -> tuple[str, str]:
    stripped = text.strip()
    return stripped[0], stripped[-1]


def _matches(pattern: str, lines: Sequence[TextLine]) -> Iterator[tuple[TextLine, re.Match[str]]]:
    for line in lines:
        for found in re.finditer(pattern, line.text, re.IGNORECASE):
            yield line, found


def _squeezed(text: str) -> str:
    return "".join(text.casefold().split())


def _cut(line: TextLine, start: int, end: int, length: int) -> Box:
    """Return the box of some characters of a line, which are counted without spaces."""
    left, top, right, bottom = line.box
    if (start, end) == (0, length):
        return line.box
    edges = list(_edges(line))
    if len(edges) != length:
        # The engine gave no places of words.
        step = (right - left) / length
        return round(left + start * step), top, round(left + end * step), bottom
    x1, x2 = edges[start][0], edges[end - 1][1]
    return max(round(x1), left), top, min(round(x2), right), bottom


def _edges(line: TextLine) -> Iterator[tuple[float, float]]:
    """Place the characters of each word evenly."""
    for word, left, right in line.words:
        characters = _squeezed(word)
        step = (right - left) / max(len(characters), 1)
        for at in range(len(characters)):
            yield left + at * step, left + (at + 1) * step
