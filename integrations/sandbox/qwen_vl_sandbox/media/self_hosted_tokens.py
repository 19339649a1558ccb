"""How many tokens an image or a video costs on a server that holds the model itself.

Such servers run the model's own processor; this is that rule as it was published and
measured (vLLM 0.32.0, transformers 5.19.0). It is another one than the hosted service's.
"""

import math
from dataclasses import dataclass
from typing import Literal

Family = Literal["qwen2_5_vl", "qwen3_vl"]

MARKERS = 2
"""The start and end marker around each image, each video, and each pair of its frames."""

MIN_FRAMES, MAX_FRAMES = 4, 768
MAX_RATIO = 200
STAMP_TOKENS = 5
"""Tokens of a time stamp such as `<12.5 seconds>`, the digits before its point apart."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The pixels that one image, one frame or one clip may keep."""

    min_pixels: int
    max_pixels: int


@dataclass(frozen=True, slots=True)
class Processor:
    """One family's processor."""

    factor: int
    """Side of the square behind one token, in pixels."""
    image: Limits
    video: Limits
    limits_whole_clip: bool
    """Whether `video` is for all frames together, or for each."""
    writes_stamps: bool
    """Whether the time stands before each pair of frames, as text."""


PROCESSORS: dict[Family, Processor] = {
    "qwen2_5_vl": Processor(
        factor=28,
        image=Limits(3_136, 12_845_056),
        video=Limits(3_136, 12_845_056),
        limits_whole_clip=False,
        writes_stamps=False,
    ),
    "qwen3_vl": Processor(
        factor=32,
        image=Limits(65_536, 16_777_216),
        video=Limits(4_096, 25_165_824),
        limits_whole_clip=True,
        writes_stamps=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Frames:
    """The frames of a video that are sampled.

    Args:
        width: Of each, in pixels.
        height: Likewise.
        numbers: Which of the video's frames they are, from 0.
        fps: Frames of the video in a second.
    """

    width: int
    height: int
    numbers: tuple[int, ...]
    fps: float


@dataclass(frozen=True, slots=True)
class VideoCount:
    """The tokens of a video."""

    visual: int
    stamps: int
    markers: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visual + self.stamps + self.markers


def family_of(model: str) -> Family:
    """Return a model's family by its id.

    Example:
        >>> family_of("Qwen/Qwen2.5-VL-7B-Instruct"), family_of("qwen3-vl:8b")
        ('qwen2_5_vl', 'qwen3_vl')
    """
    name = model.lower().replace("_", ".")
    return "qwen2_5_vl" if "qwen2" in name else "qwen3_vl"


def scaled_size(width: int, height: int, factor: int, limits: Limits) -> tuple[int, int]:
    """Compute the width and height that an image is scaled to.

    Raises:
        ValueError: It is stretched beyond 200 : 1.

    Example:
        >>> scaled_size(640, 480, 28, Limits(3_136, 12_845_056))
        (644, 476)
    """
    return _scaled(width, height, factor, limits, frames=1, rounded_frames=1)


def image_tokens(width: int, height: int, factor: int, limits: Limits) -> int:
    """Count the tokens of an image, its two markers apart.

    Raises:
        ValueError: It is stretched beyond 200 : 1.

    Example:
        >>> image_tokens(1920, 1080, 32, Limits(65_536, 16_777_216))
        2040
    """
    new_width, new_height = scaled_size(width, height, factor, limits)
    return (new_width // factor) * (new_height // factor)


def sampled_numbers(frames: int, fps: float, rate: float, family: Family) -> tuple[int, ...]:
    """Choose the frames of a video file that are sampled.

    Args:
        frames: How many it has.
        fps: How many in a second.
        rate: How many to sample in a second.
        family: Whose processor chooses.

    Raises:
        ValueError: It has too few.

    Example:
        >>> sampled_numbers(16, 8, 2, "qwen3_vl")
        (0, 5, 10, 15)
    """
    if family == "qwen3_vl":
        count = min(max(int(frames / fps * rate), MIN_FRAMES), MAX_FRAMES, frames)
        step = (frames - 1) / max(count - 1, 1)
        return tuple(round(at * step) for at in range(count))
    wanted = min(max(frames / fps * rate, MIN_FRAMES), MAX_FRAMES, frames)
    count = math.floor(wanted / 2) * 2
    if count == 0:
        raise ValueError("division by zero")
    # The processor takes float steps, `torch.arange(0, frames, frames / count)`, which at one
    # length in a hundred brings one more (transformers 5.19, vLLM 0.32).
    step = frames / count
    return tuple(min(int(at * step), frames - 1) for at in range(math.ceil(frames / step)))


def video_tokens(frames: Frames, family: Family, limits: Limits) -> VideoCount:
    """Count the tokens of a video.

    Raises:
        ValueError: It has too few frames, or is stretched beyond 200 : 1.

    Example:
        >>> clip = Frames(640, 480, sampled_numbers(32, 8, 2, "qwen3_vl"), 8)
        >>> video_tokens(clip, "qwen3_vl", PROCESSORS["qwen3_vl"].video).total
        1234
    """
    processor = PROCESSORS[family]
    count = len(frames.numbers)
    whole = processor.limits_whole_clip
    if whole and count < 2:  # noqa: PLR2004 - frames come in pairs.
        raise ValueError(f"t:{count} must be larger than temporal_factor:2")
    new_width, new_height = _scaled(
        frames.width,
        frames.height,
        processor.factor,
        limits,
        frames=count if whole else 1,
        rounded_frames=round(count / 2) * 2 if whole else 1,
    )
    pairs = math.ceil(count / 2)
    visual = pairs * (new_width // processor.factor) * (new_height // processor.factor)
    if not processor.writes_stamps:
        return VideoCount(visual, 0, MARKERS)
    stamps = sum(_stamp_tokens(frames, pair) for pair in range(pairs))
    return VideoCount(visual, stamps, MARKERS + MARKERS * pairs)


def _stamp_tokens(frames: Frames, pair: int) -> int:
    first = frames.numbers[2 * pair]
    # An odd last frame is its own partner.
    second = frames.numbers[min(2 * pair + 1, len(frames.numbers) - 1)]
    seconds = f"{(first / frames.fps + second / frames.fps) / 2:.1f}"
    return STAMP_TOKENS + len(seconds.partition(".")[0])


def _scaled(
    width: int,
    height: int,
    factor: int,
    limits: Limits,
    *,
    frames: int,
    rounded_frames: int,
) -> tuple[int, int]:
    ratio = max(width, height) / min(width, height)
    if ratio > MAX_RATIO:
        raise ValueError(f"absolute aspect ratio must be smaller than {MAX_RATIO}, got {ratio}")
    new_width, new_height = round(width / factor) * factor, round(height / factor) * factor
    pixels = rounded_frames * new_width * new_height
    if pixels > limits.max_pixels:
        downscale = math.sqrt(frames * width * height / limits.max_pixels)
        new_width = max(factor, math.floor(width / downscale / factor) * factor)
        new_height = max(factor, math.floor(height / downscale / factor) * factor)
    elif pixels < limits.min_pixels:
        grow = math.sqrt(limits.min_pixels / (frames * width * height))
        new_width = math.ceil(width * grow / factor) * factor
        new_height = math.ceil(height * grow / factor) * factor
    return new_width, new_height
