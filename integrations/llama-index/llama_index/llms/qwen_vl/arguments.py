"""The keywords of `QwenVL`: LlamaIndex's other names for them, and a clear word on unknown ones."""

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import Any

from llama_index.core.base.llms.types import LLMMetadata, MessageRole

from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.servers import DEFAULT_SERVER, Server

_OTHER_NAMES = {"api_base": "base_url", "model_name": "model", "request_timeout": "timeout"}
_HINTS = {
    "http_client": "Pass openai_client=openai.OpenAI(http_client=…).",
    "async_http_client": "Pass async_openai_client=openai.AsyncOpenAI(http_client=…).",
    "reuse_client": "Clients are made once, and shared.",
    "tools": "Pass it to a call, or in additional_kwargs={…}.",
}


def resolve_arguments(values: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Give the fields that the keywords of a constructor mean.

    Args:
        values: Keywords.
        fields: Names of the fields that there are.

    Raises:
        ConfigurationError: A keyword is no field, or two mean the same.

    Example:
        >>> resolve_arguments({"temprature": 1}, ["temperature"])
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: 'temprature' is no setting of QwenVL. Did you mean \
temperature?
    """
    resolved: dict[str, Any] = {}
    for name, value in values.items():
        field = _field(name)
        if field not in fields:
            raise ConfigurationError(f"{name!r} is no setting of QwenVL. {_hint(name, fields)}")
        if value is None:
            # LlamaIndex's own constructors take it for "as it is".
            continue
        if field in resolved:
            both = " and ".join(sorted(other for other in values if _field(other) == field))
            raise ConfigurationError(f"{both} mean the same. Pass one of them.")
        resolved[field] = value
    return resolved


def _field(name: str) -> str:
    return _OTHER_NAMES.get(name, name)


def _hint(name: str, fields: Collection[str]) -> str:
    if name in _HINTS:
        return _HINTS[name]
    close = get_close_matches(name, fields, n=1)
    if close:
        return f"Did you mean {close[0]}?"
    return "Parameters of the service that have no field go into additional_kwargs={…}."


# unsure: no page that was read gives the omni models' figures; these are the smallest of the
# current generation.
_CONTEXT_WINDOW = 262_144
_MAX_OUTPUT_TOKENS = 32_768
# LlamaIndex takes the answer's length off the window before it packs pictures and text into it.
_LARGEST_SHARE = 4


def to_metadata(
    model: str,
    *,
    max_tokens: int | None = None,
    context_window: int | None = None,
    is_function_calling_model: bool | None = None,
    server: Server = DEFAULT_SERVER,
) -> LLMMetadata:
    """Describe a model.

    Args:
        model: Model id.
        max_tokens: Most tokens of an answer, where a limit was set.
        context_window: Tokens of input and output, where the model's own figure shall not hold.
        is_function_calling_model: Whether it calls tools, where that shall be said.
        server: Which server is asked: those of one's own teach every model to call tools.

    Example:
        >>> to_metadata("qwen3-vl-plus").context_window
        262144
    """
    spec = get_model_spec(model)
    window = context_window or spec.context_window or _CONTEXT_WINDOW
    longest = max_tokens or spec.max_output_tokens or _MAX_OUTPUT_TOKENS
    calls_tools = spec.accepts_tools or server != DEFAULT_SERVER
    return LLMMetadata(
        context_window=window,
        num_output=min(longest, max(1, window // _LARGEST_SHARE)),
        is_chat_model=True,
        is_function_calling_model=(
            calls_tools if is_function_calling_model is None else is_function_calling_model
        ),
        model_name=model,
        system_role=MessageRole.SYSTEM if spec.accepts_system else MessageRole.USER,
    )
