"""Files of requests: their limits, and what cannot be in one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image as PillowImage

from qwen_vl.batches import BatchJob
from qwen_vl.content import Image, LocalFile, Text, Turn
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.build import build_request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.batch_file import check_batch_file, check_window

MakeRequests = Callable[..., Any]


def read_shards(folder: Path) -> list[list[bytes]]:
    return [file.read_bytes().splitlines() for file in sorted((folder / "shards").iterdir())]


@pytest.mark.parametrize(("n_lines", "expected"), [(4, [4]), (5, [4, 1]), (8, [4, 4])])
def test_a_file_has_as_many_lines_as_it_may(
    prepare: Callable[..., BatchJob], tmp_path: Path, n_lines: int, expected: list[int]
) -> None:
    job = prepare(n_lines, max_lines=4)

    assert [len(lines) for lines in read_shards(tmp_path / "job")] == expected
    assert [shard.n_lines for shard in job.status(update=False).shards] == expected


@pytest.mark.parametrize(("n_less", "expected"), [(0, [2, 1]), (1, [1, 1, 1])])
def test_a_file_has_as_many_bytes_as_it_may(
    prepare: Callable[..., BatchJob], tmp_path: Path, n_less: int, expected: list[int]
) -> None:
    prepare(1, folder="one")
    (length,) = (file.stat().st_size for file in (tmp_path / "one" / "shards").iterdir())

    prepare(3, max_bytes=2 * length - n_less)

    assert [len(lines) for lines in read_shards(tmp_path / "job")] == expected


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"max_lines": 50_001}, "max_lines is 50,001; it must be from 1 to 50,000"),
        ({"max_lines": 0}, "max_lines is 0"),
        ({"max_bytes": 500_000_001}, "max_bytes is 500,000,001; it must be from 1 to 500,000,000"),
        ({"window": "23h"}, "window '23h' must be from 24h to 336h"),
        ({"window": "15d"}, "window '15d'"),
    ],
)
def test_limits_are_those_of_the_service(
    prepare: Callable[..., BatchJob], options: dict[str, Any], wanted: str
) -> None:
    with pytest.raises(ConfigurationError, match=wanted):
        prepare(1, **options)


@pytest.mark.parametrize("window", ["24h", "336h", "1d", "14d"])
def test_windows(window: str) -> None:
    assert check_window(window) == window


@pytest.mark.parametrize("window", ["", "24", "h", "24 h", "1.5d", "24H", "0d", "337h", "٢٤h"])
def test_windows_that_are_refused(window: str) -> None:
    with pytest.raises(ConfigurationError, match="336h"):
        check_window(window)


def test_the_test_model_has_a_hundred_lines(
    tmp_path: Path, settings: QwenVLSettings, make_requests: MakeRequests
) -> None:
    requests = [
        (key, build_request(settings, request.turns, model="batch-test-model"))
        for key, request in make_requests([f"{number}" for number in range(101)])
    ]

    with BatchJob.prepare(requests, tmp_path / "job", settings) as job:
        shards = job.status(update=False).shards

    assert [shard.n_lines for shard in shards] == [100, 1]


@pytest.mark.slow
def test_an_image_is_downscaled_as_for_live_requests(
    tmp_path: Path, settings: QwenVLSettings
) -> None:
    path = tmp_path / "large.png"
    PillowImage.effect_noise((3_000, 2_250), 90).convert("RGB").save(path)
    image = Image(source=LocalFile(path, is_trusted=True))
    request = build_request(settings, [Turn(role="user", parts=(image, Text(text="What?")))])

    with BatchJob.prepare([("large", request)], tmp_path / "job", settings) as job:
        (shard,) = job.status(update=False).shards
    ((line,),) = read_shards(tmp_path / "job")

    # 2,560 tokens are 2,621,440 pixels; the file has 7 million, and more bytes than a line may.
    assert path.stat().st_size > 6_000_000
    assert shard.n_bytes == len(line) + 1 < 6_000_000
    url = orjson.loads(line)["body"]["messages"][0]["content"][0]["image_url"]["url"]
    assert url.startswith("data:image/jpeg;base64,")


def test_one_model_and_one_mode_of_thinking(
    tmp_path: Path, settings: QwenVLSettings, make_requests: MakeRequests
) -> None:
    ((_, request),) = make_requests(["Hello"])
    thinking = build_request(settings, request.turns, enable_thinking=True)
    other = build_request(settings, request.turns, model="qwen3-vl-flash")

    for odd, said in ((thinking, "qwen3-vl-plus, thinking"), (other, "qwen3-vl-flash, not")):
        with pytest.raises(ConfigurationError, match=f"second: .* this one {said}"):
            BatchJob.prepare([("first", request), ("second", odd)], tmp_path / "job", settings)


def test_headers_cannot_be_in_a_file(
    tmp_path: Path, settings: QwenVLSettings, make_requests: MakeRequests
) -> None:
    ((_, request),) = make_requests(["Hello"])
    request = build_request(settings, request.turns, queue_seconds=30)

    with pytest.raises(ConfigurationError, match="X-DashScope-Wait-Timeout"):
        BatchJob.prepare([("row", request)], tmp_path / "job", settings)


def test_models_that_are_not_on_the_page() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot ask 'qwen3\.7-flash'"):
        check_batch_file("qwen3.7-flash", protocol="openai", server="dashscope")
    with pytest.raises(ConfigurationError, match="protocol='native'"):
        check_batch_file("qwen3-vl-plus", protocol="native", server="dashscope")
    with pytest.warns(UserWarning, match="try one line before thousands"):
        check_batch_file("qwen3.8-max", protocol="openai", server="dashscope")
    check_batch_file("any", protocol="openai", server="vllm")
