"""LangChain's tools and tool choices, as the service takes them."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from qwen_vl.errors import ConfigurationError

Tool: TypeAlias = dict[str, Any] | type | Callable[..., Any] | BaseTool
ToolChoice: TypeAlias = dict[str, Any] | str | bool


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
                f"A tool of type {tool.get('type')!r} has no place at Qwen VL. Pass functions."
            )
    return converted


def to_tool_choice(choice: ToolChoice, tools: Sequence[dict[str, Any]]) -> str | dict[str, Any]:
    """Convert a tool choice.

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
