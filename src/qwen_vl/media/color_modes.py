"""Modes of decoded images, and what each is converted to, for equal pixels on every server.

Decoders disagree on the rest: they drop the alpha channel, which turns transparent black to black,
or put it on white; they cut 16 bits off at 255, or keep the upper 8.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Never

from qwen_vl.errors import MediaFormatError, warn
from qwen_vl.media.decoding import check_decodable

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_SIXTEEN_BITS = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N"})
_DEEP_MODES = _SIXTEEN_BITS | {"F"}

ODD_MODES = _DEEP_MODES | {"CMYK", "LAB"}
"""Modes of files that decoders turn into colors in different ways, or cut off at 255."""

_KEPT_MODES = frozenset({"1", "L", "P", "RGB"})
_CONVERTED_MODES = {
    "CMYK": "RGB",
    "HSV": "RGB",
    "RGBX": "RGB",
    "YCbCr": "RGB",
}
_MODES = {2: "LA", 3: "RGB", 4: "RGBA"}
_GRAY = frozenset({"1", "L", "LA", "La"})
_OPAQUE = 255
_MAX_8_BITS, _MAX_16_BITS = 255, 65_535
# Decoders of 16 bits take the upper 8.
_UPPER_BYTE = 1 / 256
_OVERSHOOT = 0.1
_KEY_SCALES = {"L;2": 85, "L;4": 17}
# PhotometricInterpretation (TIFF 6.0, page 37): 0 is WhiteIsZero.
_PHOTOMETRIC = 262


# Four megabytes of RGBA.
_STRIP_PIXELS = 1_048_576


def with_plain_mode(image: "PillowImage", where: str) -> "PillowImage":
    """Return an image in gray, colors or a palette, of 8 bits a channel and opaque.

    What is transparent is put on white. Of 16 bits the upper 8 are kept.

    Args:
        image: Stays as it is.
        where: The part, for errors.

    Raises:
        MediaFormatError: The mode or the values cannot be converted without guessing.
    """
    check_decodable(image, where)
    plain = _to_plain(image, where)
    if plain is not image:
        # A color profile is of the mode that it was made for.
        profile = image.info.get("icc_profile") if _keeps_profile(image, plain) else None
        plain.info["icc_profile"] = profile
    return plain


def _to_plain(image: "PillowImage", where: str) -> "PillowImage":
    if image.mode in _DEEP_MODES:
        return _scale_gray(image, where)
    if image.has_transparency_data:
        return _on_white(image)
    if image.mode in _KEPT_MODES:
        return image
    if image.mode == "LAB":
        return _lab_to_rgb(image)
    mode = _CONVERTED_MODES.get(image.mode)
    if mode is None:
        raise MediaFormatError(
            f"An image of mode {image.mode!r} cannot be sent.",
            where=where,
            value=image.mode,
            limit=sorted({*_KEPT_MODES, *_CONVERTED_MODES, *_DEEP_MODES}),
            remedy="Convert it first: image.convert('RGB').",
        )
    return image.convert(mode)


def _keeps_profile(image: "PillowImage", plain: "PillowImage") -> bool:
    if image.mode in _GRAY | _SIXTEEN_BITS:
        return plain.mode in _GRAY
    return image.mode[:3] in {"P", "PA", "RGB"} and plain.mode in {"P", "RGB"}


def merge_deep(bands: Sequence["PillowImage"], where: str) -> "PillowImage":
    """Return the channels of an image, each of more than 8 bits, as one image of 8 bits.

    Args:
        bands: One for gray, two for gray and alpha, three for RGB, four for RGBA.
        where: The part, for errors.

    Raises:
        MediaFormatError: The values cannot be converted without guessing.
    """
    from PIL import Image  # noqa: PLC0415 - slow to import

    scaled = _scale(bands, where)
    return scaled[0] if len(scaled) == 1 else Image.merge(_MODES[len(scaled)], scaled)


def is_deep(image: Any) -> bool:
    """Return whether an image file that is not decoded yet has 16 bits a channel.

    Args:
        image: As Pillow opened it; its mode does not show it, since Pillow reads colors as 8 bits.
    """
    return any(";16" in str(tile[3]) for tile in image.tile)


def scale_key(image: Any) -> None:
    """Scale the transparent gray of a PNG of 2 or 4 bits, as Pillow scales its pixels, to 8 bits.

    Args:
        image: As Pillow opened it; it is not decoded yet.
    """
    key = image.info.get("transparency")
    rawmode = str(image.tile[0][3]) if image.tile else ""
    if image.format == "PNG" and isinstance(key, int) and rawmode in _KEY_SCALES:
        image.info["transparency"] = key * _KEY_SCALES[rawmode]


def is_white_zero(image: Any) -> bool:
    """Return whether an image is a TIFF of 16 bits in which 0 is white, as of X-ray scanners.

    Pillow turns those of 8 bits only.

    Args:
        image: As Pillow opened it; a copy lacks this information.
    """
    tags: Mapping[int, Any] = getattr(image, "tag_v2", {})
    return image.mode in _SIXTEEN_BITS and tags.get(_PHOTOMETRIC) == 0


def is_transparent(image: "PillowImage", where: str) -> bool:
    """Return whether anything of an image is transparent; it is decoded if that has to decide.

    Args:
        image: Stays as it is.
        where: The part, for errors.

    Raises:
        MediaTooLargeError: It would take more memory than is allowed.
    """
    if not image.has_transparency_data:
        return False
    check_decodable(image, where)
    # The mode that the header of an ICNS file names may not be that of its pixels.
    image.load()
    return _alpha(image).getextrema() != (_OPAQUE, _OPAQUE)


def to_jpeg_mode(image: "PillowImage") -> "PillowImage":
    """Return an image in a mode that JPEG has.

    Args:
        image: As `with_plain_mode` returns it.
    """
    return image.convert("L" if image.mode in {"1", "L"} else "RGB")


def _to_rgba(image: "PillowImage") -> "PillowImage":
    key = image.info.get("transparency")
    if isinstance(key, tuple) and max(key) > _MAX_8_BITS:
        # The transparent color of a PNG of 16 bits, which Pillow reads as 8.
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in key)
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def _alpha(image: "PillowImage") -> "PillowImage":
    is_apart = image.mode in {"LA", "RGBA", "PA"}
    return image.getchannel("A") if is_apart else _to_rgba(image).getchannel("A")


def _on_white(image: "PillowImage") -> "PillowImage":
    from PIL import Image  # noqa: PLC0415 - slow to import

    made = Image.new("L" if image.mode in _GRAY else "RGB", image.size)
    # In strips, since all of it would take four times the memory of the image.
    rows = max(_STRIP_PIXELS // image.width, 1)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        strip = _to_rgba(image.crop((0, top, image.width, bottom)))
        if strip.getchannel("A").getextrema() != (_OPAQUE, _OPAQUE):
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
        made.paste(strip.convert(made.mode), (0, top))
    made.info = {name: held for name, held in image.info.items() if name != "transparency"}
    return made


def _scale_gray(image: "PillowImage", where: str) -> "PillowImage":
    (scaled,) = _scale([image], where)
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return scaled
    from PIL import ImageMath  # noqa: PLC0415 - needed for transparent gray of 16 bits only

    deep = image.convert("I")
    is_key = ImageMath.lambda_eval(
        lambda held: held["convert"]((held["deep"] == key) * _OPAQUE, "L"), deep=deep
    )
    scaled.paste(_OPAQUE, mask=is_key)
    return scaled


def _scale(bands: Sequence["PillowImage"], where: str) -> list["PillowImage"]:
    """Scale channels of 16 bits or floats to 8 bits, all by the same factor."""
    is_float = bands[0].mode == "F"
    deep = [band if is_float else band.convert("I") for band in bands]
    ranges: list[Any] = [band.getextrema() for band in deep]
    low, high = min(one[0] for one in ranges), max(one[1] for one in ranges)
    if is_float:
        averages: list[Any] = [band.reduce(band.size).getpixel((0, 0)) for band in deep]
        if not all(map(math.isfinite, (low, high, *averages))):
            _refuse_values("values that are not numbers", where)
    # Interpolation overshoots a little.
    is_share = is_float and high <= 1 + _OVERSHOOT
    if low < (-_OVERSHOOT if is_share else 0) or high > _MAX_16_BITS:
        _refuse_values(f"values from {low:g} to {high:g}", where)
    scale, rounding = _UPPER_BYTE, 0.0
    if is_float and high <= _MAX_8_BITS:
        scale, rounding = (float(_MAX_8_BITS) if is_share else 1.0), 0.5
    elif not is_float and 0 < high < 1 / _UPPER_BYTE:
        warn(
            f"{where}: the image has 16 bits a channel, and no value above {high}: all of it is "
            "black. If its values go from 0 to 255, convert it first: image.convert('L')."
        )
    return [band.point(lambda value: value * scale + rounding).convert("L") for band in deep]


def _refuse_values(what: str, where: str) -> Never:
    raise MediaFormatError(
        f"The image has {what}, so that it is not known what is white.",
        where=where,
        value=what,
        limit="0 to 1 or 0 to 255 as floats, 0 to 65,535 as integers",
        remedy="Scale its values to 0 to 255, and convert it to 8 bits: image.convert('L').",
    )


def _lab_to_rgb(image: "PillowImage") -> "PillowImage":
    from PIL import ImageCms  # noqa: PLC0415 - only needed for this mode

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    return converted or image
