"""From the coordinates that a model names to pixels of the image as its owner has it."""

from dataclasses import dataclass
from typing import TypeAlias, get_args

from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.models import CoordinateSpace, get_model_spec
from qwen_vl.specs.vision import resize_image

Size: TypeAlias = tuple[int, int]

NORMALIZED = 1_000
"""Where the normalized coordinates end (Vision page, 2026-08; model cards, 2025-10)."""

SPACES: tuple[CoordinateSpace, ...] = get_args(CoordinateSpace)

# A model may name a place that is a little beside the image, as 1003 of 1000. One farther out
# is in another coordinate space.
_SLACK = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinateFrame:
    """The coordinate space of one answer, and the image that it is about.

    Args:
        space: The coordinate space.
        image: Width and height of the original image, in pixels.
        scale: The largest x and y in that space: 1000 and 1000, or a width and a height in pixels.
    """

    space: CoordinateSpace
    image: Size
    scale: Size

    def to_pixels(self, x: float, y: float) -> tuple[float, float]:
        """Return a place in pixels of the original image; it may lie outside of it.

        Args:
            x: From the left, in this space.
            y: From the top.

        Example:
            >>> frame = CoordinateFrame(space="normalized", image=(640, 480), scale=(1000, 1000))
            >>> frame.to_pixels(500, 250)
            (320.0, 120.0)
        """
        return x * self.image[0] / self.scale[0], y * self.image[1] / self.scale[1]

    def clip(self, x: float, y: float) -> tuple[float, float]:
        """Return the nearest place that is in the original image.

        Args:
            x: Pixels from the left.
            y: Pixels from the top.
        """
        width, height = self.image
        return min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))

    def is_beyond(self, x: float, y: float) -> bool:
        """Return whether a point is so far outside that it must be in another coordinate space.

        Args:
            x: From the left, in this space.
            y: From the top.
        """
        return any(
            not -_SLACK * most <= value <= (1 + _SLACK) * most
            for value, most in zip((x, y), self.scale, strict=True)
        )

    def __str__(self) -> str:
        width, high = self.scale
        match self.space:
            case "normalized":
                return f"0 to {NORMALIZED} (normalized)"
            case "resized":
                return f"pixels of the resized image, {width} x {high}"
            case "sent":
                return f"pixels of the image that was sent, {width} x {high}"


def find_frame(
    model: str,
    image: Size,
    *,
    space: CoordinateSpace | None = None,
    sent: Size | None = None,
    resized: Size | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    high_resolution: bool = False,
) -> CoordinateFrame:
    """Find the coordinate space of a model's answer.

    Args:
        model: Model id, whose family says which space.
        image: Width and height of the original image, in pixels.
        space: Which space, where it is not the family's own.
        sent: Width and height of the image that was sent; the original's where none is given.
        resized: Width and height at which the model processed it, as `Reply.image_hw` reports; by
            the hosted service's rule where none is given.
        min_pixels: As given with the image; the model's own where `None`.
        max_pixels: As given with the image; the model's own where `None`.
        high_resolution: Whether `vl_high_resolution_images` was on.

    Raises:
        ConfigurationError: The space is unknown, or a size is empty.

    Example:
        >>> find_frame("qwen2.5-vl-7b-instruct", (1920, 1080)).scale
        (1316, 728)
        >>> find_frame("qwen3-vl-plus", (1920, 1080)).scale
        (1000, 1000)
    """
    spec = get_model_spec(model)
    space = space or spec.coordinates
    if space not in SPACES:
        raise ConfigurationError(f"space is {space!r}; it must be one of {', '.join(SPACES)}.")
    for size in (image, sent, resized):
        if size is not None and min(size) < 1:
            raise ConfigurationError(f"An image of {size[0]} x {size[1]} pixels holds no places.")
    sent = sent or image
    if space == "normalized":
        return CoordinateFrame(space=space, image=image, scale=(NORMALIZED, NORMALIZED))
    if space == "sent":
        return CoordinateFrame(space=space, image=image, scale=sent)
    scale = resized or resize_image(
        *sent, spec, min_pixels=min_pixels, max_pixels=max_pixels, high_resolution=high_resolution
    )
    return CoordinateFrame(space=space, image=image, scale=scale)
