"""Images that the caller has decoded already: Pillow's and arrays, checked and measured."""

from typing import TYPE_CHECKING, Any

from qwen_vl.content import is_pixels
from qwen_vl.errors import MediaFormatError
from qwen_vl.media.color_modes import merge_deep
from qwen_vl.media.decoding import check_decodable

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_CHANNELS = frozenset({1, 2, 3, 4})
_TYPES = frozenset({"b1", "u1", "u2", "u4", "u8", "i2", "i4", "i8", "f2", "f4", "f8"})
_MAX_I32 = 2**31 - 1
_WIDTH_AXIS_FIRST = 3
ORIENTATION, UPRIGHT = 0x0112, 1
_ANIMATED_FORMATS = frozenset({"AVIF", "GIF", "PNG", "WEBP"})
_ORIENTATIONS = range(1, 9)
_TURNED = frozenset({5, 6, 7, 8})


def read_pixel_size(pixels: Any, where: str) -> tuple[int, int]:
    """Return width and height of a decoded image, without touching its pixels.

    Args:
        pixels: A `PIL.Image.Image`, or a numpy array.
        where: The part, for errors.

    Raises:
        MediaFormatError: An array that is not an image.

    Example:
        >>> from PIL import Image
        >>> read_pixel_size(Image.new("RGB", (64, 48)), "")
        (64, 48)
    """
    # An image has the interface of an array too, but copies all its pixels to give it.
    if hasattr(pixels, "getbands"):
        width, height = pixels.size
    else:
        _check_array(pixels, where)
        height, width = pixels.__array_interface__["shape"][:2]
    return int(width), int(height)


def is_animated(image: Any) -> bool:
    """Return whether an image is an animation that stands at its first frame.

    At any other frame, the program itself has chosen that one.

    Args:
        image: A `PIL.Image.Image`, or an array.
    """
    return has_animation(image) and image.tell() == 0


def has_animation(image: Any) -> bool:
    """Return whether an image is an animation, at any of its frames.

    Args:
        image: A `PIL.Image.Image`, or an array.
    """
    is_of_frames = getattr(image, "format", None) in _ANIMATED_FORMATS
    return is_of_frames and bool(getattr(image, "is_animated", False))


def read_orientation(image: Any) -> int:
    """Return the EXIF orientation that is still to be applied to an image.

    It is 1, upright, for arrays, for images without one, and for TIFF files: Pillow gives their
    size as it is after turning, and turns them as it decodes them.

    Args:
        image: A `PIL.Image.Image`, or an array.

    Example:
        >>> from PIL import Image
        >>> read_orientation(Image.new("RGB", (64, 48)))
        1
    """
    is_upright = getattr(image, "format", None) == "TIFF" or not hasattr(image, "getexif")
    return UPRIGHT if is_upright else read_noted_orientation(image)


def read_noted_orientation(image: Any) -> int:
    """Return the EXIF orientation that an image file notes, applied or not.

    Args:
        image: A `PIL.Image.Image`.
    """
    exif = image.getexif()
    orientation = exif.get(ORIENTATION, UPRIGHT)
    # Anything else, 0 most often, says nothing.
    return orientation if orientation in _ORIENTATIONS else UPRIGHT


def read_upright_size(pixels: Any, where: str) -> tuple[int, int]:
    """Return width and height of a decoded image after its EXIF orientation is applied.

    Args:
        pixels: A `PIL.Image.Image`, or a numpy array.
        where: The part, for errors.

    Raises:
        MediaFormatError: An array that is not an image.
    """
    return turn_size(read_pixel_size(pixels, where), read_orientation(pixels))


def turn_size(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return width and height after an EXIF orientation is applied, or undone.

    Args:
        size: Width and height.
        orientation: 1 to 8.
    """
    return size[::-1] if orientation in _TURNED else size


def to_pillow(pixels: Any, where: str) -> "PillowImage":
    """Return decoded pixels as Pillow's image; one of Pillow's stays the same object.

    Args:
        pixels: A `PIL.Image.Image`, or an array, height x width (x 1 to 4): gray, gray and
            alpha, RGB or RGBA. It holds `uint8`, `bool`, floats from 0 to 1, or other integers,
            from 0 to 65,535.
        where: The part, for errors.

    Raises:
        MediaFormatError: An array of another kind, or with values out of its range.

    Example:
        >>> import numpy as np
        >>> to_pillow(np.full((48, 64, 3), 0.5), "").getpixel((0, 0))
        (128, 128, 128)
    """
    from PIL import Image  # noqa: PLC0415 - 70 ms, which requests of mere URLs never pay

    if isinstance(pixels, Image.Image):
        return pixels
    if not is_pixels(pixels):
        raise MediaFormatError(
            f"Expected pixels, but this is a {type(pixels).__name__}.",
            where=where,
            value=type(pixels).__name__,
            remedy="Pass a PIL.Image.Image or a numpy array.",
        )
    _check_array(pixels, where)
    interface = pixels.__array_interface__
    shape, kind = interface["shape"], interface["typestr"]
    if shape[2:] == (1,):
        shape, pixels = shape[:2], pixels.reshape(shape[:2])
    if kind == "|u1":
        return Image.fromarray(pixels)
    if kind == "|b1":
        return Image.fromarray(pixels.astype("uint8") * 255)
    # Pillow knows neither colors of 16 bits nor other floats, and integers of 32 bits at most.
    pixels = pixels.astype("float32") if kind[1] == "f" else _to_integers(pixels, kind)
    if len(shape) < _WIDTH_AXIS_FIRST:
        return Image.fromarray(pixels)
    return merge_deep([Image.fromarray(pixels[..., at]) for at in range(shape[2])], where)


def _to_integers(pixels: Any, kind: str) -> Any:
    if kind[1:] == "u2":
        return pixels.astype("uint16")
    # What does not fit is refused for its values, as of Pillow's mode I.
    low = 0 if kind[1] == "u" else -_MAX_I32
    return pixels.clip(low, _MAX_I32).astype("int32")


def _check_array(array: Any, where: str) -> None:
    interface = array.__array_interface__
    shape = tuple(interface["shape"])
    remedy = ""
    if interface["typestr"][1:] not in _TYPES:
        remedy = "Convert it to uint8, with values from 0 to 255: array.astype('uint8')."
    elif 0 in shape:
        remedy = "Pass an array with pixels in it."
    elif len(shape) == _WIDTH_AXIS_FIRST and shape[2] not in _CHANNELS and shape[0] in _CHANNELS:
        remedy = "Put the channels last: array.transpose(1, 2, 0)."
    elif len(shape) > _WIDTH_AXIS_FIRST:
        remedy = "Pass the images one by one, or as the frames of a video."
    elif len(shape) not in {2, 3} or (shape[2:] and shape[2] not in _CHANNELS):
        remedy = "Pass height x width, or height x width x 1 to 4."
    if not remedy:
        return
    dtype = getattr(array, "dtype", interface["typestr"])
    raise MediaFormatError(
        f"An array of shape {shape} and type {dtype} is not an image.",
        where=where,
        value=f"{shape} {dtype}",
        limit="integers, bool or floats, height x width (x 1 to 4)",
        remedy=remedy,
    )


def upright(image: "PillowImage", where: str) -> "PillowImage":
    """Return a copy, rotated as its EXIF orientation says: saving changes the object it saves.

    Args:
        image: Stays as it is.
        where: The part, for errors.

    Raises:
        MediaTooLargeError: Decoding it would take more memory than is allowed.
    """
    from PIL import ImageOps  # noqa: PLC0415 - as Pillow itself

    check_decodable(image, where)
    return ImageOps.exif_transpose(image)
