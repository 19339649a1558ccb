"""`image_zoom_in_tool` in LlamaIndex's own agent."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from PIL import Image

from llama_index.llms.qwen_vl import QwenVL, image_block, zoom_tool
from qwen_vl.errors import ConfigurationError, MediaNotFoundError
from qwen_vl.grounding.zoom import ZOOM_DESCRIPTION, ZoomArguments
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeLlm = Callable[..., QwenVL]
ARGUMENTS: dict[str, Any] = {"bbox_2d": [250, 200, 500, 400], "label": "eye", "img_idx": 0}


def large() -> bytes:
    image = Image.new("RGB", (4_000, 3_000), "white")
    image.paste("red", (1_000, 600, 2_000, 1_200))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def zooming(call_id: str = "a", **arguments: Any) -> ScriptedAnswer:
    values = {**ARGUMENTS, **arguments}
    return ScriptedAnswer(tool_calls=(ToolCall("image_zoom_in_tool", values, id=call_id),))


async def run(agent: FunctionAgent, question: ChatMessage, **options: Any) -> list[Any]:
    handler = agent.run(user_msg=question, **options)
    outputs = [
        event.tool_output
        async for event in handler.stream_events()
        if isinstance(event, ToolCallResult)
    ]
    return [*outputs, await handler]


@pytest.mark.parametrize("streaming", [False, True])
async def test_agent_zooms_in_on_the_conversations_images(
    streaming: bool, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    """First the question's image, then the crop itself; the schema is that of the training."""
    qwen_vl_sandbox.script(zooming(), zooming("b", img_idx=1, bbox_2d=[0, 0, 500, 500]))
    agent = FunctionAgent(llm=llm, tools=[zoom_tool(llm)], streaming=streaming)
    question = ChatMessage([image_block(large()), TextBlock(text="What is red?")])
    first, second, answer = await run(agent, question)

    text, image = first.blocks
    assert text.text == "eye: pixels [1000, 600, 2000, 1200] of image 0."
    assert isinstance(image, ImageBlock)
    with Image.open(image.resolve_image()) as crop:
        assert crop.convert("RGB").getextrema() == ((255, 255), (0, 0), (0, 0))
    assert second.blocks[0].text == "eye: pixels [0, 0, 496, 304] of image 1."
    assert "3 images" in str(answer)

    (tool,) = qwen_vl_sandbox.last_request.json["tools"]
    assert tool == {
        "type": "function",
        "function": {
            "name": "image_zoom_in_tool",
            "description": ZOOM_DESCRIPTION,
            # Which is compared with its source in tests/core/grounding/test_zoom.py.
            "parameters": ZoomArguments.model_json_schema(),
        },
    }


async def test_mistakes_come_back_in_words(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(zooming(img_idx=1), zooming("b", bbox_2d=[900, 600, 1_900, 1_000]))
    agent = FunctionAgent(llm=llm, tools=[zoom_tool(llm)])
    question = ChatMessage([image_block(CHELSEA), TextBlock(text="Look closer.")])
    first, second, _ = await run(agent, question)

    assert (first.is_error, second.is_error) == (True, True)
    assert "There is one image, with img_idx 0." in first.content
    assert "from 0 to 1000" in second.content


async def test_memory_of_an_agent_counts_on(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    agent, memory = (
        FunctionAgent(llm=llm, tools=[zoom_tool(llm)]),
        ChatMemoryBuffer.from_defaults(token_limit=100_000),
    )
    await run(agent, ChatMessage([image_block(CHELSEA), TextBlock(text="Hi")]), memory=memory)
    qwen_vl_sandbox.script(zooming(img_idx=1))
    question = ChatMessage([image_block(large()), TextBlock(text="Look closer at the second.")])
    output, _ = await run(agent, question, memory=memory)
    assert output.blocks[0].text == "eye: pixels [1000, 600, 2000, 1200] of image 1."


async def test_images_that_are_given_need_no_agent(llm: QwenVL) -> None:
    tool = zoom_tool(llm, [CHELSEA, large()])
    for output in (
        tool.call(**{**ARGUMENTS, "img_idx": 1}),
        await tool.acall(**{**ARGUMENTS, "img_idx": 1}),
    ):
        assert "[1000, 600, 2000, 1200]" in output.content
    with pytest.raises(MediaNotFoundError, match="img_idx from 0 to 1"):
        tool.call(**{**ARGUMENTS, "img_idx": 2})


def test_other_llms_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Pass a QwenVL"):
        zoom_tool(MockLLM())  # type: ignore[arg-type]  # That is what is tested.
