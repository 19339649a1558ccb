"""Tests of structured answers."""

from collections.abc import Sequence
from typing import Any, Literal

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, MessageRole
from llama_index.core.bridge.pydantic import BaseModel, Field
from llama_index.core.callbacks import CallbackManager
from llama_index.core.callbacks.token_counting import get_tokens_from_response
from llama_index.core.llms import LLM
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate

from llama_index_vision_tests.endpoints import CHAT, CHAT_STREAMS, call, chat, user
from llama_index_vision_tests.recording import CallbackRecorder
from llama_index_vision_tests.samples import draw_image
from llama_index_vision_tests.suite import LLMSuite

PREDICT = ("structured_predict", "astructured_predict")
PREDICT_STREAMS = ("stream_structured_predict", "astream_structured_predict")


class Stock(BaseModel):
    """How many of an item are in the store."""

    item: str = Field(description="The item.")
    count: int = Field(description="How many there are.")


class Shelf(BaseModel):
    """A shelf of the store."""

    label: str = Field(description="The label of the shelf.")
    stocks: list[Stock] = Field(description="What is on the shelf.")
    note: str | None = Field(default=None, description="A note, if there is one.")


class Seen(BaseModel):
    """What an image shows."""

    color: Literal["blue", "green", "red"] = Field(description="The color that fills it.")


FILL_STOCK = PromptTemplate("Fill in Stock with item='{item}' and count={count}.")
FILL_SEEN = "Fill in Seen: which color fills most of the image?"
MANNERS = "You are a clerk of the store. You write down what you are told, word for word."
# Core's structured streams call a deprecated method of pydantic models.
quiet = pytest.mark.filterwarnings("ignore:The `json` method:DeprecationWarning")


class LLMStructuredTests(LLMSuite):
    """Tests of `structured_predict`, its relatives, and `as_structured_llm`.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLMStructured(LLMStructuredTests):
        ...     llm_class = MockFunctionCallingLLM
        ...     understands = False
    """

    @pytest.fixture(autouse=True)
    def _need_structured_output(self) -> None:
        self.need("supports_structured_output")

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", PREDICT)
    async def test_object_is_passed(self, llm: LLM, endpoint: str) -> None:
        """A prompt and a class give an object of the class."""
        (stock,) = await call(llm, endpoint, Stock, FILL_STOCK, item="bolt", count=7)
        assert type(stock) is Stock
        assert not self.understands or stock == Stock(item="bolt", count=7)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", PREDICT_STREAMS)
    async def test_streamed_object_is_whole_at_last(self, llm: LLM, endpoint: str) -> None:
        """The last object of a stream is of the class, and whole."""
        objects = await call(llm, endpoint, Stock, FILL_STOCK, item="bolt", count=7)
        assert objects
        assert type(objects[-1]) is Stock
        assert not self.understands or objects[-1] == Stock(item="bolt", count=7)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", PREDICT)
    async def test_nested_object_is_passed(self, llm: LLM, endpoint: str) -> None:
        """Classes may hold lists of other classes, and fields that may be missing."""
        prompt = PromptTemplate(
            "Fill in Shelf: its label is 'A1', and there are 7 bolts and 9 nuts on it."
        )
        (shelf,) = await call(llm, endpoint, Shelf, prompt)
        assert type(shelf) is Shelf
        assert all(type(stock) is Stock for stock in shelf.stocks)
        assert not self.understands or sorted(s.count for s in shelf.stocks) == [7, 9]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", PREDICT)
    async def test_image_of_prompt_is_seen(self, llm: LLM, endpoint: str) -> None:
        """A prompt's image is asked about."""
        recorder = _observe(llm)
        (seen,) = await call(llm, endpoint, Seen, _about_image())
        assert type(seen) is Seen
        assert not self.understands or seen.color == "red"
        await self._check_image_was_sent(llm, recorder, endpoint)

    @quiet
    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT)
    async def test_structured_llm_sees_image(self, llm: LLM, endpoint: str) -> None:
        """`as_structured_llm` gives objects in `raw` and their JSON as text."""
        structured, recorder = llm.as_structured_llm(Seen), _observe(llm)
        messages = [user(ImageBlock(image=draw_image("red")), FILL_SEEN)]
        answer = (await chat(structured, messages, endpoint))[-1]
        assert type(answer.raw) is Seen
        assert Seen.model_validate_json(answer.message.content or "") == answer.raw
        assert not self.understands or answer.raw.color == "red"
        if self.returns_usage:
            without = _observe(llm)
            await chat(structured, [user(FILL_SEEN)], endpoint)
            assert _reported_prompt_tokens(recorder) > _reported_prompt_tokens(without) > 0

    @quiet
    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", CHAT_STREAMS)
    async def test_structured_stream_is_whole_at_last(self, llm: LLM, endpoint: str) -> None:
        """The stream of a structured LLM ends with the whole object."""
        messages = [user(FILL_STOCK.format(item="bolt", count=7))]
        chunks = await chat(llm.as_structured_llm(Stock), messages, endpoint)
        assert type(chunks[-1].raw) is Stock
        assert not self.understands or chunks[-1].raw == Stock(item="bolt", count=7)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", [*PREDICT, *PREDICT_STREAMS])
    async def test_system_prompt_is_sent(self, endpoint: str) -> None:
        """The LLM's `system_prompt` is sent, in async too."""
        self.need("returns_usage")
        plain = self.llm_class(**self.llm_params)
        mannered = self.llm_class(**{**self.llm_params, "system_prompt": MANNERS})
        tokens = [await _prompt_tokens(one, endpoint, FILL_STOCK) for one in (plain, mannered)]
        assert tokens[1] > tokens[0] > 0

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", PREDICT)
    async def test_system_message_of_prompt_is_sent(self, llm: LLM, endpoint: str) -> None:
        """The system message of a prompt is sent."""
        self.need("returns_usage")
        question = user(FILL_STOCK.format(item="bolt", count=7))
        plain = ChatPromptTemplate([question])
        system = ChatMessage(role=MessageRole.SYSTEM, content=MANNERS)
        mannered = ChatPromptTemplate([system, question])
        tokens = [await _prompt_tokens(llm, endpoint, one) for one in (plain, mannered)]
        assert tokens[1] > tokens[0] > 0

    async def _check_image_was_sent(
        self, llm: LLM, recorder: CallbackRecorder, endpoint: str
    ) -> None:
        """Check by its cost, also where the answer does not show it."""
        if not self.returns_usage:
            return
        cost = _reported_prompt_tokens(recorder)
        without = await _prompt_tokens(llm, endpoint, ChatPromptTemplate([user(FILL_SEEN)]), Seen)
        assert cost > without > 0


def _about_image() -> ChatPromptTemplate:
    return ChatPromptTemplate([user(ImageBlock(image=draw_image("red")), FILL_SEEN)])


def _observe(llm: LLM) -> CallbackRecorder:
    recorder = CallbackRecorder()
    llm.callback_manager = CallbackManager([recorder])
    return recorder


async def _prompt_tokens(
    llm: LLM, endpoint: str, prompt: Any, output_cls: type[BaseModel] = Stock
) -> int:
    recorder = _observe(llm)
    values = {"item": "bolt", "count": 7} if prompt is FILL_STOCK else {}
    await call(llm, endpoint, output_cls, prompt, **values)
    return _reported_prompt_tokens(recorder)


def _reported_prompt_tokens(recorder: CallbackRecorder) -> int:
    answers: Sequence[Any] = recorder.answers
    return sum(get_tokens_from_response(answer)[0] for answer in answers)
