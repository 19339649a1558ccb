"""The limits of the core and those of the sandbox, which was written from the pages separately."""

import pytest

from qwen_vl.specs.embedding import EMBEDDING_MODELS
from qwen_vl.specs.rerank import RERANK_MODELS
from qwen_vl_sandbox.specs import retrieval

pytestmark = pytest.mark.any_version

KINDS = {
    "qwen3": "flag",
    "qwen2.5": "always",
    "snapshot": "object",
    "vision": "none",
    "v1": "none",
}


@pytest.mark.parametrize("model", sorted(EMBEDDING_MODELS | retrieval.EMBEDDING_MODELS))
def test_embedding_models_agree(model: str) -> None:
    ours, theirs = EMBEDDING_MODELS[model], retrieval.EMBEDDING_MODELS[model]

    assert (ours.dimensions, ours.fusion) == (theirs.dimensions, KINDS[theirs.kind])
    assert ours.max_image_bytes == theirs.max_image_bytes
    for own, other in (
        (ours.max_elements, theirs.max_elements),
        (ours.max_images, theirs.max_images),
        (ours.max_videos, theirs.max_videos),
    ):
        # What no page limits is limited here all the same.
        assert other is None or own == other


@pytest.mark.parametrize(
    ("model", "megabytes", "tokens"),
    [
        # Multimodal-embedding page, 2026-11.
        ("qwen3-vl-embedding", 50, 32_000),
        ("qwen2.5-vl-embedding", 50, 32_000),
        ("tongyi-embedding-vision-plus-2026-03-06", 50, 1_024),
        ("tongyi-embedding-vision-flash-2026-03-06", 50, 1_024),
        ("tongyi-embedding-vision-plus", 10, 1_024),
        ("tongyi-embedding-vision-flash", 10, 1_024),
        ("multimodal-embedding-v1", 10, 512),
    ],
)
def test_longest_videos_and_texts(model: str, megabytes: int, tokens: int) -> None:
    spec = EMBEDDING_MODELS[model]

    assert spec.max_video_bytes == megabytes * 1_000_000
    assert spec.max_text_tokens == tokens


@pytest.mark.parametrize("model", sorted(RERANK_MODELS | retrieval.RERANK_MODELS))
def test_rerank_models_agree(model: str) -> None:
    ours, theirs = RERANK_MODELS[model], retrieval.RERANK_MODELS[model]

    assert (ours.max_texts, ours.max_images, ours.max_videos) == (
        theirs.max_texts,
        theirs.max_images,
        theirs.max_videos,
    )
    assert (ours.takes_instruction, ours.is_compatible) == (
        theirs.takes_instruction,
        theirs.is_flat,
    )


@pytest.mark.parametrize(
    ("model", "of_query", "of_document", "of_request"),
    [
        # Rerank page, 2026-10.
        ("qwen3-vl-rerank", 4_000, 8_000, 120_000),
        ("qwen3-rerank", 4_000, 4_000, 120_000),
        ("gte-rerank-v2", 4_000, 4_000, 30_000),
    ],
)
def test_tokens_of_rerank_models(
    model: str, of_query: int, of_document: int, of_request: int
) -> None:
    spec = RERANK_MODELS[model]

    assert (spec.max_query_tokens, spec.max_document_tokens, spec.max_request_tokens) == (
        of_query,
        of_document,
        of_request,
    )


# docs/embeddings.md: elements, images, videos, and images of one sequence.
@pytest.mark.parametrize(
    ("model", "counts"),
    [
        ("qwen3-vl-embedding", (20, 5, 1, 0)),
        ("qwen2.5-vl-embedding", (20, 1, 1, 0)),
        ("tongyi-embedding-vision-plus-2026-03-06", (20, 64, 8, 64)),
        ("tongyi-embedding-vision-flash-2026-03-06", (20, 64, 8, 64)),
        ("tongyi-embedding-vision-plus", (20, 8, 1, 8)),
        ("tongyi-embedding-vision-flash", (20, 8, 1, 8)),
        ("multimodal-embedding-v1", (20, 1, 1, 0)),
    ],
)
def test_counts_of_a_request(model: str, counts: tuple[int, ...]) -> None:
    spec = EMBEDDING_MODELS[model]

    found = (spec.max_elements, spec.max_images, spec.max_videos, spec.max_sequence)
    assert found == counts
    assert spec.max_texts == (1 if model == "qwen2.5-vl-embedding" else None)
