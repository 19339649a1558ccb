"""The command `qwen-vl map`: one question about many images, videos and documents."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer
from rich.console import Console

from qwen_vl.cli import options
from qwen_vl.cli.endpoint import make_settings, open_endpoint
from qwen_vl.cli.inputs import expand_path
from qwen_vl.cli.reporting import print_json, print_warning
from qwen_vl.cli.rows import (
    ASSUMED_OUTPUT_TOKENS,
    check_rows_file,
    find_roots,
    is_rows_file,
    make_bar,
    make_batch_display,
)
from qwen_vl.cli.schema import read_schema
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.build import build_connection
from qwen_vl.specs.batch_file import DEFAULT_WINDOW
from qwen_vl.specs.models import DEFAULT_MODEL
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER

if TYPE_CHECKING:
    from qwen_vl.batches import BatchRunner
    from qwen_vl.bulk.estimate import Estimate
    from qwen_vl.bulk.row import Row
    from qwen_vl.bulk.runner import Report, Runner

Mode: TypeAlias = Literal["live", "batch-chat", "batch-file"]
# Of `qwen_vl.bulk.tasks`, which is slow for `ask`.
TaskName: TypeAlias = Literal["ask", "locate", "timeline", "ocr", "parse"]

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)
_INTERRUPTED = 130
# Requests to Batch Chat wait for up to an hour; 10,000 may (Batch-Chat page, 2026-10).
_BATCH_CONCURRENCY = 1_000
_SANDBOX_POLL = 0.5
_MAX_SHOWN_FAILURES = 5


def map_(
    source: options.Rows,
    *,
    output: Annotated[
        str, typer.Option("-o", "--output", help="File to write: .jsonl or .parquet.")
    ],
    prompt: Annotated[
        str,
        typer.Option(
            help="Question about each row, or what to look for; {column} stands for a value of it."
        ),
    ] = "",
    task: Annotated[
        TaskName,
        typer.Option(
            help="`ask` the prompt; `locate` what it names in images, or find a `timeline` of it "
            "in videos; read the text (`ocr`) or the blocks (`parse`) of images and pages."
        ),
    ] = "ask",
    mode: Annotated[
        Mode,
        typer.Option(
            help="Live requests, Batch Chat (half the price, answers within an hour each), or "
            "batch files (half the price, answers within a day)."
        ),
    ] = "live",
    system: options.System = None,
    schema: options.Schema = None,
    media_column: options.MediaColumn = None,
    media_root: options.MediaRoots = None,
    rpm: Annotated[float | None, typer.Option(help="Maximum requests per minute.")] = None,
    tpm: Annotated[float | None, typer.Option(help="Maximum tokens per minute.")] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            help="Maximum number of requests at the same time: 64; 1,000 with batch-chat.", min=1
        ),
    ] = None,
    limit: options.Limit = None,
    max_tokens: options.MaxTokens = None,
    max_cost: Annotated[
        str | None, typer.Option(help="Stop when it has cost as much, in the price's currency.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Estimate tokens, cost and time; send nothing.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again about rows that failed.")
    ] = False,
    ledger: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Folder for what was answered; OUT.ledger by default."),
    ] = None,
    window: options.Window = DEFAULT_WINDOW,
    poll: options.Poll = options.DEFAULT_POLL,
    model: options.Model = DEFAULT_MODEL,
    base_model: options.BaseModel = None,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    server: options.ServerOption = DEFAULT_SERVER,
    protocol: options.ProtocolOption = DEFAULT_PROTOCOL,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
    sandbox: options.UseSandbox = False,
) -> None:
    """Ask one question about many images, videos or documents.

    What was answered is kept: after Ctrl-C or a crash, the same command goes on where it ended.
    """
    from qwen_vl.batches import BatchRunner  # noqa: PLC0415 - slow for `ask`
    from qwen_vl.bulk.budget import DEFAULT_CONCURRENCY, Budget  # noqa: PLC0415 - as above
    from qwen_vl.bulk.estimate import estimate_job  # noqa: PLC0415 - as above
    from qwen_vl.bulk.inputs import read_rows  # noqa: PLC0415 - as above
    from qwen_vl.bulk.job import Job  # noqa: PLC0415 - as above
    from qwen_vl.bulk.ledger import Ledger  # noqa: PLC0415 - as above
    from qwen_vl.bulk.results import find_results, write_results  # noqa: PLC0415 - as above
    from qwen_vl.bulk.runner import Runner  # noqa: PLC0415 - as above
    from qwen_vl.bulk.tasks import split_pages, takes_row  # noqa: PLC0415 - as above

    path = expand_path(output)
    check_rows_file(path)
    answers = None if schema is None else read_schema(schema)
    most = _read_cost(max_cost)

    with open_endpoint(sandbox=sandbox, server=server, base_url=base_url) as endpoint:
        settings = make_settings(
            model=model,
            base_model=base_model,
            region=region,
            protocol=protocol,
            timeout=timeout,
            max_tokens=max_tokens,
            service_tier="batch" if mode == "batch-chat" else None,
            media_roots=find_roots(source, media_root),
            **endpoint,
        )
        job = Job(
            settings=settings,
            prompt=prompt,
            system=system,
            schema=None if answers is None else answers.schema,
            task=task,
        )

        def find_rows() -> Iterator["Row"]:
            rows = read_rows(source, media_column=media_column)
            if not is_rows_file(source):
                rows = (row for row in rows if takes_row(task, row))
            return islice(split_pages(rows, task, settings), limit)

        if not is_rows_file(source):
            rows = read_rows(source, media_column=media_column)
            _report_left_out(sum(not takes_row(task, row) for row in rows), task)
        if dry_run:
            _print_estimate(
                estimate_job(
                    job,
                    find_rows(),
                    output_tokens=max_tokens or ASSUMED_OUTPUT_TOKENS,
                    rpm=rpm,
                    tpm=tpm,
                ),
                as_json=as_json,
            )
            return
        # A missing key is reported before a folder is created.
        build_connection(settings)
        folder = expand_path(ledger) if ledger else path.with_name(f"{path.name}.ledger")
        with Ledger(folder) as opened, make_bar(_err) as progress:
            if mode == "batch-file":
                batch = BatchRunner(
                    job,
                    opened,
                    retry_failed=retry_failed,
                    window=window,
                    poll=_SANDBOX_POLL if sandbox else poll,
                    max_cost=most,
                    output_tokens=max_tokens or ASSUMED_OUTPUT_TOKENS,
                    validate=None if answers is None else answers.find_problem,
                    on_progress=make_batch_display(progress),
                )
                is_stopped, report = _run_batch(batch, find_rows()), batch.report
            else:
                n_rows = None if progress.disable else sum(1 for _ in find_rows())
                bar = progress.add_task("Asking", total=n_rows, spent="")
                most_at_once = concurrency or (_BATCH_CONCURRENCY if mode != "live" else None)
                runner = Runner(
                    job,
                    opened,
                    Budget(rpm=rpm, tpm=tpm, max_concurrency=most_at_once or DEFAULT_CONCURRENCY),
                    retry_failed=retry_failed,
                    max_cost=most,
                    validate=None if answers is None else answers.find_problem,
                    on_progress=lambda report: progress.update(
                        bar, completed=report.n_rows, spent=_describe_spent(report)
                    ),
                )
                is_stopped, report = _run(runner, find_rows()), runner.report
            progress.stop()
            write_results(path, find_results(find_rows(), opened))
            failures = list(islice(opened.find_failures(), _MAX_SHOWN_FAILURES))
    _print_report(report, path, as_json=as_json)
    for failure in failures:
        print_warning(f"{failure.error_code}: {failure.error_message}")
    if is_stopped:
        _err.print("Stopped. Run the same command again to go on where it ended.")
        raise typer.Exit(_INTERRUPTED)
    if report.is_over_cost:
        print_warning(f"Ended, as it has cost {_describe_cost(report)}: --max-cost.")


def _run(runner: "Runner", rows: Iterator[Any]) -> bool:
    """Run, and return whether Ctrl-C ended it; what is under way then is not waited for."""

    async def ask() -> bool:
        task = asyncio.ensure_future(runner.run(rows))
        loop = asyncio.get_running_loop()
        # Not on Windows, and not beside the main thread: KeyboardInterrupt ends it there.
        with suppress(NotImplementedError, RuntimeError, ValueError):
            loop.add_signal_handler(signal.SIGINT, task.cancel)
        try:
            await task
        except asyncio.CancelledError:
            return True
        return False

    try:
        return asyncio.run(ask())
    except KeyboardInterrupt:
        return True


def _report_left_out(count: int, task: TaskName) -> None:
    if count:
        files = "1 file is" if count == 1 else f"{count:,} files are"
        print_warning(f"{files} left out, which --task {task} does not take.")


def _run_batch(runner: "BatchRunner", rows: Iterator[Any]) -> bool:
    """Run, and return whether Ctrl-C ended it; what is submitted goes on at the service."""
    try:
        runner.run(rows)
    except KeyboardInterrupt:
        return True
    return False


def _read_cost(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        cost = Decimal(text)
    except InvalidOperation:
        cost = Decimal(-1)
    if not cost.is_finite() or cost <= 0:
        raise ConfigurationError(f"--max-cost: {text!r} is not an amount above 0.")
    return cost


def _describe_cost(report: "Report") -> str:
    return f"{report.cost:.2f} {report.currency}" if report.cost is not None else ""


def _describe_spent(report: "Report") -> str:
    tokens = f"{report.input_tokens + report.output_tokens:,} tokens"
    rate = f"{60 * report.n_rows / report.seconds:,.0f}/min" if report.seconds else ""
    return " · ".join(part for part in (rate, tokens, _describe_cost(report)) if part)


def _print_report(report: "Report", path: Path, *, as_json: bool) -> None:
    if as_json:
        print_json({**asdict(report), "cost": _to_text(report.cost), "output": str(path)})
        return
    counts = {
        "answered": report.n_answered,
        "failed": report.n_failed,
        "known before": report.n_known,
    }
    done = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    _out.print(f"{report.n_rows:,} rows: {done or 'nothing to ask'}; in {path}", soft_wrap=True)
    if report.n_requests:
        refused = f", {report.n_refused:,} refused (429)" if report.n_refused else ""
        _err.print(
            f"{report.n_requests:,} requests{refused} · {_describe_spent(report)}", style="dim"
        )


def _print_estimate(estimate: "Estimate", *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                **asdict(estimate),
                "cost": _to_text(estimate.cost),
                "batch_cost": _to_text(estimate.batch_cost),
            }
        )
        return
    _out.print(
        f"{estimate.n_rows:,} rows; {estimate.input_tokens:,.0f} input tokens each (mean of "
        f"{estimate.n_sampled - estimate.n_unreadable:,}), {estimate.output_tokens:,} output "
        "tokens assumed"
    )
    if estimate.n_unreadable:
        print_warning(f"{estimate.n_unreadable:,} of {estimate.n_sampled:,} cannot be sent.")
    if estimate.cost is not None:
        batch = estimate.batch_cost
        half = "" if batch is None else f"; as a batch {batch:,.2f} {estimate.currency}"
        _out.print(f"{estimate.cost:,.2f} {estimate.currency} at list prices{half}")
    else:
        _out.print("No price is known.")
    if estimate.hours is not None:
        _out.print(f"{estimate.hours:,.2f} hours at these limits")


def _to_text(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)
