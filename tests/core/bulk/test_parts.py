"""Outcomes in files of many processes: each key once, whatever ends them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from qwen_vl.bulk import parts as module
from qwen_vl.bulk.outcome import Outcome
from qwen_vl.bulk.parts import PartLedger
from qwen_vl.errors import ConfigurationError

WRITER = """
import sys
from qwen_vl.bulk.outcome import Outcome
from qwen_vl.bulk.parts import PartLedger
ledger = PartLedger(sys.argv[1], flush_rows=100, flush_seconds=3_600)
for number in range(int(sys.argv[2]), int(sys.argv[3])):
    ledger.add(Outcome(key=f"{number:064x}", answer="x" * 1000))
print("written", flush=True)
sys.stdin.read()
ledger.close()
"""


def make_key(number: int) -> str:
    return f"{number:064x}"


def test_outcomes_are_there_when_it_is_opened_again(tmp_path: Path) -> None:
    outcomes = [
        Outcome(key=make_key(1), answer={"legs": 4}, input_tokens=3, seconds=0.5, n_attempts=2),
        Outcome(key=make_key(2), error_code="InvalidParameter", error_message="No."),
        Outcome(key="a short key", answer="é 你好"),
    ]
    with PartLedger(tmp_path / "a/b") as ledger:
        for outcome in outcomes:
            ledger.add(outcome)
        assert [ledger.find(outcome.key) for outcome in outcomes] == outcomes
        ledger.flush()
        assert [ledger.find(outcome.key) for outcome in outcomes] == outcomes
        assert len(ledger) == 3

    with PartLedger(tmp_path / "a/b") as ledger:
        assert [ledger.find(outcome.key) for outcome in outcomes] == outcomes
        assert ledger.find(make_key(3)) is None
        assert len(ledger) == 3
        ledger.add(Outcome(key=make_key(4), answer="more"))
        ledger.add(outcomes[0])
        assert len(ledger) == 4
        assert {outcome.key for outcome in ledger.find_outcomes()} == {
            *(outcome.key for outcome in outcomes),
            make_key(4),
        }


def test_answer_takes_the_place_of_an_error(tmp_path: Path) -> None:
    error = Outcome(key=make_key(1), error_code="E", error_message="No.")
    answer = Outcome(key=make_key(1), answer="Yes.")
    for first, second in ((error, answer), (answer, error)):
        folder = tmp_path / (first.answer or "error")
        for outcome in (first, second):
            with PartLedger(folder) as ledger:
                ledger.add(outcome)
        with PartLedger(folder) as ledger:
            assert ledger.find(make_key(1)) == answer
            assert [outcome.is_answer for outcome in ledger.find_outcomes()] == [True]


@pytest.mark.slow
def test_many_processes_write_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [
        subprocess.Popen(
            [*command, str(begin), str(begin + 250)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for begin in (0, 200, 400)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
    # They are still open: what they have flushed is there, and is found under its next name too.
    with PartLedger(tmp_path) as ledger:
        assert len(list(tmp_path.glob(".part-*"))) == 3
        for writer in writers:
            writer.communicate(b"")
        assert len(list(tmp_path.glob("part-*"))) == 3
        assert len(ledger) == 600
        assert sum(ledger.find(f"{number:064x}") is not None for number in range(650)) == 600
    with PartLedger(tmp_path) as ledger:
        assert len(ledger) == 650


def test_process_that_is_killed_loses_what_it_held(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path), "0", "250"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"written\n"
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()

    with PartLedger(tmp_path) as ledger:
        assert len(ledger) == 200


@pytest.mark.parametrize("torn", [b'{"key": "00', b'{"key": "0000000000000001"}', b"[]\n", b"1\n"])
def test_line_that_was_cut_off_is_passed_over(tmp_path: Path, torn: bytes) -> None:
    with PartLedger(tmp_path) as ledger:
        ledger.add(Outcome(key=make_key(7), answer="whole"))
    (part,) = tmp_path.glob("part-*")
    part.write_bytes(part.read_bytes() + torn)

    with PartLedger(tmp_path) as ledger:
        assert len(ledger) == 1
        assert ledger.find("0000000000000001") is None
        found = ledger.find(make_key(7))
        assert found is not None
        assert found.answer == "whole"


def test_file_that_is_full_is_followed_by_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS_PER_PART", 20)
    with PartLedger(tmp_path, flush_rows=10) as ledger:
        for number in range(55):
            ledger.add(Outcome(key=make_key(number), answer=number))
        answers = [found.answer for n in range(55) if (found := ledger.find(make_key(n)))]
        assert answers == list(range(55))
    assert len(list(tmp_path.glob("part-*"))) == 3

    with PartLedger(tmp_path) as ledger:
        answers = [found.answer for n in range(55) if (found := ledger.find(make_key(n)))]
        assert answers == list(range(55))


def test_outcomes_are_written_after_a_while(tmp_path: Path) -> None:
    with PartLedger(tmp_path, flush_seconds=0) as ledger:
        ledger.add(Outcome(key=make_key(1), answer="a"))
        with PartLedger(tmp_path) as other:
            assert len(other) == 1


def test_keys_are_not_confused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_shorten", len)
    with PartLedger(tmp_path) as ledger:
        ledger.add(Outcome(key="a", answer="one"))
        ledger.flush()
        assert ledger.find("b") is None


def test_ledger_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        PartLedger(tmp_path / "file")

    with PartLedger(tmp_path / "gone") as ledger:
        ledger.add(Outcome(key=make_key(1), answer="a"))
        (tmp_path / "gone").rmdir()
        with pytest.raises(ConfigurationError, match="cannot be written"):
            ledger.flush()
        (tmp_path / "gone").mkdir()
        # Nothing is lost by it.
        ledger.flush()
        assert ledger.find(make_key(1)) is not None
