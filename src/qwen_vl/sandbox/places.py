"""Where a colour is in a picture: the box around all of it, to the pixel."""

import io
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageChops

from qwen_vl.sandbox.sources import Content

_LEAST_SATURATION = 0.5
_LEAST_VALUE = 0.25
# Where each hue begins and ends, in degrees; red goes on at 0.
_HUES = {
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
    """The box around a colour, in pixels of the picture as it came."""

    word: str
    box: tuple[int, int, int, int]


@lru_cache(maxsize=16)
def find_places(content: Content, colours: tuple[tuple[str, str], ...]) -> tuple[Place, ...]:
    """Find the colours that are in a picture.

    Args:
        content: A picture that can be decoded.
        colours: Each colour's name, and the word that was said for it.
    """
    with Image.open(io.BytesIO(content.data)) as opened:
        hue, saturation, value = opened.convert("RGB").convert("HSV").split()
    vivid = ImageChops.darker(
        saturation.point(lambda level: _BYTE if level >= _LEAST_SATURATION * _BYTE else 0),
        value.point(lambda level: _BYTE if level >= _LEAST_VALUE * _BYTE else 0),
    )
    found = []
    for name, word in colours:
        ranges = _HUES[name]
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
