"""Folders that are indexed: what is embedded, what is not again, and what fails."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwen_vl.embedding.embedder import Embedder
from qwen_vl.errors import (
    AuthenticationError,
    ConfigurationError,
    MediaFormatError,
    MediaNotFoundError,
)
from qwen_vl.retrieval.files import FrameOptions
from qwen_vl.retrieval.indexer import Indexer
from qwen_vl.retrieval.plan import IndexReport
from qwen_vl.retrieval.store import IndexStore
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

Make = Callable[..., Embedder]


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.slow)])
def run(request: pytest.FixtureRequest) -> Callable[[Indexer, Path], IndexReport]:
    """Index a folder by the one method or the other."""

    def index(indexer: Indexer, folder: Path) -> IndexReport:
        return (
            indexer.index(folder)
            if request.param == "sync"
            else asyncio.run(indexer.aindex(folder))
        )

    return index


def count_contents(sandbox: Sandbox) -> int:
    return sum(len(request.json["input"]["contents"]) for request in sandbox.requests)


def test_each_page_image_and_frame_is_embedded_once(
    store: IndexStore, corpus: Path, make_embedder: Make, qwen_vl_sandbox: Sandbox, run: Any
) -> None:
    steps: list[tuple[int, int]] = []
    indexer = Indexer(
        store, make_embedder(), on_progress=lambda done, total: steps.append((done, total))
    )

    report = run(indexer, corpus)

    assert (report.n_embedded, report.n_requests, report.failures) == (9, 2, [])
    assert [path.name for path in report.skipped] == ["notes.txt"]
    assert count_contents(qwen_vl_sandbox) == 9
    assert all(len(r.json["input"]["contents"]) <= 5 for r in qwen_vl_sandbox.requests)
    assert steps == [(0, 9), (5, 9), (9, 9)]
    assert report.usage is not None
    assert report.usage.image_tokens
    names = sorted(one.unit.name for one in store.find_all())
    assert names == [
        "bunny.mp4, 0:03",
        "fax.tiff, page 1",
        "fax.tiff, page 2",
        "pump.pdf, page 1",
        "pump.pdf, page 2",
        "red.png",
        "report.pdf, page 1",
        "report.pdf, page 2",
        "report.pdf, page 3",
    ]
    texts = {one.unit.name: one.unit.text for one in store.find_all()}
    assert texts["report.pdf, page 2"] == "The board proposes a dividend."
    assert texts["red.png"] == ""


def test_second_run_sends_nothing(
    indexed: IndexStore, corpus: Path, make_embedder: Make, qwen_vl_sandbox: Sandbox, run: Any
) -> None:
    report = run(Indexer(indexed, make_embedder()), corpus)

    assert (report.n_embedded, report.n_unchanged, report.n_removed) == (0, 9, 0)
    assert qwen_vl_sandbox.requests == []


def test_only_what_changed_is_sent(
    indexed: IndexStore, corpus: Path, make_embedder: Make, qwen_vl_sandbox: Sandbox, run: Any
) -> None:
    Image.new("RGB", (64, 64), "black").save(corpus / "red.png")
    Image.new("RGB", (64, 64), "blue").save(corpus / "new.png")
    (corpus / "fax.tiff").unlink()

    report = run(Indexer(indexed, make_embedder()), corpus)

    assert (report.n_embedded, report.n_unchanged, report.n_removed) == (2, 6, 2)
    assert count_contents(qwen_vl_sandbox) == 2
    assert len(indexed) == 8


def test_file_that_lost_pages_loses_them_in_the_store(
    indexed: IndexStore, corpus: Path, make_embedder: Make, run: Any
) -> None:
    Image.new("RGB", (64, 64), "white").save(corpus / "fax.tiff")

    report = run(Indexer(indexed, make_embedder()), corpus)

    assert (report.n_embedded, report.n_removed) == (1, 1)
    assert [one.unit.kind for one in indexed.find_all() if "fax" in one.unit.path] == ["image"]


def test_moved_file_is_not_sent_again(
    indexed: IndexStore, corpus: Path, make_embedder: Make, qwen_vl_sandbox: Sandbox, run: Any
) -> None:
    (corpus / "report.pdf").rename(corpus / "manuals/annual.pdf")
    shutil.copy(corpus / "red.png", corpus / "copy.png")

    report = run(Indexer(indexed, make_embedder()), corpus)

    assert (report.n_embedded, report.n_copied, report.n_removed) == (0, 4, 3)
    assert qwen_vl_sandbox.requests == []
    found = {one.unit.name: one.unit.text for one in indexed.find_all()}
    assert found["annual.pdf, page 1"] == "Net income rose by 4 percent."


def test_copies_of_a_file_are_sent_once(
    store: IndexStore, corpus: Path, make_embedder: Make, qwen_vl_sandbox: Sandbox, run: Any
) -> None:
    for name in ("red-2.png", "manuals/red-3.png"):
        shutil.copy(corpus / "red.png", corpus / name)
    shutil.copy(corpus / "report.pdf", corpus / "report-2.pdf")

    report = run(Indexer(store, make_embedder()), corpus)

    assert (report.n_embedded, report.n_copied, len(store)) == (9, 5, 14)
    assert count_contents(qwen_vl_sandbox) == 9
    stored = {one.unit.name: one for one in store.find_all()}
    copied = stored["report-2.pdf, page 2"], stored["report.pdf, page 2"]
    assert copied[0].unit.text == copied[1].unit.text == "The board proposes a dividend."
    vectors = store.read_vectors([one.id for one in copied])
    assert len({tuple(vector) for vector in vectors.values()}) == 1
    assert run(Indexer(store, make_embedder()), corpus).n_unchanged == 14


def test_copies_fail_together(
    store: IndexStore, corpus: Path, make_embedder: Make, qwen_vl_sandbox: Sandbox, run: Any
) -> None:
    shutil.copy(corpus / "bunny.mp4", corpus / "a-copy.mp4")
    # The request of the first five, and that of the first alone.
    qwen_vl_sandbox.fail(status=400, times=2)

    report = run(Indexer(store, make_embedder(max_concurrency=1)), corpus)

    assert [failure.name for failure in report.failures] == [
        "a-copy.mp4, 0:03",
        "bunny.mp4, 0:03",
    ]
    assert (report.n_embedded, len(store)) == (8, 8)


def test_folders_share_a_store(
    indexed: IndexStore, tmp_path: Path, make_embedder: Make, run: Any
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (64, 64), "white").save(other / "white.png")

    report = run(Indexer(indexed, make_embedder()), other)

    assert (report.n_embedded, report.n_removed, len(indexed)) == (1, 0, 10)
    assert indexed.manifest is not None
    assert [Path(folder).name for folder in indexed.manifest.folders] == ["corpus", "other"]


def test_run_that_is_stopped_goes_on_where_it_ended(
    store: IndexStore, corpus: Path, make_embedder: Make, qwen_vl_sandbox: Sandbox, run: Any
) -> None:
    indexer = Indexer(store, make_embedder(max_concurrency=1))
    # The first request is answered, the second refused.
    qwen_vl_sandbox.fail(latency=0.001)
    qwen_vl_sandbox.fail(status=401)
    with pytest.raises(AuthenticationError):
        run(indexer, corpus)
    n_stored = len(store)
    qwen_vl_sandbox.clear()

    report = run(indexer, corpus)

    assert n_stored == 5
    assert (report.n_unchanged, report.n_embedded) == (5, 4)
    assert count_contents(qwen_vl_sandbox) == 4


def test_what_cannot_be_read_is_reported_and_tried_again(
    store: IndexStore, corpus: Path, make_embedder: Make, run: Any
) -> None:
    (corpus / "report.pdf").write_text("not a PDF")
    (corpus / "red.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))

    report = run(Indexer(store, make_embedder()), corpus)

    assert report.n_embedded == 5
    assert {failure.name: type(failure.error) for failure in report.failures} == {
        "report.pdf": MediaFormatError,
        "red.png": MediaFormatError,
    }
    Image.new("RGB", (64, 64), "red").save(corpus / "red.png")
    again = run(Indexer(store, make_embedder()), corpus)
    assert (again.n_embedded, again.n_unchanged, len(again.failures)) == (1, 5, 1)


def test_stored_pages_of_a_file_that_broke_stay(
    indexed: IndexStore, corpus: Path, make_embedder: Make, run: Any
) -> None:
    (corpus / "report.pdf").write_text("not a PDF")

    report = run(Indexer(indexed, make_embedder()), corpus)

    assert (report.n_removed, len(report.failures), len(indexed)) == (0, 1, 9)


def test_image_that_the_endpoint_refuses_is_reported(
    store: IndexStore, corpus: Path, make_embedder: Make, qwen_vl_sandbox: Sandbox, run: Any
) -> None:
    # The request of the first five, and that of the first alone.
    qwen_vl_sandbox.fail(status=400, times=2)

    report = run(Indexer(store, make_embedder(max_concurrency=1)), corpus)

    assert (report.n_embedded, len(report.failures), len(store)) == (8, 1, 8)


def test_too_many_failures_end_the_run(
    store: IndexStore, corpus: Path, make_embedder: Make, run: Any
) -> None:
    for number in range(3):
        (corpus / f"{number}.png").write_text("text")

    with pytest.raises(MediaFormatError):
        run(Indexer(store, make_embedder(), max_failures=2), corpus)


def test_vectors_of_another_model_are_refused(
    indexed: IndexStore, corpus: Path, make_embedder: Make, qwen_vl_sandbox: Sandbox, run: Any
) -> None:
    for options in ({"dimensions": 512}, {"document_instruction": "Find pages."}):
        with pytest.raises(ConfigurationError, match="qwen3-vl-embedding/256, which cannot be"):
            run(Indexer(indexed, make_embedder(**options)), corpus)
    assert qwen_vl_sandbox.requests == []


def test_frames_of_videos(store: IndexStore, corpus: Path, make_embedder: Make) -> None:
    Indexer(store, make_embedder(), frames=FrameOptions(seconds=2)).index(corpus / "bunny.mp4")

    seconds = sorted(one.unit.seconds or 0 for one in store.find_all())
    assert seconds == [0.88, 2.64, 4.4]
    # Fewer of them: those that are no more wanted are removed.
    again = Indexer(store, make_embedder(), frames=FrameOptions(seconds=9))
    report = again.index(corpus / "bunny.mp4")
    assert (report.n_unchanged, report.n_removed) == (1, 2)


def test_model_reads_pages_without_text(
    store: IndexStore,
    corpus: Path,
    make_embedder: Make,
    settings: QwenVLSettings,
    qwen_vl_sandbox: Sandbox,
    run: Any,
) -> None:
    indexer = Indexer(store, make_embedder())
    run(indexer, corpus)
    qwen_vl_sandbox.clear()

    report = run(Indexer(store, make_embedder(), parse_with=settings), corpus)

    # Those with a text of their own, and the frame, are not read; no vector is asked for again.
    assert (report.n_copied, report.n_embedded, report.n_unchanged) == (3, 0, 6)
    assert [r.path.rpartition("/")[2] for r in qwen_vl_sandbox.requests] == ["completions"] * 3
    texts = {one.unit.name: one.unit.text for one in store.find_all()}
    assert "sandbox" in texts["red.png"]
    assert texts["bunny.mp4, 0:03"] == ""
    third = run(Indexer(store, make_embedder(), parse_with=settings), corpus)
    assert third.n_unchanged == 9


def test_store_may_be_within_the_folder(corpus: Path, make_embedder: Make) -> None:
    with IndexStore(corpus / "store") as store:
        for _ in range(2):
            report = Indexer(store, make_embedder()).index(corpus)
            assert [path.name for path in report.skipped] == ["notes.txt"]


def test_nothing_to_index(
    store: IndexStore, tmp_path: Path, make_embedder: Make, qwen_vl_sandbox: Sandbox, run: Any
) -> None:
    (tmp_path / "empty").mkdir()

    report = run(Indexer(store, make_embedder()), tmp_path / "empty")

    assert (report.n_embedded, len(store)) == (0, 0)
    with pytest.raises(MediaNotFoundError, match="does not exist"):
        run(Indexer(store, make_embedder()), tmp_path / "gone")
    assert qwen_vl_sandbox.requests == []


@pytest.mark.parametrize("options", [{"seconds": 0}, {"seconds": -1}, {"max_frames": 0}])
def test_wrong_frame_options_raise(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        FrameOptions(**options)


def test_long_videos_have_fewer_frames_a_second() -> None:
    times = FrameOptions(seconds=1, max_frames=4).choose_times(100)

    assert times == [12.5, 37.5, 62.5, 87.5]
