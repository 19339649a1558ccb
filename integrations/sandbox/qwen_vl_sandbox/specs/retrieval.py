"""What the embedding and rerank models of the service accept.

Figures are those of the Multimodal-embedding page (2026-11) and the Rerank page (2026-10).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

MB = 1_000_000


@dataclass(frozen=True, slots=True)
class EmbeddingModel:
    """One embedding model."""

    dimensions: tuple[int, ...]
    """Lengths of vectors, the default first; a single one cannot be chosen."""
    kind: Literal["qwen3", "qwen2.5", "snapshot", "vision", "v1"]
    max_images: int | None
    max_videos: int | None
    max_image_bytes: int
    max_elements: int | None = 20


_SNAPSHOT_PLUS = EmbeddingModel((1152, 1024, 512, 256, 128, 64), "snapshot", 64, 8, 10 * MB)
_SNAPSHOT_FLASH = EmbeddingModel((768, 512, 256, 128, 64), "snapshot", 64, 8, 10 * MB)
# unsure: the number of images and videos; the page limits tokens only, without a figure.
_PLUS = EmbeddingModel((1152,), "vision", None, None, 3 * MB, None)
_FLASH = EmbeddingModel((768,), "vision", None, None, 3 * MB, None)

EMBEDDING_MODELS: Mapping[str, EmbeddingModel] = {
    # unsure: 5 images, or 10 on another page.
    "qwen3-vl-embedding": EmbeddingModel(
        (2560, 2048, 1536, 1024, 768, 512, 256), "qwen3", 5, 1, 10 * MB
    ),
    "qwen2.5-vl-embedding": EmbeddingModel((1024, 2048, 768, 512), "qwen2.5", 1, 1, 5 * MB),
    "tongyi-embedding-vision-plus-2026-03-06": _SNAPSHOT_PLUS,
    "tongyi-embedding-vision-flash-2026-03-06": _SNAPSHOT_FLASH,
    "tongyi-embedding-vision-plus": _PLUS,
    "tongyi-embedding-vision-flash": _FLASH,
    "multimodal-embedding-v1": EmbeddingModel((1024,), "v1", 1, 1, 3 * MB),
}
MAX_SEQUENCE = 8
"""Images of one `multi_images` of the models without a date."""


@dataclass(frozen=True, slots=True)
class RerankModel:
    """One rerank model."""

    max_texts: int
    max_images: int = 0
    max_videos: int = 0
    takes_instruction: bool = True
    is_flat: bool = False
    """Which of the two URLs it has: the flat form's, or the native service's."""


RERANK_MODELS: Mapping[str, RerankModel] = {
    "qwen3-vl-rerank": RerankModel(100, 40, 4),
    # unsure: whether the native URL takes it too; the page shows the flat form only.
    "qwen3-rerank": RerankModel(500, is_flat=True),
    "gte-rerank-v2": RerankModel(500, takes_instruction=False),
}
