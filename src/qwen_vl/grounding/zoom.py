"""The tool by which Qwen3-VL and later models look closer, with the schema of their training.

Name, description and parameters are those of QwenLM/Qwen-Agent (2026-01),
`qwen_agent/tools/image_zoom_in_qwen3vl.py`, which QwenLM/Qwen3-VL shows in
`cookbooks/think_with_images.ipynb`. What is cut out has the pixels of the original image, however
small the model saw it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Never

from pydantic import BaseModel, ConfigDict, Field

from qwen_vl.content import Image, ToolResult, Turn, Url, is_remote
from qwen_vl.errors import MediaFormatError, MediaNotFoundError, MediaOptionError
from qwen_vl.grounding.coordinates import NORMALIZED, CoordinateFrame
from qwen_vl.grounding.drawing.opened import open_source
from qwen_vl.media.encode import encode_compact
from qwen_vl.media.load import require_source
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.vision import smart_resize

ZOOM_NAME = "image_zoom_in_tool"

ZOOM_DESCRIPTION = (
    "Zoom in on a specific region of an image by cropping it based on a bounding box (bbox) and an "
    "optional object label"
)

_FACTOR = 32
# Of the same tool: what is cut out has 32 pixels a side at least, and is enlarged to 256 visual
# tokens.
_MIN_SIDE = 32
_MIN_PIXELS = 256 * _FACTOR**2
_MAX_PIXELS = 12_845_056
_CORNERS = 4

_BOX_REMEDY = (
    "Pass bbox_2d as [x1, y1, x2, y2], the top-left and the bottom-right corner, each number from "
    f"0 to {NORMALIZED}: thousandths of the width and height of the whole image."
)


def _without_titles(schema: dict[str, Any]) -> None:
    for held in (schema, *schema["properties"].values()):
        held.pop("title", None)
    schema.pop("description", None)


class ZoomArguments(BaseModel):
    """What a model passes to the tool."""

    model_config = ConfigDict(json_schema_extra=_without_titles)

    bbox_2d: Annotated[
        list[float],
        Field(
            min_length=_CORNERS,
            max_length=_CORNERS,
            description=(
                "The bounding box of the region to zoom in, as [x1, y1, x2, y2], where (x1, y1) is "
                "the top-left corner and (x2, y2) is the bottom-right corner"
            ),
        ),
    ]
    label: str = Field(description="The name or label of the object in the specified bounding box")
    img_idx: float = Field(description="The index of the zoomed-in image (starting from 0)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop:
    """A part of an image, enlarged.

    Args:
        data: The file.
        media_type: `"image/png"` or `"image/jpeg"`.
        label: What the model called it.
        box: Left, top, right and bottom of the part, in pixels of the original image.
        size: Width and height at which it is shown.
        index: Number of the image that it is a part of.
    """

    data: bytes = field(repr=False)
    media_type: str
    label: str
    box: tuple[int, int, int, int]
    size: tuple[int, int]
    index: int


def list_images(turns: Sequence[Turn]) -> list[Image]:
    """Return the images of a conversation, those of tools too, in order; frames are not counted.

    Args:
        turns: The conversation.

    Example:
        >>> cat = Image(source=Url("https://example.com/cat.png"))
        >>> result = ToolResult(tool_call_id="a", parts=(cat,))
        >>> len(list_images([Turn(role="user", parts=(cat,)), Turn(role="tool", parts=(result,))]))
        2
    """
    found: list[Image] = []
    for turn in turns:
        for part in turn.parts:
            held = part.parts if isinstance(part, ToolResult) else (part,)
            found += [inner for inner in held if isinstance(inner, Image)]
    return found


def zoom_in(
    images: Sequence[object],
    bbox_2d: Sequence[float],
    label: str,
    img_idx: float,
    policy: MediaPolicy | None = None,
) -> Crop:
    """Cut a part out of an image, and enlarge it if it is small.

    Args:
        images: All that the index may name: paths, bytes, pixels, or parts of a conversation.
        bbox_2d: Left, top, right and bottom, in thousandths of the image's width and height.
        label: What it shows.
        img_idx: Index of the image.
        policy: Which files may be read; the default policy if `None`.

    Raises:
        MediaError: No such image or no such place, or the image cannot be read. The message says
            what the model should pass instead.

    Example:
        >>> from PIL import Image as PillowImage
        >>> crop = zoom_in([PillowImage.new("RGB", (2000, 1000))], [100, 200, 300, 600], "cat", 0)
        >>> crop.box, crop.size
        ((200, 200, 600, 600), (512, 512))
    """
    index = _find_index(img_idx, len(images))
    held = images[index]
    where = f"img_idx {index}"
    source = held.source if isinstance(held, Image) else require_source(held, where)
    if isinstance(source, Url) and is_remote(source.url):
        raise MediaFormatError(
            f"Image {index} is given by URL, and URLs are not fetched here.",
            where=where,
            value=source.url,
            remedy="Zoom in on another image, or answer by what is visible.",
        )
    corners = _check_box(bbox_2d)
    image = open_source(source, policy or MediaPolicy(), where)
    box = _to_pixels(corners, image.size)
    part = image.crop(box)
    size = smart_resize(*part.size, factor=_FACTOR, min_pixels=_MIN_PIXELS, max_pixels=_MAX_PIXELS)
    media_type, data = encode_compact(part.resize(size, resample=3))
    return Crop(data=data, media_type=media_type, label=label, box=box, size=size, index=index)


def describe_crop(crop: Crop) -> str:
    """Return the text that goes with a crop.

    Args:
        crop: The crop.
    """
    left, top, right, bottom = crop.box
    return f"{crop.label}: pixels [{left}, {top}, {right}, {bottom}] of image {crop.index}."


def _find_index(img_idx: float, n_images: int) -> int:
    is_index = math.isfinite(img_idx) and img_idx == int(img_idx) and 0 <= img_idx < n_images
    if is_index:
        return int(img_idx)
    known = "There is no image to zoom in on."
    if n_images == 1:
        known = "There is one image, with img_idx 0."
    elif n_images:
        known = f"There are {n_images} images, with img_idx from 0 to {n_images - 1}."
    raise MediaNotFoundError(
        f"There is no image with img_idx {img_idx:g}.", value=img_idx, remedy=known
    )


def _check_box(bbox_2d: Sequence[float]) -> tuple[float, float, float, float]:
    values = list(bbox_2d)
    if len(values) != _CORNERS or not all(map(math.isfinite, values)):
        _refuse_box(f"bbox_2d is {values}, which is not four numbers.", values)
    left, top, right, bottom = values
    frame = CoordinateFrame(space="normalized", image=(1, 1), scale=(NORMALIZED, NORMALIZED))
    if frame.is_beyond(left, top) or frame.is_beyond(right, bottom):
        _refuse_box(f"bbox_2d is {values}, which is outside of the image.", values)
    if left >= right or top >= bottom:
        _refuse_box(f"bbox_2d is {values}, where x2 is not above x1 or y2 not above y1.", values)
    return left, top, right, bottom


def _refuse_box(problem: str, values: list[float]) -> Never:
    raise MediaOptionError(problem, value=values, remedy=_BOX_REMEDY)


def _to_pixels(
    corners: tuple[float, float, float, float], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Convert thousandths to whole pixels inside of the image, 32 a side if it has as many."""
    left, right = _span(corners[0], corners[2], size[0])
    top, bottom = _span(corners[1], corners[3], size[1])
    return left, top, right, bottom


def _span(start: float, end: float, length: int) -> tuple[int, int]:
    low = max(0.0, start * length / NORMALIZED)
    high = min(float(length), end * length / NORMALIZED)
    least = min(_MIN_SIDE, length)
    if high - low < least:
        middle = (low + high) / 2
        low = min(max(0.0, middle - least / 2), length - least)
        high = low + least
    return math.floor(low), math.ceil(high)
