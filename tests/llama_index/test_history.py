"""Agents and memories whose older media is gone, or too much."""

import io
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import DocumentBlock, ImageBlock, TextBlock, VideoBlock
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from PIL import Image

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl import errors
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeLlm = Callable[..., QwenVL]


def _screenshot(step: int) -> list[ImageBlock]:
    """Take a screenshot."""
    noise = random.Random(step).randbytes(64 * 64 * 3)  # noqa: S311 - no secret
    file = io.BytesIO()
    Image.frombytes("RGB", (64, 64), noise).save(file, "PNG")
    return [ImageBlock(image=file.getvalue(), image_mimetype="image/png")]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ({"max_total_inline_bytes": 60_000}, list(range(11))),
        ({"history_images": 3}, [0, 1, 2, 3, 4, 5, 6, 4, 5, 6, 4]),
    ],
)
async def test_agent_goes_on_when_screenshots_pile_up(
    make_llm: MakeLlm, qwen_vl_sandbox: Sandbox, options: dict[str, int], shown: list[int]
) -> None:
    calls = (ToolCall("_screenshot", {"step": number}) for number in range(10))
    qwen_vl_sandbox.script(*(ScriptedAnswer(tool_calls=(call,)) for call in calls), "Done.")
    agent = FunctionAgent(tools=[FunctionTool.from_defaults(_screenshot)], llm=make_llm(**options))
    answer = await agent.run("Go.", max_iterations=30)
    assert str(answer) == "Done."
    counts = [str(request.json).count("data:image") for request in qwen_vl_sandbox.requests]
    assert counts == shown


@pytest.mark.parametrize(
    ("kind", "name"),
    [(ImageBlock, "image"), (VideoBlock, "video"), (DocumentBlock, "PDF document")],
)
async def test_chat_goes_on_when_a_file_is_gone(
    make_llm: MakeLlm, tmp_path: Path, kind: type[ImageBlock], name: str
) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(CHELSEA.read_bytes())
    question = ChatMessage(role="user", blocks=[kind(path=path), TextBlock(text="What is this?")])
    path.unlink()
    history = [
        question,
        ChatMessage(role="assistant", content="A cat."),
        ChatMessage(role="user", content="Which color?"),
    ]
    llm = make_llm()
    with pytest.warns(UserWarning, match="The model gets a note in its place"):
        answer = await llm.achat(history)
    assert answer.additional_kwargs["replaced_content"] == [
        {
            "where": "messages[0].blocks[0]",
            "reason": f"The {name} cannot be shown: The file is gone.",
        }
    ]
    with pytest.raises(errors.MediaNotFoundError, match=r"messages\[0\]\.blocks\[0\]"):
        llm.chat([question])
