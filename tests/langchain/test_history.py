"""Agents and checkpointed threads whose older media is gone, or too much."""

import base64
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from qwen_vl import errors
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeChat = Callable[..., ChatQwenVL]

CONFIG: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 100}


def _screenshot(number: int) -> str:
    noise = random.Random(number).randbytes(64 * 64 * 3)  # noqa: S311 - no secret
    file = io.BytesIO()
    Image.frombytes("RGB", (64, 64), noise).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@tool
def screenshot(step: int) -> list[dict[str, Any]]:
    """Take a screenshot."""
    return [{"type": "image", "base64": _screenshot(step), "mime_type": "image/png"}]


def _script(sandbox: Sandbox, n_steps: int) -> None:
    calls = (ToolCall("screenshot", {"step": number}) for number in range(n_steps))
    sandbox.script(*(ScriptedAnswer(tool_calls=(call,)) for call in calls), "Done.")


def _count_images(request: Any) -> int:
    return str(request.json).count("data:image")


@pytest.mark.parametrize("is_async", [False, True])
async def test_agent_goes_on_when_screenshots_pile_up(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox, *, is_async: bool
) -> None:
    # Five screenshots are too much as they are.
    model = make_chat(max_total_inline_bytes=60_000)
    _script(qwen_vl_sandbox, 12)
    agent = create_agent(model, [screenshot])
    question = {"messages": [("user", "Go.")]}
    answer = await agent.ainvoke(question, CONFIG) if is_async else agent.invoke(question, CONFIG)
    assert answer["messages"][-1].text == "Done."
    assert [_count_images(request) for request in qwen_vl_sandbox.requests] == list(range(13))
    # The one that the model has not seen yet is sent as it was taken.
    assert _screenshot(11) in qwen_vl_sandbox.last_request.body.decode()


def test_agent_keeps_as_many_screenshots_as_it_is_asked_to(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    _script(qwen_vl_sandbox, 9)
    agent = create_agent(make_chat(history_images=2), [screenshot])
    agent.invoke({"messages": [("user", "Go.")]}, CONFIG)
    shown = [_count_images(request) for request in qwen_vl_sandbox.requests]
    # Those that were answered, and the newest.
    assert shown == [0, 1, 2, 3, 4, 3, 4, 3, 4, 3]


def test_tokens_follow_what_is_left_out(make_chat: MakeChat) -> None:
    history: list[Any] = [HumanMessage("Go.")]
    for number in range(6):
        call = {"name": "screenshot", "args": {}, "id": str(number), "type": "tool_call"}
        block = {"type": "image", "base64": _screenshot(number), "mime_type": "image/png"}
        history += [
            AIMessage("", tool_calls=[call]),
            ToolMessage([block], tool_call_id=str(number)),
        ]
    every = make_chat().get_num_tokens_from_messages(history)
    fewer = make_chat(history_images=1).get_num_tokens_from_messages(history)
    assert fewer < every


@pytest.mark.parametrize(("kind", "place"), [("image", ""), ("video", ".video[0]")])
def test_thread_goes_on_when_a_file_is_gone(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox, tmp_path: Path, kind: str, place: str
) -> None:
    qwen_vl_sandbox.script("A cat.", "Brown.", "It is a cat.")
    image = tmp_path / "cat.png"
    image.write_bytes(CHELSEA.read_bytes())
    block = {"type": "image", "image": image}
    if kind == "video":
        block = {"type": "video", "video": [image] * 4}
    agent = create_agent(make_chat(), [], checkpointer=InMemorySaver())
    question = HumanMessage([block, {"type": "text", "text": "What is this?"}])
    agent.invoke({"messages": [question]}, CONFIG)
    image.unlink()

    with pytest.warns(UserWarning, match="The model gets a note in its place"):
        answer = agent.invoke({"messages": [("user", "Which color?")]}, CONFIG)["messages"][-1]
    assert answer.text == "Brown."
    assert answer.response_metadata["replaced_content"] == [
        {
            "where": f"messages[0].content[0]{place}",
            "reason": f"The {kind} cannot be shown: The file is gone.",
        }
    ]
    with pytest.raises(errors.MediaNotFoundError, match=r"messages\[4\]\.content\[0\]"):
        agent.invoke({"messages": [question.model_copy(update={"id": None})]}, CONFIG)


def test_thread_goes_on_when_a_file_object_is_closed(make_chat: MakeChat) -> None:
    file = io.BytesIO(CHELSEA.read_bytes())
    question = HumanMessage([{"type": "image", "image": file}, {"type": "text", "text": "?"}])
    model = make_chat()
    model.invoke([question])
    file.close()
    with pytest.warns(UserWarning, match="The model gets a note in its place"):
        assert model.invoke([question, AIMessage("A cat."), HumanMessage("?")]).text
    with pytest.raises(errors.MediaAccessError, match=r"messages\[0\]\.content\[0\]"):
        model.invoke([question])


def test_thread_goes_on_when_a_url_is_dead(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    dead = {"type": "image", "url": "https://gone.invalid/a.png"}
    history = [HumanMessage([dead]), AIMessage("A cat."), HumanMessage("Which color?")]
    with pytest.warns(UserWarning, match=r"could not download https://gone\.invalid/a\.png"):
        answer = make_chat().invoke(history)
    assert answer.response_metadata["replaced_content"][0]["where"] == "messages[0].content[0]"
    assert "gone.invalid" not in str(qwen_vl_sandbox.last_request.json)
    with pytest.raises(
        errors.InvalidRequestError, match=r"messages\[0\]\.content\[0\], https://gone"
    ):
        make_chat().invoke(history[:1])
