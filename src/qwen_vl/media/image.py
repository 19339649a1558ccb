"""Pictures: known by their bytes, whole, and of a size and shape that the service takes.

Only headers are read. A picture is decoded in two cases alone, both in `pixels.py`: it came as
pixels, or in a format that the service does not list.
"""

import importlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Never

from qwen_vl.errors import (
    MediaFormatError,
    MediaRatioError,
    MediaTooSmallError,
)
from qwen_vl.media.data_url import MediaBytes
from qwen_vl.media.sniff import describe, sniff
from qwen_vl.specs.models import MAX_ASPECT_RATIO, MIN_SIDE_PIXELS, PIXELS_OF_4K

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile
from collections.abc import Callable

_MARKERS_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_FILL = 0xFF
_LENGTH_BYTES = 2
_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK_OVERHEAD = 12
_RIFF_HEADER_BYTES = 8


def find_damage(data: bytes, media_type: str) -> str | None:
    """Say what is missing of a JPEG, PNG or WEBP file; what follows its end does not matter.

    Args:
        data: The whole file.
        media_type: As sniffed; other types are not looked into.
    """
    find = _FINDERS.get(media_type)
    return find(data) if find else None


def _jpeg_damage(data: bytes) -> str | None:
    """Walk the segments to the picture's own scan: thumbnails inside segments have ends too."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        while data[at : at + 1] == b"\xff":
            at += 1
        marker = data[at] if at < len(data) else _FILL
        at += 1
        if marker == _START_OF_SCAN:
            # Within a scan each FF of the data is followed by 00, so FF D9 is the end itself.
            # Searched from behind, where it stands in most files.
            has_end = data.rfind(b"\xff\xd9", at) >= 0
            return None if has_end else "it has no end marker"
        if marker == _END_OF_IMAGE:
            return "it ends before its picture data"
        if marker == 0 or marker in _MARKERS_WITHOUT_LENGTH:
            continue
        at += max(_LENGTH_BYTES, int.from_bytes(data[at : at + _LENGTH_BYTES]))
    return "it ends before its picture data"


def _png_damage(data: bytes) -> str | None:
    at = _PNG_SIGNATURE_BYTES
    while at + _PNG_CHUNK_OVERHEAD <= len(data):
        if data[at + 4 : at + 8] == b"IEND":
            return None
        at += _PNG_CHUNK_OVERHEAD + int.from_bytes(data[at : at + 4])
    return "it has no IEND chunk"


def _webp_damage(data: bytes) -> str | None:
    stated = _RIFF_HEADER_BYTES + int.from_bytes(data[4:8], "little")
    return None if len(data) >= stated else f"{len(data):,} of {stated:,} bytes are there"


_FINDERS: dict[str, Callable[[bytes], str | None]] = {
    "image/jpeg": _jpeg_damage,
    "image/png": _png_damage,
    "image/webp": _webp_damage,
}


ACCEPTED = "BMP, JPEG, PNG, TIFF, WEBP, HEIC, ICNS, ICO, JPEG 2000 or SGI"
"""Formats that go out as they are (Vision page, 2026-08; the last four: error page, 2026-07)."""

ACCEPTED_TYPES = frozenset(
    {
        "image/bmp",
        "image/heic",
        "image/heif",
        "image/icns",
        "image/jp2",
        "image/jpeg",
        "image/png",
        "image/sgi",
        "image/tiff",
        "image/webp",
        "image/x-icon",
    }
)

_LARGE_TYPES = frozenset({"image/jpeg", "image/png"})

REENCODED_TYPES = frozenset({"image/avif", "image/gif", "image/x-portable-anymap"})
"""Formats that no page lists, but Pillow reads: a still picture in one of them becomes a PNG."""

# Pillow's name of each format, and the module that brings it. Naming both keeps Pillow from
# loading its forty other readers, and the bytes from reaching them.
_READERS = {
    "image/avif": ("AVIF", "AvifImagePlugin"),
    "image/bmp": ("BMP", "BmpImagePlugin"),
    "image/gif": ("GIF", "GifImagePlugin"),
    "image/icns": ("ICNS", "IcnsImagePlugin"),
    "image/jp2": ("JPEG2000", "Jpeg2KImagePlugin"),
    "image/jpeg": ("JPEG", "JpegImagePlugin"),
    "image/png": ("PNG", "PngImagePlugin"),
    "image/sgi": ("SGI", "SgiImagePlugin"),
    "image/tiff": ("TIFF", "TiffImagePlugin"),
    "image/webp": ("WEBP", "WebPImagePlugin"),
    "image/x-icon": ("ICO", "IcoImagePlugin"),
    "image/x-portable-anymap": ("PPM", "PpmImagePlugin"),
}
# Brought by the package pillow-heif, if the program has registered it.
_HEIF = "HEIF"


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a picture's header says.

    Args:
        media_type: As told by the bytes.
        width: Pixels as stored; `None` where nothing installed reads the format (HEIC).
        height: Pixels as stored. A camera's note to turn the picture (EXIF) is not applied:
            no page says whether the service applies it.
        n_bytes: Length of the file.
        mode: Pillow's name of how its pixels are stored: `"RGB"`, `"CMYK"`, `"I;16"`, ….
        is_animated: Whether it is a WEBP or PNG that moves.
    """

    media_type: str
    width: int | None
    height: int | None
    n_bytes: int
    mode: str = field(default="", repr=False, compare=False)
    is_animated: bool = field(default=False, repr=False, compare=False)


def read_image_header(data: bytes, where: str = "") -> ImageHeader:
    """Read type and size of a picture, without decoding it.

    Args:
        data: The whole file.
        where: The part, for errors.

    Raises:
        MediaFormatError: Empty, no picture, or a picture with a broken header.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> read_image_header(CHELSEA.read_bytes())
        ImageHeader(media_type='image/png', width=451, height=300, n_bytes=240512)
    """
    return _read_header(data, find_image_type(data, where), where)


def _read_header(data: bytes, media_type: str, where: str) -> ImageHeader:
    image = open_image(data, media_type, where)
    if image is None:
        return ImageHeader(media_type, None, None, len(data))
    with image:
        # Others tell only once they are decoded; a JPEG of several pictures is a phone's.
        moves = media_type in {"image/png", "image/webp"} and getattr(image, "is_animated", False)
        return ImageHeader(
            media_type, image.width, image.height, len(data), image.mode, is_animated=moves
        )


def check_image_file(media: MediaBytes, where: str) -> ImageHeader:
    """Check a picture that goes out as it is, or whose pixels are to be encoded anew.

    Args:
        media: The whole file.
        where: The part, for errors.

    Returns:
        The header, of an accepted or a re-encodable type.

    Raises:
        MediaFormatError: No picture, of no accepted kind, or cut off.
        MediaTooSmallError: A side of 10 pixels or fewer.
        MediaRatioError: More than 200 times as long as wide.
    """
    origin = ", read as Base64," if media.base64 else ""
    media_type = find_image_type(media.data, where, origin)
    # First, because Pillow's words for a file that is cut off differ from format to format.
    damage = find_damage(media.data, media_type)
    if damage:
        raise MediaFormatError(
            f"The picture ({media_type}) is cut off: {damage}.",
            where=where,
            value=len(media.data),
            remedy="Copy or download the file again.",
        )
    header = _read_header(media.data, media_type, where)
    if header.width is not None and header.height is not None:
        check_size(header.width, header.height, where)
    return header


def check_size(width: int, height: int, where: str) -> None:
    """Check the sides of a picture, in pixels.

    Raises:
        MediaTooSmallError: A side of 10 pixels or fewer.
        MediaRatioError: More than 200 times as long as wide.
    """
    short, long = sorted((width, height))
    if short < MIN_SIDE_PIXELS:
        raise MediaTooSmallError(
            f"The picture is {width} x {height} pixels; each side must have "
            f"{MIN_SIDE_PIXELS} or more.",
            where=where,
            value=short,
            limit=MIN_SIDE_PIXELS,
            remedy="Enlarge it, or put a border around it.",
        )
    if long > MAX_ASPECT_RATIO * short:
        raise MediaRatioError(
            f"The picture is {width} x {height} pixels, {long / short:.1f} times as long as wide; "
            f"at most {MAX_ASPECT_RATIO} times is taken.",
            where=where,
            value=round(long / short, 2),
            limit=MAX_ASPECT_RATIO,
            remedy="Cut it into pieces, or put a border around it.",
        )


def check_large(header: ImageHeader, where: str) -> None:
    """Check that a picture of its size goes out in a format that the service takes for it.

    Raises:
        MediaFormatError: More pixels than 4K, and neither JPEG nor PNG.
    """
    if not is_too_large(header):
        return
    pixels = (header.width or 0) * (header.height or 0)
    raise MediaFormatError(
        f"The picture has {pixels:,} pixels; beyond 4K ({PIXELS_OF_4K:,}) the service takes "
        f"JPEG and PNG alone, not {header.media_type}.",
        where=where,
        value=pixels,
        limit=PIXELS_OF_4K,
        remedy="Convert it to JPEG or PNG, or make it smaller.",
    )


def is_too_large(header: ImageHeader) -> bool:
    """Tell whether a picture has more pixels than the service takes in its format.

    Args:
        header: Of the picture.
    """
    pixels = (header.width or 0) * (header.height or 0)
    return pixels > PIXELS_OF_4K and header.media_type in ACCEPTED_TYPES - _LARGE_TYPES


def find_image_type(data: bytes, where: str, origin: str = "") -> str:
    """Find the type of a picture that can be sent, as it is or encoded anew.

    Args:
        data: The whole file.
        where: The part, for errors.
        origin: How the bytes were come by, for errors.

    Raises:
        MediaFormatError: Empty, or something else; it says what it looks like.
    """
    if not data:
        raise MediaFormatError(
            "The picture is empty: 0 bytes.",
            where=where,
            value=0,
            remedy=f"Give a picture as {ACCEPTED}.",
        )
    media_type = sniff(data)
    if media_type in ACCEPTED_TYPES or media_type in REENCODED_TYPES:
        return str(media_type)
    looks = describe(data)
    remedy = f"Give a picture as {ACCEPTED}."
    if media_type is not None and media_type.startswith("video/"):
        remedy = "Give it as a video."
    elif media_type == "application/pdf":
        remedy = f"Turn its pages into pictures first: {ACCEPTED}."
    raise MediaFormatError(
        f"A picture is wanted, but this{origin} looks like {looks}.",
        where=where,
        value=media_type or looks,
        limit=ACCEPTED,
        remedy=remedy,
    )


def open_image(data: bytes, media_type: str, where: str) -> "ImageFile | None":
    """Open a picture, reading no more than its header.

    Args:
        data: The whole file.
        media_type: As sniffed.
        where: The part, for errors.

    Returns:
        The picture, to be closed by the caller; `None` where nothing installed reads the format.

    Raises:
        MediaFormatError: The header is broken.
    """
    from PIL import Image  # noqa: PLC0415 - 70 ms, which requests of mere addresses never pay

    name, module = _READERS.get(media_type, (_HEIF, ""))
    if name not in Image.OPEN and module:
        importlib.import_module(f"PIL.{module}")
    if name not in Image.OPEN:
        return None
    try:
        return Image.open(io.BytesIO(data), formats=[name])
    except Exception as error:  # noqa: BLE001 - its readers raise whatever they trip over
        _refuse_broken(media_type, where, error)


def _refuse_broken(media_type: str, where: str, error: Exception) -> Never:
    raise MediaFormatError(
        f"The picture begins like {media_type}, but its header cannot be read "
        f"({type(error).__name__}).",
        where=where,
        value=media_type,
        remedy="Copy or download the file again, or save it anew with an image program.",
    ) from error
