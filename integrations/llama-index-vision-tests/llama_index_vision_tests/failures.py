"""Tests of failures."""

import pytest
from llama_index.core.llms import LLM

from llama_index_vision_tests.endpoints import CHAT, CHAT_STREAMS, chat, user
from llama_index_vision_tests.suite import LLMSuite


class LLMFailureTests(LLMSuite):
    """Tests of failures; the fixtures `failing_llm` and `breaking_llm` switch them on.

    Example:
        >>> import pytest
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLMFailures(LLMFailureTests):
        ...     llm_class = MockFunctionCallingLLM
        ...
        ...     @pytest.fixture
        ...     def failing_llm(self):
        ...         return MockFunctionCallingLLM(response_generator=lambda *_: 1 / 0)
    """

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_failure_is_raised(self, failing_llm: LLM | None, endpoint: str) -> None:
        """No failure is an empty answer.

        Nor is it a `ValueError` or `TypeError`: engines answer "Empty Response" to those.
        """
        if failing_llm is None:
            pytest.skip("failing_llm is None")
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the LLM's matter.
            await chat(failing_llm, [user("Hello")], endpoint)
        assert not isinstance(caught.value, ValueError | TypeError)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT_STREAMS)
    async def test_broken_stream_is_raised(self, breaking_llm: LLM | None, endpoint: str) -> None:
        """A stream that breaks does not end like one that is complete."""
        if breaking_llm is None:
            pytest.skip("breaking_llm is None")
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the LLM's matter.
            await chat(breaking_llm, [user("Hello")], endpoint)
