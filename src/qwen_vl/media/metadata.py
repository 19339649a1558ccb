"""References to images and videos in the metadata of documents, as vector stores keep them.

Metadata survives in every store; bytes do not. It may come from anywhere, so that a path in it is
read only inside `media_roots`. No file is opened here, and nothing fetched.
"""

import json
import math
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from qwen_vl.content import Frames, Image, LocalFile, Source, Video, find_scheme, is_url, to_source
from qwen_vl.errors import MediaFormatError, MediaOptionError, UnsupportedContentError
from qwen_vl.parsing import check_depth

MediaKind: TypeAlias = Literal["image", "video"]

SOURCE_KEYS = ("image_url", "image_path", "video_url", "video_path", "video_frames")
"""Names of what refers to an image or video. A `data:` URL is a URL."""
OPTION_KEYS = ("fps", "min_pixels", "max_pixels", "total_pixels")
PAGE_KEY = "page"
"""Number of a page, from 1 on, where the image is a PDF or TIFF file."""
METADATA_KEYS = (*SOURCE_KEYS, *OPTION_KEYS, PAGE_KEY)
DEFAULT_KEYS: Mapping[str, str] = {name: name for name in METADATA_KEYS}

_SHOWN_CHARS = 80
_PAGED = frozenset({"application/pdf", "image/tiff"})


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaReference:
    """An image or video that metadata names.

    Args:
        kind: What it is.
        source: A URL or path; several of them for the frames of a video.
        where: Its place, for errors: `documents[3]: metadata['image_path']`.
    """

    kind: MediaKind
    source: str | tuple[str, ...]
    where: str


def find_reference(
    metadata: Mapping[str, Any],
    kind: MediaKind,
    *,
    where: str,
    keys: Mapping[str, str] = DEFAULT_KEYS,
) -> MediaReference | None:
    """Find the image or the video that metadata names.

    Args:
        metadata: Of a document.
        kind: Which of them.
        where: The document, for errors.
        keys: The metadata key of each of `SOURCE_KEYS`.

    Raises:
        UnsupportedContentError: It names two.
        MediaFormatError: A value is not what its key promises.

    Example:
        >>> find_reference({"image_path": "cat.png"}, "image", where="documents[0]").source
        'cat.png'
    """
    names = [
        name
        for name in SOURCE_KEYS
        if name.startswith(kind) and _get(metadata, keys[name]) is not None
    ]
    if not names:
        return None
    if len(names) > 1:
        both = " and ".join(repr(keys[name]) for name in names)
        raise UnsupportedContentError(
            f"Its metadata has {both}; one {kind} is read.",
            where=where,
            remedy="Keep one of them, or divide it.",
        )
    (name,) = names
    value, place = _get(metadata, keys[name]), _place(where, keys[name])
    if name == "video_frames":
        frames = tuple(_check_frame(frame, place) for frame in _to_frames(value, place))
        return MediaReference(kind=kind, source=frames, where=place)
    if not isinstance(value, str):
        raise _wrong(value, "must be text", place)
    names_url = is_url(value)
    if names_url and name.endswith("_path"):
        raise _wrong(value, "is a URL, and no path", place)
    if not names_url and name.endswith("_url"):
        raise _wrong(value, "is not a URL that the service takes", place)
    return MediaReference(kind=kind, source=value, where=place)


def read_options(
    metadata: Mapping[str, Any],
    kind: MediaKind,
    *,
    where: str,
    keys: Mapping[str, str] = DEFAULT_KEYS,
) -> dict[str, Any]:
    """Return the pixel limits of an image; of a video also `fps` and `total_pixels`.

    Args:
        metadata: Of a document.
        kind: What the options are for. What else may stand under the other names beside an image
            is its owner's.
        where: The document, for errors.
        keys: The metadata key of each of `OPTION_KEYS`.

    Raises:
        MediaOptionError: A value is not a number.

    Example:
        >>> read_options({"fps": 0.5, "max_pixels": 90000.0}, "video", where="documents[0]")
        {'max_pixels': 90000, 'fps': 0.5}
    """
    names = ("min_pixels", "max_pixels") if kind == "image" else OPTION_KEYS[1:]
    options: dict[str, Any] = {name: _read_count(metadata, keys[name], where) for name in names}
    if kind == "video":
        options["fps"] = _read_number(metadata, keys["fps"], where, "a number")
    return {name: value for name, value in options.items() if value is not None}


def read_page(
    metadata: Mapping[str, Any],
    reference: MediaReference,
    *,
    where: str,
    keys: Mapping[str, str] = DEFAULT_KEYS,
    first_page: int = 1,
) -> int | None:
    """Return the number of the page that is meant, from 1 on.

    Args:
        metadata: Of a document.
        reference: The image.
        where: The document, for errors.
        keys: The metadata key of `PAGE_KEY`.
        first_page: Number that the first page has in the metadata: 1, or 0 as PyPDF counts.

    Returns:
        `None` without a page, or where the file is an image of a kind that has none.

    Raises:
        MediaOptionError: It is not a page number.

    Example:
        >>> metadata = {"image_path": "report.pdf", "page": 3}
        >>> reference = find_reference(metadata, "image", where="documents[0]")
        >>> read_page(metadata, reference, where="documents[0]")
        3
    """
    key = keys[PAGE_KEY]
    if not isinstance(reference.source, str) or not _may_have_pages(reference.source):
        return None
    page = _read_count(metadata, key, where)
    if page is None:
        return None
    if page < first_page:
        raise _wrong_option(metadata, key, where, f"a page number from {first_page} on")
    return page - first_page + 1


def read_media(
    metadata: Mapping[str, Any],
    *,
    where: str,
    keys: Mapping[str, str] = DEFAULT_KEYS,
    first_page: int = 1,
) -> tuple[Image | Video, ...]:
    """Return the image and the video that metadata names, as parts.

    Args:
        metadata: Of a document.
        where: The document, for errors.
        keys: The metadata key of each of `METADATA_KEYS`.
        first_page: Number that the first page has in the metadata.

    Raises:
        UnsupportedContentError: It names two images, or two videos.
        MediaError: A value is not what its key promises.

    Example:
        >>> read_media({"image_path": "report.pdf", "page": 3}, where="documents[0]")[0].pages
        (3,)
    """
    return tuple(_read_media(metadata, where, keys, first_page))


def _read_media(
    metadata: Mapping[str, Any], where: str, keys: Mapping[str, str], first_page: int
) -> Iterator[Image | Video]:
    image = find_reference(metadata, "image", where=where, keys=keys)
    if image is not None and isinstance(image.source, str):
        page = read_page(metadata, image, where=where, keys=keys, first_page=first_page)
        yield Image(
            source=_to_source(image.source),
            pages=None if page is None else (page,),
            where=image.where,
            **read_options(metadata, "image", where=where, keys=keys),
        )
    video = find_reference(metadata, "video", where=where, keys=keys)
    if video is not None:
        source: Source | Frames = (
            _to_source(video.source)
            if isinstance(video.source, str)
            else Frames(tuple(map(_to_source, video.source)))
        )
        options = read_options(metadata, "video", where=where, keys=keys)
        yield Video(source=source, where=video.where, **options)


def _to_source(text: str) -> Source:
    # A path is read as Base64 by `to_source` where it could be.
    source = to_source(text) if find_scheme(text) else None
    return source or LocalFile(Path(text), is_trusted=False)


def _may_have_pages(source: str) -> bool:
    if find_scheme(source) == "data":
        media_type: str | None = source[len("data:") :].partition(";")[0].lower()
    else:
        media_type = mimetypes.guess_type(urlsplit(source).path)[0]
    is_image = (media_type or "").startswith("image/")
    return media_type in _PAGED or not is_image


def _to_frames(value: Any, where: str) -> list[Any]:
    if isinstance(value, str):
        # Some stores keep no lists in metadata.
        try:
            check_depth(value)
            value = json.loads(value)
        except ValueError:
            value = None
    if not isinstance(value, list):
        raise _wrong(value, "must be a list, or the JSON text of one", where)
    return value


def _check_frame(frame: Any, where: str) -> str:
    if not isinstance(frame, str) or not frame:
        raise _wrong(frame, "is not a frame: each is a URL or a path, as text", where)
    return frame


def _read_count(metadata: Mapping[str, Any], key: str, where: str) -> int | None:
    number = _read_number(metadata, key, where, "a whole number")
    if number is None:
        return None
    if number != int(number):
        raise _wrong_option(metadata, key, where, "a whole number")
    # Some stores make floats of all numbers.
    return int(number)


def _read_number(metadata: Mapping[str, Any], key: str, where: str, wanted: str) -> Any:
    value = _get(metadata, key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise _wrong_option(metadata, key, where, wanted)
    return int(value) if isinstance(value, Integral) else float(value)


def _get(metadata: Mapping[str, Any], key: str) -> Any:
    value = metadata.get(key)
    # Some stores give every document the keys of all, with nothing in them.
    return None if isinstance(value, str | list) and not value else value


def _place(where: str, key: str) -> str:
    return f"{where}: metadata[{key!r}]"


def _wrong(value: Any, problem: str, where: str) -> MediaFormatError:
    shown = repr(value)[:_SHOWN_CHARS]
    return MediaFormatError(
        f"{shown} {problem}.",
        where=where,
        value=shown,
        remedy="URLs stand under …_url, paths under …_path.",
    )


def _wrong_option(
    metadata: Mapping[str, Any], key: str, where: str, wanted: str
) -> MediaOptionError:
    value = metadata[key]
    return MediaOptionError(
        f"{value!r} is not {wanted}.",
        where=_place(where, key),
        value=value,
        limit=wanted,
        remedy="Correct it, or have another key read: keys={…}.",
    )
