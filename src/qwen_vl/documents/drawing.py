"""The layout of a page, drawn on it: each block in the color of its kind, with a legend."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from qwen_vl.documents.blocks import Block
from qwen_vl.grounding.drawing.labels import (
    PALETTE,
    Color,
    Label,
    Lettering,
    Rectangle,
    draw_label,
    place_label,
)
from qwen_vl.grounding.drawing.opened import open_upright
from qwen_vl.request.types import MediaPolicy

# Their colors do not change from page to page.
_KINDS = ("table", "image", "heading", "paragraph", "chart", "list_item", "formula", "caption")
_LEAST_LETTERS, _MOST_LETTERS = 10, 40
_LETTERS_PER_SIDE = 70
_GROUND: Color = (247, 247, 245)
_INK: Color = (30, 32, 36)
_OPACITY = 0.14
_CUT = " (cut off)"


def draw_layout(
    source: object,
    blocks: Sequence[Block],
    *,
    font: str | Path | None = None,
    legend: bool = True,
    policy: MediaPolicy | None = None,
) -> Image.Image:
    """Draw the blocks of a page on it.

    Each box has the color of its kind and the number of its block, from 1 on, in reading order. The
    legend below the page has the kinds, with the number of their blocks, and how many blocks
    lack a box.

    Args:
        source: The page at the size that boxes refer to: a `pathlib.Path`, bytes, an
            open file, a `PIL.Image` or an array. It stays as it is.
        blocks: Of this page.
        font: File of a font for the labels, or its name.
        legend: Whether a legend stands below the page.
        policy: Which files may be read; the default policy if `None`.

    Returns:
        An image in RGB, as wide as the page.

    Raises:
        MediaError: The image cannot be read.
        ConfigurationError: The font cannot be read.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> cat = Block(kind="image", box=(90, 20, 330, 290))
        >>> draw_layout(CHELSEA, [cat], legend=False).size
        (451, 300)
    """
    image = open_upright(source, policy or MediaPolicy())
    side = min(image.size)
    letters = min(max(side // _LETTERS_PER_SIDE, _LEAST_LETTERS), _MOST_LETTERS)
    lettering = Lettering(letters, font)
    colors = _find_colors(blocks)
    boxed = [(number, block) for number, block in enumerate(blocks, 1) if block.box]
    for _, block in boxed:
        fill_box(image, block.box or (0, 0, 0, 0), colors[block.kind])
    draw = ImageDraw.Draw(image)
    line = max(2, letters // 6)
    for _, block in boxed:
        x1, y1, x2, y2 = block.box or (0, 0, 0, 0)
        edges = (x1, y1, max(x2 - 1, x1), max(y2 - 1, y1))
        draw.rectangle(edges, outline=colors[block.kind], width=line)
    taken: list[Rectangle] = []
    for number, block in boxed:
        label = lettering.make(f"{number}{_CUT if block.is_cut else ''}", image.width)
        place = place_beside(label.size, block.box or (0, 0, 0, 0), image.size, taken)
        taken.append(place)
        draw_label(image, label, place[:2], colors[block.kind])
    if legend and blocks:
        image = _add_legend(image, blocks, colors, lettering, letters)
    lettering.warn()
    return image


def place_beside(
    size: tuple[int, int], box: Rectangle, image: tuple[int, int], taken: Sequence[Rectangle]
) -> Rectangle:
    """Choose where a number stands: in the margin beside its box, where there is room for it.

    Args:
        size: Of its plate.
        box: The box that it belongs to.
        image: Width and height.
        taken: Where numbers stand already.
    """
    left, top = box[0] - size[0] - 2, min(box[1], image[1] - size[1])
    beside = (left, top, left + size[0], top + size[1])
    is_free = all(
        beside[0] >= other[2]
        or other[0] >= beside[2]
        or beside[1] >= other[3]
        or other[1] >= beside[3]
        for other in taken
    )
    return beside if left >= 0 and top >= 0 and is_free else place_label(size, box, image, taken)


def fill_box(image: Image.Image, box: Rectangle, color: Color) -> None:
    """Tint a part of an image, so that what is below can still be read.

    Args:
        image: Is drawn on.
        box: The part.
        color: Of the tint.
    """
    under = image.crop(box)
    tint = Image.new("RGB", under.size, color)
    image.paste(Image.blend(under, tint, _OPACITY), (box[0], box[1]))


def _find_colors(blocks: Sequence[Block]) -> dict[str, Color]:
    kinds = dict.fromkeys((*_KINDS, *(block.kind for block in blocks)))
    return {kind: PALETTE[number % len(PALETTE)] for number, kind in enumerate(kinds)}


def _add_legend(
    image: Image.Image,
    blocks: Sequence[Block],
    colors: dict[str, Color],
    lettering: Lettering,
    letters: int,
) -> Image.Image:
    counts = {kind: sum(block.kind == kind for block in blocks) for kind in colors}
    labels: list[tuple[Label, Color]] = [
        (lettering.make(f"{kind.replace('_', ' ')} · {count}", image.width), colors[kind])
        for kind, count in counts.items()
        if count
    ]
    gap = letters
    corners: list[tuple[int, int]] = []
    x, y, height = gap, gap, labels[0][0].size[1]
    for label, _ in labels:
        if x > gap and x + label.size[0] + gap > image.width:
            x, y = gap, y + height + gap // 2
        corners.append((x, y))
        x += label.size[0] + gap
    n_unboxed = sum(block.box is None for block in blocks)
    y += height + gap // 2
    words = lettering.make(f"{n_unboxed} of {len(blocks)} blocks lack a box", image.width)
    whole = Image.new(
        "RGB",
        (image.width, image.height + y + (height + gap // 2 if n_unboxed else gap // 2)),
        _GROUND,
    )
    whole.paste(image, (0, 0))
    for (label, color), (left, top) in zip(labels, corners, strict=True):
        draw_label(whole, label, (left, image.height + top), color)
    if n_unboxed:
        where = (gap, image.height + y)
        ImageDraw.Draw(whole).text(where, words.text, font=words.font, fill=_INK)
    return whole
