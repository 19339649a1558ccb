"""The OpenAI-compatible protocol: a request body read, an answer shaped.

Shapes are those of the OpenAI-Chat page (2026-10) and the Streaming page (2026-07).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from qwen_vl.sandbox.answers import Answer
from qwen_vl.sandbox.conversation import Conversation, ToolCall
from qwen_vl.sandbox.engine import Receipt, arguments_text
from qwen_vl.sandbox.models import admitted_facts
from qwen_vl.sandbox.openai_messages import PART_FIELDS, is_partial, read_messages
from qwen_vl.sandbox.openai_parameters import KNOWN, check_json_word, read_options, read_stream
from qwen_vl.sandbox.refusals import refuse
from qwen_vl.sandbox.tokens import pieces
from qwen_vl.sandbox.uploads import account_of

PIECES_PER_CHUNK = 4
"""Tokens of text in one chunk of a stream."""

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, read: what to answer and how to send it."""

    conversation: Conversation
    stream: bool
    include_usage: bool


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every body of one answer repeats."""

    id: str
    created: int
    model: str


def read_request(body: Any, headers: Mapping[str, str], *, strict: bool) -> Exchange:
    """Read and check a request.

    Raises:
        Refusal: The service would not take it.
    """
    if not isinstance(body, dict):
        refuse("The request body must be a JSON object.")
    facts = admitted_facts(body.get("model"))
    stream, include_usage = read_stream(body, strict=strict)
    options = read_options(body, facts, strict=strict)
    messages = read_messages(body.get("messages"), facts, strict=strict)
    check_json_word(options, "\n".join(message.text for message in messages))
    if is_partial(body["messages"]) and options.thinking:
        refuse("partial is not supported in thinking mode.")
    resolves_oss = headers.get("x-dashscope-ossresourceresolve", "").lower() == "enable"
    account = account_of(headers.get("authorization", ""))
    conversation = Conversation(
        body["model"], facts, messages, options, strict, account, resolves_oss
    )
    return Exchange(conversation, stream, include_usage)


def unknown_fields(body: Any) -> tuple[str, ...]:
    """Name the fields of a request that no page documents, as paths."""
    if not isinstance(body, dict):
        return ()
    found = [name for name in body if name not in KNOWN]
    messages = body.get("messages")
    for at, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for index, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict):
                known = PART_FIELDS.get(str(part.get("type")), frozenset())
                extra = part.keys() - known - {"type", "cache_control"}
                found += [f"messages[{at}].content[{index}].{name}" for name in sorted(extra)]
    return tuple(found)


def usage_of(answer: Answer, receipt: Receipt) -> dict[str, Any]:
    """Count what the answer cost."""
    prompt, completion = receipt.total, answer.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "audio_tokens": None,
            "cached_tokens": 0,
            "image_tokens": receipt.tokens("image") or None,
            "text_tokens": receipt.text_tokens,
            "video_tokens": receipt.tokens("video") or None,
        },
        "completion_tokens_details": {
            "audio_tokens": None,
            "reasoning_tokens": answer.reasoning_tokens or None,
            "text_tokens": completion,
        },
    }


def whole_body(
    envelope: Envelope, answer: Answer, usage: Mapping[str, Any], logprobs: int | None
) -> bytes:
    """Shape an answer that is not streamed; `logprobs` is how many alternatives to list."""
    message = {
        "role": "assistant",
        "content": answer.text,
        "reasoning_content": answer.reasoning,
        "refusal": None,
        "audio": None,
        "function_call": None,
        "tool_calls": [_call(call, at, envelope) for at, call in enumerate(answer.tool_calls)]
        or None,
    }
    if not answer.reasoning:
        del message["reasoning_content"]
    choice = {
        "index": 0,
        "finish_reason": answer.finish_reason,
        "logprobs": _logprobs(answer.text, logprobs),
        "message": message,
    }
    return orjson.dumps(
        {
            "id": envelope.id,
            "object": "chat.completion",
            "created": envelope.created,
            "model": envelope.model,
            "system_fingerprint": None,
            "service_tier": None,
            "choices": [choice],
            "usage": usage,
        }
    )


def events(
    envelope: Envelope,
    answer: Answer,
    usage: Mapping[str, Any] | None,
    logprobs: int | None,
) -> Iterator[bytes]:
    """Shape a stream, `[DONE]` apart; `usage` is sent last if it is given."""
    for at, delta in enumerate(_deltas(envelope, answer)):
        shown = delta.get("content") if at else None
        yield _event(envelope, delta, logprobs=_logprobs(shown or "", logprobs) if shown else None)
    yield _event(envelope, _delta(content=""), finish_reason=answer.finish_reason)
    if usage is not None:
        yield event({**_head(envelope), "choices": [], "usage": usage})


def event(value: Mapping[str, Any]) -> bytes:
    """Frame one server-sent event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def chunks_of(text: str) -> list[str]:
    """Cut a text as a stream does."""
    parts = pieces(text)
    return [
        "".join(parts[at : at + PIECES_PER_CHUNK]) for at in range(0, len(parts), PIECES_PER_CHUNK)
    ]


def _head(envelope: Envelope) -> dict[str, Any]:
    return {
        "id": envelope.id,
        "object": "chat.completion.chunk",
        "created": envelope.created,
        "model": envelope.model,
        "system_fingerprint": None,
        "service_tier": None,
    }


def _event(
    envelope: Envelope,
    delta: dict[str, Any],
    *,
    finish_reason: str | None = None,
    logprobs: dict[str, Any] | None = None,
) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
    return event({**_head(envelope), "choices": [choice], "usage": None})


def _delta(
    *,
    content: str | None = None,
    reasoning: str | None = None,
    role: str | None = None,
    call: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "content": content,
        "reasoning_content": reasoning,
        "role": role,
        "function_call": None,
        "refusal": None,
        "tool_calls": None if call is None else [call],
    }


def _deltas(envelope: Envelope, answer: Answer) -> Iterator[dict[str, Any]]:
    yield _delta(content="", role="assistant")
    for chunk in answer.reasoning_chunks or chunks_of(answer.reasoning):
        yield _delta(reasoning=chunk)
    for chunk in answer.text_chunks or chunks_of(answer.text):
        yield _delta(content=chunk)
    for at, call in enumerate(answer.tool_calls):
        whole = _call(call, at, envelope)
        arguments = whole["function"]["arguments"]
        first = {**whole, "function": {"name": call.name, "arguments": ""}}
        yield _delta(content=None, call=first)
        for chunk in chunks_of(arguments):
            # Deltas after the first carry an empty id and no name.
            later = {**whole, "id": "", "function": {"name": None, "arguments": chunk}}
            yield _delta(content=None, call=later)


def _call(call: ToolCall, at: int, envelope: Envelope) -> dict[str, Any]:
    return {
        "id": call.id or f"call_{envelope.id[-24:].replace('-', '')}{at}",
        "type": "function",
        "index": at,
        "function": {"name": call.name, "arguments": arguments_text(call)},
    }


def _logprobs(text: str, alternatives: int | None) -> dict[str, Any] | None:
    if alternatives is None:
        return None
    content = []
    for token in pieces(text):
        certain = {"token": token, "logprob": 0.0, "bytes": list(token.encode())}
        other = {"token": " ", "logprob": math.log(1e-6), "bytes": [32]}
        content.append({**certain, "top_logprobs": [certain, *[other] * 4][:alternatives]})
    return {"content": content, "refusal": None}
