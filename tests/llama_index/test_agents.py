"""Agents that see: images in the question, images and videos from tools, and a memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import (
    AgentStream,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, VideoBlock
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.tools import FunctionTool

from llama_index.llms.qwen_vl import QwenVL, frames_block, image_block, video_block
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeLlm = Callable[..., QwenVL]
QUESTION = ChatMessage([image_block(CHELSEA), TextBlock(text="What is on the left?")])
FRAMES = [f"https://example.com/{number}.jpg" for number in range(4)]


def zoom(left: int) -> list[Any]:
    """Cut out a part of the image."""
    return [TextBlock(text=f"From {left}."), image_block(COFFEE, max_pixels=655_360)]


def look(at: str) -> ImageBlock:
    """Look at something."""
    return ImageBlock(url=f"https://example.com/{at}.png")


def watch() -> list[Any]:
    """Watch the video."""
    return [TextBlock(text="Here."), ImageBlock(path=CHELSEA), video_block(BIG_BUCK_BUNNY, fps=0.5)]


def sample() -> list[Any]:
    """Take frames of the video."""
    return [frames_block(FRAMES, fps=2)]


def both(name: str, *arguments: dict[str, Any]) -> ScriptedAnswer:
    calls = tuple(
        ToolCall(name, values, id=call_id) for call_id, values in zip("ab", arguments, strict=False)
    )
    return ScriptedAnswer(tool_calls=calls)


def kinds(message: dict[str, Any]) -> Any:
    content = message["content"]
    return content if isinstance(content, str) else [part["type"] for part in content]


NOTE = "The pictures or videos of this result follow in the next message"


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("workflow", [False, True])
async def test_agent_looks_again(
    streaming: bool, workflow: bool, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(both("zoom", {"left": 1}, {"left": 2}))
    agent = FunctionAgent(
        name="eye", description="Sees.", tools=[zoom], llm=llm, streaming=streaming
    )
    runner = AgentWorkflow(agents=[agent]) if workflow else agent
    answer = await runner.run(user_msg=QUESTION)

    assert "3 images" in str(answer)
    first, second = (request.json for request in qwen_vl_sandbox.requests)
    assert bool(first.get("stream")) is streaming
    roles = [message["role"] for message in second["messages"]]
    assert roles == ["user", "assistant", "tool", "tool", "user"]
    # Core runs the tools at the same time, and tells of each when it is done.
    results = sorted(second["messages"][2:4], key=lambda message: message["tool_call_id"])
    assert results == [
        {"role": "tool", "tool_call_id": call_id, "content": f"From {left}.\n{NOTE} (1)."}
        for call_id, left in (("a", 1), ("b", 2))
    ]
    assert kinds(second["messages"][4]) == ["text", "image_url", "text", "image_url"]
    assert [call["id"] for call in second["messages"][1]["tool_calls"]] == ["a", "b"]
    assert second["messages"][4]["content"][1]["max_pixels"] == 655_360
    assert second["messages"][0] == first["messages"][0]


@pytest.mark.parametrize(
    ("tool", "arguments", "sent"),
    [
        (
            look,
            {"at": "cat"},
            [{"type": "image_url", "image_url": {"url": "https://example.com/cat.png"}}],
        ),
        (sample, {}, [{"type": "video", "video": FRAMES, "fps": 2}]),
    ],
    ids=["a block alone", "frames"],
)
async def test_what_a_tool_may_return(
    tool: Callable[..., Any],
    arguments: dict[str, Any],
    sent: list[dict[str, Any]],
    llm: QwenVL,
    qwen_vl_sandbox: Sandbox,
) -> None:
    qwen_vl_sandbox.script(both(tool.__name__, arguments))
    await FunctionAgent(tools=[tool], llm=llm).run(user_msg="Look.")
    label, *media = qwen_vl_sandbox.last_request.json["messages"][-1]["content"]
    assert label == {"type": "text", "text": "From tool call a:"}
    assert media == sent


async def test_picture_and_video_of_one_tool(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(both("watch", {}))
    answer = await FunctionAgent(tools=[watch], llm=llm).run(user_msg="Watch.")
    assert "MP4 1280x720" in str(answer)
    _, image, video = qwen_vl_sandbox.last_request.json["messages"][-1]["content"]
    assert (image["type"], video["type"], video["fps"]) == ("image_url", "video_url", 0.5)


async def test_streamed_agent_shows_thinking_and_words(
    make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    thought = ScriptedAnswer(
        reasoning=("I should ", "look closer."),
        tool_calls=(ToolCall("zoom", {"left": 1}, id="a"),),
    )
    qwen_vl_sandbox.script(thought, ScriptedAnswer(text=("A ", "cup.")))
    handler = FunctionAgent(tools=[zoom], llm=make_llm("qwen3.8-flash")).run(user_msg=QUESTION)
    thoughts, words, results = "", "", []
    async for event in handler.stream_events():
        if isinstance(event, AgentStream):
            thoughts += event.thinking_delta or ""
            words += event.delta
        elif isinstance(event, ToolCallResult):
            results.append(event.tool_output.blocks)
    assert (thoughts, words, str(await handler)) == ("I should look closer.", "A cup.", "A cup.")
    assert [block.block_type for block in results[0]] == ["text", "image"]
    assistant = qwen_vl_sandbox.last_request.json["messages"][1]
    # Within one question the service reads what it thought (Function calling page, 2026-07).
    assert assistant["reasoning_content"] == "I should look closer."


@pytest.mark.parametrize("kind", ["sql", "buffer"])
async def test_memory_keeps_what_was_seen(
    kind: str, memory: Memory, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    kept = memory if kind == "sql" else ChatMemoryBuffer.from_defaults(token_limit=100_000)
    agent = FunctionAgent(tools=[watch], llm=llm)
    qwen_vl_sandbox.script(both("watch", {}))
    await agent.run(user_msg=QUESTION, memory=kept)
    before = qwen_vl_sandbox.last_request.json["messages"]

    await agent.run(user_msg="And on the right?", memory=kept)
    after = qwen_vl_sandbox.last_request.json["messages"]
    assert after[: len(before)] == before
    assert [m["role"] for m in after[len(before) :]] == ["assistant", "user"]


async def test_second_agent_takes_over(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    eye = FunctionAgent(
        name="eye", description="Sees.", tools=[zoom], llm=llm, can_handoff_to=["judge"]
    )
    judge = FunctionAgent(name="judge", description="Judges.", tools=[look], llm=llm)
    qwen_vl_sandbox.script(
        both("zoom", {"left": 1}),
        both("handoff", {"to_agent": "judge", "reason": "It is blurred."}),
        "It is a cup.",
    )
    answer = await AgentWorkflow(agents=[eye, judge], root_agent="eye").run(user_msg=QUESTION)
    assert str(answer) == "It is a cup."
    sent = qwen_vl_sandbox.last_request.json["messages"]
    assert sum(len(m["content"]) for m in sent if not isinstance(m["content"], str)) >= 4


@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")
async def test_react_agent_sees_the_question(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script("Thought: I can answer.\nAnswer: A cat.")
    answer = await ReActAgent(tools=[zoom], llm=llm).run(user_msg=QUESTION)
    assert str(answer) == "A cat."
    assert kinds(qwen_vl_sandbox.last_request.json["messages"][-1]) == ["image_url", "text"]


async def test_tool_that_fails_is_told_to_the_model(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    def broken(at: Path) -> None:
        """Look."""
        raise OSError(f"no {at}")

    qwen_vl_sandbox.script(both("broken", {"at": "x"}), "I cannot see it.")
    tool = FunctionTool.from_defaults(broken)
    assert (
        str(await FunctionAgent(tools=[tool], llm=llm).run(user_msg="Look.")) == "I cannot see it."
    )
    assert "no x" in qwen_vl_sandbox.last_request.json["messages"][-1]["content"]


async def test_video_in_the_question(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    question = ChatMessage(
        [VideoBlock(path=BIG_BUCK_BUNNY, fps=1), TextBlock(text="What happens?")]
    )
    answer = await FunctionAgent(tools=[zoom], llm=llm).run(user_msg=question)
    assert "MP4 1280x720" in str(answer)
    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"][0]["fps"] == 1
