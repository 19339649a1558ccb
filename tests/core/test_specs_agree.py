"""The core's table of models and the sandbox's, each read from the documentation for itself."""

import pytest

from qwen_vl.specs.models import CURRENT_MODELS, get_model_spec
from qwen_vl_sandbox.specs.models import coordinates_of, model_spec

pytestmark = pytest.mark.any_version

MODELS = [
    *CURRENT_MODELS,
    "qwen3-vl-flash",
    "qwen3-vl-235b-a22b-instruct",
    "qwen3-vl-235b-a22b-thinking",
    "qwen3-vl-8b-instruct",
    "qwen3-vl-8b-thinking",
    "qwen3-omni-flash",
    "qwen-omni-turbo",
    "qwen2.5-vl-72b-instruct",
    "qwen-vl-plus-2025-01-25",
    "qwen-vl-max-2025-08-13",
    "qvq-max",
    "qwen2-vl-7b-instruct",
]
THINKING = {"on": "default_on", "off": "default_off", "never": "never", "always": "always"}


@pytest.mark.parametrize("model", MODELS)
def test_limits_of_pixels_and_frames(model: str) -> None:
    ours, theirs = get_model_spec(model), model_spec(model)

    assert ours.factor == theirs.patch
    assert (ours.image_min_pixels, ours.image_max_pixels, ours.image_pixels_limit) == (
        theirs.image.lowest,
        theirs.image.default_max,
        theirs.image.highest,
    )
    assert ours.image_min_pixels == theirs.image.default_min
    assert ours.max_images == theirs.max_image_urls
    assert ours.accepts_video == (theirs.video is not None)
    if theirs.video is not None:
        frame = theirs.video.pixels
        assert (
            ours.frame_min_pixels,
            ours.frame_default_min_pixels,
            ours.frame_default_max_pixels,
            ours.frame_pixels_limit,
        ) == (frame.lowest, frame.default_min, frame.default_max, frame.highest)
        assert ours.total_pixels_limit == theirs.video.total_pixels
        assert ours.max_frames == theirs.video.longest_list == theirs.video.max_frames


@pytest.mark.parametrize("model", MODELS)
def test_what_is_accepted(model: str) -> None:
    ours, theirs = get_model_spec(model), model_spec(model)

    assert THINKING[ours.thinking] == theirs.thinking
    assert ours.accepts_vision == theirs.sees
    assert ours.streams_only == theirs.streams_only
    assert ours.accepts_tools == theirs.tools
    assert ours.accepts_ocr_tasks == theirs.reads
    assert ours.accepts_json_schema == theirs.json_schema
    assert ours.accepts_reasoning_effort == theirs.takes_effort
    assert ours.accepts_effort_off == theirs.takes_effort_off
    assert ours.encrypts_reasoning == theirs.summarizes
    assert ours.max_tokens_covers_reasoning == theirs.max_tokens_cover_reasoning
    assert ours.cache_ttls == tuple(theirs.cache_seconds)
    assert ours.accepts_cache_breakpoint == theirs.takes_breakpoints
    assert ours.coordinates == coordinates_of(model)
    if theirs.json_object and theirs.thinking != "never":
        assert ours.accepts_json_while_thinking == theirs.json_while_thinking


@pytest.mark.parametrize("model", MODELS)
def test_audio(model: str) -> None:
    ours, theirs = get_model_spec(model).audio, model_spec(model).audio

    if ours is None or theirs is None:
        assert ours is theirs is None
        return
    assert (ours.tokens_per_second, ours.max_seconds, ours.max_urls, ours.max_inline) == (
        theirs.tokens_per_second,
        theirs.max_seconds,
        theirs.max_urls,
        theirs.max_inline,
    )


# No page gives the lengths of the models that are gone, or of most open weights.
@pytest.mark.parametrize("model", CURRENT_MODELS)
def test_lengths_in_tokens(model: str) -> None:
    ours, theirs = get_model_spec(model), model_spec(model)

    if theirs.audio is not None:
        # No page gives them.
        assert ours.max_input_tokens is None
        return
    assert ours.max_input_tokens == theirs.max_input
    assert ours.max_output_tokens == theirs.max_output


@pytest.mark.parametrize(
    ("model", "window"),
    [
        # OpenAI-Chat page, 2026-10; OCR page, 2026. 1M and 256K are not exact there.
        ("qwen3.8-max", 1_000_000),
        # Omni page, 2026-09.
        ("qwen3.8-omni-flash", 1_000_000),
        ("qwen3-omni-flash", 65_536),
        ("qwen3-vl-plus", 262_144),
        ("qwen-vl-ocr", 38_192),
        ("qwen2.5-vl-72b-instruct", 131_072),
    ],
)
def test_context_windows(model: str, window: int) -> None:
    assert get_model_spec(model).context_window == window
