"""A thousand images, indexed by processes that are killed: what was stored is not sent again."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from qwen_vl.retrieval import IndexStore
from qwen_vl_sandbox import Sandbox

pytestmark = [pytest.mark.slow, pytest.mark.any_version, pytest.mark.timeout(600)]

N_IMAGES = 1_000
N_KILLS = 6
IMAGES_PER_REQUEST = 5
CONCURRENCY = 4

COMMAND = [
    *(sys.executable, "-m", "qwen_vl", "index", "{folder}", "--store", "{store}"),
    *("--dimensions", "256", "--concurrency", str(CONCURRENCY), "--base-url", "{url}"),
]
PROGRAM = [
    sys.executable,
    "-c",
    """
import sys
from qwen_vl import Embedder, QwenVLSettings
from qwen_vl.retrieval import Indexer, IndexStore

folder, store, url = sys.argv[1:]
with IndexStore(store) as opened:
    Indexer(opened, Embedder(QwenVLSettings(base_url=url), dimensions=256)).index(folder)
""",
    *("{folder}", "{store}", "{url}"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A thousand drawings, no two of them the same."""
    folder = tmp_path_factory.mktemp("drawings")
    chance = random.Random(22)  # noqa: S311 - not a secret
    for number in range(N_IMAGES):
        image = Image.new("RGB", (64, 48), (number % 256, number // 256, 90))
        corners = [chance.randrange(48) for _ in range(4)]
        ImageDraw.Draw(image).line(corners, fill=chance.choice(["red", "lime", "white"]), width=3)
        image.save(folder / f"{number:04}.png")
    return folder


def start(command: list[str], folder: Path, store: Path, url: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [word.format(folder=folder, store=store, url=url) for word in command],
        env={**os.environ, "DASHSCOPE_API_KEY": "sk-sandbox"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def count_contents(sandbox: Sandbox) -> Counter[str]:
    return Counter(
        content["image"]
        for request in sandbox.requests
        for content in request.json["input"]["contents"]
    )


@pytest.mark.parametrize(
    ("command", "n_under_way"), [(COMMAND, CONCURRENCY), (PROGRAM, 1)], ids=["command", "sync"]
)
def test_each_image_is_embedded_once(
    command: list[str],
    n_under_way: int,
    folder: Path,
    tmp_path: Path,
    qwen_vl_sandbox: Sandbox,
) -> None:
    store = tmp_path / "store"
    url = qwen_vl_sandbox.base_url
    seed = random.randrange(1_000_000)  # noqa: S311 - not a secret
    chance = random.Random(seed)  # noqa: S311 - as above
    n_stored: list[int] = []
    for number in range(N_KILLS):
        n_before = qwen_vl_sandbox.n_requests
        n_awaited = 0 if number == 0 else chance.randrange(1, 30)
        process = start(command, folder, store, url)
        # The first is killed while it sets up the store, the others among their requests.
        while not (store.exists() and qwen_vl_sandbox.n_requests >= n_before + n_awaited):
            assert process.poll() is None, (seed, process.communicate())
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        _, printed = process.communicate()
        assert process.returncode < 0, (seed, printed)
        with IndexStore(store) as opened:
            n_stored.append(len(opened))
    # Nothing that was stored is lost.
    assert n_stored == sorted(n_stored), seed
    assert 0 < n_stored[-1] < N_IMAGES, seed

    process = start(command, folder, store, url)
    _, printed = process.communicate()
    assert process.returncode == 0, printed

    sent = count_contents(qwen_vl_sandbox)
    assert len(sent) == N_IMAGES
    with IndexStore(store) as opened:
        assert {Path(one.unit.path) for one in opened.find_all()} == set(folder.iterdir())
        assert len(opened) == N_IMAGES
    # Sent again is only what a killed process waited for, or was about to write.
    n_again = sent.total() - N_IMAGES
    assert n_again <= N_KILLS * (n_under_way + 1) * IMAGES_PER_REQUEST, seed
    assert max(len(r.json["input"]["contents"]) for r in qwen_vl_sandbox.requests) == 5

    qwen_vl_sandbox.clear()
    process = start(command, folder, store, url)
    _, printed = process.communicate()
    assert process.returncode == 0, printed
    assert qwen_vl_sandbox.requests == []
    print(f"\n{n_again} images again after {N_KILLS} kills with {n_stored} stored")  # noqa: T201
