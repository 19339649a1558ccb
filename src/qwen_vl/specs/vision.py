"""How many tokens images and videos cost, from their sizes only, and text, by an estimate.

The rules for images and videos are the hosted service's (Vision page, 2026-08); self-hosted
servers have their own.
"""

import math

from qwen_vl.specs.models import MIN_FRAMES, ModelSpec

DEFAULT_FPS = 2.0
"""Frames per second of a video that brings no `fps` (Native-API page, 2026-09)."""

MARKER_TOKENS = 2
"""The begin and end markers around each image or video.

`usage` of older models leaves them out (1247 = 29 x 43 in the guide's example), that of newer
ones has them (2503 = 41 x 61 + 2), so a count is right to within 2.
"""


def smart_resize(
    width: int, height: int, *, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Return the size at which the model processes an image.

    Both sides become multiples of `factor`, the area comes between the limits, and the shape is
    kept as far as that allows.

    Args:
        width: Pixels.
        height: Pixels.
        factor: Pixels along one side of a visual token, 28 or 32.
        min_pixels: Least area.
        max_pixels: Most area.

    Returns:
        Width and height in pixels.

    Example:
        >>> smart_resize(1920, 1080, factor=32, min_pixels=65_536, max_pixels=2_621_440)
        (1920, 1088)
    """
    scaled_width = max(factor, round(width / factor) * factor)
    scaled_height = max(factor, round(height / factor) * factor)
    if scaled_width * scaled_height > max_pixels:
        downscale = math.sqrt(width * height / max_pixels)
        scaled_width = max(factor, math.floor(width / downscale / factor) * factor)
        scaled_height = max(factor, math.floor(height / downscale / factor) * factor)
    elif scaled_width * scaled_height < min_pixels:
        enlarge = math.sqrt(min_pixels / (width * height))
        scaled_width = math.ceil(width * enlarge / factor) * factor
        scaled_height = math.ceil(height * enlarge / factor) * factor
    return scaled_width, scaled_height


def count_image_tokens(
    width: int,
    height: int,
    spec: ModelSpec,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    high_resolution: bool = False,
) -> int:
    """Count the tokens of an image, its two markers included.

    Args:
        width: Pixels.
        height: Pixels.
        spec: The model that looks, from `get_model_spec`.
        min_pixels: As given with the image; the model's own where `None`.
        max_pixels: As given with the image; the model's own where `None`.
        high_resolution: Whether `vl_high_resolution_images` is on, which overrides `max_pixels`.

    Example:
        >>> from qwen_vl.specs.models import get_model_spec
        >>> count_image_tokens(1920, 1080, get_model_spec("qwen3-vl-plus"))
        2042
    """
    scaled_width, scaled_height = resize_image(
        width,
        height,
        spec,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        high_resolution=high_resolution,
    )
    return count_visual_tokens(scaled_width, scaled_height, 1, spec)


def count_visual_tokens(width: int, height: int, n_frames: int, spec: ModelSpec) -> int:
    """Count the tokens of an image or video that has been scaled, its two markers included.

    Args:
        width: Pixels, as of `resize_image` or `resize_frame`.
        height: Pixels.
        n_frames: Frames that are seen; two share their tokens. 1 for an image.
        spec: The model that looks.

    Example:
        >>> from qwen_vl.specs.models import get_model_spec
        >>> count_visual_tokens(1056, 576, 120, get_model_spec("qwen3-vl-plus"))
        35642
    """
    squares = width // spec.factor * (height // spec.factor)
    return math.ceil(n_frames / 2) * squares + MARKER_TOKENS


def resize_image(
    width: int,
    height: int,
    spec: ModelSpec,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    high_resolution: bool = False,
) -> tuple[int, int]:
    """Return the size at which a model processes an image; arguments as of `count_image_tokens`.

    Returns:
        Width and height in pixels.

    Example:
        >>> from qwen_vl.specs.models import get_model_spec
        >>> resize_image(3840, 2160, get_model_spec("qwen3-vl-plus"))
        (2144, 1184)
    """
    return smart_resize(
        width,
        height,
        factor=spec.factor,
        min_pixels=min_pixels or spec.image_min_pixels,
        max_pixels=_most_image_pixels(spec, max_pixels, high_resolution=high_resolution),
    )


def max_image_tokens(
    spec: ModelSpec, *, max_pixels: int | None = None, high_resolution: bool = False
) -> int:
    """Count the tokens of the costliest image, for images of unknown size.

    Args:
        spec: The model that looks.
        max_pixels: As given with the image; the model's own where `None`.
        high_resolution: Whether `vl_high_resolution_images` is on.

    Example:
        >>> from qwen_vl.specs.models import get_model_spec
        >>> max_image_tokens(get_model_spec("qwen3-vl-plus"))
        2562
    """
    most = _most_image_pixels(spec, max_pixels, high_resolution=high_resolution)
    return most // spec.factor**2 + MARKER_TOKENS


def sample_frame_count(
    seconds: float, n_frames: int, *, fps: float = DEFAULT_FPS, max_frames: int
) -> int:
    """Count the frames that the service takes from a video file.

    A last part of a second counts only if it is longer than one step of sampling.

    Args:
        seconds: How long the video is.
        n_frames: How many frames it has.
        fps: Frames per second to sample.
        max_frames: Maximum number of frames, `ModelSpec.max_frames`.

    Returns:
        At least 4 frames, unless the video has fewer; at least 1 in any case.

    Example:
        >>> sample_frame_count(5.28, 132, fps=2, max_frames=2000)
        10
        >>> sample_frame_count(7200, 180_000, fps=2, max_frames=2000)
        2000
    """
    whole = math.floor(seconds)
    counted = seconds if seconds - whole > 1 / fps else whole
    most = min(max_frames, n_frames) // 2 * 2
    return max(1, int(min(max(counted * fps, MIN_FRAMES), most)))


def resize_frame(
    width: int,
    height: int,
    n_frames: int,
    spec: ModelSpec,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    total_pixels: int | None = None,
) -> tuple[int, int]:
    """Return the size at which a model processes a video's frames; see `count_video_tokens`.

    Returns:
        Width and height in pixels.

    Example:
        >>> from qwen_vl.specs.models import get_model_spec
        >>> resize_frame(1920, 1080, 120, get_model_spec("qwen3-vl-plus"))
        (1056, 576)
    """
    return smart_resize(
        width,
        height,
        factor=spec.factor,
        # The page's sample code has 4 tokens here; the service's default is used.
        min_pixels=min_pixels or spec.frame_default_min_pixels,
        max_pixels=max_frame_pixels(n_frames, spec, max_pixels, total_pixels),
    )


def count_video_tokens(
    width: int,
    height: int,
    n_frames: int,
    spec: ModelSpec,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    total_pixels: int | None = None,
) -> int:
    """Count the tokens of a video, its two markers included. Two frames share their tokens.

    Args:
        width: Pixels of a frame.
        height: Pixels of a frame.
        n_frames: Frames that are seen: from `sample_frame_count`, or the length of a list.
        spec: The model that looks, from `get_model_spec`.
        min_pixels: Of a frame, as given with the video; the model's own where `None`.
        max_pixels: Of a frame, as given with the video; the model's own where `None`.
        total_pixels: Of all frames, as given with the video; the model's own where `None`.

    Example:
        >>> from qwen_vl.specs.models import get_model_spec
        >>> count_video_tokens(1920, 1080, 120, get_model_spec("qwen3-vl-plus"))
        35642
    """
    scaled_width, scaled_height = resize_frame(
        width,
        height,
        n_frames,
        spec,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        total_pixels=total_pixels,
    )
    return count_visual_tokens(scaled_width, scaled_height, n_frames, spec)


def max_video_tokens(
    n_frames: int,
    spec: ModelSpec,
    *,
    max_pixels: int | None = None,
    total_pixels: int | None = None,
) -> int:
    """Count the tokens of the costliest video of so many frames, for frames of unknown size.

    Args:
        n_frames: Frames that are seen.
        spec: The model that looks.
        max_pixels: Of a frame, as given with the video; the model's own where `None`.
        total_pixels: Of all frames, as given with the video; the model's own where `None`.

    Example:
        >>> from qwen_vl.specs.models import get_model_spec
        >>> max_video_tokens(120, get_model_spec("qwen3-vl-plus"))
        38402
    """
    pair = max_frame_pixels(n_frames, spec, max_pixels, total_pixels) // spec.factor**2
    return math.ceil(n_frames / 2) * pair + MARKER_TOKENS


def _most_image_pixels(spec: ModelSpec, max_pixels: int | None, *, high_resolution: bool) -> int:
    return spec.image_pixels_limit if high_resolution else max_pixels or spec.image_max_pixels


def max_frame_pixels(
    n_frames: int, spec: ModelSpec, max_pixels: int | None, total_pixels: int | None
) -> int:
    """Return the maximum area of a frame; arguments as of `count_video_tokens`."""
    share = (total_pixels or spec.total_pixels_limit) / n_frames * 2
    # However many frames there are, each keeps 4 squares and a little.
    least = int(1.05 * 4 * spec.factor**2)
    return int(max(min(max_pixels or spec.frame_default_max_pixels, share), least))
