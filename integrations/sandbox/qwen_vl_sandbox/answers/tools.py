"""Which tools the sandbox calls, and with what arguments.

A tool is called when it is forced or when the last user text names it. Arguments are
taken from that text where it gives them, else from the tool's schema.
"""

import re
from dataclasses import replace
from typing import Any

import orjson

from qwen_vl_sandbox.json_schema import FieldValues, value_for
from qwen_vl_sandbox.reading.conversation import Conversation, Tool, ToolCall
from qwen_vl_sandbox.reading.grounding_question import QUOTED

_VALUE = r'("(?:[^"\\]|\\.)*"|\'[^\']*\'|\[[^\]]*\]|\{[^}]*\}|[^\s,;)]+)'
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.]*\w)")


def choose_calls(
    conversation: Conversation, fields: FieldValues | None = None
) -> tuple[ToolCall, ...]:
    """Decide which tools to call, if any.

    Args:
        conversation: The request.
        fields: What was read in its images, for the arguments of a tool that must be called.
    """
    options = conversation.options
    choice = options.tool_choice
    if not options.tools or choice == "none":
        return ()
    text = next((m.text for m in reversed(conversation.messages) if m.role == "user"), "")
    if isinstance(choice, Tool):
        return (ToolCall(choice.name, _arguments_of(choice, text, fields)),)
    named = _named(options.tools, text)
    if choice == "required":
        named = named or list(options.tools[:1])
    elif conversation.messages[-1].role == "tool":
        return ()
    chosen = named if options.parallel_tool_calls else named[:1]
    return tuple(ToolCall(tool.name, find_arguments(tool, text)) for tool in chosen)


def find_arguments(tool: Tool, text: str) -> dict[str, Any]:
    """Read a tool's arguments from a text, by parameter name first, then by type.

    Example:
        >>> schema = {"properties": {"x": {"type": "integer"}, "word": {"type": "string"}},
        ...           "required": ["x", "word"]}
        >>> find_arguments(Tool("crop", schema), 'crop at x=3 around "cat"')
        {'x': 3, 'word': 'cat'}
    """
    properties = tool.parameters.get("properties")
    if not isinstance(properties, dict):
        return {}
    required = tool.parameters.get("required")
    rest = _mention(tool.name).sub(" ", text)
    found: dict[str, Any] = {}
    for name, schema in properties.items():
        match = re.search(rf"(?<!\w){re.escape(name)}[\"']?\s*[=:：]\s*{_VALUE}", rest)
        if match:
            value = _typed(match[1], schema)
            if value is not None:
                found[name] = value
                rest = rest[: match.start()] + " " + rest[match.end() :]
    for name in required if isinstance(required, list) else ():
        if name not in found and name in properties:
            found[name], rest = _by_type(properties[name], rest, tool)
    return {name: found[name] for name in properties if name in found}


def _arguments_of(tool: Tool, text: str, fields: FieldValues | None) -> dict[str, Any]:
    """Return the arguments that a text names; of the others those that were read in images."""
    if fields is None:
        return find_arguments(tool, text)
    made = value_for(tool.parameters, _hint(tool), values=fields)
    named = find_arguments(_without_required(tool), text)
    return {**(made if isinstance(made, dict) else {}), **named}


def _without_required(tool: Tool) -> Tool:
    """Return a tool of which only the arguments count that a text names."""
    return replace(tool, parameters={**tool.parameters, "required": []})


def _named(tools: tuple[Tool, ...], text: str) -> list[Tool]:
    matches = [
        (match.start(), tool) for tool in tools if (match := _mention(tool.name).search(text))
    ]
    return [tool for _, tool in sorted(matches, key=lambda place: place[0])]


def _mention(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9_-]){re.escape(name)}(?![A-Za-z0-9_-])", re.IGNORECASE)


def _typed(raw: str, schema: Any) -> Any:
    """Read one written value as the schema's type; `None` if it is not of that type."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    bare = raw.rstrip(".。，!?") if raw[:1] not in "\"'[{" else raw
    try:
        value = orjson.loads(bare)
    except orjson.JSONDecodeError:
        value = bare.strip("\"'")
    checks: dict[str, bool] = {
        "string": True,
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }
    if kind == "string" and not isinstance(value, str):
        value = bare
    return value if checks.get(str(kind), True) else None


def _by_type(schema: Any, text: str, tool: Tool) -> tuple[Any, str]:
    """Take the next value of the schema's type from the text, else one the schema allows."""
    kind = schema.get("type") if isinstance(schema, dict) else None
    for choice in schema.get("enum", ()) if isinstance(schema, dict) else ():
        if isinstance(choice, str) and choice in text:
            return choice, text.replace(choice, " ", 1)
    if kind in {"integer", "number"}:
        for match in _NUMBER.finditer(text):
            value = _typed(match[0], schema)
            if value is not None:
                return value, text[: match.start()] + " " + text[match.end() :]
    if kind == "string" and "enum" not in schema and (quote := QUOTED.search(text)):
        word = next(group for group in quote.groups() if group)
        return word, text[: quote.start()] + " " + text[quote.end() :]
    return value_for(schema, _hint(tool), root=tool.parameters), text


def _hint(tool: Tool) -> str:
    return f"from the qwen-vl sandbox for {tool.name}"
