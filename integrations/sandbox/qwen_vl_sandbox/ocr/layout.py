"""The blocks of a page: headings by their size, paragraphs by distances, tables by columns."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from qwen_vl_sandbox.ocr.lines import Box, TextLine, group_rows, join_texts, union
from qwen_vl_sandbox.ocr.tables import take_tables

# All in heights of a line.
_LINE_DISTANCE = 1.5
_INDENT = 3
_HEADING = 1.25
_SAME_SIZE = 1.3
_LONGEST_HEADING = 80

_STARTS_ANEW = re.compile(
    r"(?:[•·▪‣*–-]|\(?\d{1,2}[.)])\s"
    r"|[A-Za-zÀ-ž][^:：\s]{0,20}(?: [^:：\s]{1,20}){0,2}[:：](?!//)\s*\S"
    r"|[\u4e00-\u9fff]{1,8}[:：]\s*\S"
)
"""Items of lists, and labels before values."""


@dataclass(frozen=True, slots=True)
class TextBlock:
    """A block of a page.

    Args:
        kind: What it is.
        text: Its words; of a table its cells, between tabs and line breaks.
        box: Where it is, in pixels of the image.
        lines: The same, line by line.
    """

    kind: Literal["heading", "paragraph", "table"]
    text: str
    box: Box
    lines: tuple[str, ...]


def find_blocks(lines: Sequence[TextLine]) -> tuple[TextBlock, ...]:
    """Find the blocks that lines form, in reading order.

    Example:
        >>> def line(text, top):
        ...     edges = (10, top), (90, top), (90, top + 10), (10, top + 10)
        ...     return TextLine(text, edges, 10)
        >>> [block.text for block in find_blocks([line("a", 0), line("b", 14), line("c", 50)])]
        ['a b', 'c']
    """
    if not lines:
        return ()
    tables, rest = take_tables(group_rows(lines))
    usual = statistics.median(line.font_size for line in rest or lines for _ in line.text)
    blocks = []
    for table in tables:
        written = "\n".join("\t".join(row) for row in table.cells)
        rows = tuple(" ".join(filter(None, row)) for row in table.cells)
        blocks.append(TextBlock("table", written, table.box, rows))
    for group in _group_paragraphs(rest):
        texts = tuple(line.text for line in group)
        text = join_texts(texts)
        is_large = group[0].font_size >= _HEADING * usual and len(text) <= _LONGEST_HEADING
        box = union(line.box for line in group)
        blocks.append(TextBlock("heading" if is_large else "paragraph", text, box, texts))
    return tuple(sorted(blocks, key=lambda block: (block.box[1], block.box[0])))


def page_text(lines: Sequence[TextLine]) -> str:
    """Return the text of a page, line by line, in reading order."""
    return "\n".join(text for block in find_blocks(lines) for text in block.lines)


def _group_paragraphs(lines: Sequence[TextLine]) -> list[list[TextLine]]:
    groups: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda each: (each.middle, each.box[0])):
        above = [group for group in groups if _continues(line, group[-1])]
        if above and not _STARTS_ANEW.match(line.text):
            max(above, key=lambda group: group[-1].middle).append(line)
        else:
            groups.append([line])
    return groups


def _continues(line: TextLine, above: TextLine) -> bool:
    low, high = sorted((line.height, above.height))
    distance = line.middle - above.middle
    is_next = _distance_of_a_row(low) < distance < _LINE_DISTANCE * high
    overlaps = line.box[0] < above.box[2] and above.box[0] < line.box[2]
    is_aligned = abs(line.box[0] - above.box[0]) < _INDENT * high
    return is_next and high < _SAME_SIZE * low and overlaps and is_aligned


def _distance_of_a_row(height: float) -> float:
    return height / 2
