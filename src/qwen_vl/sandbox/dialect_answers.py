"""The shape of answers of servers that hold the model themselves."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from qwen_vl.sandbox.conversation import Tool, ToolCall
from qwen_vl.sandbox.dialects import Dialect
from qwen_vl.sandbox.engine import arguments_text
from qwen_vl.sandbox.exchange import Reply
from qwen_vl.sandbox.processor_tokens import MARKERS
from qwen_vl.sandbox.shapes import probabilities
from qwen_vl.sandbox.tokens import pieces, text_tokens

_STOP_TOKEN = 151_645
"""The token that ends an answer, which one server names."""


def whole_answer(reply: Reply, dialect: Dialect) -> bytes:
    """Shape an answer that is not streamed."""
    answer = reply.answer
    calls = [_call(call, at, reply, dialect) for at, call in enumerate(answer.tool_calls)]
    message: dict[str, Any] = {"role": "assistant", "content": _content(reply, dialect)}
    if answer.reasoning:
        message[dialect.reasoning_key] = answer.reasoning
    if dialect.name == "vllm":
        message = {"refusal": None, "annotations": None, "audio": None, **message}
        message.setdefault("reasoning", None)
        message["tool_calls"] = calls
    elif calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, **_ending(reply, dialect)}
    choice["logprobs"] = _logprobs(answer.text, reply)
    body = {**_head(reply, dialect, "chat.completion"), "choices": [choice]}
    if dialect.name == "llamacpp":
        body["timings"] = _timings(reply)
    return orjson.dumps({**body, "usage": _usage(reply, dialect, answer.completion_tokens)})


def answer_events(reply: Reply, dialect: Dialect) -> Iterator[bytes]:
    """Shape a stream, `[DONE]` apart."""
    head = _head(reply, dialect, "chat.completion.chunk")
    exchange = reply.exchange
    sent = 0
    deltas = list(_deltas(reply, dialect))
    # Cut by length, the last piece of text carries the reason; else an empty delta does.
    is_cut = reply.answer.finish_reason == "length" and dialect.name == "vllm"
    if not is_cut:
        closing = {"role": "assistant", "content": ""} if dialect.name == "ollama" else {}
        deltas.append(closing)
    for at, delta in enumerate(deltas):
        is_last = at == len(deltas) - 1
        ending = _ending(reply, dialect) if is_last else {"finish_reason": None}
        text = delta.get("content") if at else None
        choice = {"index": 0, "delta": delta, "logprobs": None, **ending}
        if text:
            choice["logprobs"] = _logprobs(text, reply)
        body: dict[str, Any] = {**head, "choices": [choice]}
        sent += text_tokens(text or "") + text_tokens(delta.get(dialect.reasoning_key) or "")
        if exchange.running_usage:
            body["usage"] = _usage(reply, dialect, min(sent, reply.answer.completion_tokens))
        yield _event(body)
    if exchange.include_usage:
        usage = _usage(reply, dialect, reply.answer.completion_tokens)
        yield _event({**head, "choices": [], "usage": usage})


def _deltas(reply: Reply, dialect: Dialect) -> Iterator[dict[str, Any]]:
    answer = reply.answer
    size = dialect.pieces_per_chunk
    role = {"role": "assistant"} if dialect.name == "ollama" else {}
    if dialect.name != "ollama":
        yield {"role": "assistant", "content": None if dialect.name == "llamacpp" else ""}
    for chunk in answer.reasoning_chunks or _chunks(answer.reasoning, size):
        yield {**role, dialect.reasoning_key: chunk}
    for chunk in answer.text_chunks or _chunks(answer.text, size):
        yield {**role, "content": chunk}
    for at, call in enumerate(answer.tool_calls):
        whole = {"index": at, **_call(call, at, reply, dialect)}
        if not dialect.streams_arguments:
            yield {**role, "content": "", "tool_calls": [whole]}
            continue
        yield {"content": None, "tool_calls": [{**whole, "function": {"name": call.name}}]}
        for chunk in _chunks(arguments_text(call), size):
            yield {
                "content": None,
                "tool_calls": [{"index": at, "function": {"arguments": chunk}}],
            }


def _content(reply: Reply, dialect: Dialect) -> str | None:
    answer = reply.answer
    choice = reply.exchange.conversation.options.tool_choice
    if answer.text or dialect.name == "ollama":
        return answer.text
    if answer.tool_calls:
        # A call that was not forced leaves no content, a forced one an empty text.
        return None if choice == "auto" else ""
    return None if answer.reasoning else ""


def _ending(reply: Reply, dialect: Dialect) -> dict[str, Any]:
    answer = reply.answer
    reason = answer.finish_reason
    is_named = isinstance(reply.exchange.conversation.options.tool_choice, Tool)
    if is_named and answer.tool_calls and reason == "tool_calls":
        reason = dialect.named_finish
    ending: dict[str, Any] = {"finish_reason": reason}
    if dialect.name == "vllm":
        ending["stop_reason"] = None
    if dialect.name == "sglang":
        ending["matched_stop"] = None if reason == "length" else _STOP_TOKEN
    return ending


def _call(call: ToolCall, at: int, reply: Reply, dialect: Dialect) -> dict[str, Any]:
    made = f"{dialect.call_id}{reply.request_id.replace('-', '')[:24]}{at:08x}"
    return {
        "id": call.id or made,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments_text(call)},
    }


def _head(reply: Reply, dialect: Dialect, kind: str) -> dict[str, Any]:
    head: dict[str, Any] = {
        "id": f"chatcmpl-{reply.request_id.replace('-', '')}",
        "object": kind,
        "created": reply.created,
        "model": reply.exchange.conversation.model,
    }
    if dialect.name == "ollama":
        head["system_fingerprint"] = "fp_ollama"
    return head


def _usage(reply: Reply, dialect: Dialect, completion: int) -> Mapping[str, Any]:
    if reply.usage is not None:
        return reply.usage
    receipt, answer = reply.receipt, reply.answer
    usage: dict[str, Any] = {
        "prompt_tokens": receipt.total,
        "total_tokens": receipt.total + completion,
        "completion_tokens": completion,
    }
    match dialect.name:
        case "vllm":
            usage["prompt_tokens_details"] = {
                "cached_tokens": 0,
                "multimodal_tokens": _multimodal(reply),
            }
            if answer.reasoning:
                usage["completion_tokens_details"] = {"reasoning_tokens": answer.reasoning_tokens}
        case "sglang":
            usage |= {"prompt_tokens_details": None, "reasoning_tokens": answer.reasoning_tokens}
        case "llamacpp":
            usage["prompt_tokens_details"] = {"cached_tokens": 0}
        case _:
            pass
    return usage


def _multimodal(reply: Reply) -> dict[str, int]:
    """Count what stands between the outer markers, by kind."""
    counts: dict[str, int] = {}
    for sight in reply.receipt.sights:
        if sight.tokens:
            counts[sight.kind] = counts.get(sight.kind, 0) + sight.tokens - MARKERS
    return counts


def _timings(reply: Reply) -> dict[str, Any]:
    # The sandbox takes no time worth telling.
    prompt, predicted = reply.receipt.total, reply.answer.completion_tokens
    return {"prompt_n": prompt, "prompt_ms": 0.0, "predicted_n": predicted, "predicted_ms": 0.0}


def _logprobs(text: str, reply: Reply) -> dict[str, Any] | None:
    content = probabilities(text, reply.alternatives)
    return None if content is None else {"content": content}


def _chunks(text: str, size: int) -> list[str]:
    parts = pieces(text)
    return ["".join(parts[at : at + size]) for at in range(0, len(parts), size)]


def _event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"
