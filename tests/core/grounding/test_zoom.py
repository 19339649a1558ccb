"""The arithmetic and the errors of the trained zoom tool.

Its schema: QwenLM/Qwen-Agent (d04611b), `qwen_agent/tools/image_zoom_in_qwen3vl.py`, lines 37-62.
"""

import io
import math
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwen_vl.content import Image as ImagePart
from qwen_vl.content import LocalFile, Text, ToolResult, Turn, Url
from qwen_vl.errors import MediaAccessError, MediaError
from qwen_vl.grounding.zoom import ZoomArguments, list_images, zoom_in
from qwen_vl.request.types import MediaPolicy

TRAINED = {
    "type": "object",
    "properties": {
        "bbox_2d": {
            "type": "array",
            "items": {"type": "number"},
            "minItems": 4,
            "maxItems": 4,
            "description": (
                "The bounding box of the region to zoom in, as [x1, y1, x2, y2], where (x1, y1) is "
                "the top-left corner and (x2, y2) is the bottom-right corner"
            ),
        },
        "label": {
            "type": "string",
            "description": "The name or label of the object in the specified bounding box",
        },
        "img_idx": {
            "type": "number",
            "description": "The index of the zoomed-in image (starting from 0)",
        },
    },
    "required": ["bbox_2d", "label", "img_idx"],
}


def test_schema_is_that_of_the_training() -> None:
    assert ZoomArguments.model_json_schema() == TRAINED


def drawn(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    image.paste("red", box)
    return image


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def test_crop_has_the_pixels_of_the_original() -> None:
    """4,000 pixels wide, of which a model with 2,621,440 pixels would see a fifth."""
    image = drawn(4_000, 3_000, (1_000, 600, 2_000, 1_200))
    crop = zoom_in([image], [250, 200, 500, 400], "red", 0)

    assert (crop.box, crop.size) == ((1_000, 600, 2_000, 1_200), (992, 608))
    assert opened(crop.data).getextrema() == ((255, 255), (0, 0), (0, 0))


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        # Smaller than 32 pixels a side: as many around its middle, inside of the image.
        ([500, 500, 501, 501], (484, 484, 517, 517)),
        ([0, 0, 1, 1], (0, 0, 32, 32)),
        ([999, 999, 1000, 1000], (968, 968, 1000, 1000)),
        # A little beside the image.
        ([-10, 0, 500, 1010], (0, 0, 500, 1000)),
    ],
)
def test_boxes_are_kept_inside_and_not_too_small(
    box: list[float], expected: tuple[int, int, int, int]
) -> None:
    image = Image.new("RGB", (1_000, 1_000))
    crop = zoom_in([image], box, "x", 0)
    assert crop.box == expected
    # 256 visual tokens of 32 x 32 pixels at least.
    assert math.prod(crop.size) >= 256 * 32**2


def test_tiny_image_is_shown_whole() -> None:
    assert zoom_in([Image.new("RGB", (20, 11))], [100, 100, 200, 200], "x", 0).box == (0, 0, 20, 11)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"img_idx": 2}, "no image with img_idx 2. There are 2 images, with img_idx from 0 to 1."),
        ({"img_idx": -1}, "no image with img_idx -1"),
        ({"img_idx": 0.5}, "no image with img_idx 0.5"),
        ({"img_idx": float("nan")}, "no image with img_idx nan"),
        ({"bbox_2d": [1, 2, 3]}, "not four numbers. Pass bbox_2d as [x1, y1, x2, y2]"),
        ({"bbox_2d": [0, 0, float("inf"), 9]}, "not four numbers"),
        ({"bbox_2d": [100, 100, 1_920, 1_080]}, "outside of the image. Pass bbox_2d as"),
        ({"bbox_2d": [500, 100, 400, 200]}, "x2 is not above x1"),
        ({"bbox_2d": [100, 100, 200, 100]}, "y2 not above y1"),
        ({"img_idx": 1}, "is given by URL"),
    ],
)
def test_errors_say_what_to_pass(arguments: dict[str, Any], words: str) -> None:
    images = [Image.new("RGB", (64, 64)), "https://example.com/cat.png"]
    right: dict[str, Any] = {"bbox_2d": [0, 0, 500, 500], "label": "x", "img_idx": 0}
    with pytest.raises(MediaError) as caught:
        zoom_in(images, **{**right, **arguments})
    assert words in str(caught.value)


def test_no_image_at_all_is_said() -> None:
    with pytest.raises(MediaError, match="There is no image to zoom in on"):
        zoom_in([], [0, 0, 9, 9], "x", 0)


def test_files_are_read_as_the_policy_allows(tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    Image.new("RGB", (64, 64)).save(path)
    by_text = ImagePart(source=LocalFile(path, is_trusted=False))
    box = [0, 0, 500, 500]
    with pytest.raises(MediaAccessError):
        zoom_in([by_text], box, "x", 0)
    assert zoom_in([by_text], box, "x", 0, MediaPolicy(media_roots=(tmp_path,))).box


def test_images_of_tools_are_counted_and_videos_are_not() -> None:
    image = ImagePart(source=Url("https://example.com/cat.png"))
    turns = [
        Turn(role="user", parts=(Text(text="Hi"), image)),
        Turn(role="tool", parts=(ToolResult(tool_call_id="a", parts=(Text(text="x"), image)),)),
    ]
    assert list_images(turns) == [image, image]


@pytest.mark.parametrize(
    ("box", "size", "pixels"),
    [
        # Outwards to whole pixels: 33.3 to 66.6 of 100.
        ([333, 333, 666, 666], (100, 100), (33, 33, 67, 67)),
        ([250, 500, 750, 1000], (400, 200), (100, 100, 300, 200)),
        # An image that has fewer is shown whole.
        ([0, 0, 100, 100], (20, 30), (0, 0, 20, 30)),
        # What reaches a little beyond the image ends with it.
        ([-10, -10, 1_010, 1_010], (64, 48), (0, 0, 64, 48)),
    ],
)
def test_pixels_of_a_box(box: list[float], size: tuple[int, int], pixels: tuple[int, ...]) -> None:
    assert zoom_in([Image.new("RGB", size)], box, "part", 0).box == pixels
