"""The command that parses documents, run as a user runs it."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qwen_vl import ParsedDocument
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    pages = [Image.new("RGB", (620, 877), "white") for _ in range(3)]
    for page in pages:
        page.paste("red", (100, 200, 300, 400))
    path = tmp_path / "report.pdf"
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=75)
    return path


@pytest.fixture
def parse(run_here: Run, qwen_vl_sandbox: Sandbox) -> Run:
    key = {"DASHSCOPE_API_KEY": "sk-sandbox"}

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        url = ("--base-url", qwen_vl_sandbox.base_url)
        return run_here("parse", *arguments, *url, environment=key, **options)

    return run


def test_markdown_is_printed(parse: Run, report: Path) -> None:
    done = parse(report, "--pages", "2", "--dpi", "75")

    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"sandbox, not a model; received PNG \d+x\d+, mean color .*, \d+ tokens\n\n"
        r"<!-- image \(\d+, \d+, \d+, \d+\) -->\n",
        done.stdout,
    )


def test_json_can_be_read_back(parse: Run, report: Path) -> None:
    done = parse(report, CHELSEA, "--json")
    documents = [ParsedDocument.from_dict(value) for value in json.loads(done.stdout)]

    assert [len(document.pages) for document in documents] == [3, 1]
    assert documents[1].crop(documents[1].blocks[0], CHELSEA).size == (451, 300)


@pytest.mark.parametrize("suffix", [".md", ".html", ".json"])
def test_file_is_written(parse: Run, report: Path, tmp_path: Path, suffix: str) -> None:
    output = tmp_path / f"out{suffix}"
    done = parse(report, "-o", output)

    assert done.returncode == 0, done.stderr
    # Page, blocks, tables and figures; long paths take several lines.
    assert re.findall(r"(\d) +2 +0 +1 +[\d,]+", done.stdout) == ["1", "2", "3"]
    start = {".md": "sandbox, ", ".html": "<!doctype html>", ".json": '{"source"'}
    assert output.read_text().startswith(start[suffix])


def test_pages_are_drawn(parse: Run, report: Path, tmp_path: Path) -> None:
    done = parse(report, CHELSEA, CHELSEA, "--pages", "1-2", "--draw", tmp_path / "drawn")

    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        f"{CHELSEA.stem} (2).png",
        f"{CHELSEA.stem}.png",
        "report-1.png",
        "report-2.png",
    ]
    with Image.open(tmp_path / "drawn/report-1.png") as drawn:
        assert drawn.width == 1240


def test_later_run_resumes(
    parse: Run, report: Path, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    first = parse(report, "--pages", "1-2", "--ledger", tmp_path / "done")
    second = parse(report, "--ledger", tmp_path / "done")

    assert second.stdout.startswith(first.stdout)
    assert len(qwen_vl_sandbox.requests) == 3


# Shown in one line, as a user's shell does.
@pytest.mark.filterwarnings("always:.*was not parsed")
def test_page_that_fails(parse: Run, report: Path, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(status=400, code="data_inspection_failed", message="Inappropriate.")
    done = parse(report, "--concurrency", 1)

    assert done.returncode == 5
    assert "Warning: Page 1 of" in done.stderr
    assert "<!-- Page 1 was not parsed" in done.stdout
    assert done.stdout.count("sandbox, not a model") == 2


@pytest.mark.filterwarnings("always:.*was not parsed")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["gone.pdf"], 3, "does not exist"),
        ([CHELSEA, "-o", "out.txt"], 4, "must be a .md, .html or .json file"),
        ([CHELSEA, "--model", "qwen2.5-vl-7b-instruct", "--form", "markdown"], 4, "'html' only"),
        (["-", "-"], 2, "only one argument"),
    ],
)
def test_errors(parse: Run, arguments: list[object], code: int, message: str) -> None:
    done = parse(*arguments)

    assert done.returncode == code
    assert message in " ".join(done.stderr.replace("│", " ").split())


def test_standard_input(parse: Run) -> None:
    done = parse("-", stdin=CHELSEA)

    assert done.stdout.startswith("sandbox, not a model; received PNG 451x300")
