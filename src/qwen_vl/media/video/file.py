"""A video's bytes as a file that can be wound back, where they are."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

from qwen_vl.content import DataUrl, Inline, LocalFile, OpenFile, Pixels, Source, Url
from qwen_vl.errors import MediaAccessError
from qwen_vl.media.encode import encode_animation
from qwen_vl.media.load import (
    check_seekable,
    is_seekable,
    load,
    open_local,
    read_open_file,
)
from qwen_vl.media.pixels import has_animation
from qwen_vl.media.sniff import sniff
from qwen_vl.media.streams import refuse_pixels
from qwen_vl.media.video.container import HEAD_BYTES
from qwen_vl.request.types import MediaPolicy

# Bytes in memory are checked whatever their length.
_ANY_LENGTH = 2**62


def count_bytes(
    source: Url | Inline | LocalFile | OpenFile | DataUrl, policy: MediaPolicy, where: str
) -> int | None:
    """Return how long a video is, without reading it.

    Args:
        source: Where it is; a `Url` must be a data URL.
        policy: Which files may be read.
        where: The part, for errors.

    Returns:
        Raw bytes; for Base64 what it has at most; `None` for what can be read only once.

    Raises:
        MediaAccessError: The file may not be read.
        MediaNotFoundError: The file does not exist.
    """
    match source:
        case LocalFile():
            with open_local(source, policy, where) as file:
                return os.fstat(file.fileno()).st_size
        case OpenFile(file=file):
            if not is_seekable(file):
                return None
            with _wound_back(file, where):
                return file.seek(0, os.SEEK_END)
        case DataUrl():
            return source.n_bytes
        case Url(url=text):
            return _decoded_length(text)
        case Inline(data=data):
            is_raw = isinstance(data, bytes) and sniff(data) is not None
            return len(data) if is_raw else _decoded_length(data)


@contextmanager
def open_file(source: Source, policy: MediaPolicy, where: str) -> Iterator[BinaryIO]:
    """Open a video of any length.

    Args:
        source: Where it is; a `Url` must be a data URL.
        policy: Which files may be read.
        where: The part, for errors.

    Yields:
        A file that can be wound back. One that the caller opened is where it was afterwards.

    Raises:
        MediaAccessError: The file may not be read, or can be read only once.
        MediaNotFoundError: The file does not exist.
        MediaFormatError: It gives text, or holds nothing, or is a decoded image without animation.
    """
    match source:
        case LocalFile():
            with open_local(source, policy, where) as file:
                yield file
        case OpenFile(file=file):
            check_seekable(file, where)
            # Errors while reading were reported for the head already.
            read_open_file(file, HEAD_BYTES, where)
            with _wound_back(file, where):
                yield file
        case Url() | Inline() | DataUrl():
            roomy = replace(policy, max_inline_bytes=_ANY_LENGTH)
            yield io.BytesIO(load(source, roomy, where).data)
        case Pixels(image=image):
            if not has_animation(image):
                refuse_pixels(source, where)
            yield io.BytesIO(encode_animation(image, where))


@contextmanager
def _wound_back(file: BinaryIO, where: str) -> Iterator[None]:
    try:
        position = file.tell()
        try:
            yield
        finally:
            file.seek(position)
    except (OSError, ValueError) as error:
        raise MediaAccessError(
            f"The file object cannot be read: {error}.",
            where=where,
            remedy="Pass a file that is open for reading, or its bytes.",
        ) from error


def _decoded_length(text: str | bytes) -> int:
    return len(text) // 4 * 3
