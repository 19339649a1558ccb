"""The layout of a page, compared pixel by pixel with one that is drawn by hand."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hand_drawn import COLORS, assert_same, measure_plate, put_plate
from qwen_vl.documents.blocks import Block
from qwen_vl.documents.drawing import draw_layout, place_beside
from qwen_vl.grounding.drawing import find_font

Rectangle = tuple[int, int, int, int]

# Tables have the first color, images the second; paragraphs the fourth, and captions the eighth.
TABLE, IMAGE, PARAGRAPH, CAPTION, OTHER = COLORS[0], COLORS[1], COLORS[3], COLORS[7], COLORS[8]
GROUND, INK = (247, 247, 245), (30, 32, 36)


# A seventieth of the shorter side, but from 10 to 40 pixels; lines have a sixth, but at least two.
@pytest.mark.parametrize(
    ("size", "letters", "line"),
    [
        ((400, 300), 10, 2),
        ((840, 900), 12, 2),
        ((1300, 1260), 18, 3),
        ((2870, 2880), 40, 6),
    ],
)
def test_blocks(size: tuple[int, int], letters: int, line: int) -> None:
    boxes = {
        (100, 20, 200, 60): ("table", TABLE),
        (100, 100, 190, 140): ("paragraph", PARAGRAPH),
        (100, 180, 100, 180): ("caption", CAPTION),
        (150, 260, 250, size[1]): ("stamp", OTHER),
    }
    blocks = [Block(kind=kind, box=box) for box, (kind, _) in boxes.items()]
    drawn = draw_layout(
        Image.new("RGB", size, (200, 200, 200)), [Block(kind="image"), *blocks], legend=False
    )

    expected = Image.new("RGB", size, (200, 200, 200))
    draw = ImageDraw.Draw(expected)
    for (x1, y1, x2, y2), (_, color) in boxes.items():
        # A tint of 14 percent, under the line.
        tint = Image.new("RGB", (x2 - x1, y2 - y1), color)
        expected.paste(Image.blend(expected.crop((x1, y1, x2, y2)), tint, 0.14), (x1, y1))
        draw.rectangle((x1, y1, max(x2 - 1, x1), max(y2 - 1, y1)), outline=color, width=line)
    # Two pixels to the left of the box; the first block has no box.
    for number, ((x1, y1, *_), (_, color)) in enumerate(boxes.items(), 2):
        width, _ = measure_plate(str(number), letters)
        put_plate(expected, str(number), letters, (x1 - width - 2, y1), color)
    assert_same(drawn, expected)


def test_block_that_is_cut_off_says_so() -> None:
    block = Block(kind="table", box=(150, 20, 190, 60), is_cut=True)
    drawn = draw_layout(Image.new("RGB", (400, 300), "white"), [block], legend=False)
    plain = draw_layout(
        Image.new("RGB", (400, 300), "white"),
        [Block(kind="table", box=(150, 20, 190, 60))],
        legend=False,
    )

    expected = plain.copy()
    text = "1 (cut off)"
    expected.paste("white", (0, 0, 150, 300))
    put_plate(expected, text, 10, (150 - measure_plate(text, 10)[0] - 2, 20), TABLE)
    assert_same(drawn, expected)


@pytest.mark.parametrize(
    ("box", "taken", "place"),
    [
        ((22, 30, 60, 60), [], (0, 30)),
        # No room in the margin: above the box.
        ((21, 30, 60, 60), [], (21, 20)),
        # At the lower edge it moves up, and where the image is too low it goes into the box.
        ((30, 95, 60, 99), [], (8, 90)),
        ((30, 90, 60, 99), [], (8, 90)),
        ((30, 0, 60, 99), [], (8, 0)),
        # What touches leaves it free.
        ((30, 40, 60, 60), [(0, 40, 8, 50)], (8, 40)),
        ((30, 40, 60, 60), [(0, 40, 9, 50)], (30, 30)),
        ((30, 40, 60, 60), [(28, 40, 29, 50)], (8, 40)),
        ((30, 40, 60, 60), [(27, 40, 29, 50)], (30, 30)),
        ((30, 40, 60, 60), [(8, 20, 28, 40)], (8, 40)),
        ((30, 40, 60, 60), [(8, 20, 28, 41)], (30, 30)),
        ((30, 40, 60, 60), [(8, 50, 28, 60)], (8, 40)),
        ((30, 40, 60, 60), [(8, 49, 28, 60)], (30, 30)),
        ((30, 40, 60, 60), [(0, 0, 1, 1), (12, 44, 13, 45)], (30, 30)),
    ],
)
def test_numbers_stand_in_the_margin(
    box: Rectangle, taken: list[Rectangle], place: tuple[int, int]
) -> None:
    expected = (*place, place[0] + 20, place[1] + 10)
    assert place_beside((20, 10), box, (100, 100), taken) == expected


def test_number_that_is_higher_than_the_image_stands_at_its_top() -> None:
    assert place_beside((20, 10), (30, 3, 60, 8), (100, 9), []) == (30, 0, 50, 10)


def test_legend() -> None:
    kinds = ("table", "table", "caption", "list_item", "seal")
    blocks = [
        *[Block(kind=kind, box=(0, 0, 1, 1)) for kind in kinds],
        *[Block(kind=kind) for kind in ("image", "table", "seal")],
    ]
    labels = {
        "table · 3": COLORS[0],
        "image · 1": COLORS[1],
        "list item · 1": COLORS[5],
        "caption · 1": COLORS[7],
        "seal · 2": COLORS[8],
    }
    widths = [measure_plate(text, 10)[0] for text in labels]
    height = measure_plate("table · 3", 10)[1]
    # Just enough room for three in a row, with margins and gaps of 10.
    width = 10 + widths[0] + 10 + widths[1] + 10 + widths[2] + 10
    drawn = draw_layout(Image.new("RGB", (width, 100), "white"), blocks)
    plain = draw_layout(Image.new("RGB", (width, 100), "white"), blocks, legend=False)

    step = height + 5
    expected = Image.new("RGB", (width, 100 + 10 + 3 * step), GROUND)
    expected.paste(plain, (0, 0))
    x, y = 10, 110
    for number, ((text, color), plate) in enumerate(zip(labels.items(), widths, strict=True)):
        if number == 3:
            x, y = 10, y + step
        put_plate(expected, text, 10, (x, y), color)
        x += plate + 10
    words = "3 of 8 blocks lack a box"
    font = find_font(words, 10)
    ImageDraw.Draw(expected).text((10, y + step), words, font=font, fill=INK)
    assert_same(drawn, expected)
    # A pixel less, and the third goes to the second row.
    narrow = draw_layout(Image.new("RGB", (width - 1, 100), "white"), blocks)
    row = np.asarray(narrow)[110 + step : 110 + step + height, 10:14]
    assert (row == COLORS[5]).all(axis=2).any()


def test_legend_of_blocks_that_all_have_boxes() -> None:
    drawn = draw_layout(
        Image.new("RGB", (400, 100), "white"), [Block(kind="table", box=(0, 0, 9, 9))]
    )

    height = measure_plate("table · 1", 10)[1]
    assert drawn.height == 100 + 10 + height + 5 + 5
