"""Our token rules beside the programs that they were written from, run here.

These need `pip install --group oracles`: several GB, so that `make test` goes without them.
"""

import math
from typing import Any

import orjson
import pytest

from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.vision import resize_image
from qwen_vl.tokens.self_hosted import (
    count_self_hosted_image_tokens,
    count_self_hosted_video_tokens,
    sample_self_hosted_frames,
    write_timestamps,
)
from token_reference import IMAGE_LIMITS, PATCHES, PATH, VIDEO_LIMITS, compute, to_size

REASON = "needs: pip install --group oracles"
torch = pytest.importorskip("torch", reason=REASON)
# What transformers offers of video processors depends on it.
pytest.importorskip("torchvision", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)
qwen_vl_utils = pytest.importorskip("qwen_vl_utils", reason=REASON)

# Only what they warn of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")

SIZES = [
    *((1, 1), (11, 11), (28, 28), (42, 70), (48, 80), (98, 126), (112, 144), (224, 224)),
    *((320, 240), (640, 480), (451, 300), (600, 400), (689, 487), (1000, 1000), (1280, 720)),
    *((720, 1280), (1365, 2048), (1920, 1080), (4000, 3000), (5000, 5000)),
    *((10, 2000), (1500, 9), (13, 1300), (4000, 20), (1, 200)),
]
CLIPS = [
    *((2, 1, 2.0), (3, 1, 2.0), (5, 2, 2.0), (16, 8, 2.0), (16, 8, 4.0), (33, 29.97, 2.0)),
    *((132, 25, 2.0), (250, 25, 3.3), (61, 30, 10.0), (300, 30, 0.1), (900, 1, 2.0)),
]
FRAMES = [(64, 64), (20, 90), (96, 128), (176, 144), (9, 700)]


@pytest.fixture(scope="module", params=sorted(PATCHES))
def family(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def image_processor(family: str) -> Any:
    return transformers.Qwen2VLImageProcessor(
        patch_size=PATCHES[family], size=to_size(IMAGE_LIMITS[family])
    )


@pytest.fixture(scope="module")
def video_processor(family: str) -> Any:
    kinds = {
        "qwen2_5_vl": transformers.Qwen2VLVideoProcessor,
        "qwen3_vl": transformers.Qwen3VLVideoProcessor,
    }
    return kinds[family](patch_size=PATCHES[family], size=to_size(VIDEO_LIMITS[family]))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pictures_count_as_transformers_counts(
    size: tuple[int, int], family: Any, image_processor: Any
) -> None:
    width, height = size
    image = torch.zeros((3, height, width), dtype=torch.uint8)
    grid = image_processor(images=[image], return_tensors="pt")["image_grid_thw"][0].tolist()

    count = count_self_hosted_image_tokens(width, height, family)

    patch = PATCHES[family]
    assert grid == [count.n_steps, count.height // patch, count.width // patch]
    assert math.prod(grid) == count.visual_tokens * 4


@pytest.mark.parametrize("size", FRAMES, ids=str)
@pytest.mark.parametrize("clip", CLIPS, ids=str)
def test_videos_count_as_transformers_counts(
    clip: tuple[int, float, float], size: tuple[int, int], family: Any, video_processor: Any
) -> None:
    (n_frames, fps, sample_fps), (width, height) = clip, size
    made = video_processor(
        videos=[torch.zeros((n_frames, 3, height, width), dtype=torch.uint8)],
        video_metadata=[{"total_num_frames": n_frames, "fps": fps}],
        do_sample_frames=True,
        fps=sample_fps,
        return_metadata=True,
        return_tensors="pt",
    )

    indices = sample_self_hosted_frames(n_frames, fps, family, sample_fps=sample_fps)
    count = count_self_hosted_video_tokens(width, height, indices, fps, family)

    patch = PATCHES[family]
    grid = [count.n_steps, count.height // patch, count.width // patch]
    assert made["video_grid_thw"][0].tolist() == grid
    assert list(made["video_metadata"][0].frames_indices) == indices


@pytest.mark.parametrize("n_frames", [2, 5, 60, 61, 900, 30_000])
@pytest.mark.parametrize("fps", [1, 24, 29.97, 30, 59.94])
def test_time_stamps_are_those_of_transformers(n_frames: int, fps: float) -> None:
    indices = sample_self_hosted_frames(n_frames, fps, "qwen3_vl")
    times = transformers.Qwen3VLProcessor._calculate_timestamps(None, list(indices), fps, 2)

    assert write_timestamps(indices, fps) == [f"<{time:.1f} seconds>" for time in times]


@pytest.mark.parametrize("model", ["qwen3-vl-plus", "qwen2.5-vl-72b-instruct"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_service_s_pictures_are_sized_as_qwen_vl_utils_sizes_them(
    size: tuple[int, int], model: str
) -> None:
    (width, height), spec = size, get_model_spec(model)
    high, scaled_width = qwen_vl_utils.smart_resize(
        height,
        width,
        factor=spec.factor,
        min_pixels=spec.image_min_pixels,
        max_pixels=spec.image_max_pixels,
    )

    assert resize_image(width, height, spec) == (scaled_width, high)


@pytest.mark.timeout(600)
def test_frozen_figures_are_those_of_transformers() -> None:
    frozen = orjson.loads(PATH.read_bytes())
    made = orjson.loads(orjson.dumps(compute()))

    for name in ("images", "files", "lists"):
        assert made[name] == frozen[name]


@pytest.mark.parametrize("size", [(640, 480), (64, 48), (4000, 3000)], ids=str)
def test_size_says_what_min_and_max_pixels_said(
    size: tuple[int, int], family: Any, image_processor: Any
) -> None:
    image = torch.zeros((3, size[1], size[0]), dtype=torch.uint8)

    def grid(**options: Any) -> list[int]:
        made = image_processor(images=[image], return_tensors="pt", **options)
        result: list[int] = made["image_grid_thw"][0].tolist()
        return result

    low, _ = IMAGE_LIMITS[family]
    assert grid(max_pixels=200_000) == grid(size=to_size((low, 200_000)))
    assert grid(max_pixels=2_000) == grid(size=to_size((low, 2_000)))


@pytest.mark.parametrize("fps", [8, 23.976, 24, 25, 29.97, 30, 60])
def test_as_many_frames_are_sampled_as_transformers_samples(fps: float) -> None:
    processor = transformers.Qwen2VLVideoProcessor(patch_size=14)
    for n_frames in range(2, 1_500):
        metadata = transformers.video_utils.VideoMetadata(total_num_frames=n_frames, fps=fps)
        theirs = processor.sample_frames(metadata, fps=2.0).tolist()

        assert len(sample_self_hosted_frames(n_frames, fps, "qwen2_5_vl")) == len(theirs)
