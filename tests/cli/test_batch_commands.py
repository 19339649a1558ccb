"""Batch files from the command line, run as a user runs them: each step is a process."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from qwen_vl_sandbox import Sandbox

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(batch_seconds=0.05) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        Image.new("RGB", (32, 32), (number * 20, 90, 90)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def run(run_here: Run, sandbox: Sandbox) -> Run:
    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        url = ("--base-url", sandbox.base_url)
        return run_here(*arguments, *url, environment={"DASHSCOPE_API_KEY": "sk-sandbox"})

    return run


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_job_step_by_step(run: Run, folder: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    job, output = tmp_path / "job", tmp_path / "out.jsonl"
    (folder / "5.png").write_text("not an image")
    sandbox.fail_batch(failed_lines=1, status=400, code="data_inspection_failed", message="No.")

    prepared = run(
        *("batch", "prepare", folder, job, "--prompt", "What is {name}?"),
        *("--max-lines", 3, "--region", "cn-beijing"),
    )
    submitted = run("batch", "submit", job)
    again = run("batch", "submit", job, "--json")
    collected = run("batch", "collect", job, "-o", output, "--wait", "--poll", 0.1)
    first = read(output)
    retried = run("batch", "retry", job)
    status = run("batch", "collect", job, "-o", output, "--wait", "--poll", 0.1, "--json")
    listed = run("batch", "list", "--json")
    cleaned = run("batch", "clean", job)

    assert prepared.returncode == 0, prepared.stderr
    assert "6 rows: 5 lines in 2 files" in prepared.stdout
    assert "1 failed" in prepared.stdout
    assert "CNY with 200 output tokens each" in prepared.stdout
    assert f"Next: qwen-vl batch submit {job}" in prepared.stdout
    assert submitted.returncode == 0, submitted.stderr
    assert "6 rows, 5 lines" in submitted.stdout
    assert [shard["state"] for shard in json.loads(again.stdout)["shards"]] == ["submitted"] * 2
    assert collected.returncode == 0, collected.stderr
    assert "6 rows, 5 lines: 4 answered, 2 failed" in collected.stdout
    assert [result.get("error_code") for result in first] == [
        *("data_inspection_failed", None, None, None, None),
        "MediaFormatError",
    ]
    assert [result["key"] for result in first] == [f"{number}.png" for number in range(6)]
    assert "1 lines are asked again" in retried.stdout
    final = json.loads(status.stdout)
    assert (final["n_answered"], final["n_failed"], final["is_collected"]) == (5, 0, True)
    assert all("answer" in result for result in read(output)[:5])
    jobs = json.loads(listed.stdout)
    assert [found["status"] for found in jobs] == ["completed"] * 3
    assert [found["name"] for found in jobs] == ["job"] * 3
    assert "files are deleted" in cleaned.stdout
    assert len(sandbox.batches) == 3
    assert not sandbox.batch_files


def test_answers_follow_the_schema_that_the_job_was_prepared_with(
    run: Run, folder: Path, tmp_path: Path
) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object", "properties": {"n": {"type": "integer"}}}')
    job, output = tmp_path / "job", tmp_path / "out.jsonl"

    run("batch", "prepare", folder, job, "--prompt", "Count.", "--schema", schema)
    run("batch", "submit", job)
    collected = run("batch", "collect", job, "-o", output, "--wait", "--poll", 0.1)

    assert collected.returncode == 0, collected.stderr
    assert all(isinstance(result["answer"], dict) for result in read(output))


def test_a_job_that_runs_is_cancelled(
    run: Run, folder: Path, tmp_path: Path, sandbox: Sandbox
) -> None:
    sandbox.fail_batch(stops_after=2)
    job = tmp_path / "job"
    run("batch", "prepare", folder, job, "--prompt", "What?")
    run("batch", "submit", job)

    cancelled = run("batch", "cancel", job)

    assert cancelled.returncode == 0, cancelled.stderr
    assert "cancel" in cancelled.stdout


@pytest.mark.parametrize("command", ["submit", "status", "collect", "retry", "cancel", "clean"])
def test_a_folder_without_a_job_is_an_error(run: Run, tmp_path: Path, command: str) -> None:
    done = run("batch", command, tmp_path)

    assert done.returncode == 4
    assert "does not hold a batch job" in " ".join(done.stderr.split())


def test_an_error_of_the_service_has_its_exit_code(
    run: Run, folder: Path, tmp_path: Path, sandbox: Sandbox
) -> None:
    sandbox.fail(endpoint="files", status=401, code="invalid_api_key")
    job = tmp_path / "job"
    run("batch", "prepare", folder, job, "--prompt", "What?")

    done = run("batch", "submit", job, "--json")

    assert done.returncode == 5
    assert json.loads(done.stdout)["error"]["type"] == "AuthenticationError"


def test_map_by_batch_files(run: Run, folder: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    output = tmp_path / "out.jsonl"
    options = ("-o", output, "--prompt", "What?", "--mode", "batch-file", "--poll", 0.1)

    done = run("map", folder, *options)
    again = run("map", folder, *options, "--json")

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"5 rows: 5 answered; in {output}\n"
    assert [result["name"] for result in read(output)] == [f"{n}.png" for n in range(5)]
    assert (json.loads(again.stdout)["n_known"], len(sandbox.batches)) == (5, 1)


def test_map_by_batch_chat(run: Run, folder: Path, tmp_path: Path, sandbox: Sandbox) -> None:
    output = tmp_path / "out.jsonl"

    done = run("map", folder, "-o", output, "--prompt", "What?", "--mode", "batch-chat")

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"5 rows: 5 answered; in {output}\n"
    assert len(sandbox.requests) == 5
    assert all("stream" not in request.json for request in sandbox.requests)
