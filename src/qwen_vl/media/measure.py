"""How large pictures and videos are, from their headers: nothing is decoded, nothing fetched."""

import importlib.util
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from qwen_vl.content import Inline, LocalFile, OpenFile, Pixels, Source, Url
from qwen_vl.errors import MediaAccessError, MediaFormatError
from qwen_vl.media.base64_text import decode_head
from qwen_vl.media.image import read_image_header
from qwen_vl.media.pixels import read_pixel_size
from qwen_vl.media.ready import find_video_type, refuse_pixels
from qwen_vl.media.sniff import sniff
from qwen_vl.media.source import (
    check_remote,
    is_remote,
    is_seekable,
    load,
    open_local,
    read_open_file,
)
from qwen_vl.request import MediaPolicy

_HEAD_BYTES = 32_768
"""Enough for the header of most JPEG files, which have their thumbnail before it."""

_HEAD_CHARS = _HEAD_BYTES // 3 * 4
_LONGEST_PREFIX = 256
# Formats whose size stands near their beginning.
_HEAD_TYPES = frozenset({"image/bmp", "image/gif", "image/jpeg", "image/png"})

# FFmpeg's name for each container. Given, because FFmpeg guesses from the content otherwise, and
# some of what it may guess (playlists) has it open other files and addresses.
_CONTAINERS = {
    "video/3gpp": "mov",
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-flv": "flv",
    "video/x-matroska": "matroska",
    "video/x-ms-wmv": "asf",
    "video/x-msvideo": "avi",
}


@dataclass(frozen=True, slots=True)
class Clip:
    """What a video's header says.

    Args:
        width: Pixels of a frame.
        height: Pixels of a frame.
        seconds: How long it is.
        n_frames: How many frames it has.
    """

    width: int
    height: int
    seconds: float
    n_frames: int


def measure_picture(source: Source, policy: MediaPolicy, where: str) -> tuple[int, int] | None:
    """Tell width and height of a picture.

    Args:
        source: Where it comes from.
        policy: Which files may be read.
        where: The part, for errors.

    Returns:
        Pixels, or `None` where the service fetches it, or nothing installed reads the format.

    Raises:
        MediaError: It cannot be read, or is no picture, as in `prepare_media`.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> measure_picture(LocalFile(CHELSEA, is_trusted=True), MediaPolicy(), "")
        (451, 300)
    """
    if isinstance(source, Url) and is_remote(source.address):
        check_remote(source.address, where)
        return None
    if isinstance(source, Pixels):
        return read_pixel_size(source.image, where)
    head = _read_head(source, policy, where)
    if sniff(head) in _HEAD_TYPES:
        try:
            return _size_in(head, where)
        except MediaFormatError:
            # The header is longer than the head, or broken, which the whole file tells.
            pass
    return _size_in(load(source, policy, where).data, where)


def measure_video(source: Source, policy: MediaPolicy, where: str) -> Clip | None:
    """Tell size, length and frames of a video file.

    Args:
        source: Where it comes from.
        policy: Which files may be read.
        where: The part, for errors.

    Returns:
        `None` where the service fetches it, PyAV is not installed, or the header does not say.

    Raises:
        MediaError: It cannot be read, or is no video, as in `prepare_media`.

    Example:
        >>> from qwen_vl.samples import BIG_BUCK_BUNNY
        >>> measure_video(LocalFile(BIG_BUCK_BUNNY, is_trusted=True), MediaPolicy(), "")
        Clip(width=1280, height=720, seconds=5.28, n_frames=132)
    """
    if isinstance(source, Url) and is_remote(source.address):
        check_remote(source.address, where)
        return None
    if isinstance(source, Pixels):
        refuse_pixels(source, where)
    with _open(source, policy, where) as file:
        media_type = find_video_type(file.read(_HEAD_BYTES), where)
        file.seek(0)
        if media_type not in _CONTAINERS or not _has_av():
            return None
        return _probe(file, _CONTAINERS[media_type])


def _size_in(data: bytes, where: str) -> tuple[int, int] | None:
    header = read_image_header(data, where)
    if header.width is None or header.height is None:
        return None
    return header.width, header.height


def _read_head(
    source: Url | Inline | LocalFile | OpenFile, policy: MediaPolicy, where: str
) -> bytes:
    """Read the beginning, as far as that is cheaper than the whole; empty where it is not."""
    match source:
        case LocalFile():
            with open_local(source, policy, where) as file:
                return file.read(_HEAD_BYTES)
        case OpenFile():
            _check_seekable(source.file, where)
            return read_open_file(source.file, _HEAD_BYTES, where)
        case Url():
            return _head_of_text(source.address)
        case Inline(data=data):
            if isinstance(data, str):
                return _head_of_text(data)
            return data[:_HEAD_BYTES] if sniff(data) else decode_head(data, _HEAD_CHARS)


def _head_of_text(text: str) -> bytes:
    start = 0
    if text[:5].lower() == "data:":
        start = text.find(",", 0, _LONGEST_PREFIX) + 1
        if not text[:start].lower().endswith(";base64,"):
            return b""
    return decode_head(text[start : start + _HEAD_CHARS].encode(), _HEAD_CHARS)


@contextmanager
def _open(
    source: Url | Inline | LocalFile | OpenFile, policy: MediaPolicy, where: str
) -> Iterator[BinaryIO]:
    match source:
        case LocalFile():
            with open_local(source, policy, where) as file:
                yield file
        case OpenFile():
            _check_seekable(source.file, where)
            yield io.BytesIO(load(source, policy, where).data)
        case Url() | Inline():
            yield io.BytesIO(load(source, policy, where).data)


def _check_seekable(file: BinaryIO, where: str) -> None:
    if not is_seekable(file):
        raise MediaAccessError(
            "The file object can be read but once, and looking at its header would use it up.",
            where=where,
            value=type(file).__name__,
            remedy="Read it first, and give its bytes.",
        )


def _has_av() -> bool:
    return importlib.util.find_spec("av") is not None


def _probe(file: BinaryIO, container: str) -> Clip | None:
    import av  # noqa: PLC0415 - an extra, and slow to import
    import av.error  # noqa: PLC0415 - as av itself

    # FFmpeg would decode the first frames otherwise: 12 ms instead of 1. Only where the header
    # lists all streams: PyAV 14 crashes on options for one that turns up later, as in FLV.
    options = {"skip_frame": "all"} if container == "mov" else {}
    try:
        with av.open(file, "r", format=container, options=options) as opened:
            return _read_clip(opened, opened.streams.video[0], av.time_base)
    except (av.error.FFmpegError, IndexError, ValueError):
        # Whether the service can read it is the service's to say.
        return None


def _read_clip(container: Any, stream: Any, time_base: int) -> Clip | None:
    seconds = 0.0
    if stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        seconds = container.duration / time_base
    n_frames = stream.frames or round(seconds * float(stream.average_rate or 0))
    if not (stream.width and stream.height and seconds > 0 and n_frames):
        return None
    return Clip(stream.width, stream.height, seconds, n_frames)
