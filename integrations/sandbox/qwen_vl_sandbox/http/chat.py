"""The endpoint that answers questions: checks, looks, answers, and fails as prescribed."""

import asyncio
import uuid

from starlette.requests import Request
from starlette.responses import Response

from qwen_vl_sandbox.errors.api_error import ApiError, reject
from qwen_vl_sandbox.faults import NO_FAULT, Fault, RawAnswer
from qwen_vl_sandbox.http.log import log_entry, shorten
from qwen_vl_sandbox.http.requests import check_key, parsed, read_body, record
from qwen_vl_sandbox.http.responses import (
    error_answer,
    fault_answer,
    faulty,
    streamed_answer,
    whole_answer,
)
from qwen_vl_sandbox.media.hosted import MediaReport
from qwen_vl_sandbox.media.hosted_tokens import text_tokens
from qwen_vl_sandbox.protocols.answerer import Answerer
from qwen_vl_sandbox.protocols.base import ChatProtocol, Reply
from qwen_vl_sandbox.reading.conversation import Conversation
from qwen_vl_sandbox.reading.validation import read_wait
from qwen_vl_sandbox.recorder import Recorder


class ChatEndpoint:
    """Answers for one ledger, in one protocol."""

    def __init__(self, recorder: Recorder, protocol: ChatProtocol) -> None:
        self._ledger = recorder
        self._protocol = protocol
        self._answerer = Answerer(recorder, protocol)

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        request_id = str(uuid.uuid4())
        try:
            return await self._answer(request, request_id)
        except ApiError as error:
            log_entry(request).received.append(f"rejected: {shorten(str(error))}")
            return error_answer(error, request_id, self._protocol.errors)

    async def _answer(self, request: Request, request_id: str) -> Response:
        raw = await read_body(request)
        body = parsed(raw)
        if isinstance(body, dict):
            log_entry(request).model = str(body.get("model", ""))
        protocol = self._protocol
        record(self._ledger, request, raw, protocol.unknown_fields(body))
        check_key(self._ledger, request)
        self._ledger.rates.admit()
        wait = read_wait(request.headers, strict=self._ledger.strict)
        fault = (self._ledger.next_fault("chat") or NO_FAULT).queued(wait)
        if fault.is_an_error_answer:
            await asyncio.sleep(fault.latency)
            stream = protocol.wants_stream(body, request.headers)
            return fault_answer(fault, request_id, protocol.errors, stream=stream)
        if body is None:
            reject("The request body is not valid JSON.")
        exchange, report = await self._answerer.receive(body, request.headers)
        log_entry(request).received[:] = _list_received(exchange.conversation, report)
        # Taken before any waiting: a client that gives up must not take a later one's answer.
        scripted = self._ledger.next_answer()
        await asyncio.sleep(fault.latency)
        headers = {"x-request-id": request_id}
        if isinstance(scripted, RawAnswer):
            return Response(scripted.body, scripted.status, {**headers, **scripted.headers})
        if scripted is not None and scripted.partial:
            headers["x-dashscope-partialresponse"] = "true"
        reply = await self._answerer.reply(exchange, report, request_id, scripted)
        self._ledger.rates.count(reply.report.total + text_tokens(reply.answer.text))
        if exchange.stream:
            return self._stream(reply, fault, headers)
        return whole_answer(
            protocol.whole(reply), fault, request_id, protocol.errors, headers=headers
        )

    def _stream(self, reply: Reply, fault: Fault, headers: dict[str, str]) -> Response:
        protocol = self._protocol
        chunks = faulty(
            protocol.events(reply),
            fault,
            broken=protocol.broken_event,
            error=protocol.errors.event(fault.error(), reply.request_id),
            end=protocol.end,
        )
        keep_alive = self._ledger.keep_alive
        return streamed_answer(chunks, fault.chunk_delay, headers, keep_alive=keep_alive)


def _list_received(conversation: Conversation, report: MediaReport) -> list[str]:
    """Return what a request held, in few words."""
    # A description begins with the format and the size.
    media = [f"{seen.kind} {seen.description.partition(',')[0]}" for seen in report.sights]
    n_messages, n_tools = len(conversation.messages), len(conversation.options.tools)
    tools = [f"{n_tools} tool{'s' if n_tools > 1 else ''}"] if n_tools else []
    messages = f"{n_messages} message{'s' if n_messages > 1 else ''}"
    return [messages, *media, *tools, f"{report.total:,} tokens"]
