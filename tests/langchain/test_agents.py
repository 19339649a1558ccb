"""Agents whose tools return images and videos: every hop is valid for the strict sandbox."""

import base64
import io
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from PIL import Image
from pydantic import BaseModel

from langchain_qwen_vl import ChatQwenVL, frames_block, video_block
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeChat = Callable[..., ChatQwenVL]


def encoded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@tool
def zoom(left: int, top: int, right: int, bottom: int) -> list[dict[str, Any]]:
    """Cut out a part of the image, by its corners in pixels, and look at it."""
    with Image.open(CHELSEA) as image:
        cut = image.crop((left, top, right, bottom))
    return [
        {"type": "text", "text": f"The part from {left},{top} to {right},{bottom}."},
        {"type": "image", "base64": encoded(cut), "mime_type": "image/png"},
    ]


@tool
def watch(start: float, end: float) -> list[dict[str, Any]]:
    """Look at a time span of the video, in seconds."""
    with Image.open(COFFEE) as image:
        frames = [image.crop((0, 0, 100 + at, 100)) for at in range(4)]
    return [frames_block(frames, fps=4 / (end - start))]


@tool
def fetch_clip() -> list[dict[str, Any]]:
    """Fetch the video."""
    return [video_block(BIG_BUCK_BUNNY.read_bytes(), fps=1)]


def zoom_call(call_id: str, right: int = 200) -> ToolCall:
    corners = {"left": 0, "top": 0, "right": right, "bottom": 100}
    return ToolCall("zoom", corners, id=call_id)


QUESTION = HumanMessage([{"type": "image", "image": CHELSEA}, "What is on the left?"])


def parts(message: dict[str, Any]) -> list[Any]:
    """The types of a message's parts, or its text."""
    content = message["content"]
    return [part["type"] for part in content] if isinstance(content, list) else [content]


def test_agent_looks_again_through_its_tool(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(zoom_call("a"),)))
    result = create_agent(chat, [zoom]).invoke({"messages": [QUESTION]})

    assert "PNG 200x100" in result["messages"][-1].text
    first, second = (request.json["messages"] for request in qwen_vl_sandbox.requests)
    assert [(m["role"], parts(m)) for m in first] == [("user", ["image_url", "text"])]
    note = "The pictures or videos of this result follow in the next message (1)."
    assert [(m["role"], parts(m)) for m in second] == [
        ("user", ["image_url", "text"]),
        ("assistant", [""]),
        ("tool", [f"The part from 0,0 to 200,100.\n{note}"]),
        ("user", ["text", "image_url"]),
    ]
    assert second[3]["content"][0]["text"] == "From tool call a:"
    assert second[0] == first[0]


def test_parallel_calls_stay_together(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(zoom_call("a"), zoom_call("b", right=300))))
    result = create_agent(chat, [zoom]).invoke({"messages": [QUESTION]})

    sent = qwen_vl_sandbox.last_request.json["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "tool", "user"]
    assert [m["tool_call_id"] for m in sent[2:4]] == ["a", "b"]
    assert parts(sent[4]) == ["text", "image_url", "text", "image_url"]
    answer = result["messages"][-1].text
    assert answer.index("PNG 200x100") < answer.index("PNG 300x100")


async def test_streamed_agent_sends_what_the_other_sends(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    bodies = []
    for streamed in (False, True):
        qwen_vl_sandbox.clear()
        qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(zoom_call("a"), zoom_call("b"))))
        agent = create_agent(chat, [zoom])
        if streamed:
            tokens = [
                token.text
                async for token, _ in agent.astream(
                    {"messages": [QUESTION]}, stream_mode="messages"
                )
                if isinstance(token, AIMessage)
            ]
            assert "PNG 200x100" in "".join(tokens)
            assert sum(bool(token) for token in tokens) > 3
        else:
            await agent.ainvoke({"messages": [QUESTION]})
        bodies.append([request.json["messages"] for request in qwen_vl_sandbox.requests])

    assert bodies[0] == bodies[1]
    assert all(request.json["stream"] for request in qwen_vl_sandbox.requests)


@pytest.fixture(params=["memory", "sqlite"])
def saver(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield InMemorySaver()
        return
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    yield SqliteSaver(connection)
    connection.close()


def test_pictures_survive_a_checkpointer(
    saver: Any, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(zoom_call("a"), zoom_call("b"))))
    config: Any = {"configurable": {"thread_id": "1"}}
    create_agent(chat, [zoom], checkpointer=saver).invoke({"messages": [QUESTION]}, config)
    before = qwen_vl_sandbox.last_request.json["messages"]

    # Another agent, which knows the thread by the checkpointer alone.
    again = create_agent(chat, [zoom], checkpointer=saver)
    again.invoke({"messages": [HumanMessage("And on the right?")]}, config)
    after = qwen_vl_sandbox.last_request.json["messages"]

    assert after[: len(before)] == before
    assert [m["role"] for m in after[len(before) :]] == ["assistant", "user"]


def test_video_of_a_tool_is_sent_as_frames(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    call = ToolCall("watch", {"start": 1, "end": 3}, id="a")
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    question = HumanMessage([{"type": "video", "video": BIG_BUCK_BUNNY}, "What comes then?"])
    result = create_agent(chat, [watch]).invoke({"messages": [question]})

    media = qwen_vl_sandbox.last_request.json["messages"][-1]["content"][1]
    assert media["type"] == "video"
    assert len(media["video"]) == 4
    assert media["fps"] == 2
    assert "video" in result["messages"][-1].text


def test_video_file_of_a_tool_is_sent_as_a_video(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("fetch_clip", {}, id="a"),)))
    result = create_agent(chat, [fetch_clip]).invoke({"messages": [HumanMessage("Look.")]})

    media = qwen_vl_sandbox.last_request.json["messages"][-1]["content"][1]
    assert (media["type"], media["fps"]) == ("video_url", 1)
    assert "MP4 1280x720" in result["messages"][-1].text


class Mcp:
    """The shape of an MCP server's `ImageContent`."""

    type = "image"
    mimeType = "image/png"  # noqa: N815 - MCP's own spelling.

    def __init__(self, data: str) -> None:
        self.data = data


PNG = base64.b64encode(CHELSEA.read_bytes()).decode()
PNG_PART = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}


@pytest.mark.parametrize(
    "message",
    [
        ToolMessage([{"type": "image", "base64": PNG, "mime_type": "image/png"}], tool_call_id="a"),
        ToolMessage([{"type": "image", "data": PNG, "mimeType": "image/png"}], tool_call_id="a"),
        ToolMessage(
            [{"type": "image_url", "image_url": {"url": PNG_PART["image_url"]["url"]}}],
            tool_call_id="a",
        ),  # type: ignore[index]  # A dict, as it stands above.
        ToolMessage("", tool_call_id="a", artifact=[Mcp(PNG)]),
        ToolMessage("", tool_call_id="a", artifact=Mcp(PNG)),
        ToolMessage(
            "", tool_call_id="a", artifact=[{"type": "image", "data": PNG, "mimeType": "image/png"}]
        ),
        ToolMessage(
            "", tool_call_id="a", artifact={"type": "image", "data": PNG, "mime_type": "image/png"}
        ),
    ],
    ids=[
        "v1",
        "MCP dict",
        "image_url",
        "MCP artifacts",
        "MCP artifact",
        "MCP artifact, dict",
        "snake case",
    ],
)
def test_picture_of_a_tool_is_sent_whatever_its_form(
    message: ToolMessage, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    call = {"name": "look", "args": {}, "id": "a", "type": "tool_call"}
    chat.invoke([HumanMessage("Look."), AIMessage("", tool_calls=[call]), message])
    sent = qwen_vl_sandbox.last_request.json["messages"]

    assert isinstance(sent[2]["content"], str)
    assert sent[2]["content"]
    assert sent[3]["content"] == [{"type": "text", "text": "From tool call a:"}, PNG_PART]


def test_artifact_that_is_no_picture_stays_with_the_program(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    call = {"name": "look", "args": {}, "id": "a", "type": "tool_call"}
    message = ToolMessage("42", tool_call_id="a", artifact={"secret": CHELSEA})
    chat.invoke([HumanMessage("Look."), AIMessage("", tool_calls=[call]), message])

    assert qwen_vl_sandbox.last_request.json["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": "42"}
    ]


class Finding(BaseModel):
    """What was found."""

    animal: str


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    ("model", "strategy", "key"),
    [
        ("qwen3-vl-plus", ToolStrategy(Finding), "tool_choice"),
        ("qwen3.8-flash", ToolStrategy(Finding), "tool_choice"),
        ("qwen3.8-flash", ProviderStrategy(Finding), "response_format"),
        ("qwen3.8-flash", Finding, "response_format"),
        ("qwen3-vl-plus", Finding, "tool_choice"),
    ],
    ids=["tool", "tool, thinking", "provider", "by profile: provider", "by profile: tool"],
)
def test_agent_answers_in_a_schema(
    model: str, strategy: Any, key: str, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    agent = create_agent(make_chat(model=model), [], response_format=strategy)
    result = agent.invoke({"messages": [QUESTION]})

    assert isinstance(result["structured_response"], Finding)
    body = qwen_vl_sandbox.requests[0].json
    assert key in body
    if key == "tool_choice" and model == "qwen3.8-flash":
        assert body["enable_thinking"] is False
