"""The keywords of `QwenVL`: LlamaIndex's other names for them, and a clear word on unknown ones."""

from collections.abc import Collection, Mapping
from typing import Any

from llama_index.core.base.llms.types import LLMMetadata, MessageRole

from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.option_names import check_foreign, resolve_names, suggest
from qwen_vl.specs.parameters import CALL_PARAMETERS
from qwen_vl.specs.servers import DEFAULT_SERVER, Server, get_served_spec

_HINTS = {
    "audio_config": "Leave it out: answers are text.",
    "incremental_output": "Leave it out: streams have deltas, and the text so far.",
    "modalities": "Leave it out: answers are text.",
    "reuse_client": "Clients are made once, and shared.",
    "strict": "Pass it to a call: chat_with_tools(…, strict=True).",
    "tools": "Pass it to a call, or in additional_kwargs={…}.",
}


def resolve_arguments(
    values: Mapping[str, Any],
    fields: Collection[str],
    *,
    owner: str = "QwenVL",
    nullable: Collection[str] = (),
) -> dict[str, Any]:
    """Return the fields that the keywords of a constructor mean.

    Args:
        values: Keywords.
        fields: Names of the fields that there are.
        owner: The class, for errors.
        nullable: Fields of which `None` is not the default, but a value.

    Raises:
        ConfigurationError: A keyword is not a field, or two are synonyms.

    Example:
        >>> resolve_arguments({"temprature": 1}, ["temperature"])
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: 'temprature' is not a setting of QwenVL. Did you mean \
temperature?
    """
    for name in resolve_names(dict.fromkeys(values), fields):
        if name not in fields:
            hint = _hint(name, fields)
            raise ConfigurationError(f"{name!r} is not a setting of {owner}. {hint}".rstrip())
    # LlamaIndex's own constructors take `None` for "as it is".
    given = {name: value for name, value in values.items() if value is not None or name in nullable}
    return resolve_names(given, fields)


def _hint(name: str, fields: Collection[str]) -> str:
    if name in _HINTS:
        return _HINTS[name]
    check_foreign(name)
    has_room = "additional_kwargs" in fields
    if has_room and name in CALL_PARAMETERS:
        return f"Pass additional_kwargs={{{name!r}: …}}."
    unnamed = "Parameters of the service without a field go into additional_kwargs={…}."
    return suggest(name, fields) or (unnamed if has_room else "")


# unsure: no page that was read gives the omni models' figures; these are the smallest of the
# current generation.
_CONTEXT_WINDOW = 262_144
_MAX_OUTPUT_TOKENS = 32_768
# LlamaIndex takes the answer's length off the window before it packs images and text into it.
_LARGEST_SHARE = 4


def to_metadata(
    model: str,
    *,
    base_model: str | None = None,
    max_tokens: int | None = None,
    context_window: int | None = None,
    is_function_calling_model: bool | None = None,
    server: Server = DEFAULT_SERVER,
) -> LLMMetadata:
    """Describe a model.

    Args:
        model: Model id.
        base_model: Id of the model behind it, where `model` is another name.
        max_tokens: Maximum number of tokens of an answer, where a limit was set.
        context_window: Tokens of input and output, where the model's own figure must not hold.
        is_function_calling_model: Whether it calls tools, where that should be said.
        server: Which server is asked: self-hosted ones teach every model to call tools.

    Example:
        >>> to_metadata("qwen3-vl-plus").context_window
        262144
    """
    spec = get_served_spec(base_model or model, server)
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
