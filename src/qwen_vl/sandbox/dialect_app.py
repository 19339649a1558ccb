"""The routes of servers that hold the model themselves."""

import uuid

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qwen_vl.sandbox.chat_endpoint import ChatEndpoint
from qwen_vl.sandbox.dialect_protocol import SERVED, DialectProtocol
from qwen_vl.sandbox.dialects import Dialect
from qwen_vl.sandbox.reception import check_key, parsed, read_body, record
from qwen_vl.sandbox.recording import Ledger
from qwen_vl.sandbox.refusals import Refusal
from qwen_vl.sandbox.responses import error_answer, json_answer

CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"
WRONG_METHOD = 405


def build_dialect_app(ledger: Ledger, dialect: Dialect) -> Starlette:
    """Make the application that serves one ledger in a dialect."""
    protocol = DialectProtocol(dialect)
    endpoints = _Endpoints(ledger, protocol, dialect)
    routes = [
        Route(CHAT_PATH, ChatEndpoint(ledger, protocol).answer, methods=["POST"]),
        Route(MODELS_PATH, endpoints.models, methods=["GET"]),
    ]
    handlers = {HTTPException: endpoints.missing, Exception: endpoints.broken}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Endpoints:
    def __init__(self, ledger: Ledger, protocol: DialectProtocol, dialect: Dialect) -> None:
        self._ledger = ledger
        self._protocol = protocol
        self._dialect = dialect

    async def models(self, request: Request) -> Response:
        request_id = str(uuid.uuid4())
        record(self._ledger, request)
        try:
            check_key(self._ledger, request)
        except Refusal as error:
            return error_answer(error, request_id, self._dialect.errors)
        # unsure: each server adds fields of its own; these are what all have.
        data = [
            {"id": model, "object": "model", "created": 0, "owned_by": self._dialect.name}
            for model in SERVED
        ]
        return json_answer(orjson.dumps({"object": "list", "data": data}), request_id)

    async def missing(self, request: Request, error: Exception) -> Response:
        raw = await read_body(request)
        record(self._ledger, request, raw, self._protocol.unknown_fields(parsed(raw)))
        status = error.status_code if isinstance(error, HTTPException) else 404
        body, media_type = self._dialect.not_found
        if status == WRONG_METHOD:
            body = body.replace(b"Not Found", b"Method Not Allowed")
        return Response(body, status, media_type=media_type)

    async def broken(self, _request: Request, error: Exception) -> Response:
        refusal = Refusal(f"The sandbox itself has failed: {error!r}", status=500)
        return error_answer(refusal, str(uuid.uuid4()), self._dialect.errors)
