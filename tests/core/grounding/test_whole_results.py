"""All that is read of an answer about boxes: places, labels, and each entry that is left out.

The image has 1000 x 500 pixels: thousandths of the width are pixels, of the height half of them.
"""

from typing import Any

import pytest

from qwen_vl.errors import AnswerFormatError, CoordinateSpaceError
from qwen_vl.grounding.coordinates import CoordinateFrame
from qwen_vl.grounding.parse_boxes import read_grounding

pytestmark = pytest.mark.any_version

FRAME = CoordinateFrame(space="normalized", image=(1000, 500), scale=(1000, 1000))
LONG = ["1"] * 30


def read(answer: str) -> tuple[list[Any], list[Any]]:
    """Return places as (label, numbers), and what is left out as (label, reason)."""
    found = read_grounding(answer, FRAME)
    places = [(box.label, box.xyxy) for box in found.boxes]
    places += [(point.label, (point.x, point.y)) for point in found.points]  # type: ignore[misc]
    return places, [(each.label, each.reason) for each in found.skipped]


@pytest.mark.parametrize(
    ("answer", "places", "skipped"),
    [
        # Entries without a place keep their own label, or that of the list.
        (
            '{"cats": [{"bbox_2d": [0, 0, 10, 10]}, {"label": "tail"}, {"x": 1}]}',
            [("cats", (0, 0, 10, 5))],
            [("tail", "has no box and no point"), ("cats", "has no box and no point")],
        ),
        # Numbers beside objects: of 2, 4 or 8 they are a place without its label.
        (
            '[{"bbox_2d": [0, 0, 10, 10], "label": "a"}, [1, 2], [1, 2, 3, 4]]',
            [("a", (0, 0, 10, 5))],
            [
                ("", "has [1, 2] outside of an object"),
                ("", "has [1, 2, 3, 4] outside of an object"),
            ],
        ),
        (
            '[{"bbox_2d": [0, 0, 10, 10], "label": "a"}, [1, 2, 3]]',
            [("a", (0, 0, 10, 5))],
            [("", "has [1, 2, 3] in place of 4 numbers")],
        ),
        # Objects that hold something are not places, and not wrong either.
        (
            '[{"bbox_2d": [0, 0, 10, 10], "label": "a"}, {"parts": [{"bbox_2d": [0, 0, 2, 2]}]}]',
            [("a", (0, 0, 10, 5)), ("parts", (0, 0, 2, 1))],
            [],
        ),
        ('[{"bbox_2d": [0, 0, 10, 10], "label": "a"}, {}]', [("a", (0, 0, 10, 5))], []),
        # A number between lists.
        (
            "[[0, 0, 10, 10], 7, [20, 20, 30, 30]]",
            [("", (0, 0, 10, 5)), ("", (20, 10, 30, 15))],
            [("", "has [7] outside of brackets")],
        ),
        # Lists of boxes of one entry.
        (
            '{"bbox_2d": [[0, 0, 10, 10], [20, 20, 30, 30]], "label": "a"}',
            [("a", (0, 0, 10, 5)), ("a", (20, 10, 30, 15))],
            [],
        ),
        (
            '{"bbox_2d": [[0, 0, 10, 10], [20, 20, 30]], "label": "a"}',
            [("a", (0, 0, 10, 5))],
            [("a", "has [20, 20, 30] in place of 4 numbers")],
        ),
        ('{"bbox_2d": [[0, 0], [10, 10]], "label": "a"}', [("a", (0, 0, 10, 5))], []),
        (
            '[{"bbox_2d": [[[0, 0], [10, 10]], [[20, 20], [30, 30]]], "label": "a"}]',
            [("a", (0, 0, 10, 5)), ("a", (20, 10, 30, 15))],
            [],
        ),
        # A box by its edges.
        ('{"bbox_2d": {"x1": 0, "y1": 0, "x2": 10, "y2": 10}}', [("", (0, 0, 10, 5))], []),
        ('[{"x1": 0, "y1": 0, "x2": 10, "y2": 10, "label": "a"}]', [("a", (0, 0, 10, 5))], []),
        ('[{"x": 10, "y": 10, "label": "a"}]', [("a", (10, 5))], []),
        # Text that holds numbers.
        ('{"bbox_2d": "0, 0, 10, 10", "label": "a"}', [("a", (0, 0, 10, 5))], []),
        ('{"bbox_2d": ["0", " 0 ", "10", "10"], "label": "a"}', [("a", (0, 0, 10, 5))], []),
        ('{"bbox_2d": "<box>(0,0),(10,10)</box>", "label": "a"}', [("a", (0, 0, 10, 5))], []),
        # What is equivalent is read once, and what is not is read too.
        (
            '{"bbox_2d": [0, 0, 10, 10], "location": [0, 0, 9, 0, 9, 9, 0, 9], "label": "a"}',
            [("a", (0, 0, 10, 5))],
            [],
        ),
        (
            '{"bbox_2d": [0, 0, 10, 10], "points": 7, "label": "a"}',
            [("a", (0, 0, 10, 5))],
            [],
        ),
        ('{"location": [0, 0, 10, 0, 10, 10, 0, 10], "text": "a"}', [("a", (0, 0, 10, 5))], []),
        # Long values are shown by 80 characters.
        (
            f'[{{"bbox_2d": [0, 0, 10, 10]}}, {{"bbox_2d": {LONG}, "label": "a"}}]'.replace(
                "'", '"'
            ),
            [("", (0, 0, 10, 5))],
            [("a", f"has {repr(LONG)[:80]}… in place of 4 numbers")],
        ),
        (
            f'[{{"bbox_2d": [0, 0, 10, 10]}}, {{"bbox_2d": "{"x" * 78}"}}]',
            [("", (0, 0, 10, 5))],
            [("", f"has '{'x' * 78}' in place of 4 numbers")],
        ),
        (
            f'[{{"bbox_2d": [0, 0, 10, 10]}}, {{"bbox_2d": "{"x" * 79}"}}]',
            [("", (0, 0, 10, 5))],
            [("", f"has '{'x' * 79}… in place of 4 numbers")],
        ),
        # A true is no number.
        (
            '[{"bbox_2d": [0, 0, 10, 10]}, {"bbox_2d": [0, 0, true, 10]}]',
            [("", (0, 0, 10, 5))],
            [("", "has [0, 0, True, 10] in place of 4 numbers")],
        ),
        # Two numbers, four and eight may stand alone; others may be anything.
        ("[10, 20]", [("", (10, 10))], []),
        ("[0, 0, 10, 10]", [("", (0, 0, 10, 5))], []),
        ("[0, 0, 10, 0, 10, 10, 0, 10]", [("", (0, 0, 10, 5))], []),
        ("[0, 0, 10, 10], see [1]", [("", (0, 0, 10, 5))], []),
        # The tags of Qwen-VL and Qwen2-VL.
        (
            "<ref>cat</ref><box>(0,0),(10,10)</box><box>(20,20),(30,30)</box>\n<ref>dog</ref><box>(1,2)</box>",
            [("cat", (0, 0, 10, 5)), ("cat", (20, 10, 30, 15)), ("dog", (1, 1))],
            [],
        ),
        ("<ref>cat</ref><box>(10,20)</box>", [("cat", (10, 10))], []),
        ("<|box_start|>(0,0),(10,10)<|box_end|>", [("", (0, 0, 10, 5))], []),
        ("<|box_start|>(0,0),(10,10)", [("", (0, 0, 10, 5))], []),
        (
            "<box>(0,0),(10,10);(20,20),(30,30)</box>",
            [("", (0, 0, 10, 5)), ("", (20, 10, 30, 15))],
            [],
        ),
        (
            "<box>[0, 0, 10, 10], [20, 20, 30, 30]</box>",
            [("", (0, 0, 10, 5)), ("", (20, 10, 30, 15))],
            [],
        ),
        (
            "<box>(0,0),(10,10)</box><box>(0,0),(10)</box>",
            [("", (0, 0, 10, 5))],
            [("", "has ['0', '0', '10'] in place of 4 numbers")],
        ),
    ],
)
def test_answers(answer: str, places: list[Any], skipped: list[Any]) -> None:
    assert read(answer) == (places, skipped)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("[1, 2, 3]", "The answer holds no boxes and no points in JSON."),
        ("[7]", "The answer holds no boxes and no points in JSON."),
        ("Nothing.", "The answer holds no boxes and no points in JSON."),
        ('{"count": 3}', "The answer holds no boxes and no points in JSON."),
        ('[{"bbox_2d": [1, 2', "The answer breaks off before its first place is whole."),
        ('[{"bbox_2d": [1, 2]}]', "An entry has [1, 2] in place of 4 numbers."),
    ],
)
def test_answers_without_places(answer: str, words: str) -> None:
    with pytest.raises(AnswerFormatError) as caught:
        read_grounding(answer, FRAME)
    assert str(caught.value).startswith(words)


def boxes(n_inside: int, n_outside: int, outside: str) -> str:
    entries = ['{"bbox_2d": [0, 0, 10, 10]}'] * n_inside + [outside] * n_outside
    return f"[{', '.join(entries)}]"


@pytest.mark.parametrize(
    ("n_inside", "n_outside", "outside", "is_refused"),
    [
        # Half of the entries are too large for the space: it is another one.
        (1, 1, '{"bbox_2d": [0, 0, 5000, 5000]}', True),
        (2, 1, '{"bbox_2d": [0, 0, 5000, 5000]}', False),
        (3, 2, '{"bbox_2d": [0, 0, 5000, 5000]}', False),
        (3, 3, '{"bbox_2d": [0, 0, 5000, 5000]}', True),
    ],
)
def test_half_of_the_places_decide_about_the_space(
    n_inside: int, n_outside: int, outside: str, is_refused: bool
) -> None:
    answer = boxes(n_inside, n_outside, outside)
    if not is_refused:
        found = read_grounding(answer, FRAME)
        assert (len(found.boxes), len(found.skipped)) == (n_inside, n_outside)
        return
    with pytest.raises(CoordinateSpaceError, match="A place is at 5000, 5000"):
        read_grounding(answer, FRAME)


@pytest.mark.parametrize(("n_inside", "is_refused"), [(9, True), (10, False)])
def test_one_in_ten_that_fits_pixels_decides_too(n_inside: int, is_refused: bool) -> None:
    # 4000 x 3000 pixels: 2,000 is beyond thousandths, and within the image.
    frame = CoordinateFrame(space="normalized", image=(4000, 3000), scale=(1000, 1000))
    answer = boxes(n_inside, 1, '{"bbox_2d": [0, 0, 2000, 2000]}')
    if not is_refused:
        assert len(read_grounding(answer, frame).boxes) == n_inside
        return
    with pytest.raises(CoordinateSpaceError, match="A place is at 2000, 2000"):
        read_grounding(answer, frame)


@pytest.mark.parametrize(
    ("numbers", "is_refused"),
    [
        ("[0, 0, 0.5, 0.5]", True),
        ("[0, 0, 1, 1]", False),
        ("[0, 0.5, 1, 1]", True),
        ("[0, 0.5, 1, 2]", False),
        ("[-1, 0.5, 1, 1]", False),
    ],
)
def test_fractions_of_one_are_another_space(numbers: str, is_refused: bool) -> None:
    answer = f'{{"bbox_2d": {numbers}}}'
    if not is_refused:
        assert len(read_grounding(answer, FRAME).boxes) == 1
        return
    with pytest.raises(CoordinateSpaceError, match="are fractions of 1, but"):
        read_grounding(answer, FRAME)


def test_places_may_be_a_twentieth_beside_the_image() -> None:
    for near in ((1_050, 1_050), (-50, -50), (0, 1_000)):
        assert not FRAME.is_beyond(*near)
    for far in ((1_051, 0), (0, 1_051), (-51, 0), (0, -51)):
        assert FRAME.is_beyond(*far)


def test_corners_of_a_turned_box_are_kept() -> None:
    found = read_grounding('{"location": [10, 0, 20, 20, 10, 40, 0, 20]}', FRAME)
    assert found.boxes[0].corners == ((10, 0), (20, 10), (10, 20), (0, 10))
    assert read_grounding('{"bbox_2d": [0, 0, 10, 10]}', FRAME).boxes[0].corners is None
