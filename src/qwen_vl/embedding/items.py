"""What becomes one vector: a text, an image, a video, or several of them together."""

import mimetypes
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Never, TypeAlias
from urllib.parse import urlsplit

from qwen_vl.content import (
    Audio,
    Document,
    File,
    Frames,
    Image,
    Inline,
    LocalFile,
    Source,
    Text,
    Url,
    Video,
    to_source,
)
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.media.sniff import sniff

ItemPart: TypeAlias = Text | Image | Video | Document
_KEYS = frozenset({"text", "image", "page", "video", "multi_images"})
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What becomes one vector.

    Args:
        parts: A text, image, video, or page of a PDF or TIFF; several of them are fused.
        where: Its name in errors, such as `documents[3]`; by default its place among the items.
    """

    parts: tuple[ItemPart, ...]
    where: str = field(default="", compare=False)


def to_items(values: Iterable[object], *, name: str = "items") -> Iterator[Item]:
    """Read the things to embed, one by one.

    Args:
        values: Each is a text, which is never read as a path or URL; a `Path`, bytes, an open file
            or a decoded image; a part of `qwen_vl.content`; `{"text": …}`, `{"image": …}`,
            `{"video": …}` or `{"multi_images": […]}`, where text is a URL, or a path inside
            `media_roots`; or an `Item`. A mapping with several keys and a list or tuple are fused.
            `{"image": "report.pdf", "page": 3}` and a `Document` with one page are that page of
            a PDF or TIFF, counted from 1.
        name: What errors call the values.

    Raises:
        UnsupportedContentError: A value is none of these, or is empty.

    Example:
        >>> [item] = to_items([{"text": "A cat.", "image": "https://example.com/cat.png"}])
        >>> item.where, item.parts[1].source
        ('items[0]', Url(url='https://example.com/cat.png'))
    """
    if isinstance(values, str | bytes | Mapping):
        raise UnsupportedContentError(
            f"{name} is one {type(values).__name__}, not a list.", remedy=f"Pass [{name}]."
        )
    for number, value in enumerate(values):
        yield to_item(value, f"{name}[{number}]")


def to_item(value: object, where: str) -> Item:
    """Read one thing to embed; see `to_items`.

    Args:
        value: As of `to_items`.
        where: Its place, for errors; an `Item` that has a name keeps it.

    Raises:
        UnsupportedContentError: It is none of the kinds that are taken.
    """
    if isinstance(value, Item):
        parts: Sequence[ItemPart] = value.parts
        where = value.where or where
    elif isinstance(value, list | tuple):
        parts = [
            part
            for number, inner in enumerate(value)
            for part in _to_parts(inner, f"{where}[{number}]")
        ]
    else:
        parts = _to_parts(value, where)
    if not parts:
        _refuse("It holds nothing.", where, "Leave it out, or give it a text, image or video.")
    if len(parts) == 1:
        return Item(parts=(_checked(replace(parts[0], where=where)),), where=where)
    numbered = (replace(part, where=f"{where}[{n}]") for n, part in enumerate(parts))
    return Item(parts=tuple(map(_checked, numbered)), where=where)


def _to_parts(value: object, where: str) -> list[ItemPart]:
    match value:
        case str():
            return [_checked(Text(text=value, where=where))]
        case Text() | Image() | Video():
            return [_checked(replace(value, where=where))]
        case Item():
            return list(value.parts)
        case Document():
            return [_checked(replace(value, where=where))]
        case Audio() | File():
            _refuse(f"{type(value).__name__} cannot become a vector.", where, "Leave it out.")
        case Mapping() if value and value.keys() <= _KEYS:
            return _read_mapping(value, where)
    source = to_source(value)
    if source is None:
        _refuse(
            f"{type(value).__name__} is not a text, image or video.",
            where,
            "Pass text, a Path, bytes, an image, or {'text' | 'image' | 'video': …}.",
        )
    return [_to_media(source, where)]


def _read_mapping(value: Mapping[str, Any], where: str) -> list[ItemPart]:
    held = dict(value)
    if "page" not in held:
        return [part for key, one in held.items() for part in _read(key, one, where)]
    page = held.pop("page")
    if isinstance(page, bool) or not isinstance(page, int) or page < 1:
        _refuse(f"page is {page!r}.", where, "Pass the number of a page, from 1 on.")
    if "image" not in held:
        _refuse("page lacks an image beside it.", where, "Pass the PDF or TIFF as image.")
    (image,) = _read("image", held.pop("image"), where)
    media: Any = image
    found: ItemPart = Document(source=media.source, pages=[page], where=where)
    return [found, *(part for key, one in held.items() for part in _read(key, one, where))]


def _read(key: str, held: Any, where: str) -> list[ItemPart]:
    if key == "text":
        if not isinstance(held, str):
            _refuse(f"text is {type(held).__name__}, not str.", where, "Pass the text itself.")
        return [_checked(Text(text=held, where=where))]
    if key == "multi_images":
        if not isinstance(held, list | tuple) or not held:
            _refuse("multi_images is not a list of images.", where, "Pass a list.")
        return [part for one in held for part in _read("image", one, where)]
    source = to_source(held)
    if source is None:
        _refuse(f"{key} is {type(held).__name__}, which is not media.", where, "Pass a URL.")
    kind = Image if key == "image" else Video
    return [kind(source=source, where=where)]


def _to_media(source: Source, where: str) -> Image | Video:
    match source:
        case LocalFile(path=path):
            media_type = mimetypes.guess_type(path.name)[0]
        case Url(url=url):
            media_type = mimetypes.guess_type(urlsplit(url).path)[0]
        case Inline(data=bytes() as data):
            media_type = sniff(data[:_HEAD_BYTES])
        case _:
            media_type = None
    kind = Video if (media_type or "").startswith("video/") else Image
    return kind(source=source, where=where)


def _checked(part: ItemPart) -> ItemPart:
    if isinstance(part, Text) and not part.text.strip():
        _refuse("The text is empty.", part.where, "Leave it out: an empty text cannot be found.")
    if isinstance(part, Video) and isinstance(part.source, Frames):
        _refuse(
            "A list of frames is not taken as a video here.",
            part.where,
            "Pass the frames as images, or the video by its URL.",
        )
    if isinstance(part, Image | Document) and not _is_single(part):
        _refuse(
            "Several pages cannot become one vector.",
            part.where,
            'Pass each page as an item: {"image": "report.pdf", "page": 1}.',
        )
    return part


def _is_single(part: Image | Document) -> bool:
    """Return whether it is one image, or one page."""
    match part.pages:
        case None:
            return isinstance(part, Image)
        case str() as pages:
            return pages.strip().isdecimal()
        case pages:
            return len(pages) == 1


def _refuse(problem: str, where: str, remedy: str) -> Never:
    raise UnsupportedContentError(problem, where=where, remedy=remedy)
