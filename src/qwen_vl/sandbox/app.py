"""The routes, and what is answered where there is none."""

import uuid

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qwen_vl.sandbox.chat_endpoint import ChatEndpoint
from qwen_vl.sandbox.error_forms import NATIVE, OPENAI, STORAGE, ErrorForm
from qwen_vl.sandbox.models import LISTED
from qwen_vl.sandbox.openai_protocol import unknown_fields
from qwen_vl.sandbox.reception import check_key, parsed, read_body, record
from qwen_vl.sandbox.recording import Ledger
from qwen_vl.sandbox.refusals import Refusal
from qwen_vl.sandbox.responses import error_answer, json_answer
from qwen_vl.sandbox.upload_endpoints import POLICY_PATH, STORAGE_PATH, UploadEndpoints

CHAT_PATH = "/compatible-mode/v1/chat/completions"
MODELS_PATH = "/compatible-mode/v1/models"
OTHER_ENDPOINTS = ("/compatible-mode/", "/api/v1/", "/api/v2/", "/apps/")
"""Where the service has endpoints that the sandbox has not."""


def build_app(ledger: Ledger) -> Starlette:
    """Make the application that serves one ledger."""
    elsewhere, uploads = _Endpoints(ledger), UploadEndpoints(ledger)
    routes = [
        Route(CHAT_PATH, ChatEndpoint(ledger).answer, methods=["POST"]),
        Route(MODELS_PATH, elsewhere.models, methods=["GET"]),
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


class _Endpoints:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def models(self, request: Request) -> Response:
        request_id = str(uuid.uuid4())
        record(self._ledger, request)
        try:
            check_key(self._ledger, request)
        except Refusal as error:
            return error_answer(error, request_id, OPENAI)
        # unsure: this path is not documented; the shape is OpenAI's own.
        data = [
            {"id": model, "object": "model", "created": 0, "owned_by": "system"} for model in LISTED
        ]
        return json_answer(orjson.dumps({"object": "list", "data": data}), request_id)

    async def missing(self, request: Request, error: Exception) -> Response:
        """Answer 404 and 405 in the service's shape."""
        raw = await read_body(request)
        record(self._ledger, request, raw, unknown_fields(parsed(raw)))
        status = error.status_code if isinstance(error, HTTPException) else 404
        path = request.url.path
        message = f"{request.method} {path} is not found."
        if path.startswith(OTHER_ENDPOINTS):
            message = (
                f"{request.method} {path} is not implemented in the sandbox, "
                f"which answers POST {CHAT_PATH} and GET {MODELS_PATH}."
            )
        form = _form_of(request)
        code = None if form is STORAGE else "not_found"
        refusal = Refusal(message, status=status, code=code)
        return error_answer(refusal, str(uuid.uuid4()), form)
