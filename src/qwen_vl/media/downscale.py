"""Pictures that are larger than the model looks at, made as large as it does before they are sent.

The service shrinks them to just that size itself (Vision page, 2026-08): a photograph of twelve
megapixels travels four times too far. What the model sees differs by the way of resampling alone.
"""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from qwen_vl.errors import ContentError, MediaFormatError
from qwen_vl.media.color_modes import with_plain_mode, without_alpha
from qwen_vl.media.data_url import MediaBytes
from qwen_vl.media.image import ImageHeader, is_too_large, open_image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

Resize: TypeAlias = Callable[[int, int], tuple[int, int]]
"""Gives the size at which the model looks at a picture: width and height in pixels to the same."""

MAX_FILE_BYTES = 64 * 2**20
"""Longest file that is read to be made smaller."""

JPEG_QUALITY = 90
"""A 12-megapixel photograph that is shrunk to 2.6 has 0.6 MB then, and 1.0 MB at 95."""

# Below this the bytes saved do not pay for another loss in a JPEG's quality.
_LEAST_GAIN = 1.25
# Drawings, screenshots and scanned text stay below, and lossless; photographs have twice as much.
_PNG_BYTES_PER_PIXEL = 0.75
_PNG_COMPRESS_LEVEL = 3
_ORIENTATION = 0x0112
_UPRIGHT = 1


def is_worth_shrinking(width: int, height: int, resize: Resize) -> bool:
    """Tell whether a picture has so many pixels more than the model looks at.

    Args:
        width: Pixels.
        height: Pixels.
        resize: Gives the size at which the model looks at it.

    Example:
        >>> is_worth_shrinking(4000, 3000, lambda width, height: (1856, 1376))
        True
    """
    scaled_width, scaled_height = resize(width, height)
    is_smaller = scaled_width <= width and scaled_height <= height
    return is_smaller and scaled_width * scaled_height * _LEAST_GAIN <= width * height


def downscale(
    media: MediaBytes, header: ImageHeader, resize: Resize, where: str
) -> tuple[str, bytes] | None:
    """Make a picture as large as the model looks at it.

    A JPEG stays a JPEG. Others stay lossless, as PNG, where they hold few colours or are
    transparent, and become JPEG where they are photographs. A camera's note to turn the picture
    (EXIF) is kept, its other notes are not: where it was taken, for one.

    Args:
        media: The file.
        header: Its header.
        resize: Gives the size at which the model looks at it.
        where: The part, for errors.

    Returns:
        Media type and file; `None` where it is not larger, has several pages, or would have no
        fewer bytes, unless its format forbids its size.

    Raises:
        MediaFormatError: The picture cannot be decoded.
    """
    if header.width is None or header.height is None:
        return None
    if not is_worth_shrinking(header.width, header.height, resize):
        return None
    image = open_image(media.data, header.media_type, where)
    if image is None:
        return None
    try:
        with image:
            if header.media_type == "image/tiff" and getattr(image, "is_animated", False):
                # It has several pages, which are the service's to choose from.
                return None
            media_type, data = _shrink(image, header, resize(header.width, header.height), where)
    except ContentError:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever they trip over.
        raise MediaFormatError(
            f"The picture ({header.media_type}) cannot be decoded to make it smaller "
            f"({type(error).__name__}: {error}).",
            where=where,
            value=header.media_type,
            remedy="Save it anew with an image program, or pass downscale_images=False.",
        ) from error
    return (media_type, data) if len(data) < header.n_bytes or is_too_large(header) else None


def shrink_pixels(image: "PillowImage", resize: Resize) -> "PillowImage":
    """Make a decoded picture as large as the model looks at it, if it is larger.

    Args:
        image: Stays as it is.
        resize: Gives the size at which the model looks at it.
    """
    if not is_worth_shrinking(image.width, image.height, resize):
        return image
    return _resample(image, resize(image.width, image.height))


def _shrink(
    image: "PillowImage", header: ImageHeader, size: tuple[int, int], where: str
) -> tuple[str, bytes]:
    # A JPEG decodes to an eighth, a quarter or half of its size at a fraction of the cost.
    image.draft(None, size)
    orientation = image.getexif().get(_ORIENTATION, _UPRIGHT)
    profile = image.info.get("icc_profile")
    mode = image.mode
    plain = with_plain_mode(image, where)
    small = _resample(plain, size)
    options: dict[str, Any] = {"icc_profile": profile if plain.mode == mode else None}
    if orientation != _UPRIGHT:
        options["exif"] = _note(orientation)
    if header.media_type != "image/jpeg":
        return encode_compact(small, **options)
    opaque = without_alpha(small) or small
    return "image/jpeg", _save(opaque, "JPEG", quality=JPEG_QUALITY, **options)


def encode_compact(image: "PillowImage", **options: Any) -> tuple[str, bytes]:
    """Encode a picture: lossless where that is short, as it is for text and drawings.

    Args:
        image: 8 bits a channel.
        **options: Further options of Pillow's writers; `None` is left out.

    Returns:
        Media type and file: PNG, or JPEG for what is like a photograph and not transparent.
    """
    png = _save(image, "PNG", compress_level=_PNG_COMPRESS_LEVEL, **options)
    opaque = without_alpha(image)
    if opaque is None or len(png) <= image.width * image.height * _PNG_BYTES_PER_PIXEL:
        return "image/png", png
    return "image/jpeg", _save(opaque, "JPEG", quality=JPEG_QUALITY, **options)


def _resample(image: "PillowImage", size: tuple[int, int]) -> "PillowImage":
    from PIL.Image import Resampling  # noqa: PLC0415 - 70 ms, which mere addresses never pay

    if image.mode in {"1", "P"}:
        # Their values are no amounts of anything, which could be averaged.
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    return image.resize(size, Resampling.LANCZOS, reducing_gap=2.0)


def _note(orientation: int) -> bytes:
    from PIL.Image import Exif  # noqa: PLC0415 - as above

    exif = Exif()
    exif[_ORIENTATION] = orientation
    return exif.tobytes()


def _save(image: "PillowImage", kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **{name: held for name, held in options.items() if held is not None})
    return buffer.getvalue()
