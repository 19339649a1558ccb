"""Retrieved documents as numbered sources within a token budget, and citations of answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

from langchain_qwen_vl.blocks import to_part
from langchain_qwen_vl.chat_models import ChatQwenVL
from langchain_qwen_vl.document_media import divide_document, merge_keys, read_document
from qwen_vl.content import Part
from qwen_vl.media.metadata import PAGE_KEY
from qwen_vl.retrieval.citations import (
    CITATION_PROMPT,
    DEFAULT_CONTEXT_TOKENS,
    MAX_SOURCE_PIXELS,
    CitedText,
    fit_sources,
    name_source,
    name_text,
)
from qwen_vl.retrieval.citations import read_citations as read_from_text
from qwen_vl.retrieval.files import Unit
from qwen_vl.retrieval.references import to_unit

_CAPPED = frozenset({"image", "file"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBlocks:
    """Documents as numbered sources of a message.

    Args:
        blocks: Content blocks: the request to cite, and each source with its number, its image or
            video, and its text. Put the question behind them.
        documents: The documents that are shown, source `[1]` first.
        left_out: Documents that did not fit into the budget.
        n_tokens: Tokens of the sources, counted before sending.
    """

    blocks: list[dict[str, Any]]
    documents: list[Document]
    left_out: list[Document]
    n_tokens: int


def to_source_blocks(
    documents: Sequence[Document],
    model: ChatQwenVL,
    *,
    max_context_tokens: int = DEFAULT_CONTEXT_TOKENS,
    keys: Mapping[str, str] | None = None,
    first_page: int = 1,
) -> SourceBlocks:
    """Number retrieved documents as sources that the model can cite, as many as fit.

    Images and pages have up to 1,310,720 pixels each, unless the document or the model says
    otherwise by `max_pixels`.

    Args:
        documents: The best first. What is smaller, and stands further behind, takes the room of
            what does not fit.
        model: The model that is asked: its tokens are counted, and files are opened for it inside
            its `media_roots`.
        max_context_tokens: Maximum number of tokens of all sources, images included.
        keys: Metadata keys that differ from their names.
        first_page: Number that the first page of a file has in the metadata.

    Raises:
        ConfigurationError: There are no documents, or none fits.
        ContentError: Metadata is not what its key promises, or a file cannot be read.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> model = ChatQwenVL(api_key="sk-1", media_roots=[CHELSEA.parent])
        >>> document = Document("Our cat", metadata={"image_path": str(CHELSEA)})
        >>> sources = to_source_blocks([document], model)
        >>> [block["type"] for block in sources.blocks], sources.n_tokens
        (['text', 'text', 'image', 'text'], 144)
    """
    merged = merge_keys(keys or {})

    def show(numbered: tuple[int, Document], number: int) -> list[dict[str, Any]]:
        at, document = numbered
        return _show(document, number, f"documents[{at}]", model, merged, first_page)

    def to_parts(numbered: tuple[int, Document], number: int) -> list[Part]:
        where = f"documents[{numbered[0]}]"
        return [to_part(block, where) for block in show(numbered, number)]

    fitted = fit_sources(list(enumerate(documents)), to_parts, model, max_context_tokens)
    blocks = [{"type": "text", "text": CITATION_PROMPT}]
    for number, kept in enumerate(fitted.sources, 1):
        blocks += show(kept, number)
    return SourceBlocks(
        blocks=blocks,
        documents=[document for _, document in fitted.sources],
        left_out=[document for _, document in fitted.left_out],
        n_tokens=fitted.n_tokens,
    )


def read_citations(
    answer: BaseMessage | str,
    documents: Sequence[Document],
    *,
    media_roots: Sequence[str | Path],
    keys: Mapping[str, str] | None = None,
    first_page: int = 1,
) -> CitedText:
    """Read the citations of an answer, and find the quoted words on the pages of PDF files.

    Args:
        answer: What the model answered to a message with `SourceBlocks.blocks`, or its text.
        documents: `SourceBlocks.documents`, or what else the model was shown as `[1]`, `[2]`.
        media_roots: Folders that cited files may be in. Other files are not read.
        keys: Metadata keys that differ from their names.
        first_page: Number that the first page of a file has in the metadata.

    Raises:
        MediaAccessError: A file that is cited is outside of `media_roots`.
        MediaError: A PDF that is quoted cannot be read.

    Example:
        >>> document = Document("All day it rained.", metadata={"source": "diary.txt"})
        >>> cited = read_citations('It rained [1: "All day"].', [document], media_roots=[])
        >>> cited.text, cited.citations[0].unit.name, cited.citations[0].quote
        ('It rained [1].', 'diary.txt', 'All day')
    """
    merged = merge_keys(keys or {})
    units = [
        _to_unit(document, f"documents[{at}]", merged, first_page)
        for at, document in enumerate(documents)
    ]
    text = answer if isinstance(answer, str) else str(answer.text)
    return read_from_text(text, units, media_roots=media_roots)


def _to_unit(document: Document, where: str, keys: Mapping[str, str], first_page: int) -> Unit:
    text, media = read_document(document, where, keys=keys, first_page=first_page)
    return to_unit(
        media,
        document.metadata,
        text.text if text else "",
        page_key=keys[PAGE_KEY],
        first_page=first_page,
    )


def _show(
    document: Document,
    number: int,
    where: str,
    model: ChatQwenVL,
    keys: Mapping[str, str],
    first_page: int,
) -> list[dict[str, Any]]:
    unit = _to_unit(document, where, keys, first_page)
    media, text = divide_document(document, where, keys=keys, first_page=first_page)
    if model.max_pixels is None:
        media = [_cap(block) for block in media]
    blocks = [{"type": "text", "text": name_source(number, unit)}, *media]
    return [*blocks, {"type": "text", "text": name_text(number, text)}] if text else blocks


def _cap(block: dict[str, Any]) -> dict[str, Any]:
    extras = block.get("extras") or {}
    if block.get("type") not in _CAPPED or "max_pixels" in {**block, **extras}:
        return block
    return {**block, "extras": {**extras, "max_pixels": MAX_SOURCE_PIXELS}}
