"""Names of options: which of them the service reads, and which a call may bring."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.option_names import check_foreign
from qwen_vl.specs.servers import DEFAULT_SERVER, Server

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
    "thinking_display",
    "vl_high_resolution_images",
)
"""Body parameters that are also settings."""

MEDIA_OPTIONS = ("min_pixels", "max_pixels", "total_pixels", "fps", "enable_rotate")
"""Settings that stand beside each image and video on the wire."""

SAMPLING_OPTIONS = ("video_mode", "max_frames")
"""Settings that say how local videos are cut into frames; they are not sent."""

HISTORY = ("tool_media_errors", "history_images")
"""Settings about content from tools and of earlier turns; they are not sent."""

OCR = ("ocr_task", "result_schema")
"""Settings that say what an OCR model should do; each protocol has its own place for them."""

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
"""Parameters of the native protocol only (Native-API page, 2026-09)."""

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

# Of the other settings, those that a call may bring too.
_CALL_SETTINGS = ("model", "base_model", "timeout", "stream_usage", "extra_body", "model_kwargs")
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
    of_calls = {*PARAMETERS, *MEDIA_OPTIONS, *SAMPLING_OPTIONS, *HISTORY, *OCR, *_CALL_SETTINGS}
    for name in sorted(call):
        if name in settings and name not in of_calls:
            raise ConfigurationError(
                f"{name} cannot be set for one call. Make another model with it."
            )
    check_names(call)


def check_names(names: Iterable[str]) -> None:
    """Refuse to send what looks like a key, or names an endpoint, a client or the like.

    A body is logged, traced and cached, and says nothing of how it is sent.

    Args:
        names: Names of parameters.

    Raises:
        ConfigurationError: One looks like a secret, or like a setting of another adapter.
    """
    for name in sorted(names):
        if _SECRET.search(name):
            raise ConfigurationError(
                f"{name} looks like a secret, which is not sent in the body. Pass the key as "
                "api_key=…."
            )
        check_foreign(name)


def check_tool_media_errors(value: object) -> None:
    """Check what a call says about content from tools.

    Args:
        value: Of `tool_media_errors`.

    Raises:
        ConfigurationError: Neither `"note"` nor `"raise"`.
    """
    if value not in {"note", "raise"}:
        raise ConfigurationError(f"tool_media_errors is {value!r}; it must be 'note' or 'raise'.")


def check_history_images(value: object) -> int | None:
    """Return how many older images in tool messages are kept at least; `None` for all.

    Args:
        value: Of `history_images`.

    Raises:
        ConfigurationError: Neither `"all"` nor a number above 0.

    Example:
        >>> check_history_images("all"), check_history_images(4)
        (None, 4)
    """
    if value == "all":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise ConfigurationError(f"history_images is {value!r}; it must be 'all' or at least 1.")


def check_tools(tools: object, server: Server) -> None:
    """Refuse tools whose names the hosted service refuses (Native-API page, 2026-09).

    Args:
        tools: In OpenAI's form; anything else is ignored.
        server: Which server is asked.

    Raises:
        ConfigurationError: A name is `search`, or has other characters than the service takes.

    Example:
        >>> tool = {"type": "function", "function": {"name": "search"}}
        >>> check_tools([tool], "dashscope")
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: The service takes no tool named 'search'. Rename \
it: search_documents, for instance.
    """
    if server != DEFAULT_SERVER or not isinstance(tools, list | tuple):
        return
    for tool in tools:
        function = tool.get("function") if isinstance(tool, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if name == "search":
            raise ConfigurationError(
                "The service takes no tool named 'search'. Rename it: "
                "search_documents, for instance."
            )
        if isinstance(name, str) and not _TOOL_NAME.fullmatch(name):
            raise ConfigurationError(
                f"The service takes no tool named {name!r}. A name has 1 to 64 letters, digits, "
                "underscores and dashes."
            )


def check_native(parameters: Iterable[str]) -> None:
    """Raise for what the OpenAI-compatible protocol does not support.

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
        ConfigurationError: Several answers or speech are wanted, or `stream` stands among them.
    """
    if parameters.get("n", 1) != 1:
        raise ConfigurationError(
            f"n is {parameters['n']!r}, but a call gives one answer. Ask several times."
        )
    if "audio" in (parameters.get("modalities") or ()):
        raise ConfigurationError(
            f"modalities is {parameters['modalities']!r}, but answers are read as text only, and "
            'speech would be lost. Leave it out, or set ["text"].'
        )
    if "stream" in parameters:
        raise ConfigurationError(
            "stream cannot be set: call a streaming or a non-streaming method instead."
        )


def to_tool_choice(choice: ToolChoice, tools: Sequence[dict[str, Any]]) -> str | dict[str, Any]:
    """Convert a tool choice from any of the frameworks' forms to the service's.

    Args:
        choice: `"auto"`, `"none"`, `"any"`, `"required"`, `True` for any, `False` for none, a
            tool's name, or the service's own dict.
        tools: The tools that are bound, converted.

    Raises:
        ConfigurationError: The name is not a tool's.

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
