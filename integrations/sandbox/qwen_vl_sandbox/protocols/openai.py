"""The OpenAI-compatible protocol: a request body read, an answer shaped.

Shapes are those of the OpenAI-Chat page (2026-10) and the Streaming page (2026-07).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from qwen_vl_sandbox.answers.compose import Answer
from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.errors.hosted import OPENAI
from qwen_vl_sandbox.media.hosted import MediaReport, receive
from qwen_vl_sandbox.protocols.base import ParsedRequest, Reply
from qwen_vl_sandbox.protocols.shapes import (
    cache_details,
    call_deltas,
    chunks_of,
    probabilities,
    whole_call,
)
from qwen_vl_sandbox.reading.conversation import Audio, Conversation, Part
from qwen_vl_sandbox.reading.messages import MARKERS, PartReader, is_partial, read_messages
from qwen_vl_sandbox.reading.parameters import SHARED_FIELDS, check_json_word, read_options
from qwen_vl_sandbox.reading.validation import Fields
from qwen_vl_sandbox.specs.batches import MAX_CONTEXT, BatchKind, check_batch
from qwen_vl_sandbox.specs.models import admitted_spec
from qwen_vl_sandbox.storage import Storage, account_of, resolves_oss

_CLIP_FIELDS = frozenset({"fps", "min_pixels", "max_pixels", "total_pixels"})

PART_FIELDS: dict[str, frozenset[str]] = {
    "text": frozenset(),
    "image_url": frozenset({"min_pixels", "max_pixels"}),
    "video_url": _CLIP_FIELDS,
    "video": _CLIP_FIELDS,
    "input_audio": frozenset(),
}
"""Documented fields by part type, the type's own and `cache_control` apart."""

NOT_A_PART = "if content is list. item must be dict and key[type] should in dict"
"""The service's wording in public threads."""


class OpenAIPartReader(PartReader):
    """Reads the parts of one request of the OpenAI-compatible protocol."""

    fields = PART_FIELDS

    def read(self, part: Any, path: str, role: str) -> Part:
        """Read one part."""
        if not isinstance(part, dict) or "type" not in part:
            reject(f"{NOT_A_PART} - '{path}'")
        kind = part["type"]
        known = isinstance(kind, str) and kind in PART_FIELDS
        if not known or (kind == "input_audio" and self._spec.audio is None):
            reject(f"{path}.type {kind!r} is not supported by the model.")
        self._check_place(part, path, kind, role)
        match kind:
            case "image_url":
                return self._image(part, path, _url(part, kind, path))
            case "video_url":
                return self._clip(part, path, _url(part, kind, path))
            case "video":
                return self._clip(part, path, self._frames(part.get("video"), path))
            case "input_audio":
                return _audio(part, path)
            case _:
                return self._text(part, path)


def _url(part: dict[str, Any], kind: str, path: str) -> str:
    inner = part.get(kind)
    if not isinstance(inner, dict) or not isinstance(inner.get("url"), str):
        reject(f"{path}.{kind} must be an object with a url.")
    return str(inner["url"])


def _audio(part: dict[str, Any], path: str) -> Audio:
    inner = part.get("input_audio")
    if not isinstance(inner, dict):
        reject(f"{path}.input_audio must be an object with data and format.")
    fields = Fields(inner, f"{path}.input_audio")
    data, kind = fields.string("data"), fields.string("format")
    if not data or not kind:
        reject(f"{path}.input_audio needs data and format.")
    return Audio(path, data, kind)


KNOWN = SHARED_FIELDS | {
    *("model", "messages", "stream", "stream_options"),
    # Of the omni models.
    *("modalities", "audio", "use_multichannel"),
}
"""Documented fields; others are ignored and recorded."""


class OpenAIProtocol:
    """The service's OpenAI-compatible protocol.

    Args:
        batch: Whether it is that of Batch Chat, or of the lines of a batch job's file.
    """

    def __init__(self, *, batch: BatchKind | None = None) -> None:
        self._batch = batch

    errors = OPENAI
    end = b"data: [DONE]\n\n"
    broken_event = b'data: {"choices": [{"delta": \n\n'

    def unknown_fields(self, body: Any) -> tuple[str, ...]:
        """Name the fields of a request that no page documents, as paths."""
        if not isinstance(body, dict):
            return ()
        found = [name for name in body if name not in KNOWN]
        return (*found, *unknown_in_parts(body.get("messages"), "messages"))

    def wants_stream(self, body: Any, headers: Mapping[str, str]) -> bool:  # noqa: ARG002 - the native protocol needs them.
        """Return whether a request, good or not, asks for a stream."""
        return isinstance(body, dict) and bool(body.get("stream"))

    def read(self, body: Any, headers: Mapping[str, str], *, strict: bool) -> ParsedRequest:
        """Read and check a request.

        Raises:
            ApiError: The service would not take it.
        """
        if not isinstance(body, dict):
            reject("The request body must be a JSON object.")
        spec = admitted_spec(body.get("model"))
        stream, include_usage = _read_stream(body, strict=strict)
        if self._batch is not None:
            check_batch(self._batch, body["model"], stream=stream, strict=strict)
            spec = replace(
                spec,
                # Nothing streams there, reasoning models among it.
                thinks_only_in_streams=False,
                streams_only=False,
                max_input=min(spec.max_input, MAX_CONTEXT),
                max_input_thinking=min(spec.max_input_thinking, MAX_CONTEXT),
            )
        options = read_options(body, spec, stream=stream, strict=strict)
        parts = OpenAIPartReader(spec, strict=strict)
        messages = read_messages(body.get("messages"), spec, parts)
        check_json_word(options, "\n".join(message.text for message in messages))
        if is_partial(body["messages"]) and options.thinking:
            reject("partial is not supported in thinking mode.")
        conversation = Conversation(
            model=body["model"],
            spec=spec,
            messages=messages,
            options=options,
            strict=strict,
            account=account_of(headers.get("authorization", "")),
            resolves_oss=resolves_oss(headers),
        )
        return ParsedRequest(conversation, stream, include_usage)

    def receive(self, conversation: Conversation, storage: Storage) -> MediaReport:
        """Inspect all media of a conversation and count its tokens."""
        return receive(conversation, storage)

    def whole(self, reply: Reply) -> bytes:
        """Shape an answer that is not streamed."""
        answer = reply.answer
        calls = [
            whole_call(call, at, reply.request_id) for at, call in enumerate(answer.tool_calls)
        ]
        message = {
            "role": "assistant",
            "content": answer.text,
            "reasoning_content": answer.reasoning,
            **({"encrypted_content": answer.encrypted} if answer.encrypted else {}),
            "refusal": None,
            "audio": None,
            "function_call": None,
            "tool_calls": calls or None,
        }
        if not answer.reasoning:
            del message["reasoning_content"]
        choice = {
            "index": 0,
            "finish_reason": answer.finish_reason,
            "logprobs": _logprobs(answer.text, reply),
            "message": message,
        }
        usage = _usage(reply)
        return orjson.dumps(
            {**_head(reply, "chat.completion"), "choices": [choice], "usage": usage}
        )

    def events(self, reply: Reply) -> Iterator[bytes]:
        """Shape a stream, `[DONE]` apart."""
        for at, delta in enumerate(_deltas(reply)):
            shown = delta.get("content") if at else None
            yield _chunk(reply, delta, logprobs=_logprobs(shown, reply) if shown else None)
        yield _chunk(reply, _delta(content=""), finish_reason=reply.answer.finish_reason)
        if reply.exchange.include_usage:
            head = _head(reply, "chat.completion.chunk")
            yield _event({**head, "choices": [], "usage": _usage(reply)})


def unknown_in_parts(messages: Any, path: str) -> Iterator[str]:
    """Name the fields of content parts that no page documents."""
    for at, message in enumerate(messages if isinstance(messages, list) else ()):
        content = message.get("content") if isinstance(message, dict) else None
        for index, part in enumerate(content if isinstance(content, list) else ()):
            if isinstance(part, dict):
                kind = str(part.get("type"))
                known = PART_FIELDS.get(kind, frozenset()) | {kind, "type", *MARKERS}
                for name in sorted(part.keys() - known):
                    yield f"{path}[{at}].content[{index}].{name}"


def _read_stream(body: dict[str, Any], *, strict: bool) -> tuple[bool, bool]:
    """Read whether to stream, and whether to close the stream with its usage."""
    fields = Fields(body)
    stream = fields.boolean("stream")
    options = fields.get("stream_options")
    if options is None:
        return stream, False
    if not isinstance(options, dict):
        reject("stream_options must be an object.")
    if not stream and strict:
        # unsure: the pages show the field in streams only, and no refusal elsewhere.
        reject("The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    return stream, Fields(options, "stream_options").boolean("include_usage")


def _usage(reply: Reply) -> Mapping[str, Any]:
    return usage_of(reply.answer, reply.report) if reply.usage is None else reply.usage


def usage_of(answer: Answer, report: MediaReport) -> dict[str, Any]:
    """Count what the answer cost."""
    prompt, completion = report.total, answer.completion_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "audio_tokens": report.tokens("audio") or None,
            **cache_details(report),
            "image_tokens": report.tokens("image") or None,
            "text_tokens": report.text_tokens,
            "video_tokens": report.tokens("video") or None,
        },
        "completion_tokens_details": {
            "audio_tokens": None,
            "reasoning_tokens": answer.reasoning_tokens or None,
            "text_tokens": completion,
        },
    }


def _head(reply: Reply, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{reply.request_id}",
        "object": kind,
        "created": reply.created,
        "model": reply.exchange.conversation.model,
        "system_fingerprint": None,
        "service_tier": None,
    }


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _chunk(
    reply: Reply,
    delta: dict[str, Any],
    *,
    finish_reason: str | None = None,
    logprobs: dict[str, Any] | None = None,
) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": logprobs}
    return _event({**_head(reply, "chat.completion.chunk"), "choices": [choice], "usage": None})


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


def _deltas(reply: Reply) -> Iterator[dict[str, Any]]:
    answer = reply.answer
    yield _delta(content="", role="assistant")
    for chunk in answer.reasoning_chunks or chunks_of(answer.reasoning):
        yield _delta(reasoning=chunk)
    if answer.encrypted:
        # unsure: in which chunks it comes.
        yield {**_delta(content=None), "encrypted_content": answer.encrypted}
    for chunk in answer.text_chunks or chunks_of(answer.text):
        yield _delta(content=chunk)
    for at, call in enumerate(answer.tool_calls):
        for piece in call_deltas(call, at, reply.request_id, later_name=None):
            yield _delta(content=None, call=piece)


def _logprobs(text: str, reply: Reply) -> dict[str, Any] | None:
    content = probabilities(text, reply.alternatives)
    return None if content is None else {"content": content, "refusal": None}
