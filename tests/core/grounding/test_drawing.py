"""What is drawn stands where it should, can be read, and leaves the original as it was."""

import io
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from qwen_vl.errors import ConfigurationError, MediaAccessError, MediaFormatError
from qwen_vl.grounding.drawing import draw_grounding, draw_timeline, find_font
from qwen_vl.grounding.drawing.labels import PALETTE, Lettering, ink_on, place_label
from qwen_vl.grounding.results import Box, Grounding, Point
from qwen_vl.grounding.timeline import Event, Timeline
from qwen_vl.samples import CHELSEA

WHITE, GREY = (255, 255, 255), (128, 128, 128)


def found(*boxes: Box | Point, size: tuple[int, int] = (400, 300)) -> Grounding:
    return Grounding(
        boxes=tuple(place for place in boxes if isinstance(place, Box)),
        points=tuple(place for place in boxes if isinstance(place, Point)),
        width=size[0],
        height=size[1],
        space="normalized",
    )


def test_lines_stand_on_the_edges_of_the_box() -> None:
    image = Image.new("RGB", (400, 300), GREY)
    drawn = draw_grounding(image, found(Box(x1=100, y1=80, x2=200, y2=180)))
    pixels = np.asarray(drawn)
    changed = np.argwhere((pixels != GREY).any(axis=2))
    # One pixel of dark edge around it.
    assert changed.min(axis=0).tolist() == [79, 99]
    assert changed.max(axis=0).tolist() == [180, 200]
    for place in ((100, 130), (199, 130), (150, 80), (150, 179)):
        assert drawn.getpixel(place) == PALETTE[0]
    assert drawn.getpixel((150, 130)) == GREY
    assert image.getcolors() == [(400 * 300, GREY)]


def test_dot_stands_on_the_point() -> None:
    drawn = draw_grounding(Image.new("RGB", (400, 300), GREY), found(Point(x=200, y=150)))
    changed = np.argwhere((np.asarray(drawn) != GREY).any(axis=2))
    middle = (changed.min(axis=0) + changed.max(axis=0)) / 2
    assert middle.tolist() == [150, 200]
    assert drawn.getpixel((200, 150)) == PALETTE[0]


def test_turned_box_is_drawn_turned() -> None:
    corners = ((200.0, 50.0), (300.0, 150.0), (200.0, 250.0), (100.0, 150.0))
    box = Box(x1=100, y1=50, x2=300, y2=250, corners=corners)
    drawn = draw_grounding(Image.new("RGB", (400, 300), GREY), found(box))
    assert drawn.getpixel((250, 100)) == drawn.getpixel((150, 200)) == PALETTE[0]
    assert drawn.getpixel((110, 60)) == GREY


def test_each_label_has_a_color_of_its_own() -> None:
    boxes = [
        Box(x1=x, y1=100, x2=x + 50, y2=150, label=label)
        for x, label in ((10, "cat"), (110, "dog"), (210, "cat"))
    ]
    drawn = draw_grounding(Image.new("RGB", (400, 300), GREY), found(*boxes))
    assert [drawn.getpixel((x, 125)) for x in (10, 110, 210)] == [
        *(PALETTE[0], PALETTE[1]),
        PALETTE[0],
    ]


@pytest.mark.parametrize("ground", ["black", "white", "#ff5a36", "#808080"])
def test_words_stand_out_on_any_ground(ground: str) -> None:
    image = Image.new("RGB", (400, 300), ground)
    box = Box(x1=100, y1=80, x2=300, y2=200, label="cat 猫")
    plate = np.asarray(draw_grounding(image, found(box)))[58:80, 101:140].reshape(-1, 3)
    colors, counts = np.unique(plate, axis=0, return_counts=True)
    # The words on their plate: contrast of 4.5 or more (WCAG 2.2, AA).
    assert tuple(colors[counts.argmax()]) == PALETTE[0]
    ink = ink_on(PALETTE[0])
    assert (plate == ink).all(axis=1).any()
    assert _contrast(PALETTE[0], ink) > 4.5


def _contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    def luminance(color: tuple[int, ...]) -> float:
        linear = [
            value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4
            for value in color
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_color_of_the_palette_carries_words() -> None:
    assert all(_contrast(color, ink_on(color)) > 4.5 for color in PALETTE)


def test_chinese_labels_are_written_in_chinese() -> None:
    font = find_font("猫cat", 20)
    assert font is not None
    assert bytes(font.getmask("猫")) not in {bytes(font.getmask("\U0010ffff")), b""}
    assert bytes(font.getmask("猫")) != bytes(font.getmask("狗"))


def test_label_without_a_font_is_a_number_and_told() -> None:
    emoji = Box(x1=50, y1=50, x2=100, y2=100, label="\U0010fffd")
    image = Image.new("RGB", (400, 300))
    with pytest.warns(UserWarning, match=r"#1 is '\\U0010fffd'.*qwen-vl\[fonts\]"):
        with_number = draw_grounding(image, found(emoji))
    plain = Box(x1=50, y1=50, x2=100, y2=100, label="#1")
    assert with_number.tobytes() == draw_grounding(image, found(plain)).tobytes()


def test_font_of_one_s_own_is_used(tmp_path: Path) -> None:
    builtin = ImageFont.load_default(20)
    assert isinstance(builtin, ImageFont.FreeTypeFont)
    path = tmp_path / "own.ttf"
    file = builtin.path
    assert isinstance(file, io.BytesIO)
    path.write_bytes(file.getvalue())
    own = find_font("cat", 20, path)
    assert own is not None
    assert own.getname() == builtin.getname()
    # What it has not is looked for elsewhere.
    other = find_font("猫", 20, path)
    assert other is not None
    assert other.getname() != builtin.getname()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        find_font("cat", 20, tmp_path / "none.ttf")


def test_labels_stay_in_the_picture_and_off_each_other() -> None:
    image = (400, 300)
    taken: list[tuple[int, int, int, int]] = []
    for anchor in ((0, 0, 400, 300), (0, 0, 390, 290), (380, 0, 400, 20), (2, 280, 30, 300)):
        place = place_label((60, 20), anchor, image, taken)
        assert 0 <= place[0] < place[2] <= 400
        assert 0 <= place[1] < place[3] <= 300
        for other in taken:
            apart = (place[0] >= other[2], other[0] >= place[2], place[1] >= other[3])
            assert any((*apart, other[1] >= place[3]))
        taken.append(place)


def test_long_label_is_cut_to_the_picture() -> None:
    label = Lettering(20).make("a very long label " * 20, 300)
    assert label.size[0] <= 300
    assert label.text.endswith("…")


def test_label_of_more_signs_than_pillow_measures_is_cut() -> None:
    label = Lettering(20).make("a\r" * 1_000_001, 300)
    assert label.size[0] <= 300
    assert label.text.endswith("…")


def test_picture_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="451 x 300"):
        draw_grounding(CHELSEA, found())


def test_picture_may_come_in_many_forms() -> None:
    nothing = found(size=(451, 300))
    first = draw_grounding(CHELSEA, nothing)
    with Image.open(CHELSEA) as opened:
        opened.load()
        array = np.asarray(opened)
        for form in (CHELSEA.read_bytes(), io.BytesIO(CHELSEA.read_bytes()), opened, array):
            assert draw_grounding(form, nothing).tobytes() == first.tobytes()


def test_text_that_is_a_path_is_not_read() -> None:
    with pytest.raises(MediaAccessError, match="media_roots"):
        draw_grounding(str(CHELSEA), found(size=(451, 300)))
    with pytest.raises(MediaFormatError, match="never fetched"):
        draw_grounding("https://example.com/cat.png", found(size=(451, 300)))


def test_transparent_picture_stands_on_white_and_a_turned_one_upright() -> None:
    clear = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    assert draw_grounding(clear, found()).getpixel((0, 0)) == WHITE
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.new("RGB", (300, 400), "red").save(buffer, "JPEG", exif=exif)
    assert draw_grounding(buffer, found()).size == (400, 300)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 6 seconds: red, green and blue, two seconds each, 10 frames a second."""
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for color in ("red", "green", "blue"):
            image = Image.new("RGB", (160, 120), color)
            for _ in range(20):
                container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode())
    return path


TIMELINE = Timeline(
    events=(
        Event(start=0, end=2, text="red"),
        Event(start=2, end=4, text="绿色，很绿"),
        Event(start=5.9, end=6, text=""),
    ),
    seconds=6,
)


def _stills(drawn: Image.Image) -> list[int]:
    """Which of red, green and blue the frame of each card mostly is."""
    pixels = np.asarray(drawn).astype(int)
    return [int(pixels[150, 200 + 316 * column].argmax()) for column in range(3)]


def test_storyboard_has_the_frames_of_the_events(film: Path) -> None:
    drawn = draw_timeline(film, TIMELINE)
    assert _stills(drawn) == [0, 1, 2]
    assert drawn.width == 2 * 20 + 3 * 300 + 2 * 16
    # The bar: each event as long as it lasts.
    bar = [drawn.getpixel((20 + round(932 * second / 6), 29)) for second in (1, 3, 5, 5.95)]
    assert bar == [PALETTE[0], PALETTE[1], (225, 225, 221), PALETTE[2]]


def test_storyboard_of_a_list_of_frames() -> None:
    frames = [Image.new("RGB", (160, 120), color) for color in ("red", "green", "blue")]
    assert _stills(draw_timeline(frames, TIMELINE, fps=0.5)) == [0, 1, 2]
    with pytest.raises(MediaFormatError, match="no frames"):
        draw_timeline([], TIMELINE)


def test_storyboard_wants_a_video(film: Path, tmp_path: Path) -> None:
    shutil.copy(CHELSEA, tmp_path / "cat.mp4")
    for wrong in (tmp_path / "cat.mp4", "https://example.com/a.mp4", 5):
        with pytest.raises(MediaFormatError):
            draw_timeline(wrong, TIMELINE)
    many = Timeline(events=(Event(start=0, end=1),) * 201)
    with pytest.raises(ConfigurationError, match="200"):
        draw_timeline(film, many)
    assert draw_timeline(film, Timeline(events=(), seconds=6)).width == 340


@pytest.mark.parametrize(
    ("anchor", "image", "place"),
    [
        # A plate as wide as the image fits nowhere whole but at its left end.
        ((10, 50, 90, 90), (100, 100), (0, 30, 100, 50)),
        ((10, 5, 90, 8), (100, 12), (0, 0, 100, 20)),
        ((10, 5, 90, 8), (80, 100), (0, 0, 100, 20)),
        ((-30, 60, 20, 200), (99, 70), (0, 40, 100, 60)),
    ],
)
def test_label_that_fits_nowhere_stays_in_the_image(
    anchor: tuple[int, int, int, int], image: tuple[int, int], place: tuple[int, int, int, int]
) -> None:
    assert place_label((100, 20), anchor, image, []) == place


@pytest.mark.parametrize(("n_events", "columns"), [(1, 1), (4, 4), (5, 3), (6, 3), (8, 4), (9, 3)])
def test_events_stand_in_rows_of_like_length(n_events: int, columns: int) -> None:
    frames = [Image.new("RGB", (64, 48), "white")] * 10
    events = tuple(Event(start=n, end=n + 1, text="x") for n in range(n_events))
    board = draw_timeline(frames, Timeline(events=events, seconds=10), fps=1)

    # 300 pixels a frame, 16 between two, 20 at either side.
    assert board.width == 40 + columns * 300 + (columns - 1) * 16


def test_label_of_a_point_stands_clear_of_it() -> None:
    image = Image.new("RGB", (400, 300), GREY)
    bare = np.asarray(draw_grounding(image, found(Point(x=200, y=150, label=""))))
    drawn = np.asarray(draw_grounding(image, found(Point(x=200, y=150, label="eye"))))

    changed = np.argwhere((bare != drawn).any(axis=2))
    mark = np.argwhere((bare != GREY).any(axis=2))
    assert changed[:, 0].max() < mark[:, 0].min()
    assert changed[:, 1].min() <= mark[:, 1].min()
    assert mark[:, 0].min() - changed[:, 0].max() <= 5


def _extent(pixels: np.ndarray, color: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Left, top, and the column and row behind the last, of what has just this color."""
    rows, columns = np.nonzero((pixels == color).all(axis=2))
    return (
        int(columns.min()),
        int(rows.min()),
        int(columns.max()) + 1,
        int(rows.max()) + 1,
    )


def test_storyboard_is_laid_out_to_the_pixel() -> None:
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    frames = [Image.new("RGB", (600, 400), color) for color in colors]
    events = (Event(start=0, end=2), Event(start=2, end=4), Event(start=6, end=6))
    drawn = draw_timeline(frames, Timeline(events=events, seconds=6), fps=0.5)
    pixels = np.asarray(drawn)

    # Margins of 20, a bar of 18 rows, two lines of 13, a gap of 16, and cards of 300 x 212.
    assert drawn.size == (20 + 3 * 300 + 2 * 16 + 20, 20 + 18 + 26 + 16 + 212 + 20)
    for number, color in enumerate(colors):
        left = 20 + 316 * number
        card = pixels[80:292, left : left + 300]
        x1, y1, x2, y2 = _extent(card, color)
        assert (x1, y1, x2, y2) == (0, 0, 300, 200)
        # A line of 4 rows in the event's color, then the plate.
        assert (card[200:204] == PALETTE[number]).all()
        assert (card[204:212, 8:-8] == 255).all()
        # The times stand in a label 8 pixels from the corner.
        assert (card[8:20, 9] != color).any()
        assert (card[:8] == color).all()
    bar = pixels[20:38, 20:952]
    assert (pixels[:20] == (247, 247, 245)).all()
    assert (pixels[38:42, 20:952] == (247, 247, 245)).all()
    # The bar has six seconds on 932 pixels. What lies at its end has no room left.
    assert (bar[9, 1:311] == PALETTE[0]).all()
    assert (bar[9, 312:621] == PALETTE[1]).all()
    assert (bar[9, 622:932] == (225, 225, 221)).all()


def test_moment_is_five_pixels_of_the_bar() -> None:
    frames = [Image.new("RGB", (64, 48), "white")]
    moment = Timeline(events=(Event(start=3, end=3),), seconds=6)
    pixels = np.asarray(draw_timeline(frames, moment, fps=1))

    row = (pixels[29] == PALETTE[0]).all(axis=1)
    # Its first column is a line that parts it from the event before.
    assert np.flatnonzero(row).tolist() == [171, 172, 173, 174]


def test_caption_begins_ten_pixels_from_the_edge_of_its_card() -> None:
    frames = [Image.new("RGB", (600, 400), "red")]
    events = (Event(start=0, end=1, text="H"),)
    pixels = np.asarray(draw_timeline(frames, Timeline(events=events), fps=1)).astype(int)

    # Below the frame of 200 rows and its line of 4, on a white plate.
    rows, columns = np.nonzero(pixels[80 + 204 :, 20:320].sum(axis=2) < 400)
    letter = Image.new("L", (40, 40), 255)
    ImageDraw.Draw(letter).text((10, 4), "H", font=Lettering(15).make("H", 300).font, fill=30)
    expected_rows, expected_columns = np.nonzero(np.asarray(letter) < 133)
    assert (columns.min(), columns.max()) == (expected_columns.min(), expected_columns.max())
    assert rows.min() == expected_rows.min()


def test_caption_has_at_most_four_lines() -> None:
    frames = [Image.new("RGB", (600, 400), "red")]
    heights = [
        draw_timeline(frames, Timeline(events=(Event(start=0, end=1, text=text),)), fps=1).height
        for text in ("", "word", "word " * 100, "word " * 1_000, "很" * 15, "很" * 500)
    ]

    one = heights[1] - heights[0]
    assert one > 10
    assert heights[2] == heights[3] == heights[0] + 4 * one
    assert heights[5] - heights[0] == 4 * (heights[4] - heights[0])


@pytest.mark.parametrize("ground", [(value,) * 3 for value in (0, 5, 10, 11, 60, 255)])
def test_ink_is_the_one_with_more_contrast(ground: tuple[int, int, int]) -> None:
    dark, light = (16, 18, 22), (255, 255, 255)
    better = dark if _contrast(ground, dark) >= _contrast(ground, light) else light
    assert ink_on(ground) == better
