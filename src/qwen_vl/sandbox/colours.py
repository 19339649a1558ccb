"""A mean colour, in figures and in words."""

import colorsys
from dataclasses import dataclass

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
_GREYS = ((0.15, "black"), (0.4, "dark grey"), (0.65, "grey"), (0.9, "light grey"), (2.0, "white"))
_DARK = {"orange": "brown", "yellow": "olive", "cyan": "teal"}
_DARK_BELOW = 0.65
_BLACK_BELOW = 0.12
_GREY_BELOW = 0.1
_PALE_BELOW = 0.35


@dataclass(frozen=True, slots=True)
class Colour:
    """An RGB colour.

    Example:
        >>> str(Colour(138, 112, 92))
        '#8a705c (brownish grey)'
    """

    red: int
    green: int
    blue: int

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x} ({self.name})"

    @property
    def name(self) -> str:
        """The colour in words."""
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
            return f"{word.removesuffix('e')}ish grey"
        return word
