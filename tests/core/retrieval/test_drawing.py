"""Citations, compared pixel by pixel with ones that are drawn by hand."""

from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw

from hand_drawn import COLORS, assert_same, measure_plate, put_plate
from qwen_vl.retrieval.answer import Citation
from qwen_vl.retrieval.drawing import draw_citations
from qwen_vl.retrieval.files import Unit


# A fiftieth of the shorter side, but from 12 to 40 pixels; lines have an eighth, but at least two.
@pytest.mark.parametrize(
    ("size", "letters", "line"),
    [((400, 300), 12, 2), ((750, 800), 15, 2), ((1500, 1200), 24, 3), ((2050, 2100), 40, 5)],
)
def test_quotes_are_outlined(
    size: tuple[int, int], letters: int, line: int, tmp_path: Path
) -> None:
    Image.new("RGB", size, "white").save(tmp_path / "page.png")
    unit = Unit(path=str(tmp_path / "page.png"), kind="image", digest="")
    boxes = {
        1: (0.25, 0.1, 0.5, 0.2),
        2: (0.25, 0.3, 0.75, 0.4),
        11: (0.0, 0.002, 0.999, 1.0),
    }
    [drawn] = draw_citations(
        Citation(number=number, unit=unit, box=box) for number, box in boxes.items()
    )

    expected = Image.new("RGB", size, "white")
    width, height = size
    # Four thousandths of the page around the words, as far as the page goes.
    places = {
        1: (0.246 * width, 0.096 * height, 0.504 * width, 0.204 * height),
        2: (0.246 * width, 0.296 * height, 0.754 * width, 0.404 * height),
        11: (0, 0, width, height),
    }
    for number, place in places.items():
        x1, y1, x2, y2 = map(round, place)
        # The colors are those of the numbers, and begin again behind the tenth.
        color = COLORS[{1: 0, 2: 1, 11: 0}[number]]
        tint = Image.new("RGB", (x2 - x1, y2 - y1), color)
        expected.paste(Image.blend(expected.crop((x1, y1, x2, y2)), tint, 0.14), (x1, y1))
        ImageDraw.Draw(expected).rectangle((x1, y1, x2, y2), outline=color, width=line)
        plate = measure_plate(str(number), letters)
        # Beside the box, or in it where there is no margin.
        corner = (x1 - plate[0] - 2, y1) if x1 else (0, 0)
        put_plate(expected, str(number), letters, corner, color)
    assert drawn.numbers == (1, 2, 11)
    assert_same(drawn.image, expected)


def test_numbers_hide_no_words(tmp_path: Path) -> None:
    page = Image.new("RGB", (400, 300), "white")
    # Words to the left of the quotes, and a margin of 60 pixels.
    for x in range(60, 190, 4):
        ImageDraw.Draw(page).line((x, 100, x, 130), fill="black")
    page.save(tmp_path / "page.png")
    unit = Unit(path=str(tmp_path / "page.png"), kind="image", digest="")
    line_boxes = ((0.5, 0.35, 0.9, 0.4), (0.2, 0.45, 0.5, 0.5))
    quotes = [
        Citation(number=1, unit=unit, box=(0.2, 0.35, 0.9, 0.5), line_boxes=line_boxes),
        Citation(number=1, unit=unit, box=line_boxes[0], line_boxes=line_boxes[:1]),
    ]

    [drawn] = draw_citations(quotes)

    difference = ImageChops.difference(drawn.image, page).convert("L")
    # The words are as they were, and both numbers stand in the margin.
    assert difference.crop((60, 100, 190, 130)).getbbox() is None
    margin = difference.crop((0, 90, 60, 140)).getbbox()
    assert margin is not None
    assert difference.crop((0, 90, 60, 140)).point(bool).histogram()[1] > 200
    # Between the two lines nothing is colored.
    assert difference.getpixel((300, 145)) == 0
    assert difference.getpixel((300, 113)) > 0
