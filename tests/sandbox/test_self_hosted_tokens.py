"""The rule of servers that hold the model, against what their processors were seen to do.

The rows are those of transformers 5.19.0; the table's own notes say more.
"""

from pathlib import Path
from typing import Any

import orjson
import pytest

from qwen_vl_sandbox.media.self_hosted_tokens import (
    PROCESSORS,
    Family,
    Frames,
    Limits,
    family_of,
    image_tokens,
    sampled_numbers,
    scaled_size,
    video_tokens,
)

pytestmark = pytest.mark.any_version

TABLE = orjson.loads(
    (Path(__file__).parents[1] / "core/tokens/self_hosted_token_table.json").read_bytes()
)
IMAGES = [(family, row) for family, rows in TABLE["images"].items() for row in rows]
VIDEOS = [
    (family, row)
    for family, rows in TABLE["videos"].items()
    for row in rows
    if "fps" in row["sample"]
]


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value
    asked = value.get("setting") or f"{value['frames']} at {value['fps']}, {value['sample']}"
    return f"{value['width']}x{value['height']} {asked}"


@pytest.mark.parametrize(("family", "row"), IMAGES, ids=_name)
def test_picture_counts_as_measured(family: Family, row: dict[str, Any]) -> None:
    """Its size and its tokens, or its refusal."""
    factor = PROCESSORS[family].factor
    limits = Limits(row["min_pixels"], row["max_pixels"])
    if "error" in row:
        with pytest.raises(ValueError, match="aspect ratio must be smaller than 200"):
            image_tokens(row["width"], row["height"], factor, limits)
        return
    assert list(scaled_size(row["width"], row["height"], factor, limits)) == row["resized"]
    assert image_tokens(row["width"], row["height"], factor, limits) == row["tokens"]


@pytest.mark.parametrize(("family", "row"), VIDEOS, ids=_name)
def test_video_counts_as_measured(family: Family, row: dict[str, Any]) -> None:
    """The frames that are looked at, and all their tokens."""
    processor = PROCESSORS[family]

    def count() -> Any:
        numbers = sampled_numbers(row["frames"], row["fps"], row["sample"]["fps"], family)
        frames = Frames(row["width"], row["height"], numbers, row["fps"])
        return numbers, video_tokens(frames, family, processor.video)

    if "error" in row:
        with pytest.raises(ValueError, match=row["error"].partition(": ")[2]):
            count()
        return
    numbers, tokens = count()
    assert (len(numbers), numbers[-1]) == (row["sampled_frames"], row["last_index"])
    assert list(numbers[: len(row["first_indices"])]) == row["first_indices"]
    assert (tokens.visual, tokens.stamps, tokens.markers, tokens.total) == (
        row["visual_tokens"],
        row.get("timestamp_tokens", 0),
        row["marker_tokens"],
        row["prompt_tokens_of_the_video"],
    )


def test_table_has_rows_of_both_kinds() -> None:
    """Refused ones among them."""
    assert len(IMAGES) > 200
    assert len(VIDEOS) == 80
    assert sum("error" in row for _, row in IMAGES + VIDEOS) > 5


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl"),
        ("Qwen/Qwen2-VL-2B-Instruct", "qwen2_5_vl"),
        ("qwen2_5_vl_7b", "qwen2_5_vl"),
        ("Qwen/Qwen3-VL-8B-Instruct", "qwen3_vl"),
        ("my-vl-model", "qwen3_vl"),
    ],
)
def test_family_follows_the_id(model: str, family: str) -> None:
    """The newest is taken for what says nothing."""
    assert family_of(model) == family
