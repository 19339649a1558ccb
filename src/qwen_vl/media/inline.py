"""Media inside a framework's message, written so that the message is plain JSON."""

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pybase64

from qwen_vl.content import (
    DataUrl,
    Inline,
    LocalFile,
    LocalFileUrl,
    OpenFile,
    Pixels,
    Source,
    Url,
    to_path,
    to_source,
)
from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media.data_url import read_data_url
from qwen_vl.media.downscale import MAX_FILE_BYTES
from qwen_vl.media.image import find_image_type
from qwen_vl.media.load import load
from qwen_vl.media.part import ImageOptions, prepare_image
from qwen_vl.media.streams import find_video_type, prepare_video
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.servers import ImageLimits

# Which pages of a TIFF are sent, the part says where the request is prepared.
# Which server will be asked is not known here; what it takes is checked before sending.
_WITH_PAGES = ImageOptions(keeps_pages=True, limits=ImageLimits())

_MAX_VIDEO_BYTES = 2**31
"""Longest video that the service takes by URL: 2 GB (Vision page, 2026-08)."""


def to_json_safe(
    value: object,
    kind: Literal["image", "video"],
    where: str,
    policy: MediaPolicy | None = None,
) -> str | None:
    """Return the value in a message's media position as text.

    Traces and cache keys are JSON, and the same image must give the same key. Files are not
    read: the URL of a path bears the file's time and size instead.

    Args:
        value: What stands there.
        kind: What is wanted.
        where: The part, for errors.
        policy: How much may be inlined; the default policy if `None`.

    Returns:
        Text as it is; for a path a `LocalFileUrl`, which remains trusted; for bytes, a file
        object or pixels a data URL; `None` for anything else.

    Raises:
        MediaError: Bytes, file object or pixels cannot be sent, as in `prepare_media`.

    Example:
        >>> to_json_safe("https://example.com/cat.png", "image", "")
        'https://example.com/cat.png'
        >>> to_json_safe({"cat": 1}, "image", "") is None
        True
    """
    if isinstance(value, str):
        return value
    if isinstance(value, os.PathLike):
        path = to_path(value)
        return LocalFileUrl.of(path, version=_version(path))
    if isinstance(value, io.TextIOBase):
        raise MediaFormatError(
            "The file is open as text, so its bytes cannot be read.",
            where=where,
            value=type(value).__name__,
            remedy="Open it with mode 'rb', or give its bytes.",
        )
    source = to_source(value)
    if source is None or isinstance(source, LocalFile):
        return None
    return _prepare(source, kind, where, policy or MediaPolicy()).url


def to_text(
    source: Inline | OpenFile | Pixels,
    kind: Literal["image", "video"],
    where: str,
    policy: MediaPolicy,
) -> tuple[str, Inline]:
    """Return media as Base64 before it is known which model is asked.

    Args:
        source: Bytes, an open file, or pixels.
        kind: What is wanted.
        where: The part, for errors.
        policy: How much may be inlined.

    Returns:
        The Base64, and the bytes with their type, of which nothing has to be found out again.

    Raises:
        MediaError: It is nothing that could be sent. Errors in its header are raised where the
            request is prepared.

    Example:
        >>> to_text(Inline(b"GIF89a"), "image", "", MediaPolicy())
        ('R0lGODlh', Inline(media_type='image/gif'))
    """
    if isinstance(source, Pixels):
        made = _prepare(source, kind, where, policy)
        return made.to_base64(), Inline(read_data_url(made), made.media_type)
    media = load(source, _reading(policy, kind), where)
    known = media.media_type
    if kind == "image":
        media_type = find_image_type(media.data, where, known=known)
    else:
        media_type = find_video_type(media.data, where, known=known, takes_animations=True)
    text = pybase64.b64encode_as_string(media.data)
    return text, Inline(media.data, media_type)


def read_whole(source: OpenFile, where: str) -> bytes:
    """Read a file object whose type is not known yet.

    Args:
        source: The file object.
        where: The part, for errors.

    Raises:
        MediaError: It cannot be read, or is longer than 2 GB.
    """
    return load(source, replace(MediaPolicy(), max_inline_bytes=_MAX_VIDEO_BYTES), where).data


def _prepare(
    source: Source, kind: Literal["image", "video"], where: str, policy: MediaPolicy
) -> DataUrl:
    made: Url | DataUrl
    if kind == "video":
        made = prepare_video(source, _reading(policy, kind), where, takes_animations=True)
    else:
        try:
            made = prepare_image(source, policy, where, _WITH_PAGES)
        except MediaTooLargeError:
            if policy.downscale_images is False:
                raise
            made = prepare_image(source, _reading(policy, kind), where, _WITH_PAGES)
    if isinstance(made, Url):  # pragma: no cover - bytes and pixels never become a URL.
        raise TypeError(made)
    return made


def _reading(policy: MediaPolicy, kind: Literal["image", "video"]) -> MediaPolicy:
    """Return the policy by which media is read that may be sent in another form.

    An image may be short enough once it is downscaled, and of a long video frames are sent.
    """
    if kind == "video":
        return replace(policy, max_inline_bytes=_MAX_VIDEO_BYTES)
    if policy.downscale_images is False:
        return policy
    return replace(policy, max_inline_bytes=max(policy.max_inline_bytes, MAX_FILE_BYTES))


def _version(path: Path) -> str:
    try:
        status = path.stat()
    except (OSError, ValueError):
        # The error comes where the file is read, and names the part.
        return ""
    return f"mtime_ns={status.st_mtime_ns}&size={status.st_size}"
