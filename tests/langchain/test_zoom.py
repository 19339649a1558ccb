"""`image_zoom_in_tool` in LangChain's own agent."""

import base64
import io
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image

from langchain_qwen_vl import ChatQwenVL, zoom_tool
from qwen_vl.errors import ConfigurationError
from qwen_vl.grounding.zoom import Crop
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

# QwenLM/Qwen-Agent, qwen_agent/tools/image_zoom_in_qwen3vl.py, lines 37-62.
BOX = {
    "type": "array",
    "items": {"type": "number"},
    "minItems": 4,
    "maxItems": 4,
    "description": (
        "The bounding box of the region to zoom in, as [x1, y1, x2, y2], where (x1, y1) is the "
        "top-left corner and (x2, y2) is the bottom-right corner"
    ),
}
TRAINED = {
    "type": "function",
    "function": {
        "name": "image_zoom_in_tool",
        "description": (
            "Zoom in on a specific region of an image by cropping it based on a bounding box "
            "(bbox) and an optional object label"
        ),
        "parameters": {
            "type": "object",
            "properties": {
                "bbox_2d": BOX,
                "label": {
                    "type": "string",
                    "description": "The name or label of the object in the specified bounding box",
                },
                "img_idx": {
                    "type": "number",
                    "description": "The index of the zoomed-in image (starting from 0)",
                },
            },
            "required": ["bbox_2d", "label", "img_idx"],
        },
    },
}
ARGUMENTS: dict[str, Any] = {"bbox_2d": [250, 200, 500, 400], "label": "eye", "img_idx": 0}


def large() -> Image.Image:
    """4,000 pixels wide, with a red part that is a sixteenth of it."""
    image = Image.new("RGB", (4_000, 3_000), "white")
    image.paste("red", (1_000, 600, 2_000, 1_200))
    return image


def zooming(call_id: str = "a", **arguments: Any) -> ScriptedAnswer:
    values = {**ARGUMENTS, **arguments}
    return ScriptedAnswer(tool_calls=(ToolCall("image_zoom_in_tool", values, id=call_id),))


def shown(message: ToolMessage) -> Image.Image:
    blocks: Any = message.content
    return Image.open(io.BytesIO(base64.b64decode(blocks[1]["base64"]))).convert("RGB")


@pytest.mark.parametrize("given", [False, True])
async def test_schema_on_the_wire_is_that_of_the_training(
    given: bool, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    agent: Any = create_agent(chat, [zoom_tool(chat, [CHELSEA] if given else None)])
    await agent.ainvoke({"messages": [HumanMessage("Hello")]})
    assert qwen_vl_sandbox.last_request.json["tools"] == [TRAINED]


@pytest.mark.parametrize("streaming", [False, True])
def test_agent_zooms_in_on_the_conversations_images(
    streaming: bool, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    """First the question's image, then the crop itself, by the pixels of the original."""
    qwen_vl_sandbox.script(zooming(), zooming("b", img_idx=1, bbox_2d=[0, 0, 500, 500]))
    agent: Any = create_agent(chat, [zoom_tool(chat)])
    question = HumanMessage([{"type": "image", "image": large()}, "What is red?"])
    if streaming:
        steps = agent.stream({"messages": [question]}, stream_mode="values")
        messages = list(steps)[-1]["messages"]
    else:
        messages = agent.invoke({"messages": [question]})["messages"]

    first, second = (message for message in messages if isinstance(message, ToolMessage))
    assert isinstance(first.artifact, Crop)
    assert first.artifact.box == (1_000, 600, 2_000, 1_200)
    assert shown(first).getextrema() == ((255, 255), (0, 0), (0, 0))
    assert second.artifact.box == (0, 0, 496, 304)
    content: Any = first.content
    assert content[0]["text"] == "eye: pixels [1000, 600, 2000, 1200] of image 0."
    assert "3 images" in messages[-1].text


def test_mistakes_come_back_in_words(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    wrong: list[dict[str, Any]] = [
        {"img_idx": 1},
        {"bbox_2d": [900, 600, 1_900, 1_000]},
        {"bbox_2d": [1, 2, 3]},
        {"label": None},
    ]
    qwen_vl_sandbox.script(*(zooming(f"c{at}", **each) for at, each in enumerate(wrong)))
    agent: Any = create_agent(chat, [zoom_tool(chat)])
    question = HumanMessage([{"type": "image", "image": CHELSEA}, "Look closer."])
    messages = agent.invoke({"messages": [question]})["messages"]

    results = [message for message in messages if isinstance(message, ToolMessage)]
    texts = [str(result.content) for result in results]
    assert [result.status for result in results] == ["error"] * 4
    assert "There is one image, with img_idx 0." in texts[0]
    assert "from 0 to 1000" in texts[1]
    assert "Pass bbox_2d as four numbers" in texts[2]
    assert "label: " in texts[3]


def test_memory_of_an_agent_counts_on(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    """The images of earlier turns keep their index."""
    agent: Any = create_agent(chat, [zoom_tool(chat)], checkpointer=InMemorySaver())
    config = {"configurable": {"thread_id": "1"}}
    for image in (CHELSEA, large_png()):
        content = [{"type": "image", "image": image}, "What is this?"]
        agent.invoke({"messages": [HumanMessage(content)]}, config)
    qwen_vl_sandbox.script(zooming(img_idx=1))
    state = agent.invoke({"messages": [HumanMessage("Look closer at the second.")]}, config)

    (result,) = (message for message in state["messages"] if isinstance(message, ToolMessage))
    assert result.artifact.box == (1_000, 600, 2_000, 1_200)


def large_png() -> bytes:
    buffer = io.BytesIO()
    large().save(buffer, "PNG")
    return buffer.getvalue()


def test_images_that_are_given_need_no_agent(chat: ChatQwenVL) -> None:
    tool: BaseTool = zoom_tool(chat, [CHELSEA, large()])
    call = {"name": tool.name, "args": {**ARGUMENTS, "img_idx": 1}, "id": "a", "type": "tool_call"}
    assert tool.invoke(call).artifact.box == (1_000, 600, 2_000, 1_200)


def test_other_models_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="Pass a ChatQwenVL"):
        zoom_tool(FakeListChatModel(responses=[]))
