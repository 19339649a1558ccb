"""Many inputs of a model, or of a chain around one, answered by batch files."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from PIL import Image
from pydantic import BaseModel

from langchain_qwen_vl import ChatQwenVL, batch_job
from qwen_vl.errors import ConfigurationError
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

pytestmark = pytest.mark.openai_wire


class Animal(BaseModel):
    """An animal."""

    name: str


@tool
def find_animal(name: str) -> str:
    """Find an animal."""
    return name


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(batch_seconds=0.05) as running:
        yield running


@pytest.fixture
def model(sandbox: Sandbox) -> ChatQwenVL:
    return ChatQwenVL(base_url=sandbox.base_url, api_key="sk-sandbox")


def run(batch: Any) -> list[Any]:
    with batch:
        return list(batch.run(poll=0.02))


def look(image: Any) -> list[HumanMessage]:
    content: Any = [{"type": "image", "image": image}, {"type": "text", "text": "What is this?"}]
    return [HumanMessage(content)]


def test_messages_come_with_their_usage(model: ChatQwenVL, tmp_path: Path) -> None:
    images = [Image.new("RGB", (64, 64), color) for color in ("red", "green", "blue")]

    outputs = run(model.batch_job([look(image) for image in images], tmp_path / "job"))

    assert [output.number for output in outputs] == [0, 1, 2]
    for output in outputs:
        message = output.output
        assert isinstance(message, AIMessage)
        assert "PNG 64x64" in str(message.content)
        assert message.usage_metadata is not None
        assert message.usage_metadata["input_tokens"] > 0
        assert message.response_metadata["model_name"] == "qwen3-vl-plus"


def test_a_program_that_is_run_again_goes_on(
    model: ChatQwenVL, tmp_path: Path, sandbox: Sandbox
) -> None:
    inputs = [look(Image.new("RGB", (64, 64), "red")), "Hello"]
    with model.batch_job(inputs, tmp_path / "job") as batch:
        batch.job.submit()

    outputs = run(model.batch_job(inputs, tmp_path / "job"))

    assert all(output.output for output in outputs)
    assert len(sandbox.batches) == 1


@pytest.mark.parametrize("others", [["Hello"], ["Hello", "Bye"], ["Hello", "Good-bye", "More"]])
def test_a_folder_with_other_inputs_is_refused(
    model: ChatQwenVL, tmp_path: Path, others: list[str]
) -> None:
    model.batch_job(["Hello", "Good-bye"], tmp_path / "job").close()

    with pytest.raises(ConfigurationError, match="other inputs"):
        model.batch_job(others, tmp_path / "job")
    with pytest.raises(ConfigurationError, match="input 0 differs"):
        batch_job(model.bind(seed=7), ["Hello", "Good-bye"], tmp_path / "job")


def test_tools(model: ChatQwenVL, tmp_path: Path, sandbox: Sandbox) -> None:
    sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("find_animal", {"name": "cat"}),)))

    (output,) = run(batch_job(model.bind_tools([find_animal]), ["Find a cat."], tmp_path / "job"))

    assert [call["args"] for call in output.output.tool_calls] == [{"name": "cat"}]


@pytest.mark.parametrize("include_raw", [False, True])
def test_structured_output(
    model: ChatQwenVL, tmp_path: Path, sandbox: Sandbox, include_raw: bool
) -> None:
    sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("Animal", {"name": "cat"}),)))
    structured = model.with_structured_output(Animal, include_raw=include_raw)

    (output,) = run(batch_job(structured, ["Name one."], tmp_path / "job"))

    found = output.output["parsed"] if include_raw else output.output
    assert found == Animal(name="cat")


def test_an_answer_that_the_parser_refuses_is_an_error_of_its_input(
    model: ChatQwenVL, tmp_path: Path, sandbox: Sandbox
) -> None:
    for answer in [ScriptedAnswer(text="A cat.")] * 2:
        sandbox.script(answer)
    structured = model.with_structured_output(Animal)

    outputs = run(batch_job(structured, ["Name one.", "Another."], tmp_path / "job"))

    for output in outputs:
        assert output.output is None
        assert output.error_code == "OutputParserException"
        assert output.reply is not None
        assert output.reply.text == "A cat."


def test_a_chain(model: ChatQwenVL, tmp_path: Path) -> None:
    prompt = ChatPromptTemplate.from_messages([("user", "Say {word}")])
    chain = prompt | model.bind(max_tokens=50) | StrOutputParser() | RunnableLambda(str.upper)

    outputs = run(batch_job(chain, [{"word": "one"}, {"word": "two"}], tmp_path / "job"))

    assert ['"SAY ONE"' in outputs[0].output, '"SAY TWO"' in outputs[1].output] == [True, True]


def test_a_chain_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="lacks a ChatQwenVL among its steps"):
        batch_job(RunnableLambda(str.upper) | StrOutputParser(), ["a"], tmp_path / "job")


def test_failures_stand_beside_answers(model: ChatQwenVL, tmp_path: Path, sandbox: Sandbox) -> None:
    sandbox.fail_batch(failed_lines=1, status=400, code="x", message="No.")

    first, second = run(model.batch_job(["One", "Two"], tmp_path / "job"))

    assert (first.output, first.error_code, first.error_message) == (None, "x", "No.")
    assert second.output.content
