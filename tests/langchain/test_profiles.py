"""Profiles say what the table of models says, in keys that every LangChain knows."""

import typing
import warnings

import pytest
from langchain_core.language_models import ModelProfile

from langchain_qwen_vl import ChatQwenVL
from langchain_qwen_vl.profiles import to_langchain_profile
from qwen_vl.specs.models import CURRENT_MODELS, DEFAULT_MODEL, get_model_spec

KEYS_SINCE_1_6 = frozenset(
    {
        *("name", "status", "release_date", "last_updated", "open_weights", "max_input_tokens"),
        *("text_inputs", "image_inputs", "image_url_inputs", "pdf_inputs", "audio_inputs"),
        *("video_inputs", "image_tool_message", "pdf_tool_message", "max_output_tokens"),
        *("reasoning_output", "reasoning_effort_levels", "reasoning_effort_default"),
        *("text_outputs", "image_outputs", "audio_outputs", "video_outputs", "tool_calling"),
        *("tool_choice", "tool_call_streaming", "structured_output", "attachment", "temperature"),
    }
)
"""Keys of `ModelProfile` in langchain-core 1.6.0, the oldest that is supported."""

OTHERS = ["qvq-max", "qwen3-vl-235b-a22b-thinking", "qwen2.5-vl-72b-instruct", "my-finetune"]


@pytest.mark.parametrize("model", [*CURRENT_MODELS, *OTHERS])
def test_profile_agrees_with_the_table(model: str) -> None:
    spec, profile = get_model_spec(model), to_langchain_profile(model)

    assert profile["name"] == model
    assert profile.get("max_input_tokens") == spec.max_input_tokens
    assert profile.get("max_output_tokens") == spec.max_output_tokens
    assert profile["image_inputs"] is profile["image_url_inputs"] is spec.accepts_vision
    assert profile["video_inputs"] is (spec.accepts_vision and spec.accepts_video)
    assert profile["audio_inputs"] is spec.accepts_audio
    assert profile["tool_calling"] is profile["tool_call_streaming"] is spec.accepts_tools
    assert profile["reasoning_output"] is (spec.thinking != "never")
    assert ("reasoning_effort_levels" in profile) is spec.accepts_reasoning_effort
    is_free = spec.thinking != "always"
    assert profile["tool_choice"] is (spec.accepts_tools and is_free)
    assert profile["structured_output"] is (spec.accepts_json_schema and is_free)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        # Structured output page (2026-10), OpenAI-Chat page (2026-10), OCR page (2026-07).
        ("qwen3.8-max", {"structured_output": True, "max_output_tokens": 131_072}),
        ("qwen3.8-flash", {"structured_output": True, "reasoning_effort_default": "xhigh"}),
        ("qwen3.7-plus", {"structured_output": True, "max_input_tokens": 991_808}),
        ("qwen3.6-plus", {"structured_output": False, "reasoning_output": True}),
        ("qwen3-vl-plus", {"structured_output": False, "max_input_tokens": 260_096}),
        ("qwen3.8-2.4t-a95b", {"structured_output": False, "tool_choice": False}),
        ("qwen3.8-omni-flash", {"audio_inputs": True}),
        ("qwen-vl-ocr", {"tool_calling": False, "video_inputs": False, "temperature": True}),
    ],
)
def test_profile_says_what_the_pages_say(model: str, expected: dict[str, object]) -> None:
    profile = to_langchain_profile(model)

    assert {name: profile.get(name) for name in expected} == expected


@pytest.mark.parametrize("model", CURRENT_MODELS)
def test_profile_has_only_keys_that_the_oldest_langchain_knows(model: str) -> None:
    assert to_langchain_profile(model).keys() <= KEYS_SINCE_1_6
    assert typing.get_type_hints(ModelProfile).keys() >= KEYS_SINCE_1_6


@pytest.mark.parametrize("model", CURRENT_MODELS)
def test_model_has_its_profile(model: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chat = ChatQwenVL(model=model, api_key="sk-1")

    assert chat.profile == to_langchain_profile(model)


def test_profile_of_the_caller_counts_first() -> None:
    chat = ChatQwenVL(api_key="sk-1", profile={"max_input_tokens": 32_000})

    assert chat.profile == {"max_input_tokens": 32_000}


def test_default_model_has_its_profile() -> None:
    profile = ChatQwenVL(api_key="sk-1").profile

    assert profile is not None
    assert profile["name"] == DEFAULT_MODEL


def test_profiles_are_not_shared() -> None:
    to_langchain_profile("qwen3.8-max")["reasoning_effort_levels"].append("none")

    assert to_langchain_profile("qwen3.8-max")["reasoning_effort_levels"] == [
        "low",
        "medium",
        "xhigh",
    ]
