"""Batch jobs from the files to the answers, with all that a network and a service may do."""

import json
import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qwen_vl.batches import BatchJob, ShardState
from qwen_vl.batches.ledger import BatchLedger
from qwen_vl.content import Image, LocalFile, Text, Turn
from qwen_vl.errors import (
    APIConnectionError,
    AuthenticationError,
    ConfigurationError,
    RateLimitError,
)
from qwen_vl.request.build import build_request
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

Prepare = Callable[..., BatchJob]


def finish(job: BatchJob) -> None:
    job.submit()
    job.wait(poll=0.02)
    job.collect()


def read_answers(job: BatchJob) -> dict[str, str | None]:
    return {result.key: result.reply.text if result.reply else None for result in job.results()}


def count_runs(sandbox: Sandbox) -> int:
    """How many lines were run, over all jobs."""
    return sum(job.n_executed for job in sandbox.batches)


def test_answers_come_in_the_order_of_the_input(prepare: Prepare, sandbox: Sandbox) -> None:
    job = prepare(25, max_lines=10, name="Photos")

    finish(job)

    assert [(shard.n_lines, shard.state) for shard in job.status(update=False).shards] == [
        (10, ShardState.COLLECTED),
        (10, ShardState.COLLECTED),
        (5, ShardState.COLLECTED),
    ]
    results = list(job.results())
    assert [(result.number, result.key) for result in results] == [
        (number, f"row-{number}") for number in range(25)
    ]
    for number, result in enumerate(results):
        assert result.reply is not None
        assert f'"Question {number}"' in result.reply.text
        assert result.request_id == result.reply.request_id
        assert result.request_id
    assert count_runs(sandbox) == 25


def test_equal_requests_are_sent_once(prepare: Prepare, sandbox: Sandbox) -> None:
    job = prepare(["Hello", "Good-bye", "Hello"])

    finish(job)

    status = job.status(update=False)
    assert (status.n_items, status.n_lines, status.n_answered) == (3, 2, 2)
    first, other, again = job.results()
    assert first.reply == again.reply != other.reply
    assert count_runs(sandbox) == 2


def test_a_file_that_cannot_be_read_is_a_failed_item(
    tmp_path: Path, settings: QwenVLSettings
) -> None:
    def ask(name: str) -> Any:
        image = Image(source=LocalFile(tmp_path / name, is_trusted=True), where=name)
        return build_request(settings, [Turn(role="user", parts=(image, Text(text="What?")))])

    requests = [("gone", ask("gone.png"))]
    with BatchJob.prepare(requests, tmp_path / "job", settings) as job:
        finish(job)
        (result,) = job.results()
        status = job.status(update=False)

    assert (status.n_items, status.n_unsent, status.n_lines) == (1, 1, 0)
    assert result.error_code == "MediaNotFoundError"
    assert "gone.png" in (result.error_message or "")


@pytest.mark.parametrize("spelling", ["code", "error_code", "body"])
@pytest.mark.parametrize("in_output", [False, True])
def test_failed_lines_are_read_wherever_they_stand(
    prepare: Prepare, sandbox: Sandbox, spelling: Any, in_output: bool
) -> None:
    sandbox.fail_batch(
        failed_lines=2,
        status=400,
        code="data_inspection_failed",
        message="Input data may contain inappropriate content.",
        in_output=in_output,
        spelling=spelling,
    )
    job = prepare(5)

    finish(job)

    status = job.status(update=False)
    assert (status.n_answered, status.n_failed, status.n_not_run) == (3, 2, 0)
    failed = [result for result in job.results() if result.reply is None]
    assert [result.key for result in failed] == ["row-0", "row-1"]
    for result in failed:
        assert result.error_code == "data_inspection_failed"
        assert "inappropriate content" in (result.error_message or "")
        assert result.is_run


def test_only_what_failed_is_asked_again(prepare: Prepare, sandbox: Sandbox) -> None:
    sandbox.fail_batch(failed_lines=3)
    job = prepare(8, max_lines=4)
    finish(job)
    before = read_answers(job)

    n_lines = job.retry()
    finish(job)

    after = read_answers(job)
    assert n_lines == 3
    assert [key for key, text in before.items() if text is None] == ["row-0", "row-1", "row-2"]
    assert all(after.values())
    assert {key: text for key, text in after.items() if before[key]} == {
        key: text for key, text in before.items() if text
    }
    assert job.retry() == 0
    assert count_runs(sandbox) == 8 + 3


@pytest.mark.parametrize("lists_unfinished", [True, False])
def test_lines_of_an_expired_job_have_not_been_run(
    prepare: Prepare, sandbox: Sandbox, lists_unfinished: bool
) -> None:
    sandbox.fail_batch(expires_after=2, lists_unfinished=lists_unfinished)
    job = prepare(5)
    finish(job)

    answered = [result.key for result in job.results() if result.reply is not None]
    missing = [result for result in job.results() if result.reply is None]
    assert (len(answered), len(missing)) == (2, 3)
    assert all(result.error_code for result in missing)

    assert job.retry() == 3
    finish(job)
    assert all(read_answers(job).values())
    assert count_runs(sandbox) == 5


def test_a_job_that_fails_as_a_whole_says_why(prepare: Prepare, sandbox: Sandbox) -> None:
    sandbox.fail_batch(validation_code="model_not_supported")
    job = prepare(3)

    finish(job)

    (shard,) = job.status(update=False).shards
    assert shard.status == "failed"
    assert shard.error
    for result in job.results():
        assert (result.error_code, result.error_message) == ("job_failed", shard.error)
    assert job.retry() == 3


def test_a_lost_answer_does_not_create_a_second_job(prepare: Prepare, sandbox: Sandbox) -> None:
    sandbox.fail(endpoint="batches", cut_after_chunks=0)
    job = prepare(5)

    finish(job)

    assert len(sandbox.batches) == 1
    assert all(read_answers(job).values())


def test_a_list_that_is_refused_leaves_the_job_unsure_not_doubled(
    prepare: Prepare, sandbox: Sandbox, settings: QwenVLSettings
) -> None:
    settings.max_retries = 0
    sandbox.fail(endpoint="batches", cut_after_chunks=0)
    sandbox.fail(endpoint="batch_list", status=429)
    job = prepare(5)

    with pytest.raises(RateLimitError):
        job.submit()
    assert [shard.state for shard in job.status(update=False).shards] == [ShardState.SUBMITTING]
    finish(job)

    assert len(sandbox.batches) == 1
    assert all(read_answers(job).values())


def test_a_job_that_was_not_created_is_created_once(
    prepare: Prepare, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qwen_vl.batches.submission._SETTLE_SECONDS", (0.01,))
    sandbox.fail(endpoint="batches", status=503)
    job = prepare(5)

    finish(job)

    assert len(sandbox.batches) == 1
    assert all(read_answers(job).values())


def test_an_upload_whose_answer_is_lost_is_not_repeated(prepare: Prepare, sandbox: Sandbox) -> None:
    sandbox.fail(endpoint="files", cut_after_chunks=0)
    job = prepare(5)

    job.submit()

    assert len([file for file in sandbox.batch_files if file.id.startswith("file-batch-")]) == 1


def test_a_refused_key_is_an_error_at_once(prepare: Prepare, sandbox: Sandbox) -> None:
    sandbox.fail(endpoint="files", status=401, code="invalid_api_key")
    job = prepare(2)

    with pytest.raises(AuthenticationError):
        job.submit()

    assert [shard.state for shard in job.status(update=False).shards] == [ShardState.UPLOADING]
    finish(job)
    assert all(read_answers(job).values())


@pytest.mark.slow
def test_another_process_goes_on(
    prepare: Prepare, tmp_path: Path, settings: QwenVLSettings, sandbox: Sandbox
) -> None:
    prepare(12, max_lines=5).submit()

    answers = _run_in_process(_finish_elsewhere, tmp_path / "job", settings.base_url)

    assert len(answers) == 12
    assert all(answers.values())
    assert len(sandbox.batches) == 3
    assert count_runs(sandbox) == 12


def _finish_elsewhere(folder: Path, base_url: str) -> dict[str, str | None]:
    settings = QwenVLSettings(base_url=base_url, api_key="sk-sandbox")
    with BatchJob(folder, settings) as job:
        finish(job)
        return read_answers(job)


def _run_in_process(work: Callable[..., Any], *arguments: Any) -> Any:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(work, arguments)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system has no SIGKILL")
def test_a_process_that_is_killed_in_the_middle_of_a_call_submits_nothing_twice(
    prepare: Prepare, tmp_path: Path, settings: QwenVLSettings, sandbox: Sandbox
) -> None:
    prepare(6, max_lines=2).close()
    sandbox.fail(endpoint="batches", latency=1.5)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_submit_elsewhere, args=(tmp_path / "job", settings.base_url))
    process.start()
    folder = tmp_path / "job"
    while _find_states(folder)[0] != "submitting":
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    with BatchJob(folder, settings) as job:
        finish(job)
        answers = read_answers(job)

    assert all(answers.values())
    assert len(answers) == 6
    assert count_runs(sandbox) == 6


def _submit_elsewhere(folder: Path, base_url: str) -> None:
    with BatchJob(folder, QwenVLSettings(base_url=base_url, api_key="sk-sandbox")) as job:
        job.submit()


def _find_states(folder: Path) -> list[str]:
    database = sqlite3.connect(folder / "job.sqlite3", timeout=10)
    try:
        return [state for (state,) in database.execute("SELECT state FROM shards ORDER BY number")]
    finally:
        database.close()


def test_two_processes_cannot_submit_at_the_same_time(prepare: Prepare, tmp_path: Path) -> None:
    job = prepare(2)
    other = BatchLedger(tmp_path / "job")
    try:
        with other.locked(), pytest.raises(ConfigurationError, match="another process"):
            job.submit()
    finally:
        other.close()
    job.submit()


def test_a_job_can_be_cancelled_and_what_was_answered_collected(
    prepare: Prepare, sandbox: Sandbox
) -> None:
    sandbox.fail_batch(stops_after=2)
    job = prepare(5)
    job.submit()
    while job.status().n_answered < 2:
        time.sleep(0.02)

    job.cancel()
    job.wait(poll=0.02)
    job.collect()

    status = job.status(update=False)
    assert (status.n_answered, status.n_not_run) == (2, 3)
    assert [result.is_run for result in job.results()].count(False) == 3


def test_a_job_that_was_not_sent_is_cancelled_without_a_call(
    prepare: Prepare, sandbox: Sandbox
) -> None:
    job = prepare(3)

    status = job.cancel()

    assert status.is_collected
    assert status.n_not_run == 3
    assert not sandbox.batches


def test_files_at_the_service_are_deleted_once_collected(
    prepare: Prepare, sandbox: Sandbox
) -> None:
    sandbox.fail_batch(failed_lines=1)
    job = prepare(5, max_lines=3)
    job.submit()
    with pytest.raises(ConfigurationError, match="not collected"):
        job.clean()
    finish(job)
    assert len(sandbox.batch_files) == 5

    assert (job.clean(), job.clean()) == (5, 0)

    assert not sandbox.batch_files
    assert len(list(job.results())) == 5


def test_nothing_is_downloaded_twice(prepare: Prepare, sandbox: Sandbox) -> None:
    job = prepare(3)
    finish(job)
    answers = read_answers(job)
    for file in sandbox.batch_files:
        sandbox.fail(endpoint="file_content", status=500, times=5)
        assert file.id

    job.collect()

    assert read_answers(job) == answers


def test_a_download_that_breaks_off_is_not_taken_for_whole(
    prepare: Prepare, sandbox: Sandbox, settings: QwenVLSettings
) -> None:
    settings.max_retries = 0
    job = prepare(3)
    job.submit()
    job.wait(poll=0.02)
    sandbox.fail(endpoint="file_content", cut_after_chunks=0)

    with pytest.raises(APIConnectionError):
        job.collect()
    assert not job.status(update=False).is_collected
    job.collect()

    assert all(read_answers(job).values())


def test_a_folder_holds_one_job(prepare: Prepare) -> None:
    prepare(2)

    with pytest.raises(ConfigurationError, match="holds a batch job"):
        prepare(3)


def test_a_preparation_that_broke_off_is_begun_again(
    tmp_path: Path, settings: QwenVLSettings, make_requests: Callable[..., Any]
) -> None:
    def break_off() -> Any:
        yield from make_requests(["One", "Two"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BatchJob.prepare(break_off(), tmp_path / "job", settings)
    assert not BatchJob.is_in(tmp_path / "job")
    with pytest.raises(ConfigurationError, match="did not finish"):
        BatchJob(tmp_path / "job", settings)

    with BatchJob.prepare(make_requests(["Three"]), tmp_path / "job", settings) as job:
        assert job.status(update=False).n_items == 1


def test_a_job_belongs_to_its_endpoint(prepare: Prepare, tmp_path: Path) -> None:
    prepare(2)
    other = QwenVLSettings(base_url="http://127.0.0.1:9/compatible-mode/v1", api_key="sk-1")

    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:9"):
        BatchJob(tmp_path / "job", other)


def test_the_key_is_nowhere_in_the_folder(
    tmp_path: Path, sandbox: Sandbox, make_requests: Callable[..., Any]
) -> None:
    settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-very-secret")
    with BatchJob.prepare(make_requests(["Hello"]), tmp_path / "job", settings) as job:
        finish(job)

    files = [file for file in (tmp_path / "job").rglob("*") if file.is_file()]
    assert len(files) >= 3
    assert not any(b"sk-very-secret" in file.read_bytes() for file in files)


def test_cost_before_and_after(prepare: Prepare) -> None:
    job = prepare(4)

    before = job.estimate_cost(output_tokens=100)
    finish(job)
    after = job.cost()

    # 1 yuan for a million tokens in, 10 for a million out (docs/models.md), and half of it.
    assert before.output_tokens == 400
    assert before.amount == Decimal(before.input_tokens + 10 * 400) / 10**6 / 2
    usages = [result.reply.usage for result in job.results() if result.reply]
    n_input = sum(usage.input_tokens for usage in usages if usage)
    n_output = sum(usage.output_tokens for usage in usages if usage)
    assert (after.input_tokens, after.output_tokens) == (n_input, n_output)
    assert after.amount == Decimal(n_input + 10 * n_output) / 10**6 / 2
    assert after.currency == "CNY"


def test_the_test_model_answers_for_nothing(
    tmp_path: Path, sandbox: Sandbox, make_requests: Callable[..., Any]
) -> None:
    settings = QwenVLSettings(
        base_url=sandbox.base_url, api_key="sk-sandbox", model="batch-test-model"
    )
    turn = Turn(role="user", parts=(Text(text="Hello"),))
    requests = [("row", build_request(settings, [turn], max_tokens=5))]

    with BatchJob.prepare(requests, tmp_path / "job", settings) as job:
        finish(job)
        (result,) = job.results()

    assert result.reply is not None
    assert result.reply.text == "This is a test result."


def test_wait_returns_at_its_timeout(prepare: Prepare, sandbox: Sandbox) -> None:
    sandbox.fail_batch(stops_after=1)
    job = prepare(3)
    job.submit()
    seen = []

    status = job.wait(poll=0.02, timeout=0.1, on_progress=seen.append)

    assert not status.has_ended
    assert len(seen) > 1


def test_wait_needs_a_job_that_is_submitted(prepare: Prepare) -> None:
    with pytest.raises(ConfigurationError, match="submit the job"):
        prepare(3).wait(poll=0.02)


def test_wait_goes_on_after_errors_that_pass(
    prepare: Prepare, sandbox: Sandbox, settings: QwenVLSettings
) -> None:
    settings.max_retries = 0
    sandbox.fail(endpoint="batch", status=503)
    sandbox.fail(endpoint="batch", status=429)
    job = prepare(3)
    job.submit()

    assert job.wait(poll=0.02).has_ended


def test_files_for_a_server_of_your_own(tmp_path: Path) -> None:
    settings = QwenVLSettings(
        model="Qwen/Qwen3-VL-8B-Instruct", server="vllm", base_url="http://127.0.0.1:9/v1"
    )
    turn = Turn(role="user", parts=(Text(text="Hello"),))
    requests = [("row", build_request(settings, [turn]))]
    with BatchJob.prepare(requests, tmp_path, settings) as job:
        with pytest.raises(ConfigurationError, match="vllm run_batch"):
            job.submit()
        line = json.loads((tmp_path / "shards" / "000.jsonl").read_bytes())
        answer = {
            "choices": [{"message": {"role": "assistant", "content": "Hi."}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
        }
        # As vLLM 0.32 writes it.
        written = {
            "id": "vllm-1",
            "custom_id": line["custom_id"],
            "response": {"status_code": 200, "request_id": "vllm-batch-1", "body": answer},
            "error": None,
        }
        (tmp_path / "results" / "000.output.jsonl").write_text(json.dumps(written) + "\n")
        job.collect()
        (result,) = job.results()

    assert line["url"] == "/v1/chat/completions"
    assert result.reply is not None
    assert result.reply.text == "Hi."
