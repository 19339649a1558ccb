"""The sandbox's own arithmetic against the documents' figures."""

import pytest

from qwen_vl_sandbox.media.hosted_tokens import (
    Budget,
    Clip,
    image_tokens,
    pieces,
    resized,
    sampled_frames,
    text_tokens,
    video_tokens,
)
from qwen_vl_sandbox.specs.models import model_spec

OLD = Budget(patch=28, min_pixels=3_136, max_pixels=1_003_520)
NEW = Budget(patch=32, min_pixels=65_536, max_pixels=2_621_440)
HIGH = Budget(patch=32, min_pixels=65_536, max_pixels=16_777_216)
FRAME = Budget(patch=32, min_pixels=65_536, max_pixels=655_360)


# The worked table of the Vision page (2026-08); `resized` gives width first.
@pytest.mark.parametrize(
    ("size", "budget", "scaled", "tokens"),
    [
        ((1920, 1080), OLD, (1316, 728), 1222 + 2),
        ((1920, 1080), NEW, (1920, 1088), 2040 + 2),
        ((1920, 1080), HIGH, (1920, 1088), 2040 + 2),
        ((3840, 2160), NEW, (2144, 1184), 2479 + 2),
        ((3840, 2160), HIGH, (3840, 2176), 8160 + 2),
        ((100, 100), OLD, (112, 112), 16 + 2),
        ((100, 100), NEW, (256, 256), 64 + 2),
        ((689, 487), OLD, (700, 476), 425 + 2),
    ],
)
def test_picture_tokens_match_the_worked_table(
    size: tuple[int, int], budget: Budget, scaled: tuple[int, int], tokens: int
) -> None:
    """Size and tokens for both patch sizes and for high resolution."""
    assert (resized(*size, budget), image_tokens(*size, budget)) == (scaled, tokens)


def test_picture_of_extreme_ratio_keeps_one_patch() -> None:
    """No side is scaled to nothing."""
    assert resized(11, 2200, Budget(32, 65_536, 65_536))[0] == 32


@pytest.mark.parametrize(
    ("clip", "frames", "total", "tokens"),
    [
        (Clip(1920, 1080, 60, 1800), 120, 134_217_728, 35_642),
        (Clip(1920, 1080, 15, 30), 30, 134_217_728, 8_912),
        (Clip(1920, 1080, 3600, 108_000), 2000, 134_217_728, 120_002),
    ],
)
def test_video_tokens_match_the_examples(clip: Clip, frames: int, total: int, tokens: int) -> None:
    """A minute, a frame list and an hour of 1080p."""
    assert video_tokens(clip, frames, FRAME, total) == tokens


@pytest.mark.parametrize(
    ("seconds", "frames", "fps", "most", "sampled"),
    [
        (60.0, 1800, 2.0, 2000, 120),
        (5.28, 132, 2.0, 2000, 10),
        (5.6, 140, 2.0, 2000, 11),
        (3600.0, 108_000, 2.0, 2000, 2000),
        (2.0, 50, 0.1, 2000, 4),
        (2.0, 3, 2.0, 2000, 2),
    ],
    ids=["plain", "part of a step", "more than a step", "capped", "at least four", "few frames"],
)
def test_sampled_frames_follow_the_rule(
    seconds: float, frames: int, fps: float, most: int, sampled: int
) -> None:
    """Duration, bounds and the part of a second."""
    assert sampled_frames(Clip(64, 64, seconds, frames), fps=fps, max_frames=most) == sampled


@pytest.mark.parametrize(
    "text", ["", "a", "four", "fives", "图中描绘的是什么景象?", "mixed 文字 text"]
)
def test_text_tokens_count_the_pieces(text: str) -> None:
    """The quick count and the cutting agree, and nothing is lost."""
    assert (text_tokens(text), "".join(pieces(text))) == (len(pieces(text)), text)


@pytest.mark.parametrize(
    ("model", "patch", "max_frames"),
    [
        ("qwen3.8-max", 32, 8000),
        ("qwen3.5-397b-a17b", 32, 8000),
        ("qwen3-vl-plus", 32, 2000),
        ("qwen3-vl-235b-a22b-instruct", 32, 2000),
        ("qwen3-vl-32b-instruct", 32, 512),
        ("qwen-vl-max-2025-08-13", 32, 512),
        ("qwen2.5-vl-72b-instruct", 28, 512),
        ("qvq-max-2025-03-25", 28, 512),
        ("qwen2-vl-7b-instruct", 28, 80),
        ("an-id-of-next-year", 32, 8000),
    ],
)
def test_model_facts_follow_the_id(model: str, patch: int, max_frames: int) -> None:
    """Patch size and frame limit by family; the unknown is the newest."""
    spec = model_spec(model)
    assert spec.video is not None
    assert (spec.patch, spec.video.max_frames) == (patch, max_frames)
