"""Answers that follow a pydantic class, with images, streamed and not, sync and async."""

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, TextBlock
from llama_index.core.output_parsers import PydanticOutputParser
from llama_index.core.program import FunctionCallingProgram, MultiModalLLMCompletionProgram
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field

from llama_index.llms.qwen_vl import QwenVL, image_block
from qwen_vl.errors import AnswerFormatError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall


class Animal(BaseModel):
    """What is seen."""

    name: str = Field(description="Its species.")
    legs: int = 4


MakeLlm = Callable[..., QwenVL]
PROMPT = PromptTemplate("Which animal lives in the {place}?")
IMAGE = [image_block(CHELSEA), TextBlock(text="Which animal is this?")]
HOW = ("sync", "async", "stream", "async stream")
NAMED = {"type": "function", "function": {"name": "Animal"}}

# model, what holds it to the class
MODELS = [
    ("qwen3-vl-plus", "tool_choice"),
    ("qwen3-vl-8b-instruct", "tool_choice"),
    ("qwen3.8-flash", "json_schema"),
    ("qwen3.6-plus", "tool_choice"),
    ("qwen2.5-vl-7b-instruct", "json_object"),
]


async def predict(llm: QwenVL, how: str, **options: Any) -> Any:
    match how:
        case "sync":
            return llm.structured_predict(Animal, PROMPT, place="wood", **options)
        case "async":
            return await llm.astructured_predict(Animal, PROMPT, place="wood", **options)
        case "stream":
            return list(llm.stream_structured_predict(Animal, PROMPT, place="wood", **options))[-1]
    stream = await llm.astream_structured_predict(Animal, PROMPT, place="wood", **options)
    return [item async for item in stream][-1]


@pytest.mark.openai_wire
@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(("model", "method"), MODELS)
async def test_each_model_is_held_to_the_class_as_it_can_be(
    model: str, method: str, how: str, make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    llm = make_llm(model, system_prompt="Be exact.")
    before = llm.model_dump()
    assert isinstance(await predict(llm, how), Animal)

    body = qwen_vl_sandbox.last_request.json
    if method == "tool_choice":
        assert body["tool_choice"] == NAMED
        (tool,) = body["tools"]
        assert tool["function"]["parameters"]["properties"].keys() == {"name", "legs"}
    else:
        assert body["response_format"]["type"] == method
    # Core's own program forgets it where it is asynchronous.
    assert body["messages"][0]["role"] == "system"
    assert body["messages"][0]["content"].startswith("Be exact.")
    assert "Which animal lives in the wood?" in str(body["messages"][1])
    assert llm.model_dump() == before


@pytest.mark.openai_wire
@pytest.mark.parametrize("how", HOW)
async def test_thinking_is_off_only_where_the_service_refuses_it(
    how: str, make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    await predict(make_llm("qwen3.6-plus"), how)
    assert qwen_vl_sandbox.last_request.json["enable_thinking"] is False
    await predict(make_llm("qwen3.8-flash"), how)
    assert "enable_thinking" not in qwen_vl_sandbox.last_request.json


async def test_model_that_always_thinks_is_asked_and_not_forced(
    make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    llm = make_llm("qwen3.8-2.4t-a95b")
    qwen_vl_sandbox.script("A fox.")
    with (
        pytest.warns(UserWarning, match="always thinks"),
        pytest.raises(AnswerFormatError, match="with text") as caught,
    ):
        await predict(llm, "sync")
    assert caught.value.text == "A fox."
    assert qwen_vl_sandbox.last_request.json["tool_choice"] == "auto"


async def test_picture_and_structured_llm(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    structured = llm.as_structured_llm(Animal)
    message = ChatMessage(IMAGE)
    assert isinstance(structured.chat([message]).raw, Animal)
    assert isinstance((await structured.achat([message])).raw, Animal)
    *_, last = [item async for item in await structured.astream_chat([message])]
    assert isinstance(last.raw, Animal)
    for request in qwen_vl_sandbox.requests:
        part, question = request.json["messages"][0]["content"]
        assert part["image_url"]["url"].startswith("data:image/png;base64,iVBOR")
        assert question == {"type": "text", "text": "Which animal is this?"}


def test_structured_llm_streams(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    call = ToolCall("Animal", {"name": "a cat that sleeps in the sun", "legs": 4})
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    structured = llm.as_structured_llm(Animal)
    names = [
        getattr(response.raw, "name", None) or ""
        for response in structured.stream_chat([ChatMessage(IMAGE)])
    ]
    assert names[-1] == "a cat that sleeps in the sun"
    assert all(names[-1].startswith(name) for name in names)
    assert len(set(names)) > 2


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"legs": 4}, "name: Field required"), ({"name": "cat", "legs": "many"}, "legs: ")],
)
async def test_answer_that_does_not_make_the_class(
    arguments: dict[str, Any], said: str, how: str, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("Animal", arguments),)))
    with pytest.raises(AnswerFormatError, match=said) as caught:
        await predict(llm, how)
    assert not isinstance(caught.value, ValueError)


@pytest.mark.parametrize("how", HOW)
async def test_json_that_is_none(how: str, make_llm: MakeLlm, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script("A cat.")
    with pytest.raises(AnswerFormatError, match="A cat"):
        await predict(make_llm("qwen3.8-flash"), how)


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    "text",
    [
        'Here it is: {"name": "cat", "legs": 4}.',
        '```json\n{"name": "cat", "legs": 4}\n```',
        '{"name": "cat", "legs": 4}\n\nAnything else?',
    ],
)
async def test_json_with_something_around_it(
    text: str, make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(text)
    llm = make_llm("qwen3.7-plus", enable_thinking=False)
    assert await predict(llm, "sync") == Animal(name="cat", legs=4)


async def test_options_of_the_call(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    for how in HOW:
        await predict(llm, how, llm_kwargs={"temperature": 0.5, "tool_required": True})
        assert qwen_vl_sandbox.last_request.json["temperature"] == 0.5


@pytest.mark.openai_wire
def test_model_of_the_call(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    llm.structured_predict(Animal, PROMPT, {"model": "qwen3.8-flash"}, place="wood")
    assert qwen_vl_sandbox.last_request.json["response_format"]["type"] == "json_schema"


def test_prompt_with_a_picture(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    prompt = ChatPromptTemplate([ChatMessage(IMAGE)])
    assert isinstance(llm.structured_predict(Animal, prompt), Animal)
    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"][0]["type"] == "image_url"


def test_program_of_the_user_s_choice(make_llm: MakeLlm, qwen_vl_sandbox: Sandbox) -> None:
    by_tool = make_llm("qwen3.8-flash", pydantic_program_mode=PydanticProgramMode.FUNCTION)
    assert isinstance(by_tool.structured_predict(Animal, PROMPT, place="wood"), Animal)
    assert qwen_vl_sandbox.last_request.json["tool_choice"] == NAMED

    by_words = make_llm(pydantic_program_mode=PydanticProgramMode.LLM)
    qwen_vl_sandbox.script('{"name": "fox", "legs": 4}')
    assert by_words.structured_predict(Animal, PROMPT, place="wood").name == "fox"
    assert "tools" not in qwen_vl_sandbox.last_request.json


def test_programs_of_core(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    program = FunctionCallingProgram.from_defaults(Animal, prompt=PROMPT, llm=llm)
    assert isinstance(program(place="wood"), Animal)
    assert qwen_vl_sandbox.last_request.json["tool_choice"] == "required"

    qwen_vl_sandbox.script('{"name": "fox", "legs": 4}')
    old = MultiModalLLMCompletionProgram.from_defaults(
        output_parser=PydanticOutputParser(Animal),
        prompt=PROMPT,
        multi_modal_llm=llm,
        image_documents=[IMAGE[0]],
    )
    assert old(place="wood").name == "fox"  # type: ignore[attr-defined]  # It is an Animal.
    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"][0]["type"] == "image_url"


async def test_program_in_words_is_streamed_and_asynchronous(
    make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    by_words = make_llm(pydantic_program_mode=PydanticProgramMode.LLM)
    qwen_vl_sandbox.script(*['{"name": "fox", "legs": 4}'] * 3)

    made = await by_words.astructured_predict(Animal, PROMPT, place="wood")
    streamed = list(by_words.stream_structured_predict(Animal, PROMPT, place="wood"))
    responses = await by_words.astream_structured_predict(Animal, PROMPT, place="wood")
    later = [partial async for partial in responses]

    fox = Animal(name="fox", legs=4)
    assert (made, streamed[-1], later[-1]) == (fox, fox, fox)
    assert all("tools" not in request.json for request in qwen_vl_sandbox.requests)
