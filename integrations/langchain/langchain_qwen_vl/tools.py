"""LangChain's tools and tool choices, as the service takes them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from qwen_vl.errors import ConfigurationError

Tool: TypeAlias = dict[str, Any] | type | Callable[..., Any] | BaseTool


def to_tools(tools: Sequence[Tool], *, strict: bool | None = None) -> list[dict[str, Any]]:
    """Convert tools of any of LangChain's kinds.

    Args:
        tools: Tools, functions, classes, JSON schemas or Anthropic-style dicts.
        strict: Whether arguments must follow the schema to the letter.

    Raises:
        ConfigurationError: A tool that another service brings along, such as its web search.
    """
    converted = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
    for tool in converted:
        if "function" not in tool:
            raise ConfigurationError(
                f"A tool of type {tool.get('type')!r} is not supported by Qwen VL. Pass functions."
            )
    return converted
