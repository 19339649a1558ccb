"""Specs of the models that turn texts, images and videos into vectors, as data.

Figures are those of the Multimodal-embedding page (2026-11).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qwen_vl.errors import ConfigurationError

Fusion: TypeAlias = Literal["none", "flag", "object", "always"]
"""How several contents become one vector: not at all; all of a request, with `enable_fusion`; those
that stand in one content object; or always all of a request."""

DEFAULT_EMBEDDING_MODEL = "qwen3-vl-embedding"

# unsure: no page says it. The page's sample bill of 1,247 image tokens is that of its image of
# 1960 x 1307 pixels under a limit of 1,280 tokens of 32 x 32 pixels.
SERVICE_MAX_PIXELS = 1_310_720
SELF_HOSTED_MAX_PIXELS = 1_843_200
"""Maximum pixels of an image in the reference code of the open models
(QwenLM/Qwen3-VL-Embedding, 2026-01)."""

_MB = 1_000_000
_BOTH_REGIONS = ("cn-beijing", "ap-southeast-1")


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSpec:
    """What one embedding model accepts.

    Args:
        family: Name of the group of models, for messages.
        dimensions: Lengths that its vectors can have, the default first; empty where not known.
        fusion: How several contents become one vector.
        max_elements: Maximum number of elements of a request.
        max_texts: Maximum number of texts of a request; `None` for any number.
        max_images: Maximum number of images of a request; `None` for any number.
        max_videos: Maximum number of videos of a request; `None` for any number.
        max_sequence: Maximum number of images of one `multi_images`; 0 where it takes none.
        max_text_tokens: Tokens of a text beyond which it is cut or refused; `None` where the
            server's flags set them.
        max_image_bytes: Maximum number of bytes of an image.
        max_video_bytes: Maximum number of bytes of a local video; `None` where videos are taken by
            URL only.
        max_pixels: Pixels beyond which an image is downscaled.
        regions: Where the model is served.
    """

    family: str
    dimensions: tuple[int, ...]
    fusion: Fusion
    max_elements: int = 20
    max_texts: int | None = None
    max_images: int | None
    max_videos: int | None
    max_sequence: int = 0
    max_text_tokens: int | None
    max_image_bytes: int
    max_video_bytes: int | None
    max_pixels: int = SERVICE_MAX_PIXELS
    regions: tuple[str, ...] = ("cn-beijing",)

    @property
    def has_fixed_dimension(self) -> bool:
        """Whether the length of the vectors cannot be chosen."""
        return len(self.dimensions) == 1

    def check_dimensions(self, dimensions: int | None, model: str) -> None:
        """Check the wanted length of vectors.

        Args:
            dimensions: The length; `None` for the default.
            model: The model, for the message.

        Raises:
            ConfigurationError: The model does not have such vectors.

        Example:
            >>> get_embedding_spec("qwen3-vl-embedding").check_dimensions(100, "qwen3-vl-embedding")
            Traceback (most recent call last):
            qwen_vl.errors.ConfigurationError: dimensions is 100; qwen3-vl-embedding has vectors \
of 2560, 2048, 1536, 1024, 768, 512 or 256 numbers.
        """
        if dimensions is None or dimensions in self.dimensions:
            return
        if not self.dimensions:
            if type(dimensions) is int and dimensions > 0:
                return
            raise ConfigurationError(f"dimensions is {dimensions!r}; it must be a number above 0.")
        *most, last = map(str, self.dimensions)
        known = f"{', '.join(most)} or {last}" if most else last
        raise ConfigurationError(
            f"dimensions is {dimensions!r}; {model} has vectors of {known} numbers."
        )


# unsure: another page allows 10 images of 5 MB each; older copies allowed 5 MB.
_QWEN3 = EmbeddingSpec(
    family="Qwen3-VL-Embedding",
    dimensions=(2560, 2048, 1536, 1024, 768, 512, 256),
    fusion="flag",
    max_images=5,
    max_videos=1,
    max_text_tokens=32_000,
    max_image_bytes=10 * _MB,
    max_video_bytes=50 * _MB,
)
_QWEN2_5 = EmbeddingSpec(
    family="Qwen2.5-VL-Embedding",
    dimensions=(1024, 2048, 768, 512),
    fusion="always",
    max_texts=1,
    max_images=1,
    max_videos=1,
    max_text_tokens=32_000,
    max_image_bytes=5 * _MB,
    max_video_bytes=50 * _MB,
)


def _snapshot(*dimensions: int) -> EmbeddingSpec:
    return EmbeddingSpec(
        family="Tongyi-Embedding-Vision of 2026-03-06",
        dimensions=dimensions,
        fusion="object",
        max_images=64,
        max_videos=8,
        # unsure: no page says how many images one sequence has.
        max_sequence=64,
        max_text_tokens=1_024,
        # 5 MB is advised, 10 MB is the maximum.
        max_image_bytes=10 * _MB,
        max_video_bytes=50 * _MB,
    )


def _vision(dimension: int) -> EmbeddingSpec:
    return EmbeddingSpec(
        family="Tongyi-Embedding-Vision",
        # unsure: pages of 2026-02 let the length be chosen, newer ones do not.
        dimensions=(dimension,),
        fusion="none",
        # unsure: the page names only a limit of tokens, without a figure.
        max_images=8,
        max_videos=1,
        max_sequence=8,
        max_text_tokens=1_024,
        max_image_bytes=3 * _MB,
        max_video_bytes=10 * _MB,
        regions=_BOTH_REGIONS,
    )


EMBEDDING_MODELS: Mapping[str, EmbeddingSpec] = {
    "qwen3-vl-embedding": _QWEN3,
    "qwen2.5-vl-embedding": _QWEN2_5,
    "tongyi-embedding-vision-plus-2026-03-06": _snapshot(1152, 1024, 512, 256, 128, 64),
    "tongyi-embedding-vision-flash-2026-03-06": _snapshot(768, 512, 256, 128, 64),
    "tongyi-embedding-vision-plus": _vision(1152),
    "tongyi-embedding-vision-flash": _vision(768),
    "multimodal-embedding-v1": EmbeddingSpec(
        family="Multimodal-Embedding",
        dimensions=(1024,),
        fusion="none",
        max_images=1,
        max_videos=1,
        max_text_tokens=512,
        max_image_bytes=3 * _MB,
        max_video_bytes=10 * _MB,
    ),
}
"""The models of the hosted service."""


SELF_HOSTED_EMBEDDING = EmbeddingSpec(
    family="an open embedding model",
    # Any up to 2,048 of the 2B model, and 4,096 of the 8B one.
    dimensions=(),
    fusion="object",
    max_elements=256,
    max_images=None,
    max_videos=None,
    max_text_tokens=None,
    max_image_bytes=10 * _MB,
    max_video_bytes=None,
    max_pixels=SELF_HOSTED_MAX_PIXELS,
)
"""What a self-hosted server takes: flags set most of its limits."""


def get_embedding_spec(model: str) -> EmbeddingSpec:
    """Find what an embedding model accepts.

    Args:
        model: A model id; one that is not known counts as of the newest family.

    Example:
        >>> get_embedding_spec("qwen2.5-vl-embedding").fusion
        'always'
        >>> get_embedding_spec("qwen9-vl-embedding").dimensions[0]
        2560
    """
    return EMBEDDING_MODELS.get(model.lower(), _QWEN3)
