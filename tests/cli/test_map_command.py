"""The command that asks one question about many rows, run as a user runs it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        Image.new("RGB", (32, 32), (number * 20, 90, 90)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def run(run_here: Run, qwen_vl_sandbox: Sandbox) -> Run:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        url = ("--base-url", qwen_vl_sandbox.base_url)
        return run_here("map", *arguments, *url, environment={"DASHSCOPE_API_KEY": "sk-sandbox"})

    return run


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_file_is_a_line(run: Run, folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"

    done = run(folder, "-o", output, "--prompt", "What color is {name}?")
    again = run(folder, "-o", output, "--prompt", "What color is {name}?", "--json")

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"5 rows: 5 answered; in {output}\n"
    assert re.search(r"5 requests · [\d,]+/min · [\d,]+ tokens\n", done.stderr)
    results = read(output)
    assert [result["name"] for result in results] == [f"{number}.png" for number in range(5)]
    assert all('"What color is' in str(result["answer"]) for result in results)
    report = json.loads(again.stdout)
    assert (report["n_rows"], report["n_known"], report["n_requests"]) == (5, 5, 0)


def test_rows_that_fail_are_lines_too(run: Run, folder: Path, tmp_path: Path) -> None:
    (folder / "3.png").write_text("not an image")
    output = tmp_path / "out.jsonl"

    done = run(folder, "-o", output, "--prompt", "What?")

    assert done.returncode == 0
    assert "5 rows: 4 answered, 1 failed" in done.stdout
    assert "MediaFormatError: 3.png: Expected an image" in " ".join(done.stderr.split())
    assert [result.get("error_code") for result in read(output)] == [
        *[None] * 3,
        "MediaFormatError",
        None,
    ]


def test_files_of_rows_name_files_of_their_own_folder(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    rows = [{"image": "0.png", "kind": "cat"}, {"image": "../secret.png", "kind": "dog"}]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    Image.new("RGB", (32, 32), "red").save(tmp_path / "secret.png")
    arguments = (folder / "rows.jsonl", "-o", tmp_path / "out.jsonl", "--prompt", "A {kind}?")

    run(*arguments)

    first, second = read(tmp_path / "out.jsonl")
    assert (first["kind"], "A cat?" in str(first["answer"])) == ("cat", True)
    assert second["error_code"] == "MediaAccessError"
    run(*arguments, "--media-root", tmp_path, "--retry-failed")
    assert "A dog?" in str(read(tmp_path / "out.jsonl")[1]["answer"])


def test_answers_follow_a_schema(
    run: Run, folder: Path, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    schema = {"type": "object", "properties": {"legs": {"type": "integer", "maximum": 4}}}
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    qwen_vl_sandbox.script(*['{"legs": 4}'] * 4, '{"legs": 5}')

    done = run(
        folder, "-o", tmp_path / "out.jsonl", "--prompt", "?", "--schema", tmp_path / "schema.json"
    )

    assert done.returncode == 0, done.stderr
    results = read(tmp_path / "out.jsonl")
    assert Counter(str(result.get("answer")) for result in results) == {
        "{'legs': 4}": 4,
        "None": 1,
    }
    assert "$.legs: 5 is greater than the maximum of 4" in done.stderr


def test_dry_run_sends_nothing(
    run: Run, folder: Path, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    options = ("-o", tmp_path / "out.jsonl", "--prompt", "What?", "--dry-run", "--rpm", 60)

    done = run(folder, *options, "--region", "cn-beijing")
    as_json = run(folder, *options, "--json", "--limit", 2)

    assert done.returncode == 0, done.stderr
    assert re.search(r"5 rows; \d+ input tokens each \(mean of 5\), 200 output tokens", done.stdout)
    assert re.search(r"0\.01 CNY at list prices; as a batch 0\.01 CNY", done.stdout)
    assert json.loads(as_json.stdout)["n_rows"] == 2
    assert qwen_vl_sandbox.requests == []
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{folder}", "-o", "out.txt", "--prompt", "?"], 4, "must be a .jsonl or .parquet file"),
        (["{folder}/gone", "-o", "{folder}/a.jsonl", "--prompt", "?"], 4, "does not exist"),
        (["{folder}", "-o", "{folder}/no/a.jsonl", "--prompt", "?"], 4, "folder"),
        (["{folder}", "-o", "{folder}/a.jsonl", "--prompt", "?", "--rpm", "0"], 4, "rpm is 0"),
        (["{folder}", "-o", "{folder}/a.jsonl", "--prompt", "?", "--max-cost", "x"], 4, "'x'"),
        (
            ["{folder}", "-o", "{folder}/a.jsonl", "--prompt", "?", "--max-cost", "5"],
            4,
            "max_cost cannot be kept",
        ),
    ],
)
def test_mistakes_are_explained(
    run: Run, folder: Path, arguments: list[str], code: int, message: str
) -> None:
    done = run(*(word.format(folder=folder) for word in arguments))

    assert done.returncode == code, done.stderr
    assert message in " ".join(done.stderr.split())


def start(folder: Path, output: Path, url: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "qwen_vl", "map", str(folder), "-o", str(output)),
            *("--prompt", "What?", "--concurrency", "4", "--base-url", url),
        ],
        env={**os.environ, "DASHSCOPE_API_KEY": "sk-sandbox"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def count_asked(sandbox: Sandbox) -> Counter[str]:
    return Counter(
        request.json["messages"][0]["content"][0]["image_url"]["url"]
        for request in sandbox.requests
    )


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_run_that_is_stopped_goes_on_where_it_ended(
    tmp_path: Path, qwen_vl_sandbox: Sandbox, signal_number: signal.Signals
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(400):
        Image.new("RGB", (32, 32), (number % 256, number // 256, 9)).save(photos / f"{number}.png")
    output = tmp_path / "out.jsonl"
    stops = (40, 150, 290)

    for n_before in stops:
        qwen_vl_sandbox.fail(latency=0.01, times=500)
        process = start(photos, output, qwen_vl_sandbox.base_url)
        while qwen_vl_sandbox.n_requests < n_before and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal_number)
        _, printed = process.communicate(timeout=30)
        if signal_number == signal.SIGINT:
            assert process.returncode == 130, printed
            assert b"Run the same command again" in printed
    process = start(photos, output, qwen_vl_sandbox.base_url)
    process.communicate(timeout=60)

    results = read(output)
    assert len(results) == 400
    assert all("PNG 32x32" in str(result["answer"]) for result in results)
    asked = count_asked(qwen_vl_sandbox)
    assert len(asked) == 400
    # Twice at most those that were under way, and of a killed process those of a second, which
    # are a hundred at most.
    window = 4 + (100 if signal_number == signal.SIGKILL else 0)
    assert asked.total() <= 400 + len(stops) * window


def test_a_task_over_a_folder(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    desk = Image.new("RGB", (640, 480), "white")
    desk.paste("red", (64, 48, 192, 240))
    desk.save(folder / "desk.png")
    (folder / "clip.mp4").write_bytes(BIG_BUCK_BUNNY.read_bytes())
    places, events = tmp_path / "places.jsonl", tmp_path / "events.jsonl"

    located = run(folder, "-o", places, "--task", "locate", "--prompt", "red things")
    found = run(folder, "-o", events, "--task", "timeline")

    assert located.returncode == 0, located.stderr
    assert found.returncode == 0, found.stderr
    assert "1 file is left out, which --task locate does not take." in located.stderr
    (one,) = read(places)
    assert one["answer"]["boxes"][0]["xyxy"] == [64, 48, 192, 240]  # type: ignore[index]
    (other,) = read(events)
    assert other["name"] == "clip.mp4"


def test_a_prompt_is_needed(run: Run, folder: Path, tmp_path: Path) -> None:
    done = run(folder, "-o", tmp_path / "out.jsonl")

    assert done.returncode == 4
    assert "needs a prompt" in done.stderr
