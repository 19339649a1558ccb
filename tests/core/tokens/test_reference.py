"""What is counted for vLLM, row by row against what transformers' own processors make of it.

`transformers_counts.json` holds their figures, see `token_reference.py`.
"""

import io
import warnings
from fractions import Fraction
from functools import lru_cache
from typing import Any

import av
import numpy as np
import orjson
import pytest

from qwen_vl.content import Frames, Image, Inline, Pixels, Source, Video
from qwen_vl.tokens.conversation import count_tokens
from token_reference import FILES, IMAGE_SIZES, LISTS, PATH

pytestmark = pytest.mark.any_version

TABLE = orjson.loads(PATH.read_bytes())
MODELS = {
    "qwen2_5_vl": "Qwen/Qwen2.5-VL-7B-Instruct",
    "qwen3_vl": "Qwen/Qwen3-VL-8B-Instruct",
}


def _name(row: dict[str, Any]) -> str:
    what = row.get("size") or row.get("clip") or row["frames"]
    return f"{row['family']} {what} {row['options']}"


def _pixels(width: int, height: int) -> Source:
    return Pixels(np.broadcast_to(np.uint8(0), (height, width, 3)))


@lru_cache
def _encode(n_frames: int, fps: float, width: int, height: int) -> Source:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("mpeg4", rate=Fraction(fps))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        image = np.zeros((height, width, 3), np.uint8)
        for _ in range(n_frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return Inline(file.getvalue())


def _count(part: Image | Video, row: dict[str, Any]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return count_tokens(part, MODELS[row["family"]], server="vllm")


def test_table_is_whole() -> None:
    rows = {name: len(TABLE[name]) for name in ("images", "files", "lists")}

    assert rows == {"images": 264, "files": 90, "lists": 60}
    assert (len(IMAGE_SIZES), len(FILES) * 3 + len(LISTS) * 3) == (22, 75)


@pytest.mark.parametrize("row", TABLE["images"], ids=_name)
def test_image_counts_as_transformers_counts(row: dict[str, Any]) -> None:
    assert _count(Image(source=_pixels(*row["size"]), **row["options"]), row) == row["tokens"]


@pytest.mark.parametrize("row", TABLE["files"], ids=_name)
def test_video_file_counts_as_transformers_counts(row: dict[str, Any]) -> None:
    *clip, fps = row["clip"]
    video = Video(source=_encode(*clip), fps=fps, **row["options"])

    assert _count(video, row) == row["tokens"]


@pytest.mark.parametrize("row", TABLE["lists"], ids=_name)
def test_list_of_frames_counts_as_transformers_counts(row: dict[str, Any]) -> None:
    n_frames, width, height, fps = row["frames"]
    frames = Frames((_pixels(width, height),) * n_frames)

    assert _count(Video(source=frames, fps=fps, **row["options"]), row) == row["tokens"]
