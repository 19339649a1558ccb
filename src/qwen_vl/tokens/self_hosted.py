"""How many tokens pictures and videos cost at servers of your own: vLLM, `transformers serve`.

The rule is that of the processors in transformers 5.19.0, which vLLM 0.32.0 calls: the prompt
tokens that it reported of pictures, and of videos sampled by rate, were just these (2026-11-22).
`transformers serve` counts pictures so, and takes no videos. The hosted service's rule is another,
and stands in `qwen_vl.specs.vision`: it has other limits, and no time stamps.

`qwen-vl-utils` 0.0.14 differs, and is not followed, since the servers do not use it. It gives very
thin pictures another size, with a side of 0 for some, and holds each frame of a video between 128
and 768 tokens, where transformers has far wider limits, for each frame (Qwen2.5-VL) or for the
whole clip (Qwen3-VL).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from qwen_vl.errors import (
    ConfigurationError,
    FrameCountError,
    MediaOptionError,
    MediaRatioError,
    MediaTooSmallError,
)

Family: TypeAlias = Literal["qwen2_5_vl", "qwen3_vl"]
"""Architecture, as `model_type` in a checkpoint's `config.json` names it.

Qwen2-VL counts as `"qwen2_5_vl"`.
"""

DEFAULT_SAMPLE_FPS = 2.0
"""Frames per second that vLLM 0.32 looks at where `media_io_kwargs` gives no `fps`."""

MIN_SAMPLED_FRAMES, MAX_SAMPLED_FRAMES = 4, 768
"""Least and most frames by rate, `min_frames` and `max_frames` of both video processors."""

MARKER_TOKENS = 2
"""`<|vision_start|>` and `<|vision_end|>`. `usage` counts them, as it does all of the prompt."""

_MAX_RATIO = 200
_FRAMES_PER_STEP = 2
# `<`, `.`, one decimal, ` seconds` and `>`; every further digit is a token of its own.
_STAMP_TOKENS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limits:
    factor: int
    image: tuple[int, int]
    video: tuple[int, int]
    is_video_of_clip: bool


# Least and most pixels: `size` in the checkpoints' processor settings.
_LIMITS: dict[Family, _Limits] = {
    "qwen2_5_vl": _Limits(
        factor=28, image=(3_136, 12_845_056), video=(3_136, 12_845_056), is_video_of_clip=False
    ),
    "qwen3_vl": _Limits(
        factor=32, image=(65_536, 16_777_216), video=(4_096, 25_165_824), is_video_of_clip=True
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfHostedCount:
    """What one picture or video costs.

    Args:
        width: Pixels of the picture or frame, as the model looks at it.
        height: The same.
        n_steps: Pairs of frames, each with the tokens of one frame; 1 for a picture.
        visual_tokens: Those of the pixels alone.
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
        """All of them: what `usage.prompt_tokens` has more than without the picture or video."""
        return self.visual_tokens + self.timestamp_tokens + self.marker_tokens


def count_self_hosted_image_tokens(
    width: int,
    height: int,
    family: Family,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> SelfHostedCount:
    """Count the tokens of a picture.

    Args:
        width: Pixels.
        height: Pixels.
        family: Architecture of the model.
        min_pixels: As given in `mm_processor_kwargs`; the checkpoint's own where `None`.
        max_pixels: The same.

    Raises:
        MediaRatioError: One side is more than 200 times the other.
        MediaTooSmallError: A side is shorter than a pixel.
        MediaOptionError: A limit is no whole number above 0, or they contradict each other.
        ConfigurationError: The family is not known.

    Example:
        >>> count_self_hosted_image_tokens(1920, 1080, "qwen3_vl").prompt_tokens
        2042
        >>> count_self_hosted_image_tokens(1920, 1080, "qwen2_5_vl").prompt_tokens
        2693
    """
    limits = _find_limits(family)
    area = _resolve_area(limits.image, min_pixels, max_pixels)
    _check_shape(width, height)
    scaled_width, scaled_height = _resize(width, height, limits.factor, area)
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
        indices: Which frames are looked at, from `sample_self_hosted_frames`; of a list of frames
            all, `range(len(frames))`.
        fps: Frames per second of the whole video; of a list of frames 1, unless
            `media_io_kwargs` says otherwise.
        family: Architecture of the model.
        min_pixels: As given in `mm_processor_kwargs`; the checkpoint's own where `None`. Of each
            frame for Qwen2.5-VL, of all frames together for Qwen3-VL.
        max_pixels: The same.

    Raises:
        FrameCountError: There is no frame, or for Qwen3-VL a single one.
        MediaRatioError: One side is more than 200 times the other.
        MediaTooSmallError: A side is shorter than a pixel.
        MediaOptionError: `fps` is not above 0, a limit is no whole number above 0, or they
            contradict each other.
        ConfigurationError: The family is not known.

    Example:
        >>> frames = sample_self_hosted_frames(60, 30, "qwen3_vl")
        >>> count_self_hosted_video_tokens(1280, 720, frames, 30, "qwen3_vl").prompt_tokens
        1778
    """
    limits = _find_limits(family)
    area = _resolve_area(limits.video, min_pixels, max_pixels)
    _check_rate("fps", fps)
    n_frames = len(indices)
    is_stamped = limits.is_video_of_clip
    least = _FRAMES_PER_STEP if is_stamped else 1
    if n_frames < least:
        raise _too_few(n_frames, least)
    if is_stamped:
        width, height = _widen(width, height, limits.factor)
    _check_shape(width, height)
    scaled_width, scaled_height = _resize(
        width, height, limits.factor, area, n_frames if is_stamped else 1
    )
    n_steps = math.ceil(n_frames / _FRAMES_PER_STEP)
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
    """Tell which frames of a video file are looked at.

    Args:
        n_frames: How many frames the video has.
        fps: Its frames per second.
        family: Architecture of the model.
        sample_fps: Frames per second to look at, `fps` of `media_io_kwargs`.
        num_frames: How many to look at instead, which transformers reads and vLLM 0.32 does not.

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
    is_spread = _find_limits(family).is_video_of_clip
    for name, rate in (("fps", fps), ("sample_fps", sample_fps), ("num_frames", num_frames)):
        _check_rate(name, rate)
    if n_frames < 1:
        raise _too_few(n_frames, 1)
    if is_spread:
        count = num_frames or int(_clamp(n_frames / fps * sample_fps, n_frames))
        step = (n_frames - 1) / max(1, count - 1)
        return [round(number * step) for number in range(count)]
    if num_frames:
        count = round(num_frames / _FRAMES_PER_STEP) * _FRAMES_PER_STEP
    else:
        wanted = _clamp(n_frames / fps * sample_fps, n_frames)
        count = math.floor(wanted / _FRAMES_PER_STEP) * _FRAMES_PER_STEP
    if not 0 < count <= n_frames:
        raise _too_few(n_frames, max(count, _FRAMES_PER_STEP))
    # transformers takes floats, which at some lengths (65 frames, 60 of them) add a frame behind
    # the last one, and fails then. unsure: whether servers do; this counts as if they did not.
    return [number * n_frames // count for number in range(count)]


def write_timestamps(indices: Sequence[int], fps: float) -> list[str]:
    """Write what Qwen3-VL reads before each pair of frames: the mean of their times.

    Args:
        indices: Which frames are looked at.
        fps: Frames per second of the whole video.

    Example:
        >>> write_timestamps([0, 12, 25], 25)
        ['<0.2 seconds>', '<1.0 seconds>']
    """
    # An odd last frame is repeated.
    even = [*indices, *indices[-1:]] if len(indices) % _FRAMES_PER_STEP else indices
    times = [index / fps for index in even]
    pairs = zip(times[::2], times[1::2], strict=True)
    return [f"<{(first + last) / 2:.1f} seconds>" for first, last in pairs]


def _resize(
    width: int, height: int, factor: int, area: tuple[int, int], n_frames: int = 1
) -> tuple[int, int]:
    """Fit a picture, or a clip of so many frames, into limits of pixels."""
    low, scaled_height = area
    # round() takes halves to the even neighbour here, so 80 / 32 is 2; a side may become 0.
    rounded = round(width / factor) * factor, round(height / factor) * factor
    steps = round(n_frames / _FRAMES_PER_STEP) * _FRAMES_PER_STEP if n_frames > 1 else 1
    n_pixels = steps * math.prod(rounded)
    if n_pixels > scaled_height:
        downscale = math.sqrt(n_frames * width * height / scaled_height)
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


def _widen(width: int, height: int, factor: int) -> tuple[int, int]:
    """Enlarge frames that are narrower than a token, as Qwen3-VL does before all else."""
    _check_sides(width, height)
    if min(width, height) >= factor:
        return width, height
    scale = max(factor / height, factor / width)
    return int(width * scale), int(height * scale)


def _clamp(count: float, n_frames: int) -> float:
    return min(max(count, MIN_SAMPLED_FRAMES), MAX_SAMPLED_FRAMES, n_frames)


def _find_limits(family: Family) -> _Limits:
    if family not in _LIMITS:
        known = ", ".join(_LIMITS)
        raise ConfigurationError(f"Family {family!r} is not known. Known are {known}.")
    return _LIMITS[family]


def _resolve_area(
    own: tuple[int, int], min_pixels: int | None, max_pixels: int | None
) -> tuple[int, int]:
    low = own[0] if min_pixels is None else min_pixels
    scaled_height = own[1] if max_pixels is None else max_pixels
    for name, value in (("min_pixels", low), ("max_pixels", scaled_height)):
        _check_whole(name, value)
    if low > scaled_height:
        raise MediaOptionError(
            f"min_pixels is {low:,}; it must be at most max_pixels, which is {scaled_height:,}.",
            value=low,
            limit=scaled_height,
            remedy="Set both.",
        )
    return low, scaled_height


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
            remedy="Give the size in pixels.",
        )


def _too_few(n_frames: int, least: int) -> FrameCountError:
    return FrameCountError(
        f"The video has {n_frames} frames; {least} or more are needed.",
        value=n_frames,
        limit=least,
        remedy="Give a longer video, or its frames as pictures.",
    )
