"""The commands that index and search a folder, run as a user runs them."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from fpdf import FPDF
from PIL import Image

from qwen_vl_sandbox import Sandbox

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A PDF of two pages, an image, and a file that is not searched."""
    folder = tmp_path / "papers"
    folder.mkdir()
    pdf = FPDF()
    pdf.set_font("helvetica", size=12)
    for text in ("Net income rose.", "The ferry to Naxos leaves at 7:30."):
        pdf.add_page()
        pdf.text(20, 30, text)
    pdf.output(str(folder / "travel.pdf"))
    Image.new("RGB", (64, 64), "red").save(folder / "red.png")
    (folder / "notes.txt").write_text("a note")
    return folder


@pytest.fixture
def run(run_here: Run, qwen_vl_sandbox: Sandbox) -> Run:
    key = {"DASHSCOPE_API_KEY": "sk-sandbox"}

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        url = ("--base-url", qwen_vl_sandbox.base_url)
        return run_here(*arguments, *url, environment=key, **options)

    return run


@pytest.fixture
def store(run: Run, folder: Path, tmp_path: Path, qwen_vl_sandbox: Sandbox) -> Path:
    done = run("index", folder, "--store", tmp_path / "store", "--dimensions", 256)
    assert done.returncode == 0, done.stderr
    qwen_vl_sandbox.clear()
    return tmp_path / "store"


def test_folder_is_indexed_once(
    run: Run, folder: Path, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    first = run("index", folder, "--store", tmp_path / "store")
    second = run("index", folder, "--store", tmp_path / "store", "--json")

    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("3 embedded; 3 pages, images and frames in ")
    assert re.search(r"1 request · [\d,]+ tokens in", first.stderr)
    assert "Skipped 1 file of no kind that is searched: .txt" in first.stderr
    assert json.loads(second.stdout) == {
        "embedded": 0,
        "copied": 0,
        "unchanged": 3,
        "removed": 0,
        "requests": 0,
        "stored": 3,
        "input_tokens": None,
        "skipped": [str(folder / "notes.txt")],
        "failures": [],
    }
    assert len(qwen_vl_sandbox.requests) == 1


def test_hits_are_a_table(run: Run, store: Path) -> None:
    done = run("search", store, "When does the ferry leave?", "--limit", 2)

    assert done.returncode == 0, done.stderr
    # A narrow terminal breaks lines.
    shown = " ".join(done.stdout.split())
    assert shown.startswith("Score By vector By keywords Found 1 0.0")
    assert re.search(r"1 0\.0\d\d \d 1 travel.pdf, page 2 The ferry to Naxos .* 2 0\.0", shown)


def test_answer_cites_pages_and_draws_them(
    run: Run, store: Path, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    question = "When does the ferry to Naxos leave?"

    found = run("search", store, question, "--answer", "--json")
    done = run("search", store, question, "--answer", "--draw", tmp_path / "cited")

    assert done.returncode == 0, done.stderr
    value = json.loads(found.stdout)
    assert value["hits"][0]["page"] == 2
    assert value["answer"]["sources"][0] == "travel.pdf, page 2"
    # The sandbox repeats what it is shown, the numbers of the sources among it.
    assert [citation["source"] for citation in value["answer"]["citations"]] == [1, 2, 3]
    assert "[1] travel.pdf, page 2\n" in done.stdout
    assert len(list((tmp_path / "cited").iterdir())) == 3
    assert "Wrote " in done.stderr


def test_rerank_is_asked_for(run: Run, store: Path, qwen_vl_sandbox: Sandbox) -> None:
    done = run("search", store, "a red area", "--rerank", "--json")

    assert done.returncode == 0, done.stderr
    hits = json.loads(done.stdout)["hits"]
    assert Path(hits[0]["path"]).name == "red.png"
    assert hits[0]["relevance"] == hits[0]["score"]
    assert "rerank" in qwen_vl_sandbox.last_request.path


def test_what_was_not_indexed_is_named(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    done = run("index", folder, "--store", tmp_path / "store")

    assert done.returncode == 3
    assert "3 embedded, 1 failed; 3 pages" in done.stdout
    assert "torn.png was not indexed: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "{folder}", "a"], 4, "is not a store. Create one: qwen-vl index"),
        (["search", "{folder}/gone", "a"], 4, "does not exist"),
        (["index", "{folder}/gone", "--store", "{folder}/../s"], 3, "does not exist"),
        (["index", "{folder}", "--store", "{folder}"], 4, "is not a store"),
        (["index", "{folder}", "--store", "{folder}/../s", "--dimensions", "7"], 4, "7"),
        (["index", "{folder}", "--store", "{folder}/../s", "--frame-seconds", "0"], 4, "above 0"),
        (["search", "{folder}", "a", "--limit", "0"], 2, "limit"),
    ],
)
def test_mistakes_are_explained(
    run: Run, folder: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run(*(word.format(folder=folder) for word in arguments))

    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())


def test_other_model_is_refused_for_the_same_store(run: Run, folder: Path, store: Path) -> None:
    done = run("index", folder, "--store", store, "--dimensions", 512)

    assert done.returncode == 4
    assert "cannot be compared" in " ".join(done.stderr.split())
