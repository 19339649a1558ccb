"""How self-hosted servers scale images and videos: the processors of the checkpoints.

The rule is that of transformers 5.19.0, which vLLM 0.32.0 calls (measured on 2026-11-22). It is
pure arithmetic, shared by what downscales, what is sent to the server, and what counts tokens.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Family: TypeAlias = Literal["qwen2_5_vl", "qwen3_vl"]
"""Architecture, as `model_type` in a checkpoint's `config.json` names it.

Qwen2-VL counts as `"qwen2_5_vl"`, and Qwen3.5 and later as `"qwen3_vl"`.
"""

FRAMES_PER_STEP = 2
"""Both processors take a clip in pairs of frames."""

DEFAULT_FRAME_LIST_FPS = 1.0
"""`fps` of a list of frames for which vLLM 0.32 gets none in `media_io_kwargs`."""

MAX_LISTED_FRAMES = 32
"""Frames of a list that vLLM keeps where `num_frames` of `media_io_kwargs` does not say more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Processor:
    """The processor of one family.

    Args:
        factor: Pixels along one side of a visual token.
        image: Minimum and maximum pixels of an image: `size` in the checkpoints' settings.
        video: The same of a video.
        is_video_of_clip: Whether those of a video are for all its frames together, and not for
            each.
    """

    factor: int
    image: tuple[int, int]
    video: tuple[int, int]
    is_video_of_clip: bool


PROCESSORS: Mapping[Family, Processor] = {
    "qwen2_5_vl": Processor(
        factor=28, image=(3_136, 12_845_056), video=(3_136, 12_845_056), is_video_of_clip=False
    ),
    "qwen3_vl": Processor(
        factor=32, image=(65_536, 16_777_216), video=(4_096, 25_165_824), is_video_of_clip=True
    ),
}
"""Every processor, by its family."""


def family_of(factor: int) -> Family:
    """Return the family of a model by its `ModelSpec.factor`.

    Args:
        factor: Pixels along one side of a visual token.

    Example:
        >>> family_of(28)
        'qwen2_5_vl'
    """
    return "qwen2_5_vl" if factor == PROCESSORS["qwen2_5_vl"].factor else "qwen3_vl"


def fit(
    width: int, height: int, factor: int, area: tuple[int, int], n_frames: int = 1
) -> tuple[int, int]:
    """Fit an image, or a clip of so many frames, between two limits of pixels.

    Args:
        width: Pixels.
        height: Pixels.
        factor: Width and height become multiples of this.
        area: Minimum and maximum pixels, of all frames together. Where they contradict each other
            the maximum counts for what is larger, as in the processors.
        n_frames: Number of frames.

    Example:
        >>> fit(1920, 1080, 32, PROCESSORS["qwen3_vl"].image)
        (1920, 1088)
    """
    low, high = area
    # round() takes halves to the even neighbor here, so 80 / 32 is 2; a side may become 0.
    rounded = round(width / factor) * factor, round(height / factor) * factor
    steps = round(n_frames / FRAMES_PER_STEP) * FRAMES_PER_STEP if n_frames > 1 else 1
    n_pixels = steps * math.prod(rounded)
    if n_pixels > high:
        downscale = math.sqrt(n_frames * width * height / high)
        return (
            max(factor, math.floor(width / downscale / factor) * factor),
            max(factor, math.floor(height / downscale / factor) * factor),
        )
    if n_pixels < low:
        enlarge = math.sqrt(low / (n_frames * width * height))
        return (
            math.ceil(width * enlarge / factor) * factor,
            math.ceil(height * enlarge / factor) * factor,
        )
    return rounded


def fit_image(
    width: int,
    height: int,
    family: Family,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> tuple[int, int]:
    """Return the size at which a model sees an image.

    Args:
        width: Pixels.
        height: Pixels.
        family: Architecture of the model.
        min_pixels: As sent with the request; the checkpoint's own where `None`.
        max_pixels: Maximum pixels, or `None` for the checkpoint's.
    """
    processor = PROCESSORS[family]
    area = override(processor.image, min_pixels, max_pixels)
    return fit(width, height, processor.factor, area)


def fit_clip(
    width: int,
    height: int,
    n_frames: int,
    family: Family,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> tuple[int, int]:
    """Return the size at which a model sees each frame of a clip.

    Args:
        width: Pixels of a frame.
        height: Pixels of a frame.
        n_frames: Number of frames.
        family: Architecture of the model.
        min_pixels: As sent with the request, of each frame for Qwen2.5-VL and of all together for
            Qwen3-VL; the checkpoint's own where `None`.
        max_pixels: Maximum pixels, or `None` for the checkpoint's.
    """
    processor = PROCESSORS[family]
    area = override(processor.video, min_pixels, max_pixels)
    if not processor.is_video_of_clip:
        return fit(width, height, processor.factor, area)
    return fit(*widen(width, height, processor.factor), processor.factor, area, n_frames)


def widen(width: int, height: int, factor: int) -> tuple[int, int]:
    """Enlarge frames that are narrower than a token, as Qwen3-VL does before all else.

    Args:
        width: Pixels.
        height: Pixels.
        factor: Pixels along one side of a visual token.
    """
    if min(width, height) >= factor:
        return width, height
    scale = max(factor / height, factor / width)
    return int(width * scale), int(height * scale)


def override(
    own: tuple[int, int], min_pixels: int | None, max_pixels: int | None
) -> tuple[int, int]:
    """Return a checkpoint's limits with those of a request in their place.

    Args:
        own: Those of the checkpoint.
        min_pixels: Of the request.
        max_pixels: Of the request.

    Example:
        >>> override((65_536, 16_777_216), None, 100_000)
        (65536, 100000)
    """
    return (
        own[0] if min_pixels is None else min_pixels,
        own[1] if max_pixels is None else max_pixels,
    )
