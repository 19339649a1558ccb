"""What LlamaIndex wants to know of a model."""

from llama_index.core.base.llms.types import LLMMetadata, MessageRole

from qwen_vl.dialects import DEFAULT_DIALECT, Dialect
from qwen_vl.models import find_model

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
    dialect: Dialect = DEFAULT_DIALECT,
) -> LLMMetadata:
    """Describe a model.

    Args:
        model: Model id.
        max_tokens: Most tokens of an answer, where a limit was set.
        context_window: Tokens of input and output, where the model's own figure shall not hold.
        is_function_calling_model: Whether it calls tools, where that shall be said.
        dialect: Which server is asked: those of one's own teach every model to call tools.

    Example:
        >>> to_metadata("qwen3-vl-plus").context_window
        262144
    """
    facts = find_model(model)
    window = context_window or facts.context_window or _CONTEXT_WINDOW
    longest = max_tokens or facts.max_output_tokens or _MAX_OUTPUT_TOKENS
    calls_tools = facts.accepts_tools or dialect != DEFAULT_DIALECT
    return LLMMetadata(
        context_window=window,
        num_output=min(longest, max(1, window // _LARGEST_SHARE)),
        is_chat_model=True,
        is_function_calling_model=(
            calls_tools if is_function_calling_model is None else is_function_calling_model
        ),
        model_name=model,
        system_role=MessageRole.SYSTEM if facts.accepts_system else MessageRole.USER,
    )
