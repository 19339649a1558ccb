"""The service's arithmetic: worked examples of its pages, and the limits of each rule."""

import math

import pytest

from qwen_vl.specs.models import CURRENT_MODELS, get_model_spec
from qwen_vl.specs.processors import fit
from qwen_vl.specs.vision import (
    count_image_tokens,
    count_video_tokens,
    count_visual_tokens,
    max_image_tokens,
    max_video_tokens,
    resize_frame,
    resize_image,
    sample_frame_count,
    smart_resize,
)
from qwen_vl.tokens.text import estimate_text_tokens


@pytest.mark.parametrize(
    ("size", "model", "high_resolution", "tokens"),
    [
        # The rule of the Vision page (2026-08), worked out: columns, rows, markers.
        ((1920, 1080), "qwen2.5-vl-72b-instruct", False, 47 * 26 + 2),
        ((1920, 1080), "qwen3-vl-plus", False, 60 * 34 + 2),
        ((3840, 2160), "qwen3-vl-plus", False, 67 * 37 + 2),
        ((3840, 2160), "qwen3-vl-plus", True, 120 * 68 + 2),
        ((100, 100), "qwen3-vl-plus", False, 8 * 8 + 2),
        ((100, 100), "qwen2.5-vl-72b-instruct", False, 4 * 4 + 2),
        # The ticket of the OCR page (2026-07): `image_tokens` 427 at a model of 28 pixels.
        ((689, 487), "qwen2.5-vl-72b-instruct", False, 427),
    ],
)
def test_picture_costs_what_the_pages_say(
    size: tuple[int, int], model: str, high_resolution: bool, tokens: int
) -> None:
    spec = get_model_spec(model)

    assert count_image_tokens(*size, spec, high_resolution=high_resolution) == tokens


@pytest.mark.parametrize(
    ("size", "n_frames", "expected", "tokens"),
    [
        # The sample code of the Vision page (2026-08), run for qwen3-vl-plus.
        ((1920, 1080), 120, (1056, 576), 35_642),
        ((1920, 1080), 30, (1056, 576), 8_912),
        ((1920, 1080), 2_000, (480, 256), 120_002),
        # An odd frame has its pair to itself.
        ((1920, 1080), 29, (1056, 576), 8_912),
        ((64, 48), 4, (320, 224), 2 * 70 + 2),
    ],
)
def test_video_costs_what_the_sample_code_says(
    size: tuple[int, int], n_frames: int, expected: tuple[int, int], tokens: int
) -> None:
    spec = get_model_spec("qwen3-vl-plus")

    assert resize_frame(*size, n_frames, spec) == expected
    assert count_video_tokens(*size, n_frames, spec) == tokens
    assert count_visual_tokens(*expected, n_frames, spec) == tokens


@pytest.mark.parametrize(
    ("seconds", "n_frames", "fps", "expected"),
    [
        # Vision page (2026-08): a last part of a second counts if it is longer than 1 / fps.
        (60.0, 1_800, 2.0, 120),
        (5.28, 132, 2.0, 10),
        (5.28, 132, 4.0, 21),
        (5.28, 132, 3.0, 15),
        (5.5, 132, 2.0, 10),
        (5.51, 132, 2.0, 11),
        (5.28, 132, 1.0, 5),
        # At least 4, at most an even number that the video has.
        (5.28, 132, 0.1, 4),
        (2.5, 3, 2.0, 2),
        (10.0, 11, 2.0, 10),
        (0.5, 1, 2.0, 1),
        # No more than the model takes.
        (7_200.0, 180_000, 2.0, 2_000),
    ],
)
def test_frames_are_sampled_by_the_rule(
    seconds: float, n_frames: int, fps: float, expected: int
) -> None:
    assert sample_frame_count(seconds, n_frames, fps=fps, max_frames=2_000) == expected


def test_pixel_limits_of_the_part_count_before_the_model_s() -> None:
    spec = get_model_spec("qwen3-vl-plus")
    hd = (1920, 1080)

    assert resize_image(*hd, spec, max_pixels=500_000) == (928, 512)
    assert resize_image(64, 48, spec, min_pixels=262_144) == (608, 448)
    assert resize_frame(*hd, 10, spec, max_pixels=2_048_000) == (1888, 1056)
    assert resize_frame(*hd, 10, spec, max_pixels=100_000) == (416, 224)
    # 1,000,000 pixels for 10 frames in pairs: 200,000 for each frame.
    assert resize_frame(*hd, 10, spec, total_pixels=1_000_000) == (576, 320)
    # Even so, each frame keeps a little more than 4 squares.
    assert resize_frame(*hd, 2_000, spec, total_pixels=4_096, min_pixels=4_096) == (64, 32)


def test_high_resolution_passes_over_max_pixels() -> None:
    spec = get_model_spec("qwen3-vl-plus")

    size = resize_image(3840, 2160, spec, max_pixels=500_000, high_resolution=True)

    assert size == (3840, 2176)


@pytest.mark.parametrize("model", [*CURRENT_MODELS, "qwen2.5-vl-72b-instruct", "qwen-vl-max"])
@pytest.mark.parametrize("size", [(11, 11), (640, 480), (4000, 3000), (11, 2200), (20_000, 100)])
def test_no_picture_or_frame_costs_more_than_the_most(model: str, size: tuple[int, int]) -> None:
    spec = get_model_spec(model)

    assert count_image_tokens(*size, spec) <= max_image_tokens(spec)
    for n_frames in (4, 5, 120, 500):
        assert count_video_tokens(*size, n_frames, spec) <= max_video_tokens(n_frames, spec)


def test_most_tokens_are_those_of_the_pages() -> None:
    # Tokens of the highest limits (OpenAI-Chat page, 2026-10), and the markers.
    plus, newest = get_model_spec("qwen3-vl-plus"), get_model_spec("qwen3.8-max")

    assert max_image_tokens(plus) == 2_560 + 2
    assert max_image_tokens(plus, high_resolution=True) == 16_384 + 2
    assert max_image_tokens(plus, max_pixels=65_536) == 64 + 2
    assert max_video_tokens(2_000, plus) <= 131_072 + 2
    assert max_video_tokens(8_000, newest) == 800_000 + 2


@pytest.mark.parametrize(
    ("text", "tokens", "within"),
    [
        # Counted with the tokenizer of Qwen-VL that dashscope 2.0.2 brings.
        ("What is depicted in the image?", 7, 0.15),
        ("The quick brown fox jumps over the lazy dog. " * 5, 51, 0.1),
        ("图中描绘的是什么景象?", 7, 0.3),
        ("视觉理解模型可以根据您传入的图片或视频进行回答，支持单图或多图的输入。", 22, 0.3),
        ("これは海辺で撮影された写真です。人と犬が砂浜に座っています。", 21, 0.3),
        ("해변에서 찍은 사진입니다. 한 사람과 개가 모래사장에 앉아 있습니다.", 24, 0.3),
        ("Опишите, пожалуйста, что происходит на этом видео.", 17, 0.3),
        ("3141592653589793", 16, 0.1),
        ('{"bbox_2d": [341, 22, 998, 711], "score": 0.9812, "label": "cat"}', 42, 0.15),
        ("👍👍🎉 nice day", 5, 0.3),
    ],
)
def test_text_is_estimated_well_enough(text: str, tokens: int, within: float) -> None:
    assert math.isclose(estimate_text_tokens(text), tokens, rel_tol=within)


def test_text_of_nothing_costs_nothing() -> None:
    assert estimate_text_tokens("") == 0


def test_text_that_is_no_unicode_is_estimated() -> None:
    assert estimate_text_tokens("\ud83d broken") > 0


@pytest.mark.parametrize(
    ("size", "resized"),
    [
        # Rounded to multiples of 32, they have just the least pixels, and just the most.
        ((260, 252), (256, 256)),
        ((4_100, 4_096), (4_096, 4_096)),
        # A multiple less and more.
        ((260, 239), (288, 256)),
        ((4_128, 4_096), (4_096, 4_064)),
    ],
)
def test_sizes_at_the_limits_of_pixels(size: tuple[int, int], resized: tuple[int, int]) -> None:
    limits = {"min_pixels": 65_536, "max_pixels": 16_777_216}
    assert smart_resize(*size, factor=32, **limits) == resized
    assert fit(*size, 32, (65_536, 16_777_216)) == resized
