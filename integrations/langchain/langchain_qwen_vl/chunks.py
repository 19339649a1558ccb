"""Pieces of a streamed answer as LangChain's chunks.

They are cast, not validated: that takes a third of the time, and is all that an adapter does for
most pieces.
"""

import json
from typing import Any

from langchain_core.messages import AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json

from langchain_qwen_vl.messages import PROVIDER, to_metadata, to_usage_metadata
from qwen_vl.moulds import Mould
from qwen_vl.reply import Delta, ToolCallDelta

_JSON_WHITESPACE = " \t\r\n"
# LangChain's reader of partial JSON tries again without the last character, to the first.
_MAX_PARTIAL_CHARS = 4_096

_MESSAGE = Mould(AIMessageChunk(content=""))
_GENERATION = Mould(ChatGenerationChunk(message=AIMessageChunk(content="")))


def to_generation_chunk(delta: Delta) -> ChatGenerationChunk:
    """Convert a piece of a streamed reply for LangChain's own stream.

    Args:
        delta: One event.
    """
    message = to_chunk(delta)
    return _GENERATION.cast(message=message, text=message.text)


def to_chunk(delta: Delta) -> AIMessageChunk:
    """Convert a piece of a streamed reply. Chunks add up to the message of the whole reply.

    Args:
        delta: One event.

    Example:
        >>> to_chunk(Delta(text="A cat.")).content
        'A cat.'
    """
    facts = delta.facts
    return _MESSAGE.cast(
        content=delta.text,
        additional_kwargs={"reasoning_content": delta.reasoning} if delta.reasoning else {},
        usage_metadata=to_usage_metadata(facts.usage) if facts else None,
        response_metadata=(
            to_metadata(facts, delta.logprobs)
            if facts or delta.logprobs
            else {"model_provider": PROVIDER}
        ),
        **(_read_calls(delta.tool_calls) if delta.tool_calls else {}),
    )


def _read_calls(pieces: tuple[ToolCallDelta, ...]) -> dict[str, Any]:
    """Give what `AIMessageChunk` itself makes of pieces of tool calls."""
    calls: list[ToolCall] = []
    invalid_calls: list[InvalidToolCall] = []
    for piece in pieces:
        arguments = _read_arguments(piece.arguments)
        if arguments is None:
            invalid_calls.append(
                invalid_tool_call(name=piece.name, args=piece.arguments, id=piece.id, error=None)
            )
        else:
            calls.append(tool_call(name=piece.name or "", args=arguments, id=piece.id))
    return {
        "tool_calls": calls,
        "invalid_tool_calls": invalid_calls,
        "tool_call_chunks": [
            tool_call_chunk(name=piece.name, args=piece.arguments, id=piece.id, index=piece.index)
            for piece in pieces
        ],
    }


def _read_arguments(text: str) -> dict[str, Any] | None:
    if not text:
        return {}
    # Most pieces come from the middle. LangChain tries to parse them, which fails slowly.
    if not text.lstrip(_JSON_WHITESPACE).startswith("{"):
        return None
    try:
        found = parse_partial_json(text) if len(text) <= _MAX_PARTIAL_CHARS else json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
