"""Images, videos and lists of frames, and what transformers' own processors make of them.

`python tests/token_reference.py` writes the figures to `core/tokens/transformers_counts.json`; it
needs `pip install --group oracles`. Nothing of qwen-vl is used here.
"""

import math
import sys
from itertools import product
from pathlib import Path
from typing import Any

PATH = Path(__file__).parent / "core" / "tokens" / "transformers_counts.json"

FAMILIES = ("qwen2_5_vl", "qwen3_vl")
PATCHES = {"qwen2_5_vl": 14, "qwen3_vl": 16}
# What the checkpoints' own settings say; the classes have other ones.
IMAGE_LIMITS = {"qwen2_5_vl": (3_136, 12_845_056), "qwen3_vl": (65_536, 16_777_216)}
VIDEO_LIMITS = {"qwen2_5_vl": (3_136, 12_845_056), "qwen3_vl": (4_096, 25_165_824)}

IMAGE_SIZES = (
    *((28, 28), (42, 70), (48, 80), (64, 64), (98, 126), (112, 144), (224, 224), (320, 240)),
    *((512, 512), (640, 480), (451, 300), (600, 400), (689, 487), (1000, 1000), (1024, 768)),
    *((1280, 720), (720, 1280), (1365, 2048), (1920, 1080), (3840, 2160), (5000, 5000)),
    (4000, 30),
)
# The last two contradict the checkpoints' own other limit.
IMAGE_OPTIONS: tuple[dict[str, int], ...] = (
    {},
    {"max_pixels": 65_536},
    {"min_pixels": 1_048_576},
    {"min_pixels": 4_096, "max_pixels": 100_000},
    {"max_pixels": 200_000},
    {"max_pixels": 2_000},
)

# Frames, frames per second, width, height, and the frames per second to sample.
FILES: tuple[tuple[int, float, int, int, float | None], ...] = (
    *((2, 1, 96, 64, None), (4, 2, 128, 96, None), (7, 25, 128, 96, None), (16, 8, 128, 96, None)),
    *((16, 8, 128, 96, 4), (32, 8, 640, 480, None), (60, 30, 320, 180, None), (33, 25, 64, 48, 3)),
    *(
        (75, 25, 176, 144, None),
        (120, 24, 96, 96, 1),
        (90, 10, 160, 120, None),
        (65, 24, 64, 64, 20),
    ),
    *((61, 30, 90, 40, 10), (100, 5, 128, 96, 0.5), (24, 12, 1280, 720, None)),
)
FILE_OPTIONS: tuple[dict[str, int], ...] = ({}, {"max_pixels": 100_000}, {"total_pixels": 200_000})
# Frames, width, height, and the frames per second at which they were taken.
LISTS: tuple[tuple[int, int, int, float | None], ...] = (
    *((2, 64, 64, None), (4, 64, 48, 2), (5, 320, 240, 1), (6, 90, 40, 0.5), (8, 640, 480, 3)),
    *((32, 96, 64, None), (33, 96, 64, 4), (12, 1280, 720, None), (40, 176, 144, 0.2)),
    (9, 700, 30, 1.5),
)
LIST_OPTIONS: tuple[dict[str, int], ...] = (
    {},
    {"max_pixels": 50_000},
    {"min_pixels": 80_000, "max_pixels": 400_000},
)

Row = dict[str, Any]


def compute() -> dict[str, Any]:
    """Ask transformers for everything."""
    import transformers  # noqa: PLC0415 - several GB.

    return {
        "transformers": transformers.__version__,
        "images": [
            {"family": family, "size": size, "options": options, "tokens": tokens}
            for family in FAMILIES
            for size, options in product(IMAGE_SIZES, IMAGE_OPTIONS)
            for tokens in [count_image(family, size, options)]
        ],
        "files": [
            {
                "family": family,
                "clip": clip,
                "options": options,
                **count_file(family, clip, options),
            }
            for family in FAMILIES
            for clip, options in product(FILES, FILE_OPTIONS)
        ],
        "lists": [
            {"family": family, "frames": frames, "options": options}
            | count_list(family, frames, options)
            for family in FAMILIES
            for frames, options in product(LISTS, LIST_OPTIONS)
        ],
    }


def count_image(family: str, size: tuple[int, int], options: dict[str, int]) -> int:
    """Count the tokens of an image, its two markers included."""
    import torch  # noqa: PLC0415 - as above
    import transformers  # noqa: PLC0415

    processor = transformers.Qwen2VLImageProcessor(
        patch_size=PATCHES[family], size=to_size(IMAGE_LIMITS[family])
    )
    image = torch.zeros((3, size[1], size[0]), dtype=torch.uint8)
    grid = processor(images=[image], return_tensors="pt", **options)["image_grid_thw"][0]
    return math.prod(grid.tolist()) // 4 + 2


def count_file(
    family: str, clip: tuple[int, float, int, int, float | None], options: dict[str, int]
) -> Row:
    """Count the tokens of a video file that the server samples."""
    n_frames, fps, width, height, sample_fps = clip
    if family == "qwen3_vl":
        # Of all frames together, each counted, and not in pairs; of each frame not before the
        # server has sampled them.
        total = options.get("total_pixels")
        limits = {} if total is None else {"max_pixels": 2 * total}
    else:
        limits = {name: value for name, value in options.items() if name != "total_pixels"}
    sampling = {"do_sample_frames": True, "fps": sample_fps or 2.0}
    return _count_clip(family, (n_frames, width, height), fps, limits, sampling)


def count_list(
    family: str, frames: tuple[int, int, int, float | None], options: dict[str, int]
) -> Row:
    """Count the tokens of a list of frames."""
    n_frames, width, height, fps = frames
    share = n_frames if family == "qwen3_vl" else 1
    limits = {name: value * share for name, value in options.items()}
    sampling = {"do_sample_frames": False}
    return _count_clip(family, (n_frames, width, height), fps or 1.0, limits, sampling)


def _count_clip(
    family: str,
    clip: tuple[int, int, int],
    fps: float,
    limits: dict[str, int],
    sampling: dict[str, Any],
) -> Row:
    import torch  # noqa: PLC0415 - as above
    import transformers  # noqa: PLC0415

    kinds = {
        "qwen2_5_vl": transformers.Qwen2VLVideoProcessor,
        "qwen3_vl": transformers.Qwen3VLVideoProcessor,
    }
    n_frames, width, height = clip
    low, high = VIDEO_LIMITS[family]
    area = limits.get("min_pixels", low), limits.get("max_pixels", high)
    processor = kinds[family](patch_size=PATCHES[family], size=to_size(area))
    metadata = {
        "total_num_frames": n_frames,
        "fps": fps,
        "frames_indices": list(range(n_frames)),
    }
    try:
        made = processor(
            videos=[torch.zeros((n_frames, 3, height, width), dtype=torch.uint8)],
            video_metadata=[metadata],
            return_metadata=True,
            return_tensors="pt",
            **sampling,
        )
    except (ValueError, IndexError, ZeroDivisionError) as error:
        return {"error": f"{type(error).__name__}: {error}"}
    grid = made["video_grid_thw"][0].tolist()
    visual = math.prod(grid) // 4
    if family == "qwen2_5_vl":
        return {"tokens": visual + 2}
    indices = [int(index) for index in made["video_metadata"][0].frames_indices]
    times = transformers.Qwen3VLProcessor._calculate_timestamps(None, indices, fps, 2)
    # `<0.2 seconds>` has 6 tokens, one more for every further digit, and two markers follow; two
    # more are around the whole (vLLM 0.32.0, measured on 2026-11-22).
    stamps = sum(5 + len(f"{time:.1f}") - 2 + 2 for time in times)
    return {"tokens": visual + stamps + 2}


def to_size(limits: tuple[int, int]) -> dict[str, int]:
    """Write limits as the processors take them."""
    return {"shortest_edge": limits[0], "longest_edge": limits[1]}


def main() -> None:
    """Write the figures."""
    import orjson  # noqa: PLC0415 - not needed where they are only compared

    figures = compute()
    parts = [f'"transformers":{orjson.dumps(figures["transformers"]).decode()}']
    for name in ("images", "files", "lists"):
        rows = ",\n".join(orjson.dumps(row).decode() for row in figures[name])
        parts.append(f'"{name}":[\n{rows}]')
    PATH.write_text("{" + ",\n".join(parts) + "}\n")


if __name__ == "__main__":
    sys.exit(main())
