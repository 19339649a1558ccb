"""Modes of decoded pictures, and what each becomes so that it can be encoded."""

from typing import TYPE_CHECKING

from qwen_vl.errors import MediaFormatError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

SIXTEEN_BITS = frozenset({"I", "I;16", "I;16B", "I;16L"})
"""Modes of grey pictures with more than 8 bits."""

ODD_MODES = SIXTEEN_BITS | {"CMYK", "F", "LAB"}
"""Modes of files that decoders turn into colours in different ways, or cut off at 255."""

_KEPT_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
_CONVERTED_MODES = {
    "CMYK": "RGB",
    "HSV": "RGB",
    "LAB": "RGB",
    "PA": "RGBA",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "La": "LA",
    "YCbCr": "RGB",
}
_OPAQUE = 255


def with_plain_mode(image: "PillowImage", where: str) -> "PillowImage":
    """Give a picture in a mode that PNG has: grey, colours or a palette, 8 bits a channel.

    Args:
        image: Stays as it is.
        where: The part, for errors.

    Raises:
        MediaFormatError: A mode of other than 8 bits, for which there is no one right way.
    """
    if image.mode in _KEPT_MODES:
        return image
    mode = _CONVERTED_MODES.get(image.mode)
    if mode is None:
        raise MediaFormatError(
            f"A picture of mode {image.mode!r} has no 8 bits a channel.",
            where=where,
            value=image.mode,
            limit=sorted({*_KEPT_MODES, *_CONVERTED_MODES}),
            remedy=(
                "Choose how its values map to 0..255, then convert it: for 16 bits, "
                "image.point(lambda value: value / 256).convert('L')."
            ),
        )
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    return image.convert(mode)


def _lab_to_rgb(image: "PillowImage") -> "PillowImage":
    from PIL import ImageCms  # noqa: PLC0415 - needed for this mode alone

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return converted or image


def without_alpha(image: "PillowImage") -> "PillowImage | None":
    """Give a picture in a mode that JPEG has, or nothing if it is transparent anywhere.

    Args:
        image: Stays as it is.
    """
    if "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in {"LA", "RGBA"}:
        least, _ = image.getchannel("A").getextrema()
        if least != _OPAQUE:
            return None
    return image.convert("L" if image.mode in {"1", "L", "LA"} else "RGB")
