"""Tests of the eight endpoints."""

import asyncio
import copy
import inspect
import pickle
from collections.abc import AsyncGenerator, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ImageBlock,
    MessageRole,
)
from llama_index.core.llms import LLM

from llama_index_vision_tests.endpoints import (
    CHAT,
    CHAT_STREAMS,
    COMPLETE,
    COMPLETE_STREAMS,
    chat,
    complete,
    user,
)
from llama_index_vision_tests.samples import draw_image
from llama_index_vision_tests.suite import LLMSuite, ask

HELLO = "Say hello in one short sentence."
LONG = "Write the numbers from one to thirty as words, separated by commas."


class LLMChatTests(LLMSuite):
    """Tests of `chat`, `complete`, their streams, and their async forms.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLMChat(LLMChatTests):
        ...     llm_class = MockFunctionCallingLLM
        ...     llm_params = {"is_chat_model": True}
    """

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_chat_answers(self, llm: LLM, endpoint: str) -> None:
        """An answer is the assistant's, and has a text."""
        answers = await chat(llm, [user(HELLO)], endpoint)
        assert all(isinstance(answer, ChatResponse) for answer in answers)
        assert answers[-1].message.role == MessageRole.ASSISTANT
        assert (answers[-1].message.content or "").strip()

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", COMPLETE)
    async def test_complete_answers(self, llm: LLM, endpoint: str) -> None:
        """A completion has a text."""
        answers = await complete(llm, HELLO, endpoint)
        assert all(isinstance(answer, CompletionResponse) for answer in answers)
        assert answers[-1].text.strip()

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", COMPLETE)
    async def test_complete_takes_formatted(self, llm: LLM, endpoint: str) -> None:
        """Core passes `formatted` to every completion."""
        answers = await complete(llm, HELLO, endpoint, formatted=True)
        assert answers[-1].text.strip()

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_role_is_on_every_chunk(self, llm: LLM, endpoint: str) -> None:
        """A chunk's message can be shown, or stored, at any time."""
        answers = await chat(llm, [user(HELLO)], endpoint)
        assert {answer.message.role for answer in answers} == {MessageRole.ASSISTANT}

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        ("endpoint", "sent"),
        [("stream_chat", [user(HELLO)]), ("stream_complete", HELLO)],
    )
    async def test_stream_is_a_generator(self, llm: LLM, endpoint: str, sent: Any) -> None:
        """Callbacks see the chunks of generators only, not of other iterators."""
        stream = getattr(llm, endpoint)(sent)
        assert isinstance(stream, Generator)
        await asyncio.to_thread(list, stream)

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        ("endpoint", "sent"),
        [("astream_chat", [user(HELLO)]), ("astream_complete", HELLO)],
    )
    async def test_async_stream_is_awaited_first(self, llm: LLM, endpoint: str, sent: Any) -> None:
        """An async stream is a coroutine that gives an async generator."""
        coroutine = getattr(llm, endpoint)(sent)
        assert inspect.isawaitable(coroutine)
        stream = await coroutine
        assert isinstance(stream, AsyncGenerator)
        assert [chunk async for chunk in stream]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT_STREAMS)
    async def test_chat_deltas_add_up(self, llm: LLM, endpoint: str) -> None:
        """What is shown piece by piece is the whole answer, once."""
        chunks = await chat(llm, [user(LONG)], endpoint)
        assert all(isinstance(chunk.delta, str) for chunk in chunks)
        assert "".join(chunk.delta or "" for chunk in chunks) == chunks[-1].message.content

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", COMPLETE_STREAMS)
    async def test_complete_deltas_add_up(self, llm: LLM, endpoint: str) -> None:
        """What is shown piece by piece is the whole completion, once."""
        chunks = await complete(llm, LONG, endpoint)
        assert all(isinstance(chunk.delta, str) for chunk in chunks)
        assert "".join(chunk.delta or "" for chunk in chunks) == chunks[-1].text

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT_STREAMS)
    async def test_chat_message_is_cumulative(self, llm: LLM, endpoint: str) -> None:
        """The message of a chunk is all that came until then."""
        so_far = ""
        for chunk in await chat(llm, [user(LONG)], endpoint):
            so_far += chunk.delta or ""
            assert (chunk.message.content or "") == so_far

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", COMPLETE_STREAMS)
    async def test_complete_text_is_cumulative(self, llm: LLM, endpoint: str) -> None:
        """The text of a chunk is all that came until then."""
        so_far = ""
        for chunk in await complete(llm, LONG, endpoint):
            so_far += chunk.delta or ""
            assert chunk.text == so_far

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT_STREAMS)
    async def test_stream_comes_in_pieces(self, llm: LLM, endpoint: str) -> None:
        """A stream that comes at once is none."""
        chunks = await chat(llm, [user(LONG)], endpoint)
        assert len([chunk for chunk in chunks if chunk.delta]) > 1

    def test_chunks_stay_as_they_were(self, llm: LLM) -> None:
        """A chunk that was kept does not change when the next one comes."""
        kept = [(chunk, chunk.message.content) for chunk in llm.stream_chat([user(LONG)])]
        assert [chunk.message.content for chunk, _ in kept] == [content for _, content in kept]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_messages_are_not_changed(self, llm: LLM, endpoint: str) -> None:
        """The caller's messages are the caller's."""
        messages = [
            ChatMessage(role=MessageRole.SYSTEM, content="Be brief."),
            user(ImageBlock(image=draw_image()), HELLO),
        ]
        before = copy.deepcopy(messages)
        blocks = [list(message.blocks) for message in messages]
        await chat(llm, messages, endpoint)
        assert messages == before
        for message, same in zip(messages, blocks, strict=True):
            assert all(one is other for one, other in zip(message.blocks, same, strict=True))

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_answer_can_be_sent_again(self, llm: LLM, endpoint: str) -> None:
        """An answer is a message of the next turn, also after it was stored as JSON."""
        first = user("My favourite word is 'marmalade'.")
        answer = (await chat(llm, [first], endpoint))[-1].message
        stored = ChatMessage.model_validate_json(answer.model_dump_json())
        question = user("Repeat this word: 'tangerine'.")
        assert "tangerine" in await ask(llm, first, answer, question, endpoint=endpoint)
        assert "tangerine" in await ask(llm, first, stored, question, endpoint=endpoint)

    @pytest.mark.asyncio
    async def test_empty_system_message_is_taken(self, llm: LLM) -> None:
        """Chat engines send an empty system message where none was set."""
        system = ChatMessage(role=MessageRole.SYSTEM, blocks=[])
        assert (await ask(llm, system, user(HELLO))).strip()

    @pytest.mark.asyncio
    async def test_calls_at_once_do_not_mix(self, llm: LLM) -> None:
        """Each of several calls at the same time gets its own answer."""
        words = ("apple", "banana", "cherry", "damson")
        answers = await asyncio.gather(
            *(llm.achat([user(f"Repeat this word: '{word}'.")]) for word in words)
        )
        for word, answer in zip(words, answers, strict=True):
            assert word in (answer.message.content or "").lower()

    @pytest.mark.asyncio
    async def test_sync_call_within_event_loop(self, llm: LLM) -> None:
        """Notebooks call sync endpoints while a loop runs."""
        assert (llm.chat([user(HELLO)]).message.content or "").strip()

    def test_survives_its_event_loop(self, llm: LLM) -> None:
        """One LLM serves one event loop after the other."""
        # In a thread, since `asyncio.run` leaves its own without a loop for later tests.
        with ThreadPoolExecutor(1) as thread:
            for _ in range(2):
                answer = thread.submit(asyncio.run, _achat(llm)).result()
                assert (answer.message.content or "").strip()

    def test_stream_may_be_left(self, llm: LLM) -> None:
        """A stream that is not read to its end hinders nothing."""
        stream = llm.stream_chat([user(LONG)])
        next(iter(stream))
        _close(stream)
        assert (llm.chat([user(HELLO)]).message.content or "").strip()

    @pytest.mark.asyncio
    async def test_async_stream_may_be_left(self, llm: LLM) -> None:
        """An async stream that is not read to its end hinders nothing."""
        stream = await llm.astream_chat([user(LONG)])
        await anext(aiter(stream))
        assert isinstance(stream, AsyncGenerator)
        await stream.aclose()
        assert ((await llm.achat([user(HELLO)])).message.content or "").strip()

    def test_copy_of_used_llm_answers(self, llm: LLM) -> None:
        """An LLM that has open connections can be copied."""
        llm.chat([user(HELLO)])
        again = copy.deepcopy(llm)
        assert (again.chat([user(HELLO)]).message.content or "").strip()

    def test_used_llm_can_be_pickled(self, llm: LLM) -> None:
        """An LLM that has open connections can be sent to a worker process."""
        llm.chat([user(HELLO)])
        again = pickle.loads(pickle.dumps(llm))  # noqa: S301 - made in this line.
        assert again.to_dict() == llm.to_dict()


async def _achat(llm: LLM) -> ChatResponse:
    return await llm.achat([user(HELLO)])


def _close(stream: Any) -> None:
    assert isinstance(stream, Generator)
    stream.close()
