"""Boxes and points from answers as models write them, and the errors for those that hold none.

What is expected is worked out by hand from the coordinates and the sizes.
"""

import pickle

import pytest

from qwen_vl.errors import AnswerFormatError, ConfigurationError, CoordinateSpaceError
from qwen_vl.grounding.coordinates import CoordinateFrame, find_frame
from qwen_vl.grounding.parse_boxes import read_grounding
from qwen_vl.grounding.results import Box, Grounding, Point

pytestmark = pytest.mark.any_version

# One thousandth is a pixel across and half of one down.
FRAME = CoordinateFrame(space="normalized", image=(1000, 500), scale=(1000, 1000))

CAT = ((100, 100, 300, 200), "cat")
DOG = ((500, 250, 900, 500), "dog")
_CAT = '{"bbox_2d": [100, 200, 300, 400], "label": "cat"}'
_DOG = '{"bbox_2d": [500, 500, 900, 1000], "label": "dog"}'

BOXES = {
    "one object": (_CAT, [CAT]),
    "a list": (f"[{_CAT}, {_DOG}]", [CAT, DOG]),
    "fenced": (f"```json\n[{_CAT}]\n```", [CAT]),
    "fenced without a language": (f"```\n[{_CAT}]```", [CAT]),
    "fence not closed": (f"```json\n[{_CAT}]", [CAT]),
    "two fences": (f"```json\n{_CAT}\n```\nand\n```json\n{_DOG}\n```", [CAT, DOG]),
    "lines of objects": (f"{_CAT}\n{_DOG}", [CAT, DOG]),
    "prose around": (f"Here [as asked] they are [1]: [{_CAT}, {_DOG}]. I hope so.", [CAT, DOG]),
    "prose after a fence": (f'```json\n[{_CAT}]\n```\nThe "cat" is [left].', [CAT]),
    "fence of prose": (f"```text\nI looked.\n```\n{_CAT}", [CAT]),
    "nested": (f'{{"count": 2, "result": {{"objects": [{_CAT}, {_DOG}]}}}}', [CAT, DOG]),
    "other names": ('{"bbox": [100, 200, 300, 400], "name": "cat"}', [CAT]),
    "named by its key": (
        '{"cat": [100, 200, 300, 400], "dog": [[500, 500, 900, 1000]]}',
        [CAT, DOG],
    ),
    "named by its key, an object": ('{"cat": {"bbox_2d": [100, 200, 300, 400]}}', [CAT]),
    "several boxes in one": (
        '{"bbox_2d": [[100, 200, 300, 400], [500, 500, 900, 1000]], "label": "cat"}',
        [CAT, (DOG[0], "cat")],
    ),
    "label that is a number": (
        '{"bbox_2d": [100, 200, 300, 400], "label": 7}',
        [(CAT[0], "7")],
    ),
    "things with parts": (
        f'{{"bbox_2d": [100, 200, 300, 400], "label": "cat", "size": [1, 2], "parts": [{_DOG}]}}',
        [CAT, DOG],
    ),
    "points that are none": (
        '{"bbox_2d": [100, 200, 300, 400], "label": "cat", "points": 12, "location": "left"}',
        [CAT],
    ),
    "boxes that hold objects": (f'{{"boxes": [{_CAT}]}}', [CAT]),
    "thoughts before": (f"<think>Perhaps {_DOG}?</think>\n{_CAT}", [CAT]),
    "bare lists": ("[[100, 200, 300, 400]]", [(CAT[0], "")]),
    "one bare list": ("[100, 200, 300, 400]", [(CAT[0], "")]),
    "text for numbers": ('{"bbox_2d": ["100", "200", "300.0", "400"], "label": "cat"}', [CAT]),
    "text for the list": ('{"bbox_2d": "(100, 200), (300, 400)", "label": "cat"}', [CAT]),
    "corners in lists": ('{"bbox_2d": [[100, 200], [300, 400]], "label": "cat"}', [CAT]),
    "edges by name": ('{"x1": 100, "y1": 200, "x2": 300, "y2": 400, "label": "cat"}', [CAT]),
    "edges by name inside": (
        '{"bbox": {"xmin": 100, "ymin": 200, "xmax": 300, "ymax": 400}, "label": "cat"}',
        [CAT],
    ),
    "reversed corners": ('{"bbox_2d": [300, 400, 100, 200], "label": "cat"}', [CAT]),
    "one corner reversed": ('{"bbox_2d": [300, 200, 100, 400], "label": "cat"}', [CAT]),
    "comment behind": (f'[{_CAT}, {_DOG}]  // in [order], "roughly"', [CAT, DOG]),
    "comments between": (
        f"[\n  // the cat's\n  {_CAT},\n  /* and [the dog */\n  {_DOG}\n]",
        [CAT, DOG],
    ),
    "quotes in a label": (
        '[{"bbox_2d": [100, 200, 300, 400], "label": "the "big" cat"}]',
        [(CAT[0], 'the "big" cat')],
    ),
    "inches in a label": (
        '```json\n[{"bbox_2d": [100, 200, 300, 400], "label": "a 5" pipe"}]\n```',
        [(CAT[0], 'a 5" pipe')],
    ),
    "URL in a label": (
        '[{"bbox_2d": [100, 200, 300, 400], "label": "https://a.b//c"},]',
        [(CAT[0], "https://a.b//c")],
    ),
    "apostrophe in Python's quotes": (
        "[{'bbox_2d': [100, 200, 300, 400], 'label': 'the cat's tail'}]",
        [(CAT[0], "the cat's tail")],
    ),
    "quote before a comma and a quote": (
        '[{"bbox_2d": [100, 200, 300, 400], "label": "signs "A", "B" here"}]',
        [(CAT[0], 'signs "A", "B" here')],
    ),
    "quote before a colon": (
        '[{"bbox_2d": [100, 200, 300, 400], "label": "a sign "exit": red"}]',
        [(CAT[0], 'a sign "exit": red')],
    ),
    "names without quotes": ('[{bbox_2d: [100, 200, 300, 400], label: "cat"}]', [CAT]),
    # FoundationAgents/MetaGPT#733
    "comments of other languages": (
        f"[  # the cat\n{_CAT}, <!-- [and] -->\n{{ // a dog\n{_DOG[1:]}]",
        [CAT, DOG],
    ),
    "lines of very many objects": (f"{_CAT}\n" * 100, [CAT] * 100),
    "tags as a JSON value": (
        '[{"label": "cat", "bbox_2d": "<|box_start|>(100,200),(300,400)<|box_end|>"}]',
        [CAT],
    ),
    "tags behind JSON": (
        f"[{_DOG}] and <ref>cat</ref><box>(100,200),(300,400)</box>",
        [DOG, CAT],
    ),
    "tags in a list": (f"[{_DOG}, <box>(100,200),(300,400)</box>]", [DOG, (CAT[0], "")]),
    "tags in a label": (
        '[{"bbox_2d": [100, 200, 300, 400], "label": "a <box>(1,2),(3,4)</box>"}]',
        [(CAT[0], "a <box>(1,2),(3,4)</box>")],
    ),
    "two lists between tags": (
        "<ref>cat</ref><box>[[100,200,300,400],[500,500,900,1000]]</box>",
        [CAT, (DOG[0], "cat")],
    ),
    "two boxes between tags": (
        "<ref>cat</ref><box>(100,200),(300,400);(500,500),(900,1000)</box>",
        [CAT, (DOG[0], "cat")],
    ),
    "tags of Qwen-VL": (
        "<ref>cat</ref><box>(100,200),(300,400)</box><ref> dog</ref><box>500,500,900,1000</box>",
        [CAT, DOG],
    ),
    "tags of Qwen-VL, several boxes": (
        "<ref>cats</ref><box>(100,200),(300,400)</box><box>(500,500),(900,1000)</box>",
        [(CAT[0], "cats"), (DOG[0], "cats")],
    ),
    "tags of Qwen2-VL": (
        "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(100,200),(300,400)<|box_end|>",
        [CAT],
    ),
    "tags without a label": ("<|box_start|>(100,200),(300,400)<|box_end|>", [(CAT[0], "")]),
    "tags of a quadrilateral": (
        "<|quad_start|>(100,200),(300,200),(300,400),(100,400)<|quad_end|>",
        [(CAT[0], "")],
    ),
    "comma too many": (f"[{_CAT}, {_DOG},]", [CAT, DOG]),
    "backslash of Python": (
        r"[{'bbox_2d': [100, 200, 300, 400], 'label': '\d'}]",
        [(CAT[0], r"\d")],
    ),
    "quotes of Python": ("[{'bbox_2d': [100, 200, 300, 400], 'label': 'cat'}]", [CAT]),
    "eight numbers": (
        '{"location": [100, 200, 300, 200, 300, 400, 100, 400], "text": "cat"}',
        [CAT],
    ),
    "turned rectangle": ('{"rotate_rect": [200, 300, 200, 200, 0], "text": "cat"}', [CAT]),
    "both forms of one place": (
        '{"location": [100, 200, 300, 200, 300, 400, 100, 400], "rotate_rect": [1, 2, 3, 4, 5]}',
        [(CAT[0], "")],
    ),
    "four corners in lists": (
        '{"location": [[100, 200], [300, 200], [300, 400], [100, 400]], "text": "cat"}',
        [CAT],
    ),
}


@pytest.mark.parametrize(("text", "expected"), BOXES.values(), ids=BOXES.keys())
def test_boxes_are_read(text: str, expected: list[tuple[tuple[float, ...], str]]) -> None:
    found = read_grounding(text, FRAME)
    assert [(box.xyxy, box.label) for box in found.boxes] == expected
    assert (found.points, found.is_cut_off, found.not_found) == ((), False, ())
    assert (found.width, found.height, found.text) == (1000, 500, text)
    assert not any(box.is_clipped for box in found.boxes)


CUT_OFF = {
    "within a number": f'[{_CAT}, {_DOG}, {{"bbox_2d": [5',
    "within a label": f'[{_CAT}, {_DOG}, {{"bbox_2d": [1, 2, 3, 4], "label": "hor',
    "behind a label": f'```json\n[{_CAT}, {_DOG}, {{"bbox_2d": [1, 2, 3, 4], "label": "horse"',
    "behind an entry": f"[{_CAT}, {_DOG}",
    "behind a comma": f"[{_CAT}, {_DOG}, ",
    "within an object": f'{{"objects": [{_CAT}, {_DOG}, {{"la',
    "within a list of an entry": f'[{_CAT}, {_DOG}, {{"bbox_2d": [1, 2, 3, 4], "a": [{{"b": 1}}, ',
}


@pytest.mark.parametrize("text", CUT_OFF.values(), ids=CUT_OFF.keys())
def test_what_is_whole_of_a_list_that_breaks_off_is_kept(text: str) -> None:
    found = read_grounding(text, FRAME)
    assert [(box.xyxy, box.label) for box in found.boxes] == [CAT, DOG]
    assert found.is_cut_off
    assert found.to_dict()["is_cut_off"]
    assert "there may be more" in found.describe()


def test_points_are_read() -> None:
    text = '[{"point_2d": [346, 328], "label": "person"}, {"points": [[10, 20], ["30", 40]]}]'
    found = read_grounding(text, FRAME)
    assert found.points == (
        Point(x=346, y=164, label="person"),
        Point(x=10, y=10),
        Point(x=30, y=20),
    )
    assert found.boxes == ()
    assert found.points[0].entry == {"point_2d": [346, 328], "label": "person"}


def test_box_and_point_of_one_thing_are_both_kept() -> None:
    found = read_grounding('{"bbox_2d": [0, 0, 10, 10], "point_2d": [5, 5], "label": "nut"}', FRAME)
    assert (found.boxes[0].xyxy, found.points[0].x, found.labels) == ((0, 0, 10, 5), 5, ("nut",))
    assert len(found) == 2


@pytest.mark.parametrize(
    "text", ["[]", "```json\n[]\n```", "{}", '{"objects": []}', '{"boxes": []}']
)
def test_nothing_found_is_an_answer(text: str) -> None:
    found = read_grounding(text, FRAME)
    assert len(found) == 0
    assert found.describe() == "nothing found in an image of 1000 x 500 pixels."


def test_what_is_named_without_a_place_is_told() -> None:
    found = read_grounding(f'[{_CAT}, {{"bbox_2d": null, "label": "dog"}}]', FRAME)
    assert (len(found), found.not_found) == (1, ("dog",))
    assert found.describe().endswith("cat [100, 100, 300, 200]. Not found: dog.")


def test_what_is_a_little_outside_is_clipped_and_marked() -> None:
    found = read_grounding(
        '[{"bbox_2d": [-8, 10, 1004, 1000], "label": "wide"}, {"point_2d": [500, 1003]}]', FRAME
    )
    assert found.boxes == (Box(x1=0, y1=5, x2=1000, y2=500, label="wide", is_clipped=True),)
    assert found.points == (Point(x=500, y=500, is_clipped=True),)
    assert found.to_dict()["boxes"][0] == {
        "label": "wide",
        "xyxy": [0, 5, 1000, 500],
        "is_clipped": True,
    }


WILD = {
    "far outside": ('{"bbox_2d": [5, 5, 1100, 9], "label": "wild"}', "is at 1100, 9, which is not"),
    "far to the left": ('{"point_2d": [-400, 9], "label": "wild"}', "is at -400, 9, which is not"),
    "three numbers": ('{"bbox_2d": [5, 5, 9], "label": "wild"}', "has [5, 5, 9] in place of 4"),
    "a word": ('{"bbox_2d": [5, 5, 9, "x"], "label": "wild"}', "in place of 4 numbers"),
    "half of it null": ('{"bbox_2d": [5, null, 9, 9], "label": "wild"}', "[5, None, 9, 9]"),
    "words": ('{"bbox_2d": "unknown", "label": "wild"}', "has 'unknown' in place of 4"),
    "not a number": ('{"bbox_2d": [1, 2, 3, 1e999], "label": "wild"}', "in place of 4 numbers"),
    "a point of four": ('{"point_2d": [1, 2, 3, 4], "label": "wild"}', "in place of 2 numbers"),
}


@pytest.mark.parametrize(("wild", "reason"), WILD.values(), ids=WILD.keys())
@pytest.mark.parametrize("at", [0, 1, 40])
def test_entry_that_cannot_be_used_is_skipped_with_its_reason(
    wild: str, reason: str, at: int
) -> None:
    entries = [_CAT] * 40
    entries.insert(at, wild)
    found = read_grounding(f"[{', '.join(entries)}]", FRAME)
    assert [box.xyxy for box in found.boxes] == [CAT[0]] * 40
    (skipped,) = found.skipped
    assert skipped.label == "wild"
    assert reason in skipped.reason
    assert found.to_dict()["skipped"] == [{"label": "wild", "reason": skipped.reason}]
    assert f"Skipped: wild {skipped.reason}." in found.describe()


UNREAD = {
    "three dots": "...",
    "comma missing": '{"bbox_2d": [5, 5, 9, 9] "label": "wild"}',
    "bare word": '{"bbox_2d": [5, 5, 9, 9], "label": wild}',
    "leading zero": '{"bbox_2d": [05, 5, 9, 9], "label": "wild"}',
    "bracket too many": '{"bbox_2d": [5, 5, 9, 9]], "label": "wild"}',
    # deepseek-ai/DeepSeek-VL2#94
    "bracket missing": '{"bbox_2d": [5, 5, 9, 9, "label": "wild"}',
    "brace missing": '{"bbox_2d": [5, 5, 9, 9], "label": "wild"',
    "brace too many": '{"bbox_2d": [5, 5, 9, {9], "label": "wild"}',
    "brace too many in a list of boxes": '{"bbox_2d": [[{5, 5, 9, 9]], "label": "wild"}',
    "quote missing": '{"bbox_2d": [5, 5, 9, 9], "label": "wild}',
    "quote of a name missing": '{"bbox_2d": [5, 5, 9, 9], "label: "wild"}',
    "quote of the first name missing": '{"bbox_2d: [5, 5, 9, 9], "label": "wild"}',
    "quote too many": '{"bbox_2d": [5, 5", 9, 9], "label": "wild"}',
    "backslash behind a name": '{"bbox_2d\\": [5, 5, 9, 9], "label": "wild"}',
    "first brace missing": '"bbox_2d": [5, 5, 9, 9], "label": "wild"}',
    "misspelled name": '{"box_2b": "5 5 9 9", "label": "wild"}',
}
AROUND = {
    "list": ("[", ", ", "]"),
    "lines": ("[\n", ",\n", "\n]"),
    "lines of objects": ("", "\n", ""),
    "fence": ("So:\n```json\n[", ",\n", "]\n```\nThat is all."),
    "object": ('{"count": 101, "objects": [', ", ", "]}"),
}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND.keys())
@pytest.mark.parametrize("wild", UNREAD.values(), ids=UNREAD.keys())
def test_entry_that_is_not_json_is_listed_and_loses_no_other(
    wild: str, around: tuple[str, str, str]
) -> None:
    head, between, tail = around
    for at in (0, 50, 100):
        entries = [
            f'{{"bbox_2d": [{n}, 10, {n + 9}, 20], "label": "{n}"}}' for n in range(0, 900, 9)
        ]
        entries.insert(at, wild)
        found = read_grounding(head + between.join(entries) + tail, FRAME)
        assert [box.label for box in found.boxes] == [str(n) for n in range(0, 900, 9)]
        assert found.skipped or found.is_cut_off or (wild == "..." and between == "\n")
        assert not found.is_cut_off or at == 100


def test_each_list_keeps_its_name_where_an_entry_cannot_be_read() -> None:
    text = (
        '{"cats": [{"bbox_2d": [100, 200, 300, 400]}, {"bbox_2d": [05, 1, 2, 3]}], '
        '"dogs": [{"bbox_2d": [500, 500, 900, 1000]}]}'
    )
    found = read_grounding(text, FRAME)
    assert [(box.xyxy, box.label) for box in found.boxes] == [(CAT[0], "cats"), (DOG[0], "dogs")]
    assert [entry.value for entry in found.skipped] == ['{"bbox_2d": [05, 1, 2, 3]}']


def test_entry_that_is_not_json_is_named_by_its_label() -> None:
    found = read_grounding(f'[{_CAT}, {{"bbox_2d": [05, 5, 9, 9], "label": "owl"}}]', FRAME)
    assert found.describe().endswith(
        'Skipped: owl is not JSON: \'{"bbox_2d": [05, 5, 9, 9], "label": "owl"}\'.'
    )


@pytest.mark.parametrize("text", ["<|box_start|>(246,113)<|box_end|>", "<box>[246, 113]</box>"])
def test_point_between_tags_of_a_box_is_a_point(text: str) -> None:
    # modelscope/ms-swift#3511
    found = read_grounding(f"Action: click(start_box='{text}')", FRAME)
    assert (found.boxes, found.points) == ((), (Point(x=246, y=56.5),))


def test_box_of_nulls_is_not_found() -> None:
    nulls = '{"bbox_2d": [null, null, null, null], "label": "dog"}'
    found = read_grounding(f"[{_CAT}, {nulls}, null]", FRAME)
    assert (len(found), found.not_found, found.skipped) == (1, ("dog",), ())


@pytest.mark.parametrize("n_good", [1, 3, 9])
def test_few_numbers_that_only_fit_pixels_mean_that_all_are_pixels(n_good: int) -> None:
    # Of an image of 1920 x 1080 pixels.
    frame = CoordinateFrame(space="normalized", image=(1920, 1080), scale=(1000, 1000))
    entries = [_CAT] * n_good + ['{"bbox_2d": [1500, 200, 1800, 900]}']
    with pytest.raises(CoordinateSpaceError, match="is at 1500, 200"):
        read_grounding(f"[{', '.join(entries)}]", frame)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"bbox_2d": [100, 200, 1800, 900]}', "1800, 900, which is not within 0 to 1000"),
        ('{"point_2d": [-400, 10]}', "not within 0 to 1000"),
        ('[{"bbox_2d": [0.1, 0.25, 0.5, 1]}]', "fractions of 1"),
    ],
)
def test_numbers_that_contradict_the_space_are_not_guessed(text: str, problem: str) -> None:
    with pytest.raises(CoordinateSpaceError, match=problem) as caught:
        read_grounding(text, FRAME)
    assert caught.value.text == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "There is no cat in this image.",
        "See [1].",
        '{"label": "cat"}',
        '{"count": 2}',
        '{"bbox_2d": [1, 2, 3], "label": "cat"}',
        '{"bbox_2d": [1, 2, 3, "four"], "label": "cat"}',
        '{"bbox_2d": [1, 2, 3, true], "label": "cat"}',
        '{"bbox_2d": "unknown", "label": "cat"}',
        '{"bbox_2d": {"x": 1, "y": 2, "width": 3, "height": 4}}',
        '{"bbox_2d": [1, 2, 3, 1e999]}',
        '{"bbox_2d": ["nan", 2, 3, 4]}',
        '{"point_2d": [1, 2, 3, 4]}',
        "[[1, 2, 3], [4, 5, 6]]",
        '{"bbox_2d": [1, 2',
        '[{"bbox_2d": [1, 2, 3, 4], "label": "ca',
        "[" * 100_000,
        '{"a":' * 100 + "[1, 2]" + "}" * 100,
    ],
)
def test_what_holds_no_places_is_an_error_with_the_answer(text: str) -> None:
    with pytest.raises(AnswerFormatError) as caught:
        read_grounding(text, FRAME)
    assert caught.value.text == text
    assert pickle.loads(pickle.dumps(caught.value)).text == text


@pytest.mark.parametrize(
    ("label", "read"),
    [
        ('a sign "STOP", in red', 'a sign "STOP", in red'),
        ('5" pipe, 3" valve', '5" pipe, 3" valve'),
        ("two\nlines", "two\nlines"),
        (r"C:\dir", r"C:\dir"),
        (r"\u732b \"x\"", '猫 "x"'),
    ],
)
def test_label_that_is_no_json_is_kept(label: str, read: str) -> None:
    text = f'[{{"bbox_2d": [100, 200, 300, 400], "label": "{label}"}}, {{"bbox_2d": [1, 2, 3, 4]}}'
    for answer in (f"{text}]", f"{text}, {{"):
        assert [box.label for box in read_grounding(answer, FRAME).boxes] == [read, ""]


def test_entry_with_a_number_that_is_none_is_listed() -> None:
    text = '[{"bbox_2d": [NaN, 2, 3, 4], "label": "a"}, {"bbox_2d": (5, 6, 7, 8), "label": "b"}]'
    found = read_grounding(text.replace("(", "[").replace(")", "]"), FRAME)
    assert [box.label for box in found.boxes] == ["b"]
    assert [entry.label for entry in found.skipped] == ["a"]
    tuples = "[{'bbox_2d': (100, 200, 300, 400), 'label': 'a'}]"
    assert read_grounding(tuples, FRAME).boxes[0].label == "a"


@pytest.mark.parametrize(
    "text",
    [
        # The end as a stop word, which servers leave out; corners in lists of their own.
        "<|object_ref_start|>cat<|object_ref_end|><|box_start|>(100,200),(300,400)",
        "<|object_ref_start|>cat<|object_ref_end|><|box_start|>[[100,200],[300,400]]<|box_end|>",
        "<ref>cat</ref><box>[100, 200, 300, 400]</box>",
        "<think><box>(1,2),(3,4)</box></think><ref>cat</ref><box>(100,200),(300,400)</box>",
    ],
)
def test_corners_between_tags_are_one_box(text: str) -> None:
    found = read_grounding(text, FRAME)
    assert found.points == ()
    assert [(box.label, box.xyxy) for box in found.boxes] == [("cat", (100, 100, 300, 200))]


def test_coordinates_of_each_family_become_pixels() -> None:
    # 1316 x 728 is what the documented formula makes of 1920 x 1080 for Qwen2.5-VL.
    text = '{"bbox_2d": [658, 364, 1316, 728]}'
    found = read_grounding(text, find_frame("qwen2.5-vl-7b-instruct", (1920, 1080)))
    assert found.boxes[0].xyxy == (960, 540, 1920, 1080)
    assert found.space == "resized"
    halves = '{"bbox_2d": [500, 500, 1000, 1000]}'
    for model in ("qwen3-vl-plus", "qwen3.8-max", "Qwen/Qwen3-VL-8B-Instruct", "qwen2-vl-7b"):
        found = read_grounding(halves, find_frame(model, (1920, 1080)))
        assert (found.boxes[0].xyxy, found.space) == ((960, 540, 1920, 1080), "normalized")
    frame = find_frame("qwen-vl-ocr", (1920, 1080), space="sent", sent=(960, 540))
    assert read_grounding(halves, find_frame("qwen-vl-ocr", (1000, 1000), space="sent")).boxes
    assert read_grounding('{"bbox": [480, 270, 960, 540]}', frame).boxes[0].xyxy == (
        *(960, 540),
        *(1920, 1080),
    )


def test_size_that_the_service_tells_counts() -> None:
    frame = find_frame("qwen2.5-vl-7b-instruct", (1920, 1080), resized=(192, 108))
    found = read_grounding('{"point_2d": [96, 54]}', frame)
    assert (found.points[0].x, found.points[0].y) == (960, 540)


def test_wrong_space_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="normalized, resized, sent"):
        find_frame("qwen3-vl-plus", (10, 10), space="pixels")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="0 x 10"):
        find_frame("qwen3-vl-plus", (0, 10))


def test_result_is_plain_data() -> None:
    found = read_grounding(f"[{_CAT}]", FRAME)
    assert pickle.loads(pickle.dumps(found)) == found
    assert found.to_dict() == {
        "width": 1000,
        "height": 500,
        "space": "normalized",
        "boxes": [{"label": "cat", "xyxy": [100, 100, 300, 200]}],
        "points": [],
    }
    assert (found.boxes[0].area, found.boxes[0].center) == (20_000, (200, 150))
    assert Grounding(width=1, height=1, space="sent").labels == ()


@pytest.mark.parametrize("box", ["[0, 5, 533, " + "9" * 400 + "]", "[245, [234, 543, 542, 244]]"])
def test_box_that_a_model_has_written_in_a_loop_is_skipped(box: str) -> None:
    # deepseek-ai/DeepSeek-VL2#96
    text = f'[{{"bbox_2d": {box}, "label": "a"}}, {{"bbox_2d": [1, 2, 3, 4], "label": "b"}}]'
    found = read_grounding(text, find_frame("qwen3-vl-plus", (1000, 1000)))
    assert [each.label for each in found.boxes] == ["b"]
    assert [each.label for each in found.skipped] == ["a"]
