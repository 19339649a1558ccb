"""How many tokens images and videos cost at self-hosted servers: vLLM, `transformers serve`.

The rule is that of the processors in transformers 5.19.0, which vLLM 0.32.0 calls: the prompt
tokens that it reported of images, and of videos sampled by rate, were just these (2026-11-22).
`transformers serve` counts images so, and takes no videos. The hosted service's rule is another,
and stands in `qwen_vl.specs.vision`: it has other limits, and no time stamps.

`qwen-vl-utils` 0.0.14 differs, and is not followed, since the servers do not use it. It gives very
thin images another size, with a side of 0 for some, and holds each frame of a video between 128
and 768 tokens, where transformers has far wider limits, for each frame (Qwen2.5-VL) or for the
whole clip (Qwen3-VL).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwen_vl.errors import (
    ConfigurationError,
    FrameCountError,
    MediaOptionError,
    MediaRatioError,
    MediaTooSmallError,
)
from qwen_vl.specs.processors import (
    FRAMES_PER_STEP,
    PROCESSORS,
    Family,
    Processor,
    fit,
    override,
    widen,
)

DEFAULT_SAMPLE_FPS = 2.0
"""Frames per second that vLLM 0.32 samples if `media_io_kwargs` lacks `fps`."""

MIN_SAMPLED_FRAMES, MAX_SAMPLED_FRAMES = 4, 768
"""`min_frames` and `max_frames` of both video processors, for sampling by rate."""

MARKER_TOKENS = 2
"""`<|vision_start|>` and `<|vision_end|>`. `usage` counts them, as it does all of the prompt."""

_MAX_RATIO = 200
# `<`, `.`, one decimal, ` seconds` and `>`; every further digit is one more token.
_STAMP_TOKENS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfHostedCount:
    """What one image or video costs.

    Args:
        width: Pixels of the image or frame, as the model processes it.
        height: Height in pixels, like `width`.
        n_steps: Pairs of frames, each with the tokens of one frame; 1 for an image.
        visual_tokens: Tokens of the pixels only.
        timestamp_tokens: Those of the words `<0.2 seconds>` before each pair of frames.
        marker_tokens: Those of `<|vision_start|>` and `<|vision_end|>`.
    """

    width: int
    height: int
    n_steps: int
    visual_tokens: int
    timestamp_tokens: int
    marker_tokens: int

    @property
    def prompt_tokens(self) -> int:
        """All of them: what `usage.prompt_tokens` has more than without the image or video."""
        return self.visual_tokens + self.timestamp_tokens + self.marker_tokens


def count_self_hosted_image_tokens(
    width: int,
    height: int,
    family: Family,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> SelfHostedCount:
    """Count the tokens of an image.

    Args:
        width: Pixels.
        height: Pixels.
        family: Architecture of the model.
        min_pixels: As given in `mm_processor_kwargs`; the checkpoint's own where `None`.
        max_pixels: Maximum pixels, or `None` for the checkpoint's.

    Raises:
        MediaRatioError: One side is more than 200 times the other.
        MediaTooSmallError: A side is shorter than a pixel.
        MediaOptionError: A limit is not a whole number above 0, or they contradict each other.
        ConfigurationError: The family is not known.

    Example:
        >>> count_self_hosted_image_tokens(1920, 1080, "qwen3_vl").prompt_tokens
        2042
        >>> count_self_hosted_image_tokens(1920, 1080, "qwen2_5_vl").prompt_tokens
        2693
    """
    limits = _find_processor(family)
    area = _resolve_area(limits.image, min_pixels, max_pixels)
    _check_shape(width, height)
    scaled_width, scaled_height = fit(width, height, limits.factor, area)
    return SelfHostedCount(
        width=scaled_width,
        height=scaled_height,
        n_steps=1,
        visual_tokens=scaled_width // limits.factor * (scaled_height // limits.factor),
        timestamp_tokens=0,
        marker_tokens=MARKER_TOKENS,
    )


def count_self_hosted_video_tokens(
    width: int,
    height: int,
    indices: Sequence[int],
    fps: float,
    family: Family,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> SelfHostedCount:
    """Count the tokens of a video.

    Args:
        width: Pixels of a frame.
        height: Pixels of a frame.
        indices: Which frames are sampled, from `sample_self_hosted_frames`; of a list of frames
            all, `range(len(frames))`.
        fps: Frames per second of the whole video; of a list of frames 1, unless
            `media_io_kwargs` says otherwise.
        family: Architecture of the model.
        min_pixels: As given in `mm_processor_kwargs`; the checkpoint's own where `None`. Of each
            frame for Qwen2.5-VL, of all frames together for Qwen3-VL.
        max_pixels: Maximum pixels, or `None` for the checkpoint's.

    Raises:
        FrameCountError: The list is empty, or holds a single frame for Qwen3-VL.
        MediaRatioError: One side is more than 200 times the other.
        MediaTooSmallError: A side is shorter than a pixel.
        MediaOptionError: `fps` is not above 0, a limit is not a whole number above 0, or they
            contradict each other.
        ConfigurationError: The family is not known.

    Example:
        >>> frames = sample_self_hosted_frames(60, 30, "qwen3_vl")
        >>> count_self_hosted_video_tokens(1280, 720, frames, 30, "qwen3_vl").prompt_tokens
        1778
    """
    limits = _find_processor(family)
    area = _resolve_area(limits.video, min_pixels, max_pixels)
    _check_rate("fps", fps)
    n_frames = len(indices)
    is_stamped = limits.is_video_of_clip
    least = FRAMES_PER_STEP if is_stamped else 1
    if n_frames < least:
        raise _too_few(n_frames, least)
    if is_stamped:
        _check_sides(width, height)
        width, height = widen(width, height, limits.factor)
    _check_shape(width, height)
    scaled_width, scaled_height = fit(
        width, height, limits.factor, area, n_frames if is_stamped else 1
    )
    n_steps = math.ceil(n_frames / FRAMES_PER_STEP)
    stamps = write_timestamps(indices, fps) if is_stamped else []
    return SelfHostedCount(
        width=scaled_width,
        height=scaled_height,
        n_steps=n_steps,
        visual_tokens=n_steps * (scaled_width // limits.factor) * (scaled_height // limits.factor),
        timestamp_tokens=sum(_STAMP_TOKENS + stamp.index(".") - 1 for stamp in stamps),
        # The template's own pair stays around those of the steps in transformers 5.19 and vLLM
        # 0.32; 4.57 took it away.
        marker_tokens=MARKER_TOKENS * (len(stamps) + 1),
    )


def sample_self_hosted_frames(
    n_frames: int,
    fps: float,
    family: Family,
    *,
    sample_fps: float = DEFAULT_SAMPLE_FPS,
    num_frames: int | None = None,
) -> list[int]:
    """Return which frames of a video file are sampled.

    Args:
        n_frames: How many frames the video has.
        fps: Its frames per second.
        family: Architecture of the model.
        sample_fps: Frames per second to sample, `fps` of `media_io_kwargs`.
        num_frames: How many to sample instead, which transformers reads and vLLM 0.32 does not.

    Returns:
        Numbers of frames, from 0. For Qwen3-VL frames come twice where `num_frames` is more than
        there are.

    Raises:
        FrameCountError: The video has too few frames: Qwen2.5-VL wants 2, and `num_frames`.
        MediaOptionError: A number is not above 0.
        ConfigurationError: The family is not known.

    Example:
        >>> sample_self_hosted_frames(250, 25, "qwen3_vl", num_frames=8)
        [0, 36, 71, 107, 142, 178, 213, 249]
        >>> sample_self_hosted_frames(250, 25, "qwen2_5_vl", num_frames=8)
        [0, 31, 62, 93, 125, 156, 187, 218]
    """
    is_spread = _find_processor(family).is_video_of_clip
    for name, rate in (("fps", fps), ("sample_fps", sample_fps), ("num_frames", num_frames)):
        _check_rate(name, rate)
    if n_frames < 1:
        raise _too_few(n_frames, 1)
    if is_spread:
        count = num_frames or int(_clamp(n_frames / fps * sample_fps, n_frames))
        step = (n_frames - 1) / max(1, count - 1)
        return [round(number * step) for number in range(count)]
    if num_frames:
        count = round(num_frames / FRAMES_PER_STEP) * FRAMES_PER_STEP
    else:
        wanted = _clamp(n_frames / fps * sample_fps, n_frames)
        count = math.floor(wanted / FRAMES_PER_STEP) * FRAMES_PER_STEP
    if not 0 < count <= n_frames:
        raise _too_few(n_frames, max(count, FRAMES_PER_STEP))
    # The processor takes steps of a float, `torch.arange(0, n, n / count)`, which at one length in
    # a hundred (367 frames, 30 of them) brings one frame more. vLLM 0.32 did so for each of
    # 138,402 pairs of length and count.
    step = n_frames / count
    return [min(int(number * step), n_frames - 1) for number in range(math.ceil(n_frames / step))]


def write_timestamps(indices: Sequence[int], fps: float) -> list[str]:
    """Write what Qwen3-VL reads before each pair of frames: the mean of their times.

    Args:
        indices: Which frames are sampled.
        fps: Frames per second of the whole video.

    Example:
        >>> write_timestamps([0, 12, 25], 25)
        ['<0.2 seconds>', '<1.0 seconds>']
    """
    # An odd last frame is repeated.
    even = [*indices, *indices[-1:]] if len(indices) % FRAMES_PER_STEP else indices
    times = [index / fps for index in even]
    pairs = zip(times[::2], times[1::2], strict=True)
    return [f"<{(first + last) / 2:.1f} seconds>" for first, last in pairs]


def _clamp(count: float, n_frames: int) -> float:
    return min(max(count, MIN_SAMPLED_FRAMES), MAX_SAMPLED_FRAMES, n_frames)


def _find_processor(family: Family) -> Processor:
    if family not in PROCESSORS:
        known = ", ".join(PROCESSORS)
        raise ConfigurationError(f"Family {family!r} is not known. Known are {known}.")
    return PROCESSORS[family]


def _resolve_area(
    own: tuple[int, int], min_pixels: int | None, max_pixels: int | None
) -> tuple[int, int]:
    low, high = override(own, min_pixels, max_pixels)
    for name, value in (("min_pixels", low), ("max_pixels", high)):
        _check_whole(name, value)
    # One that contradicts the checkpoint's own other one is taken by the processors.
    if min_pixels is not None and max_pixels is not None and low > high:
        raise MediaOptionError(
            f"min_pixels is {low:,}; it must be at most max_pixels, which is {high:,}.",
            value=low,
            limit=high,
            remedy="Correct one of them.",
        )
    return low, high


def _check_whole(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise MediaOptionError(
            f"{name} is {value!r}; it must be a whole number above 0.",
            value=value,
            limit=1,
            remedy=f"Correct {name}, or leave it out for the checkpoint's own.",
        )


def _check_rate(name: str, rate: float | None) -> None:
    # NaN is above nothing.
    if rate is not None and not 0 < rate < math.inf:
        raise MediaOptionError(
            f"{name} is {rate!r}; it must be above 0.",
            value=rate,
            limit=0,
            remedy=f"Correct {name}.",
        )


def _check_shape(width: int, height: int) -> None:
    _check_sides(width, height)
    ratio = max(width, height) / min(width, height)
    if ratio > _MAX_RATIO:
        raise MediaRatioError(
            f"The sides are {width} x {height} pixels, {ratio:.1f} : 1; at most {_MAX_RATIO} : 1 "
            "is taken.",
            value=ratio,
            limit=_MAX_RATIO,
            remedy="Cut it, or put a border around it.",
        )


def _check_sides(width: int, height: int) -> None:
    if min(width, height) < 1:
        raise MediaTooSmallError(
            f"The sides are {width} x {height} pixels; each must have 1 or more.",
            value=min(width, height),
            limit=1,
            remedy="Pass the size in pixels.",
        )


def _too_few(n_frames: int, least: int) -> FrameCountError:
    return FrameCountError(
        f"The video has {n_frames} frames; {least} or more are needed.",
        value=n_frames,
        limit=least,
        remedy="Pass a longer video, or its frames as images.",
    )
