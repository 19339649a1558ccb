"""Valid values for a JSON schema.

Text values are the honest hint they are given; numbers are the smallest allowed.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from qwen_vl_sandbox.errors.api_error import reject

_SAMPLES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "n": "\n", "t": "\t"}
_EMPTY = "bBAZz"
_COUNTS = {"*": 0, "?": 0, "+": 1}
_QUANTIFIER = re.compile(r"[*+?]\??|\{(\d+)(?:,\d*)?\}\??")
_GROUP = re.compile(r"\((?:\?:|\?P<\w+>)?(?!\?)")
_CLASS = re.compile(r"\[(\^?)(\]?(?:\\.|[^\]\\])*)\]", re.DOTALL)


def matching_text(pattern: str) -> str | None:
    """Create a text that matches, or `None` for a pattern too special for that.

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
            raise ValueError("A class never ends.")
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


_DEEPEST = 32
_MOST_PARTS = 64
_CHOICES = frozenset({"anyOf", "oneOf"})
_SHALLOW = 4
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "PT0S",
    "email": "sandbox@example.invalid",
    "hostname": "sandbox.invalid",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://sandbox.invalid/",
    "url": "https://sandbox.invalid/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


class FieldValues(Protocol):
    """Values that are known for some fields of a schema."""

    def find(self, names: Sequence[str], schema: Mapping[str, Any]) -> Any | None:
        """Return the value of a field that is neither an object nor a list, in the schema's type.

        Args:
            names: What it may be called, the most specific name first.
            schema: Of the field.
        """

    def rows(self, name: str, fields: Sequence[str]) -> Sequence["FieldValues"]:
        """Return the values of each entry of a list.

        Args:
            name: What the list is called.
            fields: What the fields of an entry are called; none if it is not an object.
        """


def value_for(
    schema: Any, hint: str, *, root: Any = None, values: FieldValues | None = None
) -> Any:
    """Create a value that a schema allows.

    Args:
        schema: A JSON schema.
        hint: The words for texts without a specific rule.
        root: Where `$ref` starts from, if not at `schema`.
        values: What is known of its fields.

    Raises:
        ApiError: The schema is not a JSON schema.

    Example:
        >>> schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 2}}}
        >>> value_for(schema, "words")
        {'n': 2}
    """
    try:
        return _Maker(schema if root is None else root, hint, values).make(schema, 0)
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        reject("The JSON schema is not valid, or no finite value fits it.")


class _Maker:
    def __init__(self, root: Any, hint: str, values: FieldValues | None = None) -> None:
        self._root = root
        self._hint = hint
        self._values = values

    def make(self, schema: Any, depth: int, path: tuple[str, ...] = ()) -> Any:
        if not isinstance(schema, dict):
            return self._hint
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        known = self._find_known(schema, path)
        if known is not None:
            return known
        if schema.get("enum"):
            return schema["enum"][0]
        options = schema.get("anyOf") or schema.get("oneOf")
        if options:
            beside = {name: rule for name, rule in schema.items() if name not in _CHOICES}
            return self.make({"allOf": [self._pick(options, depth), beside]}, depth, path)
        return self._of_kind(schema, depth, path)

    def _find_known(self, schema: dict[str, Any], path: tuple[str, ...]) -> Any | None:
        is_simple = not _CHOICES & schema.keys() and _kind(schema) not in {"object", "array"}
        if self._values is None or not path or not is_simple:
            return None
        names = (" ".join(path[-2:]), path[-1], str(schema.get("title", "")))
        return self._values.find(names, schema)

    def _of_kind(self, schema: dict[str, Any], depth: int, path: tuple[str, ...]) -> Any:
        match _kind(schema):
            case "object":
                return self._object(schema, depth + 1, path)
            case "array":
                return self._rows(schema, depth + 1, path) or self._array(schema, depth + 1)
            case "integer" | "number" as kind:
                return _number(schema, whole=kind == "integer")
            case "boolean":
                return False
            case "null":
                return None
            case _:
                return self._text(schema)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema with all that `$ref` and `allOf` bring to it."""
        merged: dict[str, Any] = {}
        pending = [schema]
        for _ in range(_MOST_PARTS):
            if not pending:
                return merged
            part = pending.pop()
            if "$ref" in part:
                pending.append(self._find(part["$ref"]))
            pending.extend(part.get("allOf", ()))
            own = {name: rule for name, rule in part.items() if name not in {"$ref", "allOf"}}
            merged = _merged(own, merged)
        raise ValueError("The schema refers to itself.")

    def _find(self, reference: str) -> dict[str, Any]:
        target: Any = self._root
        for step in reference.lstrip("#").strip("/").split("/"):
            if step:
                target = target.get(step.replace("~1", "/").replace("~0", "~"), {})
        return target if isinstance(target, dict) else {}

    def _pick(self, options: list[Any], depth: int) -> Any:
        if depth >= _SHALLOW:
            for option in options:
                if isinstance(option, dict) and option.get("type") == "null":
                    return option
        return next(
            (o for o in options if not (isinstance(o, dict) and o.get("type") == "null")),
            options[0],
        )

    def _object(self, schema: dict[str, Any], depth: int, path: tuple[str, ...]) -> dict[str, Any]:
        required = schema.get("required", [])
        properties = schema.get("properties", {})
        names = properties if depth <= _SHALLOW else [n for n in properties if n in required]
        if depth > _DEEPEST:
            return {}
        made = {name: self.make(properties[name], depth, (*path, name)) for name in names}
        for name in required:
            if name not in made:
                made[name] = self.make(schema.get("additionalProperties"), depth)
        return made

    def _rows(self, schema: dict[str, Any], depth: int, path: tuple[str, ...]) -> list[Any]:
        """Build an entry of each row that is known, if the schema allows their number."""
        items = schema.get("items")
        if self._values is None or not path or not isinstance(items, dict):
            return []
        fields = list(self._resolved(items).get("properties", {}))
        rows = self._values.rows(path[-1], fields)[: schema.get("maxItems")]
        if len(rows) < schema.get("minItems", 0):
            return []
        return [_Maker(self._root, self._hint, row).make(items, depth, path) for row in rows]

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems") or []
        least = schema.get("minItems", 0 if depth > _SHALLOW else 1)
        count = max(min(least, schema.get("maxItems", least)), len(first))
        items = schema.get("items", {"type": "string"})
        made = [self.make(first[at] if at < len(first) else items, depth) for at in range(count)]
        return _distinct(made, items) if schema.get("uniqueItems") else made

    def _text(self, schema: dict[str, Any]) -> str:
        if pattern := schema.get("pattern"):
            return matching_text(pattern) or self._hint
        text = _FORMATS.get(schema.get("format", ""), self._hint)
        least, most = schema.get("minLength", 0), schema.get("maxLength")
        text = text.ljust(least, ".")
        return text if most is None else text[:most]


def _distinct(values: list[Any], items: Any) -> list[Any]:
    choices = items.get("enum") if isinstance(items, dict) else None
    if choices:
        return list(choices[: len(values)])
    return [
        f"{value} {at + 1}" if isinstance(value, str) else value + at
        for at, value in enumerate(values)
    ]


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if kind is None:
        if "properties" in schema:
            return "object"
        if "items" in schema or "prefixItems" in schema:
            return "array"
    return str(kind)


def _number(schema: dict[str, Any], *, whole: bool) -> float:
    """The smallest number allowed, or 0 where nothing bounds it from below."""
    step: float = schema.get("multipleOf", 1 if whole else 0)
    most: float = schema.get("maximum", schema.get("exclusiveMaximum", 0))
    value: float = schema.get("minimum", min(0, most))
    above: float | None = schema.get("exclusiveMinimum")
    below: float | None = schema.get("exclusiveMaximum")
    if step:
        value = math.ceil(value / step) * step
    if above is not None and value <= above:
        value = (math.floor(above / step) + 1) * step if step else _between(above, below)
    if below is not None and value >= below:
        value = (math.ceil(below / step) - 1) * step if step else below - 0.5
    return round(value) if whole else value


def _between(low: float, high: float | None) -> float:
    return low + 0.5 if high is None else (low + high) / 2


def _merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    merged = {**left, **right}
    if "properties" in left and "properties" in right:
        merged["properties"] = {**left["properties"], **right["properties"]}
    if "required" in left and "required" in right:
        merged["required"] = [*left["required"], *right["required"]]
    return merged
