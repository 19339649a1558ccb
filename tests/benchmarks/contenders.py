"""Who is measured. Each is asked in the way that its own documentation shows."""

import importlib
import mimetypes
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Family = Literal["LangChain", "LlamaIndex", "neither"]
Standing = Literal["ours", "peer", "floor"]

MODEL = "qwen3-vl-plus"
API_KEY = "sk-benchmark"
QUESTION = "What is this?"
ADDRESS = "https://example.com/images/cat.jpg"


class Contender(ABC):
    """One way to ask the endpoint.

    Args:
        base_url: Ends before `/chat/completions`.
    """

    @abstractmethod
    def __init__(self, base_url: str) -> None: ...

    @abstractmethod
    def user(self, *parts: Any) -> Any:
        """Make a message of the user."""

    @abstractmethod
    def assistant(self, text: str) -> Any:
        """Make a message of the model."""

    @abstractmethod
    def text(self, text: str) -> Any:
        """Make a part of a message."""

    @abstractmethod
    def picture_at(self, url: str) -> Any:
        """Make a part of an image that the service fetches."""

    @abstractmethod
    def image(self, data: bytes) -> Any:
        """Make a part of an image's bytes."""

    @abstractmethod
    def picture_file(self, path: Path) -> Any:
        """Make a part of a local image."""

    @abstractmethod
    def ask(self, messages: list[Any]) -> object:
        """Get a whole answer."""

    @abstractmethod
    def stream(self, messages: list[Any]) -> int:
        """Get an answer in pieces; tells how many came."""

    @abstractmethod
    async def ask_many(self, conversations: Sequence[list[Any]]) -> object:
        """Get the answers to all at once."""

    def count_tokens(self, messages: list[Any]) -> int:
        """Count what the conversation costs, without a request."""
        raise NotImplementedError


def media_type_of(path: Path) -> str:
    """Guess an image's type, as users do who write a `data:` URL."""
    return mimetypes.guess_type(path.name)[0] or "image/png"


@dataclass(frozen=True)
class Entry:
    """A contender before it is imported.

    Args:
        title: Name in tables.
        family: Whose messages it takes.
        standing: Ours, somebody else's, or what nothing can be faster than.
        place: `module:class` of the `Contender`.
        imports: The statement that its users begin with.
        first_call: The first call of a program, with `URL` in it; empty where there is none.
        requires: What must be installed for it, by its name for `import`.
    """

    title: str
    family: Family
    standing: Standing
    place: str
    imports: str
    requires: str
    first_call: str = ""

    def load(self) -> type[Contender]:
        """Import it."""
        module, _, name = self.place.partition(":")
        kind: type[Contender] = getattr(importlib.import_module(f"benchmarks.{module}"), name)
        return kind


ENTRIES = {
    "chat-qwen-vl": Entry(
        title="ChatQwenVL",
        family="LangChain",
        standing="ours",
        place="langchain:ChatQwenVLContender",
        imports="from langchain_qwen_vl import ChatQwenVL",
        requires="langchain_qwen_vl",
        first_call='ChatQwenVL(model="m", base_url=URL, api_key="sk").invoke("Hello")',
    ),
    "chat-openai": Entry(
        title="ChatOpenAI",
        family="LangChain",
        standing="peer",
        place="langchain:ChatOpenAIContender",
        imports="from langchain_openai import ChatOpenAI",
        requires="langchain_openai",
        first_call='ChatOpenAI(model="m", base_url=URL, api_key="sk").invoke("Hello")',
    ),
    "chat-qwen": Entry(
        title="ChatQwen",
        family="LangChain",
        standing="peer",
        place="langchain:ChatQwenContender",
        imports="from langchain_qwq import ChatQwen",
        requires="langchain_qwq",
    ),
    "base-chat-model": Entry(
        title="BaseChatModel that does nothing",
        family="LangChain",
        standing="floor",
        place="langchain:IdleChatModelContender",
        imports="from langchain_core.language_models import BaseChatModel",
        requires="langchain_core",
    ),
    "qwen-vl": Entry(
        title="QwenVL",
        family="LlamaIndex",
        standing="ours",
        place="llama_index:QwenVLContender",
        imports="from llama_index.llms.qwen_vl import QwenVL",
        requires="llama_index.llms.qwen_vl",
        first_call='QwenVL("m", base_url=URL, api_key="sk").complete("Hello")',
    ),
    "openai-like": Entry(
        title="OpenAILike",
        family="LlamaIndex",
        standing="peer",
        place="llama_index:OpenAILikeContender",
        imports="from llama_index.llms.openai_like import OpenAILike",
        requires="llama_index.llms.openai_like",
        first_call=(
            'OpenAILike("m", api_base=URL, api_key="sk", is_chat_model=True).complete("Hello")'
        ),
    ),
    "llm": Entry(
        title="LLM that does nothing",
        family="LlamaIndex",
        standing="floor",
        place="llama_index:IdleLLMContender",
        imports="from llama_index.core.llms.function_calling import FunctionCallingLLM",
        requires="llama_index.core",
    ),
    "openai": Entry(
        title="openai SDK alone",
        family="neither",
        standing="peer",
        place="plain:OpenAIContender",
        imports="from openai import OpenAI",
        requires="openai",
    ),
    "httpx": Entry(
        title="httpx alone",
        family="neither",
        standing="floor",
        place="plain:HttpxContender",
        imports="import httpx",
        requires="httpx",
    ),
}
