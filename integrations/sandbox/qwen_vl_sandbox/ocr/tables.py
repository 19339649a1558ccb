"""Tables by the geometry of their lines: cells that stand below each other are a column."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from qwen_vl_sandbox.ocr.lines import Box, TextLine, join_texts, union

Row = Sequence[TextLine]
Interval = tuple[int, int]

_ROW_GAP = 2.5
_MIN_SIZE = 2
_SAME_SIZE = 1.5
_PROSE = 25
"""Characters of a cell from which on columns are text that is set in columns."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: each row has a text per column, which may be empty."""

    cells: tuple[tuple[str, ...], ...]
    box: Box
    lines: tuple[TextLine, ...]


def take_tables(rows: Sequence[Row]) -> tuple[list[Table], list[TextLine]]:
    """Find the tables in rows of lines.

    Returns:
        The tables, and all lines that are in none of them.
    """
    tables: list[Table] = []
    rest: list[TextLine] = []
    at = 0
    while at < len(rows):
        end = _find_end(rows, at)
        table = _to_table(rows[at:end]) if end else None
        if table is None:
            rest.extend(rows[at])
            at += 1
        else:
            tables.append(table)
            at = end
    return tables, rest


def _find_end(rows: Sequence[Row], start: int) -> int:
    """Find where the table ends whose first row is at `start`; 0 if there is none."""
    if len(rows[start]) < _MIN_SIZE or not _is_even(rows[start]):
        return 0
    end = start
    for at in range(start + 1, len(rows)):
        row, before = rows[at], rows[at - 1]
        height = statistics.median(line.height for line in before)
        is_near = _middle(row) - _middle(before) < _ROW_GAP * height
        if not is_near or not _is_even([*rows[start], *row]):
            break
        if len(row) >= _MIN_SIZE:
            if _columns([*_full(rows[start:at]), row]) is None:
                break
            end = at
        elif _place(row[0], _columns(_full(rows[start:at])) or []) is None:
            break
    return end + 1 if end > start else 0


def _is_even(row: Row) -> bool:
    """Return whether lines are of about one size: headings stand in no table."""
    heights = [line.height for line in row]
    return max(heights) < _SAME_SIZE * min(heights)


def _full(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if len(row) >= _MIN_SIZE]


def _middle(row: Row) -> float:
    return statistics.fmean(line.middle for line in row)


def _columns(rows: Sequence[Row]) -> list[Interval] | None:
    """Find the columns of rows; `None` where two cells of a row would be in the same column."""
    columns: list[Interval] = []
    for left, right in sorted((line.box[0], line.box[2]) for row in rows for line in row):
        if columns and left < columns[-1][1]:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    for row in rows:
        taken = [_place(line, columns) for line in row]
        if len(set(taken)) < len(taken):
            return None
    return columns if len(columns) >= _MIN_SIZE else None


def _place(line: TextLine, columns: Sequence[Interval]) -> int | None:
    """Return the one column that a line is in."""
    left, _, right, _ = line.box
    inside = [at for at, (start, end) in enumerate(columns) if left < end and start < right]
    return inside[0] if len(inside) == 1 else None


def _to_table(rows: Sequence[Row]) -> Table | None:
    columns = _columns(_full(rows))
    if columns is None:
        return None
    cells: list[list[list[str]]] = []
    for row in rows:
        if len(row) >= _MIN_SIZE:
            cells.append([[] for _ in columns])
        for line in row:
            place = _place(line, columns)
            if place is None:
                return None
            # A single line continues the cell above it.
            cells[-1][place].append(line.text)
    written = [tuple(join_texts(cell) for cell in row) for row in cells]
    lengths = [len(text) for row in written for text in row if text]
    if statistics.median(lengths) > _PROSE:
        return None
    lines = tuple(line for row in rows for line in row)
    return Table(tuple(written), union(line.box for line in lines), lines)
