"""Drawings, compared pixel by pixel with ones that are laid out by hand."""

import pytest
from PIL import Image, ImageDraw

from hand_drawn import COLORS, DARK, WHITE, assert_same, measure_plate, put_plate, soften
from qwen_vl.grounding.drawing import draw_grounding, draw_timeline, find_font
from qwen_vl.grounding.drawing.labels import (
    PALETTE,
    Lettering,
    count_fitting,
    cut_to_width,
    ink_on,
    place_label,
)
from qwen_vl.grounding.drawing.storyboard import _wrap
from qwen_vl.grounding.results import Box, Grounding, Point
from qwen_vl.grounding.timeline import Event, Timeline

Rectangle = tuple[int, int, int, int]

GREY = (128, 128, 128)
GROUND, TRACK = (247, 247, 245), (225, 225, 221)
INK, FAINT = (30, 32, 36), (110, 112, 118)


def found(*places: Box | Point, size: tuple[int, int]) -> Grounding:
    return Grounding(
        boxes=tuple(place for place in places if isinstance(place, Box)),
        points=tuple(place for place in places if isinstance(place, Point)),
        width=size[0],
        height=size[1],
        space="normalized",
    )


def test_colors_of_labels() -> None:
    assert PALETTE == COLORS
    assert [ink_on(color) for color in COLORS] == [DARK] * 6 + [WHITE] + [DARK] * 3


@pytest.mark.parametrize(
    ("lighter", "darker"),
    [((122, 122, 122), (121, 121, 121)), ((245, 0, 0), (244, 0, 0)), ((0, 142, 0), (0, 141, 0))],
)
def test_ink_has_the_higher_contrast(
    lighter: tuple[int, int, int], darker: tuple[int, int, int]
) -> None:
    # By the relative luminance of WCAG 2.2.
    assert (ink_on(lighter), ink_on(darker)) == (DARK, WHITE)
    assert ink_on((0, 0, 255)) == WHITE


# A thirtieth of the shorter side, but from 12 to 48 pixels; lines have 0.16 of that, and points a
# radius of 0.42.
SCALES = pytest.mark.parametrize(
    ("size", "letters", "line", "radius"),
    [
        ((400, 300), 12, 2, 5),
        ((479, 600), 15, 2, 6),
        ((700, 480), 16, 3, 7),
        ((1600, 1500), 48, 8, 20),
    ],
)


@SCALES
def test_boxes(size: tuple[int, int], letters: int, line: int, radius: int) -> None:
    del radius
    boxes = (
        Box(x1=100, y1=80, x2=200, y2=180, label="cat"),
        Box(x1=220, y1=100, x2=300, y2=160, label="dog"),
        Box(x1=120, y1=200, x2=121, y2=201, label="cat"),
        Box(x1=10, y1=210, x2=10, y2=210, label=" "),
    )
    drawn = draw_grounding(Image.new("RGB", size, GREY), found(*boxes, size=size))

    expected = Image.new("RGB", size, GREY)
    draw = ImageDraw.Draw(expected)
    for box, color in zip(boxes, (COLORS[0], COLORS[1], COLORS[0], COLORS[2]), strict=True):
        x1, y1, x2, y2 = (round(edge) for edge in box.xyxy)
        right, low = max(x2 - 1, x1), max(y2 - 1, y1)
        draw.rectangle((x1 - 1, y1 - 1, right + 1, low + 1), outline=DARK, width=line + 2)
        draw.rectangle((x1, y1, right, low), outline=color, width=line)
    taken: list[Rectangle] = []
    for box, color in zip(boxes[:3], (COLORS[0], COLORS[1], COLORS[0]), strict=True):
        x1, y1, x2, y2 = (round(edge) for edge in box.xyxy)
        plate = measure_plate(box.label, letters)
        place = place_label(plate, (x1, y1, x2, y2), size, taken)
        taken.append(place)
        put_plate(expected, box.label, letters, place[:2], color)
    assert_same(drawn, expected)


@SCALES
def test_points(size: tuple[int, int], letters: int, line: int, radius: int) -> None:
    del line
    drawn = draw_grounding(
        Image.new("RGB", size, GREY), found(Point(x=150, y=140.4, label="eye"), size=size)
    )

    expected = Image.new("RGB", size, GREY)
    side = 2 * radius + 5
    # A ring of dark, one of white of two pixels, and the color.
    for ink, reach in ((DARK, radius + 2), (WHITE, radius + 1), (COLORS[0], radius - 1)):
        mask = Image.new("L", (4 * side, 4 * side))
        edges = (2 * side - 4 * reach,) * 2 + (2 * side + 4 * reach,) * 2
        ImageDraw.Draw(mask).ellipse(edges, fill=255)
        corner = (150 - radius - 2, 140 - radius - 2)
        expected.paste(ink, corner, mask.resize((side, side), Image.Resampling.BOX))
    # The label stands three pixels from the dot.
    above = 140 - radius - 3 - measure_plate("eye", letters)[1]
    put_plate(expected, "eye", letters, (150 - radius - 3, above), COLORS[0])
    assert_same(drawn, expected)


@SCALES
@pytest.mark.parametrize(
    "corners", [((200.0, 50.0), (260.5, 110.0), (200.0, 170.0), (140.0, 110.0))]
)
def test_turned_boxes(
    size: tuple[int, int],
    letters: int,
    line: int,
    radius: int,
    corners: tuple[tuple[float, float], ...],
) -> None:
    del letters, radius
    box = Box(x1=140, y1=50, x2=260.5, y2=170, corners=corners)
    drawn = draw_grounding(Image.new("RGB", size, GREY), found(box, size=size))

    # Four times as large, and downscaled.
    expected = Image.new("RGB", size, GREY)
    for ink, width in ((DARK, line + 2), (COLORS[0], line)):
        mask = Image.new("L", (4 * size[0], 4 * size[1]))
        path = [(4 * x, 4 * y) for x, y in (*corners, *corners[:2])]
        ImageDraw.Draw(mask).line(path, fill=255, width=4 * width, joint="curve")
        expected.paste(ink, (0, 0), mask.resize(size, Image.Resampling.BOX))
    assert_same(drawn, expected)


@pytest.mark.parametrize("letters", [10, 13, 20, 48])
def test_plates(letters: int) -> None:
    assert Lettering(letters).make(" a  cat ", 1_000).size == measure_plate("a cat", letters)


def test_label_has_at_most_10_000_characters() -> None:
    assert Lettering(12).make("a" * 10_001, 10**9).text == "a" * 10_000


def test_plate_is_as_wide_as_is_said() -> None:
    lettering = Lettering(20)
    size = lettering.make("很很很", 1_000).size

    # Each character has 20 pixels, and there are 8 at either side.
    assert size[0] == 76
    assert lettering.make("很很很", 76).text == "很很很"
    assert lettering.make("很很很很", 76).text == "很很…"
    assert lettering.make("很很很", 75).text == "很…"


@pytest.mark.parametrize("end", ["", "…"])
@pytest.mark.parametrize("text", ["", "a", "很" * 40, "to be or not to be, that is the question"])
def test_as_many_characters_are_kept_as_fit(text: str, end: str) -> None:
    font = find_font(text + "…", 15)
    assert font is not None
    for width in range(0, 700, 7):
        starts = [text[:n].rstrip() if end else text[:n] for n in range(len(text) + 1)]
        fitting = [n for n, start in enumerate(starts) if font.getlength(start + end) <= width]
        assert count_fitting(text, font, width, end) == max(fitting, default=0)


def test_text_is_cut_to_a_width() -> None:
    font = find_font("很", 15)
    assert font is not None

    # Each character has 15 pixels, and so has the ellipsis.
    assert cut_to_width("很很很", font, 45) == "很很很"
    assert cut_to_width("很很很", font, 44) == "很…"
    assert cut_to_width("很 很很", font, 44) == "很…"
    assert cut_to_width("很很很", font, 30) == "很…"
    # Where there is no room for it, one character stands all the same.
    assert cut_to_width("很很很", font, 29) == "很"
    assert cut_to_width("很很很", font, 3) == "很"


# Above the box, below it, then inside at its upper and lower edge; at the left before the right.
CORNERS = [(30, 30), (50, 30), (30, 60), (50, 60), (30, 40), (50, 40), (30, 50), (50, 50)]


@pytest.mark.parametrize("number", range(8))
def test_label_stands_in_the_first_corner_that_is_free(number: int) -> None:
    taken = [(x, y, x + 20, y + 10) for x, y in CORNERS[:number]]
    # Those that are only touched take nothing: at the left, right, above and below.
    x, y = CORNERS[number]
    # A thin one in the middle of a corner takes it as well.
    thin = [(x + 9, y + 4, x + 10, y + 5) for x, y in CORNERS[:number]]

    expected = (x, y, x + 20, y + 10)
    for rectangles in (taken, thin):
        assert place_label((20, 10), (30, 40, 70, 60), (100, 100), rectangles) == expected
    # Where all are taken, the first of them it is.
    every = [(x, y, x + 20, y + 10) for x, y in CORNERS]
    assert place_label((20, 10), (30, 40, 70, 60), (100, 100), every) == (30, 30, 50, 40)


@pytest.mark.parametrize(
    ("rectangle", "is_free"),
    [
        ((10, 30, 30, 40), True),
        ((10, 30, 31, 40), False),
        ((50, 30, 60, 40), True),
        ((49, 30, 60, 40), False),
        ((30, 10, 50, 30), True),
        ((30, 10, 50, 31), False),
        ((30, 40, 50, 45), True),
        ((30, 39, 50, 45), False),
    ],
)
def test_labels_may_touch(rectangle: Rectangle, is_free: bool) -> None:
    place = place_label((20, 10), (30, 40, 70, 60), (100, 100), [rectangle])

    assert (place == (30, 30, 50, 40)) == is_free


@pytest.mark.parametrize(
    ("anchor", "place"),
    [
        # Just as much room as the label needs, and a pixel less, on each of the four sides.
        ((0, 10, 40, 90), (0, 0)),
        ((0, 9, 40, 90), (0, 90)),
        ((0, 9, 40, 91), (0, 9)),
        ((-1, 10, 40, 90), (20, 0)),
        ((80, 10, 90, 90), (80, 0)),
        ((81, 10, 90, 90), (70, 0)),
    ],
)
def test_label_stands_in_the_image(anchor: Rectangle, place: tuple[int, int]) -> None:
    assert place_label((20, 10), anchor, (100, 100), [])[:2] == place


@pytest.mark.parametrize(("n_others", "place"), [(511, (50, 30)), (512, (30, 30))])
def test_label_keeps_clear_of_the_last_512(n_others: int, place: tuple[int, int]) -> None:
    taken = [(30, 30, 50, 40), *[(90, 90, 91, 91)] * n_others]

    assert place_label((20, 10), (30, 40, 70, 60), (100, 100), taken)[:2] == place


def test_storyboard() -> None:
    frames = [Image.new("RGB", size, "red") for size in ((600, 400), (200, 400), (600, 300))]
    events = (
        Event(start=0, end=2, text="H"),
        Event(start=2, end=4, text="two words"),
        Event(start=5, end=5, text="moment"),
        Event(start=5.5, end=6),
        Event(start=5.98, end=6, text="end"),
    )
    drawn = draw_timeline(frames, Timeline(events=events, seconds=6), fps=0.5)

    # Margins of 20, three cards of 300 with gaps of 16; the bar of 18, and 26 for its times.
    font, small = find_font("two words", 15), find_font("0:00", 13)
    assert font is not None
    line = sum(font.getmetrics())
    # Frames of at most 300 x 300, and 12 pixels and a line of caption below.
    heights = (312 + line, 162 + line)
    expected = Image.new("RGB", (972, 64 + sum(heights) + 32 + 20), GROUND)
    draw = ImageDraw.Draw(expected)
    expected.paste(TRACK, (20, 20), soften((932, 18), 5))
    # The bar has 932 pixels for 6 seconds; a moment has five, as far as they are there.
    bars = [(20, 311, 5), (331, 310, 5), (797, 5, 2), (874, 78, 5), (949, 3, 1)]
    for color, (left, width, radius) in zip(COLORS, bars, strict=False):
        expected.paste(color, (left, 20), soften((width, 18), radius))
        draw.line((left, 20, left, 37), fill=GROUND, width=1)
    draw.text((20, 43), "0:00", font=small, fill=FAINT)
    draw.text((952, 43), "0:06", font=small, fill=FAINT, anchor="ra")
    cards = [
        ((20, 80), heights[0], (300, 200), "0:00 - 0:02", "H"),
        ((336, 80), heights[0], (150, 300), "0:02 - 0:04", "two words"),
        ((652, 80), heights[0], (300, 150), "0:05", "moment"),
        ((20, 96 + heights[0]), heights[1], (300, 150), "0:05.5 - 0:06", ""),
        ((336, 96 + heights[0]), heights[1], (300, 150), "0:06 - 0:06", "end"),
    ]
    for color, ((x, y), tall, (width, height), times, text) in zip(COLORS, cards, strict=False):
        expected.paste(WHITE, (x, y), soften((300, tall), 6))
        expected.paste(TRACK, (x, y, x + 300, y + height))
        expected.paste((255, 0, 0), (x + (300 - width) // 2, y, x + (300 + width) // 2, y + height))
        draw.rectangle((x, y + height, x + 299, y + height + 3), fill=color)
        put_plate(expected, times, 13, (x + 8, y + 8), color)
        draw.text((x + 10, y + height + 8), text, font=font, fill=INK)
    assert_same(drawn, expected)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("很" * 10, ["很" * 10]),
        ("很" * 11, ["很" * 10, "很"]),
        # In words after Chinese, and in Chinese after words, lines end anywhere.
        ("a " + "很" * 20, ["a " + "很" * 9, "很" * 10, "很"]),
        ("很 很很很很很很很很很a", ["很 很很很很很很很很", "很a"]),
        ("很 很很很很很很很很 aa", ["很 很很很很很很很很", "aa"]),
        # A line does not begin with these signs.
        *[("很" * 10 + sign, ["很" * 9, "很" + sign]) for sign in "，。、；：？！）】》”’…"],
        ("很" * 10 + "（", ["很" * 10, "（"]),
        # The last of four lines is cut.
        ("很" * 40, ["很" * 10] * 4),
        ("很" * 41, ["很" * 10] * 3 + ["很" * 9 + "…"]),
    ],
)
def test_captions_of_chinese(text: str, lines: list[str]) -> None:
    font = find_font("很" + text, 15)
    assert font is not None
    assert _wrap(text, font, 150) == lines


def test_captions_of_words() -> None:
    font = find_font("word", 15)
    assert font is not None
    width = int(font.getlength("word word")) + 1

    assert _wrap("word word", font, width) == ["word word"]
    assert _wrap("word word word", font, width) == ["word word", "word"]
    assert _wrap("word worded", font, width) == ["word", "worded"]
    assert _wrap("word wordword", font, width) == ["word", "wordword"]
    # What is longer than a line is broken.
    assert [len(line) for line in _wrap("i" * 60, font, int(font.getlength("i" * 20)) + 1)] == [
        20
    ] * 3
