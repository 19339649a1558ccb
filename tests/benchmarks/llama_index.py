"""LlamaIndex's LLMs."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseGen,
    ImageBlock,
    LLMMetadata,
    MessageRole,
    TextBlock,
)
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_chat_callback

from benchmarks.contenders import API_KEY, MODEL, Contender


class LlamaIndexContender(Contender):
    """An LLM that takes blocks."""

    llm: Any

    def user(self, *parts: Any) -> Any:
        return ChatMessage(role=MessageRole.USER, blocks=list(parts))

    def assistant(self, text: str) -> Any:
        return ChatMessage(role=MessageRole.ASSISTANT, blocks=[TextBlock(text=text)])

    def text(self, text: str) -> Any:
        return TextBlock(text=text)

    def picture_at(self, url: str) -> Any:
        return ImageBlock(url=url)

    def image(self, data: bytes) -> Any:
        return ImageBlock(image=data)

    def picture_file(self, path: Path) -> Any:
        return ImageBlock(path=path)

    def ask(self, messages: list[Any]) -> object:
        return self.llm.chat(messages)

    def stream(self, messages: list[Any]) -> int:
        return sum(1 for _ in self.llm.stream_chat(messages))

    async def ask_many(self, conversations: Sequence[list[Any]]) -> object:
        return await asyncio.gather(*(self.llm.achat(messages) for messages in conversations))


class QwenVLContender(LlamaIndexContender):
    def __init__(self, base_url: str) -> None:
        from llama_index.llms.qwen_vl import QwenVL  # noqa: PLC0415 - not everywhere installed.

        self.llm = QwenVL(
            model=MODEL, api_key=API_KEY, base_url=base_url, max_total_inline_bytes=2**30
        )


class OpenAILikeContender(LlamaIndexContender):
    def __init__(self, base_url: str) -> None:
        from llama_index.llms.openai_like import OpenAILike  # noqa: PLC0415 - as above.

        self.llm = OpenAILike(
            model=MODEL,
            api_key=API_KEY,
            api_base=base_url,
            is_chat_model=True,
            is_function_calling_model=True,
        )


class _IdleLLM(CustomLLM):
    n_chunks: int = 0

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        text = "A tabby cat looks past the camera."
        return ChatResponse(message=ChatMessage(text, role=MessageRole.ASSISTANT))

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        text = "A tabby cat looks past the camera."
        return ChatResponse(message=ChatMessage(text, role=MessageRole.ASSISTANT))

    @llm_chat_callback()
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        def chunks() -> ChatResponseGen:
            for _ in range(self.n_chunks):
                message = ChatMessage(" word", role=MessageRole.ASSISTANT)
                yield ChatResponse(message=message, delta=" word")

        return chunks()

    def complete(self, *args: Any, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text="")

    def stream_complete(self, *args: Any, **kwargs: Any) -> CompletionResponseGen:
        yield CompletionResponse(text="")


class IdleLLMContender(LlamaIndexContender):
    def __init__(self, base_url: str) -> None:
        kind = base_url.split("/")[3]
        self.llm = _IdleLLM(n_chunks=int(kind.partition("-")[2] or 0))
