"""Endpoints that answer with one JSON object: checks, faults and scripted answers, then work."""

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from qwen_vl_sandbox.errors.api_error import ApiError, reject
from qwen_vl_sandbox.errors.hosted import ErrorForm
from qwen_vl_sandbox.faults import NO_FAULT, RawAnswer
from qwen_vl_sandbox.http.log import log_entry, shorten
from qwen_vl_sandbox.http.requests import check_key, parsed, read_body, record
from qwen_vl_sandbox.http.responses import error_answer, fault_answer, whole_answer
from qwen_vl_sandbox.reading.validation import read_wait
from qwen_vl_sandbox.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What one endpoint does.

    Args:
        errors: How it writes errors.
        unknown_fields: Names the fields of a request that no page documents.
        answer: Returns the answer's object to a body, headers and request id.
    """

    errors: ErrorForm
    unknown_fields: Callable[[Any], tuple[str, ...]]
    answer: Callable[[Any, Mapping[str, str], str], Any]


class ServiceEndpoint:
    """Answers for one ledger."""

    def __init__(self, recorder: Recorder, service: Service) -> None:
        self._ledger = recorder
        self._service = service

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        request_id = str(uuid.uuid4())
        try:
            return await self._answer(request, request_id)
        except ApiError as error:
            log_entry(request).received.append(f"rejected: {shorten(str(error))}")
            return error_answer(error, request_id, self._service.errors)

    async def _answer(self, request: Request, request_id: str) -> Response:
        raw = await read_body(request)
        body = parsed(raw)
        if isinstance(body, dict):
            log_entry(request).model = str(body.get("model", ""))
        service = self._service
        record(self._ledger, request, raw, service.unknown_fields(body))
        check_key(self._ledger, request)
        self._ledger.rates.admit()
        wait = read_wait(request.headers, strict=self._ledger.strict)
        fault = (self._ledger.next_fault("chat") or NO_FAULT).queued(wait)
        if fault.is_an_error_answer:
            await asyncio.sleep(fault.latency)
            return fault_answer(fault, request_id, service.errors, stream=False)
        if not isinstance(body, dict):
            reject("The request body must be a JSON object.")
        made = await asyncio.to_thread(service.answer, body, dict(request.headers), request_id)
        # Taken before any waiting: a client that gives up must not take a later one's answer.
        scripted = self._ledger.next_answer()
        await asyncio.sleep(fault.latency)
        headers = {"x-request-id": request_id}
        if isinstance(scripted, RawAnswer):
            return Response(scripted.body, scripted.status, {**headers, **scripted.headers})
        if scripted is not None:
            reject("A scripted answer of a chat was next in order. Script this one by script_raw.")
        return whole_answer(orjson.dumps(made), fault, request_id, service.errors)
