"""The rule of self-hosted servers, row by row against what their processors were seen to do.

`self_hosted_token_table.json` holds what the processors of transformers 5.19.0 made of images
and videos; four videos were sized by their function alone (`by`). Its notes say more.
"""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from qwen_vl.errors import (
    ConfigurationError,
    FrameCountError,
    MediaError,
    MediaOptionError,
    MediaRatioError,
    MediaTooSmallError,
    QwenVLError,
)
from qwen_vl.specs.processors import fit_clip
from qwen_vl.tokens.self_hosted import (
    SelfHostedCount,
    count_self_hosted_image_tokens,
    count_self_hosted_video_tokens,
    sample_self_hosted_frames,
    write_timestamps,
)

pytestmark = pytest.mark.any_version

TABLE = orjson.loads((Path(__file__).parent / "self_hosted_token_table.json").read_bytes())
FACTORS = TABLE["factor"]
IMAGES = [(family, row) for family, rows in TABLE["images"].items() for row in rows]
VIDEOS = [(family, row) for family, rows in TABLE["videos"].items() for row in rows]


def _name(value: Any) -> str:
    if isinstance(value, str):
        return value
    asked = value.get("setting") or f"{value['frames']} at {value['fps']}, {value['sample']}"
    return f"{value['width']}x{value['height']} {asked}"


def _count_image(family: Any, row: dict[str, Any]) -> SelfHostedCount:
    return count_self_hosted_image_tokens(
        row["width"],
        row["height"],
        family,
        min_pixels=row["min_pixels"],
        max_pixels=row["max_pixels"],
    )


def _sample(family: Any, row: dict[str, Any]) -> list[int]:
    asked = {"sample_fps" if name == "fps" else name: n for name, n in row["sample"].items()}
    return sample_self_hosted_frames(row["frames"], row["fps"], family, **asked)


def _count_video(family: Any, row: dict[str, Any]) -> SelfHostedCount:
    indices = _sample(family, row)
    return count_self_hosted_video_tokens(row["width"], row["height"], indices, row["fps"], family)


def test_table_is_whole() -> None:
    assert (len(IMAGES), len(VIDEOS)) == (209, 120)
    assert sum("error" in row for _, row in IMAGES) == 11
    assert sum("error" in row for _, row in VIDEOS) == 10


@pytest.mark.parametrize(("family", "row"), IMAGES, ids=_name)
def test_picture_costs_what_the_processor_makes_of_it(family: str, row: dict[str, Any]) -> None:
    if "error" in row:
        with pytest.raises(MediaRatioError, match=r"201\.0 : 1"):
            _count_image(family, row)
        return
    count = _count_image(family, row)

    assert [count.width, count.height] == row["resized"]
    assert count.visual_tokens == row["tokens"]
    assert count.prompt_tokens == row["with_vision_markers"]
    assert count.visual_tokens == math.prod(row["grid_thw"]) / 4


@pytest.mark.parametrize(("family", "row"), VIDEOS, ids=_name)
def test_video_costs_what_the_processor_makes_of_it(family: str, row: dict[str, Any]) -> None:
    if "error" in row:
        with pytest.raises(FrameCountError, match=f"has {row['frames']} frames; "):
            _count_video(family, row)
        return
    indices, count = _sample(family, row), _count_video(family, row)

    assert len(indices) == row["sampled_frames"]
    assert indices[:6] == row["first_indices"]
    assert indices[-1] == row["last_index"]
    assert [count.width, count.height] == row["resized"]
    assert count.n_steps == row["grid_thw"][0]
    assert count.visual_tokens == row["visual_tokens"]
    assert count.visual_tokens == count.n_steps * row["tokens_per_frame_pair"]
    assert count.timestamp_tokens == row.get("timestamp_tokens", 0)
    assert count.marker_tokens == row["marker_tokens"]
    assert count.prompt_tokens == row["prompt_tokens_of_the_video"]


STAMPED = [row for _, row in VIDEOS if "timestamps" in row]


@pytest.mark.parametrize("row", STAMPED, ids=_name)
def test_time_stamps_are_those_of_the_processor(row: dict[str, Any]) -> None:
    stamps = write_timestamps(_sample("qwen3_vl", row), row["fps"])

    shown = row["timestamps"]
    if "..." in shown:
        cut = shown.index("...")
        stamps = [*stamps[:cut], "...", *stamps[len(stamps) - len(shown) + cut + 1 :]]
    assert stamps == shown


def _by_qwen_vl_utils(
    width: int, height: int, *, factor: int, min_pixels: float, max_pixels: float
) -> tuple[int, int]:
    """`smart_resize` of qwen-vl-utils 0.0.14, for the size that it would give."""
    scaled_width = max(factor, round(width / factor) * factor)
    high = max(factor, round(height / factor) * factor)
    if scaled_width * high > max_pixels:
        downscale = math.sqrt(width * height / max_pixels)
        scaled_width = math.floor(width / downscale / factor) * factor
        high = math.floor(height / downscale / factor) * factor
    elif scaled_width * high < min_pixels:
        enlarge = math.sqrt(min_pixels / (width * height))
        scaled_width = math.ceil(width * enlarge / factor) * factor
        high = math.ceil(height * enlarge / factor) * factor
    return scaled_width, high


def test_pictures_that_qwen_vl_utils_sees_otherwise_are_those_of_the_table() -> None:
    different = []
    for family, row in IMAGES:
        if "error" in row:
            continue
        size = _by_qwen_vl_utils(
            row["width"],
            row["height"],
            factor=FACTORS[family],
            min_pixels=row["min_pixels"],
            max_pixels=row["max_pixels"],
        )
        ours = _count_image(family, row)
        if size != (ours.width, ours.height):
            different.append((family, row))
            # It makes a side 0, which no processor takes.
            assert list(size) == row["qwen_vl_utils"]["resized"]
            assert row["qwen_vl_utils"]["tokens"] == 0
    flagged = [(family, row) for family, row in IMAGES if not row["agrees_with_qwen_vl_utils"]]
    assert different == flagged
    assert [f"{family} {row['width']}x{row['height']}" for family, row in different] == [
        "qwen2_5_vl 4000x20",
        "qwen2_5_vl 20x4000",
        "qwen3_vl 4000x20",
        "qwen3_vl 20x4000",
    ]


def _video_by_qwen_vl_utils(family: str, row: dict[str, Any]) -> dict[str, Any] | None:
    """`smart_nframes` and `fetch_video` of qwen-vl-utils 0.0.14; `None` where they raise."""
    factor, n_frames, asked = FACTORS[family], row["frames"], row["sample"]
    if "num_frames" in asked:
        sampled = round(asked["num_frames"] / 2) * 2
    else:
        most = min(768, n_frames) // 2 * 2
        wanted = min(max(n_frames / row["fps"] * asked["fps"], 4), most, n_frames)
        sampled = math.floor(wanted / 2) * 2
    if not 2 <= sampled <= n_frames:
        return None
    share = 128_000 * factor**2 * 0.9 / sampled * 2
    scaled_width, high = _by_qwen_vl_utils(
        row["width"],
        row["height"],
        factor=factor,
        min_pixels=128 * factor**2,
        max_pixels=max(min(768 * factor**2, share), int(128 * factor**2 * 1.05)),
    )
    return {
        "sampled_frames": sampled,
        "resized": [scaled_width, high],
        "visual_tokens": sampled // 2 * (scaled_width // factor) * (high // factor),
    }


def test_videos_that_qwen_vl_utils_sees_otherwise_are_those_of_the_table() -> None:
    different, recorded = [], []
    for family, row in VIDEOS:
        theirs, named = _video_by_qwen_vl_utils(family, row), _name(row)
        assert theirs == (None if "error" in row["qwen_vl_utils"] else row["qwen_vl_utils"])
        try:
            count: SelfHostedCount | None = _count_video(family, row)
        except FrameCountError:
            count = None
        if (count and count.visual_tokens) != (theirs and theirs["visual_tokens"]):
            different.append((family, named))
        if row.get("visual_tokens") != row["qwen_vl_utils"].get("visual_tokens"):
            recorded.append((family, named))

    assert different == recorded
    assert Counter(family for family, _ in different) == {"qwen2_5_vl": 43, "qwen3_vl": 50}


@pytest.mark.parametrize(
    ("family", "size", "tokens"),
    [
        # What vLLM 0.32.0 reported on 2026-11-22, without the markers.
        *(("qwen3_vl", (side, side), 64) for side in (1, 64, 224)),
        ("qwen3_vl", (320, 240), 80),
        ("qwen3_vl", (1365, 2048), 2752),
        ("qwen3_vl", (5000, 5000), 16_384),
        ("qwen2_5_vl", (64, 64), 4),
        ("qwen2_5_vl", (320, 240), 99),
        ("qwen2_5_vl", (1920, 1080), 2691),
        ("qwen2_5_vl", (3840, 2160), 10_549),
        ("qwen2_5_vl", (5000, 5000), 16_129),
    ],
)
def test_picture_costs_what_the_server_reported(
    family: Any, size: tuple[int, int], tokens: int
) -> None:
    assert count_self_hosted_image_tokens(*size, family).visual_tokens == tokens


@pytest.mark.parametrize(
    ("limits", "qwen3", "qwen2_5"),
    [
        ({"max_pixels": 65_536}, 54, 70),
        ({"min_pixels": 1_048_576}, 1036, 1376),
        ({"min_pixels": 4_096, "max_pixels": 100_000}, 88, 117),
    ],
)
def test_limits_of_a_request_count_as_the_server_reported(
    limits: dict[str, int], qwen3: int, qwen2_5: int
) -> None:
    counted = [
        count_self_hosted_image_tokens(640, 480, "qwen3_vl", **limits).visual_tokens,
        count_self_hosted_image_tokens(640, 480, "qwen2_5_vl", **limits).visual_tokens,
    ]

    assert counted == [qwen3, qwen2_5]


@pytest.mark.parametrize(
    ("n_frames", "fps", "sample_fps", "size", "qwen3", "qwen2_5"),
    [
        (16, 8, 2, (128, 96), 42, 32),
        (16, 8, 4, (128, 96), 82, 62),
        (32, 8, 2, (640, 480), 1234, 1566),
        (60, 30, 2, (1280, 720), 1778, 2394),
        (1500, 25, 2, (320, 180), 4132, 3962),
    ],
)
def test_video_costs_what_the_server_reported(
    n_frames: int, fps: float, sample_fps: float, size: tuple[int, int], qwen3: int, qwen2_5: int
) -> None:
    def count(family: Any) -> int:
        frames = sample_self_hosted_frames(n_frames, fps, family, sample_fps=sample_fps)
        return count_self_hosted_video_tokens(*size, frames, fps, family).prompt_tokens

    assert [count("qwen3_vl"), count("qwen2_5_vl")] == [qwen3, qwen2_5]


def test_limits_of_a_video_are_the_clip_s_for_qwen3_and_the_frame_s_before() -> None:
    frames = range(8)

    def size(family: Any) -> tuple[int, int]:
        count = count_self_hosted_video_tokens(640, 480, frames, 1, family, max_pixels=200_704)
        return count.width, count.height

    assert size("qwen3_vl") == (160, 128)
    assert size("qwen2_5_vl") == (504, 364)


def test_narrow_frames_are_enlarged_before_their_ratio_counts() -> None:
    count = count_self_hosted_video_tokens(4, 64, range(4), 1, "qwen3_vl")

    assert (count.width, count.height) == (32, 512)


def test_one_frame_is_enough_for_qwen2_5_alone() -> None:
    count = count_self_hosted_video_tokens(320, 240, [0], 1, "qwen2_5_vl")

    assert (count.n_steps, count.prompt_tokens) == (1, 101)
    with pytest.raises(FrameCountError):
        count_self_hosted_video_tokens(320, 240, [0], 1, "qwen3_vl")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"width": 0}, MediaTooSmallError, "0 x 240 pixels"),
        ({"width": 1, "height": 201}, MediaRatioError, "201.0 : 1"),
        ({"min_pixels": 0}, MediaOptionError, "min_pixels is 0"),
        ({"max_pixels": 1e6}, MediaOptionError, "max_pixels is 1000000.0"),
        ({"max_pixels": True}, MediaOptionError, "max_pixels is True"),
        (
            {"min_pixels": 200, "max_pixels": 100},
            MediaOptionError,
            "min_pixels is 200; it must be at most max_pixels, which is 100",
        ),
        ({"family": "qwen9"}, ConfigurationError, "Known are qwen2_5_vl, qwen3_vl"),
    ],
)
def test_impossible_picture_is_our_error(
    arguments: dict[str, Any], error: type[QwenVLError], words: str
) -> None:
    with pytest.raises(error, match=words):
        count_self_hosted_image_tokens(
            **{"width": 320, "height": 240, "family": "qwen3_vl", **arguments}
        )


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf])
def test_impossible_rate_is_our_error(family: Any, rate: float) -> None:
    with pytest.raises(MediaOptionError, match="fps is"):
        sample_self_hosted_frames(100, rate, family)
    with pytest.raises(MediaOptionError, match="sample_fps is"):
        sample_self_hosted_frames(100, 25, family, sample_fps=rate)
    with pytest.raises(MediaOptionError, match="fps is"):
        count_self_hosted_video_tokens(320, 240, range(4), rate, family)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_video_without_frames_or_size_is_our_error(family: Any) -> None:
    with pytest.raises(FrameCountError):
        sample_self_hosted_frames(0, 25, family)
    with pytest.raises(FrameCountError):
        count_self_hosted_video_tokens(320, 240, [], 25, family)
    for size in ((0, 240), (1, 20_000)):
        with pytest.raises(MediaError):
            count_self_hosted_video_tokens(*size, range(4), 25, "qwen2_5_vl")
    with pytest.raises(MediaTooSmallError):
        count_self_hosted_video_tokens(0, 240, range(4), 25, family)


def test_limit_of_a_clip_is_for_each_frame_or_for_all() -> None:
    # Qwen2.5-VL: each of the frames has 100,352 pixels at most.
    assert fit_clip(1_280, 720, 8, "qwen2_5_vl", max_pixels=100_352) == (420, 224)
    assert fit_clip(1_280, 720, 80, "qwen2_5_vl", max_pixels=100_352) == (420, 224)
    # Qwen3-VL: all of them together.
    assert fit_clip(1_280, 720, 8, "qwen3_vl", max_pixels=802_816) == (416, 224)
    assert fit_clip(1_280, 720, 2, "qwen3_vl", max_pixels=200_704) == (416, 224)
