"""Specs of the models that rank documents by relevance to a query (Rerank page, 2026-10)."""

from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_RERANK_MODEL = "qwen3-vl-rerank"

MAX_IMAGE_BYTES = 10_000_000
"""Maximum bytes of an image. unsure: the page names none; this is that of `qwen3-vl-embedding`."""

_BOTH_REGIONS = ("cn-beijing", "ap-southeast-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankSpec:
    """What one rerank model of the hosted service accepts.

    Args:
        max_texts: Maximum number of texts among the documents of a request.
        max_images: Maximum number of images; 0 where only texts are ranked.
        max_videos: Maximum number of videos.
        max_query_tokens: Tokens of the query, the rest of which is cut off.
        max_document_tokens: Tokens of a document, the rest of which is cut off.
        max_request_tokens: Tokens of a request, in which the query counts once for each document.
        takes_instruction: Whether it reads what the ranking is for.
        is_compatible: Whether it is asked by the flat form at `/compatible-api/v1/reranks`.
        regions: Where the model is served.
    """

    max_texts: int
    max_images: int = 0
    max_videos: int = 0
    max_query_tokens: int
    max_document_tokens: int
    max_request_tokens: int
    takes_instruction: bool = True
    is_compatible: bool = False
    regions: tuple[str, ...] = ("cn-beijing",)


_QWEN3_VL = RerankSpec(
    max_texts=100,
    max_images=40,
    max_videos=4,
    max_query_tokens=4_000,
    max_document_tokens=8_000,
    # unsure: one copy of 2026-02 has 800,000.
    max_request_tokens=120_000,
)

RERANK_MODELS: Mapping[str, RerankSpec] = {
    "qwen3-vl-rerank": _QWEN3_VL,
    "qwen3-rerank": RerankSpec(
        max_texts=500,
        max_query_tokens=4_000,
        max_document_tokens=4_000,
        max_request_tokens=120_000,
        is_compatible=True,
        regions=_BOTH_REGIONS,
    ),
    "gte-rerank-v2": RerankSpec(
        max_texts=500,
        max_query_tokens=4_000,
        max_document_tokens=4_000,
        max_request_tokens=30_000,
        takes_instruction=False,
    ),
}
"""The models of the hosted service."""


def get_rerank_spec(model: str) -> RerankSpec:
    """Find what a rerank model accepts.

    Args:
        model: A model id; one that is not known counts as of the newest family.

    Example:
        >>> get_rerank_spec("qwen3-rerank").max_texts
        500
        >>> get_rerank_spec("qwen9-vl-rerank").max_images
        40
    """
    return RERANK_MODELS.get(model.lower(), _QWEN3_VL)
