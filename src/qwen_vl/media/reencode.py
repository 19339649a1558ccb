"""Images that cannot go out as they are: decoded pixels, and formats that the service lacks."""

from typing import TYPE_CHECKING, Any, Never

from qwen_vl.errors import ContentError, MediaFormatError, warn
from qwen_vl.media.color_modes import is_white_zero, to_jpeg_mode, with_plain_mode
from qwen_vl.media.downscale import Resize, shrink_pixels
from qwen_vl.media.encode import JPEG_QUALITY, EncodedImage, encode_jpeg, encode_lossless
from qwen_vl.media.image import ACCEPTED, OpenedImage, check_size
from qwen_vl.media.load import check_inline_bytes
from qwen_vl.media.pixels import to_pillow, upright
from qwen_vl.specs.servers import SERVICE_IMAGES, ImageLimits

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


def encode_pixels(
    pixels: Any,
    max_bytes: int,
    where: str,
    resize: Resize | None = None,
    *,
    as_jpeg: bool = False,
    limits: ImageLimits = SERVICE_IMAGES,
) -> EncodedImage:
    """Encode a decoded image: as PNG, or as JPEG where a PNG would be too long.

    The EXIF orientation is applied. The caller's object stays as it is; of an image with several
    frames, the frame that it stands at is taken.

    Args:
        pixels: A `PIL.Image.Image`, or an array, see `qwen_vl.media.pixels.to_pillow`.
        max_bytes: Maximum length of the file.
        where: The part, for errors.
        resize: Computes the size at which the model sees it: a larger image is downscaled to that.
        as_jpeg: Whether to write a JPEG in any case, on white.
        limits: Which images the server takes.

    Raises:
        MediaFormatError: Pixels of a kind that cannot be sent, or no pixels at all.
        MediaTooLargeError: Longer than `max_bytes` even so.
        MediaTooSmallError: A side is shorter than the server takes.
        MediaRatioError: It is longer, by its width, than the server takes.

    Example:
        >>> from PIL import Image
        >>> encoded = encode_pixels(Image.new("RGB", (32, 32)), 1_000_000, "")
        >>> encoded.media_type, encoded.size
        ('image/png', (32, 32))
    """
    from PIL.ImageOps import invert  # noqa: PLC0415 - slow to import

    try:
        image = to_pillow(pixels, where)
        check_size(image.width, image.height, where, limits)
        plain = with_plain_mode(upright(image, where), where)
        if is_white_zero(image):
            plain = invert(plain)
        return _encode(plain, max_bytes, where, resize, as_jpeg=as_jpeg)
    except ContentError:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever they trip over: struct.error, IndexError, RuntimeError.
        raise MediaFormatError(
            f"The image's pixels cannot be read ({type(error).__name__}: {error}).",
            where=where,
            value=type(pixels).__name__,
            remedy="Pass an image whose file is whole and still open, or its bytes.",
        ) from error


def reencode(
    opened: OpenedImage,
    max_bytes: int,
    where: str,
    resize: Resize | None = None,
    *,
    as_jpeg: bool = False,
    limits: ImageLimits = SERVICE_IMAGES,
) -> EncodedImage:
    """Re-encode an image, in a format and mode that every decoder reads alike.

    Of an animated one the first frame is taken.

    Args:
        opened: The file.
        max_bytes: As of `encode_pixels`.
        where: The part, for errors.
        resize: As of `encode_pixels`.
        as_jpeg: As of `encode_pixels`.
        limits: As of `encode_pixels`.

    Raises:
        MediaFormatError: It cannot be decoded, or has values whose range is unknown.
        MediaTooLargeError: Longer than `max_bytes` as PNG and as JPEG.
    """
    image, media_type = opened.image, opened.header.media_type
    if image is None:
        refuse_unreadable(media_type, where)
    return encode_pixels(image, max_bytes, where, resize, as_jpeg=as_jpeg, limits=limits)


def is_moving(opened: OpenedImage, where: str) -> bool:
    """Return whether an image file that is to be re-encoded is animated.

    Args:
        opened: The file.
        where: The part, for errors.

    Raises:
        MediaFormatError: It cannot be decoded.
    """
    if opened.header.is_animated:
        return True
    try:
        return bool(getattr(opened.image, "is_animated", False))
    except Exception as error:  # noqa: BLE001 - Pillow decodes here, and may raise anything
        refuse_unreadable(opened.header.media_type, where, error)


def warn_animated(where: str) -> None:
    """Warn that only the first frame of an animation is sent.

    Args:
        where: The part.
    """
    warn(
        f"{where}: the image is animated, and its first frame is sent. Pass it as a video to send "
        "its frames."
    )


def reencode_as_jpeg(opened: OpenedImage, where: str) -> EncodedImage:
    """Write an image file as JPEG, whatever it is: upright, and on white.

    Args:
        opened: The file.
        where: The part, for errors.

    Raises:
        MediaFormatError: It cannot be decoded.
    """
    media_type = opened.header.media_type
    if opened.image is None:
        refuse_unreadable(media_type, where)
    try:
        plain = to_jpeg_mode(with_plain_mode(upright(opened.image, where), where))
        return EncodedImage("image/jpeg", encode_jpeg(plain, JPEG_QUALITY), plain.size)
    except (OSError, ValueError, SyntaxError) as error:
        refuse_unreadable(media_type, where, error)


def refuse_unreadable(media_type: str, where: str, error: Exception | None = None) -> Never:
    """Refuse an image that must be decoded and cannot be.

    Raises:
        MediaFormatError: Always.
    """
    raise MediaFormatError(
        f"The service does not list {media_type}, and the image cannot be decoded to send it "
        "as PNG.",
        where=where,
        value=media_type,
        limit=ACCEPTED,
        remedy="Save it as PNG or JPEG first.",
    ) from error


def _encode(
    plain: "PillowImage", max_bytes: int, where: str, resize: Resize | None, *, as_jpeg: bool
) -> EncodedImage:
    if resize:
        plain = shrink_pixels(plain, resize)
    if as_jpeg:
        data = encode_jpeg(to_jpeg_mode(plain), JPEG_QUALITY)
        check_inline_bytes(len(data), max_bytes, where)
        return EncodedImage("image/jpeg", data, plain.size)
    return EncodedImage(*encode_lossless(plain, max_bytes, where), plain.size)
