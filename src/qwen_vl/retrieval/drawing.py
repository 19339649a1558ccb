"""Cited pages, images and frames, with the quoted words outlined."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from qwen_vl.documents.page_images import PageOrigin
from qwen_vl.media.pdf.page_text import FractionBox
from qwen_vl.request.types import MediaPolicy
from qwen_vl.retrieval.citations import Citation
from qwen_vl.retrieval.files import Unit

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_Rectangle: TypeAlias = tuple[int, int, int, int]

_DPI = 110.0
# So that the outline does not touch the letters, as a fraction of the page.
_MARGIN = 0.004
# Pixels between a number and its words; and how much paper varies in scans.
_GAP, _NOISE = 2, 32
_LEAST_LETTERS, _MOST_LETTERS, _LETTERS_PER_SIDE = 12, 40, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedImage:
    """An image of what was cited.

    Args:
        unit: The page, image or frame.
        numbers: Numbers of its source in the answer.
        image: In RGB, upright.
    """

    unit: Unit
    numbers: tuple[int, ...]
    image: "PillowImage"


def draw_citations(
    citations: Iterable[Citation], policy: MediaPolicy | None = None
) -> list[CitedImage]:
    """Draw each cited page, image and frame once, with the quoted words outlined.

    Texts, whole videos, and what is not in a file of this machine, are left out.

    Args:
        citations: Of an answer.
        policy: Limits of reading files; the default policy if `None`.

    Raises:
        MediaError: A file cannot be read.
    """
    grouped: dict[Unit, list[Citation]] = {}
    for citation in citations:
        if citation.unit.has_image:
            grouped.setdefault(citation.unit, []).append(citation)
    return [
        CitedImage(
            unit=unit,
            numbers=tuple(sorted({citation.number for citation in cited})),
            image=_draw(unit, cited, policy or MediaPolicy()),
        )
        for unit, cited in grouped.items()
    ]


def _draw(unit: Unit, citations: Sequence[Citation], policy: MediaPolicy) -> "PillowImage":
    from PIL import ImageDraw  # noqa: PLC0415 - slow to import

    from qwen_vl.documents.drawing import fill_box, place_beside  # noqa: PLC0415 - with Pillow
    from qwen_vl.grounding.drawing.labels import (  # noqa: PLC0415 - with Pillow
        PALETTE,
        Lettering,
        draw_label,
    )

    image = open_unit(unit, policy)
    blank = image.convert("L")
    boxed = [
        (citation.number, [_to_pixels(box, image.size) for box in boxes])
        for citation in citations
        if (boxes := citation.line_boxes or _to_list(citation.box))
    ]
    letters = min(max(min(image.size) // _LETTERS_PER_SIDE, _LEAST_LETTERS), _MOST_LETTERS)
    lettering = Lettering(letters)
    taken: list[_Rectangle] = []
    for number, boxes in boxed:
        color = PALETTE[(number - 1) % len(PALETTE)]
        for box in boxes:
            fill_box(image, box, color)
            ImageDraw.Draw(image).rectangle(box, outline=color, width=max(2, letters // 8))
        label = lettering.make(str(number), image.width)
        margin = _find_margin(blank, label.size, boxes[0], taken)
        taken.append(margin or place_beside(label.size, boxes[0], image.size, taken))
        draw_label(image, label, taken[-1][:2], color)
    return image


def open_unit(unit: Unit, policy: MediaPolicy) -> "PillowImage":
    """Decode a page, image or frame.

    Args:
        unit: What was found.
        policy: Limits of reading files.

    Raises:
        MediaError: The file cannot be read.
    """
    if unit.kind == "frame":
        frame: Any = unit.to_part(policy)
        return frame.source.image  # type: ignore[no-any-return]
    origin = PageOrigin(source=Path(unit.path), page=unit.number, dpi=_DPI, policy=policy)
    return origin.open(None)


def _find_margin(
    page: "PillowImage", size: tuple[int, int], box: _Rectangle, taken: Sequence[_Rectangle]
) -> _Rectangle | None:
    """Find where a number hides nothing: at the height of its words, the nearest to their left."""
    width, height = size
    top = min(box[1], page.height - height)
    for left in range(box[0] - width - _GAP, -1, -max(1, width // 2)):
        place = (left, top, left + width, top + height)
        if _is_free(place, taken) and _is_blank(page, place):
            return place
    return None


def _is_free(place: _Rectangle, taken: Sequence[_Rectangle]) -> bool:
    x1, y1, x2, y2 = place
    return all(x1 >= x4 or x3 >= x2 or y1 >= y4 or y3 >= y2 for x3, y3, x4, y4 in taken)


def _is_blank(page: "PillowImage", place: _Rectangle) -> bool:
    darkest, lightest = page.crop(place).getextrema()
    return float(lightest) - float(darkest) <= _NOISE  # type: ignore[arg-type]  # Of one band.


def _to_list(box: FractionBox | None) -> Sequence[FractionBox]:
    return () if box is None else (box,)


def _to_pixels(box: FractionBox, size: tuple[int, int]) -> _Rectangle:
    width, height = size
    x1, y1, x2, y2 = box
    return (
        round(max(0.0, x1 - _MARGIN) * width),
        round(max(0.0, y1 - _MARGIN) * height),
        round(min(1.0, x2 + _MARGIN) * width),
        round(min(1.0, y2 + _MARGIN) * height),
    )
