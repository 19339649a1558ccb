"""How LangChain reads `content_blocks` out of this provider's messages.

LangChain's best guess for an unknown provider takes a chunk's tool-call pieces for whole calls as
soon as the chunk holds text too.
"""

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages import content as types
from langchain_core.messages.block_translators import register_translator

from langchain_qwen_vl.messages import ENCRYPTED, PROVIDER


def register() -> None:
    """Register with LangChain how to read messages whose `model_provider` is this one."""
    register_translator(PROVIDER, _translate_message, _translate_chunk)


def _translate_message(message: AIMessage) -> list[types.ContentBlock]:
    return [*_spoken(message), *_whole_calls(message)]


def _translate_chunk(chunk: AIMessageChunk) -> list[types.ContentBlock]:
    if chunk.chunk_position == "last":
        return [*_spoken(chunk), *_whole_calls(chunk)]
    return [*map(_with_index, _spoken(chunk)), *_call_pieces(chunk)]


def _with_index(block: types.ContentBlock) -> types.ContentBlock:
    # Blocks of one index are merged into one, whatever their types, and LangChain itself would
    # give the first text the index that the first tool call has.
    block["index"] = f"lc_{block['type']}"
    return block


def _spoken(message: AIMessage) -> list[types.ContentBlock]:
    if not isinstance(message.content, str):
        # Standard blocks already: the message was made with output_version="v1".
        raise NotImplementedError
    blocks: list[types.ContentBlock] = []
    reasoning = message.additional_kwargs.get("reasoning_content")
    encrypted = message.additional_kwargs.get(ENCRYPTED)
    if reasoning or encrypted:
        block = types.ReasoningContentBlock(type="reasoning")
        if reasoning:
            block["reasoning"] = reasoning
        if encrypted:
            block["extras"] = {ENCRYPTED: encrypted}
        blocks.append(block)
    if message.content:
        blocks.append({"type": "text", "text": message.content})
    return blocks


def _whole_calls(message: AIMessage) -> list[types.ContentBlock]:
    return [
        *(
            types.ToolCall(type="tool_call", id=call["id"], name=call["name"], args=call["args"])
            for call in message.tool_calls
        ),
        *(
            types.InvalidToolCall(
                type="invalid_tool_call",
                id=call["id"],
                name=call["name"],
                args=call["args"],
                error=call["error"],
            )
            for call in message.invalid_tool_calls
        ),
    ]


def _call_pieces(chunk: AIMessageChunk) -> list[types.ContentBlock]:
    blocks: list[types.ContentBlock] = []
    for piece in chunk.tool_call_chunks:
        block = types.ToolCallChunk(
            type="tool_call_chunk", id=piece["id"], name=piece["name"], args=piece["args"]
        )
        if piece["index"] is not None:
            block["index"] = f"lc_tool_call_{piece['index']}"
        blocks.append(block)
    return blocks
