"""Many conversations, answered by batch files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool
from PIL import Image
from pydantic import BaseModel

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import ConfigurationError
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

pytestmark = pytest.mark.openai_wire


class Animal(BaseModel):
    """An animal."""

    name: str


def find_animal(name: str) -> str:
    """Find an animal."""
    return name


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(batch_seconds=0.05) as running:
        yield running


@pytest.fixture
def llm(sandbox: Sandbox) -> QwenVL:
    return QwenVL(api_base=sandbox.base_url, api_key="sk-sandbox")


def run(batch: Any) -> list[Any]:
    with batch:
        return list(batch.run(poll=0.02))


def test_responses_come_with_their_usage(llm: QwenVL, tmp_path: Path, sandbox: Sandbox) -> None:
    path = tmp_path / "red.png"
    Image.new("RGB", (64, 64), "red").save(path)
    message = ChatMessage(blocks=[ImageBlock(path=path), TextBlock(text="What is this?")])
    inputs = [[message], [ChatMessage("Hello")]]
    with llm.batch_job(inputs, tmp_path / "job", max_tokens=50) as batch:
        batch.job.submit()

    first, second = run(llm.batch_job(inputs, tmp_path / "job", max_tokens=50))

    assert "PNG 64x64" in first.output.message.content
    assert first.output.additional_kwargs["prompt_tokens"] > 0
    assert '"Hello"' in second.output.message.content
    assert len(sandbox.batches) == 1
    with pytest.raises(ConfigurationError, match="other inputs"):
        llm.batch_job(inputs, tmp_path / "job", max_tokens=51)


def test_tools(llm: QwenVL, tmp_path: Path, sandbox: Sandbox) -> None:
    sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("find_animal", {"name": "cat"}),)))
    tools = [FunctionTool.from_defaults(find_animal)]

    (found,) = run(llm.batch_job([[ChatMessage("Find.")]], tmp_path / "job", tools=tools))

    (call,) = llm.get_tool_calls_from_response(found.output)
    assert (call.tool_name, call.tool_kwargs) == ("find_animal", {"name": "cat"})


def test_a_class(llm: QwenVL, tmp_path: Path, sandbox: Sandbox) -> None:
    for answer in [
        ScriptedAnswer(tool_calls=(ToolCall("Animal", {"name": "cat"}),)),
        ScriptedAnswer(text="A cat."),
    ]:
        sandbox.script(answer)
    inputs = [[ChatMessage("Name one.")], [ChatMessage("Another.")]]

    outputs = run(llm.batch_job(inputs, tmp_path / "job", output_cls=Animal))

    assert [output.output for output in outputs if output.output] == [Animal(name="cat")]
    assert [output.error_code for output in outputs if not output.output] == ["AnswerFormatError"]
