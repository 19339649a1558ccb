"""Rows from folders, patterns and files; results as a file; estimates."""

import json
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwen_vl.bulk.estimate import estimate_job
from qwen_vl.bulk.inputs import read_rows
from qwen_vl.bulk.job import Job
from qwen_vl.bulk.ledger import Ledger
from qwen_vl.bulk.outcome import Outcome
from qwen_vl.bulk.results import find_results, write_results
from qwen_vl.bulk.row import Row
from qwen_vl.content import LocalFile, Url
from qwen_vl.errors import ConfigurationError, MissingExtraError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for name in ("b.png", "a.jpg", "more/c.png"):
        Image.new("RGB", (32, 32), "red").save(folder / name)
    (folder / "notes.txt").write_text("a note")
    return folder


def test_folder_has_a_row_for_each_file(folder: Path) -> None:
    rows = list(read_rows(folder))

    assert [row.name for row in rows] == ["a.jpg", "b.png", "more/c.png"]
    assert [row.number for row in rows] == [0, 1, 2]
    assert rows[2].columns == {"path": str(folder / "more/c.png"), "name": "c.png"}
    assert rows[0].media == (LocalFile(folder / "a.jpg", is_trusted=True),)


def test_pattern_has_a_row_for_each_match(folder: Path) -> None:
    assert [row.columns["name"] for row in read_rows(f"{folder}/*.png")] == ["b.png"]
    assert [row.columns["name"] for row in read_rows(f"{folder}/**/*.png")] == ["b.png", "c.png"]
    with pytest.raises(ConfigurationError, match="No file matches"):
        list(read_rows(f"{folder}/*.webp"))
    with pytest.raises(ConfigurationError, match=r"gone' does not exist\. Pass a folder"):
        list(read_rows(folder / "gone"))


def test_json_lines(folder: Path) -> None:
    file = folder / "rows.jsonl"
    file.write_text(
        '\ufeff{"image": "b.png", "kind": "cat"}\n\n'
        '{"url": "https://example.com/a.png", "id": 7}\n'
        '{"images": ["a.jpg", "https://example.com/b.png"]}\n'
        '{"question": "no media"}\n',
        encoding="utf-8",
    )

    rows = list(read_rows(file))

    # Paths are those of the file's folder, and what it names is not what the program names.
    assert [row.media for row in rows] == [
        (LocalFile(folder / "b.png", is_trusted=False),),
        (Url("https://example.com/a.png"),),
        (LocalFile(folder / "a.jpg", is_trusted=False), Url("https://example.com/b.png")),
        (),
    ]
    assert rows[1].columns["id"] == 7
    assert rows[1].name == "rows.jsonl, row 2"


def test_csv(folder: Path) -> None:
    file = folder / "rows.csv"
    file.write_text('photo,kind\n"b.png","a ""big"" cat"\na.jpg,dog\n')

    rows = list(read_rows(file, media_column="photo"))

    assert [row.columns["kind"] for row in rows] == ['a "big" cat', "dog"]
    assert [len(row.media) for row in rows] == [1, 1]
    assert next(iter(read_rows(file))).media == ()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.jsonl", '{"a": 1}\n{"a":\n', "a.jsonl, line 2, is not JSON"),
        ("a.jsonl", "[1]\n", "a.jsonl, line 1, is list, not an object"),
        ("a.jsonl", "[" * 100_000, "line 1, is not JSON"),
        ("a.jsonl", '{"image": 5}\n', "a.jsonl, row 1: int is not a path or URL"),
        ("a.csv", "a,b\n1,2,3\n", "line 2, has more values than columns"),
        ("a.csv", 'a\n"open', "cannot be read as CSV"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(ConfigurationError, match=message):
        list(read_rows(tmp_path / name))


def test_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"b": 1}\n')

    with pytest.raises(ConfigurationError, match=r"lacks a column 'photo'\. Its columns: b"):
        list(read_rows(tmp_path / "a.jsonl", media_column="photo"))


def test_parquet_needs_an_extra(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason='needs: pip install "qwen-vl[parquet]"')
    results: list[dict[str, Any]] = [{"a": 1, "answer": {"legs": 4}}, {"error_code": "E"}]
    write_results(tmp_path / "a.parquet", results)

    rows = list(read_rows(tmp_path / "a.parquet"))

    assert [row.columns for row in rows] == [
        {"a": 1, "answer": '{"legs": 4}', "error_code": None},
        {"a": None, "answer": None, "error_code": "E"},
    ]


def test_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyarrow", "pyarrow.parquet"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")

    with pytest.raises(MissingExtraError, match=r"qwen-vl\[parquet\]"):
        list(read_rows(tmp_path / "a.parquet"))
    with pytest.raises(MissingExtraError, match=r"qwen-vl\[parquet\]"):
        write_results(tmp_path / "b.parquet", [{"a": 1}])


def test_results_are_in_the_order_of_the_input(tmp_path: Path, ledger: Ledger) -> None:
    ledger.add(Outcome(key="x", answer="yes", input_tokens=3))
    ledger.add(Outcome(key="y", error_code="E", error_message="No."))
    for number, key in enumerate("xyx"):
        ledger.note_row(number, key)
    rows = [Row(number=number, columns={"name": f"é{number}"}) for number in range(4)]

    count = write_results(tmp_path / "out.jsonl", find_results(rows, ledger))

    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert count == len(lines) == 4
    assert lines[0] == {
        "name": "é0",
        "key": "x",
        "answer": "yes",
        "input_tokens": 3,
        "n_attempts": 0,
    }
    assert (lines[1]["error_code"], lines[2]["answer"]) == ("E", "yes")
    assert lines[3] == {"name": "é3", "error_code": "not_asked"}
    assert list(tmp_path.glob(".*")) == []


def test_results_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"must be a \.jsonl or \.parquet file"):
        write_results(tmp_path / "out.txt", [])
    with pytest.raises(ConfigurationError, match="What was answered is in the ledger"):
        write_results(tmp_path / "gone/out.jsonl", [{}])


def test_estimate_counts_a_sample(
    make_job: Callable[..., Job], make_rows: Callable[[int], list[Row]], tmp_path: Path
) -> None:
    rows = make_rows(10)
    (tmp_path / "0003.png").write_text("not an image")

    estimate = estimate_job(
        make_job(region="cn-beijing"),
        iter(rows * 100),
        output_tokens=100,
        rpm=60,
        tpm=6_000,
        sample=10,
    )

    assert (estimate.n_rows, estimate.n_sampled, estimate.n_unreadable) == (1_000, 10, 1)
    mean = estimate.input_tokens
    assert 70 < mean < 100
    # 900 of them can be sent: at 1 yuan for a million tokens in, and 10 out, half as a batch.
    assert estimate.cost == 900 * (Decimal(round(mean)) + 10 * 100) / 10**6
    assert estimate.batch_cost == estimate.cost / 2
    assert estimate.hours == pytest.approx(900 * (mean + 100) / 6_000 / 60)
