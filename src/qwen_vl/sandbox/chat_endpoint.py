"""The endpoint that answers questions: checks, looks, answers, and fails as prescribed."""

import asyncio
import time
import uuid
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from qwen_vl.sandbox.answers import Answer, compose
from qwen_vl.sandbox.engine import Receipt, has_media, receive
from qwen_vl.sandbox.error_forms import OPENAI
from qwen_vl.sandbox.faults import NO_FAULT, Fault, RawAnswer, ScriptedAnswer
from qwen_vl.sandbox.openai_protocol import (
    DONE,
    Envelope,
    Exchange,
    events,
    read_request,
    unknown_fields,
    usage_of,
    whole_body,
)
from qwen_vl.sandbox.reception import check_key, parsed, read_body, record
from qwen_vl.sandbox.recording import Ledger
from qwen_vl.sandbox.refusals import Refusal, refuse
from qwen_vl.sandbox.responses import (
    error_answer,
    fault_answer,
    faulty,
    streamed_answer,
    whole_answer,
)

BROKEN_EVENT = b'data: {"choices": [{"delta": \n\n'


class ChatEndpoint:
    """Answers for one ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        request_id = str(uuid.uuid4())
        try:
            return await self._answer(request, request_id)
        except Refusal as error:
            return error_answer(error, request_id, OPENAI)

    async def _answer(self, request: Request, request_id: str) -> Response:
        raw = await read_body(request)
        body = parsed(raw)
        record(self._ledger, request, raw, unknown_fields(body))
        check_key(self._ledger, request)
        fault = self._ledger.next_fault("chat") or NO_FAULT
        wants_stream = isinstance(body, dict) and bool(body.get("stream"))
        if fault.is_an_error_answer:
            await asyncio.sleep(fault.latency)
            return fault_answer(fault, request_id, OPENAI, stream=wants_stream)
        if body is None:
            refuse("The request body is not valid JSON.")
        exchange = read_request(body, request.headers, strict=self._ledger.strict)
        conversation = exchange.conversation
        storage = self._ledger.storage
        if has_media(conversation):
            receipt = await asyncio.to_thread(receive, conversation, storage)
        else:
            receipt = receive(conversation, storage)
        # Taken before any waiting: a client that gives up must not take a later one's answer.
        scripted = self._ledger.next_answer()
        await asyncio.sleep(fault.latency)
        if isinstance(scripted, RawAnswer):
            headers = {"x-request-id": request_id, **scripted.headers}
            return Response(scripted.body, scripted.status, headers)
        reply = _Reply(exchange, receipt, scripted, request_id)
        if exchange.stream:
            return self._stream(reply, fault)
        return whole_answer(reply.whole(), fault, request_id, OPENAI, headers=reply.headers)

    def _stream(self, reply: "_Reply", fault: Fault) -> Response:
        error = OPENAI.event(fault.error(), reply.request_id)
        chunks = faulty(reply.events(), fault, broken=BROKEN_EVENT, error=error, end=DONE)
        keep_alive = self._ledger.keep_alive
        return streamed_answer(chunks, fault.chunk_delay, reply.headers, keep_alive=keep_alive)


class _Reply:
    """One answer, ready to be shaped."""

    def __init__(
        self,
        exchange: Exchange,
        receipt: Receipt,
        scripted: ScriptedAnswer | None,
        request_id: str,
    ) -> None:
        conversation = exchange.conversation
        options = conversation.options
        self.request_id = request_id
        self.headers = {"x-request-id": request_id}
        self._include_usage = exchange.include_usage
        self._envelope = Envelope(f"chatcmpl-{request_id}", int(time.time()), conversation.model)
        self._logprobs = options.top_logprobs if options.logprobs else None
        if scripted is None:
            self._answer = compose(conversation, receipt)
            self._usage: Any = usage_of(self._answer, receipt)
            return
        self._answer = _as_answer(scripted)
        self._usage = scripted.usage or usage_of(self._answer, receipt)
        if scripted.partial:
            self.headers["x-dashscope-partialresponse"] = "true"

    def whole(self) -> bytes:
        return whole_body(self._envelope, self._answer, self._usage, self._logprobs)

    def events(self) -> Iterator[bytes]:
        usage = self._usage if self._include_usage else None
        return events(self._envelope, self._answer, usage, self._logprobs)


def _as_answer(scripted: ScriptedAnswer) -> Answer:
    text, reasoning = scripted.text or "", scripted.reasoning or ""
    finish = "tool_calls" if scripted.tool_calls else "stop"
    return Answer(
        text="".join(text),
        reasoning="".join(reasoning),
        tool_calls=scripted.tool_calls,
        finish_reason=scripted.finish_reason or finish,
        text_chunks=text if isinstance(text, tuple) else None,
        reasoning_chunks=reasoning if isinstance(reasoning, tuple) else None,
    )
