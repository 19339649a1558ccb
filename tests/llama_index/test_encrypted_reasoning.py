"""Encrypted reasoning of Qwen4 goes back with its message, byte for byte, on every path.

help.aliyun.com/zh/model-studio/cot-summary (2026-11-16). The sandbox refuses what is lost, altered
or beside another message.
"""

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    MessageRole,
    TextBlock,
    ThinkingBlock,
)
from llama_index.core.memory import Memory
from llama_index.core.tools import FunctionTool

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import InvalidRequestError
from qwen_vl_sandbox import Sandbox

MakeLlm = Callable[..., QwenVL]
CITIES = ["Paris", "Oslo", "Rome", "Lima", "Cairo"]


def weather(city: str) -> str:
    """Look up the weather of a city."""
    return f"Rain in {city}."


TOOL = FunctionTool.from_defaults(weather)


def only_blocks(message: ChatMessage) -> ChatMessage:
    return ChatMessage(role=message.role, blocks=message.blocks)


def only_kwargs(message: ChatMessage) -> ChatMessage:
    blocks = [block for block in message.blocks if not isinstance(block, ThinkingBlock)]
    kwargs = message.additional_kwargs
    return ChatMessage(role=message.role, blocks=blocks, additional_kwargs=kwargs)


STORES: dict[str, Callable[[ChatMessage], ChatMessage]] = {
    "kept": lambda message: message,
    "JSON": lambda message: ChatMessage.model_validate_json(message.model_dump_json()),
    "pickle": lambda message: pickle.loads(pickle.dumps(message)),
    "blocks": only_blocks,
    "additional_kwargs": only_kwargs,
}


def find_encrypted(request: Any) -> list[str | None]:
    messages = request.json["messages"]
    return [m.get("encrypted_content") for m in messages if m["role"] == "assistant"]


@pytest.fixture
def qwen4(make_llm: MakeLlm) -> QwenVL:
    return make_llm("qwen4-max", thinking_display="summarized")


@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
@pytest.mark.parametrize("streamed", [False, True])
def test_five_turns_with_tool_calls(
    streamed: bool,
    store: Callable[[ChatMessage], ChatMessage],
    qwen4: QwenVL,
    qwen_vl_sandbox: Sandbox,
) -> None:
    history: list[ChatMessage] = []
    issued: list[str] = []

    def ask(message: ChatMessage) -> ChatResponse:
        history.append(message)
        # A tool's message holds the id of its call beside its blocks.
        known = [store(m) if m.role == MessageRole.ASSISTANT else m for m in history]
        if streamed:
            *_, response = qwen4.stream_chat_with_tools([TOOL], chat_history=known)
        else:
            response = qwen4.chat_with_tools([TOOL], chat_history=known)
        assert find_encrypted(qwen_vl_sandbox.last_request) == issued
        issued.append(response.message.additional_kwargs["encrypted_content"])
        history.append(response.message)
        return response

    for city in CITIES:
        response = ask(ChatMessage(f"Ask the tool weather about '{city}'."))
        (call,) = qwen4.get_tool_calls_from_response(response)
        result = ChatMessage(
            str(TOOL(**call.tool_kwargs)),
            role="tool",
            additional_kwargs={"tool_call_id": call.tool_id},
        )
        assert city in (ask(result).message.content or "")
    assert len(set(issued)) == 2 * len(CITIES)


# Agents of five turns, in eight ways.
@pytest.mark.slow
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("workflow", [True, False])
async def test_agent_with_a_memory_that_is_saved_as_json(
    workflow: bool, streaming: bool, make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    saved = "[]"
    for number, city in enumerate(CITIES):
        # Each turn begins with nothing but the text that the last one has left.
        messages = [ChatMessage.model_validate(message) for message in json.loads(saved)]
        memory = Memory.from_defaults(session_id=str(number), token_limit=1_000_000)
        if messages:
            await memory.aput_messages(messages)
        agent = FunctionAgent(
            name="weather",
            description="Knows the weather.",
            tools=[TOOL],
            llm=make_llm("qwen4-max", thinking_display="summarized"),
            streaming=streaming,
        )
        runner = AgentWorkflow(agents=[agent]) if workflow else agent
        question = f"Ask the tool weather about '{city}'."
        answer = await runner.run(user_msg=question, memory=memory)
        assert city in str(answer)
        saved = json.dumps([m.model_dump(mode="json") for m in await memory.aget_all()])
        if memory.sql_store._async_engine is not None:
            await memory.sql_store._async_engine.dispose()
    sent = [find_encrypted(request) for request in qwen_vl_sandbox.requests]
    assert [len(texts) for texts in sent] == list(range(2 * len(CITIES)))
    assert all(later[: len(earlier)] == earlier for earlier in sent for later in sent[9:])
    assert len(set(sent[-1])) == len(sent[-1])
    assert None not in sent[-1]


async def test_thinking_block_holds_the_ciphertext(qwen4: QwenVL) -> None:
    hello = [ChatMessage("Hello")]
    *_, streamed = qwen4.stream_chat(hello)
    *_, astreamed = [part async for part in await qwen4.astream_chat(hello)]
    for response in (qwen4.chat(hello), streamed, astreamed):
        thinking, text = response.message.blocks
        assert isinstance(thinking, ThinkingBlock)
        assert (thinking.content or "").startswith("In short: ")
        assert isinstance(text, TextBlock)
        beside = response.message.additional_kwargs
        assert thinking.additional_information == beside
        assert list(beside) == ["encrypted_content"]


def test_stream_has_it_as_soon_as_it_comes(qwen4: QwenVL) -> None:
    parts = list(qwen4.stream_chat([ChatMessage("Hello")]))
    first = next(n for n, part in enumerate(parts) if part.message.additional_kwargs)
    assert 0 < first < len(parts) - 3
    assert len({str(part.message.additional_kwargs) for part in parts[first:]}) == 1


def test_sandbox_refuses_a_lost_one(qwen4: QwenVL) -> None:
    answer = qwen4.chat([ChatMessage("Hello")]).message
    lost = ChatMessage(answer.content, role="assistant")
    with pytest.raises(InvalidRequestError, match=r"messages\[1\] has lost it"):
        qwen4.chat([ChatMessage("Hello"), lost, ChatMessage("Again")])


def test_what_openai_s_responses_encrypt_is_not_sent(
    qwen4: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    # llama-index-llms-openai keeps the whole item of the Responses API beside the summary.
    information = {"type": "reasoning", "id": "rs_1", "encrypted_content": "x"}
    thinking = ThinkingBlock(content="Hm.", additional_information=information)
    foreign = ChatMessage(role="assistant", blocks=[thinking, TextBlock(text="A cat.")])
    qwen4.chat([ChatMessage("What?"), foreign, ChatMessage("Sure?")])
    message = qwen_vl_sandbox.last_request.json["messages"][1]
    assert message == {"role": "assistant", "content": "A cat.", "reasoning_content": "Hm."}
