"""How many tokens a picture costs, from its size alone.

The rule of the hosted service (Vision page, 2026-08); self-hosted servers have their own.
"""

import math

from qwen_vl.models import ModelFacts

MARKER_TOKENS = 2
"""The begin and end markers around each picture.

`usage` of older models leaves them out (1247 = 29 x 43 in the guide's example), that of newer
ones has them (2503 = 41 x 61 + 2), so a count is right to within 2.
"""


def smart_resize(
    width: int, height: int, *, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Give the size at which the model looks at a picture.

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
    wide = max(factor, round(width / factor) * factor)
    high = max(factor, round(height / factor) * factor)
    if wide * high > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        wide = max(factor, math.floor(width / shrink / factor) * factor)
        high = max(factor, math.floor(height / shrink / factor) * factor)
    elif wide * high < min_pixels:
        enlarge = math.sqrt(min_pixels / (width * height))
        wide = math.ceil(width * enlarge / factor) * factor
        high = math.ceil(height * enlarge / factor) * factor
    return wide, high


def count_image_tokens(
    width: int,
    height: int,
    facts: ModelFacts,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    high_resolution: bool = False,
) -> int:
    """Count the tokens of a picture, its two markers included.

    Args:
        width: Pixels.
        height: Pixels.
        facts: The model that looks, from `find_model`.
        min_pixels: As given with the picture; the model's own where `None`.
        max_pixels: As given with the picture; the model's own where `None`.
        high_resolution: Whether `vl_high_resolution_images` is on, which overrides `max_pixels`.

    Example:
        >>> from qwen_vl.models import find_model
        >>> count_image_tokens(1920, 1080, find_model("qwen3-vl-plus"))
        2042
    """
    most = facts.image_pixels_limit if high_resolution else max_pixels or facts.image_max_pixels
    wide, high = smart_resize(
        width,
        height,
        factor=facts.factor,
        min_pixels=min_pixels or facts.image_min_pixels,
        max_pixels=most,
    )
    return wide // facts.factor * (high // facts.factor) + MARKER_TOKENS
