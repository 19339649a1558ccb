"""The routes, and what is answered where there is none."""

import uuid

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qwen_vl.sandbox.chat_endpoint import ChatEndpoint
from qwen_vl.sandbox.dialect_app import build_dialect_app
from qwen_vl.sandbox.dialects import Dialect
from qwen_vl.sandbox.error_forms import NATIVE, OPENAI, STORAGE, ErrorForm
from qwen_vl.sandbox.exchange import ChatProtocol
from qwen_vl.sandbox.model_endpoints import ModelEndpoints
from qwen_vl.sandbox.models import admitted_facts
from qwen_vl.sandbox.native_protocol import WRONG_PATH, NativeProtocol
from qwen_vl.sandbox.openai_protocol import OpenAIProtocol
from qwen_vl.sandbox.reception import check_key, parsed, read_body, record
from qwen_vl.sandbox.recording import Ledger
from qwen_vl.sandbox.refusals import Refusal, refuse
from qwen_vl.sandbox.responses import error_answer
from qwen_vl.sandbox.upload_endpoints import POLICY_PATH, STORAGE_PATH, UploadEndpoints

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
