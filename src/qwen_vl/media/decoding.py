"""How much memory decoding may take, estimated from headers before anything is allocated.

A few kilobytes can hold an image of gigabytes, whose header says so.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from qwen_vl.errors import MediaTooLargeError
from qwen_vl.request.types import DEFAULT_MAX_DECODE_MEMORY

_limit = ContextVar("max_decode_memory", default=DEFAULT_MAX_DECODE_MEMORY)
_MIB = 2**20

# Bytes a pixel at the peak, conversions to what is sent among them, as measured with Pillow 12.
_BYTES_PER_PIXEL = {"1": 6, "P": 6, "L": 3, "RGB": 6, "CMYK": 14, "YCbCr": 14, "LAB": 14}
_TRANSPARENT_BYTES, _DEEP_BYTES = 12, 16
_TRANSPARENT_MODES = frozenset({"RGBA", "LA", "La", "PA", "RGBa"})
# What decoders need besides, which keep all of an image in another form.
_BYTES_OF_DECODER = {"AVIF": 8, "GIF": 2, "HEIF": 8, "JPEG2000": 16, "TIFF": 4, "WEBP": 10}
# Coefficients of a progressive JPEG, which are kept at its full size however small it is decoded.
_PROGRESSIVE_BYTES = 6
# Tags of TIFF for the size of a tile, which may be larger than the image.
_TILE_WIDTH, _TILE_LENGTH = 322, 323
# Formats of which Pillow does not show whether they are decoded yet.
_WITHOUT_TILES = frozenset({"AVIF", "HEIF", "ICNS", "WEBP"})


@contextmanager
def decoding_limited(max_bytes: int) -> Iterator[None]:
    """Set how much memory decoding one image may take, in this context.

    Args:
        max_bytes: As of `MediaPolicy.max_decode_memory`.
    """
    token = _limit.set(max_bytes)
    try:
        yield
    finally:
        _limit.reset(token)


def check_memory(n_bytes: int, what: str, where: str) -> None:
    """Check that decoding takes no more memory than is allowed.

    Args:
        n_bytes: What it takes, estimated.
        what: What takes it, as the beginning of a sentence.
        where: The part, for errors.

    Raises:
        MediaTooLargeError: It takes more.
    """
    limit = _limit.get()
    if n_bytes <= limit:
        return
    raise MediaTooLargeError(
        f"{what} would take about {n_bytes / _MIB:,.0f} MiB of memory to decode; at most "
        f"{limit / _MIB:,.0f} MiB are allowed.",
        where=where,
        value=n_bytes,
        limit=limit,
        remedy="Scale it down, or raise max_decode_memory if you trust its source.",
    )


def check_decodable(image: Any, where: str) -> None:
    """Check that an image file that is open, and not decoded yet, may be decoded.

    Args:
        image: As Pillow opened it; what is decoded already is in memory.
        where: The part, for errors.

    Raises:
        MediaTooLargeError: It would take more memory than is allowed.
    """
    if not (getattr(image, "tile", None) or image.format in _WITHOUT_TILES):
        return
    width, height = image.size
    n_bytes = width * height * _bytes_per_pixel(image)
    config = getattr(image, "decoderconfig", None)
    if image.format == "JPEG" and "progressive" in image.info:
        scale = config[0] if config else 1
        n_bytes += width * height * scale**2 * _PROGRESSIVE_BYTES
    if image.format == "TIFF":
        tile = [image.tag_v2.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH)]
        n_bytes += math.prod(tile) * _bytes_per_pixel(image)
    check_memory(n_bytes, f"The image of {width} x {height} pixels", where)


def check_icon(data: bytes, where: str) -> None:
    """Check the PNG and JPEG 2000 images within an icon, whatever sizes its own header states.

    Pillow decodes one of them as it opens the file.

    Args:
        data: The file, ICO or ICNS.
        where: The part, for errors.

    Raises:
        MediaTooLargeError: Decoding one would take more memory than is allowed.
    """
    for width, height in _find_inner_sizes(data):
        n_bytes = width * height * _DEEP_BYTES
        check_memory(n_bytes, f"The image of {width} x {height} pixels within the icon", where)


def _bytes_per_pixel(image: Any) -> int:
    mode = str(image.mode)
    if mode in _TRANSPARENT_MODES or "transparency" in image.info:
        n_bytes = _TRANSPARENT_BYTES
    else:
        n_bytes = _BYTES_PER_PIXEL.get(mode, _DEEP_BYTES)
    return n_bytes + _BYTES_OF_DECODER.get(str(image.format), 0)


def _find_inner_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    for mark in (b"IHDR", b"ihdr"):
        at = data.find(mark)
        while at >= 0:
            # JPEG 2000 has the height first, which makes no difference to the area.
            yield int.from_bytes(data[at + 4 : at + 8]), int.from_bytes(data[at + 8 : at + 12])
            at = data.find(mark, at + 4)
