"""Bodies and answers of rerank requests, in the forms of the service, vLLM and SGLang.

The service's forms are on the Rerank page (2026-10). That of vLLM is of its version 0.32, that of
SGLang of its page about rerank models (2026-11).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Never, TypeAlias

from qwen_vl.content import Text, Turn
from qwen_vl.embedding.encode import find_native_url, to_chat_part, to_content
from qwen_vl.embedding.results import decode_usage, load_answer
from qwen_vl.errors import AnswerFormatError
from qwen_vl.reply import Usage
from qwen_vl.request.types import Request
from qwen_vl.specs.endpoints import NATIVE_PATH
from qwen_vl.wire.body import Body
from qwen_vl.wire.encode import write_body
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.json import as_object, as_text, find_request_id

RerankForm: TypeAlias = Literal["native", "native_text", "compatible", "vllm", "sglang"]
"""How a rerank model is asked: the service's own form, with objects or with texts only; its flat
form; or that of a self-hosted server."""

_NATIVE_RERANK_PATH = "/services/rerank/text-rerank/text-rerank"
_COMPATIBLE_PATH = "/compatible-api/v1/reranks"
_SELF_HOSTED_PATH = "/rerank"
_SHOWN_BYTES = 500


def find_rerank_url(base_url: str, form: RerankForm) -> str:
    """Return where requests go: a path behind the base URL, or a whole URL.

    Args:
        base_url: Of the endpoint.
        form: How the model is asked.

    Raises:
        ConfigurationError: The endpoint is not one of the hosted service.

    Example:
        >>> find_rerank_url("https://dashscope.aliyuncs.com/compatible-mode/v1", "compatible")
        'https://dashscope.aliyuncs.com/compatible-api/v1/reranks'
    """
    if form in {"vllm", "sglang"}:
        return _SELF_HOSTED_PATH
    if form == "compatible":
        return find_native_url(base_url, "").removesuffix(NATIVE_PATH) + _COMPATIBLE_PATH
    return find_native_url(base_url, _NATIVE_RERANK_PATH)


def encode_rerank(
    request: Request, *, form: RerankForm, top_n: int | None, instruction: str | None
) -> Body:
    """Write the body of a request.

    Args:
        request: The first turn is the query, each other one a document; its media can be sent.
        form: How the model is asked.
        top_n: Number of documents that are wanted.
        instruction: What the ranking is for.
    """
    query, *documents = request.turns
    name = "instruction" if form == "vllm" else "instruct"
    options = {"top_n": top_n, name: instruction}
    chosen = {key: value for key, value in options.items() if value is not None}
    values = {
        "query": _to_value(query, form),
        "documents": [_to_value(document, form) for document in documents],
    }
    body: dict[str, Any]
    if form in {"native", "native_text"}:
        body = {"model": request.model, "input": values, "parameters": chosen}
    else:
        body = {"model": request.model, **values, **chosen}
    return write_body(request, body)


def _to_value(turn: Turn, form: RerankForm) -> Any:
    match turn.parts, form:
        case (part,), "native":
            return to_content(part)
        case (Text(text=text),), _:
            return text
        case parts, "vllm":
            # A list of parts as the documents themselves would be one document.
            return {"content": [to_chat_part(part) for part in parts]}
        case parts, _:
            return [to_chat_part(part) for part in parts]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedDocument:
    """A document, and how relevant it is.

    Args:
        index: Its place among the documents, from 0 on.
        score: From 0 to 1. Scores of different requests cannot be compared.
    """

    index: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """Documents by relevance, the best first.

    Args:
        results: The documents that were wanted.
        model: The model that ranked them.
        usage: What it cost.
        request_id: What the service's support asks for.
    """

    results: tuple[RankedDocument, ...]
    model: str
    usage: Usage | None = None
    request_id: str | None = None


def decode_ranking(
    body: bytes,
    headers: Mapping[str, str],
    *,
    model: str,
    documents: Mapping[int, str],
    top_n: int | None,
) -> Ranking:
    """Read an answer in any of the forms.

    Args:
        body: The HTTP body of a 200.
        headers: Its headers, names in lower case.
        model: The model that was asked.
        documents: How errors name each document that was sent, by its place among all of them.
        top_n: Number of documents that were wanted; `None` for all.

    Raises:
        ServiceError: The body is an error nevertheless.
        AnswerFormatError: A document is missing, double, not one that was sent, or lacks a finite
            score.
    """
    loaded = load_answer(body)
    data = as_object(loaded)
    output = data.get("output")
    found = data.get("results") if output is None else as_object(output).get("results")
    if isinstance(loaded, list):
        found = loaded
    if not isinstance(found, list):
        raise decode_error(None, body, headers)
    positions, names = list(documents), list(documents.values())
    scores: dict[int, float] = {}
    for entry in map(as_object, found):
        index: Any = entry.get("index")
        if type(index) is not int or not 0 <= index < len(documents):
            _refuse(f"The answer ranks index {index!r}; {len(documents)} were sent.", body)
        if index in scores:
            _refuse(f"{names[index]}: The answer ranks it twice.", body)
        score = entry.get("relevance_score", entry.get("score"))
        if type(score) not in {int, float} or not math.isfinite(score):
            _refuse(f"{names[index]}: The score {score!r} is not a finite number.", body)
        scores[index] = float(score)
    wanted = len(documents) if top_n is None else min(top_n, len(documents))
    if len(scores) != wanted:
        missing = [name for at, name in enumerate(names) if at not in scores]
        what = f" {', '.join(missing)} lack one." if wanted == len(documents) else ""
        _refuse(f"The answer has {len(scores)} scores; {wanted} were asked for.{what}", body)
    # The service sorts them; servers are not trusted to.
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    return Ranking(
        results=tuple(RankedDocument(index=positions[at], score=score) for at, score in ranked),
        model=model,
        usage=decode_usage(data.get("usage")),
        request_id=find_request_id(data, headers) or as_text(data.get("id")),
    )


def _refuse(problem: str, body: bytes) -> Never:
    raise AnswerFormatError(problem, text=body[:_SHOWN_BYTES].decode(errors="replace"))
