"""Conversations that began at other models: their reasoning, their calls, their tools' results."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ChatMessage, HumanMessage, ToolMessage

from langchain_qwen_vl import ChatQwenVL
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

PNG = base64.b64encode(CHELSEA.read_bytes()).decode()


@pytest.fixture
def sent(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> Callable[..., list[dict[str, Any]]]:
    """Tell what leaves for a conversation."""

    def send(*messages: Any, **options: Any) -> list[dict[str, Any]]:
        chat.invoke(list(messages), **options)
        leaving: list[dict[str, Any]] = qwen_vl_sandbox.last_request.json["messages"]
        return leaving

    return send


@pytest.mark.parametrize(
    "block",
    [
        {"type": "reasoning", "reasoning": "It purrs."},
        {"type": "thinking", "thinking": "It purrs.", "signature": "s"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "It purrs."}],
        },
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "It purrs."}]},
    ],
    ids=["LangChain", "Anthropic", "Responses", "Responses, open weights"],
)
def test_reasoning_of_other_models_is_sent_back(
    block: dict[str, Any], sent: Callable[..., list[dict[str, Any]]]
) -> None:
    answer = AIMessage([block, {"type": "text", "text": "A cat."}])
    leaving = sent(HumanMessage("What?"), answer, HumanMessage("Sure?"), preserve_thinking=True)

    assert leaving[1]["reasoning_content"] == "It purrs."
    assert leaving[1]["content"] == "A cat."


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_call", "id": "call_1", "name": "crop", "args": {"left": 1}},
        {"type": "tool_use", "id": "call_1", "name": "crop", "input": {"left": 1}},
        {
            "type": "function_call",
            "id": "fc_1",
            "call_id": "call_1",
            "name": "crop",
            "arguments": '{"left": 1}',
        },
    ],
    ids=["LangChain", "Anthropic", "Responses"],
)
@pytest.mark.parametrize("is_repeated", [False, True], ids=["content alone", "tool_calls too"])
def test_tool_call_in_the_content_leaves_once(
    block: dict[str, Any], is_repeated: bool, sent: Callable[..., list[dict[str, Any]]]
) -> None:
    calls = [{"id": "call_1", "name": "crop", "args": {"left": 1}}] if is_repeated else []
    leaving = sent(
        HumanMessage("Crop."),
        AIMessage([block], tool_calls=calls),
        ToolMessage("done", tool_call_id="call_1"),
    )

    assert leaving[1]["tool_calls"] == [
        {
            "id": "call_1",
            "type": "function",
            "function": {"name": "crop", "arguments": '{"left": 1}'},
        }
    ]


@pytest.mark.filterwarnings("error")
def test_picture_as_mcp_servers_write_it_leaves_without_a_warning(
    sent: Callable[..., list[dict[str, Any]]],
) -> None:
    call = {"id": "call_1", "name": "look", "args": {}}
    image = {"type": "image", "data": PNG, "mimeType": "image/png"}
    leaving = sent(
        HumanMessage("Look."),
        AIMessage("", tool_calls=[call]),
        ToolMessage([image], tool_call_id="call_1"),
    )

    assert leaving[-1]["content"][-1]["image_url"]["url"] == f"data:image/png;base64,{PNG}"


def test_arguments_that_are_no_json_are_refused(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    call = {"id": "call_1", "name": "crop", "args": {"file": Path("cat.png")}}
    with pytest.raises(UnsupportedContentError, match=r"^messages\[1\]: The arguments"):
        chat.invoke([HumanMessage("Crop."), AIMessage("", tool_calls=[call])])

    assert not qwen_vl_sandbox.requests


def test_text_that_is_no_unicode_is_refused(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    with pytest.raises(UnsupportedContentError, match=r"^messages\[1\]\.content: The text cannot"):
        chat.invoke([HumanMessage("Hello"), HumanMessage("half a pair: \ud83d")])

    assert not qwen_vl_sandbox.requests


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    ("role", "sent"),
    [("developer", "system"), ("system", "system"), ("human", "user"), ("user", "user")],
)
def test_message_with_a_role_of_its_own(
    role: str, sent: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    chat.invoke([ChatMessage("Be brief.", role=role), HumanMessage("Hello")])

    assert qwen_vl_sandbox.last_request.json["messages"] == [
        {"role": sent, "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]


@pytest.mark.openai_wire
def test_answer_of_a_role_and_refusal_are_sent_back(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    refusal = AIMessage([{"type": "refusal", "refusal": "No."}])
    said = ChatMessage("Hello.", role="assistant")
    chat.invoke([HumanMessage("A"), refusal, HumanMessage("B"), said, HumanMessage("C")])

    assert qwen_vl_sandbox.last_request.json["messages"][1::2] == [
        {"role": "assistant", "content": "No."},
        {"role": "assistant", "content": "Hello."},
    ]
