"""Lists of boxes, points and events that are not quite JSON: what is whole of them is read.

Where an entry cannot be read, the next ones still are, and it is returned as text.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from qwen_vl.parsing import FoundJson, find_json, read_bodies

# The beginning of an object: its first key.
_OBJECT = re.compile(
    r"""\{(?:\s++|(?://|\#)[^\n]{0,200}+|/\*[^*]{0,200}+\*/)*+"""
    r"""(?:(["'])[^"'\n]{0,80}+\1|[A-Za-z_]\w{0,80}+)\s*+:"""
)
_ROOT = re.compile(
    rf"""{_OBJECT.pattern}|\{{\s*+\}}|\[\s*+(?:[\[{{("'\]]|-?\d|null\b|None\b|//|/\*|#|<!--|\.\.\.)"""
)
_EMPTY = re.compile(r"\{\s*+\}")
# What is in a text whose own quote is missing: the beginning of an entry.
_SWALLOWED = re.compile(rf"""{_OBJECT.pattern}|\]\s*+,\s*+\[\s*+-?\d""")
# Names are short, and what looks like two of them is not one.
_NAME = re.compile(r"""(["'])(?:(?!\1)[^\[\]{}]){0,80}+\1|["'][^\[\]{},]{0,80}+""")
_GAP = re.compile(r"(?:\s++|//[^\n]*+|/\*.*?(?:\*/|\Z)|#[^\n]*+|<!--.*?(?:-->|\Z))+", re.DOTALL)
_SCALAR = re.compile(r"""[^\s,:\[\]{}()"']++""")
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*+)(?:\.\d*+)?(?:[eE][-+]?\d+)?+|[+-]?\.\d++")
_WORDS = {
    "true": True,
    "True": True,
    "false": False,
    "False": False,
    # What JSON does not read as a number cannot be a coordinate.
    **dict.fromkeys(("null", "None", "NaN", "nan", "Infinity", "-Infinity", "inf", "-inf")),
}
_CLOSERS = {"[": "]", "{": "}", "(": ")"}
# What follows the quote at which a text ends, by where the text stands.
_NAME_END = re.compile(r"\s*+:")
_VALUE_END = re.compile(
    r"""\s*+(?:\}|\Z|,\s*+(?:\}|/[/*]|\Z|["'][^"'\n]{0,80}+["']\s*+:))""",
)
_ELEMENT_END = re.compile(
    r"""\s*+(?:[\])]|\Z|,\s*+(?:["'{}\[\]()\d-]|/[/*]|(?:true|false|null)\b|\Z))"""
)
_QUOTES = {sign: re.compile(rf"(?:[^{sign}\\]++|\\.)*+({sign})", re.DOTALL) for sign in "\"'"}
# More quotes in one text are not a label's own. Each is compared with each before it.
_MAX_INNER_QUOTES = 16
_ESCAPE = re.compile(r"""\\u[0-9a-fA-F]{4}|\\["\\/bfnrt]|[\\"]""")
_BRACKET = re.compile(r"[\[\]{}]")
_CLOSER = re.compile(r"[\]}]")
# A member whose value is an object.
_MEMBER = re.compile(r"""["'][^"'\n]{1,80}+["']\s*+:\s*+(?=\{)""")
_LIST_END = re.compile(r"\}\s*+,?+\s*+(\])")
# Python's limit of recursion is for others.
_MAX_DEPTH = 64
_MAX_UNREAD_CHARS = 200


def read_damaged_json(text: str) -> FoundJson:
    """Find all objects and lists in an answer, and what is whole of those that are damaged.

    What is JSON is read as such. Else comments, commas too many, Python's quotes and words, names
    without quotes, and quotes, line breaks and backslashes within texts are read too. An entry that
    cannot be read is passed over: the next object, or element of a list, is read again.

    Args:
        text: The answer.

    Returns:
        The values, and in `unread` the beginnings of what was passed over in them.

    Example:
        >>> read_damaged_json('[{"label": "a 5" pipe"}]  // the only one').values
        ([{'label': 'a 5" pipe'}],)
        >>> found = read_damaged_json('[{"n": 1}, {"n": 2]}, {"n": 3}]')
        >>> found.values, found.unread
        (([{'n': 1}, {'n': 3}],), ('{"n": 2]}',))
    """
    found = find_json(text)
    if found.values and not (found.is_cut_off or found.is_damaged):
        return found
    mended = read_bodies(text, lambda body: _Parser(body).parse())
    return mended if mended.values or mended.unread else found


@dataclass(slots=True)
class _Open:
    """A list or an object whose end has not been read yet.

    Args:
        sign: Its bracket.
        start: Where that is.
        mark: Where its last element begins.
        wants: What comes next: `name`, `colon`, `value` or `comma`.
        elements: Of a list.
        members: Of an object.
        name: Of an object the name whose value comes next.
    """

    sign: str
    start: int
    mark: int
    wants: str
    elements: list[Any] = field(default_factory=list)
    members: dict[str, Any] = field(default_factory=dict)
    name: str = ""

    @property
    def is_object(self) -> bool:
        return self.sign == "{"

    @property
    def holds_entries(self) -> bool:
        return any(isinstance(element, dict | list) for element in self.elements)

    def put(self, value: Any) -> None:
        if self.is_object:
            self.members[self.name] = value
        else:
            self.elements.append(value)
        self.wants = "comma"

    def keep_whole(self) -> Any:
        """Return what may be used of it though its end is missing; `None` if nothing.

        The other fields of an entry are missing, so that a place in it is not kept, but those of
        objects within it are.
        """
        if not self.is_object:
            return self.elements if self.holds_entries else None
        if not any(map(_holds_objects, self.members.values())):
            return None
        return {
            name: value
            for name, value in self.members.items()
            if isinstance(value, str) or _holds_objects(value)
        }


class _UnreadableError(Exception):
    """What stands here is not what may stand here."""


class _Parser:
    """Reads one text from its beginning to its end.

    After a fault it goes back to the last text that it read, at most: where a quote is missing,
    what stands between two texts is taken for one. No place is read more than a few times.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._opened: list[_Open] = []
        self._values: list[Any] = []
        self._unread: list[str] = []
        self._n_unread_before = 0
        # Between the outermost values: entries where these are, prose where none is.
        self._unread_outside: list[str] = []
        self._objects_end = len(text)
        self._last_text = -1
        self._is_cut_off = False
        self._ends_whole = text.rstrip().endswith(("]", "}"))

    def parse(self) -> FoundJson:
        while self._opened or self._find_root():
            if gap := _GAP.match(self._text, self._at):
                self._at = gap.end()
            if self._at >= len(self._text):
                self._is_cut_off = True
                self._close_all()
                break
            try:
                self._step()
            except _UnreadableError:
                self._recover()
        if any(isinstance(value, dict) for value in self._values):
            self._unread += self._unread_outside
        return FoundJson(
            tuple(self._values),
            self._is_cut_off,
            is_damaged=bool(self._unread),
            unread=tuple(self._unread),
        )

    def _find_root(self) -> bool:
        root = _ROOT.search(self._text, self._at)
        passed = self._text[self._at : root.start() if root else None]
        if "}" in passed and ":" in passed:
            self._unread_outside.append(passed.strip()[:_MAX_UNREAD_CHARS])
        if root is None:
            return False
        self._at, self._last_text = root.start(), -1
        self._n_unread_before = len(self._unread)
        self._open()
        return True

    def _open(self) -> None:
        sign, start = self._text[self._at], self._at
        is_object = sign != "{" or _OBJECT.match(self._text, start)
        if len(self._opened) >= _MAX_DEPTH or not (is_object or _EMPTY.match(self._text, start)):
            raise _UnreadableError
        self._at += 1
        wants = "name" if sign == "{" else "value"
        self._opened.append(_Open(sign, start, self._at, wants))

    def _step(self) -> None:
        sign, top = self._text[self._at], self._opened[-1]
        if sign in "]})":
            self._close(sign, top)
        elif sign == ",":
            # One too many is passed over.
            if top.is_object and top.wants in {"colon", "value"}:
                raise _UnreadableError
            top.wants = "name" if top.is_object else "value"
            self._at += 1
            top.mark = self._at
        elif top.wants == "name":
            top.name = self._read_text(_NAME_END) if sign in "\"'" else self._read_name()
            top.wants = "colon"
        elif top.wants == "colon" and sign == ":":
            top.wants = "value"
            self._at += 1
        elif top.wants == "value":
            self._read_value(sign, top)
        else:
            raise _UnreadableError

    def _close(self, sign: str, top: _Open) -> None:
        if sign == _CLOSERS[top.sign]:
            if top.is_object and top.wants in {"colon", "value"}:
                raise _UnreadableError
            self._at += 1
        elif not (sign == "}" and top.holds_entries and len(self._opened) > 1):
            raise _UnreadableError
        # Else a list whose own bracket is missing ends with the object that it is in.
        self._finish(top.members if top.is_object else top.elements)

    def _finish(self, value: Any) -> None:
        """Put what has been read of the innermost list or object where it belongs."""
        self._opened.pop()
        if self._opened:
            if value is not None:
                self._opened[-1].put(value)
            return
        if value is not None:
            self._values.append(value)
            unread = self._unread[self._n_unread_before :]
            if not _holds_entries(value) and not any(map(_OBJECT.match, unread)):
                # Brackets of prose.
                del self._unread[self._n_unread_before :]

    def _read_value(self, sign: str, top: _Open) -> None:
        if sign in _CLOSERS:
            self._open()
        elif sign in "\"'":
            top.put(self._read_text(_VALUE_END if top.is_object else _ELEMENT_END))
        else:
            top.put(self._read_scalar())

    def _read_name(self) -> str:
        token = _SCALAR.match(self._text, self._at)
        if token is None or not token[0].isidentifier():
            raise _UnreadableError
        self._at = token.end()
        return token[0]

    def _read_scalar(self) -> Any:
        token = _SCALAR.match(self._text, self._at)
        if token is None or not (token[0] in _WORDS or _NUMBER.fullmatch(token[0])):
            raise _UnreadableError
        self._at = token.end()
        if token[0] in _WORDS:
            return _WORDS[token[0]]
        try:
            return json.loads(token[0])
        except ValueError:
            # Python's form, or more digits than an integer may have.
            return float(token[0])

    def _read_text(self, end: re.Pattern[str]) -> str:
        """Read a text, to the first quote behind which a text may end."""
        start, quote = self._at, self._text[self._at]
        self._last_text = start
        at = _find_quote(self._text, start, quote, end)
        if at is None:
            if self._ends_whole:
                raise _UnreadableError
            # It breaks off within this text.
            self._at = len(self._text)
            return ""
        is_name = end is _NAME_END
        if (is_name and not _NAME.fullmatch(self._text, start, at)) or (
            _SWALLOWED.search(self._text, start, at)
        ):
            # Its own quote is missing, and it would hold the entries behind it.
            raise _UnreadableError
        self._at = at
        return _decode(self._text[start + 1 : at - 1], quote)

    def _recover(self) -> None:
        """Pass over the entry that cannot be read, to where the next one begins."""
        top = self._opened[-1]
        if len(self._opened) >= _MAX_DEPTH:
            self._pass_object(0)
        elif top.is_object:
            self._pass_object(len(self._opened) - 1)
        elif top.holds_entries:
            self._pass_element(top)
        elif len(self._opened) > 1 and self._opened[-2].is_object:
            # The coordinates of an entry.
            self._pass_object(len(self._opened) - 2)
        elif not top.elements and self._is_first_of_several():
            self._pass_object(len(self._opened) - 3)
        elif top.elements:
            self._pass_list(top)
        else:
            self._pass_element(top)

    def _is_first_of_several(self) -> bool:
        """Return whether the innermost list is the first in a list that an object holds."""
        if len(self._opened) <= 2:  # noqa: PLR2004 - the two lists.
            return False
        holder, outer = self._opened[-3:-1]
        return holder.is_object and not outer.is_object and not outer.elements

    def _pass_element(self, top: _Open) -> None:
        """Pass over what stands between the entries of a list."""
        if self._text[self._at] in "]})":
            self._at += 1
            return
        bracket = _BRACKET.search(self._text, self._at + 1)
        end = bracket.start() if bracket else len(self._text)
        if self._text[self._at] == "{" and (following := self._find_object(self._at)):
            # Brackets of that object are not those of the list, but where the list ends.
            closing = _LIST_END.search(self._text, self._at, following)
            end = closing.start(1) if closing else following
        self._add_unread(self._at, end)
        self._at, top.wants = end, "value"

    def _find_object(self, since: int) -> int | None:
        """Find the next object that begins behind a place."""
        if since >= self._objects_end:
            return None
        following = _OBJECT.search(self._text, since)
        if following is None:
            self._objects_end = since
            return None
        return following.start()

    def _pass_list(self, top: _Open) -> None:
        """Pass over a list of numbers that is itself an element of a list, or stands by itself."""
        bracket = _BRACKET.search(self._text, self._at)
        end = bracket.start() if bracket else len(self._text)
        end += bracket is not None and bracket[0] == "]"
        self._add_unread(top.start, end)
        self._at = end
        self._finish(None)
        if self._opened:
            self._opened[-1].wants = "comma" if self._opened[-1].is_object else "value"
        else:
            del self._unread[self._n_unread_before :]

    def _pass_object(self, index: int) -> None:
        """Pass over an object with all that stands in it."""
        failed = self._opened[index]
        since = self._last_text + 1 if self._last_text > failed.start else self._at
        while len(self._opened) > index + 1:
            self._finish(self._opened[-1].keep_whole())
        whole = failed.keep_whole()
        self._finish(whole)
        following = self._find_object(since)
        end = len(self._text) if following is None else following
        begin = failed.start if whole is None else failed.mark
        if not self._opened:
            self._add_unread(begin, end)
            self._at = end
            return
        parent = self._opened[-1]
        if parent.is_object:
            self._pass_member(parent, begin, since, end)
            return
        closing = _LIST_END.search(self._text, since, end)
        if closing:
            end = closing.start(1)
        elif following is None:
            self._add_unread(begin, end)
            self._at = end
            self._is_cut_off = not _CLOSER.search(self._text, since)
            self._close_all()
            return
        self._add_unread(begin, end)
        self._at = end
        parent.wants = "comma" if closing else "value"

    def _pass_member(self, parent: _Open, begin: int, since: int, end: int) -> None:
        """Go on with the next object under a name, if that is what comes next."""
        member = _MEMBER.search(self._text, since, end + 1)
        if member is None or member.end() != end:
            parent.mark = min(begin, parent.mark)
            self._pass_object(len(self._opened) - 1)
            return
        self._add_unread(begin, member.start())
        self._at, parent.wants, parent.mark = member.start(), "name", member.start()

    def _close_all(self) -> None:
        while self._opened:
            self._finish(self._opened[-1].keep_whole())

    def _add_unread(self, start: int, end: int) -> None:
        shown = self._text[start : min(end, start + _MAX_UNREAD_CHARS)]
        if shown := shown.strip(" \t\r\n,"):
            self._unread.append(shown)


def _find_quote(text: str, start: int, quote: str, end: re.Pattern[str]) -> int | None:
    """Find where a text ends: behind the first quote if none is followed by what `end` has."""
    at, first = start + 1, None
    for _ in range(_MAX_INNER_QUOTES):
        found = _QUOTES[quote].match(text, at)
        if found is None:
            break
        at = found.end()
        first = first or at
        if end.match(text, at):
            return at
    return first


def _decode(inner: str, quote: str) -> str:
    inner = inner.replace("\\'", "'") if quote == "'" else inner
    # Line breaks are taken as they are, and so are single quotes and backslashes.
    escaped = _ESCAPE.sub(lambda found: found[0] if len(found[0]) > 1 else f"\\{found[0]}", inner)
    return str(json.loads(f'"{escaped}"', strict=False))


def _holds_entries(value: Any) -> bool:
    return isinstance(value, dict) or any(isinstance(inner, dict | list) for inner in value)


def _holds_objects(value: Any) -> bool:
    """Return whether it is an object, or a list with one in it, however deep."""
    while isinstance(value, list):
        if any(isinstance(inner, dict) for inner in value):
            return True
        value = next((inner for inner in value if isinstance(inner, list)), None)
    return isinstance(value, dict)
