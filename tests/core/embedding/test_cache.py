"""Vectors that are kept: nothing is asked for twice, by whatever method or process."""

import multiprocessing
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as PillowImage

from qwen_vl.embedding.cache import VectorCache
from qwen_vl.embedding.embedder import Embedder
from qwen_vl.errors import AuthenticationError, ConfigurationError
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

Make = Callable[..., Embedder]


def draw(number: int) -> PillowImage.Image:
    return PillowImage.new("RGB", (32, 32), (number * 20 % 256, 40, 90))


def count_contents(sandbox: Sandbox) -> int:
    return sum(len(request.json["input"]["contents"]) for request in sandbox.requests)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_nothing_is_asked_for_twice(
    make_embedder: Make, qwen_vl_sandbox: Sandbox, folder: Path, tmp_path: Path, is_async: bool
) -> None:
    draw(3).save(tmp_path / "a.png")
    items: list[Any] = ["a text", tmp_path / "a.png", ("a text", draw(1))]
    items += [{"image": "https://example.com/cat.png"}, {"video": "https://example.com/a.mp4"}]

    async def embed() -> Any:
        embedder = make_embedder(dimensions=256, cache=folder)
        return await embedder.aembed(items) if is_async else embedder.embed(items)

    first = await embed()
    n_requests = len(qwen_vl_sandbox.requests)
    second = await embed()

    assert second.vectors == first.vectors
    assert len(qwen_vl_sandbox.requests) == n_requests
    assert (second.usage, second.request_ids) == (None, ())
    assert len(VectorCache(folder)) == len(items)


def test_only_what_is_missing_is_sent(
    make_embedder: Make, qwen_vl_sandbox: Sandbox, folder: Path
) -> None:
    embedder = make_embedder(dimensions=256, cache=folder)
    embedder.embed([draw(1), draw(3)])
    qwen_vl_sandbox.clear()

    found = embedder.embed([draw(number) for number in range(5)])

    assert count_contents(qwen_vl_sandbox) == 3
    assert list(found) == list(make_embedder(dimensions=256).embed(map(draw, range(5))))


@pytest.mark.parametrize(
    "options",
    [
        {"dimensions": 512},
        {"document_instruction": "Find pages."},
        {"normalize": True},
        {"parameters": {"fps": 0.5}},
        {"model": "multimodal-embedding-v1", "dimensions": None},
    ],
)
def test_what_is_asked_otherwise_has_another_vector(
    make_embedder: Make, qwen_vl_sandbox: Sandbox, folder: Path, options: dict[str, Any]
) -> None:
    make_embedder(dimensions=256, cache=folder).embed(["a"])
    qwen_vl_sandbox.clear()

    make_embedder(**{"dimensions": 256, "cache": folder, **options}).embed(["a"])

    assert len(qwen_vl_sandbox.requests) == 1


def test_query_is_no_document(make_embedder: Make, qwen_vl_sandbox: Sandbox, folder: Path) -> None:
    embedder = make_embedder(cache=folder)
    embedder.embed(["a"])
    embedder.embed_queries(["a"])
    embedder.embed_queries(["a"])

    assert len(qwen_vl_sandbox.requests) == 2


def test_answered_requests_of_a_run_that_failed_are_kept(
    make_embedder: Make, qwen_vl_sandbox: Sandbox, folder: Path
) -> None:
    items = [draw(number) for number in range(12)]
    qwen_vl_sandbox.fail(latency=0.001, times=2)
    qwen_vl_sandbox.fail(status=401)
    with pytest.raises(AuthenticationError):
        make_embedder(cache=folder).embed(items)
    qwen_vl_sandbox.clear()

    make_embedder(cache=folder).embed(items)

    assert count_contents(qwen_vl_sandbox) == 2


def test_local_videos_are_asked_for_each_time(
    make_settings: Callable[..., QwenVLSettings], qwen_vl_sandbox: Sandbox, folder: Path
) -> None:
    from qwen_vl.samples import BIG_BUCK_BUNNY  # noqa: PLC0415 - of this test alone

    settings = make_settings(video_mode="upload", upload_cache=False)
    embedder = Embedder(settings, cache=folder)

    embedder.embed([BIG_BUCK_BUNNY])

    assert len(VectorCache(folder)) == 0


def _add(folder: Path, number: int) -> None:
    VectorCache(folder).add({bytes([number, n]): [float(n)] for n in range(20)})


def test_processes_share_a_folder(folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_add, args=(folder, number)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    cache = VectorCache(folder)
    assert len(cache) == 80
    assert cache.find(bytes([3, 19])) == [19.0]


def test_folder_is_for_the_user_alone(folder: Path) -> None:
    VectorCache(folder)

    assert folder.stat().st_mode & 0o077 == 0


def test_what_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/vectors.sqlite3").write_text("not a database, but long enough " * 10)

    with pytest.raises(ConfigurationError, match=r"cache: the folder .* cannot be created"):
        VectorCache(tmp_path / "file/below")
    with pytest.raises(ConfigurationError, match="cannot be used: file is not a database"):
        VectorCache(tmp_path / "damaged")


def test_no_text_is_kept(make_embedder: Make, folder: Path) -> None:
    make_embedder(cache=folder).embed(["a very secret text"])

    database = folder / "vectors.sqlite3"
    assert b"secret" not in database.read_bytes()
    with sqlite3.connect(database) as opened:
        (key, vector) = opened.execute("SELECT key, vector FROM vectors").fetchone()
    opened.close()
    # The SHA-256 of what was asked, and 2,560 numbers of 8 bytes.
    assert (len(key), len(vector)) == (32, 20_480)
