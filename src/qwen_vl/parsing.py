"""JSON in answers of models: fenced or bare, with prose around it, cut off or slightly wrong."""

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import orjson

from qwen_vl.errors import AnswerFormatError
from qwen_vl.reply import Reply, describe_cut

_FENCE = "```"
_FENCE_OPENING = re.compile(r"```[\w-]*+[ \t]*+\r?\n")
_TRAILING_COMMA = re.compile(r",\s*+(?=[\]}])")
_JSON_HEAD = re.compile(r"[\[{]\s*+(?:[\[{\"']|-?\d)")
_OPENING = re.compile(r"[\[{]")
_MARK = re.compile(r'[\[\]{}"\\]')
_BRACKET_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*+\\?"?|[\[\]{}]', re.DOTALL)
_PAIRS = {"[": "]", "{": "}"}
# A page of brackets that are not values must not be read for hours.
_MAX_FAILURES = 64
# Elements of answers stand two or three brackets deep.
_DEEPEST = 8
# Deeper values end in a RecursionError somewhere: in a copy, a checkpoint, a trace.
_MAX_DEPTH = 128
# Python's own reader is for the short answers of small models, and slow on nested text.
_MOST_LITERAL_CHARS = 100_000
# Each try may read to the end. All together may read a text twice, and this much of a short one.
_MOST_CHARS = 1_000_000


class Fence(NamedTuple):
    """A Markdown fence, closed or cut off.

    Args:
        start: Where it begins.
        body: What stands in it.
        end: Where it ends.
    """

    start: int
    body: str
    end: int


@dataclass(frozen=True, slots=True)
class FoundJson:
    """What JSON an answer holds.

    Args:
        values: The outermost objects and lists, in order.
        is_cut_off: Whether the last one breaks off, so that only what is whole of it is there.
        is_damaged: Whether one could not be read, though its brackets are closed.
        unread: The beginnings of entries that could not be read, where the others were.
    """

    values: tuple[Any, ...]
    is_cut_off: bool = False
    is_damaged: bool = field(default=False, repr=False)
    unread: tuple[str, ...] = field(default=(), repr=False)


def load_json(text: str) -> Any:
    r"""Read an answer that is one JSON value, in a fence or bare; `None` where it is none.

    Args:
        text: The answer.

    Example:
        >>> load_json('```json\n{"total": 12.5}\n```')
        {'total': 12.5}
    """
    fence = next(find_fences(text), None)
    try:
        return orjson.loads(fence.body if fence else text)
    except orjson.JSONDecodeError:
        return None


def find_fences(text: str) -> Iterator[Fence]:
    r"""Find the Markdown fences in a text.

    Args:
        text: An answer.

    Example:
        >>> next(find_fences("Here:\n```json\n[1]\n```\n")).body
        '[1]'
    """
    at = 0
    while opening := _FENCE_OPENING.search(text, at):
        closing = text.find(_FENCE, opening.end())
        if closing < 0:
            yield Fence(opening.start(), text[opening.end() :], len(text))
            return
        at = closing + len(_FENCE)
        body = text[opening.end() : closing].rstrip(" \t").removesuffix("\n")
        yield Fence(opening.start(), body, at)


def find_json(text: str) -> FoundJson:
    """Find all objects and lists in an answer, whatever stands around them.

    Where there are fences, only what is in them is read. A comma too many and Python's quotes are
    read too. Of a value that breaks off, the elements that are whole are kept.

    Args:
        text: The answer.

    Example:
        >>> find_json('Here they are: [{"n": 1}, {"n": 2}, {"n"')
        FoundJson(values=([{'n': 1}, {'n': 2}],), is_cut_off=True)
    """
    return read_bodies(text, _find_in)


def read_bodies(text: str, read: Callable[[str], FoundJson]) -> FoundJson:
    """Read what is in the fences of an answer, or the whole of it where they hold no JSON.

    Args:
        text: The answer.
        read: Finds the values of one fence.
    """
    # Servers that leave it in the text show what the model thought of before it answered.
    text = text.rpartition("</think>")[2]
    bodies = [fence.body for fence in find_fences(text)] or [text]
    found = [read(body) for body in bodies]
    if len(bodies) > 1 or bodies[0] is not text:
        # A fence of prose beside bare JSON, or one in another language.
        found = found if any(each.values for each in found) else [read(text)]
    return FoundJson(
        tuple(value for each in found for value in each.values),
        any(each.is_cut_off for each in found),
        any(each.is_damaged for each in found),
        tuple(entry for each in found for entry in each.unread),
    )


def parse_whole_json(text: str) -> Any:
    """Parse an answer that is one JSON value, in a fence or with prose around it.

    A comma too many and Python's quotes are read too. A value that breaks off is not closed: what
    is missing of it may be the end of a number.

    Args:
        text: The answer, whole.

    Raises:
        AnswerFormatError: It holds no JSON, several values, or one that breaks off.

    Example:
        >>> parse_whole_json('Here it is: {"total": 12.5}')
        {'total': 12.5}
        >>> parse_whole_json('{"total": 3')
        Traceback (most recent call last):
        qwen_vl.errors.AnswerFormatError: The JSON of the answer breaks off. It reads: '{"total": 3'
    """
    words = text.rpartition("</think>")[2]
    fence = next(find_fences(words), None)
    try:
        # Line breaks within texts are read too.
        inner = fence.body if fence else words
        check_depth(inner)
        value = json.loads(inner, strict=False)
    except ValueError:
        value = _find_only_value(text)
    if _is_too_deep(text, value):
        raise AnswerFormatError("The JSON of the answer is nested too deeply.", text=text)
    return value


def _find_only_value(text: str) -> Any:
    found = find_json(text)
    if found.is_cut_off:
        raise AnswerFormatError("The JSON of the answer breaks off.", text=text)
    if not text.strip():
        raise AnswerFormatError("The answer is empty.", text=text)
    if len(found.values) != 1:
        count = f"holds {len(found.values)} JSON values" if found.values else "is not JSON"
        raise AnswerFormatError(f"The answer {count}; one is expected.", text=text)
    return found.values[0]


def parse_arguments(text: str, *, name: str) -> dict[str, Any]:
    """Parse the arguments of a whole tool call. Nothing is repaired or filled in.

    Args:
        text: What the model wrote; nothing for a tool that takes no arguments.
        name: The tool that is called.

    Raises:
        AnswerFormatError: They are not the JSON of an object, or the call does not name a tool.

    Example:
        >>> parse_arguments('{"city": "Hangzhou"}', name="weather")
        {'city': 'Hangzhou'}
        >>> parse_arguments('{"city": "Hang', name="weather")
        Traceback (most recent call last):
        qwen_vl.errors.AnswerFormatError: The arguments of 'weather' are not JSON: Unterminated \
string starting at: line 1 column 10 (char 9). It reads: '{"city": "Hang'
    """
    if not name:
        raise AnswerFormatError("The call does not name a tool.", text=text)
    if not text:
        return {}
    if text.isspace():
        raise AnswerFormatError(f"The call of {name!r} stops before its arguments.", text=text)
    try:
        check_depth(text)
        arguments = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        problem = f"The arguments of {name!r} are not JSON: {error}."
        raise AnswerFormatError(problem, text=text) from error
    if not isinstance(arguments, dict):
        raise AnswerFormatError(f"The arguments of {name!r} are not a JSON object.", text=text)
    return arguments


def check_depth(text: str) -> None:
    """Check that JSON is not nested too deeply for what is done with it later.

    Python's reader calls itself at each bracket. Near the limit of recursion the collector, which
    may run at any moment, cannot call the finalizers of objects that have nothing to do with it.

    Args:
        text: JSON, or its beginning.

    Raises:
        ValueError: It has more than 128 levels.

    Example:
        >>> check_depth('{"total": [12.5]}')
        >>> check_depth("[" * 1_000)
        Traceback (most recent call last):
        ValueError: it is nested too deeply
    """
    if text.count("[") + text.count("{") > _MAX_DEPTH and _measure_text_depth(text) > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")


def _measure_text_depth(text: str) -> int:
    depth = deepest = 0
    for found in _BRACKET_OR_STRING.finditer(text):
        sign = found.group()
        depth += (sign in "[{") - (sign in "]}")
        deepest = max(deepest, depth)
    return deepest


def _refuse_constant(name: str) -> Any:
    # Python reads them, and writes them into bodies that no server can read.
    raise ValueError(f"{name} is not JSON")


def _is_too_deep(text: str, value: Any) -> bool:
    return text.count("[") + text.count("{") > _MAX_DEPTH and _measure_depth(value) > _MAX_DEPTH


def _measure_depth(value: Any) -> int:
    """Count the brackets that are open at the deepest place."""
    depth, level = 0, [value]
    while level := [held for held in level if isinstance(held, dict | list)]:
        depth += 1
        level = [
            inner for held in level for inner in (held.values() if isinstance(held, dict) else held)
        ]
    return depth


def find_text(entry: Mapping[str, Any], keys: Sequence[str]) -> str | None:
    """Find the words of an entry under the first of their names that has any.

    Args:
        entry: What the model wrote.
        keys: Names.

    Example:
        >>> find_text({"label": 3}, ["name", "label"])
        '3'
    """
    for key in keys:
        value = entry.get(key)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value).strip()
    return None


def _find_in(text: str) -> FoundJson:
    values: list[Any] = []
    at = n_failures = 0
    left = 2 * len(text) + _MOST_CHARS
    reader = _Reader()
    is_damaged = False
    while opening := _OPENING.search(text, at):
        if left <= 0 or n_failures >= _MAX_FAILURES:
            is_damaged = True
            break
        at = opening.start()
        end, whole, n_read = _measure(text, at)
        left -= n_read
        if end is not None:
            value = reader.load(text[at:end])
            if value is None:
                is_json = _JSON_HEAD.match(text, at) or text.find('":', at, end) >= 0
                is_damaged = is_damaged or bool(is_json)
            n_failures += value is None
            at = at + 1 if value is None else end
            values += [] if value is None else [value]
            continue
        mended = (reader.load(candidate) for candidate in _mend(text, at, whole))
        value = next((value for value in mended if value is not None), None)
        if value is not None:
            return FoundJson((*values, value), is_cut_off=True)
        if _JSON_HEAD.match(text, at):
            # It is cut within its first element, whose inner values are not elements.
            return FoundJson(tuple(values), is_cut_off=True)
        n_failures += 1
        at += 1
    return FoundJson(tuple(values), is_damaged=is_damaged)


def _measure(text: str, start: int) -> tuple[int | None, list[tuple[int, str]], int]:
    """Find where a value ends; `None` where it does not, with the ends of what is whole in it.

    Such an end comes with the brackets that are open there. The last number is how many characters
    were read.
    """
    opened: list[str] = []
    whole: list[tuple[int, str]] = []
    is_text = False
    escaped = -1
    for mark in _MARK.finditer(text, start):
        sign, at = mark[0], mark.start()
        if at == escaped:
            continue
        if is_text:
            escaped = at + 1 if sign == "\\" else escaped
            is_text = sign != '"'
        elif sign == '"':
            is_text = True
        elif sign in _PAIRS:
            opened.append(sign)
        elif sign != "\\":
            if not opened or _PAIRS[opened.pop()] != sign:
                return None, whole, at - start
            if not opened:
                return at + 1, whole, at - start
            if len(opened) <= _DEEPEST:
                whole.append((at + 1, "".join(opened)))
    return None, whole, len(text) - start


def _mend(text: str, start: int, whole: list[tuple[int, str]]) -> Iterator[str]:
    """Close what breaks off behind its last whole element: an object, or a list of the outermost.

    A list within an object is not an element: the object's other fields are missing.
    """
    ranks: tuple[Callable[[str, str], bool], ...] = (
        lambda sign, opened: sign == "}" and opened.find("[") == len(opened) - 1,
        lambda sign, opened: sign == "}" and opened == "{",
        lambda sign, opened: sign == "]" and opened == "[",
    )
    for is_element in ranks:
        ends = (end for end in reversed(whole) if is_element(text[end[0] - 1], end[1]))
        for end, opened in islice(ends, 1):
            yield text[start:end] + "".join(_PAIRS[sign] for sign in reversed(opened))


class _Reader:
    """Reads the values of one text."""

    def __init__(self) -> None:
        self._literal_chars = 2 * _MOST_LITERAL_CHARS

    def load(self, text: str) -> Any:
        """Read an object or a list; `None` where it is neither."""
        readers: tuple[Callable[[str], Any], ...] = (
            orjson.loads,
            _load_without_commas,
            self._load_literal,
        )
        for read in readers:
            try:
                value = read(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
                continue
            return value if isinstance(value, dict | list) else None
        return None

    def _load_literal(self, text: str) -> Any:
        if len(text) > min(_MOST_LITERAL_CHARS, self._literal_chars):
            return None
        self._literal_chars -= len(text)
        with warnings.catch_warnings():
            # Python has its own opinion of backslashes in what models write.
            warnings.simplefilter("ignore", SyntaxWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            # Names, calls and operators are refused by it: only values are made. Tuples are lists.
            return json.loads(json.dumps(ast.literal_eval(text)))


def _load_without_commas(text: str) -> Any:
    return orjson.loads(_TRAILING_COMMA.sub("", text))


def read_json_answer(reply: Reply, find_problem: Callable[[Any], str | None] | None = None) -> Any:
    """Return the JSON value that an answer holds.

    Args:
        reply: The answer.
        find_problem: Returns what is wrong with a value, or `None`.

    Raises:
        AnswerFormatError: The answer is not JSON, breaks off, or has a problem.

    Example:
        >>> read_json_answer(Reply(text='{"name": "Chelsea"}'))
        {'name': 'Chelsea'}
    """
    cut = describe_cut(reply.finish_reason, is_truncated=reply.is_truncated)
    if cut:
        raise AnswerFormatError(cut, text=reply.text)
    value = load_json(reply.text)
    if value is None:
        found = find_json(reply.text).values
        value = found[0] if len(found) == 1 else None
    if value is None:
        raise AnswerFormatError("The answer is not JSON.", text=reply.text)
    problem = None if find_problem is None else find_problem(value)
    if problem:
        raise AnswerFormatError(
            f"The answer does not follow the schema: {problem}.", text=reply.text
        )
    return value
