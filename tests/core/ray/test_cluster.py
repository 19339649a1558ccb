"""Two workers of Ray with one budget.

One of them is killed, and the budget's actor later; then all is asked again, with what is new.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwen_vl.bulk import PartLedger
from qwen_vl_sandbox import Sandbox

pytest.importorskip("ray", reason='needs: pip install "qwen-vl[ray]"')
pytestmark = [pytest.mark.slow, pytest.mark.any_version, pytest.mark.timeout(600)]

PROGRAM = Path(__file__).with_name("cluster_program.py")
COUNT, MORE = 300, 25
# A worker that is killed loses what it has not written, and what is under way.
WINDOW = 100 + 64


def start(folder: Path, sandbox: Sandbox, count: int) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "DASHSCOPE_API_KEY": "sk-any",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
    }
    command = [sys.executable, str(PROGRAM), str(folder), sandbox.base_url, str(count)]
    log = (folder / f"log-{count}.txt").open("wb")
    with log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log)


def finish(program: subprocess.Popen[bytes], folder: Path, count: int) -> dict[str, Any]:
    code = program.wait()
    assert code == 0, (folder / f"log-{count}.txt").read_text()[-5_000:]
    made: dict[str, Any] = json.loads((folder / "rows.json").read_text())
    return made


def test_worker_is_killed_and_the_job_goes_on(tmp_path: Path) -> None:
    for number in range(COUNT + MORE):
        image = Image.new("RGB", (32, 32), (number % 256, number // 256, 9))
        image.save(tmp_path / f"{number}.png")
    (tmp_path / "7.png").write_text("not an image")

    with Sandbox() as sandbox:
        program = start(tmp_path, sandbox, COUNT)
        try:
            while sandbox.n_requests < COUNT // 3 and program.poll() is None:
                time.sleep(0.05)
            workers = [int(path.name) for path in (tmp_path / "workers").iterdir()]
            os.kill(workers[0], signal.SIGKILL)
            made = finish(program, tmp_path, COUNT)
        finally:
            program.kill()
        n_requests = sandbox.n_requests
        again = start(tmp_path, sandbox, COUNT + MORE)
        try:
            more = finish(again, tmp_path, COUNT + MORE)
        finally:
            again.kill()
        n_more = sandbox.n_requests - n_requests

    assert len(workers) == 2
    assert (tmp_path / "budget-is-killed").exists()
    assert more["actors"].count("budget/test") == 1
    rows = made["rows"]
    assert sorted(row["number"] for row in rows) == list(range(COUNT))
    errors = {row["number"]: row["error_code"] for row in rows if row["error_code"]}
    assert errors == {7: "MediaFormatError"}
    assert all(f"number {row['number']}?" in row["answer"] for row in rows if row["number"] != 7)
    assert max(Counter(row["key"] for row in rows).values()) == 1
    # Each row once, but for those that the worker lost.
    assert COUNT - 1 <= n_requests <= COUNT + WINDOW

    # What was answered has the answer that was paid for, and only what is new is asked.
    assert n_more == MORE
    answers = {row["key"]: row["answer"] for row in more["rows"]}
    assert len(answers) == COUNT + MORE
    assert all(answers[row["key"]] == row["answer"] for row in rows)
    with PartLedger(tmp_path / "store") as ledger:
        assert len(ledger) == COUNT + MORE
        outcomes = list(ledger.find_outcomes())
    assert {outcome.key for outcome in outcomes} == set(answers)
    assert len(outcomes) == COUNT + MORE
