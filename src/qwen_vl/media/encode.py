"""Pixels to files: pictures that came decoded, or in a format that the service does not list."""

import io
from typing import TYPE_CHECKING, Any, Never

from qwen_vl.content import is_pixels
from qwen_vl.errors import ContentError, MediaFormatError, MediaTooLargeError
from qwen_vl.media.color_modes import SIXTEEN_BITS, with_plain_mode, without_alpha
from qwen_vl.media.data_url import MediaBytes
from qwen_vl.media.downscale import Resize, shrink_pixels
from qwen_vl.media.image import ACCEPTED, ImageHeader, check_size, open_image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

PNG_COMPRESS_LEVEL = 1
"""A 600 x 400 photograph takes 20 ms and 483 kB at level 1, 27 ms and 475 kB at 3, 66 ms and
449 kB at 6 (Pillow 13): the time saved on the wire does not pay for more."""

JPEG_QUALITY = 95
"""Of pictures without transparency whose PNG is longer than may be inlined."""

_CHANNELS = frozenset({1, 3, 4})
_WIDTH_AXIS_FIRST = 3


def encode_pixels(
    pixels: Any, max_bytes: int, where: str, resize: Resize | None = None
) -> tuple[str, bytes]:
    """Encode a decoded picture: as PNG, or as JPEG where a PNG would be too long.

    The EXIF orientation is applied. The caller's object stays as it is; of a picture with several
    frames, the frame that it stands at is taken.

    Args:
        pixels: A `PIL.Image.Image`, or an array of `uint8`: height x width (x 1, 3 or 4).
        max_bytes: Longest file to make.
        where: The part, for errors.
        resize: Gives the size at which the model looks at it: a larger picture is shrunk to that.

    Returns:
        The media type and the file.

    Raises:
        MediaFormatError: Pixels of another kind than 8 bits a channel, or no pixels at all.
        MediaTooLargeError: Longer than `max_bytes` even so.
        MediaTooSmallError: A side of 10 pixels or fewer.
        MediaRatioError: More than 200 times as long as wide.

    Example:
        >>> from PIL import Image
        >>> media_type, data = encode_pixels(Image.new("RGB", (32, 32)), 1_000_000, "")
        >>> media_type
        'image/png'
    """
    try:
        image = to_pillow(pixels, where)
        check_size(image.width, image.height, where)
        return _encode(_upright(image), max_bytes, where, resize)
    except ContentError:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever they trip over: struct.error, IndexError, RuntimeError.
        raise MediaFormatError(
            f"The picture's pixels cannot be read ({type(error).__name__}: {error}).",
            where=where,
            value=type(pixels).__name__,
            remedy="Give a picture whose file is whole and still open, or its bytes.",
        ) from error


def read_pixel_size(pixels: Any, where: str) -> tuple[int, int]:
    """Tell width and height of a decoded picture, without touching its pixels.

    Args:
        pixels: A `PIL.Image.Image`, or a numpy array.
        where: The part, for errors.

    Raises:
        MediaFormatError: An array that is no picture.

    Example:
        >>> from PIL import Image
        >>> read_pixel_size(Image.new("RGB", (64, 48)), "")
        (64, 48)
    """
    # A picture has the interface of an array too, but copies all its pixels to give it.
    if hasattr(pixels, "getbands"):
        width, height = pixels.size
    else:
        _check_array(pixels, where)
        height, width = pixels.__array_interface__["shape"][:2]
    return int(width), int(height)


def reencode(
    media: MediaBytes, header: ImageHeader, max_bytes: int, where: str, resize: Resize | None = None
) -> tuple[str, bytes]:
    """Encode a still picture anew, in a format and mode that every decoder reads alike.

    Args:
        media: The file.
        header: Its header.
        max_bytes: Longest file to make.
        where: The part, for errors.
        resize: As of `encode_pixels`.

    Raises:
        MediaFormatError: It is animated, cannot be decoded, or has 16 bits or floats whose
            range nothing tells.
        MediaTooLargeError: Longer than `max_bytes` as PNG and as JPEG.
    """
    image = open_image(media.data, header.media_type, where)
    if image is None:
        _refuse_unreadable(header.media_type, where)
    with image:
        if header.is_animated or _is_animated(image, header.media_type, where):
            raise MediaFormatError(
                f"The picture ({header.media_type}) is animated, and the service would see one "
                "frame at most.",
                where=where,
                value=header.media_type,
                limit=ACCEPTED,
                remedy="Give its frames as a video, which may be a list of pictures.",
            )
        if header.media_type == "image/png" and image.mode in SIXTEEN_BITS:
            # What PNG says of its values: the greatest is white.
            eight = image.point(lambda value: value * (1 / 257)).convert("L")
            return encode_pixels(eight, max_bytes, where, resize)
        return encode_pixels(image, max_bytes, where, resize)


def to_jpeg(data: bytes, media_type: str, where: str) -> bytes:
    """Write a picture as JPEG, whatever it is: what is transparent becomes white.

    Args:
        data: The file.
        media_type: As sniffed.
        where: The part, for errors.

    Raises:
        MediaFormatError: It cannot be decoded.
    """
    from PIL import Image  # noqa: PLC0415 - slow to import

    image = open_image(data, media_type, where)
    if image is None:
        _refuse_unreadable(media_type, where)
    try:
        with image:
            plain = _upright(image).convert("RGBA")
    except (OSError, ValueError, SyntaxError) as error:
        _refuse_unreadable(media_type, where, error)
    paper = Image.new("RGBA", plain.size, "white")
    jpeg = io.BytesIO()
    Image.alpha_composite(paper, plain).convert("RGB").save(jpeg, "JPEG", quality=JPEG_QUALITY)
    return jpeg.getvalue()


def _is_animated(image: Any, media_type: str, where: str) -> bool:
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception as error:  # noqa: BLE001 - to tell, Pillow decodes, and may trip over anything
        _refuse_unreadable(media_type, where, error)


def to_pillow(pixels: Any, where: str) -> "PillowImage":
    """Give decoded pixels as Pillow has them; what is a picture of Pillow's already stays itself.

    Args:
        pixels: A `PIL.Image.Image`, or an array of `uint8`: height x width (x 1, 3 or 4).
        where: The part, for errors.

    Raises:
        MediaFormatError: An array of another kind.
    """
    from PIL import Image  # noqa: PLC0415 - 70 ms, which requests of mere addresses never pay

    if isinstance(pixels, Image.Image):
        return pixels
    if not is_pixels(pixels):
        raise MediaFormatError(
            f"Pixels are wanted, but this is a {type(pixels).__name__}.",
            where=where,
            value=type(pixels).__name__,
            remedy="Give a PIL.Image.Image, or a numpy array of uint8.",
        )
    _check_array(pixels, where)
    shape = pixels.__array_interface__["shape"]
    return Image.fromarray(pixels.reshape(shape[:2]) if shape[2:] == (1,) else pixels)


def _check_array(array: Any, where: str) -> None:
    interface = array.__array_interface__
    shape = tuple(interface["shape"])
    remedy = ""
    if interface["typestr"] != "|u1":
        remedy = "Turn it into uint8, from 0 to 255: (array * 255).astype('uint8') if it goes to 1."
    elif 0 in shape:
        remedy = "Give an array with pixels in it."
    elif len(shape) == _WIDTH_AXIS_FIRST and shape[2] not in _CHANNELS and shape[0] in _CHANNELS:
        remedy = "Put the channels last: array.transpose(1, 2, 0)."
    elif len(shape) > _WIDTH_AXIS_FIRST:
        remedy = "Give the pictures one by one, or as the frames of a video."
    elif len(shape) not in {2, 3} or (shape[2:] and shape[2] not in _CHANNELS):
        remedy = "Give height x width, or height x width x 1, 3 or 4."
    if not remedy:
        return
    dtype = getattr(array, "dtype", interface["typestr"])
    raise MediaFormatError(
        f"An array of shape {shape} and type {dtype} is no picture.",
        where=where,
        value=f"{shape} {dtype}",
        limit="uint8, height x width (x 1, 3 or 4)",
        remedy=remedy,
    )


def _upright(image: "PillowImage") -> "PillowImage":
    """Give a copy, turned as the camera noted: saving writes to the object that is saved."""
    from PIL import ImageOps  # noqa: PLC0415 - as Pillow itself

    return ImageOps.exif_transpose(image)


def _encode(
    image: "PillowImage", max_bytes: int, where: str, resize: Resize | None
) -> tuple[str, bytes]:
    plain = with_plain_mode(image, where)
    # A colour profile is of the mode that it was made for.
    profile = image.info.get("icc_profile") if plain.mode == image.mode else None
    if resize:
        plain = shrink_pixels(plain, resize)
    png = io.BytesIO()
    plain.save(png, "PNG", compress_level=PNG_COMPRESS_LEVEL, icc_profile=profile)
    if png.tell() <= max_bytes:
        return "image/png", png.getvalue()
    opaque = without_alpha(plain)
    if opaque is None:
        _refuse_long(png.tell(), max_bytes, "PNG, which its transparency needs", where)
    jpeg = io.BytesIO()
    profile = profile if opaque.mode == image.mode else None
    opaque.save(jpeg, "JPEG", quality=JPEG_QUALITY, icc_profile=profile)
    if jpeg.tell() > max_bytes:
        _refuse_long(jpeg.tell(), max_bytes, "JPEG", where)
    return "image/jpeg", jpeg.getvalue()


def _refuse_long(n_bytes: int, max_bytes: int, kind: str, where: str) -> Never:
    raise MediaTooLargeError(
        f"The picture has {n_bytes:,} bytes as {kind}; at most {max_bytes:,} may be inlined.",
        where=where,
        value=n_bytes,
        limit=max_bytes,
        remedy="Make it smaller, with image.thumbnail((2048, 2048)) for instance.",
    )


def _refuse_unreadable(media_type: str, where: str, error: Exception | None = None) -> Never:
    raise MediaFormatError(
        f"The service does not list {media_type}, and the picture cannot be decoded to send it "
        "as PNG.",
        where=where,
        value=media_type,
        limit=ACCEPTED,
        remedy="Save it as PNG or JPEG first.",
    ) from error
