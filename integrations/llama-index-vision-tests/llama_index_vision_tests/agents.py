"""Tests of agents."""

import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent
from llama_index.core.base.llms.types import ContentBlock, ImageBlock, TextBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM

from llama_index_vision_tests.endpoints import user
from llama_index_vision_tests.remembering import opened_memory
from llama_index_vision_tests.samples import draw_image
from llama_index_vision_tests.suite import COLOR_QUESTION, LLMSuite, colors_in
from llama_index_vision_tests.tools import STOCK, count_stock

# Core's agents look at deprecated attributes of pydantic models: no LLM can do anything about it.
quiet = pytest.mark.filterwarnings(
    "ignore:.*__fields(_set)?__:DeprecationWarning",
    "ignore:Accessing the 'model_:DeprecationWarning",
)
streaming = pytest.mark.parametrize("streams", [True, False], ids=["streaming", "whole"])


class LLMAgentTests(LLMSuite):
    """Tests of `FunctionAgent`, streaming and not.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLMAgents(LLMAgentTests):
        ...     llm_class = MockFunctionCallingLLM
        ...     supports_tool_images = False
    """

    @quiet
    @pytest.mark.asyncio
    @streaming
    async def test_agent_uses_tool(self, tool_llm: FunctionCallingLLM, *, streams: bool) -> None:
        """The tool runs once, and the answer states what only the tool knows."""
        items: list[str] = []

        def count(item: str) -> str:
            """Count how many of an item are in the store."""
            items.append(item)
            return count_stock(item)

        agent = FunctionAgent(llm=tool_llm, tools=[count], streaming=streams)
        answer = await agent.run("How many are there? Call the tool count with item='bolt'.")
        assert items == ["bolt"]
        assert STOCK in str(answer).replace(",", "")

    @quiet
    @pytest.mark.asyncio
    @streaming
    async def test_agent_sees_image(self, tool_llm: FunctionCallingLLM, *, streams: bool) -> None:
        """The user's message keeps its image."""
        agent = FunctionAgent(llm=tool_llm, tools=[count_stock], streaming=streams)
        message = user(ImageBlock(image=draw_image("blue")), COLOR_QUESTION)
        assert "blue" in colors_in(str(await agent.run(message)))

    @quiet
    @pytest.mark.asyncio
    @streaming
    async def test_agent_sees_image_of_tool(
        self, tool_llm: FunctionCallingLLM, *, streams: bool
    ) -> None:
        """A tool that returns blocks shows its image."""
        self.need("supports_tool_images")
        photos: list[int] = []

        def take_photo() -> list[ContentBlock]:
            """Take a photo of what is in front of the camera."""
            photos.append(1)
            return [TextBlock(text="The photo:"), ImageBlock(image=draw_image("blue"))]

        agent = FunctionAgent(llm=tool_llm, tools=[take_photo], streaming=streams)
        answer = await agent.run("Call the tool take_photo. " + COLOR_QUESTION)
        assert "blue" in colors_in(str(answer))
        assert photos

    @quiet
    @pytest.mark.asyncio
    @streaming
    async def test_agent_remembers_image(
        self, tool_llm: FunctionCallingLLM, *, streams: bool
    ) -> None:
        """A later run with the same memory still has the image."""
        agent = FunctionAgent(llm=tool_llm, tools=[count_stock], streaming=streams)
        first = user(ImageBlock(image=draw_image("blue")), "Remember this image.")
        async with opened_memory() as memory:
            await agent.run(first, memory=memory)
            answer = await agent.run(COLOR_QUESTION, memory=memory)
        assert "blue" in colors_in(str(answer))

    @quiet
    @pytest.mark.asyncio
    async def test_agent_streams_its_answer(self, tool_llm: FunctionCallingLLM) -> None:
        """What the agent shows piece by piece is its answer."""
        agent = FunctionAgent(llm=tool_llm, tools=[count_stock])
        handler = agent.run(user(ImageBlock(image=draw_image("blue")), COLOR_QUESTION))
        deltas = [
            event.delta async for event in handler.stream_events() if isinstance(event, AgentStream)
        ]
        answer = await handler
        assert "".join(deltas) == str(answer) != ""
