"""Pieces of a streamed answer as LangChain's chunks.

They are cast, not validated: that takes a third of the time, and is all that an adapter does for
most pieces.
"""

import json
from typing import Any, Self

from langchain_core.messages import AIMessage, InvalidToolCall, ToolCall
from langchain_core.messages import AIMessageChunk as LangChainMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json
from pydantic import model_validator

from langchain_qwen_vl.messages import (
    PROVIDER,
    read_call,
    to_metadata,
    to_usage_metadata,
)
from qwen_vl.moulds import Mould
from qwen_vl.reply import Delta, ToolCallDelta

_JSON_WHITESPACE = " \t\r\n"
_MERGED_FIELDS = (
    *("content", "additional_kwargs", "response_metadata", "usage_metadata"),
    *("tool_call_chunks", "id", "chunk_position"),
)


class _ConvertibleChunk:
    """Makes LangChain convert `AIMessageChunk` below to an `AIMessage`.

    It calls the first base of a chunk's class for that, which is `AIMessage` for its own chunk.
    """

    def __new__(cls, **fields: Any) -> Any:
        return AIMessage(**fields) if cls is _ConvertibleChunk else super().__new__(cls)


class AIMessageChunk(_ConvertibleChunk, LangChainMessageChunk):
    """LangChain's chunk, which repairs no tool call of an answer that has ended.

    While an answer comes, LangChain closes the arguments of its tool calls wherever they break off,
    so that programs can show them early. It does the same when the answer has ended: a call that
    was cut would be run with what had come of its arguments, and the tool's defaults for the rest.
    """

    __module__ = LangChainMessageChunk.__module__

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The class is found by LangChain's own name, as in its other serialized forms.
        return _restore, (self.__dict__, self.__pydantic_fields_set__)

    @model_validator(mode="after")
    def _read_whole_calls(self) -> Self:
        # Behind LangChain's own validator, which has repaired them.
        self.read_whole_calls()
        return self

    def read_whole_calls(self) -> None:
        """Read the tool calls as they are, if the answer has ended."""
        has_ended = self.chunk_position == "last" or "finish_reason" in self.response_metadata
        if not (has_ended and self.tool_call_chunks):
            return
        read = [
            read_call(chunk["name"], chunk["args"] or "", chunk["id"])
            for chunk in self.tool_call_chunks
        ]
        self.tool_calls = [call for call in read if call["type"] == "tool_call"]
        self.invalid_tool_calls = [call for call in read if call["type"] == "invalid_tool_call"]
        if self.invalid_tool_calls and isinstance(self.content, list):
            by_id = {call["id"]: call for call in self.invalid_tool_calls}
            self.content = [_replace_call(block, by_id) for block in self.content]

    def __eq__(self, other: object) -> bool:
        # Pydantic compares classes too, and this one is LangChain's to all who use it.
        return isinstance(other, LangChainMessageChunk) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # As every message has none.

    def __radd__(self, other: Any) -> Any:
        # Asked before LangChain's own chunk on the left, whose class the sum would have.
        if not isinstance(other, LangChainMessageChunk):
            return NotImplemented
        merged = LangChainMessageChunk.__add__(other, self)
        return AIMessageChunk(**{name: getattr(merged, name) for name in _MERGED_FIELDS})


def _replace_call(block: Any, invalid: dict[str | None, Any]) -> Any:
    is_call = isinstance(block, dict) and block.get("type") in {"tool_call", "tool_call_chunk"}
    return invalid.get(block.get("id"), block) if is_call else block


def _restore(fields: dict[str, Any], fields_set: set[str]) -> LangChainMessageChunk:
    return LangChainMessageChunk.model_construct(fields_set, **fields)


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
    chunk: AIMessageChunk = _MESSAGE.cast(
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
    if delta.tool_calls and delta.finish_reason:
        # A stream of one piece, such as a whole answer where a stream was asked for.
        chunk.read_whole_calls()
    return chunk


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
