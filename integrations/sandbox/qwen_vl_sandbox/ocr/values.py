"""Values by their labels: beside the label, below it, or behind its colon."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen_vl_sandbox.ocr.lines import TextLine, group_rows
from qwen_vl_sandbox.ocr.tables import Table, take_tables

# The colon of a time or of a URL ends no label.
_LABELED = re.compile(r"\s*([^:：]*[^\W\d][^:：]*?)\s*[:：](?!//)\s*(.*)", re.DOTALL)
_WORD = re.compile(r"[^\W\d_]+|\d+|#")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SHORT = {"no": "number", "nr": "number", "#": "number", "qty": "quantity", "desc": "description"}
_LONGEST_LABEL = 5
_BELOW = 2.5
"""Distance of a value below its label, in heights of the label."""


@dataclass(frozen=True, slots=True)
class _Pair:
    label: tuple[str, ...]
    text: str
    value: str


def split_words(name: str) -> tuple[str, ...]:
    """Split a label or the name of a field into words that can be compared.

    Example:
        >>> split_words("invoiceNo"), split_words("Invoice number:"), split_words("发票号码")
        (('invoice', 'number'), ('invoice', 'number'), ('发票号码',))
    """
    words = (word.casefold() for word in _WORD.findall(_CAMEL.sub(" ", name)))
    return tuple(_SHORT.get(word, word) for word in words)


class PageValues:
    """The values that stand on a page.

    Args:
        lines: All lines of it.

    Example:
        >>> line = TextLine("Total: 12.50", ((0, 0), (90, 0), (90, 10), (0, 10)), 10)
        >>> PageValues([line]).find("total")
        '12.50'
    """

    def __init__(self, lines: Sequence[TextLine]) -> None:
        rows = group_rows(lines)
        self._texts = [line.text for row in rows for line in row]
        self._tables, _ = take_tables(rows)
        self._colons = list(_find_colons(rows))
        self._pairs = [*self._colons, *self._find_pairs(rows)]

    def all_pairs(self) -> dict[str, str]:
        """Return the values of all labels that end in a colon, the first of each."""
        pairs: dict[str, str] = {}
        for pair in self._colons:
            pairs.setdefault(pair.text, pair.value)
        return pairs

    def find(self, *names: str) -> str | None:
        """Find the value of the first name that is a label; `None` if none of them is.

        Args:
            *names: The most specific first, which may also be a part of a longer label.
        """
        asked = [words for name in names if (words := split_words(name))]
        for words in asked:
            for pair in self._pairs:
                if pair.label == words:
                    return pair.value
        for words in asked:
            for text in self._texts:
                if value := _behind(words, text):
                    return value
        longer = [pair for pair in self._pairs if asked and set(asked[0]) < set(pair.label)]
        return min(longer, key=lambda pair: len(pair.label)).value if longer else None

    def rows(self, list_name: str, names: Sequence[str]) -> list[dict[str, str]]:
        """Find the rows of the table whose header has the names, with the value of each.

        Args:
            list_name: What a list without names is called, whose values stand in one column.
            names: Names of the fields of a row; without any, each row has one value.
        """
        wanted = names or [list_name]
        tables = [(_match_header(table, wanted), table) for table in self._tables]
        columns, table = max(tables, key=lambda each: len(each[0]), default=({}, None))
        if table is None or 2 * len(columns) < max(len(wanted), 2 * bool(wanted)):
            return []
        rows = []
        for row in table.cells[1:]:
            cells = {name: row[at] for name, at in columns.items()}
            if not all(cells.values()):
                # Sums stand below the last row.
                break
            rows.append(cells)
        return rows

    def _find_pairs(self, rows: Sequence[Sequence[TextLine]]) -> Iterator[_Pair]:
        headers = {line for table in self._tables for line in _header(table)}
        lines = [line for row in rows for line in row]
        for row in rows:
            for at, line in enumerate(row):
                label = split_words(line.text)
                if not 0 < len(label) <= _LONGEST_LABEL or label[0].isdigit():
                    continue
                beside = row[at + 1] if at + 1 < len(row) and line not in headers else None
                for value in (beside, _find_below(line, lines)):
                    if value is not None and not _LABELED.match(value.text):
                        yield _Pair(label, line.text.rstrip(":： "), value.text)


def _find_colons(rows: Sequence[Sequence[TextLine]]) -> Iterator[_Pair]:
    lines = [line for row in rows for line in row]
    for row in rows:
        for at, line in enumerate(row):
            found = _LABELED.match(line.text)
            if found is None:
                continue
            label, value = split_words(found[1]), found[2].strip()
            if not value:
                near = [*row[at + 1 : at + 2], _find_below(line, lines)]
                texts = [each.text for each in near if each and not _LABELED.match(each.text)]
                value = texts[0] if texts else ""
            if value and 0 < len(label) <= _LONGEST_LABEL:
                yield _Pair(label, found[1], value)


def _find_below(label: TextLine, lines: Sequence[TextLine]) -> TextLine | None:
    left, _, right, _ = label.box
    below = [
        line
        for line in lines
        if label.height / 2 < line.middle - label.middle < _BELOW * label.height
        and line.box[0] < right
        and left < line.box[2]
    ]
    return min(below, key=lambda line: line.middle, default=None)


def _behind(words: tuple[str, ...], text: str) -> str | None:
    """Return what a line has behind its first words, if that is a number or a code."""
    matches = list(_WORD.finditer(text))
    said = tuple(_SHORT.get(match[0].casefold(), match[0].casefold()) for match in matches)
    if len(said) <= len(words) or said[: len(words)] != words:
        return None
    rest = text[matches[len(words) - 1].end() :].strip(" .:：#")
    return rest if re.search(r"\d", rest.split(" ")[0]) else None


def _header(table: Table) -> Sequence[TextLine]:
    """The first row of a table with a header: labels without digits above at least two columns."""
    first = table.cells[0]
    width = len(first)
    is_header = width > 2 and not any(re.search(r"\d", text) for text in first)  # noqa: PLR2004 - two columns are labels and values.
    return table.lines[: sum(map(bool, first))] if is_header else ()


def _match_header(table: Table, names: Sequence[str]) -> Mapping[str, int]:
    header = [split_words(text) for text in table.cells[0]]
    found: dict[str, int] = {}
    for name in names:
        words = set(split_words(name))
        exact = [at for at, label in enumerate(header) if words and set(label) == words]
        near = [
            at
            for at, label in enumerate(header)
            if words and label and (words < set(label) or set(label) < words)
        ]
        free = [at for at in (*exact, *near) if at not in found.values()]
        if free:
            found[name] = free[0]
    return found


def fill_template(template: Mapping[str, Any], page: PageValues) -> dict[str, Any]:
    """Fill a `result_schema`, whose lists hold a template of their entries (OCR page, 2026).

    Args:
        template: Its values are empty, or descriptions.
        page: Where to look.

    Returns:
        The same keys with the values that stand on the page, and `None` for all others.

    Example:
        >>> fill_template({"total": ""}, PageValues([]))
        {'total': None}
    """
    return {name: _fill(value, page, (name,)) for name, value in template.items()}


def _fill(template: Any, page: PageValues, path: tuple[str, ...]) -> Any:
    match template:
        case dict():
            return {name: _fill(value, page, (*path, name)) for name, value in template.items()}
        case [dict() as entry, *_]:
            return page.rows(path[-1], list(entry))
        case list():
            return [value for row in page.rows(path[-1], []) for value in row.values()]
        case _:
            described = template if isinstance(template, str) else ""
            return page.find(" ".join(path[-2:]), path[-1], described)
