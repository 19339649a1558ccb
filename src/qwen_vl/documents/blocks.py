"""Blocks of a page: headings, paragraphs, tables and figures, each with its box in pixels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias

from qwen_vl.display.html import to_note, to_table

DocumentForm: TypeAlias = Literal["html", "markdown"]
"""Form of an answer: QwenVL HTML, or QwenVL Markdown (Vision page, 2026-08)."""

PixelBox: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom, in pixels of the page; right and bottom are exclusive."""

FIGURE_KINDS = frozenset({"image", "chart", "music_sheet", "chemical_formula"})
"""Kinds of blocks that are images, and worth a crop."""

KIND_ALIASES: Mapping[str, str] = {
    # Of QwenVL HTML (Qwen2.5-VL technical report, 2025-02, and the document parsing cookbook).
    "image caption": "image",
    "image ocr": "image",
    "formula.machine_printed": "formula",
    "formula.handwritten": "formula",
    # Other names for the same, seen in answers of fine-tuned models.
    "text": "paragraph",
    "figure": "image",
    "equation": "formula",
    "title": "heading",
    "figure caption": "caption",
    "table caption": "caption",
    "page header": "header",
    "page footer": "footer",
}
"""Kinds by the names that models give them; other names stay as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block of a page.

    Args:
        kind: `"heading"`, `"paragraph"`, `"list_item"`, `"table"`, `"image"`, `"chart"`,
            `"formula"`, `"music_sheet"`, `"chemical_formula"`, `"caption"`, `"header"`,
            `"footer"`, `"code"`, `"blockquote"`, or the model's own name for anything else.
        text: Plain text; of a table its cells, of an image its caption or the text in it.
        html: HTML, without boxes: of tables and charts of the HTML form, and of text with inline
            markup, such as `<sup>`.
        latex: LaTeX: of formulas, without their dollar signs, and of tables of the Markdown form.
        box: In pixels of the page; `None` for the reason that `no_box_reason` gives.
        no_box_reason: Why the box is missing.
        polygon: Corners in pixels, where the model gives more than a box (`data-polygon`).
        page: Number of the page, from 1 on.
        level: Of a heading 1 to 6, of a list item 1 for the outermost list.
        marker: What stands before a list item: `"-"`, or its number as `"3."`.
        notation: Of `text`, where it is not prose: language of code, `"abc notation"` of music,
            `"smile"` of a chemical formula.
        label: What the model called it, where `kind` has another name for it.
        is_cut: Whether the answer breaks off within this block: what is here is not all of it.

    Example:
        >>> Block(kind="heading", text="Results", level=2, box=(40, 60, 400, 90)).box
        (40, 60, 400, 90)
    """

    kind: str
    text: str = ""
    html: str | None = None
    latex: str | None = None
    box: PixelBox | None = None
    no_box_reason: str | None = None
    polygon: tuple[tuple[int, int], ...] | None = None
    page: int = 1
    level: int | None = None
    marker: str | None = None
    notation: str | None = None
    label: str | None = None
    is_cut: bool = False

    @property
    def is_figure(self) -> bool:
        """Whether it is an image, a chart, music or a chemical formula."""
        return self.kind in FIGURE_KINDS

    @property
    def content(self) -> str:
        """The richest form of it: LaTeX, else the HTML of a table or chart, else text.

        Example:
            >>> Block(kind="formula", text="x", latex="x").content
            'x'
        """
        if self.latex is not None:
            return self.latex
        if self.html is not None and self.html.startswith("<table"):
            return self.html
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, and `page`, as JSON values.

        Example:
            >>> Block(kind="image", box=(0, 0, 9, 9)).to_dict()
            {'kind': 'image', 'box': [0, 0, 9, 9], 'page': 1}
        """
        found: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "page" or value != field.default:
                found[field.name] = _to_json(value)
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Block":
        """Create a block from what `to_dict` returns.

        Args:
            values: The fields.

        Example:
            >>> block = Block(kind="image", box=(0, 0, 9, 9))
            >>> Block.from_dict(block.to_dict()) == block
            True
        """
        kept = dict(values)
        if kept.get("box") is not None:
            kept["box"] = tuple(kept["box"])
        if kept.get("polygon") is not None:
            kept["polygon"] = tuple((x, y) for x, y in kept["polygon"])
        return cls(**kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockProblem:
    """Something of an answer that could not be used as it is. All other blocks are kept.

    Args:
        reason: What is wrong, and what was done about it.
        text: The piece of the answer that it is about, shortened.
        block: Index of the block that it is about, among those of the page; `None` where the piece
            belongs to no block.
    """

    reason: str
    text: str = ""
    block: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedBlocks:
    """What an answer holds.

    Args:
        blocks: In reading order.
        problems: What could not be used as it is.
        is_cut_off: Whether the answer breaks off: there may be more on the page.
    """

    blocks: tuple[Block, ...] = ()
    problems: tuple[BlockProblem, ...] = ()
    is_cut_off: bool = False

    def _repr_html_(self) -> str:
        """Return what notebooks show: a table of the blocks."""
        cut = "The answer is cut off: there may be more." if self.is_cut_off else ""
        problems = "; ".join(problem.reason for problem in self.problems)
        notes = " ".join(filter(None, (cut, problems and f"Problems: {problems}.")))
        return to_blocks_table(self.blocks) + to_note(notes)


def to_blocks_table(blocks: Sequence[Block]) -> str:
    """Return blocks as a table of HTML, with the numbers that they have in drawings.

    Args:
        blocks: Of one page.
    """
    rows = [
        (number, block.kind, block.text or block.content, *(block.box or ()))
        for number, block in enumerate(blocks, 1)
    ]
    return to_table(("#", "kind", "text", "x1", "y1", "x2", "y2"), rows)


def find_kind(name: str) -> str:
    """Return the kind that a model's name for a block stands for.

    Args:
        name: A class or an element of HTML, or the word of a Markdown comment.

    Example:
        >>> find_kind("music sheet"), find_kind("formula.handwritten"), find_kind("Signature")
        ('music_sheet', 'formula', 'signature')
    """
    plain = " ".join(name.lower().replace("-", " ").replace("_", " ").split())
    return KIND_ALIASES.get(plain, KIND_ALIASES.get(name.lower(), plain.replace(" ", "_")))


def shorten(text: str, most: int = 200) -> str:
    """Return text in one line, and not too long for a message.

    Args:
        text: Any.
        most: Characters.
    """
    text = " ".join(text[: 4 * most].split())
    return text if len(text) <= most else f"{text[:most]}…"


def _to_json(value: Any) -> Any:
    return [_to_json(item) for item in value] if isinstance(value, tuple) else value
