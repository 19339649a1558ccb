"""The coordinate spaces, in numbers and in words."""

import math

import pytest

from qwen_vl.content import Image, Inline
from qwen_vl.errors import ConfigurationError, MediaFormatError
from qwen_vl.grounding.coordinates import find_frame
from qwen_vl.grounding.locate import WHERE, locate_task
from qwen_vl.grounding.parse_boxes import ground_ocr_result
from qwen_vl.grounding.prompts import BOXES_PROMPT, EVENTS_SCHEMA, POINTS_SCHEMA, write_prompt
from qwen_vl.grounding.task import check_measures
from qwen_vl.ocr.results import OcrResult, OcrWord
from qwen_vl.settings import QwenVLSettings

CORNERS = ((10.0, 10.0), (50.0, 10.0), (50.0, 30.0), (10.0, 30.0))


@pytest.mark.parametrize(
    ("space", "title"),
    [
        ("normalized", "0 to 1000 (normalized)"),
        ("resized", "pixels of the resized image, 64 x 32"),
        ("sent", "pixels of the image that was sent, 100 x 50"),
    ],
)
def test_space_has_a_title(space: object, title: str) -> None:
    frame = find_frame(
        "qwen3-vl-plus",
        (200, 100),
        space=space,  # type: ignore[arg-type]
        sent=(100, 50),
        resized=(64, 32),
    )
    assert str(frame) == title


def test_ocr_words_become_boxes() -> None:
    result = OcrResult(
        task="advanced_recognition", text="cat", words=(OcrWord(text="cat", location=CORNERS),)
    )
    frame = find_frame("qwen-vl-ocr", (200, 100), space="sent", sent=(100, 50))
    found = ground_ocr_result(result, frame)

    assert (found.width, found.height, found.space, found.text) == (200, 100, "sent", "cat")
    assert [(box.label, box.xyxy) for box in found.boxes] == [("cat", (20, 20, 100, 60))]


def test_prompt_without_a_slot_is_an_error() -> None:
    own = "Find it. " * 20
    with pytest.raises(ConfigurationError) as caught:
        write_prompt(BOXES_PROMPT, "cats", own)
    assert str(caught.value) == (
        f"The prompt lacks '{{what}}', which is replaced by what to look for: {own[:80]!r}"
    )


def test_schemas_ask_for_what_is_read() -> None:
    point = POINTS_SCHEMA["properties"]["objects"]["items"]
    assert point["properties"]["point_2d"] == {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 2,
        "maxItems": 2,
    }
    event = EVENTS_SCHEMA["properties"]["events"]["items"]
    assert event["required"] == list(event["properties"])
    assert event["additionalProperties"] is False


@pytest.mark.parametrize("measures", [(1, 0), (-1, 2), (math.inf, 1), ("1", 2), (None,)])
def test_measures_are_numbers_above_zero(measures: tuple[object, ...]) -> None:
    with pytest.raises(ConfigurationError, match=r"^size is 'x'; it must be a pair\.$"):
        check_measures("size", "x", measures=measures, wanted="a pair")


def test_measures_may_be_small() -> None:
    check_measures("seconds", 0.5, measures=(0.5,), wanted="seconds")


@pytest.mark.parametrize(("where", "named"), [("album[3]", "album[3]"), ("", WHERE)])
def test_image_that_cannot_be_located_in_is_named(where: str, named: str) -> None:
    image = Image(source=Inline(b"no image"), where=where)
    with pytest.raises(MediaFormatError) as caught:
        locate_task(QwenVLSettings(), image, "cats")
    assert caught.value.where == named
