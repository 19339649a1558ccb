"""How many tokens an image, a video or a text counts for.

The sandbox's own arithmetic, from the formula and the sample code of the Vision page
(2026-08). Visual tokens are exact by that rule; text is an estimate by a stated one.
"""

import math
import re
from dataclasses import dataclass

MARKERS = 2
"""`vision_bos` and `vision_eos` around each image or video.

unsure: replies of older models leave them out of `image_tokens`.
"""

MIN_FRAMES = 4
"""Fewest frames sampled from a video; not settable on the wire."""

_WIDTH = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_PIECE = re.compile(rf"[{_WIDTH}]|[^{_WIDTH}]{{1,4}}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Budget:
    """The pixels that one image or frame may keep."""

    patch: int
    min_pixels: int
    max_pixels: int


@dataclass(frozen=True, slots=True)
class Clip:
    """A video's measures, as its file states them or as a frame list implies them."""

    width: int
    height: int
    seconds: float
    frames: int


def resized(width: int, height: int, budget: Budget) -> tuple[int, int]:
    """Compute the width and height that the service scales an image to.

    Example:
        >>> resized(1920, 1080, Budget(patch=32, min_pixels=65536, max_pixels=2621440))
        (1920, 1088)
    """
    side = budget.patch
    new_height = max(side, round(height / side) * side)
    new_width = max(side, round(width / side) * side)
    if new_height * new_width > budget.max_pixels:
        downscale = math.sqrt(height * width / budget.max_pixels)
        new_height = max(side, math.floor(height / downscale / side) * side)
        new_width = max(side, math.floor(width / downscale / side) * side)
    elif new_height * new_width < budget.min_pixels:
        grow = math.sqrt(budget.min_pixels / (height * width))
        new_height = math.ceil(height * grow / side) * side
        new_width = math.ceil(width * grow / side) * side
    return new_width, new_height


def image_tokens(width: int, height: int, budget: Budget) -> int:
    """Count the tokens of one image.

    Example:
        >>> image_tokens(1920, 1080, Budget(patch=32, min_pixels=65536, max_pixels=2621440))
        2042
    """
    return _patches(width, height, budget) + MARKERS


def sampled_frames(clip: Clip, *, fps: float, max_frames: int) -> int:
    """Count the frames that the service takes from a video file.

    Example:
        >>> sampled_frames(Clip(1280, 720, seconds=5.28, frames=132), fps=2.0, max_frames=2000)
        10
    """
    # A last part of a second counts only if it is longer than one sampling step.
    whole = math.floor(clip.seconds)
    seconds = clip.seconds if clip.seconds - whole > 1 / fps else whole
    most = min(max_frames, clip.frames) // 2 * 2
    return int(max(min(max(seconds * fps, MIN_FRAMES), most), 1))


def video_tokens(clip: Clip, frames: int, budget: Budget, total_pixels: int) -> int:
    """Count the tokens of a video of which `frames` frames are seen.

    Args:
        clip: The video's measures.
        frames: Frames sampled, or the length of a frame list.
        budget: Pixels of one frame.
        total_pixels: Pixels of all frames together.

    Example:
        >>> budget = Budget(patch=32, min_pixels=65536, max_pixels=655360)
        >>> video_tokens(Clip(1920, 1080, 60.0, 1800), 120, budget, 134_217_728)
        35642
    """
    floor = int(1.05 * 4 * budget.patch**2)
    most = max(min(budget.max_pixels, total_pixels / frames * 2), floor)
    frame = Budget(budget.patch, budget.min_pixels, int(most))
    return math.ceil(frames / 2) * _patches(clip.width, clip.height, frame) + MARKERS


def audio_tokens(seconds: float, per_second: float) -> int:
    """Count the tokens of audio; less than a second counts as one (Omni page, 2026-09).

    Example:
        >>> audio_tokens(10.0, 7), audio_tokens(0.3, 12.5)
        (70, 13)
    """
    # unsure: the page does not say how it rounds.
    return math.ceil(max(seconds, 1.0) * per_second)


def pieces(text: str) -> list[str]:
    """Cut a text into what the sandbox calls tokens.

    Each Chinese, Japanese or Korean character is one, other text is cut in fours: near
    enough to distinguish long from short, and not the service's tokenizer.

    Example:
        >>> pieces("图里 what?")
        ['图', '里', ' wha', 't?']
    """
    return _PIECE.findall(text)


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text: the number of its `pieces`.

    Example:
        >>> text_tokens("图里 what?")
        4
    """
    if text.isascii():
        return math.ceil(len(text) / 4)
    return len(_PIECE.findall(text))


def _patches(width: int, height: int, budget: Budget) -> int:
    new_width, new_height = resized(width, height, budget)
    return (new_width // budget.patch) * (new_height // budget.patch)
