"""The one image encoder: every PNG and JPEG that this package makes is written here."""

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Never

from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media.color_modes import to_jpeg_mode, with_plain_mode

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

PNG_COMPRESS_LEVEL = 1
"""Higher levels take up to three times as long, for files that are 2 to 7% shorter."""

JPEG_QUALITY = 95
"""Of images that are not downscaled, where PNG is too long or the server takes only JPEG."""

DOWNSCALED_JPEG_QUALITY = 90
"""Of downscaled images: a photograph of 2.6 megapixels has 0.6 MB then, and 1.0 MB at 95."""

FRAME_JPEG_QUALITIES = (85, 75, 60, 45)
"""Of a video's frames: the first that keeps all frames within their bytes.

At 85 a frame cannot be distinguished from the original, and has a third of the bytes of 95; at 45,
where it has half of those of 85, edges begin to fray.
"""

MAX_ANIMATION_FRAMES = 10_000
"""Frames that are decoded to find how long an animated image is."""

# Drawings, screenshots and scanned text stay below, and lossless; photographs have twice as much.
_PNG_BYTES_PER_PIXEL = 0.75


class EncodedImage(NamedTuple):
    """An image file that was made here.

    Args:
        media_type: PNG or JPEG.
        data: The file.
        size: Width and height in pixels.
    """

    media_type: str
    data: bytes
    size: tuple[int, int]


def encode_png(image: "PillowImage", **options: Any) -> bytes:
    """Encode an image as PNG.

    Args:
        image: In a mode that PNG has.
        **options: Further options of Pillow's writer; `None` is left out.
    """
    return _save(image, "PNG", compress_level=PNG_COMPRESS_LEVEL, **options)


def encode_jpeg(image: "PillowImage", quality: int, **options: Any) -> bytes:
    """Encode an image as JPEG.

    Args:
        image: In a mode that JPEG has.
        quality: One of the constants of this module.
        **options: Further options of Pillow's writer; `None` is left out.
    """
    return _save(image, "JPEG", quality=quality, **options)


def encode_lossless(image: "PillowImage", max_bytes: int, where: str) -> tuple[str, bytes]:
    """Encode an image as PNG, or as JPEG where the PNG would be too long.

    Args:
        image: In a mode of `with_plain_mode`.
        max_bytes: Maximum length of the file.
        where: The part, for errors.

    Returns:
        Media type and file.

    Raises:
        MediaTooLargeError: Longer than `max_bytes` even as JPEG.
    """
    png = encode_png(image)
    if len(png) <= max_bytes:
        return "image/png", png
    jpeg = encode_jpeg(to_jpeg_mode(image), JPEG_QUALITY)
    if len(jpeg) > max_bytes:
        _refuse_long(len(jpeg), max_bytes, where)
    return "image/jpeg", jpeg


def encode_compact(image: "PillowImage", **options: Any) -> tuple[str, bytes]:
    """Encode an image: lossless where that is short, as it is for text and drawings.

    Args:
        image: In a mode of `with_plain_mode`.
        **options: Further options of Pillow's writers; `None` is left out.

    Returns:
        Media type and file: PNG, or JPEG for what is like a photograph.
    """
    png = encode_png(image, **options)
    if len(png) <= image.width * image.height * _PNG_BYTES_PER_PIXEL:
        return "image/png", png
    return "image/jpeg", encode_jpeg(to_jpeg_mode(image), DOWNSCALED_JPEG_QUALITY, **options)


def encode_animation(image: Any, where: str) -> bytes:
    """Encode an animation that the program has opened as an animated PNG.

    Args:
        image: As Pillow opened it; it is left at the frame where it was.
        where: The part, for errors.

    Raises:
        MediaFormatError: It cannot be decoded.
        MediaTooLargeError: It has too many frames.
    """
    n_frames, at = image.n_frames, image.tell()
    if n_frames > MAX_ANIMATION_FRAMES:
        raise MediaTooLargeError(
            f"The animation has {n_frames:,} frames; at most {MAX_ANIMATION_FRAMES:,} are read.",
            where=where,
            value=n_frames,
            limit=MAX_ANIMATION_FRAMES,
            remedy="Convert it to a video: ffmpeg -i in.gif out.mp4",
        )
    # An APNG may have a separate image for readers without animations.
    first = 1 if image.info.get("default_image") else 0
    durations: list[float] = []

    def read(number: int) -> "PillowImage":
        image.seek(number)
        # WEBP reports its duration while it is decoded.
        image.load()
        durations.append(image.info.get("duration") or 0)
        return with_plain_mode(image, where).convert("RGB")

    try:
        frames = [read(number) for number in range(first, n_frames)]
    except Exception as error:
        raise MediaFormatError(
            f"The animation cannot be read ({type(error).__name__}: {error}).",
            where=where,
            value=type(image).__name__,
            remedy="Pass an image whose file is whole and still open, or its bytes.",
        ) from error
    finally:
        with suppress(Exception):
            image.seek(at)
    others = {"save_all": True, "append_images": frames[1:], "duration": durations}
    return encode_png(frames[0], **others)


def _save(image: "PillowImage", kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **{name: held for name, held in options.items() if held is not None})
    return file.getvalue()


def _refuse_long(n_bytes: int, max_bytes: int, where: str) -> Never:
    raise MediaTooLargeError(
        f"The image has {n_bytes:,} bytes as JPEG; at most {max_bytes:,} may be inlined.",
        where=where,
        value=n_bytes,
        limit=max_bytes,
        remedy="Downscale it, for example with image.thumbnail((2048, 2048)).",
    )
