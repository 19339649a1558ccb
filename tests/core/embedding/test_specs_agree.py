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
