"""The routes, and what is answered where there is none."""

import uuid

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qwen_vl_sandbox.errors.hosted import NATIVE, OPENAI, STORAGE, ErrorForm
from qwen_vl_sandbox.errors.refusal import Refusal, refuse
from qwen_vl_sandbox.http.chat import ChatEndpoint
from qwen_vl_sandbox.http.models import ModelEndpoints
from qwen_vl_sandbox.http.requests import check_key, parsed, read_body, record
from qwen_vl_sandbox.http.responses import error_answer, json_answer
from qwen_vl_sandbox.http.uploads import POLICY_PATH, STORAGE_PATH, UploadEndpoints
from qwen_vl_sandbox.protocols.base import ChatProtocol
from qwen_vl_sandbox.protocols.native import WRONG_PATH, NativeProtocol
from qwen_vl_sandbox.protocols.openai import OpenAIProtocol
from qwen_vl_sandbox.protocols.self_hosted import SERVED, DialectProtocol
from qwen_vl_sandbox.recorder import Ledger
from qwen_vl_sandbox.specs.models import admitted_facts
from qwen_vl_sandbox.specs.servers import Dialect

SELF_HOSTED_CHAT_PATH = "/v1/chat/completions"
SELF_HOSTED_MODELS_PATH = "/v1/models"
WRONG_METHOD = 405


def build_dialect_app(ledger: Ledger, dialect: Dialect) -> Starlette:
    """Make the application that serves one ledger in a dialect."""
    protocol = DialectProtocol(dialect)
    endpoints = _Endpoints(ledger, protocol, dialect)
    routes = [
        Route(SELF_HOSTED_CHAT_PATH, ChatEndpoint(ledger, protocol).answer, methods=["POST"]),
        Route(SELF_HOSTED_MODELS_PATH, endpoints.models, methods=["GET"]),
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


CHAT_PATH = "/compatible-mode/v1/chat/completions"
MODELS_PATH = "/compatible-mode/v1/models"
NATIVE_PATH = "/api/v1/services/aigc/multimodal-generation/generation"
NATIVE_TEXT_PATH = "/api/v1/services/aigc/text-generation/generation"
NATIVE_MODELS_PATH = "/api/v1/models"
OTHER_ENDPOINTS = ("/compatible-mode/", "/api/v1/", "/api/v2/", "/apps/")
"""Where the service has endpoints that the sandbox has not."""


def build_app(ledger: Ledger, dialect: Dialect | None = None) -> Starlette:
    """Make the application that serves one ledger, as the service or as another server."""
    return _service(ledger) if dialect is None else build_dialect_app(ledger, dialect)


def _service(ledger: Ledger) -> Starlette:
    native, compatible = NativeProtocol(), OpenAIProtocol()
    elsewhere = _Elsewhere(ledger, native, compatible)
    models, uploads = ModelEndpoints(ledger), UploadEndpoints(ledger)
    routes = [
        Route(CHAT_PATH, ChatEndpoint(ledger, compatible).answer, methods=["POST"]),
        Route(MODELS_PATH, models.compatible, methods=["GET"]),
        Route(NATIVE_PATH, ChatEndpoint(ledger, native).answer, methods=["POST"]),
        Route(NATIVE_TEXT_PATH, elsewhere.text_generation, methods=["POST"]),
        Route(NATIVE_MODELS_PATH, models.native, methods=["GET"]),
        Route(POLICY_PATH, uploads.policy, methods=["GET"]),
        Route(STORAGE_PATH, uploads.store, methods=["POST"]),
    ]
    return Starlette(
        routes=routes, exception_handlers={HTTPException: elsewhere.missing, Exception: _broken}
    )


async def _broken(request: Request, error: Exception) -> Response:
    refusal = Refusal(f"The sandbox itself has failed: {error!r}", status=500)
    return error_answer(refusal, str(uuid.uuid4()), _form_of(request))


def _form_of(request: Request) -> ErrorForm:
    path = request.url.path
    if path.startswith(STORAGE_PATH):
        return STORAGE
    return NATIVE if path.startswith("/api/") else OPENAI


class _Elsewhere:
    """Answers where the sandbox has nothing to say, in the service's shape."""

    def __init__(self, ledger: Ledger, native: ChatProtocol, compatible: ChatProtocol) -> None:
        self._ledger = ledger
        self._native = native
        self._compatible = compatible

    async def missing(self, request: Request, error: Exception) -> Response:
        """Answer 404 and 405."""
        form = _form_of(request)
        await self._record(request, self._native if form is NATIVE else self._compatible)
        status = error.status_code if isinstance(error, HTTPException) else 404
        code = None if form is STORAGE else "not_found"
        refusal = Refusal(_missing(request), status=status, code=code)
        return error_answer(refusal, str(uuid.uuid4()), form)

    async def text_generation(self, request: Request) -> Response:
        """Send vision models away: each model has one of the two native addresses."""
        request_id = str(uuid.uuid4())
        body = parsed(await self._record(request, self._native))
        try:
            check_key(self._ledger, request)
            facts = admitted_facts(body.get("model") if isinstance(body, dict) else None)
            if not facts.is_on_text_path:
                refuse(WRONG_PATH)
            refuse(_missing(request), status=404, code="not_found")
        except Refusal as error:
            return error_answer(error, request_id, NATIVE)

    async def _record(self, request: Request, protocol: ChatProtocol) -> bytes:
        raw = await read_body(request)
        record(self._ledger, request, raw, protocol.unknown_fields(parsed(raw)))
        return raw


def _missing(request: Request) -> str:
    path = request.url.path
    if not path.startswith(OTHER_ENDPOINTS):
        return f"{request.method} {path} is not found."
    return (
        f"{request.method} {path} is not implemented in the sandbox, "
        f"which answers POST {CHAT_PATH} and POST {NATIVE_PATH}."
    )
