"""Classes of every kind that an answer may have to follow."""

import json
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import date
from enum import Enum
from typing import Any, Generic, Literal, TypeVar

import pytest
from llama_index.core.prompts import PromptTemplate
from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import ConfigurationError
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

_T = TypeVar("_T")


class Color(Enum):
    """Of a coat."""

    RED = "red"
    GREY = "gray"


class Animal(BaseModel):
    name: str


class Tree(BaseModel):
    """One that holds itself."""

    value: int
    children: list["Tree"] = Field(default_factory=list)


class Zoo(BaseModel):
    model_config = ConfigDict(title="All the animals of a zoo")

    color: Color
    star: Animal
    animals: list[Animal]
    keeper: str | None = None
    prices: dict[str, float] = Field(default_factory=dict)
    kind: Literal["public", "private"] = "public"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    born: date
    weights: tuple[int, float]
    color: Color
    names: set[str]


class Aliased(BaseModel):
    name: str = Field(alias="theName")


class Box(BaseModel, Generic[_T]):
    held: _T


Long: type[BaseModel] = create_model("Y" * 80, held=(int, ...))

# class, what the model answers, what is made of it
CLASSES: list[tuple[type[BaseModel], dict[str, Any], Any]] = [
    (Tree, {"value": 1, "children": [{"value": 2}]}, [Tree(value=2)]),
    (
        Zoo,
        {"color": "red", "star": {"name": "Leo"}, "animals": [{"name": "Leo"}, {"name": "Kim"}]},
        [Animal(name="Leo"), Animal(name="Kim")],
    ),
    (
        Strict,
        {"born": "2020-02-03", "weights": [1, 2.5], "color": "gray", "names": ["a"]},
        (1, 2.5),
    ),
    (Aliased, {"theName": "Leo"}, "Leo"),
    (Box[int], {"held": 3}, 3),
    (Long, {"held": 3}, 3),
]
READ: dict[type[BaseModel], str] = {
    Tree: "children",
    Zoo: "animals",
    Strict: "weights",
    Aliased: "name",
}
PROMPT = PromptTemplate("Look.")
METHODS = {"qwen3-vl-plus": "tools", "qwen3.8-flash": "json_schema", "qwen2.5-vl-7b-instruct": ""}
HOW = ("sync", "async", "stream", "async stream")


async def predict(llm: QwenVL, how: str, made: type[BaseModel]) -> Any:
    match how:
        case "sync":
            return llm.structured_predict(made, PROMPT)
        case "async":
            return await llm.astructured_predict(made, PROMPT)
        case "stream":
            stream: Generator[Any, None, None] = llm.stream_structured_predict(made, PROMPT)
            return list(stream)[-1]
    pieces: AsyncGenerator[Any, None] = await llm.astream_structured_predict(made, PROMPT)
    return [piece async for piece in pieces][-1]


def script(sandbox: Sandbox, method: str, answer: dict[str, Any]) -> None:
    if method == "tools":
        sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("any", answer),)))
    else:
        sandbox.script(json.dumps(answer))


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("model", METHODS)
@pytest.mark.parametrize(("made", "answer", "held"), CLASSES, ids=lambda case: str(case)[:40])
async def test_class_is_asked_for_and_made(
    made: type[BaseModel],
    answer: dict[str, Any],
    held: Any,
    model: str,
    how: str,
    protocol: str,
    make_llm: Callable[..., QwenVL],
    qwen_vl_sandbox: Sandbox,
) -> None:
    method = METHODS[model]
    if protocol == "native" and method == "json_schema":
        # Which its page does not list.
        method = "tools"
    script(qwen_vl_sandbox, method, answer)
    found = await predict(make_llm(model), how, made)
    assert type(found) is made
    assert getattr(found, READ.get(made, "held")) == held

    body = qwen_vl_sandbox.last_request.json
    if method == "tools":
        schema = body["tools"][0]["function"]["parameters"]
    elif method == "json_schema":
        schema = body["response_format"]["json_schema"]["schema"]
    else:
        return
    assert schema["type"] == "object"
    assert schema["properties"].keys() >= answer.keys()


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("model", METHODS)
async def test_class_that_is_no_object(
    model: str, how: str, make_llm: Callable[..., QwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    class Animals(RootModel[list[Animal]]):
        pass

    with pytest.raises(ConfigurationError, match="'Animals' describes a value of the type 'array'"):
        await predict(make_llm(model), how, Animals)
    assert not qwen_vl_sandbox.requests


@pytest.mark.openai_wire
@pytest.mark.parametrize("how", HOW)
async def test_word_of_the_user_on_whether_the_model_calls_tools(
    how: str, make_llm: Callable[..., QwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    without = make_llm("qwen3-vl-plus", is_function_calling_model=False)
    assert isinstance(await predict(without, how, Animal), Animal)
    assert qwen_vl_sandbox.last_request.json["response_format"] == {"type": "json_object"}
    assert "tools" not in qwen_vl_sandbox.last_request.json

    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("Animal", {"name": "Leo"}),)))
    having = make_llm("qwen3-vl-served-by-us", is_function_calling_model=True)
    assert (await predict(having, how, Animal)).name == "Leo"
    assert "tools" in qwen_vl_sandbox.last_request.json
