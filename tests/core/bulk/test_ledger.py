"""Outcomes on disk: each key once, whatever ends the run."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from qwen_vl.bulk.ledger import Ledger
from qwen_vl.bulk.outcome import Outcome, to_failure
from qwen_vl.errors import ConfigurationError, InvalidRequestError, MediaFormatError

WRITER = """
import os, sys
from qwen_vl.bulk.ledger import Ledger
from qwen_vl.bulk.outcome import Outcome
with Ledger(sys.argv[1]) as ledger:
    for number in range(250):
        ledger.add(Outcome(key=f"{number:03}", answer="x" * 1000))
    print("written", flush=True)
    sys.stdin.read()
"""


def test_outcomes_are_there_when_it_is_opened_again(tmp_path: Path) -> None:
    outcomes = [
        Outcome(key="a", answer={"legs": 4}, input_tokens=3, seconds=0.5, n_attempts=2),
        Outcome(key="b", error_code="InvalidParameter", error_message="No."),
    ]
    with Ledger(tmp_path) as ledger:
        for outcome in outcomes:
            ledger.add(outcome)
            assert ledger.find(outcome.key) == outcome

    with Ledger(tmp_path) as ledger:
        assert [ledger.find(key) for key in ("a", "b", "c")] == [*outcomes, None]
        assert list(ledger.find_failures()) == outcomes[1:]
        assert len(ledger) == 2


def test_answer_takes_the_place_of_an_error_and_not_the_other_way(tmp_path: Path) -> None:
    failed, answered = Outcome(key="a", error_code="E"), Outcome(key="a", answer="yes")
    with Ledger(tmp_path) as ledger:
        for outcome in (failed, answered, failed):
            ledger.add(outcome)
            ledger.flush()

        assert ledger.find("a") == answered
        assert len(ledger) == 1


def test_rows_know_their_keys(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add(Outcome(key="a", answer="yes"))
        ledger.note_row(0, "a")
        ledger.note_row(1, "a")
        ledger.note_row(2, "b")

        found = [ledger.find_row(number) for number in range(4)]
        assert [one and one.answer for one in found] == ["yes", "yes", None, None]
        ledger.forget_rows()
        assert ledger.find_row(0) is None


def test_killed_process_loses_no_more_than_what_was_pending(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == "written\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()
    process.stdout.close()

    with Ledger(tmp_path) as ledger:
        # They are written by the hundred, and each second.
        assert 200 <= len(ledger) <= 250
        assert all(ledger.find(f"{number:03}") for number in range(200))


def test_second_process_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen_vl.bulk.ledger._WAIT_SECONDS", 0.01)
    with (
        Ledger(tmp_path),
        pytest.raises(ConfigurationError, match="If another run uses it, wait until that ends"),
    ):
        Ledger(tmp_path)


def test_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/ledger.sqlite3").write_text("this is not a database " * 50)

    for folder in ("file/below", "damaged"):
        with pytest.raises(ConfigurationError, match="cannot be opened"):
            Ledger(tmp_path / folder)


def test_full_disk_says_what_is_kept(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add(Outcome(key="a", answer="kept"))
        ledger.flush()
        # SQLite's own limit of size, which it reports as a full disk.
        (pages,) = ledger._database.execute("PRAGMA page_count").fetchone()
        ledger._database.execute(f"PRAGMA max_page_count = {pages}")
        ledger.add(Outcome(key="b", answer="x" * 100_000))
        with pytest.raises(ConfigurationError, match=r"full\. What was answered before is kept"):
            ledger.flush()
        ledger._database.execute("PRAGMA max_page_count = 1000000")

    with sqlite3.connect(tmp_path / "ledger.sqlite3") as database:
        rows = database.execute("SELECT key, value FROM outcomes").fetchall()
    database.close()
    assert json.loads(dict(rows)["a"])["answer"] == "kept"


def test_failures_have_a_code_and_a_message() -> None:
    of_service = InvalidRequestError("Too long.", status=400, code="bad", request_id="r1")

    failure = to_failure("a", of_service, seconds=1.23456, n_attempts=2)

    assert (failure.error_code, failure.request_id, failure.seconds) == ("bad", "r1", 1.235)
    assert failure.error_message == "Too long. (HTTP 400, bad, request id r1)"
    of_media = to_failure("b", MediaFormatError("Not an image.", where="a.png"))
    assert (of_media.error_code, of_media.error_message) == (
        "MediaFormatError",
        "a.png: Not an image.",
    )
    of_system = to_failure("c", PermissionError("denied"))
    assert of_system.error_message == "PermissionError: denied"
    assert Outcome.from_dict(of_media.to_dict()) == of_media
