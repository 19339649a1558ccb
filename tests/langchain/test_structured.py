"""Structured output: what each method sends for each kind of model, and what comes back."""

from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, Field
from pydantic.v1 import BaseModel as BaseModelV1

from langchain_qwen_vl import ChatQwenVL
from qwen_vl.errors import ConfigurationError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeChat = Callable[..., ChatQwenVL]


class Animal(BaseModel):
    """An animal in an image."""

    name: str = Field(description="What people call it.")
    legs: int = Field(ge=0)


class AnimalV1(BaseModelV1):
    """An animal in an image."""

    name: str
    legs: int


class AnimalDict(TypedDict):
    """An animal in an image."""

    name: Annotated[str, ..., "What people call it."]
    legs: Annotated[int, ..., "How many it has."]


ANIMAL_SCHEMA = {
    "title": "Animal",
    "description": "An animal in an image.",
    "type": "object",
    "properties": {
        "name": {"description": "What people call it.", "type": "string"},
        "legs": {"minimum": 0, "type": "integer"},
    },
    "required": ["name", "legs"],
}
IMAGE = HumanMessage([{"type": "image", "image": CHELSEA}, "Which animal is this?"])

NON_THINKING, HYBRID, THINKING_ONLY = "qwen3-vl-8b-instruct", "qwen3.8-flash", "qwen3.8-2.4t-a95b"


def sent(sandbox: Sandbox) -> dict[str, Any]:
    """The last body without what every request has."""
    plain = {"model", "messages", "stream", "stream_options"}
    return {k: v for k, v in sandbox.last_request.json.items() if k not in plain}


@pytest.mark.openai_wire
@pytest.mark.parametrize("method", ["function_calling", "json_schema", "json_mode"])
@pytest.mark.parametrize("schema", [Animal, AnimalV1, AnimalDict, ANIMAL_SCHEMA])
async def test_answer_is_of_the_schema(schema: Any, method: Any, make_chat: MakeChat) -> None:
    model = make_chat(model=HYBRID).with_structured_output(schema, method=method)
    kind = schema if schema in (Animal, AnimalV1) else dict
    streamed = list(model.stream([IMAGE]))

    for answer in (model.invoke([IMAGE]), await model.ainvoke([IMAGE]), streamed[-1]):
        assert isinstance(answer, kind)
        name = answer["name"] if isinstance(answer, dict) else answer.name
        assert "PNG 451x300" in name or method == "function_calling"


@pytest.mark.openai_wire
def test_json_schema_is_sent_as_the_service_documents_it(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    make_chat(model="qwen3.7-plus").with_structured_output(Animal).invoke([IMAGE])

    # Structured output page, 2026-10.
    assert sent(qwen_vl_sandbox) == {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "Animal", "schema": ANIMAL_SCHEMA, "strict": True},
        }
    }


def test_function_calling_forces_the_one_tool(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    make_chat().with_structured_output(Animal).invoke([IMAGE])

    parameters = {k: v for k, v in ANIMAL_SCHEMA.items() if k not in {"title", "description"}}
    assert sent(qwen_vl_sandbox) == {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "Animal",
                    "description": "An animal in an image.",
                    "parameters": parameters,
                },
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "Animal"}},
    }


def test_json_mode_tells_the_schema_in_words(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    chat = make_chat().with_structured_output({**ANIMAL_SCHEMA}, method="json_mode")
    chat.invoke([("system", "Be brief."), IMAGE])

    assert sent(qwen_vl_sandbox) == {"response_format": {"type": "json_object"}}
    system = qwen_vl_sandbox.last_request.json["messages"][0]
    assert system["role"] == "system"
    assert system["content"].startswith("Be brief.\nAnswer with one JSON object that follows")
    assert '"title":"Animal"' in system["content"]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (
            [("user", "A cat?")],
            [
                {"role": "system", "content": "Answer in JSON."},
                {"role": "user", "content": "A cat?"},
            ],
        ),
        (
            [("system", "Be brief."), ("user", "A cat?")],
            [
                {"role": "system", "content": "Be brief.\nAnswer in JSON."},
                {"role": "user", "content": "A cat?"},
            ],
        ),
        ([("user", "A cat, as JSON?")], [{"role": "user", "content": "A cat, as JSON?"}]),
    ],
    ids=["no system message", "system message", "word is there"],
)
def test_word_json_is_seen_to(
    messages: Any, expected: Any, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    # Structured output page, 2026-10: without the word the service answers 400.
    answer = chat.invoke(messages, response_format={"type": "json_object"})

    assert answer.text.startswith("{")
    assert qwen_vl_sandbox.last_request.json["messages"] == expected


@pytest.mark.parametrize(
    ("model", "method"),
    [
        ("qwen3.8-max", "json_schema"),
        ("qwen3.7-flash", "json_schema"),
        ("qwen3.6-plus", "function_calling"),
        ("qwen3-vl-plus", "function_calling"),
        (THINKING_ONLY, "function_calling"),
        ("qwen-vl-ocr", "json_mode"),
    ],
)
def test_method_is_the_best_that_the_model_has(model: str, method: str) -> None:
    structured: Any = ChatQwenVL(model=model).with_structured_output(Animal)
    bound = structured.first.kwargs

    assert bound["ls_structured_output_format"]["kwargs"]["method"] == method


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    ("model", "settings", "method", "thinking", "tool_choice"),
    [
        # A model that never thinks has nothing to turn off.
        (NON_THINKING, {}, "function_calling", {}, "named"),
        # Forced tools are refused while thinking: off for this one request.
        (HYBRID, {}, "function_calling", {"enable_thinking": False}, "named"),
        ("qwen3-vl-plus", {}, "function_calling", {}, "named"),
        # Schemas and JSON mode go with thinking at the newest models.
        (HYBRID, {}, "json_schema", {}, None),
        (HYBRID, {"enable_thinking": True}, "json_mode", {"enable_thinking": True}, None),
        ("qwen3.6-plus", {}, "json_mode", {"enable_thinking": False}, None),
        # A model that always thinks cannot be forced.
        (THINKING_ONLY, {}, "function_calling", {}, "auto"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*always thinks:UserWarning")
def test_thinking_is_off_only_where_the_service_refuses_it(
    model: str,
    settings: dict[str, Any],
    method: Any,
    thinking: dict[str, Any],
    tool_choice: str | None,
    make_chat: MakeChat,
    qwen_vl_sandbox: Sandbox,
) -> None:
    chat = make_chat(model=model, **settings)
    before = chat.model_dump()
    structured = chat.with_structured_output(Animal, method=method)
    qwen_vl_sandbox.script(
        ScriptedAnswer(tool_calls=(ToolCall("Animal", {"name": "cat", "legs": 4}),))
        if method == "function_calling"
        else '{"name": "cat", "legs": 4}'
    )
    assert structured.invoke([IMAGE]) == Animal(name="cat", legs=4)

    body = sent(qwen_vl_sandbox)
    assert {k: v for k, v in body.items() if k == "enable_thinking"} == thinking
    named = {"type": "function", "function": {"name": "Animal"}}
    assert body.get("tool_choice") == {"named": named, "auto": "auto", None: None}[tool_choice]
    assert chat.model_dump() == before
    chat.invoke("Hello")
    asked = {"enable_thinking": settings["enable_thinking"]} if settings else {}
    assert sent(qwen_vl_sandbox) == asked


def test_thinking_that_was_asked_for_is_turned_off_with_a_warning(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(enable_thinking=True, thinking_budget=100)
    with pytest.warns(UserWarning, match="this one request"):
        chat.with_structured_output(Animal).invoke([IMAGE])

    assert sent(qwen_vl_sandbox)["enable_thinking"] is False
    assert "thinking_budget" not in sent(qwen_vl_sandbox)
    assert (chat.enable_thinking, chat.thinking_budget) == (True, 100)


@pytest.mark.filterwarnings("ignore:.*always thinks:UserWarning")
def test_answer_in_words_is_an_error_that_holds_them(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(model=THINKING_ONLY)
    for schema in (Animal, AnimalDict):
        qwen_vl_sandbox.script("It is a cat.")
        with pytest.raises(OutputParserException, match="with text") as caught:
            chat.with_structured_output(schema).invoke([IMAGE])
        assert caught.value.llm_output == "It is a cat."


def test_json_mode_of_a_model_that_always_thinks_is_refused() -> None:
    chat = ChatQwenVL(model="qwen3-vl-30b-a3b-thinking", api_key="sk")
    with pytest.raises(ConfigurationError, match="always thinks"):
        chat.with_structured_output(Animal, method="json_mode").invoke("A cat?")


@pytest.mark.openai_wire
def test_raw_answer_comes_along(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    structured = make_chat(model=HYBRID).with_structured_output(Animal, include_raw=True)
    good = structured.invoke([IMAGE])
    qwen_vl_sandbox.script("no JSON at all")
    bad = structured.invoke([IMAGE])

    assert isinstance(good["parsed"], Animal)
    assert (good["parsing_error"], good["raw"].response_metadata["finish_reason"]) == (None, "stop")
    assert bad["parsed"] is None
    assert isinstance(bad["parsing_error"], OutputParserException)
    assert bad["raw"].text == "no JSON at all"


@pytest.mark.openai_wire
@pytest.mark.parametrize("strict", [None, True, False])
def test_strict_reaches_the_wire(
    strict: bool | None, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(model=HYBRID)
    chat.with_structured_output(Animal, strict=strict).invoke([IMAGE])
    by_schema = sent(qwen_vl_sandbox)["response_format"]["json_schema"]["strict"]
    chat.with_structured_output(Animal, method="function_calling", strict=strict).invoke([IMAGE])
    by_tool = sent(qwen_vl_sandbox)["tools"][0]["function"].get("strict")

    assert by_schema is (strict is not False)
    assert by_tool is strict


def test_trace_option_stays_off_the_wire(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    structured = chat.with_structured_output(Animal)
    structured.invoke([IMAGE])
    first = qwen_vl_sandbox.last_request.json
    chat.generate([[IMAGE]], ls_structured_output_format={"schema": ANIMAL_SCHEMA})

    for body in (first, qwen_vl_sandbox.last_request.json):
        assert not any(key.startswith("ls_") for key in body)


def test_method_without_a_schema_is_refused(chat: ChatQwenVL) -> None:
    for method in ("function_calling", "json_schema"):
        with pytest.raises(ConfigurationError, match=method):
            chat.with_structured_output(method=method)
    assert isinstance(chat.with_structured_output(method="json_mode").invoke("JSON?"), dict)


def test_structured_model_stands_in_a_chain(make_chat: MakeChat) -> None:
    structured = make_chat(model=HYBRID).with_structured_output(Animal)
    chain = RunnableLambda(lambda _: [IMAGE]) | structured | (lambda animal: animal.legs)

    assert isinstance(chain.invoke({}), int)


def test_parser_is_one_of_langchain_s_own(chat: ChatQwenVL) -> None:
    parser = chat.with_structured_output(Animal, method="json_mode").last  # type: ignore[attr-defined]

    assert parser.OutputType is Animal
    assert parser.asdict()["_type"] == "pydantic"
    assert parser.parse('{"name": "fox", "legs": 4}') == Animal(name="fox", legs=4)
