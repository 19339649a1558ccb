"""The benchmarks run, and say what they should; what they find is not a test's to judge."""

import json
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from benchmarks.cases import CASES, FRESH, GROWTH, find_case
from benchmarks.contenders import ENTRIES
from benchmarks.measure import find_ratio
from benchmarks.server import LINK, LINK_BYTES_PER_SECOND, loopback
from benchmarks.targets import TARGETS

pytestmark = pytest.mark.any_version

TESTS = Path(__file__).parents[1]
OURS = ("chat-qwen-vl", "base-chat-model", "qwen-vl", "llm", "openai", "httpx")


def test_targets_name_what_is_measured() -> None:
    for target in TARGETS:
        assert {target.case, target.other_case or target.case} <= {*FRESH, *CASES}
        assert {target.ours, target.other} <= ENTRIES.keys()
        assert ENTRIES[target.ours].standing == "ours"


def test_growth_is_found_by_name() -> None:
    for kind, steps in GROWTH.items():
        assert [find_case(f"{kind}-{index}") for index in range(3)] == list(steps)


def test_endpoint_answers_whole_and_in_pieces() -> None:
    body = b'{"model": "qwen3-vl-plus"}'
    with loopback() as server, httpx2.Client() as client:
        whole = client.post(f"{server.url}/whole/v1/chat/completions", content=body)
        assert whole.json()["choices"][0]["message"]["content"]
        assert server.last_length() == len(body)
        stream = client.post(f"{server.url}/plain-7/v1/chat/completions", content=body)
        # One with the role, one with the finish reason, and one with the usage, beside them.
        assert stream.text.count('data: {"') == 10
        assert stream.text.endswith("data: [DONE]\n\n")


def test_slow_link_lets_no_more_through() -> None:
    body = b'{"model": "qwen3-vl-plus"}'.ljust(250_000)
    with loopback() as server, httpx2.Client() as client:
        url = f"{server.url}/{LINK}/v1/chat/completions"
        for _ in range(2):
            begun = time.perf_counter()
            answer = client.post(url, content=body)
            took = time.perf_counter() - begun
            assert answer.json()["choices"][0]["message"]["content"]
            assert len(body) / took <= LINK_BYTES_PER_SECOND * 1.01


def test_ratio_of_two_cases_of_one_contender() -> None:
    figures = {
        name: {"a": {"cpu": cpu, "cpu_by_round": [cpu]}} for name, cpu in (("x", 1.0), ("y", 4.0))
    }
    assert find_ratio(figures, "x", "a", "a", other_case="y") == 0.25


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_measures_ours_and_the_floors(tmp_path: Path) -> None:
    output = tmp_path / "results.json"
    # One of each way to measure.
    cases = ("address", "stream-arguments", "at-once-64", "photo", "count")
    options = [f"--cases={case}" for case in cases]
    options += [f"--contenders={name}" for name in OURS]
    command = [sys.executable, "-m", "benchmarks", "run", "--rounds=1", "--no-growth"]
    subprocess.run(
        [*command, f"--output={output}", *options], cwd=TESTS, check=True, capture_output=True
    )
    figures = json.loads(output.read_text())["figures"]
    assert figures.keys() == set(cases)
    for case in set(cases) - {"count"}:
        assert figures[case].keys() == set(OURS)
        assert all(values["cpu"] > 0 for values in figures[case].values())
    assert figures["count"].keys() == {"chat-qwen-vl"}
    photo = figures["photo"]
    assert photo["chat-qwen-vl"]["bytes"] < photo["openai"]["bytes"] / 4
    assert photo["chat-qwen-vl"]["growth"] > 0
