"""A mean color, as numbers and as text."""

import colorsys
import io
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageChops

from qwen_vl_sandbox.media.fetch import Content

_HUES = (
    (15, "red"),
    (45, "orange"),
    (70, "yellow"),
    (165, "green"),
    (195, "cyan"),
    (255, "blue"),
    (290, "purple"),
    (345, "pink"),
    (361, "red"),
)
_GREYS = ((0.15, "black"), (0.4, "dark gray"), (0.65, "gray"), (0.9, "light gray"), (2.0, "white"))
_DARK = {"orange": "brown", "yellow": "olive", "cyan": "teal"}
_DARK_BELOW = 0.65
_BLACK_BELOW = 0.12
_GREY_BELOW = 0.1
_PALE_BELOW = 0.35


@dataclass(frozen=True, slots=True)
class Color:
    """An RGB color.

    Example:
        >>> str(Color(138, 112, 92))
        '#8a705c (brownish gray)'
    """

    red: int
    green: int
    blue: int

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x} ({self.name})"

    @property
    def name(self) -> str:
        """The color as text."""
        hue, saturation, value = colorsys.rgb_to_hsv(
            self.red / 255, self.green / 255, self.blue / 255
        )
        if value < _BLACK_BELOW:
            return "black"
        if saturation < _GREY_BELOW:
            return next(word for limit, word in _GREYS if value < limit)
        word = next(word for limit, word in _HUES if hue * 360 < limit)
        if value < _DARK_BELOW:
            word = _DARK.get(word, word)
        if saturation < _PALE_BELOW:
            return f"{word.removesuffix('e')}ish gray"
        return word


_LEAST_SATURATION = 0.5
_LEAST_VALUE = 0.25
# Where each hue begins and ends, in degrees; red goes on at 0.
_HUE_RANGES = {
    "red": ((0, 16), (345, 361)),
    "orange": ((16, 45),),
    "yellow": ((45, 70),),
    "green": ((70, 165),),
    "cyan": ((165, 200),),
    "blue": ((200, 255),),
    "purple": ((255, 290),),
    "pink": ((290, 345),),
}
_BYTE = 255


@dataclass(frozen=True, slots=True)
class Place:
    """The box around a color, in pixels of the image as it came."""

    word: str
    box: tuple[int, int, int, int]


@lru_cache(maxsize=16)
def find_boxes(content: Content, colors: tuple[tuple[str, str], ...]) -> tuple[Place, ...]:
    """Find the colors that are in an image.

    Args:
        content: An image that can be decoded.
        colors: Each color's name, and the word that was said for it.
    """
    with Image.open(io.BytesIO(content.data)) as opened:
        hue, saturation, value = opened.convert("RGB").convert("HSV").split()
    vivid = ImageChops.darker(
        saturation.point(lambda level: _BYTE if level >= _LEAST_SATURATION * _BYTE else 0),
        value.point(lambda level: _BYTE if level >= _LEAST_VALUE * _BYTE else 0),
    )
    found = []
    for name, word in colors:
        ranges = _HUE_RANGES[name]
        of_hue = hue.point(
            [
                _BYTE if any(low <= level * 360 / _BYTE < high for low, high in ranges) else 0
                for level in range(256)
            ]
        )
        box = ImageChops.darker(of_hue, vivid).getbbox()
        if box:
            found.append(Place(word, box))
    return tuple(found)
