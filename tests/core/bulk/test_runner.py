"""Rows that are asked about: once each, whatever the service does."""

import asyncio
import pickle
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from qwen_vl.bulk.budget import Budget
from qwen_vl.bulk.job import Job
from qwen_vl.bulk.ledger import Ledger
from qwen_vl.bulk.row import Row
from qwen_vl.bulk.runner import Report, Runner
from qwen_vl.content import LocalFile, Url
from qwen_vl.errors import (
    AnswerFormatError,
    AuthenticationError,
    ConfigurationError,
    MediaAccessError,
    NotFoundError,
)
from qwen_vl.specs.prices import Price
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

MakeJob = Callable[..., Job]
MakeRows = Callable[[int], list[Row]]


def run(job: Job, ledger: Ledger, rows: list[Row], **options: Any) -> Report:
    async def ask() -> Report:
        budget = options.pop("budget", None)
        return await Runner(job, ledger, budget() if budget else None, **options).run(rows)

    return asyncio.run(ask())


def test_each_row_is_asked_once(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, qwen_vl_sandbox: Sandbox
) -> None:
    rows = make_rows(20)

    first = run(make_job(region="cn-beijing"), ledger, rows)
    second = run(make_job(), ledger, rows)

    assert (first.n_rows, first.n_answered, first.n_requests, first.n_known) == (20, 20, 20, 0)
    assert (second.n_answered, second.n_requests, second.n_known) == (0, 0, 20)
    assert len(qwen_vl_sandbox.requests) == 20
    outcomes = [ledger.find_row(row.number) for row in rows]
    assert all(found and "PNG 32x32" in found.answer for found in outcomes)
    one = outcomes[0]
    assert one is not None
    assert (one.model, one.finish_reason, one.n_attempts) == ("qwen3-vl-plus", "stop", 1)
    assert (one.input_tokens or 0) > (one.image_tokens or 0) > 0
    assert one.request_id
    assert first.input_tokens == sum(found.input_tokens or 0 for found in outcomes if found)
    # 1 yuan for a million tokens in, and 10 for a million out (docs/models.md).
    assert first.cost == Decimal(first.input_tokens + 10 * first.output_tokens) / 10**6
    assert (second.cost, first.currency) == (None, "CNY")


def test_same_question_about_the_same_content_is_asked_once(
    make_job: MakeJob,
    make_rows: MakeRows,
    ledger: Ledger,
    qwen_vl_sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    (row,) = make_rows(1)
    copy = tmp_path / "copy.png"
    copy.write_bytes((tmp_path / "0000.png").read_bytes())
    other = Row(number=1, media=(LocalFile(copy, is_trusted=True),))

    report = run(make_job(), ledger, [row, other, Row(number=2, media=row.media)])

    assert (report.n_answered, report.n_known) == (1, 2)
    answers = {found.answer for found in map(ledger.find_row, range(3)) if found}
    assert len(answers) == len(qwen_vl_sandbox.requests) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"prompt": "What else?"},
        {"system": "Be brief."},
        {"parameters": {"max_tokens": 5}},
        {"model": "qwen3-vl-flash"},
        {"schema": {"type": "object", "properties": {}}},
    ],
)
def test_another_question_is_asked_again(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, options: dict[str, Any]
) -> None:
    rows = make_rows(1)
    run(make_job(), ledger, rows)

    assert run(make_job(**options), ledger, rows).n_requests == 1


def test_columns_are_part_of_the_question(
    make_job: MakeJob, ledger: Ledger, qwen_vl_sandbox: Sandbox
) -> None:
    job = make_job("Is {name} a {{kind}}?", system="Answer yes or no.")
    rows = [Row(number=n, columns={"name": name}) for n, name in enumerate(["Ada", "Bob", "Ada"])]
    rows.append(Row(number=3, columns={"title": "x"}, name="people.csv, row 4"))

    report = run(job, ledger, rows)

    assert (report.n_answered, report.n_known, report.n_failed) == (2, 1, 1)
    bodies = [request.json for request in qwen_vl_sandbox.requests]
    assert sorted(str(body["messages"][1]["content"]) for body in bodies) == [
        "Is Ada a {kind}?",
        "Is Bob a {kind}?",
    ]
    failed = ledger.find_row(3)
    assert failed is not None
    assert failed.error_code == "ConfigurationError"
    assert "lacks this column. Its columns: title" in str(failed.error_message)


def test_rows_that_cannot_be_sent_are_outcomes(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, tmp_path: Path
) -> None:
    rows = make_rows(3)
    (tmp_path / "0001.png").write_text("not an image")
    gone = Row(number=3, media=(LocalFile(tmp_path / "gone.png", is_trusted=True),))
    secret = Row(number=4, media=(LocalFile(Path("/etc/passwd"), is_trusted=False),))

    report = run(make_job(), ledger, [*rows, gone, secret])

    assert (report.n_answered, report.n_failed) == (2, 3)
    codes = {
        number: found.error_code
        for number in range(5)
        if (found := ledger.find_row(number)) and not found.is_answer
    }
    assert codes == {
        1: "MediaFormatError",
        3: "MediaNotFoundError",
        4: MediaAccessError.__name__,
    }
    assert sorted(failure.error_code or "" for failure in ledger.find_failures()) == sorted(
        codes.values()
    )


def test_failed_rows_are_asked_again_if_wanted(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, qwen_vl_sandbox: Sandbox
) -> None:
    rows = make_rows(1)
    qwen_vl_sandbox.fail(status=400)

    assert run(make_job(), ledger, rows).n_failed == 1
    assert run(make_job(), ledger, rows).n_known == 1
    assert run(make_job(), ledger, rows, retry_failed=True).n_answered == 1
    # An answer stays, also where failures are asked again.
    assert run(make_job(), ledger, rows, retry_failed=True).n_known == 1


@pytest.mark.parametrize(
    ("fault", "n_refused"),
    [
        ({"status": 429, "retry_after": 0.01}, 2),
        ({"status": 500, "retry_after": 0.01}, 0),
        ({"status": 503, "html_body": True, "retry_after": 0.01}, 0),
    ],
)
def test_failures_that_pass_are_tried_again(
    make_job: MakeJob,
    make_rows: MakeRows,
    ledger: Ledger,
    qwen_vl_sandbox: Sandbox,
    fault: dict[str, Any],
    n_refused: int,
) -> None:
    qwen_vl_sandbox.fail(**fault, times=2)

    report = run(make_job(), ledger, make_rows(1))

    assert (report.n_answered, report.n_requests, report.n_refused) == (1, 3, n_refused)
    found = ledger.find_row(0)
    assert found is not None
    assert found.n_attempts == 3


def test_attempts_end(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=500, retry_after=0.01, times=9)

    report = run(make_job(), ledger, make_rows(1), max_attempts=3)

    assert (report.n_failed, report.n_requests) == (1, 3)
    found = ledger.find_row(0)
    assert found is not None
    assert (found.error_code, found.n_attempts) == ("internal_error", 3)


@pytest.mark.parametrize(("status", "error"), [(401, AuthenticationError), (404, NotFoundError)])
def test_what_no_row_can_help_ends_the_run(
    make_job: MakeJob,
    make_rows: MakeRows,
    ledger: Ledger,
    qwen_vl_sandbox: Sandbox,
    status: int,
    error: type[Exception],
) -> None:
    rows = make_rows(40)
    qwen_vl_sandbox.fail(latency=0.001, times=5)
    qwen_vl_sandbox.fail(status=status, times=40)

    with pytest.raises(error):
        run(make_job(), ledger, rows, budget=lambda: Budget(max_concurrency=2))

    n_requests = qwen_vl_sandbox.n_requests
    assert n_requests <= 8
    # What was answered before is kept.
    assert 4 <= len(ledger) <= 5


def test_too_many_failures_end_the_run(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, qwen_vl_sandbox: Sandbox
) -> None:
    rows = make_rows(120)
    qwen_vl_sandbox.fail(status=400, times=200)

    with pytest.raises(AnswerFormatError, match="50 of 50 rows failed; the run ends"):
        run(make_job(), ledger, rows, budget=lambda: Budget(max_concurrency=1))


def test_answers_follow_the_schema(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, qwen_vl_sandbox: Sandbox
) -> None:
    schema = {"type": "object", "properties": {"legs": {"type": "integer"}}}
    qwen_vl_sandbox.script('{"legs": 4}', '```json\n{"legs": 5}\n```', "no JSON", '{"legs": 6}')
    qwen_vl_sandbox.script(ScriptedAnswer(text='{"legs": 7}', finish_reason="length"))

    report = run(
        make_job(schema=schema),
        ledger,
        make_rows(5),
        budget=lambda: Budget(max_concurrency=1),
        validate=lambda value: "too many legs" if value["legs"] > 5 else None,
    )

    assert (report.n_answered, report.n_failed) == (2, 3)
    found = [outcome for n in range(5) if (outcome := ledger.find_row(n))]
    assert sorted(one.answer["legs"] for one in found if one.is_answer) == [4, 5]
    messages = " ".join(str(one.error_message) for one in found if not one.is_answer)
    for part in ("does not follow the schema: too many legs", "is not JSON", "cut off"):
        assert part in messages


def test_cost_ends_the_run(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, qwen_vl_sandbox: Sandbox
) -> None:
    price = Price(input=Decimal(1000), output=Decimal(1000), currency="EUR")
    job = make_job(prices=price)

    report = run(
        job,
        ledger,
        make_rows(40),
        budget=lambda: Budget(max_concurrency=1),
        max_cost=Decimal("0.3"),
    )

    assert report.is_over_cost
    assert report.currency == "EUR"
    assert report.cost is not None
    assert report.cost >= Decimal("0.3")
    # About 0.12 each: what was under way is finished.
    assert report.n_requests < 25


def test_cost_that_cannot_be_known_is_refused(make_job: MakeJob, ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="max_cost cannot be kept"):
        run(make_job(model="my-own-model", server="vllm"), ledger, [], max_cost=Decimal(1))


def test_wrong_settings_raise_before_the_first_row(make_job: MakeJob, ledger: Ledger) -> None:
    with pytest.raises(ConfigurationError):
        run(make_job(api_key=None), ledger, [])
    with pytest.raises(ConfigurationError, match="max_attempts is 0"):
        run(make_job(), ledger, [], max_attempts=0)


def test_concurrency_is_bounded(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, qwen_vl_sandbox: Sandbox
) -> None:
    most = 0

    class Counting(Budget):
        @asynccontextmanager
        async def slot(self, tokens: int) -> AsyncIterator[None]:
            nonlocal most
            async with super().slot(tokens):
                most = max(most, self._concurrency.n_running)
                yield

    qwen_vl_sandbox.fail(latency=0.02, times=30)
    run(make_job(), ledger, make_rows(30), budget=lambda: Counting(max_concurrency=3))

    assert most == 3


def test_progress_is_reported(make_job: MakeJob, make_rows: MakeRows, ledger: Ledger) -> None:
    seen: list[int] = []

    run(make_job(), ledger, make_rows(5), on_progress=lambda report: seen.append(report.n_rows))

    assert len(seen) == 5
    assert seen[-1] == 5


def test_cancelled_run_keeps_what_was_answered(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, qwen_vl_sandbox: Sandbox
) -> None:
    rows = make_rows(40)

    async def ask() -> None:
        enough = asyncio.Event()

        def look(report: Report) -> None:
            if report.n_answered == 5:
                enough.set()

        runner = Runner(make_job(), ledger, Budget(max_concurrency=2), on_progress=look)
        task = asyncio.create_task(runner.run(rows))
        await enough.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(ask())
    n_kept = len(ledger)

    assert 5 <= n_kept < 40
    assert run(make_job(), ledger, rows).n_answered == 40 - n_kept


def test_job_is_pickled_without_the_key(make_job: MakeJob) -> None:
    job = make_job()

    written = pickle.dumps(job)

    assert b"sk-sandbox" not in written
    assert pickle.loads(written).prompt == job.prompt


def test_media_of_a_row_comes_before_the_prompt(make_job: MakeJob) -> None:
    names = ("a.png", "b.mp4", "c.pdf", "d.mp3", "e")
    row = Row(number=0, media=tuple(Url(f"https://example.com/{name}") for name in names))

    (turn,) = make_job("Compare.").make_turns(row)

    kinds = [type(part).__name__ for part in turn.parts]
    assert kinds == ["Image", "Video", "Document", "Audio", "Image", "Text"]


def test_one_attempt_is_one_request(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=500, retry_after=0.01)
    report = run(make_job(), ledger, make_rows(1), max_attempts=1)
    assert (report.n_failed, report.n_requests) == (1, 1)


def test_cost_that_is_not_known_is_none(
    make_job: MakeJob, make_rows: MakeRows, ledger: Ledger
) -> None:
    report = run(make_job(model="my-own-model"), ledger, make_rows(2))
    assert (report.n_answered, report.cost) == (2, None)


@pytest.mark.filterwarnings("error")
def test_media_given_by_url_is_not_measured_and_warns_of_nothing(
    make_job: MakeJob, ledger: Ledger
) -> None:
    rows = [
        Row(number=number, media=(Url(f"https://example.com/{number}.png"),)) for number in range(3)
    ]

    report = run(make_job(), ledger, rows)

    assert report.n_answered == 3
