"""Places, events, text and blocks of many files, by the same core as questions."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwen_vl.batches import BatchRunner
from qwen_vl.bulk import Job, Ledger, Row, Runner
from qwen_vl.bulk.estimate import estimate_job
from qwen_vl.bulk.tasks import split_pages, takes_row
from qwen_vl.content import LocalFile, Url
from qwen_vl.errors import ConfigurationError
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox

MakeJob = Callable[..., Job]


def run(job: Job, ledger: Ledger, rows: list[Row]) -> list[Any]:
    asyncio.run(Runner(job, ledger).run(rows))
    return [ledger.find_row(row.number) for row in rows]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A desk of 640 x 480 pixels with a red thing on it."""
    image = Image.new("RGB", (640, 480), "white")
    image.paste("red", (64, 48, 192, 240))
    path = tmp_path / "desk.png"
    image.save(path)
    return path


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """A TIFF of three pages."""
    pages = [Image.new("RGB", (300, 200), color) for color in ("red", "green", "blue")]
    path = tmp_path / "papers.tiff"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


def row_of(path: Path, number: int = 0, **columns: Any) -> Row:
    source = LocalFile(path, is_trusted=True)
    return Row(number=number, media=(source,), columns=columns, name=path.name)


def test_places_are_in_pixels_of_each_image(make_job: MakeJob, ledger: Ledger, desk: Path) -> None:
    job = make_job("{color} things", task="locate")

    (outcome,) = run(job, ledger, [row_of(desk, color="red")])

    assert (outcome.answer["width"], outcome.answer["height"]) == (640, 480)
    assert [box["xyxy"] for box in outcome.answer["boxes"]] == [[64.0, 48.0, 192.0, 240.0]]


def test_events_of_a_video(make_job: MakeJob, ledger: Ledger) -> None:
    (outcome,) = run(make_job("", task="timeline"), ledger, [row_of(BIG_BUCK_BUNNY)])

    assert outcome.answer["events"][0]["end"] == 5.28
    assert outcome.input_tokens > 0


def test_the_text_of_each_page(make_job: MakeJob, ledger: Ledger, papers: Path) -> None:
    job = make_job("", task="ocr", model="qwen-vl-ocr")
    rows = list(split_pages([row_of(papers)], "ocr", job.settings))

    outcomes = run(job, ledger, rows)

    assert [(row.number, row.page, row.columns) for row in rows] == [
        (0, 1, {"page": 1}),
        (1, 2, {"page": 2}),
        (2, 3, {"page": 3}),
    ]
    assert [outcome.answer["text"][:7] for outcome in outcomes] == ["sandbox"] * 3
    assert len({outcome.key for outcome in outcomes}) == 3


def test_the_blocks_of_each_page(make_job: MakeJob, ledger: Ledger, papers: Path) -> None:
    job = make_job("", task="parse")
    rows = list(split_pages([row_of(papers)], "parse", job.settings))

    outcomes = run(job, ledger, rows)

    assert [outcome.answer["page"] for outcome in outcomes] == [1, 2, 3]
    assert all(outcome.answer["size"] == [300, 200] for outcome in outcomes)
    assert all(outcome.answer["blocks"][0]["kind"] == "paragraph" for outcome in outcomes)


def test_a_task_is_asked_once(
    make_job: MakeJob, ledger: Ledger, papers: Path, qwen_vl_sandbox: Sandbox
) -> None:
    job = make_job("", task="parse")
    rows = list(split_pages([row_of(papers)], "parse", job.settings))

    run(job, ledger, rows)
    run(job, ledger, rows)

    assert len(qwen_vl_sandbox.requests) == 3


def test_a_file_that_cannot_be_opened_is_an_outcome(
    make_job: MakeJob, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "torn.pdf").write_bytes(b"%PDF-1.7 torn")
    job = make_job("", task="parse")
    rows = list(split_pages([row_of(tmp_path / "torn.pdf")], "parse", job.settings))

    (outcome,) = run(job, ledger, rows)

    assert outcome.error_code == "MediaFormatError"


def test_a_file_of_a_table_is_read_inside_the_roots_alone(
    make_job: MakeJob, ledger: Ledger, desk: Path, tmp_path: Path
) -> None:
    (tmp_path / "roots").mkdir()
    row = Row(number=0, media=(LocalFile(desk, is_trusted=False),), name="rows.csv, row 1")

    for task in ("locate", "ocr", "parse"):
        job = make_job("red", task=task, media_roots=[tmp_path / "roots"])
        (outcome,) = run(job, ledger, [row])
        assert outcome.error_code == "MediaAccessError"


@pytest.mark.parametrize(
    ("task", "taken"),
    [
        ("ask", [True, True, True, True]),
        ("locate", [True, False, False, False]),
        ("timeline", [False, True, False, False]),
        ("ocr", [True, False, True, False]),
        ("parse", [True, False, True, False]),
    ],
)
def test_kinds_of_files(task: Any, taken: list[bool]) -> None:
    names = ("a.png", "a.mp4", "a.pdf", "a.mp3")
    rows = [Row(number=0, media=(Url(f"https://example.com/{name}"),)) for name in names]

    assert [takes_row(task, row) for row in rows] == taken


def test_an_estimate_counts_what_a_task_asks(make_job: MakeJob, desk: Path) -> None:
    job = make_job("red things", task="locate", region="cn-beijing")

    estimate = estimate_job(job, [row_of(desk)], output_tokens=100)

    # 640 x 480 pixels are 300 tokens of 32 x 32 pixels.
    assert estimate.input_tokens > 300
    assert estimate.cost is not None


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"prompt": " "}, "task 'ask' needs a prompt"),
        ({"prompt": "", "task": "locate"}, "task 'locate' needs a prompt"),
        ({"task": "ocr", "schema": {"type": "object"}}, "leave out schema and system"),
        ({"task": "parse", "system": "Be brief."}, "leave out schema and system"),
    ],
)
def test_jobs_that_cannot_be_asked(make_job: MakeJob, options: dict[str, Any], wanted: str) -> None:
    with pytest.raises(ConfigurationError, match=wanted):
        make_job(**options)


def test_a_task_is_about_one_file(make_job: MakeJob, ledger: Ledger, desk: Path) -> None:
    source = LocalFile(desk, is_trusted=True)
    row = Row(number=0, media=(source, source), name="row")

    (outcome,) = run(make_job("red", task="locate"), ledger, [row])

    assert outcome.error_code == "ConfigurationError"
    assert "the row has 2" in outcome.error_message


def test_batch_files_are_for_questions(make_job: MakeJob, ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="not 'locate'"):
        BatchRunner(make_job("red", task="locate"), ledger)
