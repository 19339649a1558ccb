"""How servers that hold the model themselves write errors."""

from collections.abc import Callable
from typing import Any

import orjson

from qwen_vl_sandbox.errors.api_error import ApiError
from qwen_vl_sandbox.errors.hosted import ErrorForm

UNAUTHORIZED = 401

SCHEMA = "Bad Request"
"""vLLM's type of error for a body that does not have the right shape."""

_VLLM_TYPES = {
    400: "BadRequestError",
    404: "NotFoundError",
    # unsure: the types of the next three were not noted down when they were measured.
    422: "UnprocessableEntityError",
    500: "InternalServerError",
    501: "NotImplementedError",
}
_SGLANG_TYPES = {400: "BadRequest", 404: "NotFound", 500: "InternalServerError"}
_LLAMACPP_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    500: "server_error",
    501: "not_supported_error",
    503: "unavailable_error",
}
_OLLAMA_TYPES = {400: "invalid_request_error", 404: "not_found_error"}


def _vllm(error: ApiError) -> dict[str, Any]:
    if error.status == UNAUTHORIZED:
        return {"error": "Unauthorized"}
    kind = error.code or _VLLM_TYPES.get(error.status, "InternalServerError")
    fields = {"message": error.message, "type": kind, "param": error.param, "code": error.status}
    return {"error": fields}


def _sglang(error: ApiError) -> dict[str, Any]:
    # unsure: this body is from public threads.
    if error.status == UNAUTHORIZED:
        return {"error": "Unauthorized"}
    kind = error.code or _SGLANG_TYPES.get(error.status, "InternalServerError")
    return {
        "object": "error",
        "message": error.message,
        "type": kind,
        "param": None,
        "code": error.status,
    }


def _llamacpp(error: ApiError) -> dict[str, Any]:
    message = "Invalid API Key" if error.status == UNAUTHORIZED else error.message
    kind = error.code or _LLAMACPP_TYPES.get(error.status, "server_error")
    return {"error": {"code": error.status, "message": message, "type": kind}}


def _ollama(error: ApiError) -> dict[str, Any]:
    kind = error.code or _OLLAMA_TYPES.get(error.status, "api_error")
    return {"error": {"message": error.message, "type": kind, "param": None, "code": None}}


def _form(shape: Callable[[ApiError], dict[str, Any]]) -> ErrorForm:
    def body(error: ApiError, _request_id: str) -> bytes:
        return orjson.dumps(shape(error))

    def event(error: ApiError, _request_id: str) -> bytes:
        return b"data: " + orjson.dumps(shape(error)) + b"\n\n"

    return ErrorForm("application/json", body, event)


VLLM, SGLANG, LLAMACPP, OLLAMA = map(_form, (_vllm, _sglang, _llamacpp, _ollama))
