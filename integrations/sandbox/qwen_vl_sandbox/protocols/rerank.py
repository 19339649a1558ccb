"""The service's two ways to rank documents: the native one, and the flat one for texts.

Shapes are those of the Rerank page (2026-10).
"""

from collections.abc import Mapping
from typing import Any

from qwen_vl_sandbox.answers.ranking import rank
from qwen_vl_sandbox.answers.vectors import Features, read_words
from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.errors.hosted import NATIVE, OPENAI
from qwen_vl_sandbox.http.service import Service
from qwen_vl_sandbox.media.fetch import Loader
from qwen_vl_sandbox.media.hosted_tokens import text_tokens
from qwen_vl_sandbox.protocols.embeddings import load_image, load_video, make_loader
from qwen_vl_sandbox.protocols.native import WRONG_PATH
from qwen_vl_sandbox.reading.validation import Fields
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.specs.retrieval import MB, RERANK_MODELS, RerankModel

_PARAMETERS = frozenset({"top_n", "return_documents", "instruct", "fps"})
_FLAT_FIELDS = frozenset({"model", "query", "documents", "top_n", "instruct"})
_KINDS = ("text", "image", "video")
_BATCH = "Value error, batch size is invalid, it should not be larger than {}.: input.documents"
# unsure: no page names it.
_MAX_IMAGE_BYTES = 10 * MB


def rerank_service(recorder: Recorder) -> Service:
    """Return the native service."""
    return Service(errors=NATIVE, unknown_fields=_unknown_fields, answer=_Rerank(recorder).answer)


def flat_rerank_service(recorder: Recorder) -> Service:
    """Return the service of the flat form."""
    # unsure: which form its errors have.
    return Service(
        errors=OPENAI, unknown_fields=_unknown_flat_fields, answer=_Rerank(recorder).answer_flat
    )


def _unknown_fields(body: Any) -> tuple[str, ...]:
    if not isinstance(body, dict):
        return ()
    found = [name for name in body if name not in {"model", "input", "parameters"}]
    for name, known in (("input", {"query", "documents"}), ("parameters", _PARAMETERS)):
        values = body.get(name)
        if isinstance(values, dict):
            found += [f"{name}.{field}" for field in values if field not in known]
    return tuple(found)


def _unknown_flat_fields(body: Any) -> tuple[str, ...]:
    return tuple(name for name in body if name not in _FLAT_FIELDS) if _is_object(body) else ()


def _is_object(body: Any) -> bool:
    return isinstance(body, dict)


class _Rerank:
    def __init__(self, recorder: Recorder) -> None:
        self._ledger = recorder

    def answer(
        self, body: dict[str, Any], headers: Mapping[str, str], request_id: str
    ) -> dict[str, Any]:
        """Answer a native request."""
        model = _read_model(body)
        if model.is_flat:
            reject(WRONG_PATH)
        values, parameters = body.get("input"), body.get("parameters", {})
        if not isinstance(values, dict) or not isinstance(parameters, dict):
            reject("input and parameters must be objects.")
        fields = Fields(parameters, "parameters")
        fields.number("fps", 0.0, 1.0)
        loader = make_loader(self._ledger, body["model"], headers, _MAX_IMAGE_BYTES)
        results, total = _rank(values, fields, model, loader)
        documents = values["documents"]
        if fields.boolean("return_documents"):
            for result in results:
                document = documents[result["index"]]
                text = {"text": document} if isinstance(document, str) else document
                result["document"] = text
        return {
            "output": {"results": results},
            "usage": {"total_tokens": total},
            "request_id": request_id,
        }

    def answer_flat(
        self, body: dict[str, Any], headers: Mapping[str, str], request_id: str
    ) -> dict[str, Any]:
        """Answer a request of the flat form."""
        model = _read_model(body)
        if not model.is_flat:
            reject(f"The model {body['model']!r} is not supported here.")
        loader = make_loader(self._ledger, body["model"], headers, _MAX_IMAGE_BYTES)
        results, total = _rank(body, Fields(body), model, loader)
        return {
            "object": "list",
            "results": results,
            "model": body["model"],
            "id": request_id,
            "usage": {"total_tokens": total},
        }


def _read_model(body: Mapping[str, Any]) -> RerankModel:
    model = RERANK_MODELS.get(str(body.get("model")))
    return model or reject("Model not exist.", status=404)


def _rank(
    values: Mapping[str, Any], fields: Fields, model: RerankModel, loader: Loader
) -> tuple[list[dict[str, Any]], int]:
    documents = values.get("documents")
    if not isinstance(documents, list) or not documents:
        reject("documents must be a list with content.")
    if fields.string("instruct") is not None and not model.takes_instruction:
        reject("instruct is not supported by the model.")
    top_n = fields.integer("top_n", 1, 2**31) or len(documents)
    query, of_query = _read(values.get("query"), "query", model, loader)
    if query[0] == "video":
        reject("query must be a text or an image.")
    read = [_read(one, f"documents[{at}]", model, loader) for at, one in enumerate(documents)]
    limits = {"text": model.max_texts, "image": model.max_images, "video": model.max_videos}
    for kind, limit in limits.items():
        if sum(found[0] == kind for found, _ in read) > limit:
            reject(_BATCH.format(limit))
    ranked = rank([query[1]], [[found[1]] for found, _ in read])
    results = [{"index": at, "relevance_score": score} for at, score in ranked[:top_n]]
    return results, of_query * len(documents) + sum(tokens for _, tokens in read)


def _read(
    value: Any, path: str, model: RerankModel, loader: Loader
) -> tuple[tuple[str, Features], int]:
    if isinstance(value, str):
        value = {"text": value}
    elif not model.max_images:
        reject(f"{path} must be a string.")
    kinds = [kind for kind in _KINDS if isinstance(value, dict) and kind in value]
    # unsure: what becomes of a document with a text and an image.
    if len(kinds) != 1:
        reject(f"{path} must have one of text, image and video.")
    kind, held = kinds[0], value[kinds[0]]
    if not isinstance(held, str) or not held:
        reject(f"{path}.{kind} must be a string with content.")
    if kind == "text":
        return (kind, read_words(held)), text_tokens(held)
    if kind == "video":
        return (kind, load_video(held, path, loader)), 0
    features, tokens = load_image(held, loader)
    return (kind, features), tokens
