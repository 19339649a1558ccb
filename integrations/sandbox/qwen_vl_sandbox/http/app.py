"""The routes, what is answered where there is none, and who is not answered at all."""

import ipaddress
import uuid
from collections.abc import Collection
from urllib.parse import urlsplit

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from qwen_vl_sandbox.errors.api_error import ApiError, reject
from qwen_vl_sandbox.errors.hosted import NATIVE, OPENAI, STORAGE, ErrorForm
from qwen_vl_sandbox.http.batches import BatchEndpoints
from qwen_vl_sandbox.http.chat import ChatEndpoint
from qwen_vl_sandbox.http.files import FileEndpoints
from qwen_vl_sandbox.http.models import ModelEndpoints
from qwen_vl_sandbox.http.requests import check_key, parsed, read_body, record
from qwen_vl_sandbox.http.responses import error_answer, json_answer
from qwen_vl_sandbox.http.service import ServiceEndpoint
from qwen_vl_sandbox.http.uploads import POLICY_PATH, STORAGE_PATH, UploadEndpoints
from qwen_vl_sandbox.protocols.base import ChatProtocol
from qwen_vl_sandbox.protocols.embeddings import embedding_service
from qwen_vl_sandbox.protocols.native import WRONG_PATH, NativeProtocol
from qwen_vl_sandbox.protocols.openai import OpenAIProtocol
from qwen_vl_sandbox.protocols.rerank import flat_rerank_service, rerank_service
from qwen_vl_sandbox.protocols.self_hosted import SERVED, SelfHostedProtocol
from qwen_vl_sandbox.protocols.self_hosted_embeddings import find_embedding_service
from qwen_vl_sandbox.protocols.self_hosted_rerank import find_rerank_service
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.specs.models import admitted_spec
from qwen_vl_sandbox.specs.servers import Server

SELF_HOSTED_CHAT_PATH = "/v1/chat/completions"
_WITH_ROOT = frozenset({"vllm", "sglang"})
SELF_HOSTED_MODELS_PATH = "/v1/models"
SELF_HOSTED_RERANK_PATH = "/v1/rerank"
SELF_HOSTED_EMBEDDING_PATH = "/v1/embeddings"
WRONG_METHOD = 405


def build_self_hosted_app(recorder: Recorder, server: Server) -> Starlette:
    """Create the application that serves one ledger in a server."""
    protocol = SelfHostedProtocol(server)
    endpoints = _Endpoints(recorder, protocol, server)
    routes = [
        Route(SELF_HOSTED_CHAT_PATH, ChatEndpoint(recorder, protocol).answer, methods=["POST"]),
        Route(SELF_HOSTED_MODELS_PATH, endpoints.models, methods=["GET"]),
    ]
    embeddings = find_embedding_service(recorder, server)
    if embeddings is not None:
        answer = ServiceEndpoint(recorder, embeddings).answer
        routes.append(Route(SELF_HOSTED_EMBEDDING_PATH, answer, methods=["POST"]))
    rerank = find_rerank_service(recorder, server)
    if rerank is not None:
        answer = ServiceEndpoint(recorder, rerank).answer
        routes.append(Route(SELF_HOSTED_RERANK_PATH, answer, methods=["POST"]))
    handlers = {HTTPException: endpoints.missing, Exception: endpoints.broken}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Endpoints:
    def __init__(self, recorder: Recorder, protocol: SelfHostedProtocol, server: Server) -> None:
        self._ledger = recorder
        self._protocol = protocol
        self._server = server

    async def models(self, request: Request) -> Response:
        request_id = str(uuid.uuid4())
        record(self._ledger, request)
        try:
            check_key(self._ledger, request)
        except ApiError as error:
            return error_answer(error, request_id, self._server.errors)
        # unsure: each server adds its own fields; these are what all have. `root` is of
        # vllm-project/vllm, vllm/entrypoints/openai/protocol.py, `ModelCard`; SGLang has it too.
        names = self._server.served or {model: model for model in SERVED}
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": self._server.name}
            | ({"root": root} if self._server.name in _WITH_ROOT else {})
            for name, root in names.items()
        ]
        return json_answer(orjson.dumps({"object": "list", "data": data}), request_id)

    async def missing(self, request: Request, error: Exception) -> Response:
        raw = await read_body(request)
        record(self._ledger, request, raw, self._protocol.unknown_fields(parsed(raw)))
        status = error.status_code if isinstance(error, HTTPException) else 404
        body, media_type = self._server.not_found
        if status == WRONG_METHOD:
            body = body.replace(b"Not Found", b"Method Not Allowed")
        return Response(body, status, media_type=media_type)

    async def broken(self, _request: Request, error: Exception) -> Response:
        refusal = ApiError(f"The sandbox itself has failed: {error!r}", status=500)
        return error_answer(refusal, str(uuid.uuid4()), self._server.errors)


CHAT_PATH = "/compatible-mode/v1/chat/completions"
MODELS_PATH = "/compatible-mode/v1/models"
FILES_PATH = "/compatible-mode/v1/files"
BATCHES_PATH = "/compatible-mode/v1/batches"
NATIVE_PATH = "/api/v1/services/aigc/multimodal-generation/generation"
NATIVE_TEXT_PATH = "/api/v1/services/aigc/text-generation/generation"
NATIVE_MODELS_PATH = "/api/v1/models"
EMBEDDING_PATH = "/api/v1/services/embeddings/multimodal-embedding/multimodal-embedding"
RERANK_PATH = "/api/v1/services/rerank/text-rerank/text-rerank"
FLAT_RERANK_PATH = "/compatible-api/v1/reranks"
OTHER_ENDPOINTS = ("/compatible-mode/", "/api/v1/", "/api/v2/", "/apps/")
"""Paths of the service's endpoints that the sandbox lacks."""


def build_app(recorder: Recorder, server: Server | None = None) -> Starlette:
    """Create the application that serves one ledger, as the service or as another server."""
    return _service(recorder) if server is None else build_self_hosted_app(recorder, server)


def _service(recorder: Recorder) -> Starlette:
    native, compatible = NativeProtocol(), OpenAIProtocol(batch="chat" if recorder.batch else None)
    elsewhere = _Elsewhere(recorder, native, compatible)
    embeddings = ServiceEndpoint(recorder, embedding_service(recorder))
    rerank = ServiceEndpoint(recorder, rerank_service(recorder))
    flat_rerank = ServiceEndpoint(recorder, flat_rerank_service(recorder))
    models, uploads = ModelEndpoints(recorder), UploadEndpoints(recorder)
    routes = [
        Route(CHAT_PATH, ChatEndpoint(recorder, compatible).answer, methods=["POST"]),
        Route(MODELS_PATH, models.compatible, methods=["GET"]),
        Route(NATIVE_PATH, ChatEndpoint(recorder, native).answer, methods=["POST"]),
        Route(NATIVE_TEXT_PATH, elsewhere.text_generation, methods=["POST"]),
        Route(NATIVE_MODELS_PATH, models.native, methods=["GET"]),
        Route(EMBEDDING_PATH, embeddings.answer, methods=["POST"]),
        Route(RERANK_PATH, rerank.answer, methods=["POST"]),
        Route(FLAT_RERANK_PATH, flat_rerank.answer, methods=["POST"]),
        Route(POLICY_PATH, uploads.policy, methods=["GET"]),
        Route(STORAGE_PATH, uploads.store, methods=["POST"]),
        *_batch_routes(recorder),
    ]
    if recorder.batch:
        # The host of Batch Chat lacks other endpoints (Batch-Chat page, 2026-10).
        routes = routes[:1]
    return Starlette(
        routes=routes, exception_handlers={HTTPException: elsewhere.missing, Exception: _broken}
    )


def _batch_routes(recorder: Recorder) -> list[Route]:
    files, batches = FileEndpoints(recorder), BatchEndpoints(recorder)
    return [
        Route(FILES_PATH, files.upload, methods=["POST"]),
        Route(FILES_PATH, files.list, methods=["GET"]),
        Route(f"{FILES_PATH}/{{id}}", files.retrieve, methods=["GET"]),
        Route(f"{FILES_PATH}/{{id}}", files.delete, methods=["DELETE"]),
        Route(f"{FILES_PATH}/{{id}}/content", files.content, methods=["GET"]),
        Route(BATCHES_PATH, batches.create, methods=["POST"]),
        Route(BATCHES_PATH, batches.list, methods=["GET"]),
        Route(f"{BATCHES_PATH}/{{id}}", batches.retrieve, methods=["GET"]),
        Route(f"{BATCHES_PATH}/{{id}}/cancel", batches.cancel, methods=["POST"]),
    ]


async def _broken(request: Request, error: Exception) -> Response:
    refusal = ApiError(f"The sandbox itself has failed: {error!r}", status=500)
    return error_answer(refusal, str(uuid.uuid4()), _form_of(request))


def _form_of(request: Request) -> ErrorForm:
    path = request.url.path
    if path.startswith(STORAGE_PATH):
        return STORAGE
    return NATIVE if path.startswith("/api/") else OPENAI


class _Elsewhere:
    """Answers where the sandbox has nothing to say, in the service's shape."""

    def __init__(self, recorder: Recorder, native: ChatProtocol, compatible: ChatProtocol) -> None:
        self._ledger = recorder
        self._native = native
        self._compatible = compatible

    async def missing(self, request: Request, error: Exception) -> Response:
        """Answer 404 and 405."""
        form = _form_of(request)
        await self._record(request, self._native if form is NATIVE else self._compatible)
        status = error.status_code if isinstance(error, HTTPException) else 404
        code = None if form is STORAGE else "not_found"
        refusal = ApiError(_missing(request), status=status, code=code)
        return error_answer(refusal, str(uuid.uuid4()), form)

    async def text_generation(self, request: Request) -> Response:
        """Send vision models away: each model has one of the two native URLs."""
        request_id = str(uuid.uuid4())
        body = parsed(await self._record(request, self._native))
        try:
            check_key(self._ledger, request)
            spec = admitted_spec(body.get("model") if isinstance(body, dict) else None)
            if not spec.is_on_text_path:
                reject(WRONG_PATH)
            reject(_missing(request), status=404, code="not_found")
        except ApiError as error:
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


_FORBIDDEN = 403


class HostGuard:
    """Answers requests for this machine only.

    A page whose host name an attacker points to this machine could otherwise read what the
    sandbox answers, and have it fetch URLs of this machine. IP addresses cannot be pointed
    elsewhere, so they are allowed; so is `localhost`.

    Args:
        app: The application.
        hosts: Further host names.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            refusal = self._find_fault(headers.get(b"host"), headers.get(b"origin"))
            if refusal is not None:
                await PlainTextResponse(f"{refusal}\n", _FORBIDDEN)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _find_fault(self, host: bytes | None, origin: bytes | None) -> str | None:
        named = (host or b"").decode("latin-1")
        if not self._is_allowed(f"//{named}"):
            return (
                f"The Host header {named[:100]!r} is not allowed. Use an IP address or localhost, "
                "or pass allowed_hosts=… to the sandbox."
            )
        if origin is not None and not self._is_allowed(origin.decode("latin-1")):
            return "Requests of web pages are not answered."
        return None

    def _is_allowed(self, url: str) -> bool:
        try:
            host = (urlsplit(url).hostname or "").rstrip(".")
            return host in self._hosts or bool(ipaddress.ip_address(host))
        except ValueError:
            return False
