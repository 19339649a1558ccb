"""LLMs with one fault each. Copied beside the suites that `test_suite_finds_faults.py` writes."""

import asyncio
import threading
import urllib.request
from collections.abc import Generator, Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from pydantic import ConfigDict, PrivateAttr
from reference_llm import ReferenceError_, ReferenceLLM, Reply, asked, to_completion


class DropsPictures(ReferenceLLM):
    def blocks_of(self, message: ChatMessage) -> list[Any]:
        return [block for block in message.blocks if not isinstance(block, ImageBlock)]


class DropsVideos(ReferenceLLM):
    def blocks_of(self, message: ChatMessage) -> list[Any]:
        return [block for block in message.blocks if not isinstance(block, VideoBlock)]


class DropsPicturesOfTools(ReferenceLLM):
    def blocks_of(self, message: ChatMessage) -> list[Any]:
        return [] if message.role == "tool" else list(message.blocks)


class ReversesBlocks(ReferenceLLM):
    def blocks_of(self, message: ChatMessage) -> list[Any]:
        return list(reversed(message.blocks))


class ReadsOnlyTheLastMessage(ReferenceLLM):
    def with_system_prompt(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        return list(messages)[-1:]


class Downloads(ReferenceLLM):
    def load(self, url: str) -> bytes:
        with urllib.request.urlopen(url) as answer:  # noqa: S310 - a URL of the suite.
            return answer.read()


class ShowsKey(ReferenceLLM):
    api_key: str = ""


class TakesAnyOption(ReferenceLLM):
    model_config = ConfigDict(extra="ignore")


class ChangesMessages(ReferenceLLM):
    def reply(self, messages: Sequence[ChatMessage], **options: Any) -> Reply:
        messages[-1].blocks.append(TextBlock(text="Be brief."))
        return super().reply(messages, **options)


class RepeatsDeltas(ReferenceLLM):
    def chunks(self, reply: Reply) -> Generator[ChatResponse, None, None]:
        for chunk in super().chunks(reply):
            chunk.delta = chunk.message.content or ""
            yield chunk


class GivesPiecesAsMessages(ReferenceLLM):
    def chunks(self, reply: Reply) -> Generator[ChatResponse, None, None]:
        for chunk in super().chunks(reply):
            chunk.message = ChatMessage(role="assistant", content=chunk.delta)
            yield chunk


class GivesAllAtOnce(ReferenceLLM):
    def chunks(self, reply: Reply) -> Generator[ChatResponse, None, None]:
        chunk = self.to_response(reply)
        chunk.delta = reply.text
        yield chunk


class ReusesItsMessage(ReferenceLLM):
    def chunks(self, reply: Reply) -> Generator[ChatResponse, None, None]:
        message = ChatMessage(role="assistant")
        for chunk in super().chunks(reply):
            message.blocks = chunk.message.blocks
            chunk.message = message
            yield chunk


class CountsCompletionsTwice(ReferenceLLM):
    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
        return to_completion(self.chat([asked(prompt)]))


class TellsNobody(ReferenceLLM):
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self.to_response(self.reply(messages, **kwargs))


class LosesUsageInStreams(ReferenceLLM):
    def last_chunk(self, reply: Reply) -> ChatResponse:
        chunk = super().last_chunk(reply)
        chunk.raw = None
        return chunk


class AnswersFailuresWithNothing(ReferenceLLM):
    def reply(self, messages: Sequence[ChatMessage], **options: Any) -> Reply:
        return Reply() if self.fails else super().reply(messages, **options)


class FailsWithValueError(ReferenceLLM):
    def reply(self, messages: Sequence[ChatMessage], **options: Any) -> Reply:
        if self.fails:
            raise ValueError("The service is not there.")
        return super().reply(messages, **options)


class EndsBrokenStreams(ReferenceLLM):
    def chunks(self, reply: Reply) -> Generator[ChatResponse, None, None]:
        try:
            yield from super().chunks(reply)
        except ReferenceError_:
            return


class HidesCallsFromKwargs(ReferenceLLM):
    def kwargs_of(self, reply: Reply) -> dict[str, Any]:
        return {}


class KeepsObjectsInKwargs(ReferenceLLM):
    def kwargs_of(self, reply: Reply) -> dict[str, Any]:
        return {"tool_calls": [object() for _ in reply.calls]} if reply.calls else {}


class ForcesNoTool(ReferenceLLM):
    def _prepare_chat_with_tools(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        return {**super()._prepare_chat_with_tools(*args, **kwargs), "tool_required": False}


class CallsEveryTool(ReferenceLLM):
    def _validate_chat_with_tools_response(
        self, response: ChatResponse, tools: Any, **_: Any
    ) -> ChatResponse:
        return response


class AppendsToHistory(ReferenceLLM):
    def _prepare_chat_with_tools(
        self,
        tools: Any,
        user_msg: Any = None,
        chat_history: Any = None,
        tool_required: bool = False,
        **_: Any,
    ) -> dict[str, Any]:
        messages = [] if chat_history is None else chat_history
        if user_msg:
            messages.append(asked(user_msg) if isinstance(user_msg, str) else user_msg)
        return {"messages": messages, "tools": tools, "tool_required": tool_required}


class ForgetsSystemPromptInAsync(ReferenceLLM):
    def with_system_prompt(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        return list(messages)


class SaysItsThoughts(ReferenceLLM):
    def reply(self, messages: Sequence[ChatMessage], **options: Any) -> Reply:
        reply = super().reply(messages, **options)
        reply.text = reply.thoughts + reply.text
        return reply


class HoldsALock(ReferenceLLM):
    _lock: Any = PrivateAttr(default=None)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._lock = threading.Lock()
        return self.to_response(self.reply(messages, **kwargs))


class KeepsItsFirstLoop(ReferenceLLM):
    _loop: Any = PrivateAttr(default=None)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        self._loop = self._loop or asyncio.get_running_loop()
        if self._loop is not asyncio.get_running_loop():
            raise ReferenceError_("The event loop is closed.")
        return self.to_response(self.reply(messages, **kwargs))
