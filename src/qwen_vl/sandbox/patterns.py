"""The shortest text that a regular expression of the common kind matches."""

import re

_SAMPLES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "n": "\n", "t": "\t"}
_EMPTY = "bBAZz"
_COUNTS = {"*": 0, "?": 0, "+": 1}
_QUANTIFIER = re.compile(r"[*+?]\??|\{(\d+)(?:,\d*)?\}\??")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>)?(?!\?)")
_CLASS = re.compile(r"\[(\^?)(\]?(?:\\.|[^\]\\])*)\]", re.DOTALL)


def matching_text(pattern: str) -> str | None:
    """Make a text that matches, or `None` for a pattern too special for that.

    Example:
        >>> matching_text("^[A-Z]{2}-[0-9]+$")
        'AA-0'
    """
    try:
        text = _Reader(pattern).alternatives()
        return text if re.search(pattern, text) else None
    except (ValueError, IndexError, re.error):
        return None


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def alternatives(self) -> str:
        first = self._sequence()
        while self._next() == "|":
            self._at += 1
            self._sequence()
        return first

    def _sequence(self) -> str:
        made = []
        while self._next() not in {"", "|", ")"}:
            atom = self._atom()
            made.append(atom * self._count())
        return "".join(made)

    def _atom(self) -> str:
        character = self._next()
        if character == "(":
            return self._group()
        if character == "[":
            return self._one_of()
        self._at += 1
        if character == "\\":
            return self._escaped()
        return {"^": "", "$": "", ".": "a"}.get(character, character)

    def _group(self) -> str:
        opening = _GROUP.match(self._pattern, self._at)
        if opening is None:
            raise ValueError("Looking around is not supported.")
        self._at = opening.end()
        inner = self.alternatives()
        self._at += 1
        return inner

    def _one_of(self) -> str:
        found = _CLASS.match(self._pattern, self._at)
        if found is None:
            raise ValueError("A class has no end.")
        self._at = found.end()
        if found[1]:
            return next(c for c in "a0 -_!~" if re.fullmatch(found[0], c))
        return _SAMPLES.get(found[2][1], found[2][1]) if found[2][0] == "\\" else found[2][0]

    def _escaped(self) -> str:
        character = self._pattern[self._at]
        self._at += 1
        return "" if character in _EMPTY else _SAMPLES.get(character, character)

    def _count(self) -> int:
        found = _QUANTIFIER.match(self._pattern, self._at)
        if found is None:
            return 1
        self._at = found.end()
        return int(found[1]) if found[1] else _COUNTS.get(found[0][0], 0)

    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]
