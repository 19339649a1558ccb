"""Labels: text on a plate, so that it can be read on any background."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageColor, ImageDraw
from PIL.ImageFont import FreeTypeFont

from qwen_vl.errors import warn
from qwen_vl.grounding.drawing.fonts import find_font

Rectangle = tuple[int, int, int, int]
Color = tuple[int, int, int]

# Bright, and distinguishable with color blindness (after Okabe and Ito).
PALETTE: tuple[Color, ...] = tuple(
    ImageColor.getrgb(name)[:3]
    for name in (
        *("#ff5a36", "#1fa2ff", "#ffc400", "#17c3a2", "#e055c8", "#8bd22f", "#6b48ff", "#ff8fa3"),
        *("#00d4ff", "#c98b2b"),
    )
)
DARK, LIGHT = (16, 18, 22), (255, 255, 255)

# What is round is drawn larger, and then downscaled: Pillow draws no soft edges.
SMOOTHING = 4
_ELLIPSIS = "…"
# No image has room for more in one line, and Pillow measures no more than a million.
_MAX_CHARS = 10_000
# Where there are more, none of them can be read, and each is compared with all the others.
_MAX_NEIGHBOURS = 512


@dataclass(frozen=True, slots=True)
class Label:
    """Words that fit.

    Args:
        text: What is written, cut where it was too long.
        font: By which.
        size: Width and height of its plate in pixels.
        padding: Pixels around the words.
    """

    text: str
    font: FreeTypeFont
    size: tuple[int, int]
    padding: tuple[int, int]


class Lettering:
    """Chooses fonts for all words of one image, and warns once of those that cannot be written.

    Args:
        size: Of the letters, in pixels.
        font: File of a font, or its name; `None` for the best that is here.
    """

    def __init__(self, size: int, font: str | Path | None = None) -> None:
        self._size = size
        self._font = font
        self._numbers: dict[str, str] = {}

    def make(self, text: str, most_width: float) -> Label:
        """Create a label.

        Args:
            text: In one line; where no font here has its signs, a number stands for it.
            most_width: Pixels that its plate may be wide.
        """
        text = " ".join(text[:_MAX_CHARS].split())
        font = self.font_for(text)
        if font is None:
            text = self._numbers.setdefault(text, f"#{len(self._numbers) + 1}")
            font = self.plain_font()
        padding = round(self._size * 0.4), round(self._size * 0.22)
        text = cut_to_width(text, font, most_width - 2 * padding[0])
        ascent, descent = font.getmetrics()
        width = round(font.getlength(text)) + 2 * padding[0]
        return Label(text, font, (width, ascent + descent + 2 * padding[1]), padding)

    def font_for(self, text: str) -> FreeTypeFont | None:
        """Find a font for a text; `None` where none here has its signs."""
        return find_font(text, self._size, self._font)

    def plain_font(self) -> FreeTypeFont:
        """Return the font for what is plain ASCII."""
        font = self.font_for("#0123456789")
        if font is None:  # Pillow's own has these.
            raise AssertionError
        return font

    def warn(self) -> None:
        """Return which labels are numbers, if any are."""
        if not self._numbers:
            return
        meant = ", ".join(f"{number} is {text!r}" for text, number in self._numbers.items())
        warn(
            f"No font here has all signs of these labels, so that numbers stand for them: {meant}. "
            'For Chinese and Japanese: pip install "qwen-vl[fonts]"; for others pass font=….'
        )


def cut_to_width(text: str, font: FreeTypeFont, width: float) -> str:
    """Truncate text to a width in pixels.

    Args:
        text: In one line.
        font: By which it is written.
        width: Pixels.
    """
    if count_fitting(text, font, width) == len(text):
        return text
    count = count_fitting(text, font, width, _ELLIPSIS)
    return text[:count].rstrip() + _ELLIPSIS if count else text[:1]


def count_fitting(text: str, font: FreeTypeFont, width: float, end: str = "") -> int:
    """Count the characters of a text that fit into a width.

    Args:
        text: In one line.
        font: By which it is written.
        width: Pixels.
        end: What is written behind a text that is cut, without spaces before it.
    """

    def fits(count: int) -> bool:
        start = text[:count].rstrip() if end else text[:count]
        return font.getlength(start + end) <= width

    # No more is measured than about twice what fits, however long the text is.
    high = 1
    while high < len(text) and fits(high):
        high *= 2
    low, high = high // 2, min(high, len(text))
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low


def place_label(
    size: tuple[int, int], anchor: Rectangle, image: tuple[int, int], taken: Sequence[Rectangle]
) -> Rectangle:
    """Choose where a label stands: at its box, in the image, and on no other label if it can.

    Args:
        size: Of its plate.
        anchor: The box that it belongs to.
        image: Width and height.
        taken: Where labels stand already.
    """
    width, high = size
    x1, y1, x2, y2 = anchor
    # Above the upper edge, below the lower one, then inside; at the left end before the right.
    corners = [(x, y) for y in (y1 - high, y2, y1, y2 - high) for x in (x1, x2 - width)]
    whole = [
        (x, y, x + width, y + high)
        for x, y in corners
        if x >= 0 and y >= 0 and x + width <= image[0] and y + high <= image[1]
    ]
    near = taken[-_MAX_NEIGHBOURS:]
    free = next((each for each in whole if not any(_overlap(each, one) for one in near)), None)
    if free or whole:
        return free or whole[0]
    x = min(max(x1, 0), max(image[0] - width, 0))
    y = min(max(y1 - high, 0), max(image[1] - high, 0))
    return x, y, x + width, y + high


def draw_label(image: Image.Image, label: Label, corner: tuple[int, int], color: Color) -> None:
    """Draw a label on its plate.

    Args:
        image: Is drawn on.
        label: Words.
        corner: Left and top of its plate.
        color: Of the plate; the text is dark or light, for contrast.
    """
    plate = rounded_mask(label.size, label.size[1] // 5)
    image.paste(color, corner, plate)
    ImageDraw.Draw(image).text(
        (corner[0] + label.padding[0], corner[1] + label.padding[1]),
        label.text,
        font=label.font,
        fill=ink_on(color),
    )


def rounded_mask(size: tuple[int, int], radius: int) -> Image.Image:
    """Create the mask of a rectangle with round corners and soft edges.

    Args:
        size: Pixels.
        radius: Pixels.
    """
    large = Image.new("L", (size[0] * SMOOTHING, size[1] * SMOOTHING))
    edges = (0, 0, large.width - 1, large.height - 1)
    ImageDraw.Draw(large).rounded_rectangle(edges, radius * SMOOTHING, fill=255)
    return large.resize(size, Image.Resampling.BOX)


def ink_on(color: Color) -> Color:
    """Choose dark or light text, for more contrast (WCAG 2.2, relative luminance).

    Args:
        color: Of the ground.

    Example:
        >>> ink_on((255, 255, 0)), ink_on((0, 0, 128))
        ((16, 18, 22), (255, 255, 255))
    """
    ground = _luminance(color)
    dark = (ground + 0.05) / (_luminance(DARK) + 0.05)
    light = 1.05 / (ground + 0.05)
    return DARK if dark >= light else LIGHT


def _luminance(color: Color) -> float:
    parts = [value / 255 for value in color]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
