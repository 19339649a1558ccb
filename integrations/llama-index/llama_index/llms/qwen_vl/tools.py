"""LlamaIndex's tools, as the service takes them."""

from collections.abc import Sequence
from typing import Any

from llama_index.core.tools.types import BaseTool

from qwen_vl.errors import ConfigurationError


def to_tools(tools: Sequence[BaseTool], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Convert tools.

    Args:
        tools: LlamaIndex's tools.
        strict: Whether arguments must follow the schema to the letter.

    Raises:
        ConfigurationError: Something is not a tool.

    Example:
        >>> from llama_index.core.tools import FunctionTool
        >>> def add(a: int, b: int) -> int:
        ...     return a + b
        >>> to_tools([FunctionTool.from_defaults(add)])[0]["function"]["name"]
        'add'
    """
    return [_to_tool(tool, strict=strict) for tool in tools]


def _to_tool(tool: BaseTool, *, strict: bool | None) -> dict[str, Any]:
    if not isinstance(tool, BaseTool):
        raise ConfigurationError(
            f"A {type(tool).__name__} is not a tool. Wrap functions: FunctionTool.from_defaults(…)."
        )
    # The limit of 1,024 characters, which is checked otherwise, is OpenAI's.
    converted = tool.metadata.to_openai_tool(skip_length_check=True)
    if strict is None:
        return converted
    return {**converted, "function": {**converted["function"], "strict": strict}}
