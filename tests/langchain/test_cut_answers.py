"""Answers that stop before their end: never passed off as whole, and no call of theirs is run."""

import asyncio
import functools
import operator
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from langchain_qwen_vl import ChatQwenVL
from tool_call_forms import FORMS, Form

MakeChat = Callable[..., ChatQwenVL]
ScriptAnswer = Callable[..., None]

CUT = '{"items": [{"name": "desk", "price": 120.0}, {"name": "lamp", "price": 30'


class Item(BaseModel):
    name: str
    price: float


class Invoice(BaseModel):
    """An invoice."""

    items: list[Item]


def call(arguments: str, name: str = "Invoice") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": 0, "id": "c1", "type": "function", "function": function}


def message_of(method: str, text: str) -> dict[str, Any]:
    if method == "function_calling":
        return {"role": "assistant", "content": "", "tool_calls": [call(text)]}
    return {"role": "assistant", "content": text}


def run(runnable: Any, way: str) -> Any:
    if way == "invoke":
        return runnable.invoke("Read the invoice, as json.")
    if way == "ainvoke":
        return asyncio.run(runnable.ainvoke("Read the invoice, as json."))

    async def gather() -> list[Any]:
        return [part async for part in runnable.astream("Read the invoice, as json.")]

    if way == "astream":
        parts = asyncio.run(gather())
    else:
        parts = list(runnable.stream("Read the invoice, as json."))
    is_beside = isinstance(parts[-1], dict) and "parsing_error" in parts[-1]
    return functools.reduce(operator.add, parts) if is_beside else parts[-1]


WAYS = ("invoke", "ainvoke", "stream", "astream")
METHODS_OF_BOTH = ("json_mode", "function_calling")
METHODS = ("json_schema", *METHODS_OF_BOTH)
SCHEMAS = {"class": Invoice, "schema": Invoice.model_json_schema()}


def structured(make_chat: MakeChat, schema: str, method: str, **options: Any) -> Any:
    chat = make_chat(model="qwen3.7-plus", enable_thinking=False, max_tokens=30)
    return chat.with_structured_output(SCHEMAS[schema], method=method, **options)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("method", METHODS_OF_BOTH)
def test_cut_structured_answer_raises(
    method: str, schema: str, way: str, make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    check_cut(method, schema, way, make_chat, script_answer)


@pytest.mark.openai_wire
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("schema", SCHEMAS)
def test_cut_json_schema_answer_raises(
    schema: str, way: str, make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    check_cut("json_schema", schema, way, make_chat, script_answer)


def check_cut(
    method: str, schema: str, way: str, make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    script_answer(message_of(method, CUT), "length", stream="stream" in way)
    with pytest.raises(OutputParserException, match=r'finish_reason="length".*max_tokens'):
        run(structured(make_chat, schema, method), way)

    script_answer(message_of(method, CUT), "length", stream="stream" in way)
    beside = run(structured(make_chat, schema, method, include_raw=True), way)
    assert beside["parsed"] is None
    assert 'finish_reason="length"' in str(beside["parsing_error"])
    assert beside["raw"].response_metadata["finish_reason"] == "length"


@pytest.mark.openai_wire
@pytest.mark.parametrize("reason", ["stop", None])
@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize("method", METHODS)
def test_answer_that_breaks_off_without_saying_so_raises(
    method: str, way: str, reason: str | None, make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    script_answer(message_of(method, CUT), reason, stream=way == "stream")
    with pytest.raises(OutputParserException, match="price"):
        run(structured(make_chat, "schema", method), way)


@pytest.mark.openai_wire
@pytest.mark.parametrize("method", METHODS)
def test_answer_that_is_cut_behind_whole_json_raises(
    method: str, make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    script_answer(message_of(method, '{"items": []}'), "length", stream=False)
    with pytest.raises(OutputParserException, match="max_tokens"):
        run(structured(make_chat, "class", method), "invoke")


@pytest.mark.openai_wire
def test_cut_call_that_a_server_leaves_in_the_text_is_not_called_words(
    make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    # So vLLM does where its parser of calls finds no end.
    text = '<tool_call>\n{"name": "Invoice", "arguments": {"items": ['
    script_answer({"role": "assistant", "content": text}, "length", stream=False)
    with pytest.raises(OutputParserException) as caught:
        run(structured(make_chat, "class", "function_calling"), "invoke")

    assert 'finish_reason="length"' in str(caught.value)
    assert "in words" not in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS_OF_BOTH)
def test_whole_answer_is_parsed(
    method: str, way: str, make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    text = '{"items": [{"name": "lamp", "price": 3050.0}]}'
    reason = "tool_calls" if method == "function_calling" else "stop"
    script_answer(message_of(method, text), reason, stream="stream" in way)
    answer = run(structured(make_chat, "class", method), way)

    assert answer == Invoice(items=[Item(name="lamp", price=3050.0)])


DRY_RUN = '{"table": "users", "dry_r'


@pytest.mark.parametrize("reason", ["length", "content_filter", "abort"])
@pytest.mark.parametrize("arguments", [DRY_RUN, "", "{"])
def test_cut_call_is_never_run(
    arguments: str, reason: str, make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    deleted = []

    @tool
    def delete_records(table: str = "all", dry_run: bool = False) -> str:
        """Delete the records of a table."""
        deleted.append((table, dry_run))
        return "deleted"

    message = {"content": "", "tool_calls": [call(arguments, "delete_records")]}
    for stream_mode in ("messages", "updates"):
        is_streamed = stream_mode == "messages"
        script_answer(message, reason, stream=is_streamed)
        agent = create_agent(
            make_chat(max_tokens=20), [delete_records], checkpointer=InMemorySaver()
        )
        config = {"configurable": {"thread_id": stream_mode}}
        for _ in agent.stream(
            {"messages": [("user", "a dry run, please")]}, config, stream_mode=stream_mode
        ):
            pass
        last = agent.get_state(config).values["messages"][-1]

        assert type(last) is AIMessage
        assert not last.tool_calls
        assert last.invalid_tool_calls[0]["name"] == "delete_records"
        assert (last.invalid_tool_calls[0]["args"] or "").strip() == arguments
    assert deleted == []


@pytest.mark.openai_wire
def test_cut_call_of_a_stream_that_only_ends_is_invalid(
    make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    script_answer({"tool_calls": [call(DRY_RUN, "delete_records")]}, None, stream=True)
    chunks = list(make_chat().stream("Hi"))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert not whole.tool_calls
    assert whole.invalid_tool_calls[0]["args"] == DRY_RUN

    # Added to a chunk of LangChain's own, too.
    added = AIMessageChunk(content="")
    for chunk in chunks:
        added += chunk
    assert not added.tool_calls
    message = message_chunk_to_message(added)
    assert type(message) is AIMessage
    assert message.invalid_tool_calls == whole.invalid_tool_calls


@pytest.mark.openai_wire
def test_chunk_is_langchains_own_to_whoever_stores_it(
    make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    script_answer({"tool_calls": [call('{"a": 1}', "find")]}, "tool_calls", stream=True)
    first, *rest = make_chat().stream("Hi")
    whole = first + rest

    assert whole.tool_calls == [{"name": "find", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
    assert type(pickle.loads(pickle.dumps(whole))) is AIMessageChunk
    assert pickle.loads(pickle.dumps(whole)) == whole
    assert whole == AIMessageChunk(**dict(vars(whole)))
    assert AIMessageChunk.lc_id() == type(whole).lc_id()


@pytest.mark.openai_wire
def test_pieces_show_calls_while_they_come(
    make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    pieces = [call('{"q": "a', "find"), call(' cat"}', "")]
    script_answer({"tool_calls": pieces}, "tool_calls", stream=True)
    first, second, *_ = make_chat().stream("Hi")

    assert first.tool_calls[0]["args"] == {"q": "a"}
    assert (first + second).tool_calls[0]["args"] == {"q": "a cat"}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_streamed_calls_are_whole_in_every_form(
    form: Form, make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    script_answer({"tool_calls": form.pieces}, "tool_calls", stream=True)
    first, *rest = make_chat().stream("Hi")
    whole = first + rest

    assert not whole.invalid_tool_calls
    assert tuple((call["name"], call["args"]) for call in whole.tool_calls) == form.calls


@pytest.mark.parametrize("output_version", [None, "v1"])
def test_cut_call_is_invalid_in_standard_blocks(
    output_version: str | None, make_chat: MakeChat, script_answer: ScriptAnswer
) -> None:
    script_answer({"tool_calls": [call(DRY_RUN, "delete_records")]}, "length", stream=True)
    first, *rest = make_chat(output_version=output_version).stream("Hi")
    kinds = [block["type"] for block in (first + rest).content_blocks]

    assert "tool_call" not in kinds
    assert "invalid_tool_call" in kinds
