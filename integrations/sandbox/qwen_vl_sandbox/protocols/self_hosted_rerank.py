"""Ranking as vLLM 0.32 and SGLang 0.5 do it, at `/v1/rerank`.

Of vLLM: vllm/entrypoints/pooling. Of SGLang: its page about rerank models (2026-11).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qwen_vl_sandbox.answers.ranking import rank
from qwen_vl_sandbox.answers.vectors import Features, read_words
from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.http.service import Service
from qwen_vl_sandbox.media.fetch import MAX_BODY_BYTES, Loader
from qwen_vl_sandbox.media.hosted_tokens import text_tokens
from qwen_vl_sandbox.protocols.embeddings import load_image, load_video, make_loader
from qwen_vl_sandbox.reading.validation import Fields
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.specs.servers import Server

_VLLM_FIELDS = frozenset(
    {"model", "query", "documents", "top_n", "instruction", "mm_processor_kwargs"}
    | {"truncate_prompt_tokens", "use_activation", "user", "priority"}
)
_SGLANG_FIELDS = frozenset({"model", "query", "documents", "top_n", "instruct", "return_documents"})


def find_rerank_service(recorder: Recorder, server: Server) -> Service | None:
    """Return how a server ranks; `None` where it does not."""
    known: Mapping[str, tuple[frozenset[str], Callable[..., Any]]] = {
        "vllm": (_VLLM_FIELDS, _answer_as_vllm),
        "sglang": (_SGLANG_FIELDS, _answer_as_sglang),
    }
    if server.name not in known:
        return None
    fields, shape = known[server.name]

    def unknown(body: Any) -> tuple[str, ...]:
        return tuple(name for name in body if name not in fields) if _is_object(body) else ()

    def answer(body: dict[str, Any], headers: Mapping[str, str], request_id: str) -> Any:
        loader = make_loader(recorder, str(body.get("model")), headers, MAX_BODY_BYTES)
        return shape(body, loader, request_id)

    return Service(errors=server.errors, unknown_fields=unknown, answer=answer)


def _is_object(body: Any) -> bool:
    return isinstance(body, dict)


def _answer_as_vllm(body: dict[str, Any], loader: Loader, request_id: str) -> Any:
    documents = body.get("documents")
    if isinstance(documents, dict | str):
        # One object is one document, however many parts it has.
        documents = [documents]
    if not isinstance(documents, list) or not documents:
        reject("documents must be a list.")
    Fields(body).string("instruction")
    values = [_of_vllm(one, f"documents[{at}]") for at, one in enumerate(documents)]
    ranked, n_tokens = _rank(_of_vllm(body.get("query"), "query"), values, loader)
    top_n = Fields(body).integer("top_n", 0, 2**31) or len(documents)
    results = [
        {
            "index": at,
            "document": {"text": one, "multi_modal": None}
            if isinstance(one := documents[at], str)
            else {"text": None, "multi_modal": one["content"]},
            "relevance_score": score,
        }
        for at, score in ranked[:top_n]
    ]
    usage = {"prompt_tokens": n_tokens, "total_tokens": n_tokens}
    return {
        "id": f"rerank-{request_id}",
        "model": body.get("model"),
        "usage": usage,
        "results": results,
    }


def _of_vllm(value: Any, path: str) -> Any:
    if isinstance(value, str):
        return value
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list):
        reject(f"{path} must be a string or an object with content.")
    return content


def _answer_as_sglang(body: dict[str, Any], loader: Loader, _request_id: str) -> Any:
    documents = body.get("documents")
    if not isinstance(documents, list) or not documents:
        reject("documents must be a list with content.")
    fields = Fields(body)
    fields.string("instruct")
    ranked, _ = _rank(body.get("query"), documents, loader)
    top_n = fields.integer("top_n", 1, 2**31) or len(documents)
    # unsure: whether documents come back where nothing is said.
    returns = fields.boolean("return_documents", default=True)
    return [
        {"score": score, "index": at} | ({"document": documents[at]} if returns else {})
        for at, score in ranked[:top_n]
    ]


def _rank(
    query: Any, documents: Sequence[Any], loader: Loader
) -> tuple[list[tuple[int, float]], int]:
    read = [_read(one, f"documents[{at}]", loader) for at, one in enumerate(documents)]
    asked, n_tokens = _read(query, "query", loader)
    total = n_tokens * len(read) + sum(tokens for _, tokens in read)
    return rank(asked, [features for features, _ in read]), total


def _read(value: Any, path: str, loader: Loader) -> tuple[list[Features], int]:
    if isinstance(value, str):
        return [read_words(value)], text_tokens(value)
    if not isinstance(value, list) or not value:
        reject(f"{path} must be a string or a list of parts.")
    features: list[Features] = []
    total = 0
    for at, part in enumerate(value):
        found, tokens = read_part(part, f"{path}[{at}]", loader)
        features.append(found)
        total += tokens
    return features, total


def read_part(part: Any, path: str, loader: Loader) -> tuple[Features, int]:
    """Read one part of a content: what it shows or says, and its tokens.

    Raises:
        ApiError: It is none that the servers take.
    """
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return (read_words(part["text"]) if part["text"] else {}), text_tokens(part["text"])
    held = part.get(kind) if kind in {"image_url", "video_url"} else None
    url = held.get("url") if isinstance(held, dict) else None
    if not isinstance(url, str):
        reject(f"{path} must be a text, image_url or video_url part.")
    if kind == "video_url":
        return load_video(url, path, loader), 0
    return load_image(url, loader)
