"""Tests of what LlamaIndex reports to observers about calls."""

from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ImageBlock
from llama_index.core.callbacks import CallbackManager, EventPayload, TokenCountingHandler
from llama_index.core.callbacks.token_counting import get_tokens_from_response
from llama_index.core.instrumentation.events.llm import LLMChatStartEvent, LLMCompletionStartEvent
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM

from llama_index_vision_tests.endpoints import CHAT, CHAT_STREAMS, COMPLETE, call, chat, user
from llama_index_vision_tests.recording import (
    ENDS,
    PROGRESS,
    STARTS,
    CallbackRecorder,
    recorded_events,
)
from llama_index_vision_tests.samples import draw_image
from llama_index_vision_tests.suite import COLOR_QUESTION, LLMSuite
from llama_index_vision_tests.tools import ADD, ASK_ADD, WITH_TOOLS

HELLO = "Say hello in one short sentence."
every_endpoint = pytest.mark.parametrize("endpoint", [*CHAT, *COMPLETE])


class LLMEventTests(LLMSuite):
    """Tests of instrumentation events, callbacks and token counts.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLMEvents(LLMEventTests):
        ...     llm_class = MockFunctionCallingLLM
        ...     returns_usage = False
    """

    @pytest.mark.asyncio
    @every_endpoint
    async def test_events_come_once(self, llm: LLM, endpoint: str) -> None:
        """A call starts once, ends once, and each chunk of a stream is reported."""
        with recorded_events() as recorder:
            answers = await call(llm, endpoint, _sent(endpoint))
        start = LLMChatStartEvent if "chat" in endpoint else LLMCompletionStartEvent
        assert [type(event) for event in recorder.of(*STARTS)] == [start]
        assert len(recorder.of(*ENDS)) == 1
        assert len(recorder.of(*PROGRESS)) == (len(answers) if "stream" in endpoint else 0)

    @pytest.mark.asyncio
    @every_endpoint
    async def test_callbacks_come_once(self, llm: LLM, endpoint: str) -> None:
        """A callback handler sees one start and its end, with the whole answer."""
        recorder = _observe(llm)
        answers = await call(llm, endpoint, _sent(endpoint))
        assert len(recorder.starts) == 1
        assert [event_id for event_id, _ in recorder.ends] == [recorder.starts[0][0]]
        assert recorder.answers == [answers[-1]]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", WITH_TOOLS)
    async def test_callbacks_of_tools_come_once(
        self, tool_llm: FunctionCallingLLM, endpoint: str
    ) -> None:
        """A call with tools is one call."""
        recorder = _observe(tool_llm)
        await call(tool_llm, endpoint, [ADD], user_msg=ASK_ADD)
        assert len(recorder.starts) == len(recorder.ends) == 1

    @pytest.mark.asyncio
    @every_endpoint
    async def test_events_have_no_secret(self, llm: LLM, endpoint: str) -> None:
        """Observers send what is reported to other services."""
        self.need("secret")
        callbacks = _observe(llm)
        with recorded_events() as events:
            await call(llm, endpoint, _sent(endpoint))
        reported = [str(event.model_dump()) for event in events.events]
        reported += [str(payload) for _, payload in callbacks.starts + callbacks.ends]
        assert reported
        assert not any(str(self.secret) in text for text in reported)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT_STREAMS)
    async def test_stream_that_is_left_ends_its_event(self, llm: LLM, endpoint: str) -> None:
        """What is not read to its end does not stay open in a trace."""
        recorder = _observe(llm)
        if endpoint == "stream_chat":
            stream = llm.stream_chat([user(HELLO)])
            next(iter(stream))
            assert isinstance(stream, Generator)
            stream.close()
        else:
            async_stream = await llm.astream_chat([user(HELLO)])
            await anext(aiter(async_stream))
            assert isinstance(async_stream, AsyncGenerator)
            await async_stream.aclose()
        assert len(recorder.starts) == len(recorder.ends) == 1

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT_STREAMS)
    async def test_broken_stream_ends_its_event(
        self, breaking_llm: LLM | None, endpoint: str
    ) -> None:
        """The event of a stream that breaks ends with the exception."""
        if breaking_llm is None:
            pytest.skip("breaking_llm is None")
        recorder = _observe(breaking_llm)
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the LLM's matter.
            await chat(breaking_llm, [user(HELLO)], endpoint)
        assert len(recorder.starts) == len(recorder.ends) == 1
        assert recorder.ends[0][1].get(EventPayload.EXCEPTION) is caught.value

    @pytest.mark.asyncio
    @every_endpoint
    async def test_usage_is_counted(self, llm: LLM, endpoint: str) -> None:
        """What `TokenCountingHandler` counts is the usage that the service reported, once."""
        self.need("returns_usage")
        counter = TokenCountingHandler()
        llm.callback_manager = CallbackManager([counter])
        answer = (await call(llm, endpoint, _sent(endpoint)))[-1]
        prompt_tokens, completion_tokens = get_tokens_from_response(answer)
        assert prompt_tokens > 0
        assert completion_tokens > 0
        assert counter.prompt_llm_token_count == prompt_tokens
        assert counter.completion_llm_token_count == completion_tokens

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_image_costs_tokens(self, llm: LLM, endpoint: str) -> None:
        """The usage counts the image."""
        self.need("returns_usage")
        image = ImageBlock(image=draw_image())
        without = (await chat(llm, [user(COLOR_QUESTION)], endpoint))[-1]
        with_it = (await chat(llm, [user(image, COLOR_QUESTION)], endpoint))[-1]
        assert get_tokens_from_response(with_it)[0] > get_tokens_from_response(without)[0]

    @pytest.mark.asyncio
    async def test_same_question_costs_the_same(self, llm: LLM) -> None:
        """All endpoints send the same for the same question."""
        self.need("returns_usage")
        answers = [(await call(llm, name, _sent(name)))[-1] for name in (*CHAT, *COMPLETE)]
        assert len({get_tokens_from_response(answer)[0] for answer in answers}) == 1


def _sent(endpoint: str) -> Any:
    return [user(HELLO)] if "chat" in endpoint else HELLO


def _observe(llm: LLM) -> CallbackRecorder:
    recorder = CallbackRecorder()
    llm.callback_manager = CallbackManager([recorder])
    return recorder
