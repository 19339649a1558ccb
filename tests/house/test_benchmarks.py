"""The benchmarks run, and say what they should; what they find is not a test's to judge."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cases import CASES, GROWTH, find_case
from benchmarks.contenders import ENTRIES
from benchmarks.server import loopback
from benchmarks.targets import TARGETS

TESTS = Path(__file__).parents[1]
OURS = ("chat-qwen-vl", "base-chat-model", "qwen-vl", "llm", "openai", "httpx")


def test_targets_name_what_is_measured() -> None:
    for target in TARGETS:
        assert target.case in {"import", *CASES}
        assert {target.ours, target.other} <= ENTRIES.keys()
        assert ENTRIES[target.ours].standing == "ours"


def test_growth_is_found_by_name() -> None:
    for kind, steps in GROWTH.items():
        assert [find_case(f"{kind}-{index}") for index in range(3)] == list(steps)


def test_endpoint_answers_whole_and_in_pieces() -> None:
    with loopback() as server:
        kind = ENTRIES["httpx"].load()
        whole = kind(f"{server.address}/whole/v1")
        messages = [whole.user(whole.text("Hello"))]
        answer = whole.ask(messages)
        assert isinstance(answer, dict)
        assert answer["choices"][0]["message"]["content"]
        assert server.last_length() > 50
        # One with the role, one with the finish reason, and one with the usage, beside them.
        stream = kind(f"{server.address}/plain-7/v1")
        assert stream.stream(messages) == 10


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_measures_ours_and_the_floors(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    cases = ("address", "bytes-90kB", "stream-arguments", "at-once-64", "photo", "count")
    options = [f"--cases={case}" for case in cases]
    options += [f"--contenders={name}" for name in OURS]
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "run", "--output", output, "--rounds", "1", *options]
        + ["--no-growth"],
        cwd=TESTS,
        check=True,
        capture_output=True,
    )
    figures = json.loads(output.read_text())["figures"]
    assert figures.keys() == set(cases)
    for case in ("address", "bytes-90kB", "stream-arguments", "at-once-64", "photo"):
        assert figures[case].keys() == set(OURS)
        assert all(values["cpu"] > 0 for values in figures[case].values())
    assert figures["count"].keys() == {"chat-qwen-vl"}
    photo = figures["photo"]
    assert photo["chat-qwen-vl"]["bytes"] < photo["openai"]["bytes"] / 4
    assert photo["chat-qwen-vl"]["growth"] > 0
