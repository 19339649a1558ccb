"""What the service refuses together, and what one request does about it.

Forced tools and JSON mode do not go with thinking at every model, and JSON mode wants the word
"json" (OpenAI-Chat page, 2026-10; Structured page, 2026-10). All of it is settled for the
one request that is about to be sent; no setting of anyone's is changed.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import orjson

from qwen_vl.content import Part, Reasoning, Text, Turn
from qwen_vl.errors import ConfigurationError, warn
from qwen_vl.specs.models import ModelSpec, get_model_spec, may_think
from qwen_vl.specs.servers import (
    DEFAULT_PROTOCOL,
    DEFAULT_SERVER,
    Protocol,
    Server,
    get_served_spec,
)

StructuredMethod = Literal["function_calling", "json_schema", "json_mode"]

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_OFF = frozenset({"none", "off"})
# Structured page, 2026-10.
_MAX_NAME_CHARS = 64
_THINKING_PARAMETERS = ("thinking_budget", "reasoning_effort")


def choose_structured_method(
    model: str,
    *,
    protocol: Protocol = DEFAULT_PROTOCOL,
    server: Server = DEFAULT_SERVER,
) -> StructuredMethod:
    """Choose how a model is best held to a schema (Structured page, 2026-10).

    Self-hosted servers take a schema for every model. unsure: whether the native protocol takes
    one, which its page does not list; tools are called there.

    Args:
        model: Model id.
        protocol: How the hosted service is spoken to.
        server: Which server is asked.

    Example:
        >>> choose_structured_method("qwen3.7-plus"), choose_structured_method("qwen3-vl-plus")
        ('json_schema', 'function_calling')
    """
    if server not in {DEFAULT_SERVER, "openai_compatible"}:
        return "json_schema"
    # A gateway may have any server behind it, and another name for the model.
    spec = get_served_spec(model, server)
    takes_schema = spec.accepts_json_schema and protocol == "openai"
    if takes_schema and spec.thinking != "always":
        return "json_schema"
    return "function_calling" if spec.accepts_tools else "json_mode"


def to_json_schema_format(schema: Mapping[str, Any], *, strict: bool = True) -> dict[str, Any]:
    """Create the `response_format` that holds an answer to a schema.

    Args:
        schema: A JSON schema; its title becomes the name.
        strict: Whether answers must follow it to the letter.

    Raises:
        ConfigurationError: It describes something else than an object.

    Example:
        >>> to_json_schema_format({"title": "Cat", "type": "object"})["json_schema"]["name"]
        'Cat'
    """
    schema = to_object_schema(schema)
    held = {"name": to_schema_name(schema), "schema": schema, "strict": strict}
    return {"type": "json_schema", "json_schema": held}


def to_object_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Write out the root of a schema, which answers and arguments of tools must have.

    The schema of a class that refers to itself is only a reference to one of its definitions.

    Args:
        schema: A JSON schema; it stays as it is.

    Raises:
        ConfigurationError: It describes something else than an object.

    Example:
        >>> tree = {"type": "object", "title": "Tree", "properties": {}}
        >>> to_object_schema({"$defs": {"Tree": tree}, "$ref": "#/$defs/Tree"})["title"]
        'Tree'
    """
    held = dict(schema)
    reference = held.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        root = held["$defs"][reference.removeprefix("#/$defs/")]
        held = {**root, **{name: value for name, value in held.items() if name != "$ref"}}
    if held.get("type", "object") != "object":
        raise ConfigurationError(
            f"The schema {to_schema_name(held)!r} describes a value of the type {held['type']!r}; "
            "the service takes schemas of objects. Make it a field of a class."
        )
    return held


def to_schema_name(schema: Mapping[str, Any]) -> str:
    """Return a name for a schema that the service accepts: 1 to 64 letters, digits, `_` and `-`.

    Args:
        schema: A JSON schema.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "_", str(schema.get("title") or "answer"))
    return name[:_MAX_NAME_CHARS]


def resolve_parameters(model: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Check the thinking parameters, and turn thinking off where the request allows none.

    Args:
        model: Model id.
        parameters: The body's parameters; they stay as they are.

    Returns:
        The parameters to send.

    Raises:
        ConfigurationError: Two of them contradict each other, or the model lacks the mode.

    Example:
        >>> resolve_parameters("qwen3.8-max", {"tool_choice": "required"})
        {'tool_choice': 'required', 'enable_thinking': False}
    """
    spec = get_model_spec(model)
    _check_thinking(model, spec, parameters)
    if not thinks(model, parameters):
        return dict(parameters)
    is_always = spec.thinking == "always"
    if _is_forced(parameters.get("tool_choice")):
        if is_always:
            warn(
                f"{model} always thinks, and the service forces no tool while a model thinks: "
                "tool_choice 'auto' is sent, so that it may answer with text."
            )
            return {**parameters, "tool_choice": "auto"}
        return _without_thinking(parameters, "a forced tool")
    if _is_json_mode(parameters) and not spec.accepts_json_while_thinking:
        if is_always:
            raise ConfigurationError(
                f"{model} always thinks, and JSON mode does not work while thinking. Use function "
                "calling, or ask for JSON in the prompt."
            )
        return _without_thinking(parameters, "JSON mode")
    return dict(parameters)


def thinks(model: str, parameters: Mapping[str, Any]) -> bool:
    """Return whether a request may make its model think.

    Args:
        model: Model id.
        parameters: The body's parameters.
    """
    is_off = parameters.get("reasoning_effort") in _OFF
    return not is_off and may_think(model, parameters.get("enable_thinking"))


def resolve_thinking_display(
    model: str, parameters: Mapping[str, Any], turns: Sequence[Turn]
) -> dict[str, Any]:
    """Have earlier reasoning read where it comes as a summary and encrypted.

    Every turn has to ask for summaries, and to send `preserve_thinking` with the encrypted
    reasoning of earlier ones (Thinking-summary page, 2026-11).

    Args:
        model: Model id.
        parameters: The body's parameters; they stay as they are.
        turns: The conversation.

    Returns:
        The parameters to send.

    Example:
        >>> turns = [Turn(role="assistant", parts=(Text(text="A cat."),))]
        >>> resolve_thinking_display("qwen4-max", {"thinking_display": "summarized"}, turns)
        {'thinking_display': 'summarized', 'preserve_thinking': True}
    """
    spec = get_model_spec(model)
    if "thinking_display" not in parameters:
        where = _find_encrypted(turns)
        if where is not None and spec.encrypts_reasoning:
            warn(
                f"{where}: it holds encrypted reasoning, which {model} reads with "
                'thinking_display="summarized" only. It is sent; pass thinking_display too.'
            )
        return dict(parameters)
    if not spec.encrypts_reasoning:
        warn(
            f"thinking_display is a parameter of Qwen4, and {model} may ignore or refuse it. It "
            "is sent as it is."
        )
        return dict(parameters)
    if "preserve_thinking" in parameters or all(turn.role != "assistant" for turn in turns):
        return dict(parameters)
    return {**parameters, "preserve_thinking": True}


def _find_encrypted(turns: Sequence[Turn]) -> str | None:
    parts = (part for turn in turns for part in turn.parts)
    found = (part.where for part in parts if isinstance(part, Reasoning) and part.encrypted_content)
    return next(found, None)


def ensure_json_instruction(
    turns: Sequence[Turn],
    parameters: Mapping[str, Any],
    model: str,
    schema: Mapping[str, Any] | None = None,
) -> tuple[Turn, ...]:
    """Ensure that a request for JSON mode contains "json", as the service requires.

    Args:
        turns: The conversation; it stays as it is.
        parameters: The body's parameters.
        model: Model id.
        schema: A JSON schema that the answer should follow, added to the prompt.

    Returns:
        The conversation, with an instruction in its system message where one was needed.
    """
    if not _is_json_mode(parameters) or (schema is None and _says_json(turns)):
        return tuple(turns)
    words = "Answer in JSON."
    if schema is not None:
        follow = orjson.dumps(schema).decode()
        words = f"Answer with one JSON object that follows this JSON schema:\n{follow}"
    return _instruct(turns, words, get_model_spec(model))


def _check_thinking(model: str, spec: ModelSpec, parameters: Mapping[str, Any]) -> None:
    effort = parameters.get("reasoning_effort")
    efforts = (*_EFFORTS, "off") if spec.accepts_effort_off else _EFFORTS
    if effort is not None and effort not in efforts:
        raise ConfigurationError(
            f"reasoning_effort of {model} is {effort!r}; it must be one of {', '.join(efforts)}."
        )
    if effort is not None and "thinking_budget" in parameters:
        raise ConfigurationError(
            "thinking_budget and reasoning_effort exclude each other. Pass one of them."
        )
    is_off = parameters.get("enable_thinking") is False or effort in _OFF
    if spec.thinking == "always" and is_off:
        raise ConfigurationError(
            f"{model} always thinks; its thinking cannot be turned off. Leave enable_thinking out, "
            "or choose another model."
        )
    if parameters.get("enable_thinking") and effort in _OFF:
        raise ConfigurationError(
            f"enable_thinking is on and reasoning_effort is {effort!r}. Pass one of them."
        )


def _is_forced(tool_choice: object) -> bool:
    return tool_choice == "required" or isinstance(tool_choice, Mapping)


def _is_json_mode(parameters: Mapping[str, Any]) -> bool:
    response_format = parameters.get("response_format")
    return isinstance(response_format, Mapping) and response_format.get("type") == "json_object"


def _without_thinking(parameters: Mapping[str, Any], reason: str) -> dict[str, Any]:
    if parameters.get("enable_thinking"):
        warn(
            f"The service refuses {reason} while a model thinks: this one request is sent with "
            "enable_thinking off."
        )
    kept = {name: held for name, held in parameters.items() if name not in _THINKING_PARAMETERS}
    return {**kept, "enable_thinking": False}


def _says_json(turns: Sequence[Turn]) -> bool:
    texts = (part.text for turn in turns for part in turn.parts if isinstance(part, Text))
    return any("json" in text.lower() for text in texts)


def _instruct(turns: Sequence[Turn], words: str, spec: ModelSpec) -> tuple[Turn, ...]:
    index = next((at for at, turn in enumerate(turns) if turn.role == "system"), None)
    if index is not None:
        return _with_part(turns, index, Text(text=f"\n\n{words}"))
    if spec.accepts_system:
        return (Turn(role="system", parts=(Text(text=words),)), *turns)
    last_user = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=None)
    if last_user is None:
        return (*turns, Turn(role="user", parts=(Text(text=words),)))
    return _with_part(turns, last_user, Text(text=words))


def _with_part(turns: Sequence[Turn], index: int, part: Part) -> tuple[Turn, ...]:
    turn = turns[index]
    parts: tuple[Part, ...] = (*turn.parts, part)
    if len(turn.parts) == 1 and isinstance(turn.parts[0], Text) and isinstance(part, Text):
        # One text stays one text: a system message of several is taken by fewer servers.
        parts = (replace(turn.parts[0], text=f"{turn.parts[0].text}\n{part.text.strip()}"),)
    return (*turns[:index], replace(turn, parts=parts), *turns[index + 1 :])
