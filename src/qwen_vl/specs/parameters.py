"""Names of options: which of them the service reads, and which a call may bring."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from qwen_vl.errors import ConfigurationError

ToolChoice: TypeAlias = dict[str, Any] | str | bool

PARAMETERS = (
    "temperature",
    "top_p",
    "top_k",
    "max_tokens",
    "max_completion_tokens",
    "seed",
    "stop",
    "presence_penalty",
    "repetition_penalty",
    "logprobs",
    "top_logprobs",
    "enable_thinking",
    "thinking_budget",
    "reasoning_effort",
    "preserve_thinking",
    "vl_high_resolution_images",
)
"""Body parameters that are settings of their own."""

MEDIA_OPTIONS = ("min_pixels", "max_pixels", "total_pixels", "fps", "enable_rotate")
"""Settings that stand beside each picture and video on the wire."""

SAMPLING_OPTIONS = ("video_mode", "max_frames")
"""Settings that say how local videos are cut into frames; they are not sent."""

TOOL_MEDIA = ("tool_media_errors",)
"""Settings about content from tools; they are not sent."""

OCR = ("ocr_task", "result_schema")
"""Settings that say what an OCR model shall do; each protocol has its own place for them."""

CALL_PARAMETERS = frozenset(
    {
        *PARAMETERS,
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "tool_stream",
        "response_format",
        "stream_options",
        "enable_search",
        "search_options",
        "enable_code_interpreter",
        "frequency_penalty",
        "n",
        "user",
        *("incremental_output", "ocr_options", "result_format", "vl_enable_image_hw_output"),
        "chat_template_kwargs",
    }
)
"""Body parameters that a call may name without a warning (OpenAI-Chat page, 2026-10)."""

NATIVE_PARAMETERS = frozenset(
    {"incremental_output", "ocr_options", "result_format", "vl_enable_image_hw_output"}
)
"""Parameters that the native protocol alone has (Native-API page, 2026-09)."""

# Of the other settings, those that a call may bring too.
_CALL_SETTINGS = ("model", "timeout", "stream_usage", "extra_body", "model_kwargs")
# What a key is called elsewhere: dashscope_api_key, openai_api_key.
_SECRET = re.compile(r"api_?key|password|secret|access_?token|authorization", re.IGNORECASE)


def check_call(call: Iterable[str], settings: Collection[str]) -> None:
    """Refuse options that a call cannot set, instead of sending them in the body.

    Args:
        call: Names of the call's options.
        settings: Names of all settings.

    Raises:
        ConfigurationError: One belongs to the instance, or looks like a secret.

    Example:
        >>> check_call(["max_retries"], ["max_retries"])
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: max_retries cannot be set for one call. Make another \
model with it.
    """
    of_calls = {*PARAMETERS, *MEDIA_OPTIONS, *SAMPLING_OPTIONS, *TOOL_MEDIA, *OCR, *_CALL_SETTINGS}
    for name in sorted(call):
        if name in settings and name not in of_calls:
            raise ConfigurationError(
                f"{name} cannot be set for one call. Make another model with it."
            )
    check_secrets(call)


def check_secrets(names: Iterable[str]) -> None:
    """Refuse to send what looks like a key: a body is logged, traced and cached.

    Args:
        names: Names of parameters.

    Raises:
        ConfigurationError: One looks like a secret.
    """
    for name in sorted(names):
        if _SECRET.search(name):
            raise ConfigurationError(
                f"{name} looks like a secret, and would be sent in the body. The key is api_key=…; "
                "what the endpoint shall have in the body all the same goes into extra_body."
            )


def check_tool_media_errors(value: object) -> None:
    """Check what a call says about content from tools.

    Args:
        value: Of `tool_media_errors`.

    Raises:
        ConfigurationError: Neither `"note"` nor `"raise"`.
    """
    if value not in {"note", "raise"}:
        raise ConfigurationError(f"tool_media_errors is {value!r}; it must be 'note' or 'raise'.")


def check_native(parameters: Iterable[str]) -> None:
    """Refuse what the OpenAI-compatible protocol has no place for.

    Args:
        parameters: Names of the body's parameters.

    Raises:
        ConfigurationError: One is the native protocol's.
    """
    for name in sorted(NATIVE_PARAMETERS.intersection(parameters)):
        raise ConfigurationError(
            f'{name} is a parameter of the native protocol: make the model with protocol="native".'
        )


def check_answer_count(parameters: Mapping[str, Any]) -> None:
    """Refuse what would bring another form of answer than the one that is read.

    Args:
        parameters: The body's parameters.

    Raises:
        ConfigurationError: Several answers are wanted, or `stream` stands among them.
    """
    if parameters.get("n", 1) != 1:
        raise ConfigurationError(
            f"n is {parameters['n']!r}, but a call gives one answer. Ask several times."
        )
    if "stream" in parameters:
        raise ConfigurationError(
            "stream is no parameter to send: use the method that streams, or the one that does not."
        )


def to_tool_choice(choice: ToolChoice, tools: Sequence[dict[str, Any]]) -> str | dict[str, Any]:
    """Spell a tool choice as the service does, of any of the ways that frameworks have.

    Args:
        choice: `"auto"`, `"none"`, `"any"`, `"required"`, `True` for any, `False` for none, a
            tool's name, or the service's own dict.
        tools: The tools that are bound, converted.

    Raises:
        ConfigurationError: The name is no tool's.

    Example:
        >>> to_tool_choice("any", [])
        'required'
    """
    names = [tool["function"]["name"] for tool in tools]
    match choice:
        case dict():
            return choice
        case bool():
            return "required" if choice else "none"
        case "any":
            return "required"
        case "auto" | "none" | "required":
            return choice
    if choice not in names:
        raise ConfigurationError(
            f"tool_choice {choice!r} is none of the tools: {', '.join(names) or 'there are none'}."
        )
    return {"type": "function", "function": {"name": choice}}
