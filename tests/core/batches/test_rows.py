"""Rows that batch files answer, in the ledger of live runs."""

import asyncio
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwen_vl.batches import BatchRunner
from qwen_vl.bulk import Job, Ledger, Row, Runner
from qwen_vl.content import LocalFile
from qwen_vl.errors import ConfigurationError, RateLimitError
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox, ScriptedAnswer


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    made = []
    for number in range(6):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (32, 32), (number * 40, 0, 0)).save(path)
        source = LocalFile(path, is_trusted=True)
        made.append(Row(number=number, media=(source,), columns={"n": number}, name=path.name))
    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger") as opened:
        yield opened


@pytest.fixture
def run(settings: QwenVLSettings, ledger: Ledger) -> Callable[..., Any]:
    def run_batch(rows: list[Row], prompt: str = "What is this?", **options: Any) -> Any:
        names = {"schema", "system"}
        own = {name: options.pop(name) for name in names & options.keys()}
        job = Job(settings=settings, prompt=prompt, **own)
        return BatchRunner(job, ledger, poll=0.02, **options).run(rows)

    return run_batch


def count_lines(sandbox: Sandbox) -> int:
    return sum(job.n_executed for job in sandbox.batches)


def test_each_row_is_answered_once(
    run: Callable[..., Any], rows: list[Row], ledger: Ledger, sandbox: Sandbox
) -> None:
    first = run([*rows, rows[0]])
    second = run(rows)

    assert (first.n_rows, first.n_answered, first.n_known, first.n_requests) == (7, 6, 1, 6)
    assert (second.n_answered, second.n_known, second.n_requests) == (0, 6, 0)
    assert count_lines(sandbox) == 6
    outcomes = [ledger.find_row(row.number) for row in rows]
    assert all(found and "PNG 32x32" in found.answer for found in outcomes)
    # Half of 1 yuan for a million tokens in, and of 10 for a million out (docs/models.md).
    assert first.cost == Decimal(first.input_tokens + 10 * first.output_tokens) / 10**6 / 2
    assert not sandbox.batch_files


def test_a_job_begins_live_and_ends_as_a_batch(
    run: Callable[..., Any],
    rows: list[Row],
    ledger: Ledger,
    settings: QwenVLSettings,
    sandbox: Sandbox,
) -> None:
    job = Job(settings=settings, prompt="What is this?")
    asyncio.run(Runner(job, ledger).run(rows[:2]))

    report = run(rows)

    assert (report.n_answered, report.n_known) == (4, 2)
    assert count_lines(sandbox) == 4


def test_a_run_that_was_stopped_goes_on_and_pays_nothing_twice(
    run: Callable[..., Any], rows: list[Row], ledger: Ledger, sandbox: Sandbox
) -> None:
    def stop(_status: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(rows, on_progress=stop)
    assert len(ledger) == 0

    report = run(rows)

    assert (report.n_answered, report.n_known) == (6, 6)
    assert count_lines(sandbox) == 6
    assert len(sandbox.batches) == 1


def test_failed_rows_are_asked_again_only_if_wanted(
    run: Callable[..., Any], rows: list[Row], ledger: Ledger, sandbox: Sandbox
) -> None:
    sandbox.fail_batch(failed_lines=2, status=400, code="data_inspection_failed", message="No.")

    first, second = run(rows), run(rows)
    third = run(rows, retry_failed=True)

    assert (first.n_answered, first.n_failed) == (4, 2)
    assert (second.n_answered, second.n_requests) == (0, 0)
    assert (third.n_answered, third.n_known) == (2, 4)
    assert all(outcome and outcome.is_answer for outcome in map(ledger.find, _keys(ledger)))


def _keys(ledger: Ledger) -> list[str]:
    found = [ledger.find_row(number) for number in range(6)]
    return [outcome.key for outcome in found if outcome]


def test_a_row_that_cannot_be_read_is_an_outcome(
    run: Callable[..., Any], rows: list[Row], ledger: Ledger, tmp_path: Path
) -> None:
    gone = Row(number=6, media=(LocalFile(tmp_path / "gone.png", is_trusted=True),))

    report = run([*rows, gone])

    assert (report.n_answered, report.n_failed) == (6, 1)
    outcome = ledger.find_row(6)
    assert outcome is not None
    assert outcome.error_code == "MediaNotFoundError"


def test_answers_follow_the_schema_or_are_errors(
    run: Callable[..., Any], rows: list[Row], ledger: Ledger, sandbox: Sandbox
) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    for answer in [ScriptedAnswer(text='{"n": 7}')] * 5 + [ScriptedAnswer(text="Seven")]:
        sandbox.script(answer)

    report = run(rows, schema=schema, validate=lambda value: None if value["n"] == 7 else "odd")

    outcomes = [ledger.find_row(row.number) for row in rows]
    assert (report.n_answered, report.n_failed) == (5, 1)
    answers = [outcome.answer for outcome in outcomes if outcome and outcome.is_answer]
    assert answers == [{"n": 7}] * 5
    (failed,) = [outcome for outcome in outcomes if outcome and not outcome.is_answer]
    assert failed.error_code == "AnswerFormatError"


def test_a_batch_that_costs_too_much_is_not_sent(
    run: Callable[..., Any], rows: list[Row], sandbox: Sandbox
) -> None:
    with pytest.raises(ConfigurationError, match=r"more than max_cost=0\.001\. Nothing was sent"):
        run(rows, max_cost=Decimal("0.001"), output_tokens=1_000)

    assert not sandbox.batch_files


def test_a_batch_without_a_price_needs_no_limit(
    rows: list[Row], sandbox: Sandbox, tmp_path: Path
) -> None:
    settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
    job = Job(settings=settings, prompt="What is this?")
    with Ledger(tmp_path / "other") as ledger:
        with pytest.raises(ConfigurationError, match="max_cost cannot be kept"):
            BatchRunner(job, ledger, max_cost=Decimal(1))
        assert not list((tmp_path / "other").glob("batch-*"))
        assert BatchRunner(job, ledger, poll=0.02).run(rows).n_answered == 6


def test_an_error_of_the_service_leaves_the_batch_to_go_on_with(
    run: Callable[..., Any], rows: list[Row], sandbox: Sandbox, settings: QwenVLSettings
) -> None:
    settings.max_retries = 0
    sandbox.fail(endpoint="batches", status=429)

    with pytest.raises(RateLimitError):
        run(rows)
    report = run(rows)

    assert report.n_answered == 6
    assert count_lines(sandbox) == 6


def test_files_that_cannot_be_deleted_are_a_warning(
    run: Callable[..., Any], rows: list[Row], sandbox: Sandbox, settings: QwenVLSettings
) -> None:
    settings.max_retries = 0
    sandbox.fail(endpoint="file", status=500)

    with pytest.warns(UserWarning, match="stay at the service"):
        report = run(rows)

    assert report.n_answered == 6


def test_batch_chat_is_refused(settings: QwenVLSettings, ledger: Ledger) -> None:
    settings.service_tier = "batch"

    with pytest.raises(ConfigurationError, match="Batch Chat"):
        BatchRunner(Job(settings=settings, prompt="What?"), ledger)
