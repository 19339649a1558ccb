"""The routes: HTTP in, HTTP out, and the faults that a test prescribes in between."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from qwen_vl.sandbox.answers import Answer, compose
from qwen_vl.sandbox.engine import Receipt, has_media, receive
from qwen_vl.sandbox.faults import Fault, RawAnswer, ScriptedAnswer
from qwen_vl.sandbox.models import LISTED
from qwen_vl.sandbox.openai_protocol import (
    DONE,
    Envelope,
    Exchange,
    event,
    events,
    read_request,
    unknown_fields,
    usage_of,
    whole_body,
)
from qwen_vl.sandbox.recording import Ledger, RecordedRequest, redacted
from qwen_vl.sandbox.refusals import Refusal, error_body, refuse
from qwen_vl.sandbox.sources import MAX_BODY_BYTES

CHAT_PATH = "/compatible-mode/v1/chat/completions"
MODELS_PATH = "/compatible-mode/v1/models"
OTHER_ENDPOINTS = ("/compatible-mode/", "/api/v1/", "/api/v2/", "/apps/")
"""Where the service has endpoints that the sandbox has not."""

EVENT_STREAM = "text/event-stream;charset=UTF-8"
KEEP_ALIVE = b": keep-alive\n\n"
BROKEN_EVENT = b'data: {"choices": [{"delta": \n\n'
GATEWAY_PAGE = b"<html><head><title>%d</title></head><body><h1>%d</h1></body></html>"
NO_ANSWER = Fault()


class ConnectionCut(Exception):  # noqa: N818 - an intended end of the connection, not an error.
    """Makes the server close the connection without ending its answer."""


def build_app(ledger: Ledger) -> Starlette:
    """Make the application that serves one ledger."""
    endpoints = _Endpoints(ledger)
    routes = [
        Route(CHAT_PATH, endpoints.chat, methods=["POST"]),
        Route(MODELS_PATH, endpoints.models, methods=["GET"]),
    ]
    return Starlette(
        routes=routes, exception_handlers={HTTPException: endpoints.elsewhere, Exception: _broken}
    )


async def _broken(_request: Request, error: Exception) -> Response:
    refusal = Refusal(f"The sandbox itself has failed: {error!r}", status=500)
    return _error(refusal, str(uuid.uuid4()))


class _Endpoints:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def models(self, request: Request) -> Response:
        request_id = str(uuid.uuid4())
        try:
            self._admit(request, b"", None)
        except Refusal as error:
            return _error(error, request_id)
        # unsure: this path is not documented; the shape is OpenAI's own.
        data = [
            {"id": model, "object": "model", "created": 0, "owned_by": "system"} for model in LISTED
        ]
        return _json(orjson.dumps({"object": "list", "data": data}), request_id)

    async def elsewhere(self, request: Request, error: Exception) -> Response:
        """Answer 404 and 405 in the service's shape."""
        body = await request.body()
        self._record(request, body, None)
        status = error.status_code if isinstance(error, HTTPException) else 404
        path = request.url.path
        message = f"{request.method} {path} is not found."
        if path.startswith(OTHER_ENDPOINTS):
            message = (
                f"{request.method} {path} is not implemented in the sandbox, "
                f"which answers POST {CHAT_PATH} and GET {MODELS_PATH}."
            )
        refusal = Refusal(message, status=status, code="not_found")
        return _error(refusal, str(uuid.uuid4()))

    async def chat(self, request: Request) -> Response:
        request_id = str(uuid.uuid4())
        try:
            return await self._chat(request, request_id)
        except Refusal as error:
            return _error(error, request_id)

    async def _chat(self, request: Request, request_id: str) -> Response:
        raw = await _read(request)
        body = _parsed(raw)
        self._admit(request, raw, body)
        fault = self._ledger.next_fault() or NO_ANSWER
        wants_stream = isinstance(body, dict) and bool(body.get("stream"))
        if fault.is_an_error_answer:
            await asyncio.sleep(fault.latency)
            return _fault_answer(fault, request_id, stream=wants_stream)
        if body is None:
            refuse("The request body is not valid JSON.")
        exchange = read_request(body, request.headers, strict=self._ledger.strict)
        conversation = exchange.conversation
        if has_media(conversation):
            receipt = await asyncio.to_thread(receive, conversation)
        else:
            receipt = receive(conversation)
        # Taken before any waiting: a client that gives up must not take a later one's answer.
        scripted = self._ledger.next_answer()
        await asyncio.sleep(fault.latency)
        if isinstance(scripted, RawAnswer):
            headers = {"x-request-id": request_id, **scripted.headers}
            return Response(scripted.body, scripted.status, headers)
        reply = _Reply(exchange, receipt, scripted, request_id)
        if exchange.stream:
            return self._stream(reply, fault)
        return _whole(reply, fault)

    def _stream(self, reply: "_Reply", fault: Fault) -> Response:
        chunks = _faulty(reply.events(), fault, reply.request_id)
        if self._ledger.keep_alive:
            chunks = _kept_alive(chunks)
        return StreamingResponse(
            _paced(chunks, fault.chunk_delay), headers=reply.headers, media_type=EVENT_STREAM
        )

    def _admit(self, request: Request, raw: bytes, body: Any) -> None:
        self._record(request, raw, body)
        if not self._ledger.accepts(request.headers.get("authorization", "")):
            refuse("Incorrect API key provided.", status=401)

    def _record(self, request: Request, raw: bytes, body: Any) -> None:
        self._ledger.requests.append(
            RecordedRequest(
                method=request.method,
                path=request.url.path,
                headers=redacted(request.headers),
                body=raw,
                unknown_fields=unknown_fields(body),
            )
        )


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


async def _read(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY_BYTES:
                refuse(f"The request body is larger than {MAX_BODY_BYTES} bytes.", status=413)
            parts.append(part)
    except ClientDisconnect:
        refuse("The client has gone away.")
    return b"".join(parts)


def _parsed(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def _whole(reply: _Reply, fault: Fault) -> Response:
    if fault.error_event_after is not None:
        return _fault_answer(fault, reply.request_id, stream=False, status=200)
    body = reply.whole()
    if fault.broken_event:
        return _json(body[: len(body) // 2], reply.request_id)
    if fault.cut_after_chunks is not None:
        return StreamingResponse(
            _cut_body(body),
            headers={**reply.headers, "content-length": str(len(body))},
            media_type="application/json",
        )
    return Response(body, headers=reply.headers, media_type="application/json")


async def _cut_body(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    raise ConnectionCut


def _faulty(chunks: Iterator[bytes], fault: Fault, request_id: str) -> Iterator[bytes]:
    """Send chunks as a fault has them, and the end unless the fault takes it away."""
    for sent, chunk in enumerate(chunks):
        if fault.cut_after_chunks == sent:
            raise ConnectionCut
        if fault.error_event_after == sent:
            yield event(error_body(fault.error(), request_id))
            return
        yield chunk
        if fault.broken_event and sent == 0:
            yield BROKEN_EVENT
    if fault.cut_after_chunks is not None:
        raise ConnectionCut
    yield DONE


def _kept_alive(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for at, chunk in enumerate(chunks):
        yield chunk
        if at == 0:
            yield KEEP_ALIVE


async def _paced(chunks: Iterable[bytes], delay: float) -> AsyncIterator[bytes]:
    for chunk in chunks:
        # Without a pause the server would send nothing before the last chunk is made.
        await asyncio.sleep(delay)
        yield chunk


def _fault_answer(
    fault: Fault, request_id: str, *, stream: bool, status: int | None = None
) -> Response:
    headers = {"x-request-id": request_id}
    if fault.retry_after is not None:
        headers["retry-after"] = f"{fault.retry_after:g}"
    error = fault.error()
    if status is None:
        status = 200 if fault.error_in_200 else error.status
    if fault.html_body:
        page = GATEWAY_PAGE % (status, status)
        return Response(page, status, headers, media_type="text/html")
    body = error_body(error, request_id)
    if fault.sse_error_body or (stream and fault.error_in_200):
        return Response(event(body), status, headers, media_type=EVENT_STREAM)
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def _error(error: Refusal, request_id: str) -> Response:
    return _json(orjson.dumps(error_body(error, request_id)), request_id, status=error.status)


def _json(body: bytes, request_id: str, *, status: int = 200) -> Response:
    headers = {"x-request-id": request_id}
    return Response(body, status, headers, media_type="application/json")
