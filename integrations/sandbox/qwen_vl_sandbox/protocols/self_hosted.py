"""The OpenAI protocol as servers that hold the model themselves speak it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.media.hosted import MediaReport, arguments_text
from qwen_vl_sandbox.media.hosted_tokens import pieces, text_tokens
from qwen_vl_sandbox.media.self_hosted import receive
from qwen_vl_sandbox.media.self_hosted_tokens import MARKERS
from qwen_vl_sandbox.protocols.base import ParsedRequest, Reply
from qwen_vl_sandbox.protocols.shapes import probabilities
from qwen_vl_sandbox.reading.conversation import Conversation, Tool, ToolCall
from qwen_vl_sandbox.reading.self_hosted_messages import read_messages, unknown_in_messages
from qwen_vl_sandbox.reading.self_hosted_parameters import (
    read_delivery,
    read_media_options,
    read_options,
    unknown_parameters,
)
from qwen_vl_sandbox.specs.models import NEWEST
from qwen_vl_sandbox.specs.servers import Server
from qwen_vl_sandbox.storage import Storage

_STOP_TOKEN = 151_645
"""The token that ends an answer, which one server names."""


def whole_answer(reply: Reply, server: Server) -> bytes:
    """Shape an answer that is not streamed."""
    answer = reply.answer
    calls = [_call(call, at, reply, server) for at, call in enumerate(answer.tool_calls)]
    message: dict[str, Any] = {"role": "assistant", "content": _content(reply, server)}
    if answer.reasoning:
        message[server.reasoning_key] = answer.reasoning
    if server.name == "vllm":
        message = {"refusal": None, "annotations": None, "audio": None, **message}
        message.setdefault("reasoning", None)
        message["tool_calls"] = calls
    elif calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, **_ending(reply, server)}
    choice["logprobs"] = _logprobs(answer.text, reply)
    body = {**_head(reply, server, "chat.completion"), "choices": [choice]}
    if server.name == "llamacpp":
        body["timings"] = _timings(reply)
    return orjson.dumps({**body, "usage": _usage(reply, server, answer.completion_tokens)})


def answer_events(reply: Reply, server: Server) -> Iterator[bytes]:
    """Shape a stream, `[DONE]` apart."""
    head = _head(reply, server, "chat.completion.chunk")
    exchange = reply.exchange
    sent = 0
    deltas = list(_deltas(reply, server))
    # Cut by length, the last piece of text carries the reason; else an empty delta does.
    is_cut = reply.answer.finish_reason == "length" and server.name == "vllm"
    if not is_cut:
        closing = {"role": "assistant", "content": ""} if server.name == "ollama" else {}
        deltas.append(closing)
    for at, delta in enumerate(deltas):
        is_last = at == len(deltas) - 1
        ending = _ending(reply, server) if is_last else {"finish_reason": None}
        text = delta.get("content") if at else None
        choice = {"index": 0, "delta": delta, "logprobs": None, **ending}
        if text:
            choice["logprobs"] = _logprobs(text, reply)
        body: dict[str, Any] = {**head, "choices": [choice]}
        sent += text_tokens(text or "") + text_tokens(delta.get(server.reasoning_key) or "")
        if exchange.running_usage:
            body["usage"] = _usage(reply, server, min(sent, reply.answer.completion_tokens))
        yield _event(body)
    if exchange.include_usage:
        usage = _usage(reply, server, reply.answer.completion_tokens)
        yield _event({**head, "choices": [], "usage": usage})


def _deltas(reply: Reply, server: Server) -> Iterator[dict[str, Any]]:
    answer = reply.answer
    size = server.pieces_per_chunk
    role = {"role": "assistant"} if server.name == "ollama" else {}
    if server.name != "ollama":
        yield {"role": "assistant", "content": None if server.name == "llamacpp" else ""}
    for chunk in answer.reasoning_chunks or _chunks(answer.reasoning, size):
        yield {**role, server.reasoning_key: chunk}
    for chunk in answer.text_chunks or _chunks(answer.text, size):
        yield {**role, "content": chunk}
    for at, call in enumerate(answer.tool_calls):
        whole = {"index": at, **_call(call, at, reply, server)}
        if not server.streams_arguments:
            yield {**role, "content": "", "tool_calls": [whole]}
            continue
        yield {"content": None, "tool_calls": [{**whole, "function": {"name": call.name}}]}
        for chunk in _chunks(arguments_text(call), size):
            yield {
                "content": None,
                "tool_calls": [{"index": at, "function": {"arguments": chunk}}],
            }


def _content(reply: Reply, server: Server) -> str | None:
    answer = reply.answer
    choice = reply.exchange.conversation.options.tool_choice
    if answer.text or server.name == "ollama":
        return answer.text
    if answer.tool_calls:
        # A call that was not forced leaves no content, a forced one an empty text.
        return None if choice == "auto" else ""
    return None if answer.reasoning else ""


def _ending(reply: Reply, server: Server) -> dict[str, Any]:
    answer = reply.answer
    reason = answer.finish_reason
    is_named = isinstance(reply.exchange.conversation.options.tool_choice, Tool)
    if is_named and answer.tool_calls and reason == "tool_calls":
        reason = server.named_finish
    ending: dict[str, Any] = {"finish_reason": reason}
    if server.name == "vllm":
        ending["stop_reason"] = None
    if server.name == "sglang":
        ending["matched_stop"] = None if reason == "length" else _STOP_TOKEN
    return ending


def _call(call: ToolCall, at: int, reply: Reply, server: Server) -> dict[str, Any]:
    made = f"{server.call_id}{reply.request_id.replace('-', '')[:24]}{at:08x}"
    return {
        "id": call.id or made,
        "type": "function",
        "function": {"name": call.name, "arguments": arguments_text(call)},
    }


def _head(reply: Reply, server: Server, kind: str) -> dict[str, Any]:
    head: dict[str, Any] = {
        "id": f"chatcmpl-{reply.request_id.replace('-', '')}",
        "object": kind,
        "created": reply.created,
        "model": reply.exchange.conversation.model,
    }
    if server.name == "ollama":
        head["system_fingerprint"] = "fp_ollama"
    return head


def _usage(reply: Reply, server: Server, completion: int) -> Mapping[str, Any]:
    if reply.usage is not None:
        return reply.usage
    report, answer = reply.report, reply.answer
    usage: dict[str, Any] = {
        "prompt_tokens": report.total,
        "total_tokens": report.total + completion,
        "completion_tokens": completion,
    }
    match server.name:
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
    for inspected in reply.report.sights:
        if inspected.tokens:
            counts[inspected.kind] = counts.get(inspected.kind, 0) + inspected.tokens - MARKERS
    return counts


def _timings(reply: Reply) -> dict[str, Any]:
    # The sandbox takes no time worth telling.
    prompt, predicted = reply.report.total, reply.answer.completion_tokens
    return {"prompt_n": prompt, "prompt_ms": 0.0, "predicted_n": predicted, "predicted_ms": 0.0}


def _logprobs(text: str, reply: Reply) -> dict[str, Any] | None:
    content = probabilities(text, reply.alternatives)
    return None if content is None else {"content": content}


def _chunks(text: str, size: int) -> list[str]:
    parts = pieces(text)
    return ["".join(parts[at : at + size]) for at in range(0, len(parts), size)]


def _event(body: Mapping[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


SERVED = ("Qwen/Qwen3-VL-8B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct")
"""The ids that `GET /v1/models` names."""


class SelfHostedProtocol:
    """One server's protocol."""

    end = b"data: [DONE]\n\n"
    broken_event = b'data: {"choices": [{"delta": \n\n'

    def __init__(self, server: Server) -> None:
        self._server = server
        self.errors = server.errors

    def unknown_fields(self, body: Any) -> tuple[str, ...]:
        """Name the fields of a request that the server ignores, as paths."""
        if not isinstance(body, dict):
            return ()
        messages = unknown_in_messages(body.get("messages"), self._server)
        return (*unknown_parameters(body, self._server), *messages)

    def wants_stream(self, body: Any, headers: Mapping[str, str]) -> bool:  # noqa: ARG002 - the native protocol needs them.
        """Return whether a request, good or not, asks for a stream."""
        return isinstance(body, dict) and bool(body.get("stream"))

    def read(self, body: Any, headers: Mapping[str, str], *, strict: bool) -> ParsedRequest:  # noqa: ARG002 - the service needs them.
        """Read and check a request.

        Raises:
            ApiError: The server would not take it.
        """
        server = self._server
        if not isinstance(body, dict):
            reject("The request body must be a JSON object.", code=server.shape_code)
        model = _served(body.get("model"), server)
        delivery = read_delivery(body, server)
        media = read_media_options(body, server)
        conversation = Conversation(
            model=model,
            spec=NEWEST,
            messages=read_messages(body.get("messages"), server, media),
            options=read_options(body, server, model),
            strict=strict,
        )
        return ParsedRequest(
            conversation,
            delivery.stream,
            include_usage=delivery.include_usage,
            running_usage=delivery.running_usage,
            reasoning=delivery.reasoning,
        )

    def receive(self, conversation: Conversation, storage: Storage) -> MediaReport:  # noqa: ARG002 - the service has a storage.
        """Inspect all media of a conversation and count its tokens."""
        return receive(conversation, self._server)

    def whole(self, reply: Reply) -> bytes:
        """Shape an answer that is not streamed."""
        return whole_answer(_placed(reply), self._server)

    def events(self, reply: Reply) -> Iterator[bytes]:
        """Shape a stream, `[DONE]` apart."""
        return answer_events(_placed(reply), self._server)


def _served(model: Any, server: Server) -> str:
    if model is None:
        return next(iter(server.served), SERVED[0])
    if isinstance(model, str) and model in server.served:
        return model
    # Whatever looks like one of the models is taken as served, so that tests may name theirs.
    if not isinstance(model, str) or not any(word in model.lower() for word in ("qwen", "vl")):
        reject(f"The model `{model}` does not exist.", status=404, param="model")
    return model


def _placed(reply: Reply) -> Reply:
    """Put the reasoning where the request wants it."""
    answer = reply.answer
    match reply.exchange.reasoning:
        case "left_out":
            return replace(reply, answer=replace(answer, reasoning="", reasoning_chunks=None))
        case "within" if answer.reasoning:
            text = f"<think>\n{answer.reasoning}\n</think>\n\n{answer.text}"
            moved = replace(
                answer, text=text, reasoning="", reasoning_chunks=None, text_chunks=None
            )
            return replace(reply, answer=moved)
        case _:
            return reply
