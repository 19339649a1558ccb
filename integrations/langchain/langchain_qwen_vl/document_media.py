"""The images and videos that a LangChain document refers to."""

import mimetypes
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from langchain_core.documents import Document

from langchain_qwen_vl.blocks import sniff_base64, to_part
from qwen_vl import content
from qwen_vl.content import (
    Frames,
    Image,
    Inline,
    LocalFile,
    Text,
    Video,
    find_scheme,
    to_source,
    to_value,
)
from qwen_vl.errors import ConfigurationError, UnsupportedContentError
from qwen_vl.media.metadata import DEFAULT_KEYS, OPTION_KEYS, read_media
from qwen_vl.media.pdf.document import PDF_TYPE

MediaPart: TypeAlias = Image | Video | content.Document

BLOCK_KEYS = ("image", "video", "media")
"""Metadata that may hold content blocks, as messages have them: one, or a list."""

# Shorter texts of letters only are words, not Base64.
_MIN_BASE64_CHARS = 64


def merge_keys(keys: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata key of everything that is read.

    Args:
        keys: Those that differ from their names: `{"image_path": "source"}`.

    Raises:
        ConfigurationError: A name is not one of those that are read.
    """
    for name in keys:
        if name not in DEFAULT_KEYS:
            known = ", ".join(DEFAULT_KEYS)
            raise ConfigurationError(f"keys has {name!r}; it can have {known}.")
    return {**DEFAULT_KEYS, **keys}


def read_document(
    document: Document,
    where: str,
    *,
    keys: Mapping[str, str] = DEFAULT_KEYS,
    first_page: int = 1,
) -> tuple[Text | None, list[MediaPart]]:
    """Return the text and the media of a document.

    Args:
        document: Any document. A path in it is read only inside `media_roots`.
        where: Its place, for errors: `documents[3]`.
        keys: The metadata key of everything that is read.
        first_page: Number that the first page of a file has in the metadata.

    Returns:
        `None` as the text if there is none, or if it is an image itself, as Base64 or a `data:`
        URL, which some stores keep there.

    Raises:
        ContentError: Metadata is not what its key promises.

    Example:
        >>> text, media = read_document(
        ...     Document("Our cat", metadata={"image_path": "cat.png"}), "documents[0]"
        ... )
        >>> text.text, media[0].source.path.name
        ('Our cat', 'cat.png')
    """
    media: list[MediaPart] = list(
        read_media(document.metadata, where=where, keys=keys, first_page=first_page)
    )
    media += [_read_block(block, place) for block, place in _find_blocks(document.metadata, where)]
    held = document.page_content
    inline = _read_image(held, where)
    if inline is not None:
        return None, [*media, inline]
    return (Text(text=held, where=where) if held.strip() else None), media


def to_content_blocks(
    document: Document, *, keys: Mapping[str, str] | None = None, first_page: int = 1
) -> list[dict[str, Any]]:
    """Return the media and the text of a document as content blocks of a message.

    For chains that answer from retrieved documents, and for tools of agents.

    Args:
        document: One that `add_media` stored, or any that refers to media in its metadata. The
            model reads files only inside its own `media_roots`.
        keys: Metadata keys that differ from their names.
        first_page: Number that the first page of a file has in the metadata.

    Raises:
        ContentError: Metadata is not what its key promises.

    Example:
        >>> page = Document("Revenue", metadata={"image_path": "/report.pdf", "page": 3})
        >>> to_content_blocks(page)[0]["url"], to_content_blocks(page)[0]["extras"]
        ('file:///report.pdf', {'pages': [3]})
    """
    blocks, text = divide_document(
        document, "document", keys=merge_keys(keys or {}), first_page=first_page
    )
    return [*blocks, {"type": "text", "text": text}] if text else blocks


def divide_document(
    document: Document, where: str, *, keys: Mapping[str, str], first_page: int
) -> tuple[list[dict[str, Any]], str]:
    """Return the media of a document as content blocks, and its text.

    Args:
        document: As of `to_content_blocks`.
        where: Its place, for errors.
        keys: The metadata key of everything that is read.
        first_page: Number that the first page of a file has in the metadata.

    Returns:
        An empty text if there is none, or if it is an image itself.

    Raises:
        ContentError: Metadata is not what its key promises.
    """
    metadata, text = document.metadata, document.page_content
    media = read_media(metadata, where=where, keys=keys, first_page=first_page)
    blocks = [_to_block(part) for part in media]
    blocks += [dict(block) for block, _ in _find_blocks(metadata, where)]
    inline = _read_image(text, where)
    if inline is not None:
        return [*blocks, _to_block(inline)], ""
    return blocks, text if text.strip() else ""


def _to_block(part: Image | Video) -> dict[str, Any]:
    options = {name: getattr(part, name, None) for name in ("pages", *OPTION_KEYS)}
    extras = {name: value for name, value in options.items() if value is not None}
    beside: dict[str, Any] = {"extras": extras} if extras else {}
    kind = "video" if isinstance(part, Video) else "image"
    if isinstance(part, Image) and part.pages is not None:
        extras["pages"] = list(part.pages)
        if not _is_tiff(part.source):
            kind, beside = "file", {"mime_type": PDF_TYPE, **beside}
    match part.source:
        case Inline(data=str(data)):
            return {"type": kind, "base64": data, "mime_type": sniff_base64(data), **beside}
        case Frames(frames=frames):
            return {"type": kind, "video": [_to_url(frame) for frame in frames], **beside}
        case source:
            return {"type": kind, "url": _to_url(source), **beside}


def _is_tiff(source: object) -> bool:
    path = source.path.name if isinstance(source, LocalFile) else getattr(source, "url", "")
    return mimetypes.guess_type(path)[0] == "image/tiff"


def _to_url(source: Any) -> Any:
    # A path as text: the model reads it only inside its `media_roots`.
    return source.path.absolute().as_uri() if isinstance(source, LocalFile) else to_value(source)


def _find_blocks(
    metadata: Mapping[str, Any], where: str
) -> Iterator[tuple[Mapping[str, Any], str]]:
    for key in BLOCK_KEYS:
        held = metadata.get(key)
        for block in held if isinstance(held, list) else [held]:
            # What else stands under these names is its owner's.
            if isinstance(block, Mapping) and "type" in block:
                yield block, f"{where}: metadata[{key!r}]"


def _read_block(block: Mapping[str, Any], where: str) -> MediaPart:
    part = to_part(block, where)
    if not isinstance(part, Image | Video | content.Document):
        raise UnsupportedContentError(
            f"A block of type {block['type']!r} is neither image nor video.", where=where
        )
    return part


def _read_image(text: str, where: str) -> Image | None:
    if len(text) < _MIN_BASE64_CHARS:
        return None
    if find_scheme(text[:_MIN_BASE64_CHARS]) == "data":
        is_image = text[:_MIN_BASE64_CHARS].lower().startswith("data:image/")
    else:
        is_base64 = isinstance(to_source(text), Inline)
        is_image = is_base64 and (sniff_base64(text) or "").startswith("image/")
    source = to_source(text) if is_image else None
    return Image(source=source, where=where) if source is not None else None
