"""The lists of models, one for each protocol."""

import uuid
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from qwen_vl_sandbox.errors.api_error import ApiError, reject
from qwen_vl_sandbox.errors.hosted import NATIVE, OPENAI
from qwen_vl_sandbox.http.requests import check_key, record
from qwen_vl_sandbox.http.responses import error_answer, json_answer
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.specs.models import LISTED

PAGE_SIZE = 10


class ModelEndpoints:
    """Lists models for one ledger."""

    def __init__(self, recorder: Recorder) -> None:
        self._ledger = recorder

    async def compatible(self, request: Request) -> Response:
        """List them in the OpenAI-compatible protocol."""
        request_id = str(uuid.uuid4())
        record(self._ledger, request)
        try:
            check_key(self._ledger, request)
        except ApiError as error:
            return error_answer(error, request_id, OPENAI)
        # unsure: this path is not documented; the shape is OpenAI's own.
        data = [
            {"id": model, "object": "model", "created": 0, "owned_by": "system"} for model in LISTED
        ]
        return json_answer(orjson.dumps({"object": "list", "data": data}), request_id)

    async def native(self, request: Request) -> Response:
        """List a page of them in the native protocol, as the official SDK reads it."""
        request_id = str(uuid.uuid4())
        record(self._ledger, request)
        try:
            check_key(self._ledger, request)
            page = _listed(request)
        except ApiError as error:
            return error_answer(error, request_id, NATIVE)
        return json_answer(orjson.dumps({"request_id": request_id, "output": page}), request_id)


def _listed(request: Request) -> dict[str, Any]:
    number, size = _positive(request, "page_no", 1), _positive(request, "page_size", PAGE_SIZE)
    wanted = request.query_params.get("model")
    found = [model for model in LISTED if wanted in {None, model}]
    # unsure: no page prints this answer; these are the fields that the official SDK reads.
    models = [
        {"model": model, "provider": "qwen", "source": "qwen", "opensource": False}
        for model in found[(number - 1) * size : number * size]
    ]
    return {"page_no": number, "page_size": size, "total": len(found), "models": models}


def _positive(request: Request, name: str, default: int) -> int:
    value = request.query_params.get(name, str(default))
    if not value.isdecimal() or int(value) < 1:
        reject(f"{name} must be a positive integer.")
    return int(value)
