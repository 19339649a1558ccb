"""What a parser returns: documents and their pages."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qwen_vl.display.drawn import MAX_SIDE_PIXELS, to_image
from qwen_vl.display.html import to_note, to_table
from qwen_vl.documents import convert
from qwen_vl.documents.blocks import (
    FIGURE_KINDS,
    Block,
    BlockProblem,
    DocumentForm,
    to_blocks_table,
)
from qwen_vl.documents.convert import Link
from qwen_vl.documents.page_images import PageOrigin
from qwen_vl.errors import AnswerFormatError, ConfigurationError, QwenVLError
from qwen_vl.reply import Usage
from qwen_vl.request.types import MediaPolicy

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_SHOWN_LAYOUTS, _LAYOUT_PIXELS = 3, 640

_COUNTS = tuple(field.name for field in fields(Usage) if field.name != "raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class PageError:
    """Why a page was not parsed.

    Args:
        type: Class of the error.
        message: Its text.
        error: The error itself; `None` where the page was read from JSON.
    """

    type: str
    message: str
    error: QwenVLError | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedPage:
    """One page or image.

    Args:
        source: Where it is from: a path or a URL, or what kind of thing it was.
        page: Number of the page, from 1 on; 0 where the document could not be opened.
        n_pages: Pages of the whole document, those that were not asked for too.
        size: Width and height in pixels that boxes refer to: of the upright image, or of the PDF
            page at `dpi`; `None` of an image behind a URL.
        dpi: Dots per inch of a PDF page.
        blocks: In reading order.
        problems: What of the answer could not be used as it is.
        is_cut_off: Whether the answer breaks off: there is more on the page.
        finish_reason: Why the answer ended.
        usage: What it cost.
        model: The model that answered, by its own word.
        form: Form of the answer.
        answer: The answer itself.
        error: Why the page was not parsed, if it was not.
        is_resumed: Whether it was read from the ledger, and nothing was asked.
        origin: Where the page can be found again; not part of its JSON.
    """

    source: str
    page: int = 1
    n_pages: int = 1
    size: tuple[int, int] | None = None
    dpi: float | None = None
    blocks: tuple[Block, ...] = ()
    problems: tuple[BlockProblem, ...] = ()
    is_cut_off: bool = False
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    form: DocumentForm = "html"
    answer: str = field(default="", repr=False)
    error: PageError | None = None
    is_resumed: bool = field(default=False, compare=False)
    origin: PageOrigin | None = field(default=None, repr=False, compare=False)

    def to_markdown(self, link: Link | None = None) -> str:
        """Write the page as Markdown; see `ParsedDocument.to_markdown`."""
        return _note_error(self) + convert.to_markdown(self.blocks, link)

    def to_html(self, link: Link | None = None) -> str:
        """Write the page as a `<section>`; see `ParsedDocument.to_html`."""
        inner = _note_error(self) + convert.to_html(self.blocks, link)
        size = f' data-size="{self.size[0]} {self.size[1]}"' if self.size else ""
        return f'<section data-page="{self.page}"{size}>\n{inner}</section>\n'

    @property
    def text(self) -> str:
        """The text of all blocks, which stand apart by empty lines."""
        return convert.to_text(self.blocks)

    @property
    def figures(self) -> tuple[Block, ...]:
        """Images, charts, music and chemical formulas."""
        return tuple(block for block in self.blocks if block.is_figure)

    def open_image(self, source: object = None) -> "PillowImage":
        """Decode the page at the size that its boxes refer to, upright and in RGB.

        Args:
            source: The file, for pages that were read from JSON.

        Raises:
            MediaError: The file cannot be read, or is another one.
            ConfigurationError: The file is missing, or the image is given by URL.
        """
        origin = self.origin
        if source is not None:
            policy = origin.policy if origin else MediaPolicy()
            origin = PageOrigin(source=source, page=self.page, dpi=self.dpi, policy=policy)
        if origin is None:
            raise ConfigurationError(
                f"Page {self.page} of {self.source} was read from JSON, which holds no image. Pass "
                "source=…, the file that was parsed."
            )
        return origin.open(self.size)

    def crop(self, block: Block, source: object = None, *, margin: int = 0) -> "PillowImage":
        """Cut a block out of the page.

        Args:
            block: A block with a box.
            source: As of `open_image`.
            margin: Pixels around the box.

        Raises:
            MediaError: The file cannot be read, or is another one.
            ConfigurationError: The block lacks a box, or is of another page.
        """
        if block.box is None:
            reason = block.no_box_reason or "none was set"
            raise ConfigurationError(f"The block cannot be cropped, as it lacks a box: {reason}.")
        if block.page != self.page:
            raise ConfigurationError(
                f"The block is of page {block.page}, and this is page {self.page}."
            )
        image = self.open_image(source)
        x1, y1, x2, y2 = block.box
        return image.crop(
            (
                max(x1 - margin, 0),
                max(y1 - margin, 0),
                min(x2 + margin, image.width),
                min(y2 + margin, image.height),
            )
        )

    def draw(
        self, source: object = None, *, font: str | Path | None = None, legend: bool = True
    ) -> "PillowImage":
        """Draw the blocks on the page; see `qwen_vl.documents.drawing.draw_layout`."""
        from qwen_vl.documents.drawing import draw_layout  # noqa: PLC0415 - with Pillow

        return draw_layout(self.open_image(source), self.blocks, font=font, legend=legend)

    def _repr_html_(self) -> str:
        """Return what notebooks show: the layout, if the file is known, and a table."""
        heading = f"Page {self.page} of {self.n_pages} of {self.source}."
        notes = to_note(" ".join([heading, *self._describe_problems()]))
        return notes + self._draw_known() + to_blocks_table(self.blocks)

    def _describe_problems(self) -> Iterator[str]:
        if self.error:
            yield f"{self.error.type}: {self.error.message}"
        if self.is_cut_off:
            yield "The answer is cut off: there is more on the page."
        if self.problems:
            yield f"Problems: {'; '.join(problem.reason for problem in self.problems)}."

    def _draw_known(self, max_side: int = MAX_SIDE_PIXELS) -> str:
        # Pages that were read from JSON have no image.
        return to_image(self.draw, max_side) if self.origin else ""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields but `origin` as JSON values."""
        found: dict[str, Any] = {
            "source": self.source,
            "page": self.page,
            "n_pages": self.n_pages,
            "size": list(self.size) if self.size else None,
            "dpi": self.dpi,
            "form": self.form,
            "blocks": [block.to_dict() for block in self.blocks],
            "problems": [asdict(problem) for problem in self.problems],
            "is_cut_off": self.is_cut_off,
            "finish_reason": self.finish_reason,
            "model": self.model,
            "usage": _usage_to_dict(self.usage),
            "answer": self.answer,
        }
        if self.error:
            found["error"] = {"type": self.error.type, "message": self.error.message}
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ParsedPage":
        """Create a page from what `to_dict` returns.

        Args:
            values: The fields.

        Raises:
            AnswerFormatError: They are not those of a page.
        """
        try:
            kept = dict(values)
            kept["size"] = tuple(kept["size"]) if kept.get("size") else None
            kept["blocks"] = tuple(map(Block.from_dict, kept["blocks"]))
            kept["problems"] = tuple(BlockProblem(**problem) for problem in kept["problems"])
            kept["usage"] = Usage(**kept["usage"]) if kept.get("usage") else None
            kept["error"] = PageError(**kept["error"]) if kept.get("error") else None
            return cls(**kept)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AnswerFormatError(
                f"This is not a parsed page ({type(error).__name__}: {error}).", text=repr(values)
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedDocument:
    r"""A document: its pages in the order in which they were asked for.

    Args:
        source: Where it is from: a path or a URL, or what kind of thing it was.
        pages: Those that were asked for, with those that failed.

    Example:
        >>> block = Block(kind="heading", text="Report", level=1, box=(0, 0, 200, 40))
        >>> page = ParsedPage(source="a.pdf", blocks=(block,))
        >>> document = ParsedDocument(source="a.pdf", pages=(page,))
        >>> document.to_markdown()
        '# Report\n'
        >>> ParsedDocument.from_json(document.to_json()) == document
        True
    """

    source: str
    pages: tuple[ParsedPage, ...] = ()

    def __iter__(self) -> Iterator[ParsedPage]:
        return iter(self.pages)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks of all pages."""
        return tuple(block for page in self.pages for block in page.blocks)

    @property
    def tables(self) -> tuple[Block, ...]:
        """The tables of all pages."""
        return tuple(block for block in self.blocks if block.kind == "table")

    @property
    def figures(self) -> tuple[Block, ...]:
        """Images, charts, music and chemical formulas of all pages."""
        return tuple(block for block in self.blocks if block.kind in FIGURE_KINDS)

    @property
    def errors(self) -> dict[int, PageError]:
        """Why pages were not parsed, by their numbers."""
        return {page.page: page.error for page in self.pages if page.error}

    @property
    def text(self) -> str:
        """The text of all pages."""
        return "\n\n".join(page.text for page in self.pages if page.text)

    def _repr_html_(self) -> str:
        """Return what notebooks show: a table of the pages, and the first layouts."""
        headings = ("page", "blocks", "tables", "figures", "tokens", "problems")
        rows = [
            (
                page.page,
                len(page.blocks),
                sum(block.kind == "table" for block in page.blocks),
                len(page.figures),
                page.usage and f"{page.usage.total_tokens:,}",
                " ".join(page._describe_problems()),  # noqa: SLF001 - of this module
            )
            for page in self.pages
        ]
        layouts = (page._draw_known(_LAYOUT_PIXELS) for page in self.pages[:_SHOWN_LAYOUTS])  # noqa: SLF001
        return to_note(self.source) + to_table(headings, rows) + " ".join(filter(None, layouts))

    def raise_errors(self) -> None:
        """Raise the first error of a page, if there is any.

        Raises:
            QwenVLError: A page was not parsed.
        """
        for page in self.pages:
            if page.error:
                raise page.error.error or QwenVLError(page.error.message)

    def to_markdown(self, link: Link | None = None) -> str:
        """Write the document as Markdown.

        Formulas stand between `$$`; tables stay as the model wrote them, in LaTeX or HTML. For a
        page that was not parsed there is a comment.

        Args:
            link: Finds the images of figures: it is called with the block and returns a URL.
                Without it a comment with the box in pixels stands for each.
        """
        return "\n".join(page.to_markdown(link) for page in self.pages)

    def to_html(self, link: Link | None = None) -> str:
        """Write the document as HTML, with a `<section>` for each page.

        `data-bbox` holds the box of each element in pixels of the page, whose size is the
        section's `data-size`. Scripts, styles and links of the answer are left out.

        Args:
            link: As of `to_markdown`.
        """
        sections = "".join(page.to_html(link) for page in self.pages)
        head = '<!doctype html>\n<html><head><meta charset="utf-8"></head><body>\n'
        return f"{head}{sections}</body></html>\n"

    def crop(self, block: Block, source: object = None, *, margin: int = 0) -> "PillowImage":
        """Cut a block out of its page, at full resolution.

        Args:
            block: One of this document's.
            source: The file that was parsed, for documents that were read from JSON.
            margin: Pixels around the box.

        Raises:
            MediaError: The file cannot be read, or is another one.
            ConfigurationError: The block lacks a box, or its page is not in this document.
        """
        page = next((page for page in self.pages if page.page == block.page), None)
        if page is None:
            raise ConfigurationError(f"Page {block.page} is not in this document.")
        return page.crop(block, source, margin=margin)

    def to_dict(self) -> dict[str, Any]:
        """Return source and pages as JSON values."""
        return {"source": self.source, "pages": [page.to_dict() for page in self.pages]}

    def to_json(self) -> str:
        """Write the document as JSON, from which `from_json` makes an equal one."""
        # Answers may hold half of a surrogate pair, which orjson does not write.
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ParsedDocument":
        """Create a document from what `to_dict` returns.

        Args:
            values: Source and pages.

        Raises:
            AnswerFormatError: They are not those of a document.
        """
        held: object = values
        if not isinstance(held, Mapping) or not {"source", "pages"} <= held.keys():
            raise AnswerFormatError("This is not a parsed document.", text=repr(values))
        pages = tuple(map(ParsedPage.from_dict, values["pages"]))
        return cls(source=values["source"], pages=pages)

    @classmethod
    def from_json(cls, text: str | bytes) -> "ParsedDocument":
        """Create a document from what `to_json` wrote.

        Args:
            text: JSON.

        Raises:
            AnswerFormatError: It is not that of a document.
        """
        try:
            return cls.from_dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            shown = text if isinstance(text, str) else repr(text)
            raise AnswerFormatError(f"This is not JSON: {error}.", text=shown) from error


def _note_error(page: ParsedPage) -> str:
    if page.error is None:
        return ""
    message = page.error.message.replace("--", "- -")
    return f"<!-- Page {page.page} was not parsed: {message} -->\n"


def _usage_to_dict(usage: Usage | None) -> dict[str, int] | None:
    if usage is None:
        return None
    counts = {name: getattr(usage, name) for name in _COUNTS}
    return {name: count for name, count in counts.items() if isinstance(count, int)}
