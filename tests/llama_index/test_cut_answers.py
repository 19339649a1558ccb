"""Answers that stop before their end: never passed off as whole, and no call of theirs is run."""

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatResponse
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import AnswerFormatError
from tool_call_forms import FORMS, Form

MakeLlm = Callable[..., QwenVL]
ScriptAnswer = Callable[..., None]

CUT = '{"items": [{"name": "desk", "price": 120.0}, {"name": "lamp", "price": 30'
DRY_RUN = '{"table": "users", "dry_r'
WAYS = ("chat", "achat", "stream_chat", "astream_chat")
MODELS = {"json_mode": "qwen2.5-vl-7b-instruct", "function_calling": "qwen3-vl-plus"}


class Item(BaseModel):
    name: str
    price: float


class Invoice(BaseModel):
    """An invoice."""

    items: list[Item]


def call(arguments: str, name: str = "Invoice") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": 0, "id": "c1", "type": "function", "function": function}


async def respond(llm: QwenVL, way: str) -> ChatResponse:
    match way:
        case "chat":
            return llm.chat(_question())
        case "achat":
            return await llm.achat(_question())
        case "stream_chat":
            return list(llm.stream_chat(_question()))[-1]
    return [response async for response in await llm.astream_chat(_question())][-1]


def _question() -> Any:
    return PromptTemplate("Hi").format_messages()


async def predict(llm: QwenVL, way: str) -> Any:
    prompt = PromptTemplate("Read the invoice, as json.")
    match way:
        case "chat":
            return llm.structured_predict(Invoice, prompt)
        case "achat":
            return await llm.astructured_predict(Invoice, prompt)
        case "stream_chat":
            return list(llm.stream_structured_predict(Invoice, prompt))[-1]
    return [item async for item in await llm.astream_structured_predict(Invoice, prompt)][-1]


@pytest.mark.parametrize("reason", ["length", "stop"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", MODELS)
async def test_cut_structured_answer_raises(
    method: str, way: str, reason: str, make_llm: MakeLlm, script_answer: ScriptAnswer
) -> None:
    message = {"content": CUT} if method == "json_mode" else {"tool_calls": [call(CUT)]}
    script_answer({"content": "", **message}, reason, stream="stream" in way)
    expected = r'finish_reason="length".*max_tokens' if reason == "length" else "Invoice"
    with pytest.raises(AnswerFormatError, match=expected):
        await predict(make_llm(MODELS[method], max_tokens=30), way)


@pytest.mark.parametrize("reason", ["length", None])
@pytest.mark.parametrize("arguments", [DRY_RUN, "", "{"])
@pytest.mark.parametrize("way", WAYS)
async def test_cut_call_is_refused(
    way: str, arguments: str, reason: str | None, llm: QwenVL, script_answer: ScriptAnswer
) -> None:
    if reason is None and ("stream" not in way or llm.protocol == "native"):
        # What came whole was not cut, and the other protocol's streams end with their reason.
        reason = "length"
    message = {"content": "", "tool_calls": [call(arguments, "delete_records")]}
    script_answer(message, reason, stream="stream" in way)
    response = await respond(llm, way)
    with pytest.raises(AnswerFormatError, match="delete_records"):
        llm.get_tool_calls_from_response(response)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("arguments", [DRY_RUN, ""])
async def test_agent_never_runs_a_cut_call(
    arguments: str, streaming: bool, make_llm: MakeLlm, script_answer: ScriptAnswer
) -> None:
    deleted = []

    def delete_records(table: str = "all", dry_run: bool = False) -> str:
        """Delete the records of a table."""
        deleted.append((table, dry_run))
        return "deleted"

    message = {"content": "", "tool_calls": [call(arguments, "delete_records")]}
    script_answer(message, "length", stream=streaming)
    tools = [FunctionTool.from_defaults(delete_records)]
    agent = FunctionAgent(tools=tools, llm=make_llm(max_tokens=20), streaming=streaming)
    with pytest.raises(Exception, match='finish_reason="length"'):
        await agent.run("a dry run, please")
    assert deleted == []


@pytest.mark.openai_wire
@pytest.mark.parametrize("streaming", [True, False])
async def test_cut_call_in_the_text_is_not_called_words(
    streaming: bool, llm: QwenVL, script_answer: ScriptAnswer
) -> None:
    text = '<tool_call>\n{"name": "Invoice", "arguments": {"items": ['
    script_answer({"content": text}, "length", stream=streaming)
    response = await respond(llm, "stream_chat" if streaming else "chat")
    with pytest.raises(AnswerFormatError) as caught:
        llm.get_tool_calls_from_response(response)

    assert 'finish_reason="length"' in str(caught.value)
    assert "in words" not in str(caught.value)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
async def test_streamed_calls_are_whole_in_every_form(
    form: Form, llm: QwenVL, script_answer: ScriptAnswer
) -> None:
    script_answer({"tool_calls": form.pieces}, "tool_calls", stream=True)
    response = await respond(llm, "astream_chat")
    calls = llm.get_tool_calls_from_response(response)

    assert tuple((call.tool_name, call.tool_kwargs) for call in calls) == form.calls
    assert all(call.tool_id for call in calls)
