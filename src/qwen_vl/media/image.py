"""Image files: known by their bytes, whole, and of a size and shape that the service takes.

Each is sniffed once and opened once, which reads its header. Code that needs the pixels decodes the
image that is open already, see `downscale.py` and `pixels.py`.
"""

import importlib
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Never

from qwen_vl.errors import (
    MediaFormatError,
    MediaRatioError,
    MediaTooLargeError,
    MediaTooSmallError,
)
from qwen_vl.media.color_modes import is_deep, scale_key
from qwen_vl.media.data_url import MediaBytes
from qwen_vl.media.decoding import check_decodable, check_icon
from qwen_vl.media.pixels import UPRIGHT, read_noted_orientation, turn_size
from qwen_vl.media.sniff import describe, sniff
from qwen_vl.specs.models import PIXELS_OF_4K
from qwen_vl.specs.servers import SERVICE_IMAGES, ImageLimits

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_MARKERS_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
_FILL = 0xFF
_LENGTH_BYTES = 2
_PNG_SIGNATURE_BYTES = 8
_PNG_CHUNK_OVERHEAD = 12
_RIFF_HEADER_BYTES = 8
# Chunks of a PNG that may hold an orientation: EXIF, EXIF as text, and XMP.
_PNG_NOTES = frozenset({b"eXIf", b"iTXt", b"tEXt", b"zTXt"})


def find_damage(data: bytes, media_type: str) -> str | None:
    """Return what is missing of a JPEG, PNG or WEBP file; what follows its end does not matter.

    Args:
        data: The whole file.
        media_type: As sniffed; other types are not looked into.
    """
    find = _FINDERS.get(media_type)
    return find(data) if find else None


def _jpeg_damage(data: bytes) -> str | None:
    """Walk the segments to the image's own scan: thumbnails inside segments have ends too."""
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
            return None if has_end else "the end marker is missing"
        if marker == _END_OF_IMAGE:
            return "it ends before its image data"
        if marker == 0 or marker in _MARKERS_WITHOUT_LENGTH:
            continue
        at += max(_LENGTH_BYTES, int.from_bytes(data[at : at + _LENGTH_BYTES]))
    return "it ends before its image data"


def _png_damage(data: bytes) -> str | None:
    return None if b"IEND" in _list_png_chunks(data) else "the IEND chunk is missing"


def _list_png_chunks(data: bytes) -> Iterator[bytes]:
    at = _PNG_SIGNATURE_BYTES
    while at + _PNG_CHUNK_OVERHEAD <= len(data):
        yield data[at + 4 : at + 8]
        at += _PNG_CHUNK_OVERHEAD + int.from_bytes(data[at : at + 4])


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

_ICONS = frozenset({"image/icns", "image/x-icon"})

REENCODED_TYPES = frozenset({"image/avif", "image/gif", "image/x-portable-anymap"})
"""Formats that no page lists, but Pillow reads: a still image in one of them becomes a PNG."""

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
    """What an image's header says.

    Args:
        media_type: As determined from the bytes.
        width: Pixels as stored, of a TIFF after its orientation is applied; `None` where nothing
            installed reads the format (HEIC).
        height: Pixels, likewise.
        n_bytes: Length of the file.
        mode: Pillow's name of how its pixels are stored: `"RGB"`, `"CMYK"`, `"I;16"`, ….
        is_animated: Whether it is a WEBP or PNG that moves.
        is_deep: Whether it has 16 bits a channel.
    """

    media_type: str
    width: int | None
    height: int | None
    n_bytes: int
    mode: str = field(default="", repr=False, compare=False)
    is_animated: bool = field(default=False, repr=False, compare=False)
    is_deep: bool = field(default=False, repr=False, compare=False)


def read_image_header(data: bytes, where: str = "") -> ImageHeader:
    """Read type and size of an image, without decoding it.

    Args:
        data: The whole file.
        where: The part, for errors.

    Raises:
        MediaFormatError: Empty, no image, or an image with a broken header.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> read_image_header(CHELSEA.read_bytes())
        ImageHeader(media_type='image/png', width=451, height=300, n_bytes=240512)
    """
    media_type = find_image_type(data, where)
    image = open_image(data, media_type, where)
    if image is None:
        return ImageHeader(media_type, None, None, len(data))
    with image:
        return _to_header(image, media_type, len(data))


def _to_header(image: "ImageFile", media_type: str, n_bytes: int) -> ImageHeader:
    # Others only show it once decoded; a JPEG of several images comes from a phone.
    moves = media_type in {"image/png", "image/webp"} and getattr(image, "is_animated", False)
    return ImageHeader(
        media_type,
        image.width,
        image.height,
        n_bytes,
        image.mode,
        is_animated=moves,
        is_deep=is_deep(image),
    )


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image file that was checked, and is open to be decoded.

    Args:
        media: The whole file.
        header: Its header.
        image: As Pillow opened it; `None` where nothing installed reads the format.
        orientation: Its EXIF orientation.
    """

    media: MediaBytes
    header: ImageHeader
    image: "ImageFile | None"
    orientation: int = UPRIGHT

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height as stored, if they are known."""
        width, height = self.header.width, self.header.height
        return None if width is None or height is None else (width, height)

    @property
    def upright_size(self) -> tuple[int, int] | None:
        """Width and height after the orientation is applied, if they are known."""
        if self.size is None or self.header.media_type == "image/tiff":
            # Pillow gives that of a TIFF.
            return self.size
        return turn_size(self.size, self.orientation)


@contextmanager
def open_checked(
    media: MediaBytes, where: str, limits: ImageLimits = SERVICE_IMAGES
) -> Iterator[OpenedImage]:
    """Open an image file that can be sent, as it is or re-encoded.

    Args:
        media: The whole file.
        where: The part, for errors.
        limits: Which images the server takes.

    Raises:
        MediaFormatError: No image, of no accepted kind, or cut off.
        MediaTooSmallError: A side is shorter than the server takes.
        MediaRatioError: It is longer, by its width, than the server takes.
    """
    origin = ", read as Base64," if media.base64 else ""
    media_type = find_image_type(media.data, where, origin, known=media.media_type)
    # First, because Pillow's words for a file that is cut off differ from format to format.
    damage = find_damage(media.data, media_type)
    if damage:
        raise MediaFormatError(
            f"The image ({media_type}) is cut off: {damage}.",
            where=where,
            value=len(media.data),
            remedy="Copy or download the file again.",
        )
    image = open_image(media.data, media_type, where)
    if image is None:
        yield OpenedImage(media, ImageHeader(media_type, None, None, len(media.data)), None)
        return
    with image:
        header = _to_header(image, media_type, len(media.data))
        check_size(image.width, image.height, where, limits)
        orientation = _find_orientation(image, media.data, where)
        yield OpenedImage(media, header, image, orientation)


def _find_orientation(image: "ImageFile", data: bytes, where: str) -> int:
    if image.format == "PNG":
        chunks = list(_list_png_chunks(data))
        following = chunks[chunks.index(b"IDAT") :] if b"IDAT" in chunks else []
        if _PNG_NOTES.isdisjoint(following):
            # Pillow would decode all of the image otherwise: a note may be behind its pixels.
            image.info.setdefault("exif", None)
        else:
            check_decodable(image, where)
            try:
                image.load()
            except Exception as error:  # noqa: BLE001 - its readers raise whatever they trip over
                refuse_undecodable(where, error)
    try:
        return read_noted_orientation(image)
    except Exception:  # noqa: BLE001 - Pillow raises whatever it trips over in broken EXIF data
        return UPRIGHT


def refuse_undecodable(where: str, error: Exception) -> Never:
    """Refuse an image whose pixels cannot be decoded.

    Raises:
        MediaFormatError: Always.
    """
    raise MediaFormatError(
        f"The image cannot be decoded ({type(error).__name__}: {error}).",
        where=where,
        remedy="Save it again with an image program.",
    ) from error


def check_size(width: int, height: int, where: str, limits: ImageLimits = SERVICE_IMAGES) -> None:
    """Check the sides of an image, in pixels.

    Raises:
        MediaTooSmallError: A side is shorter than the server takes.
        MediaRatioError: It is longer, by its width, than the server takes.
    """
    short, long = sorted((width, height))
    if short < limits.min_side:
        raise MediaTooSmallError(
            f"The image is {width} x {height} pixels; each side must have "
            f"{limits.min_side} or more.",
            where=where,
            value=short,
            limit=limits.min_side,
            remedy="Enlarge it, or put a border around it.",
        )
    if limits.max_ratio is not None and long > limits.max_ratio * short:
        raise MediaRatioError(
            f"The image is {width} x {height} pixels, {long / short:.1f} times as long as wide; "
            f"at most {limits.max_ratio} times is taken.",
            where=where,
            value=round(long / short, 2),
            limit=limits.max_ratio,
            remedy="Cut it into pieces, or put a border around it.",
        )


def check_large(header: ImageHeader, where: str, limits: ImageLimits = SERVICE_IMAGES) -> None:
    """Check that an image of its size goes out in a format that the service takes for it.

    Raises:
        MediaFormatError: More pixels than 4K, and neither JPEG nor PNG.
    """
    if not is_too_large(header, limits):
        return
    pixels = (header.width or 0) * (header.height or 0)
    raise MediaFormatError(
        f"The image has {pixels:,} pixels; beyond 4K ({PIXELS_OF_4K:,}) the service takes "
        f"JPEG and PNG only, not {header.media_type}.",
        where=where,
        value=pixels,
        limit=PIXELS_OF_4K,
        remedy="Convert it to JPEG or PNG, or make it smaller.",
    )


def is_too_large(header: ImageHeader, limits: ImageLimits = SERVICE_IMAGES) -> bool:
    """Return whether an image has more pixels than the server takes in its format.

    Args:
        header: Of the image.
        limits: Which images the server takes.
    """
    if limits.max_odd_pixels is None:
        return False
    pixels = (header.width or 0) * (header.height or 0)
    return pixels > limits.max_odd_pixels and header.media_type in ACCEPTED_TYPES - _LARGE_TYPES


def find_image_type(data: bytes, where: str, origin: str = "", *, known: str | None = None) -> str:
    """Find the type of an image that can be sent, as it is or encoded again.

    Args:
        data: The whole file.
        where: The part, for errors.
        origin: How the bytes were come by, for errors.
        known: The type, if it was sniffed already.

    Raises:
        MediaFormatError: Empty, or something else; it says what it looks like.
    """
    if not data:
        raise MediaFormatError(
            "The image is empty: 0 bytes.",
            where=where,
            value=0,
            remedy=f"Pass an image as {ACCEPTED}.",
        )
    media_type = known or sniff(data)
    if media_type in ACCEPTED_TYPES or media_type in REENCODED_TYPES:
        return str(media_type)
    looks = describe(data)
    remedy = f"Pass an image as {ACCEPTED}."
    if media_type is not None and media_type.startswith("video/"):
        remedy = "Pass it as a video."
    elif media_type == "application/pdf":
        remedy = f"Turn its pages into images first: {ACCEPTED}."
    raise MediaFormatError(
        f"Expected an image, but this{origin} looks like {looks}.",
        where=where,
        value=media_type or looks,
        limit=ACCEPTED,
        remedy=remedy,
    )


def open_image(data: bytes, media_type: str, where: str) -> "ImageFile | None":
    """Open an image, reading no more than its header.

    Args:
        data: The whole file.
        media_type: As sniffed.
        where: The part, for errors.

    Returns:
        The image, to be closed by the caller; `None` where nothing installed reads the format.

    Raises:
        MediaFormatError: The header is broken.
    """
    from PIL import Image  # noqa: PLC0415 - 70 ms, which requests of mere URLs never pay

    name, module = _READERS.get(media_type, (_HEIF, ""))
    if name not in Image.OPEN and module:
        importlib.import_module(f"PIL.{module}")
    if name not in Image.OPEN:
        return None
    if media_type in _ICONS:
        check_icon(data, where)
    try:
        opened = Image.open(io.BytesIO(data), formats=[name])
    except Image.DecompressionBombError as error:
        raise MediaTooLargeError(
            f"The image is too large to be decoded: {error}.",
            where=where,
            value=len(data),
            remedy="Scale it down, or give its https:// URL.",
        ) from error
    except Exception as error:  # noqa: BLE001 - its readers raise whatever they trip over
        _refuse_broken(media_type, where, error)
    scale_key(opened)
    return opened


def _refuse_broken(media_type: str, where: str, error: Exception) -> Never:
    raise MediaFormatError(
        f"The image begins like {media_type}, but its header cannot be read "
        f"({type(error).__name__}).",
        where=where,
        value=media_type,
        remedy="Copy or download the file again, or save it again with an image program.",
    ) from error
