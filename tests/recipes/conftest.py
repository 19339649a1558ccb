"""A folder of 60 pages, an image and a video, and a sandbox that reads them."""

import os
import pickle
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen_vl.embedding.embedder import Embedder
from qwen_vl.retrieval import Indexer, IndexStore
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.ocr import engine
from visual_rag_corpus import Library, write_corpus


@pytest.fixture(scope="session")
def reading_sandbox() -> Iterator[Sandbox]:
    """A sandbox whose vectors tell the words in images."""
    with Sandbox(reads=True, max_recorded_bytes=1 << 30) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(reading_sandbox: Sandbox) -> Sandbox:
    """The same, without what it was asked before."""
    reading_sandbox.clear()
    return reading_sandbox


@pytest.fixture
def settings(sandbox: Sandbox) -> QwenVLSettings:
    return QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, reading_sandbox: Sandbox) -> Library:
    """Made once, by one of the workers: to read 60 pages takes a minute."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    made, lock = shared / "library.pickle", shared / "library.lock"
    while not made.exists():
        try:
            lock.mkdir()
        except FileExistsError:
            time.sleep(0.2)
            continue
        try:
            library = _make_library(shared / "library", reading_sandbox)
            written = made.with_suffix(".tmp")
            written.write_bytes(pickle.dumps((library, engine._READER._read)))
            written.replace(made)
        finally:
            lock.rmdir()
    library, read = pickle.loads(made.read_bytes())
    # What the text of each image is, so that it is not read by each worker.
    engine._READER._read.update(read)
    return library  # type: ignore[no-any-return]


def _make_library(root: Path, sandbox: Sandbox) -> Library:
    folder = root / "papers"
    folder.mkdir(parents=True)
    pages = write_corpus(folder)
    shutil.copy(CHELSEA, folder / "cat.png")
    shutil.copy(BIG_BUCK_BUNNY, folder / "bunny.mp4")
    settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
    with IndexStore(root / "index") as store:
        report = Indexer(store, Embedder(settings, dimensions=1024)).index(folder)
    assert report.failures == []
    return Library(folder, root / "index", pages, report.n_requests)
