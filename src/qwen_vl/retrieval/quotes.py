"""Where the words of a quote stand on a page."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from qwen_vl.media.pdf.page_text import FractionBox, TextLine, TextWord, join_boxes

_Piece = TypeVar("_Piece", TextLine, TextWord)

# Models change a word here and there: hyphens at line ends, ligatures, an added full stop.
_LEAST_FOUND = 0.7
_MAX_WORDS = 400


def find_quote(quote: str, lines: Sequence[TextLine]) -> FractionBox | None:
    """Return the box of the lines that hold a quote.

    Args:
        quote: Words of the page, in the order of the page; a few may differ.
        lines: Lines of the page, in the order of its text.

    Returns:
        As fractions of width and height; `None` where no part of the page has these words.

    Example:
        >>> lines = [
        ...     TextLine(text="Our net income", box=(0.1, 0.1, 0.5, 0.12)),
        ...     TextLine(text="rose by 4 %.", box=(0.1, 0.13, 0.4, 0.15)),
        ...     TextLine(text="Costs fell.", box=(0.1, 0.16, 0.4, 0.18)),
        ... ]
        >>> find_quote("net income rose by 4 %", lines)
        (0.1, 0.1, 0.5, 0.15)
        >>> find_quote("revenue doubled twice", lines) is None
        True
    """
    found = _find(quote, lines)
    return join_boxes([line.box for line in found]) if found else None


def find_quote_lines(quote: str, words: Sequence[TextWord]) -> tuple[FractionBox, ...]:
    """Return the boxes of the words of a quote, one for each line that they stand on.

    Args:
        quote: As of `find_quote`.
        words: Words of the page, in the order of its text.

    Returns:
        Empty where no part of the page has these words.

    Example:
        >>> words = [
        ...     TextWord(text="Our", box=(0.1, 0.1, 0.15, 0.12)),
        ...     TextWord(text="income", box=(0.2, 0.1, 0.3, 0.12)),
        ...     TextWord(text="rose.", box=(0.1, 0.13, 0.2, 0.15)),
        ... ]
        >>> find_quote_lines("income rose", words)
        ((0.2, 0.1, 0.3, 0.12), (0.1, 0.13, 0.2, 0.15))
    """
    boxes: list[FractionBox] = []
    for word in _find(quote, words):
        if boxes and _is_beside(boxes[-1], word.box):
            boxes[-1] = join_boxes([boxes[-1], word.box])
        else:
            boxes.append(word.box)
    return tuple(boxes)


def _is_beside(line: FractionBox, word: FractionBox) -> bool:
    return word[0] >= line[0] and word[1] < line[3] and word[3] > line[1]


def _find(quote: str, pieces: Sequence[_Piece]) -> Sequence[_Piece]:
    """Return the lines or words of a page that hold a quote."""
    wanted = _find_words(quote)[:_MAX_WORDS]
    words = [(word, at) for at, piece in enumerate(pieces) for word in _find_words(piece.text)]
    if not wanted or not words:
        return ()
    start, n_found = _find_window(Counter(wanted), [word for word, _ in words], len(wanted))
    if n_found < _LEAST_FOUND * len(wanted):
        return ()
    matched = [at for word, at in words[start : start + len(wanted)] if word in wanted]
    return pieces[matched[0] : matched[-1] + 1]


def _find_window(wanted: Counter[str], words: Sequence[str], size: int) -> tuple[int, int]:
    """Return where the most of the wanted words stand together, and how many these are."""
    missing = Counter(wanted)
    n_found = best = start = 0
    for end, word in enumerate(words):
        missing[word] -= 1
        n_found += missing[word] >= 0
        if end >= size:
            left = words[end - size]
            n_found -= missing[left] >= 0
            missing[left] += 1
        if n_found > best:
            best, start = n_found, max(0, end - size + 1)
    return start, best


def _find_words(text: str) -> list[str]:
    plain = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(letter if letter.isalnum() else " " for letter in plain)
    return kept.split()
