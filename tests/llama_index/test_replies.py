"""What comes back: blocks, deltas, `raw`, token counts; streamed and not, sync and async."""

import gc
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from connection_pools import find_pools
from llama_index.llms.qwen_vl import QwenVL, get_usage, image_block
from qwen_vl.errors import AnswerFormatError, ConfigurationError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

CAT = [ChatMessage([image_block(CHELSEA), TextBlock(text="What is this?")])]
LOOK = ScriptedAnswer(
    reasoning="It hides. I look closer.",
    text=("Let me", " look."),
    tool_calls=(
        ToolCall("look", {"at": "left", "zoom": 2}, id="a"),
        ToolCall("look", {"at": "right"}, id="b"),
    ),
)
MakeLlm = Callable[..., QwenVL]


@pytest.fixture
def thinking(make_llm: MakeLlm) -> QwenVL:
    return make_llm("qwen3.8-flash")


async def gather(llm: QwenVL, endpoint: str, *arguments: Any) -> list[Any]:
    """Call any of the eight methods, and list what it gives."""
    values = getattr(llm, endpoint)(*arguments)
    if inspect.isawaitable(values):
        values = await values
    if isinstance(values, AsyncGenerator):
        return [item async for item in values]
    return list(values) if isinstance(values, Generator) else [values]


@pytest.mark.parametrize("endpoint", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_blocks_of_an_answer(
    endpoint: str, thinking: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(LOOK)
    response: ChatResponse = (await gather(thinking, endpoint, CAT))[-1]
    n_reasoning = response.additional_kwargs["reasoning_tokens"]
    assert response.message.blocks == [
        ThinkingBlock(content="It hides. I look closer.", num_tokens=n_reasoning),
        TextBlock(text="Let me look."),
        ToolCallBlock(tool_call_id="a", tool_name="look", tool_kwargs={"at": "left", "zoom": 2}),
        ToolCallBlock(tool_call_id="b", tool_name="look", tool_kwargs={"at": "right"}),
    ]
    calls = response.message.additional_kwargs["tool_calls"]
    assert [(call["id"], call["type"], call["function"]["name"]) for call in calls] == [
        ("a", "function", "look"),
        ("b", "function", "look"),
    ]
    assert n_reasoning > 0
    assert ChatMessage.model_validate_json(response.message.model_dump_json()) == response.message


@pytest.mark.openai_wire
@pytest.mark.parametrize("endpoint", ["chat", "achat", "stream_chat", "astream_chat"])
async def test_facts_of_an_answer(endpoint: str, llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    response: ChatResponse = (await gather(llm, endpoint, CAT))[-1]
    usage = response.raw["usage"]
    spec = response.additional_kwargs
    assert isinstance(response.raw, dict)
    assert spec["image_tokens"] == 128 == usage["prompt_tokens_details"]["image_tokens"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert spec[name] == usage[name] > 0
    assert spec["finish_reason"] == "stop" == response.raw["finish_reason"]
    assert spec["request_id"] == response.raw["request_id"]
    assert response.raw["model"] == "qwen3-vl-plus"


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    "endpoint", ["complete", "acomplete", "stream_complete", "astream_complete"]
)
async def test_completion_has_all_that_a_chat_has(endpoint: str, llm: QwenVL) -> None:
    response = (await gather(llm, endpoint, "Hello"))[-1]
    assert "Hello" in response.text
    assert response.raw["usage"]["prompt_tokens"] == response.additional_kwargs["prompt_tokens"]
    assert response.additional_kwargs["finish_reason"] == "stop"


@pytest.mark.parametrize("endpoint", ["stream_chat", "astream_chat"])
async def test_deltas_of_a_stream(
    endpoint: str, thinking: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(LOOK)
    responses: list[ChatResponse] = await gather(thinking, endpoint, CAT)
    texts = thoughts = ""
    for response in responses:
        assert isinstance(response.delta, str)
        texts += response.delta
        thoughts += response.additional_kwargs.get("thinking_delta", "")
        held = [b.content for b in response.message.blocks if isinstance(b, ThinkingBlock)]
        assert held == ([thoughts] if thoughts else [])
        assert (response.message.content or "") == texts
    assert (texts, thoughts) == ("Let me look.", "It hides. I look closer.")
    assert sum(bool(response.delta) for response in responses) > 1
    # The counts come last, where handlers look for them.
    assert [bool(response.raw.get("usage")) for response in responses].index(True) == len(
        responses
    ) - 1
    assert qwen_vl_sandbox.last_request.json["stream_options"] == {"include_usage": True}


async def test_each_response_of_a_stream_is_its_own(
    thinking: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(LOOK)
    dumps = []
    responses = []
    for response in thinking.stream_chat(CAT):
        responses.append(response)
        dumps.append(response.model_dump_json())
    assert [response.model_dump_json() for response in responses] == dumps


async def test_partial_calls_of_a_stream(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(LOOK)
    seen = []
    for response in llm.stream_chat(CAT):
        calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        beside = response.message.additional_kwargs.get("tool_calls", [])
        assert len(beside) == len(calls)
        seen.append([call.tool_kwargs for call in calls])
    assert seen[-1] == [{"at": "left", "zoom": 2}, {"at": "right"}]
    assert any(len(calls) == 1 and calls[0] != {"at": "left", "zoom": 2} for calls in seen)


async def test_async_stream_is_a_coroutine_of_a_generator(llm: QwenVL) -> None:
    for endpoint, argument in (("astream_chat", CAT), ("astream_complete", "Hello")):
        coroutine = getattr(llm, endpoint)(argument)
        assert inspect.iscoroutine(coroutine)
        stream = await coroutine
        assert isinstance(stream, AsyncGenerator)
        await stream.aclose()


def test_stream_is_a_generator(llm: QwenVL) -> None:
    for stream in (llm.stream_chat(CAT), llm.stream_complete("Hello")):
        assert isinstance(stream, Generator)
        stream.close()


def test_abandoned_stream_frees_its_connection(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(text="word " * 5_000))
    stream = llm.stream_chat(CAT)
    next(stream)
    stream.close()
    del stream
    gc.collect()
    (pool,) = find_pools(llm._client()._transport())
    assert all(connection.is_closed() or connection.is_idle() for connection in pool.connections)


@pytest.mark.openai_wire
def test_stream_without_usage(make_llm: MakeLlm, qwen_vl_sandbox: Sandbox) -> None:
    *_, last = make_llm(stream_usage=False).stream_chat(CAT)
    assert "stream_options" not in qwen_vl_sandbox.last_request.json
    assert "usage" not in last.raw


def test_log_probabilities(llm: QwenVL) -> None:
    response = llm.chat(CAT, logprobs=True, top_logprobs=2)
    assert response.logprobs is not None
    assert "".join(position[0].token for position in response.logprobs) == response.message.content
    assert {len(position) for position in response.logprobs} <= {1, 2}


def test_log_probabilities_of_a_stream_are_converted_once(llm: QwenVL) -> None:
    # Each response has all so far: again for each, 8,000 tokens took 25 seconds.
    *_, before, last = llm.stream_chat(CAT, logprobs=True)
    assert before.logprobs
    assert last.logprobs
    text = "".join(position[0].token for position in last.logprobs)
    assert text == last.message.content
    assert before.logprobs is not last.logprobs
    assert before.logprobs[0] is last.logprobs[0]


@pytest.mark.parametrize("arguments", ['{"at": "le', "[1]", "left"])
def test_call_that_cannot_be_read(arguments: str, llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("look", arguments, id="a"),)))
    response = llm.chat(CAT)
    (block,) = response.message.blocks
    assert isinstance(block, ToolCallBlock)
    assert block.tool_kwargs == arguments
    with pytest.raises(AnswerFormatError, match="look"):
        llm.get_tool_calls_from_response(response)
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("look", arguments, id="a"),)))
    *_, last = llm.stream_chat(CAT)
    with pytest.raises(AnswerFormatError, match="look"):
        llm.get_tool_calls_from_response(last)


@pytest.mark.parametrize(
    "endpoint", ["chat", "achat", "stream_chat", "astream_chat", "complete", "stream_complete"]
)
async def test_usage_is_typed(endpoint: str, llm: QwenVL) -> None:
    is_chat = "chat" in endpoint
    response = (await gather(llm, endpoint, CAT if is_chat else "Hello"))[-1]
    counts = response.additional_kwargs

    usage = get_usage(response)

    assert usage.image_tokens == counts.get("image_tokens") == (128 if is_chat else None)
    assert usage.input_tokens == counts["prompt_tokens"] > 0
    assert usage.output_tokens == counts["completion_tokens"] > 0
    assert usage.raw == response.raw["usage"]


def test_usage_of_a_response_without_counts_is_an_error(make_llm: MakeLlm) -> None:
    first = next(iter(make_llm().stream_chat(CAT)))
    for response in (first, ChatResponse(message=first.message)):
        with pytest.raises(ConfigurationError, match="only the last chunk has them"):
            get_usage(response)
