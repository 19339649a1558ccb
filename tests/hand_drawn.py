"""What drawings are compared with: plates laid out in figures, with Pillow alone."""

import numpy as np
from PIL import Image, ImageDraw

from qwen_vl.grounding.drawing.fonts import find_font

Color = tuple[int, int, int]
Place = tuple[int, int]

DARK: Color = (16, 18, 22)
WHITE: Color = (255, 255, 255)
# Orange, blue, yellow, green, pink, lime, violet, rose, cyan, brown.
COLORS: tuple[Color, ...] = (
    (255, 90, 54),
    (31, 162, 255),
    (255, 196, 0),
    (23, 195, 162),
    (224, 85, 200),
    (139, 210, 47),
    (107, 72, 255),
    (255, 143, 163),
    (0, 212, 255),
    (201, 139, 43),
)
# Pixels beside and above the words, by the height of the letters: 0.4 and 0.22 of it.
PADDING = {
    10: (4, 2),
    12: (5, 3),
    13: (5, 3),
    15: (6, 3),
    16: (6, 4),
    18: (7, 4),
    20: (8, 4),
    24: (10, 5),
    40: (16, 9),
    48: (19, 11),
}


def soften(size: Place, radius: int) -> Image.Image:
    """Draw a rectangle with round corners four times as large, and downscale it."""
    large = Image.new("L", (4 * size[0], 4 * size[1]))
    edges = (0, 0, 4 * size[0] - 1, 4 * size[1] - 1)
    ImageDraw.Draw(large).rounded_rectangle(edges, 4 * radius, fill=255)
    return large.resize(size, Image.Resampling.BOX)


def measure_plate(text: str, letters: int) -> tuple[int, int]:
    """Return the width and height of a plate with words."""
    font = find_font(text, letters)
    assert font is not None
    ascent, descent = font.getmetrics()
    beside, above = PADDING[letters]
    return round(font.getlength(text)) + 2 * beside, ascent + descent + 2 * above


def put_plate(image: Image.Image, text: str, letters: int, corner: Place, color: Color) -> None:
    """Draw words on a plate whose corners have a fifth of its height as radius."""
    size = measure_plate(text, letters)
    image.paste(color, corner, soften(size, size[1] // 5))
    beside, above = PADDING[letters]
    ink = WHITE if color == COLORS[6] else DARK
    font = find_font(text, letters)
    place = (corner[0] + beside, corner[1] + above)
    ImageDraw.Draw(image).text(place, text, font=font, fill=ink)


def assert_same(drawn: Image.Image, expected: Image.Image) -> None:
    """Compare two images pixel by pixel."""
    assert drawn.size == expected.size
    differing = np.argwhere((np.asarray(drawn) != np.asarray(expected)).any(axis=2))
    assert differing.size == 0, f"from {differing.min(axis=0)} to {differing.max(axis=0)}"
