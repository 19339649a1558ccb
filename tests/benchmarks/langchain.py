"""LangChain's chat models."""

import base64
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from benchmarks.contenders import API_KEY, MODEL, Contender, media_type_of


class LangChainContender(Contender):
    """A chat model that takes images as LangChain's documentation has them."""

    model: BaseChatModel

    def user(self, *parts: Any) -> Any:
        return HumanMessage(list(parts))

    def assistant(self, text: str) -> Any:
        return AIMessage(text)

    def text(self, text: str) -> Any:
        return {"type": "text", "text": text}

    def picture_at(self, url: str) -> Any:
        return {"type": "image_url", "image_url": {"url": url}}

    def image(self, data: bytes, media_type: str = "image/png") -> Any:
        url = f"data:{media_type};base64,{base64.b64encode(data).decode()}"
        return {"type": "image_url", "image_url": {"url": url}}

    def picture_file(self, path: Path) -> Any:
        return self.image(path.read_bytes(), media_type_of(path))

    def ask(self, messages: list[Any]) -> object:
        return self.model.invoke(messages)

    def stream(self, messages: list[Any]) -> int:
        return sum(1 for _ in self.model.stream(messages))

    async def ask_many(self, conversations: Sequence[list[Any]]) -> object:
        return await self.model.abatch(list(conversations))


class ChatQwenVLContender(LangChainContender):
    def __init__(self, base_url: str) -> None:
        from langchain_qwen_vl import ChatQwenVL  # noqa: PLC0415 - not everywhere installed.

        self.model = ChatQwenVL(
            model=MODEL, api_key=API_KEY, base_url=base_url, max_total_inline_bytes=2**30
        )

    def image(self, data: bytes, media_type: str = "image/png") -> Any:
        return {"type": "image", "image": data}

    def picture_file(self, path: Path) -> Any:
        return {"type": "image", "image": path}

    def count_tokens(self, messages: list[Any]) -> int:
        return self.model.get_num_tokens_from_messages(messages)


class ChatOpenAIContender(LangChainContender):
    def __init__(self, base_url: str) -> None:
        from langchain_openai import ChatOpenAI  # noqa: PLC0415 - not everywhere installed.

        self.model = ChatOpenAI(model=MODEL, api_key=API_KEY, base_url=base_url)


class ChatQwenContender(LangChainContender):
    def __init__(self, base_url: str) -> None:
        from langchain_qwq import ChatQwen  # noqa: PLC0415 - not everywhere installed.

        self.model = ChatQwen(model=MODEL, api_key=API_KEY, base_url=base_url)


class _IdleChatModel(BaseChatModel):
    n_chunks: int = 0

    @property
    def _llm_type(self) -> str:
        return "idle"

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        message = AIMessage("A tabby cat looks past the camera.")
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate()

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for _ in range(self.n_chunks):
            yield ChatGenerationChunk(message=AIMessageChunk(" word"))

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self._stream():
            yield chunk


class IdleChatModelContender(LangChainContender):
    def __init__(self, base_url: str) -> None:
        kind = base_url.split("/")[3]
        self.model = _IdleChatModel(n_chunks=int(kind.partition("-")[2] or 0))

    def image(self, data: bytes, media_type: str = "image/png") -> Any:
        return {"type": "image", "image": data}

    def picture_file(self, path: Path) -> Any:
        return {"type": "image", "image": path}
