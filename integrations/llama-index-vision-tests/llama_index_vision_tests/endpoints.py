"""The eight endpoints of an LLM, called in one way."""

import asyncio
from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    MessageRole,
    TextBlock,
)
from llama_index.core.llms import LLM

CHAT = ("chat", "stream_chat", "achat", "astream_chat")
CHAT_STREAMS = ("stream_chat", "astream_chat")
COMPLETE = ("complete", "stream_complete", "acomplete", "astream_complete")
COMPLETE_STREAMS = ("stream_complete", "astream_complete")


def user(*parts: str | ContentBlock) -> ChatMessage:
    """Create a user message of blocks; a string is a text block."""
    blocks = [TextBlock(text=part) if isinstance(part, str) else part for part in parts]
    return ChatMessage(role=MessageRole.USER, blocks=blocks)


async def chat(
    llm: LLM, messages: Sequence[ChatMessage], endpoint: str = "chat", **options: Any
) -> list[ChatResponse]:
    """Call one of the chat endpoints.

    Args:
        llm: The LLM.
        messages: The conversation.
        endpoint: One of `CHAT`.
        options: What the endpoint takes besides.

    Returns:
        All chunks of a stream; else the one answer.
    """
    return await call(llm, endpoint, messages, **options)


async def complete(
    llm: LLM, prompt: str, endpoint: str = "complete", **options: Any
) -> list[CompletionResponse]:
    """Call one of the completion endpoints, as `chat` does."""
    return await call(llm, endpoint, prompt, **options)


async def call(llm: LLM, endpoint: str, *args: Any, **options: Any) -> list[Any]:
    """Call a method that may be sync or async (its name starts with `a`) and may stream."""
    method = getattr(llm, endpoint)
    streams = "stream" in endpoint
    if endpoint.startswith("a"):
        values = await method(*args, **options)
        return [chunk async for chunk in values] if streams else [values]

    def run() -> list[Any]:
        values = method(*args, **options)
        return list(values) if streams else [values]

    # Sync endpoints may wait as long as they like, also for their own event loop.
    return await asyncio.to_thread(run)
