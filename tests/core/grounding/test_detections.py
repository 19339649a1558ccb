"""Boxes as `supervision.Detections`, beside what supervision itself reads of the same answers."""

from typing import TYPE_CHECKING

import pytest

from qwen_vl.errors import AnswerFormatError
from qwen_vl.grounding.coordinates import find_frame
from qwen_vl.grounding.parse_boxes import read_grounding

if TYPE_CHECKING:
    from supervision import Detections

# It takes three seconds to import.
pytestmark = pytest.mark.slow

SIZE = (1920, 1080)
# Where Qwen2.5-VL looks at an image of this size, by the documented formula.
RESIZED = (1316, 728)
_CAT = '{"bbox_2d": [100, 200, 300, 400], "label": "cat"}'
_DOG = '{"bbox_2d": [500, 500, 900, 700], "label": "dog"}'
ANSWERS = [
    f"[{_CAT}, {_DOG}, {_CAT}]",
    f"```json\n[{_CAT}, {_DOG}]\n```",
    f'```json\n[{_CAT}, {_DOG}, {{"bbox_2d": [1, 2',
    f'Here they are: [{_CAT}, {_DOG}], as "asked".',
    f"[{_CAT}, {_DOG},]",
    "[{'bbox_2d': [100, 200, 300, 400], 'label': 'cat'}]",
    '[{"bbox_2d": [300, 400, 100, 200], "label": "reversed"}]',
    "[]",
]


def ours(model: str, text: str) -> "Detections":
    found: Detections = read_grounding(text, find_frame(model, SIZE)).to_detections()
    return found


def theirs(model: str, text: str) -> "Detections":
    from supervision import Detections  # noqa: PLC0415 - for those alone who run these tests

    if model == "qwen2.5-vl-7b-instruct":
        return Detections.from_vlm("qwen_2_5_vl", text, input_wh=RESIZED, resolution_wh=SIZE)
    return Detections.from_vlm("qwen_3_vl", text, resolution_wh=SIZE)


models = pytest.mark.parametrize("model", ["qwen2.5-vl-7b-instruct", "qwen3-vl-plus"])


@models
@pytest.mark.parametrize("text", ANSWERS)
def test_the_same_answer_is_read_alike(model: str, text: str) -> None:
    mine, other = ours(model, text), theirs(model, text)
    assert mine.xyxy == pytest.approx(other.xyxy)
    assert list(mine.data["class_name"]) == list(other.data.get("class_name", []))
    assert len(mine) == text.count("label")


def test_ids_number_the_labels() -> None:
    found = ours("qwen3-vl-plus", ANSWERS[0])
    assert found.class_id is not None
    assert found.class_id.tolist() == [0, 1, 0]
    assert found.confidence is None
    assert found[found.data["class_name"] == "cat"].area.tolist() == pytest.approx(
        [200 * 200 * 1.92 * 1.08] * 2
    )


@models
@pytest.mark.parametrize(
    ("text", "n_ours"),
    [
        # supervision reads lists of objects alone, with these two names.
        (_CAT, 1),
        ('[{"bbox": [100, 200, 300, 400], "label": "cat"}]', 1),
        ('[{"bbox_2d": [100, 200, 300, 400]}]', 1),
        ('{"cat": [[100, 200, 300, 400]]}', 1),
    ],
)
def test_more_forms_are_read_than_supervision_reads(model: str, text: str, n_ours: int) -> None:
    assert (len(ours(model, text)), len(theirs(model, text))) == (n_ours, 0)


def test_what_is_outside_is_clipped_here_and_kept_there() -> None:
    text = '[{"bbox_2d": [900, 900, 1010, 1000], "label": "cat"}]'
    assert ours("qwen3-vl-plus", text).xyxy.max() == SIZE[0]
    assert theirs("qwen3-vl-plus", text).xyxy.max() == pytest.approx(1939.2)


def test_prose_is_an_error_here_and_nothing_there() -> None:
    assert len(theirs("qwen3-vl-plus", "There is no cat.")) == 0
    with pytest.raises(AnswerFormatError):
        ours("qwen3-vl-plus", "There is no cat.")
