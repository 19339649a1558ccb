"""Tests of thoughts."""

import pytest
from llama_index.core.base.llms.types import ChatMessage, ThinkingBlock
from llama_index.core.llms import LLM

from llama_index_vision_tests.endpoints import CHAT, CHAT_STREAMS, chat, user
from llama_index_vision_tests.suite import LLMSuite, ask, texts_of

QUESTION = "Which is larger, 9.11 or 9.9? Answer with the number."


class LLMThinkingTests(LLMSuite):
    """Tests of what a model thinks before it answers; `thinking_params` switches them on.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLMThinking(LLMThinkingTests):
        ...     llm_class = MockFunctionCallingLLM
        ...     thinking_params = {"is_chat_model": True}
    """

    @pytest.fixture
    def thinking_llm(self) -> LLM:
        """The LLM under test, thinking."""
        if self.thinking_params is None:
            pytest.skip(f"thinking_params is None for {self.llm_class.__name__}")
        return self.llm_class(**{**self.llm_params, **self.thinking_params})

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_thoughts_are_a_block(self, thinking_llm: LLM, endpoint: str) -> None:
        """Thoughts stand in a `ThinkingBlock` before the answer, and not in its text."""
        message = (await chat(thinking_llm, [user(QUESTION)], endpoint))[-1].message
        thoughts = [block for block in message.blocks if isinstance(block, ThinkingBlock)]
        assert thoughts
        assert message.blocks[0] == thoughts[0]
        assert thoughts[0].content
        assert texts_of(message).strip()
        assert thoughts[0].content not in texts_of(message)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT_STREAMS)
    async def test_thoughts_stream_apart(self, thinking_llm: LLM, endpoint: str) -> None:
        """Agents show thoughts from `additional_kwargs["thinking_delta"]`, texts from `delta`."""
        chunks = await chat(thinking_llm, [user(QUESTION)], endpoint)
        message = chunks[-1].message
        deltas = [chunk.additional_kwargs.get("thinking_delta") or "" for chunk in chunks]
        thoughts = [block.content for block in message.blocks if isinstance(block, ThinkingBlock)]
        assert "".join(deltas) == "".join(thought or "" for thought in thoughts) != ""
        assert "".join(chunk.delta or "" for chunk in chunks) == texts_of(message)

    @pytest.mark.asyncio
    async def test_thoughts_can_be_sent_again(self, thinking_llm: LLM) -> None:
        """An answer with thoughts is a message of the next turn, also after JSON."""
        first = user(QUESTION)
        answer = (await chat(thinking_llm, [first]))[-1].message
        stored = ChatMessage.model_validate_json(answer.model_dump_json())
        question = user("Repeat this word: 'tangerine'.")
        assert "tangerine" in await ask(thinking_llm, first, stored, question)
