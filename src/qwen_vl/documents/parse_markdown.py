"""Reads QwenVL Markdown, in which tables are LaTeX and comments say where tables and images are.

The form is that of Qwen3-VL's document parsing cookbook and of the Vision page (2026-08): the
prompt is `qwenvl markdown`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from qwen_vl.documents.answer_text import unwrap
from qwen_vl.documents.blocks import Block, BlockProblem, ParsedBlocks, find_kind, shorten
from qwen_vl.documents.boxes import read_box
from qwen_vl.documents.latex import FORMULAS, TABLES, measure_depth, read_cells
from qwen_vl.documents.parse_html import parse_html
from qwen_vl.grounding.coordinates import CoordinateFrame

NO_BOX = "the Markdown form gives boxes only of tables and images"

_COMMENT = re.compile(r"<!--\s*+([A-Za-z][\w /-]{0,40}?)\s*+(?:\(([^()<>]*+)\))?\s*+-->")
_COMMENT_LINE = re.compile(rf"\s*+{_COMMENT.pattern}\s*+")
_OTHER_COMMENT = re.compile(r"\s*+<!--(?:(?!-->).)*+-->\s*+")
_PARTIAL_COMMENT = re.compile(r"<(?:!(?:-(?:-(?:(?!-->)[^<])*+)?)?)?\Z")
_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]++([^\n]*))?")
_ITEM = re.compile(r"([ \t]*+)([-*+]|\d{1,9}[.)])[ \t]++(\S.*)")
_FENCE = re.compile(r" {0,3}(```+|~~~+)[ \t]*+([\w+#.-]*+)[ \t]*+")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*+){3,}|(?:\*[ \t]*+){3,}|(?:_[ \t]*+){3,})")
_IMAGE = re.compile(r"\s*+!\[([^\]\n]*+)\]\([^)\n]*+\)\s*+")
_QUOTE = re.compile(r" {0,3}>(.*)")
_BEGIN = re.compile(r"\s*+\\begin\{([A-Za-z]{1,20}\*?)\}")
_BEGINNING = re.compile(r"\\[a-z]*+(?:\{[a-z]*+)?|<[a-z]*+")
_DISPLAYS = {"$$": "$$", "\\[": "\\]"}
_TABLE_TAG = re.compile(r"<(/?)table\b", re.IGNORECASE)
_CAPTION = re.compile(
    r"(?:Figure|Fig|Table|Chart|图|表)\.?\s*+\d++(?:[.-]\d++)*+\s*+[.:：．]", re.IGNORECASE
)
# Blocks whose caption may stand in the line below the comment.
_CAPTIONED = frozenset({"image", "chart"})
# Charts may come with their data as a table.
_CHART_DATA = ("chart", "table")
_TAB = 4


def parse_markdown(
    text: str,
    frame: CoordinateFrame | None = None,
    *,
    page: int = 1,
    is_cut_off: bool = False,
) -> ParsedBlocks:
    r"""Read the blocks of an answer to the prompt `qwenvl markdown`.

    Reasoning and a Markdown fence around the document are left out. Inline markup stays as it is.
    Text right below the comment of an image or a chart is its caption, as is a paragraph that
    begins like `Figure 1:`.

    Args:
        text: The answer.
        frame: Its coordinate space, from `qwen_vl.find_frame`. Without it no block has a box.
        page: Number of the page.
        is_cut_off: Whether the answer reached `max_tokens`, which its text may not show: the last
            block is marked then.

    Example:
        >>> from qwen_vl.grounding.coordinates import find_frame
        >>> answer = "# A\n<!-- Table (100, 50, 500, 90) -->\n\\begin{tabular}{l}a\\end{tabular}"
        >>> _, table = parse_markdown(answer, find_frame("qwen3-vl-plus", (2000, 1000))).blocks
        >>> table.kind, table.latex, table.text, table.box
        ('table', '\\begin{tabular}{l}a\\end{tabular}', 'a', (200, 50, 1000, 90))
    """
    answer = unwrap(text, "markdown")
    body, partial = _split_partial(answer.text)
    is_cut = is_cut_off or answer.is_cut_off or bool(partial)
    reader = _Reader(_split_lines(body), frame, page, is_cut=is_cut, problems=[*answer.problems])
    reader.read()
    blocks = reader.blocks
    if partial:
        problem = "the answer breaks off within a comment"
        reader.problems.append(BlockProblem(reason=problem, text=shorten(partial)))
    elif is_cut and blocks:
        blocks[-1] = replace(blocks[-1], is_cut=True)
    return ParsedBlocks(blocks=tuple(blocks), problems=tuple(reader.problems), is_cut_off=is_cut)


@dataclass(slots=True)
class _Reader:
    lines: list[str]
    frame: CoordinateFrame | None
    page: int
    is_cut: bool
    problems: list[BlockProblem]
    blocks: list[Block] = field(default_factory=list)
    at: int = 0
    paragraph: list[str] = field(default_factory=list)
    announced: int | None = None
    """Index of the block whose content follows its comment."""
    follows_figure: bool = False
    indents: list[int] = field(default_factory=list)
    """Of the list items that the next one may stand in."""

    def read(self) -> None:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if not line.strip():
                self._end_paragraph()
                self.follows_figure = False
                self.at += 1
            elif not self._read_block(line):
                self.paragraph.append(line.strip())
                self.at += 1
        self._end_paragraph()
        if self.is_cut and self.announced is not None:
            # The announced block is still missing.
            self.blocks[self.announced] = replace(self.blocks[self.announced], is_cut=True)
        self._end_announced()

    def _read_block(self, line: str) -> bool:
        """Read a block that begins in this line; false if the line is text of a paragraph."""
        return self._read_line(line) or self._read_environment(line) or self._read_lines(line)

    def _read_line(self, line: str) -> bool:
        """Read what is one line long."""
        if comment := _COMMENT_LINE.fullmatch(line):
            self._add_comment(comment[1], comment[2], line)
            return True
        if _OTHER_COMMENT.fullmatch(line):
            self._end_paragraph()
            self._report("a comment that names no block was left out", line)
        elif heading := _HEADING.fullmatch(line):
            words = (heading[2] or "").strip()
            self._add("heading", text=words.rstrip("#").rstrip(), level=len(heading[1]))
        elif _RULE.fullmatch(line):
            self._end_paragraph()
        elif image := _IMAGE.fullmatch(line):
            self._add("image", text=image[1].strip())
        else:
            return False
        self.at += 1
        return True

    def _read_environment(self, line: str) -> bool:
        """Read a block with an explicit end."""
        stripped = line.lstrip()
        begins = _BEGIN.match(line)
        if fence := _FENCE.fullmatch(line):
            self._add_code(fence[1], fence[2])
        elif begins and begins[1] in TABLES:
            latex, is_whole = self._take_until(_count_to_zero(measure_depth))
            self._add("table", is_whole=is_whole, text=read_cells(latex), latex=latex)
        elif begins and begins[1] in FORMULAS:
            latex, is_whole = self._take_until(_count_to_zero(measure_depth))
            self._add("formula", is_whole=is_whole, text=latex, latex=latex)
        elif stripped[:2] in _DISPLAYS:
            return self._add_display(stripped[:2])
        elif _TABLE_TAG.match(stripped):
            self._add_html_table()
        else:
            return False
        return True

    def _read_lines(self, line: str) -> bool:
        """Read what each line of says that it belongs to."""
        if line.lstrip().startswith("|"):
            rows = self._take_while(lambda row: row.lstrip().startswith("|"))
            self._add("table", text="\n".join(row.strip() for row in rows))
        elif item := _ITEM.fullmatch(line):
            self._add_item(item)
        elif _QUOTE.fullmatch(line):
            quoted = (_QUOTE.fullmatch(part) for part in self._take_while(_QUOTE.fullmatch))
            self._add("blockquote", text="\n".join(part[1].strip() for part in quoted if part))
        else:
            return False
        return True

    def _add_comment(self, name: str, box: str | None, line: str) -> None:
        self.at += 1
        self._end_paragraph()
        self._end_announced()
        kind, found = find_kind(name), read_box(box, self.frame)
        reason = found.reason or found.note
        if reason and box is not None and self.frame is not None:
            self._report(reason, line, block=len(self.blocks))
        label = name if "_".join(name.lower().split()) != kind else None
        block = Block(
            kind=kind, box=found.box, no_box_reason=found.reason, page=self.page, label=label
        )
        self._append(block)
        self.announced = len(self.blocks) - 1 if kind in {"table", "chart", "formula"} else None
        self.follows_figure = kind in _CAPTIONED

    def _add_code(self, fence: str, language: str) -> None:
        self.at += 1
        start = self.at
        while self.at < len(self.lines) and not _closes(self.lines[self.at], fence):
            self.at += 1
        text = "\n".join(self.lines[start : self.at])
        is_whole = self.at < len(self.lines)
        self.at += 1
        self._add("code", is_whole=is_whole, text=text, notation=language or None)

    def _add_display(self, opening: str) -> bool:
        closing = _DISPLAYS[opening]
        _, ends, behind = self.lines[self.at].lstrip()[2:].partition(closing)
        if ends and behind.strip(" \t.,;。，"):
            # A formula at the beginning of a paragraph.
            return False
        is_first = True

        def is_end(line: str) -> bool:
            nonlocal is_first
            line, is_first = line.lstrip()[2:] if is_first else line, False
            return closing in line

        latex, is_whole = self._take_until(is_end)
        latex = latex[2:].rpartition(closing)[0] if is_whole else latex[2:]
        self._add("formula", is_whole=is_whole, text=latex.strip(), latex=latex.strip())
        return True

    def _add_html_table(self) -> None:
        def depth(line: str) -> int:
            return sum(-1 if tag[1] else 1 for tag in _TABLE_TAG.finditer(line))

        source, is_whole = self._take_until(_count_to_zero(depth))
        made = parse_html(source, self.frame, page=self.page, is_cut_off=self.is_cut)
        if not made.blocks:
            self._add("table", is_whole=is_whole, text=source, html=source)
            return
        table, *others = made.blocks
        boxed = {"box": table.box, "no_box_reason": None} if table.box else {}
        self._add(table.kind, is_whole=is_whole, text=table.text, html=table.html, **boxed)
        for block in others:
            self._append(block)

    def _add_item(self, item: re.Match[str]) -> None:
        self.at += 1
        words = [item[3].strip()]
        while self.at < len(self.lines) and _continues(self.lines[self.at]):
            words.append(self.lines[self.at].strip())
            self.at += 1
        indent = len(item[1].expandtabs(_TAB))
        outer = [above for above in self.indents if above < indent]
        marker = item[2] if item[2][0].isdigit() else "-"
        self._add("list_item", text="\n".join(words), level=len(outer) + 1, marker=marker)
        self.indents = [*outer, indent]

    def _end_paragraph(self) -> None:
        lines, self.paragraph = self.paragraph, []
        if not lines:
            return
        text = "\n".join(lines)
        is_last = self.is_cut and self.at >= len(self.lines)
        if is_last and self.announced is not None and _BEGINNING.fullmatch(text):
            # The answer breaks off within the first word of the table.
            self._put(self.blocks[self.announced].kind, is_whole=False, text=text, latex=text)
            return
        is_caption = self.follows_figure or _CAPTION.match(text)
        self.follows_figure = False
        self._put("caption" if is_caption else "paragraph", is_whole=True, text=text)

    def _add(self, kind: str, *, is_whole: bool = True, **values: Any) -> None:
        self._end_paragraph()
        self._put(kind, is_whole=is_whole, **values)

    def _put(self, kind: str, *, is_whole: bool, **values: Any) -> None:
        """Add a block, or give what a comment has announced its content."""
        self.follows_figure = False
        index = self.announced
        held = None if index is None else self.blocks[index]
        if index is not None and held and (kind == held.kind or (held.kind, kind) == _CHART_DATA):
            self.announced = None
            kept = {name: value for name, value in values.items() if name != "box"}
            self.blocks[index] = replace(held, **(kept if held.box else values))
        else:
            if kind != "caption":
                self._end_announced()
            index = len(self.blocks)
            reason = {"no_box_reason": NO_BOX} if "box" not in values else {}
            self._append(Block(kind=kind, page=self.page, **{**reason, **values}))
        if not is_whole and not (self.is_cut and self.at >= len(self.lines)):
            self._report("the block is not closed", values["text"][:80], block=index)

    def _end_announced(self) -> None:
        index, self.announced = self.announced, None
        if index is None or self.blocks[index].kind != "table":
            return
        if not (self.is_cut and self.at >= len(self.lines)):
            self._report("a comment announces a table, and none follows", "", block=index)

    def _append(self, block: Block) -> None:
        if block.kind != "list_item":
            self.indents = []
        self.blocks.append(block)

    def _report(self, reason: str, text: str, block: int | None = None) -> None:
        self.problems.append(BlockProblem(reason=reason, text=shorten(text), block=block))

    def _take_until(self, is_end: Callable[[str], bool]) -> tuple[str, bool]:
        """Take lines up to one that ends a block, or to what certainly begins another one."""
        start = self.at
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if self.at > start and (_COMMENT_LINE.fullmatch(line) or _HEADING.fullmatch(line)):
                return "\n".join(self.lines[start : self.at]).strip(), False
            self.at += 1
            if is_end(line):
                return "\n".join(self.lines[start : self.at]).strip(), True
        return "\n".join(self.lines[start:]).strip(), False

    def _take_while(self, is_part: Callable[[str], object]) -> list[str]:
        start = self.at
        while self.at < len(self.lines) and is_part(self.lines[self.at]):
            self.at += 1
        return self.lines[start : self.at]


def _split_partial(text: str) -> tuple[str, str]:
    """Part a comment that the text ends within from what is before it."""
    found = _PARTIAL_COMMENT.match(text, start) if (start := text.rfind("<")) >= 0 else None
    return (text, "") if found is None else (text[: found.start()], found[0])


def _split_lines(text: str) -> list[str]:
    """Split text into lines, so that each comment is on a separate line."""
    lines: list[str] = []
    for line in text.splitlines():
        at = 0
        for comment in _COMMENT.finditer(line):
            if line[at : comment.start()].strip():
                lines.append(line[at : comment.start()])
            lines.append(comment[0])
            at = comment.end()
        if at == 0 or line[at:].strip():
            lines.append(line[at:])
    return lines


def _count_to_zero(depth: Callable[[str], int]) -> Callable[[str], bool]:
    open_now = 0

    def is_end(line: str) -> bool:
        nonlocal open_now
        open_now += depth(line)
        return open_now <= 0

    return is_end


def _closes(line: str, fence: str) -> bool:
    return line.strip().startswith(fence) and not line.strip().strip(fence[0])


def _continues(line: str) -> bool:
    """Return whether a line goes on with the list item above it."""
    stripped = line.lstrip()
    is_other = _ITEM.fullmatch(line) or _HEADING.fullmatch(line) or _FENCE.fullmatch(line)
    starts = ("|", "<!--", "$$", "\\[", "\\begin{", "<table", "![")
    return bool(stripped) and not is_other and not stripped.startswith(starts)
