"""The images and videos that a LangChain document refers to."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from langchain_core.documents import Document

from langchain_qwen_vl.blocks import sniff_base64, to_part
from qwen_vl import content
from qwen_vl.content import Image, Inline, Text, Video, find_scheme, to_source
from qwen_vl.errors import ConfigurationError, UnsupportedContentError
from qwen_vl.media.metadata import DEFAULT_KEYS, read_media

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
    media += _read_blocks(document.metadata, where)
    held = document.page_content
    inline = _read_image(held, where)
    if inline is not None:
        return None, [*media, inline]
    return (Text(text=held, where=where) if held.strip() else None), media


def _read_blocks(metadata: Mapping[str, Any], where: str) -> Iterator[MediaPart]:
    for key in BLOCK_KEYS:
        held = metadata.get(key)
        for block in held if isinstance(held, list) else [held]:
            # What else stands under these names is its owner's.
            if not isinstance(block, Mapping) or "type" not in block:
                continue
            place = f"{where}: metadata[{key!r}]"
            part = to_part(block, place)
            if not isinstance(part, Image | Video | content.Document):
                raise UnsupportedContentError(
                    f"A block of type {block['type']!r} is neither image nor video.", where=place
                )
            yield part


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
