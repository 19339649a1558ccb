"""Reads QwenVL HTML: elements with `data-bbox`, as the prompt `qwenvl html` asks for them.

The form is that of the Qwen2.5-VL technical report (2025-02), with the relative coordinates of
Qwen3-VL's document parsing cookbook.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from qwen_vl.documents.answer_text import unwrap
from qwen_vl.documents.blocks import (
    FIGURE_KINDS,
    Block,
    BlockProblem,
    ParsedBlocks,
    find_kind,
    shorten,
)
from qwen_vl.documents.boxes import ReadBox, read_box, read_polygon
from qwen_vl.documents.markup import INLINE, RAW, Element, Node, Tree, Words, read_markup
from qwen_vl.grounding.coordinates import CoordinateFrame

_BOX, _POLYGON = "data-bbox", "data-polygon"
_ROOTS = frozenset({"html", "body"})
_SKIPPED = RAW | {"head", "meta", "link", "hr", "title"}
_WRAPPERS = frozenset(
    {"article", "aside", "body", "center", "details", "div", "footer", "form", "header", "html"}
    | {"main", "nav", "section", "summary"}
)
_LISTS = frozenset({"ol", "ul", "dl"})
_LEAVES = {
    "p": "paragraph",
    "table": "table",
    "pre": "code",
    "blockquote": "blockquote",
    "figcaption": "caption",
    "caption": "caption",
    "figure": "image",
    "img": "image",
    "dt": "list_item",
    "dd": "list_item",
}
# Classes that say what a block is, on any element.
_KINDS_BY_CLASS = frozenset(
    {"caption", "footer", "footnote", "formula", "header", "heading", "page_number", "table"}
    | FIGURE_KINDS
)
# Their content is one block, whatever is in it.
_WHOLE = frozenset({"formula", "table"}) | FIGURE_KINDS
_NOTATED = frozenset({"formula", "music_sheet", "chemical_formula", "code"})
_BLOCK_ELEMENTS = (
    _WRAPPERS | _LISTS | frozenset({*_LEAVES, "h1", "h2", "h3", "h4", "h5", "h6", "li", "tr"})
)
_HEADING = re.compile(r"h([1-6])")
_DELIMITED = re.compile(r"\$\$(.*)\$\$|\\\[(.*)\\\]|\\\((.*)\\\)|\$(.*)\$", re.DOTALL)
# Spaces that do not break are none of these.
_SPACE = re.compile(r"[ \t\r\n\f]+")
_UNBOXED = "the text is in no element that has a box"
_GROUP = "the box is that of a group of blocks"


def parse_html(
    text: str,
    frame: CoordinateFrame | None = None,
    *,
    page: int = 1,
    is_cut_off: bool | None = None,
) -> ParsedBlocks:
    """Read the blocks of an answer to the prompt `qwenvl html`.

    Reasoning and a Markdown fence around the document are left out. Of lists the items are blocks,
    not the list. Styles and scripts are left out. Elements without an end end where the next block
    begins.

    Args:
        text: The answer.
        frame: Its coordinate space, from `qwen_vl.find_frame`. Without it no block has a box.
        page: Number of the page.
        is_cut_off: Whether the answer reached `max_tokens`; judged from the text if `None`.

    Example:
        >>> from qwen_vl.grounding.coordinates import find_frame
        >>> answer = '<html><body><h2 data-bbox="100 50 500 90">Results</h2></body></html>'
        >>> (block,) = parse_html(answer, find_frame("qwen3-vl-plus", (2000, 1000))).blocks
        >>> block.kind, block.text, block.level, block.box
        ('heading', 'Results', 2, (200, 50, 1000, 90))
    """
    answer = unwrap(text, "html")
    tree = read_markup(answer.text)
    is_cut = is_cut_off
    if is_cut is None:
        is_cut = (
            answer.is_cut_off
            or bool(tree.partial)
            or any(element.is_open for element in tree.root.walk())
        )
    reader = _Reader(tree, frame, page, is_cut=is_cut)
    reader.read(tree.root.children, _Context())
    reader.problems[:0] = answer.problems
    if tree.partial:
        reader.problems.append(
            BlockProblem(reason="the answer breaks off within a tag", text=shorten(tree.partial))
        )
    return ParsedBlocks(
        blocks=tuple(reader.blocks), problems=tuple(reader.problems), is_cut_off=is_cut
    )


@dataclass(frozen=True, slots=True)
class _Context:
    """What holds for the blocks within an element: the kind of what is only text, and the list."""

    kind: str | None = None
    label: str | None = None
    level: int = 0


@dataclass(slots=True)
class _Reader:
    tree: Tree
    frame: CoordinateFrame | None
    page: int
    is_cut: bool
    blocks: list[Block] = field(default_factory=list)
    problems: list[BlockProblem] = field(default_factory=list)

    def read(self, nodes: Sequence[Node], context: _Context) -> None:
        run: list[Node] = []
        for node in nodes:
            if isinstance(node, Words) or (node.name in INLINE and _BOX not in node.attributes):
                run.append(node)
                continue
            self._add_run(run, context)
            run = []
            self._read_element(node, context)
        self._add_run(run, context)

    def _read_element(self, element: Element, context: _Context) -> None:
        name = element.name
        if name in _SKIPPED:
            return
        if name in _LISTS:
            self._read_list(element, context)
            return
        kind, label = _name_kind(element)
        if kind in _WHOLE or name not in _WRAPPERS:
            if kind in {None, "paragraph"}:
                kind, label = context.kind or "paragraph", context.label
            self._add_leaf(element, kind or "paragraph", label)
            return
        own = replace(context, kind=kind or context.kind, label=label or context.label)
        if name in _ROOTS or not (kind or _BOX in element.attributes):
            self.read(element.children, own)
        elif any(inner.name in _BLOCK_ELEMENTS for inner in element.walk()):
            self._read_group(element, own)
        else:
            self._add_leaf(element, own.kind or "paragraph", own.label)

    def _read_group(self, element: Element, context: _Context) -> None:
        """Read an element with blocks in it: its box is theirs only where there is just one."""
        first = len(self.blocks)
        self.read(element.children, context)
        made = self.blocks[first:]
        if any(block.box for block in made) or _BOX not in element.attributes:
            return
        if len(made) == 1:
            self.blocks[first] = self._with_box(made[0], element, first)
            return
        self.blocks[first:] = [replace(block, no_box_reason=_GROUP) for block in made]

    def _read_list(self, element: Element, context: _Context) -> None:
        number = _start_of(element)
        inner = replace(context, level=context.level + 1)
        for child in element.children:
            if not isinstance(child, Element) or child.name != "li":
                self.read([child], inner)
                continue
            value = child.attributes.get("value", "")
            number = int(value) if value.isdecimal() and len(value) < 10 else number  # noqa: PLR2004
            marker = f"{number}." if element.name == "ol" else "-"
            number += 1
            self._read_item(child, marker, inner)

    def _read_item(self, item: Element, marker: str, context: _Context) -> None:
        own: list[Node] = []
        rest: list[Node] = []
        for child in item.children:
            is_block = isinstance(child, Element) and (
                child.name in _LISTS or child.name in {"table", "figure"} or _is_whole(child)
            )
            (rest if is_block or rest else own).append(child)
        text = self._text(own)
        if text or not rest:
            block = Block(
                kind="list_item",
                text=text,
                html=self._inline_html(own),
                page=self.page,
                level=context.level,
                marker=marker,
                is_cut=self._is_cut(item) and not rest,
            )
            self._add(block, item)
        self.read(rest, context)

    def _add_leaf(self, element: Element, kind: str, label: str | None) -> None:
        table = element if element.name == "table" else _find(element, "table")
        text = self._text(element.children) if element.name != "img" else ""
        html: str | None = None
        latex: str | None = None
        if kind in _NOTATED:
            text = self._raw_text(element.children).strip("\r\n").strip()
        if kind in {"image", "chart"} and not text:
            text = _alternative(element)
        if kind == "formula":
            latex = text = _without_delimiters(text or element.attributes.get("data-latex", ""))
        elif table is not None and kind not in _NOTATED:
            html = self.tree.to_html(table).strip()
        elif kind not in _NOTATED and element.name != "img":
            html = self._inline_html(element.children)
        level = _HEADING.fullmatch(element.name)
        block = Block(
            kind=kind,
            text=text,
            html=html,
            latex=latex,
            page=self.page,
            level=int(level[1]) if level and kind == "heading" else None,
            notation=element.attributes.get("format"),
            label=label,
            is_cut=self._is_cut(element),
        )
        self._add(block, element)

    def _add_run(self, run: Sequence[Node], context: _Context) -> None:
        text = self._text(run)
        if not text:
            return
        last = run[-1]
        block = Block(
            kind=context.kind or "paragraph",
            label=context.label,
            text=text,
            html=self._inline_html(run),
            page=self.page,
            no_box_reason=_UNBOXED,
            is_cut=self.is_cut and last.end >= len(self.tree.source) - len(self.tree.partial),
        )
        self.blocks.append(block)

    def _add(self, block: Block, element: Element) -> None:
        index = len(self.blocks)
        if element.is_open and not self.is_cut:
            self.problems.append(
                BlockProblem(reason="the element is not closed", text=block.text[:80], block=index)
            )
        self.blocks.append(self._with_box(block, element, index))

    def _with_box(self, block: Block, element: Element, index: int) -> Block:
        written = element.attributes.get(_BOX)
        if written is None and block.kind in _WHOLE:
            boxed = (inner for inner in element.walk() if _BOX in inner.attributes)
            written = next((inner.attributes[_BOX] for inner in boxed), None)
        found = read_box(written, self.frame)
        self._report(found, written, index)
        polygon = read_polygon(element.attributes.get(_POLYGON), self.frame)
        return replace(block, box=found.box, no_box_reason=found.reason, polygon=polygon)

    def _report(self, found: ReadBox, written: str | None, index: int) -> None:
        if written is None or self.frame is None:
            return
        if reason := found.reason or found.note:
            self.problems.append(BlockProblem(reason=reason, text=shorten(written), block=index))

    def _is_cut(self, element: Element) -> bool:
        return self.is_cut and element.is_open

    def _inline_html(self, nodes: Iterable[Node]) -> str | None:
        """Return the HTML of text with inline markup; `None` for plain text."""
        listed = [node for node in nodes if isinstance(node, Words) or node.name not in _SKIPPED]
        is_marked = any(
            inner.name in INLINE
            for node in listed
            if isinstance(node, Element)
            for inner in (node, *node.walk())
        )
        if not is_marked:
            return None
        return "".join(self.tree.to_html(node) for node in listed).strip()

    def _text(self, nodes: Iterable[Node]) -> str:
        pieces: list[str] = []
        self._add_text(nodes, pieces)
        lines = re.sub(r" *\n[ \n]*", "\n", re.sub(r"[ \r\f]+", " ", "".join(pieces)))
        return re.sub(r" ?\t ?", "\t", lines).strip(" \n")

    def _add_text(self, nodes: Iterable[Node], pieces: list[str]) -> None:
        for node in nodes:
            if isinstance(node, Words):
                pieces.append(_SPACE.sub(" ", self.tree.words(node)))
            elif node.name == "br":
                pieces.append("\n")
            elif node.name == "input":
                if node.attributes.get("type") == "checkbox":
                    pieces.append("[x] " if "checked" in node.attributes else "[ ] ")
            elif node.name in {"td", "th"}:
                if pieces and pieces[-1] != "\n":
                    pieces.append("\t")
                # One line for a row, whatever is in its cells.
                pieces.append(" ".join(self._text(node.children).split()))
            elif node.name not in _SKIPPED:
                is_block = node.name in _BLOCK_ELEMENTS
                pieces.append("\n" if is_block else "")
                self._add_text(node.children, pieces)
                pieces.append("\n" if is_block else "")

    def _raw_text(self, nodes: Iterable[Node]) -> str:
        pieces: list[str] = []
        for node in nodes:
            if isinstance(node, Words):
                pieces.append(self.tree.words(node))
            elif node.name == "br":
                pieces.append("\n")
            elif node.name not in _SKIPPED:
                pieces.append(self._raw_text(node.children))
        return "".join(pieces)


def _name_kind(element: Element) -> tuple[str | None, str | None]:
    """Return the kind of an element's block, and the model's name for it if that is another."""
    name = element.name
    written = element.attributes.get("class", "") if name != "table" else ""
    by_class = find_kind(written) if written.strip() else None
    if name in _WRAPPERS or by_class in _KINDS_BY_CLASS:
        if by_class is not None:
            return by_class, written if written != by_class else None
        return (name, None) if name in {"header", "footer"} else (None, None)
    if _HEADING.fullmatch(name):
        return "heading", None
    if name in INLINE:
        return None, None
    return _LEAVES.get(name, name), None


def _is_whole(element: Element) -> bool:
    return _name_kind(element)[0] in _WHOLE and element.name != "img"


def _find(element: Element, name: str) -> Element | None:
    return next((inner for inner in element.walk() if inner.name == name), None)


def _alternative(element: Element) -> str:
    image = element if element.name == "img" else _find(element, "img")
    return image.attributes.get("alt", "").strip() if image else ""


def _start_of(element: Element) -> int:
    written = element.attributes.get("start", "")
    return int(written) if written.isdecimal() and len(written) < 10 else 1  # noqa: PLR2004


def _without_delimiters(latex: str) -> str:
    found = _DELIMITED.fullmatch(latex.strip())
    if found is None:
        return latex.strip()
    return next(group for group in found.groups() if group is not None).strip()
