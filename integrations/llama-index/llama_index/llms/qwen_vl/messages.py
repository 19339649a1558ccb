"""LlamaIndex's messages to turns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, MessageRole, ToolCallBlock

from llama_index.llms.qwen_vl.blocks import ENCRYPTED, to_call, to_parts, to_tool_parts
from qwen_vl.content import (
    Audio,
    Document,
    Image,
    Part,
    Reasoning,
    Role,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)
from qwen_vl.errors import UnsupportedContentError, warn

_ROLES: Mapping[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def to_turns(messages: Sequence[ChatMessage]) -> tuple[Turn, ...]:
    """Convert a conversation; the messages themselves stay as they are.

    System messages without a word, as chat engines send them, are left out. Images and videos
    of a system message, where the service takes none, stand in a user message after it.

    Args:
        messages: LlamaIndex's messages.

    Raises:
        ContentError: A block or a message is not supported by the service.

    Example:
        >>> to_turns([ChatMessage("Hello")])[0].role
        'user'
    """
    turns: list[Turn] = []
    for index, message in enumerate(messages):
        turns += _to_turns(message, f"messages[{index}]")
    return tuple(turns)


def _to_turns(message: ChatMessage, where: str) -> Iterator[Turn]:
    if not isinstance(message, ChatMessage):
        raise UnsupportedContentError(
            f"A {type(message).__name__} is not a message.",
            where=where,
            remedy='Pass ChatMessage objects: ChatMessage(role="user", content="Hello").',
        )
    role = _ROLES[message.role]
    if role == "tool":
        yield Turn(role="tool", parts=(_to_result(message, where),))
        return
    parts = to_parts(message.blocks, where)
    name = message.additional_kwargs.get("name")
    match role:
        case "system":
            yield from _system_turns(parts, name, where)
        case "user":
            if not message.blocks:
                raise UnsupportedContentError(
                    "The message is empty.",
                    where=where,
                    remedy="SimpleChatEngine and others pass on only text: to ask about a "
                    "image, give the message to the LLM, an agent, or as chat_history.",
                )
            yield Turn(role="user", parts=parts or (Text(text="", where=where),), name=name)
        case "assistant":
            yield Turn(
                role="assistant",
                parts=(*_encrypted(message, parts, where), *_words(parts), *_calls(message, where)),
                name=name,
                is_partial=bool(message.additional_kwargs.get("partial")),
            )


def _encrypted(message: ChatMessage, parts: Sequence[Part], where: str) -> Iterator[Reasoning]:
    """Read the encrypted reasoning that stands beside the blocks only, as some stores leave it."""
    encrypted = message.additional_kwargs.get(ENCRYPTED)
    if encrypted and not any(isinstance(p, Reasoning) and p.encrypted_content for p in parts):
        yield Reasoning(text="", encrypted_content=str(encrypted), where=where)


def _system_turns(parts: tuple[Part, ...], name: str | None, where: str) -> Iterator[Turn]:
    words = tuple(part for part in parts if not _is_media(part))
    media = tuple(part for part in parts if _is_media(part))
    if words:
        yield Turn(role="system", parts=words, name=name)
    if media:
        warn(
            f"{where}: the service takes no images and videos in a system message; they are sent "
            "in a user message after it."
        )
        yield Turn(role="user", parts=media)


def _words(parts: Sequence[Part]) -> Iterator[Part]:
    """Leave out what the service accepts only from the user, and warn."""
    for part in parts:
        if not _is_media(part):
            yield part
            continue
        warn(
            f"{part.where}: the service takes no images and videos in an assistant's message; "
            "this one is not sent. Put it into a user message if the model should see it."
        )


def _is_media(part: Part) -> bool:
    return isinstance(part, Image | Video | Audio | Document)


def _calls(message: ChatMessage, where: str) -> Iterator[ToolCall]:
    """Read the calls that are only beside the blocks, as older code leaves them."""
    if message.additional_kwargs.get("function_call"):
        raise UnsupportedContentError(
            "A function_call, which OpenAI's API has given up, is not supported by Qwen VL.",
            where=f"{where}.additional_kwargs",
            remedy="Write it as a ToolCallBlock, with an id.",
        )
    if any(isinstance(block, ToolCallBlock) for block in message.blocks):
        return
    for index, call in enumerate(message.additional_kwargs.get("tool_calls") or ()):
        function = _get(call, "function")
        name = _get(function, "name")
        if not isinstance(name, str):
            raise UnsupportedContentError(
                "A tool call without the name of its function.",
                where=f"{where}.additional_kwargs['tool_calls'][{index}]",
                remedy="Write calls as ToolCallBlock.",
            )
        held = _get(function, "arguments")
        # Some servers and stores have them as they are meant instead of as text.
        if isinstance(held, Mapping):
            arguments: dict[str, Any] | str = dict(held)
        elif isinstance(held, str):
            arguments = held
        else:
            arguments = "" if held is None else json.dumps(held, default=str)
        call_id = str(_get(call, "id") or "")
        yield to_call(
            ToolCallBlock(tool_call_id=call_id, tool_name=name, tool_kwargs=arguments), where
        )


def _get(held: Any, name: str) -> Any:
    # The call of an SDK has attributes, and one that was stored is a dict.
    return held.get(name) if isinstance(held, Mapping) else getattr(held, name, None)


def _to_result(message: ChatMessage, where: str) -> ToolResult:
    call_id = message.additional_kwargs.get("tool_call_id")
    if not call_id:
        raise UnsupportedContentError(
            "A tool's message does not say which call it answers.",
            where=where,
            remedy='Put the call\'s id into additional_kwargs["tool_call_id"].',
        )
    parts = to_tool_parts(message.blocks, where)
    return ToolResult(tool_call_id=str(call_id), parts=parts, where=where)
