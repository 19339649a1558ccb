"""Where the words of a quote stand on a page."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from qwen_vl.media.pdf.page_text import FractionBox, TextLine, join_boxes

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
    wanted = _find_words(quote)[:_MAX_WORDS]
    words = [(word, number) for number, line in enumerate(lines) for word in _find_words(line.text)]
    if not wanted or not words:
        return None
    start, n_found = _find_window(Counter(wanted), [word for word, _ in words], len(wanted))
    if n_found < _LEAST_FOUND * len(wanted):
        return None
    matched = [n for word, n in words[start : start + len(wanted)] if word in wanted]
    return join_boxes([line.box for line in lines[matched[0] : matched[-1] + 1]])


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
