"""What the table of models says of ids, the newest and unknown ones too."""

from typing import Any

import pytest

from qwen_vl.specs.models import CURRENT_MODELS, DEFAULT_MODEL, NEWEST, get_model_spec, may_think
from qwen_vl.specs.vision import count_image_tokens, smart_resize


@pytest.mark.parametrize(
    ("model", "spec"),
    [
        # Vision page (2026-08) and OpenAI-Chat page (2026-10).
        ("qwen3-vl-plus", {"factor": 32, "max_frames": 2000, "thinking": "off"}),
        ("qwen3-vl-plus-2025-12-19", {"max_frames": 2000, "thinking": "off"}),
        ("qwen3-vl-flash", {"max_frames": 2000, "thinking": "off"}),
        ("qwen3-vl-235b-a22b-thinking", {"max_frames": 2000, "thinking": "always"}),
        ("qwen3-vl-8b-instruct", {"max_frames": 512, "thinking": "never"}),
        ("Qwen/Qwen3-VL-8B-Instruct", {"max_frames": 512, "thinking": "never"}),
        ("qwen3.8-max", {"max_images": 2048, "thinking": "on", "accepts_json_schema": True}),
        ("qwen3.8-2.4t-a95b", {"thinking": "always"}),
        ("qwen3.7-plus", {"max_images": 2048, "accepts_json_schema": True}),
        ("qwen3.6-plus", {"max_images": 256, "accepts_json_schema": False}),
        ("qwen3.5-flash", {"max_frames": 8000, "thinking": "on"}),
        # Omni page, 2026-09.
        ("qwen3.8-omni-flash", {"accepts_audio": True, "streams_only": False, "thinking": "on"}),
        ("qwen3.5-omni-plus", {"accepts_audio": True, "streams_only": True, "thinking": "never"}),
        ("qwen3-omni-flash", {"max_frames": 128, "streams_only": True, "thinking": "off"}),
        ("Qwen/Qwen3-Omni-30B-A3B-Instruct", {"accepts_audio": True, "max_frames": 128}),
        ("qwen-omni-turbo", {"factor": 28, "max_frames": 80, "thinking": "never"}),
        ("qwen3.8-max", {"accepts_audio": False, "streams_only": False}),
        ("qwen-vl-ocr", {"accepts_video": False, "accepts_tools": False, "thinking": "never"}),
        ("qwen3.5-ocr", {"accepts_video": False, "accepts_tools": False, "thinking": "never"}),
        ("qwen2.5-vl-72b-instruct", {"factor": 28, "max_frames": 512}),
        ("qvq-max", {"factor": 28, "thinking": "always"}),
        ("qwen-vl-max", {"factor": 32, "accepts_tools": False}),
        ("qwen-vl-max-2024-08-09", {"factor": 28, "max_frames": 80}),
    ],
)
def test_model_has_the_facts_of_its_row(model: str, spec: dict[str, Any]) -> None:
    found = get_model_spec(model)

    assert {name: getattr(found, name) for name in spec} == spec


def test_unknown_model_counts_as_the_newest() -> None:
    assert get_model_spec("my-finetune") is NEWEST


def test_current_models_are_none_of_the_retired() -> None:
    assert DEFAULT_MODEL in CURRENT_MODELS
    for model in CURRENT_MODELS:
        assert "retired" not in get_model_spec(model).family


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        ("qwen3-vl-plus", None, False),
        ("qwen3-vl-plus", True, True),
        ("qwen3.8-max", None, True),
        ("qwen3.8-max", False, False),
        ("qvq-max", False, True),
        ("qwen-vl-ocr", True, False),
    ],
)
def test_model_may_think_by_default_or_when_asked(
    model: str, asked: bool | None, expected: bool
) -> None:
    assert may_think(model, asked) is expected


@pytest.mark.parametrize(
    ("width", "height", "model", "high_resolution", "tokens"),
    [
        # Vision page (2026-08), the rule worked out for three images.
        (1920, 1080, "qwen2.5-vl-72b-instruct", False, 1222 + 2),
        (1920, 1080, "qwen3-vl-plus", False, 2040 + 2),
        (3840, 2160, "qwen3-vl-plus", False, 2479 + 2),
        (3840, 2160, "qwen3-vl-plus", True, 8160 + 2),
        (100, 100, "qwen3-vl-plus", False, 64 + 2),
        (100, 100, "qwen2.5-vl-72b-instruct", False, 16 + 2),
    ],
)
def test_picture_costs_what_the_rule_says(
    width: int, height: int, model: str, high_resolution: bool, tokens: int
) -> None:
    spec = get_model_spec(model)

    assert count_image_tokens(width, height, spec, high_resolution=high_resolution) == tokens


@pytest.mark.parametrize(
    ("size", "factor", "most", "expected"),
    [
        ((1920, 1080), 32, 2_621_440, (1920, 1088)),
        ((3840, 2160), 32, 2_621_440, (2144, 1184)),
        # Halves are rounded to the even neighbour: 80 / 32 = 2.5, 48 / 32 = 1.5.
        ((80, 48), 32, 2_621_440, (64, 64)),
    ],
)
def test_sides_become_multiples_of_the_factor(
    size: tuple[int, int], factor: int, most: int, expected: tuple[int, int]
) -> None:
    assert smart_resize(*size, factor=factor, min_pixels=1, max_pixels=most) == expected
