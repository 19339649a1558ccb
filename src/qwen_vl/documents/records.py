"""Pages as records of text and metadata, as frameworks' documents hold them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from qwen_vl.documents.blocks import Block
from qwen_vl.documents.results import ParsedPage
from qwen_vl.errors import ConfigurationError

RecordMode: TypeAlias = Literal["block", "page"]
"""Whether each block is a record, or each page."""

PROGRAM_KEYS = (
    *("block", "blocks", "box", "dpi", "html", "is_cut", "is_cut_off", "label", "level"),
    *("page_height", "page_width", "polygon", "total_pages"),
)
"""Keys of the metadata that are of use to programs only: neither language nor embedding models
should be shown them."""


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """Text and what is known of it.

    Args:
        text: Of a block its LaTeX, its table as HTML, or its text; of a page Markdown.
        metadata: JSON values.
    """

    text: str
    metadata: dict[str, Any]


def to_records(page: ParsedPage, mode: RecordMode) -> Iterator[DocumentRecord]:
    """Return the records of a page; a page that was not parsed has none.

    A block without text, such as an image without a caption, has its kind in brackets as its text,
    since embedding models refuse empty texts.

    Args:
        page: A parsed page.
        mode: What becomes a record.

    Example:
        >>> block = Block(kind="heading", text="Sum", level=1, box=(1, 2, 3, 4))
        >>> page = ParsedPage(source="a.png", size=(10, 20), blocks=(block, Block(kind="image")))
        >>> heading, image = to_records(page, "block")
        >>> heading.text, heading.metadata["box"], image.text
        ('Sum', [1, 2, 3, 4], '[image]')
    """
    if page.error is not None:
        return
    place: dict[str, Any] = {
        "source": page.source,
        "page": page.page,
        "total_pages": page.n_pages,
    }
    if page.size is not None:
        place |= {"page_width": page.size[0], "page_height": page.size[1]}
    if page.dpi is not None:
        place["dpi"] = page.dpi
    if mode == "page":
        blocks = [block.to_dict() for block in page.blocks]
        metadata = {**place, "blocks": blocks}
        if page.is_cut_off:
            metadata["is_cut_off"] = True
        yield DocumentRecord(page.to_markdown(), metadata)
        return
    for index, block in enumerate(page.blocks):
        yield DocumentRecord(_text_of(block), {**place, **_describe(block), "block": index})


def check_mode(mode: str) -> None:
    """Check what should become a record.

    Args:
        mode: As the caller gave it.

    Raises:
        ConfigurationError: It is unknown.
    """
    if mode not in {"block", "page"}:
        raise ConfigurationError(f"mode is {mode!r}; it must be 'block' or 'page'.")


def _text_of(block: Block) -> str:
    return block.content or block.text or f"[{block.kind.replace('_', ' ')}]"


def _describe(block: Block) -> dict[str, Any]:
    fields = block.to_dict()
    shown = _text_of(block)
    # What the text says already.
    left_out = {"text", "latex", "page", "no_box_reason", "marker"}
    if fields.get("html") == shown:
        left_out.add("html")
    return {name: value for name, value in fields.items() if name not in left_out}
