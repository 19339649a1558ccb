"""The command `qwen-vl map`: one question about many images, videos and documents."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from qwen_vl.cli import options
from qwen_vl.cli.endpoint import make_settings, open_endpoint
from qwen_vl.cli.inputs import expand_path
from qwen_vl.cli.reporting import print_json, print_warning
from qwen_vl.cli.schema import read_schema
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.build import build_connection
from qwen_vl.specs.models import DEFAULT_MODEL
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER

if TYPE_CHECKING:
    from qwen_vl.bulk.estimate import Estimate
    from qwen_vl.bulk.runner import Report, Runner

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)
_ASSUMED_OUTPUT_TOKENS = 200
_INTERRUPTED = 130
_MAX_SHOWN_FAILURES = 5


def map_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="IN",
            help="Folder, pattern ('photos/*.jpg'), or .jsonl, .csv or .parquet file.",
        ),
    ],
    *,
    output: Annotated[
        str, typer.Option("-o", "--output", help="File to write: .jsonl or .parquet.")
    ],
    prompt: Annotated[
        str, typer.Option(help="Question about each row; {column} stands for a value of it.")
    ],
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    schema: Annotated[
        str | None, typer.Option(metavar="FILE", help="JSON schema that answers must follow.")
    ] = None,
    media_column: Annotated[
        str | None, typer.Option(help="Column that names the image, video or document.")
    ] = None,
    media_root: Annotated[
        list[str] | None,
        typer.Option(help="Folder that paths of a file may lie in; that of the file by default."),
    ] = None,
    rpm: Annotated[float | None, typer.Option(help="Maximum requests per minute.")] = None,
    tpm: Annotated[float | None, typer.Option(help="Maximum tokens per minute.")] = None,
    concurrency: Annotated[
        int, typer.Option(help="Maximum number of requests at the same time.", min=1)
    ] = 64,
    limit: Annotated[
        int | None, typer.Option(help="Number of rows to ask about, from the first.", min=1)
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Maximum number of tokens of an answer.")
    ] = None,
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
    from qwen_vl.bulk.budget import Budget  # noqa: PLC0415 - slow for `ask`
    from qwen_vl.bulk.estimate import estimate_job  # noqa: PLC0415 - as above
    from qwen_vl.bulk.inputs import read_rows  # noqa: PLC0415 - as above
    from qwen_vl.bulk.job import Job  # noqa: PLC0415 - as above
    from qwen_vl.bulk.ledger import Ledger  # noqa: PLC0415 - as above
    from qwen_vl.bulk.results import find_results, write_results  # noqa: PLC0415 - as above
    from qwen_vl.bulk.runner import Runner  # noqa: PLC0415 - as above

    path = expand_path(output)
    _check_output(path)
    answers = None if schema is None else read_schema(schema)
    most = _read_cost(max_cost)

    def find_rows() -> Iterator[Any]:
        return islice(read_rows(source, media_column=media_column), limit)

    with open_endpoint(sandbox=sandbox, server=server, base_url=base_url) as endpoint:
        settings = make_settings(
            model=model,
            base_model=base_model,
            region=region,
            protocol=protocol,
            timeout=timeout,
            max_tokens=max_tokens,
            media_roots=_find_roots(source, media_root),
            **endpoint,
        )
        job = Job(
            settings=settings,
            prompt=prompt,
            system=system,
            schema=None if answers is None else answers.schema,
        )
        if dry_run:
            _print_estimate(
                estimate_job(
                    job,
                    find_rows(),
                    output_tokens=max_tokens or _ASSUMED_OUTPUT_TOKENS,
                    rpm=rpm,
                    tpm=tpm,
                ),
                as_json=as_json,
            )
            return
        # A missing key is reported before a folder is created.
        build_connection(settings)
        folder = expand_path(ledger) if ledger else path.with_name(f"{path.name}.ledger")
        with Ledger(folder) as opened, _progress() as progress:
            n_rows = None if progress.disable else sum(1 for _ in find_rows())
            bar = progress.add_task("Asking", total=n_rows, spent="")
            runner = Runner(
                job,
                opened,
                Budget(rpm=rpm, tpm=tpm, max_concurrency=concurrency),
                retry_failed=retry_failed,
                max_cost=most,
                validate=None if answers is None else answers.find_problem,
                on_progress=lambda report: progress.update(
                    bar, completed=report.n_rows, spent=_describe_spent(report)
                ),
            )
            is_stopped = _run(runner, find_rows())
            progress.stop()
            write_results(path, find_results(find_rows(), opened))
            failures = list(islice(opened.find_failures(), _MAX_SHOWN_FAILURES))
    _print_report(runner.report, path, as_json=as_json)
    for failure in failures:
        print_warning(f"{failure.error_code}: {failure.error_message}")
    if is_stopped:
        _err.print("Stopped. Run the same command again to go on where it ended.")
        raise typer.Exit(_INTERRUPTED)
    if runner.report.is_over_cost:
        print_warning(f"Ended, as it has cost {_describe_cost(runner.report)}: --max-cost.")


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


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[spent]}"),
        TimeRemainingColumn(),
        console=_err,
        transient=True,
        disable=not _err.is_terminal,
    )


def _check_output(path: Path) -> None:
    from qwen_vl.bulk.results import SUFFIXES  # noqa: PLC0415 - slow for `ask`

    if path.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(f"--output: {path.name!r} must be a .jsonl or .parquet file.")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"--output: the folder {str(path.parent)!r} does not exist.")


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


def _find_roots(source: str, roots: list[str] | None) -> list[str] | None:
    """Return the folders that paths in an input file may lie in."""
    if roots:
        return roots
    path = expand_path(source)
    is_table = path.suffix.lower() in {".jsonl", ".ndjson", ".csv", ".parquet"}
    return [str(path.resolve().parent)] if is_table and path.is_file() else None


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
