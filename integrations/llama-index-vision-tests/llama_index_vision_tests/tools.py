"""Tests of tool calls."""

import copy
import json
from collections.abc import Sequence

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ContentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool

from llama_index_vision_tests.endpoints import call, user
from llama_index_vision_tests.samples import draw_image
from llama_index_vision_tests.suite import COLOR_QUESTION, LLMSuite, colors_in

WITH_TOOLS = (
    "chat_with_tools",
    "stream_chat_with_tools",
    "achat_with_tools",
    "astream_chat_with_tools",
)
STOCK = "41523"
"""What only the tool knows."""


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    return a * b


def count_stock(item: str) -> str:
    """Count how many of an item are in the store."""
    return f"There are {STOCK} of {item} in the store."


def take_photo() -> str:
    """Take a photo of what is in front of the camera."""
    return "The photo."


ADD = FunctionTool.from_defaults(add)
MULTIPLY = FunctionTool.from_defaults(multiply)
COUNT_STOCK = FunctionTool.from_defaults(count_stock)
TAKE_PHOTO = FunctionTool.from_defaults(take_photo)
ASK_ADD = "Call the tool add with a=2 and b=3."
ASK_BOTH = "Call the tool add with a=2 and b=3, and the tool multiply with a=2 and b=3."


class LLMToolTests(LLMSuite):
    """Tests of tool calls, their results, and what core makes of them.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLMTools(LLMToolTests):
        ...     llm_class = MockFunctionCallingLLM
        ...     supports_parallel_tool_calls = False
    """

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", WITH_TOOLS)
    async def test_tool_is_called(self, tool_llm: FunctionCallingLLM, endpoint: str) -> None:
        """The call has the tool's name, its arguments, and an id."""
        answer = (await call(tool_llm, endpoint, [ADD], user_msg=ASK_ADD))[-1]
        (selection,) = _calls(tool_llm, answer)
        assert (selection.tool_name, selection.tool_kwargs) == ("add", {"a": 2, "b": 3})
        assert selection.tool_id

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", WITH_TOOLS)
    async def test_required_tool_is_called(
        self, tool_llm: FunctionCallingLLM, endpoint: str
    ) -> None:
        """With `tool_required` a tool is called, also where none is asked for."""
        (*_, answer) = await call(
            tool_llm, endpoint, [ADD], user_msg="Good morning.", tool_required=True
        )
        assert [selection.tool_name for selection in _calls(tool_llm, answer)] == ["add"]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", WITH_TOOLS)
    async def test_call_stands_in_both_fields(
        self, tool_llm: FunctionCallingLLM, endpoint: str
    ) -> None:
        """Agents read the call's block, streamed structured answers `additional_kwargs`."""
        message = (await call(tool_llm, endpoint, [ADD], user_msg=ASK_ADD))[-1].message
        assert [block.tool_name for block in _call_blocks(message)] == ["add"]
        assert len(message.additional_kwargs.get("tool_calls") or []) == 1

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", WITH_TOOLS)
    async def test_call_can_be_stored(self, tool_llm: FunctionCallingLLM, endpoint: str) -> None:
        """A message with a call is JSON, and back again the same call."""
        answer = (await call(tool_llm, endpoint, [ADD], user_msg=ASK_ADD))[-1]
        stored = ChatMessage.model_validate_json(answer.message.model_dump_json())
        assert _call_blocks(stored) == _call_blocks(answer.message) != []
        json.dumps(answer.message.additional_kwargs)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", WITH_TOOLS)
    async def test_no_call_without_need(self, tool_llm: FunctionCallingLLM, endpoint: str) -> None:
        """An answer without a call has a text, no calls, and says so when calls are a must."""
        answer = (await call(tool_llm, endpoint, [ADD], user_msg="Say good morning."))[-1]
        assert (answer.message.content or "").strip()
        assert _calls(tool_llm, answer, is_must=False) == []
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the LLM's matter.
            _calls(tool_llm, answer)

    @pytest.mark.asyncio
    async def test_tool_without_parameters(self, tool_llm: FunctionCallingLLM) -> None:
        """A tool need not take arguments."""
        (answer,) = await call(
            tool_llm, "chat_with_tools", [TAKE_PHOTO], user_msg="Call the tool take_photo."
        )
        (selection,) = _calls(tool_llm, answer)
        assert (selection.tool_name, selection.tool_kwargs) == ("take_photo", {})

    @pytest.mark.parametrize("is_message", [True, False])
    def test_history_is_not_changed(
        self, tool_llm: FunctionCallingLLM, *, is_message: bool
    ) -> None:
        """The caller's history is the caller's."""
        history = [user("Good morning."), ChatMessage(role="assistant", content="Good morning.")]
        before = copy.deepcopy(history)
        question = user(ASK_ADD) if is_message else ASK_ADD
        tool_llm.chat_with_tools([ADD], user_msg=question, chat_history=history)
        assert history == before

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", ["predict_and_call", "apredict_and_call"])
    async def test_predict_and_call(self, tool_llm: FunctionCallingLLM, endpoint: str) -> None:
        """The tool is run with the arguments of the call."""
        (answer,) = await call(tool_llm, endpoint, [ADD], user_msg=ASK_ADD)
        assert answer.response == "5"
        assert [source.tool_name for source in answer.sources] == ["add"]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", WITH_TOOLS)
    async def test_parallel_calls(self, tool_llm: FunctionCallingLLM, endpoint: str) -> None:
        """Several calls of one answer are kept apart."""
        self.need("supports_parallel_tool_calls")
        (*_, answer) = await call(
            tool_llm,
            endpoint,
            [ADD, MULTIPLY],
            user_msg=ASK_BOTH,
            allow_parallel_tool_calls=True,
        )
        calls = _calls(tool_llm, answer)
        assert sorted(selection.tool_name for selection in calls) == ["add", "multiply"]
        assert [selection.tool_kwargs for selection in calls] == [{"a": 2, "b": 3}] * 2
        assert len({selection.tool_id for selection in calls}) == 2

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", ["chat_with_tools", "achat_with_tools"])
    async def test_one_call_if_not_parallel(
        self, tool_llm: FunctionCallingLLM, endpoint: str
    ) -> None:
        """Without `allow_parallel_tool_calls` an answer has one call."""
        tools = [ADD, MULTIPLY]
        (answer,) = await call(tool_llm, endpoint, tools, user_msg=ASK_BOTH)
        assert len(_calls(tool_llm, answer)) == 1

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", WITH_TOOLS)
    @pytest.mark.parametrize("is_stored", [False, True], ids=["live", "stored"])
    async def test_result_is_used(
        self, tool_llm: FunctionCallingLLM, endpoint: str, *, is_stored: bool
    ) -> None:
        """The call and its result go back, and the answer states what only the tool knows."""
        messages = [user("How many are there? Call the tool count_stock with item='bolt'.")]
        (*_, first) = await call(tool_llm, endpoint, [COUNT_STOCK], chat_history=messages)
        messages.append(first.message)
        messages += _results(tool_llm, first, [TextBlock(text=count_stock("bolt"))])
        if is_stored:
            messages = [ChatMessage.model_validate_json(m.model_dump_json()) for m in messages]
        (*_, second) = await call(tool_llm, endpoint, [COUNT_STOCK], chat_history=messages)
        assert STOCK in (second.message.content or "").replace(",", "")

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", WITH_TOOLS)
    async def test_image_of_result_is_seen(
        self, tool_llm: FunctionCallingLLM, endpoint: str
    ) -> None:
        """A tool may give an image."""
        self.need("supports_tool_images")
        messages = [user("Call the tool take_photo. " + COLOR_QUESTION)]
        (*_, first) = await call(tool_llm, endpoint, [TAKE_PHOTO], chat_history=messages)
        messages.append(first.message)
        image = ImageBlock(image=draw_image("blue"))
        messages += _results(tool_llm, first, [TextBlock(text="The photo:"), image])
        (*_, second) = await call(tool_llm, endpoint, [TAKE_PHOTO], chat_history=messages)
        assert "blue" in colors_in(second.message.content or "")

    @pytest.mark.asyncio
    @pytest.mark.parametrize("endpoint", WITH_TOOLS)
    async def test_image_beside_tools_is_seen(
        self, tool_llm: FunctionCallingLLM, endpoint: str
    ) -> None:
        """Tools on offer do not push the image out."""
        message = user(ImageBlock(image=draw_image("blue")), COLOR_QUESTION)
        (*_, answer) = await call(tool_llm, endpoint, [ADD], user_msg=message)
        assert "blue" in colors_in(answer.message.content or "")


def _calls(
    llm: FunctionCallingLLM, answer: ChatResponse, *, is_must: bool = True
) -> list[ToolSelection]:
    return llm.get_tool_calls_from_response(answer, error_on_no_tool_call=is_must)


def _call_blocks(message: ChatMessage) -> list[ToolCallBlock]:
    return [block for block in message.blocks if isinstance(block, ToolCallBlock)]


def _results(
    llm: FunctionCallingLLM, answer: ChatResponse, blocks: Sequence[ContentBlock]
) -> list[ChatMessage]:
    """Answer each call with the blocks, in the form that agents use."""
    return [
        ChatMessage(
            role=MessageRole.TOOL,
            blocks=list(blocks),
            additional_kwargs={"tool_call_id": selection.tool_id},
        )
        for selection in _calls(llm, answer)
    ]
