"""A folder of documents, images and a video, and stores that are filled from it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fpdf import FPDF
from PIL import Image

from qwen_vl.embedding.embedder import Embedder
from qwen_vl.retrieval.indexer import Indexer
from qwen_vl.retrieval.store import IndexStore
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

REPORT = ("Net income rose by 4 percent.", "The board proposes a dividend.", "Steel became cheap.")
MANUAL = ("Press the green button to reset the pump.", "Replace the carbon filter twice a year.")


def write_pdf(path: Path, texts: tuple[str, ...]) -> Path:
    pdf = FPDF(format="A4")
    pdf.set_font("helvetica", size=12)
    for text in texts:
        pdf.add_page()
        pdf.text(15, 30, text)
    pdf.output(str(path))
    return path


@pytest.fixture(scope="session")
def _corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_pdf(folder / "report.pdf", REPORT)
    (folder / "manuals").mkdir()
    write_pdf(folder / "manuals/pump.pdf", MANUAL)
    Image.new("RGB", (64, 64), "red").save(folder / "red.png")
    pages = [Image.new("RGB", (64, 64), color) for color in ("blue", "lime")]
    pages[0].save(folder / "fax.tiff", save_all=True, append_images=pages[1:])
    shutil.copy(BIG_BUCK_BUNNY, folder / "bunny.mp4")
    (folder / "notes.txt").write_text("not searched")
    (folder / ".hidden.png").write_bytes((folder / "red.png").read_bytes())
    return folder


@pytest.fixture
def corpus(_corpus: Path, tmp_path: Path) -> Path:
    """Nine units: 3 and 2 pages of PDF, 2 of TIFF, an image, and a frame of a video."""
    return Path(shutil.copytree(_corpus, tmp_path / "corpus"))


@pytest.fixture
def settings(qwen_vl_sandbox: Sandbox) -> QwenVLSettings:
    return QwenVLSettings(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")


@pytest.fixture
def make_embedder(settings: QwenVLSettings) -> Callable[..., Embedder]:
    def make(**options: Any) -> Embedder:
        return Embedder(settings, **{"dimensions": 256, **options})

    return make


@pytest.fixture
def store(tmp_path: Path) -> Iterator[IndexStore]:
    with IndexStore(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def indexed(
    store: IndexStore,
    corpus: Path,
    make_embedder: Callable[..., Embedder],
    qwen_vl_sandbox: Sandbox,
) -> IndexStore:
    """The store of a corpus that may be changed."""
    assert Indexer(store, make_embedder()).index(corpus).n_embedded == 9
    qwen_vl_sandbox.clear()
    return store


@pytest.fixture(scope="session")
def _filled(_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "store"
    with Sandbox() as sandbox, IndexStore(folder) as opened:
        settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        assert Indexer(opened, Embedder(settings, dimensions=256)).index(_corpus).n_embedded == 9
    return folder


@pytest.fixture
def filled(_filled: Path, tmp_path: Path) -> Iterator[IndexStore]:
    """A store of the corpus, to be searched."""
    with IndexStore(shutil.copytree(_filled, tmp_path / "filled")) as opened:
        yield opened
