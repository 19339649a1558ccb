"""The nightly batch of docs/examples: run twice, at once, after a kill, and with failures."""

import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from document_examples import ROOT
from qwen_vl.samples import CHELSEA, COFFEE, ROCKET
from qwen_vl_sandbox import Sandbox

SCRIPT = ROOT / "docs/examples/nightly_batch.py"

pytestmark = pytest.mark.slow


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for sample in (CHELSEA, COFFEE):
        shutil.copy(sample, tmp_path / "photos")
    return tmp_path


@pytest.fixture
def start(desk: Path, qwen_vl_sandbox: Sandbox) -> Callable[..., subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "DASHSCOPE_API_KEY": "sk-sandbox",
        "DASHSCOPE_BASE_URL": qwen_vl_sandbox.base_url,
    }

    def start(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(SCRIPT), "photos", "answers.csv", "--poll", "0.1", *options]
        return subprocess.Popen(
            command,
            cwd=desk,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    output, errors = process.communicate()
    return process.returncode, output + errors


def read_table(desk: Path) -> list[dict[str, str]]:
    with (desk / "answers.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


Start = Callable[..., "subprocess.Popen[str]"]


def test_second_night_asks_about_what_is_new(
    start: Start, desk: Path, qwen_vl_sandbox: Sandbox
) -> None:
    assert finish(start()) == (0, "2 new answers; 0 of 2 files lack one\n")
    first = (desk / "answers.csv").read_bytes()
    assert finish(start()) == (0, "0 new answers; 0 of 2 files lack one\n")
    assert (desk / "answers.csv").read_bytes() == first
    assert len(qwen_vl_sandbox.batches) == 1

    shutil.copy(ROCKET, desk / "photos")
    assert finish(start()) == (0, "1 new answers; 0 of 3 files lack one\n")
    assert [batch.n_executed for batch in qwen_vl_sandbox.batches] == [2, 1]
    cat, _, rocket = read_table(desk)
    assert (cat["path"], rocket["path"]) == ("chelsea.png", "rocket.jpg")
    assert "PNG 451x300" in cat["answer"]
    assert int(cat["input_tokens"]) > 128
    assert cat["error_message"] == ""
    # The files at the service are deleted.
    assert qwen_vl_sandbox.batch_files == []


def test_one_run_at_a_time(start: Start, desk: Path, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail_batch(seconds=3)
    first = start()
    while not (desk / "answers.ledger/ledger.sqlite3").exists():
        time.sleep(0.01)

    assert finish(start()) == (0, "Another run is under way.\n")
    assert finish(first) == (0, "2 new answers; 0 of 2 files lack one\n")
    assert len(qwen_vl_sandbox.batches) == 1


def test_run_that_was_killed_goes_on(start: Start, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail_batch(seconds=2)
    killed = start()
    while not qwen_vl_sandbox.batches:
        time.sleep(0.01)
    killed.kill()
    finish(killed)

    assert finish(start()) == (0, "2 new answers; 0 of 2 files lack one\n")
    assert [batch.n_executed for batch in qwen_vl_sandbox.batches] == [2]


def test_failures_are_asked_once_more(start: Start, desk: Path, qwen_vl_sandbox: Sandbox) -> None:
    (desk / "photos/broken.png").write_bytes(b"no image")
    qwen_vl_sandbox.fail_batch(failed_lines=1, status=500)

    assert finish(start()) == (1, "2 new answers; 1 of 3 files lack one\n")
    assert [batch.n_lines for batch in qwen_vl_sandbox.batches] == [2, 1]
    broken, *others = read_table(desk)
    assert broken["error_message"]
    assert not broken["answer"]
    assert all(row["answer"] for row in others)


def test_cost_is_limited(start: Start, qwen_vl_sandbox: Sandbox) -> None:
    code, output = finish(start("--max-cost", "0.01"))

    assert code == 2
    assert "max_cost" in output
    assert qwen_vl_sandbox.batches == []
