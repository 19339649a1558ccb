"""Boxes and points, drawn on the image that they were found in."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from qwen_vl.errors import ConfigurationError
from qwen_vl.grounding.drawing.labels import (
    DARK,
    LIGHT,
    PALETTE,
    SMOOTHING,
    Color,
    Lettering,
    Rectangle,
    draw_label,
    place_label,
)
from qwen_vl.grounding.drawing.opened import open_upright
from qwen_vl.grounding.results import Box, Grounding, Point
from qwen_vl.request.types import MediaPolicy

_LEAST_LETTERS, _MOST_LETTERS = 12, 48
# A thirtieth of the shorter side is read at a glance, and hides little.
_LETTERS_PER_SIDE = 30
_LINE_PER_LETTERS = 0.16
_POINT_PER_LETTERS = 0.42


def draw_grounding(
    source: object,
    grounding: Grounding,
    *,
    font: str | Path | None = None,
    policy: MediaPolicy | None = None,
) -> Image.Image:
    """Draw boxes and points with their labels on the image that they were found in.

    Each label has its own color. Lines have an edge, and words a plate, so that both stand
    out from any ground. Where no font here has the signs of a label, a number stands for it, and
    a warning says which.

    Args:
        source: The original image: a `pathlib.Path`, bytes, an open file, a `PIL.Image` or an
            array. It stays as it is.
        grounding: What was found in it.
        font: File of a font for the labels, or its name.
        policy: Which files may be read; the default policy if `None`.

    Returns:
        An image in RGB, upright, of the original's size.

    Raises:
        MediaError: The image cannot be read.
        ConfigurationError: It is of another size than the one that the places are in, or the font
            cannot be read.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> cat = Box(x1=90, y1=20, x2=330, y2=290, label="cat")
        >>> found = Grounding(boxes=(cat,), width=451, height=300, space="normalized")
        >>> draw_grounding(CHELSEA, found).size
        (451, 300)
    """
    image = open_upright(source, policy or MediaPolicy())
    if image.size != (grounding.width, grounding.height):
        raise ConfigurationError(
            f"The boxes are in an image of {grounding.width} x {grounding.height} pixels, and "
            f"this one has {image.width} x {image.height}. Pass the original image."
        )
    side = min(image.size)
    letters = min(max(side // _LETTERS_PER_SIDE, _LEAST_LETTERS), _MOST_LETTERS)
    sketch = _Sketch(image, Lettering(letters, font), letters)
    colors = _colors(grounding.labels)
    for box in grounding.boxes:
        sketch.outline(box, colors[box.label])
    for point in grounding.points:
        sketch.dot(point, colors[point.label])
    # Labels last, so that no line crosses one.
    for found in grounding:
        sketch.label(found, colors[found.label])
    sketch.lettering.warn()
    return image


class _Sketch:
    def __init__(self, image: Image.Image, lettering: Lettering, letters: int) -> None:
        self.lettering = lettering
        self._image = image
        self._draw = ImageDraw.Draw(image)
        self._line = round(letters * _LINE_PER_LETTERS)
        self._radius = round(letters * _POINT_PER_LETTERS)
        self._taken: list[Rectangle] = []

    def outline(self, box: Box, color: Color) -> None:
        if box.corners:
            self._outline_turned(box.corners, color)
            return
        x1, y1, x2, y2 = _whole(box)
        inner = (x1, y1, max(x2 - 1, x1), max(y2 - 1, y1))
        # An edge around the colored line, and one within it, of a pixel each.
        for inset, ink, width in ((-1, DARK, self._line + 2), (0, color, self._line)):
            edges = (inner[0] + inset, inner[1] + inset, inner[2] - inset, inner[3] - inset)
            self._draw.rectangle(edges, outline=ink, width=width)

    def _outline_turned(self, corners: Sequence[tuple[float, float]], color: Color) -> None:
        left, top = (int(min(values)) - self._line for values in zip(*corners, strict=True))
        right, low = (int(max(values)) + self._line + 1 for values in zip(*corners, strict=True))
        size = ((right - left) * SMOOTHING, (low - top) * SMOOTHING)
        path = [((x - left) * SMOOTHING, (y - top) * SMOOTHING) for x, y in corners]
        for ink, width in ((DARK, self._line + 2), (color, self._line)):
            mask = Image.new("L", size)
            closed = [*path, path[0], path[1]]
            ImageDraw.Draw(mask).line(closed, fill=255, width=width * SMOOTHING, joint="curve")
            small = mask.resize((right - left, low - top), Image.Resampling.BOX)
            self._image.paste(ink, (left, top), small)

    def dot(self, point: Point, color: Color) -> None:
        radius = self._radius
        side = 2 * radius + 5
        left, top = round(point.x) - side // 2, round(point.y) - side // 2
        for ink, size in ((DARK, radius + 2), (LIGHT, radius + 1), (color, radius - 1)):
            mask = Image.new("L", (side * SMOOTHING, side * SMOOTHING))
            middle, reach = side * SMOOTHING / 2, size * SMOOTHING
            edges = (middle - reach, middle - reach, middle + reach, middle + reach)
            ImageDraw.Draw(mask).ellipse(edges, fill=255)
            small = mask.resize((side, side), Image.Resampling.BOX)
            self._image.paste(ink, (left, top), small)

    def label(self, found: Box | Point, color: Color) -> None:
        if not found.label.strip():
            return
        label = self.lettering.make(found.label, self._image.width)
        place = place_label(label.size, self._anchor(found), self._image.size, self._taken)
        self._taken.append(place)
        draw_label(self._image, label, place[:2], color)

    def _anchor(self, found: Box | Point) -> Rectangle:
        if isinstance(found, Box):
            return _whole(found)
        x, y, reach = round(found.x), round(found.y), self._radius + 3
        return x - reach, y - reach, x + reach, y + reach


def _whole(box: Box) -> Rectangle:
    x1, y1, x2, y2 = map(round, box.xyxy)
    return x1, y1, x2, y2


def _colors(labels: Sequence[str]) -> dict[str, Color]:
    return {label: PALETTE[number % len(PALETTE)] for number, label in enumerate(labels)}
