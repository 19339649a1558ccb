"""The commands `qwen-vl batch …`: batch files, step by step."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from qwen_vl.cli import options
from qwen_vl.cli.endpoint import make_settings, open_endpoint
from qwen_vl.cli.inputs import expand_path
from qwen_vl.cli.reporting import print_json
from qwen_vl.cli.rows import (
    ASSUMED_OUTPUT_TOKENS,
    check_rows_file,
    find_roots,
    make_bar,
    make_batch_display,
)
from qwen_vl.cli.schema import AnswerSchema, read_schema
from qwen_vl.specs.batch_file import DEFAULT_WINDOW
from qwen_vl.specs.models import DEFAULT_MODEL
from qwen_vl.specs.servers import DEFAULT_SERVER, Server

if TYPE_CHECKING:
    from qwen_vl.batches import BatchJob, BatchResult, BatchStatus, Shard
    from qwen_vl.request.types import Request
    from qwen_vl.settings import QwenVLSettings

app = typer.Typer(
    help="Answer many rows by batch files: half the price, answers within a day.",
    no_args_is_help=True,
)
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)
_SCHEMA_FILE = "schema.json"
_MAX_LISTED = 1_000

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of the job.")]


@app.command()
def prepare(
    source: options.Rows,
    folder: Folder,
    *,
    prompt: options.Prompt,
    system: options.System = None,
    schema: options.Schema = None,
    media_column: options.MediaColumn = None,
    media_root: options.MediaRoots = None,
    limit: options.Limit = None,
    max_tokens: options.MaxTokens = None,
    window: options.Window = DEFAULT_WINDOW,
    name: Annotated[
        str | None, typer.Option(help="Name of the job at the service; the folder's by default.")
    ] = None,
    max_lines: Annotated[
        int | None, typer.Option(help="Maximum number of lines of a file; 50,000 by default.")
    ] = None,
    model: options.Model = DEFAULT_MODEL,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    server: options.ServerOption = DEFAULT_SERVER,
    as_json: options.AsJson = False,
) -> None:
    """Write the files of a job; nothing is sent."""
    from qwen_vl.batches import BatchJob  # noqa: PLC0415 - slow for `ask`
    from qwen_vl.bulk import Job, read_rows  # noqa: PLC0415 - as above

    path = expand_path(folder)
    answers = None if schema is None else read_schema(schema)
    settings = make_settings(
        model=model,
        region=region,
        base_url=base_url,
        server=server,
        max_tokens=max_tokens,
        media_roots=find_roots(source, media_root),
    )
    job = Job(
        settings=settings,
        prompt=prompt,
        system=system,
        schema=None if answers is None else answers.schema,
    )

    def find_requests() -> Iterator[tuple[str, "Request"]]:
        for row in islice(read_rows(source, media_column=media_column), limit):
            yield row.name, job.make_request(row)

    with make_bar(_err) as progress:
        bar = progress.add_task("Writing", total=None, spent="")
        made = BatchJob.prepare(
            find_requests(),
            path,
            settings,
            window=window,
            name=name,
            max_lines=max_lines,
            on_progress=lambda n_items: progress.update(bar, completed=n_items),
        )
    with made:
        if answers is not None:
            (path / _SCHEMA_FILE).write_bytes(orjson.dumps(answers.schema))
        status = made.status(update=False)
        cost = made.estimate_cost(max_tokens or ASSUMED_OUTPUT_TOKENS)
    if as_json:
        print_json({**_to_dict(status), "cost": str(cost.amount), "currency": cost.currency})
        return
    n_bytes = sum(shard.n_bytes for shard in status.shards)
    _out.print(
        f"{status.n_items:,} rows: {status.n_lines:,} lines in {len(status.shards)} files, "
        f"{n_bytes / 1e6:,.1f} MB" + (f"; {status.n_unsent:,} failed" if status.n_unsent else "")
    )
    if cost.amount is None:
        _out.print("No price is known.")
    else:
        assumed = "" if max_tokens else f" with {ASSUMED_OUTPUT_TOKENS} output tokens each"
        _out.print(f"{cost.amount:,.2f} {cost.currency}{assumed}")
    _out.print(f"Next: qwen-vl batch submit {folder}", soft_wrap=True)


@app.command()
def submit(
    folder: Folder,
    *,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Upload the files and create their jobs; twice is once."""
    with _open_job(folder, region, base_url, timeout) as job:
        _print_status(job.submit(), as_json=as_json)


@app.command()
def status(
    folder: Folder,
    *,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Show how far a job is."""
    with _open_job(folder, region, base_url, timeout) as job:
        _print_status(job.status(), as_json=as_json)


@app.command()
def collect(
    folder: Folder,
    *,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="File to write the results to: .jsonl or .parquet."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until the job has ended; Ctrl-C leaves it running.")
    ] = False,
    poll: options.Poll = options.DEFAULT_POLL,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    server: options.ServerOption = DEFAULT_SERVER,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Download the results of what has ended, and write them to a file."""
    from qwen_vl.bulk.results import write_results  # noqa: PLC0415 - slow for `ask`

    target = None if output is None else expand_path(output)
    if target is not None:
        check_rows_file(target)
    with _open_job(folder, region, base_url, timeout, server) as job:
        if wait:
            _wait(job, poll)
        collected = job.collect()
        cost = job.cost()
        if target is not None:
            answers = _load_schema(job.folder)
            write_results(target, (_to_row(result, answers) for result in job.results()))
    _print_status(collected, as_json=as_json)
    if not as_json and cost.amount is not None:
        _out.print(f"{cost.amount:,.2f} {cost.currency} at list prices")


@app.command()
def retry(
    folder: Folder,
    *,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Ask again what failed or was not run, in new files."""
    with _open_job(folder, region, base_url, timeout) as job:
        n_lines = job.retry()
        if not as_json:
            _out.print(f"{n_lines:,} lines are asked again.")
        _print_status(job.submit() if n_lines else job.status(), as_json=as_json)


@app.command()
def cancel(
    folder: Folder,
    *,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Cancel what runs. What was answered is billed, and can be collected."""
    with _open_job(folder, region, base_url, timeout) as job:
        _print_status(job.cancel(), as_json=as_json)


@app.command()
def clean(
    folder: Folder,
    *,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """Delete the job's files at the service; those in the folder stay."""
    with _open_job(folder, region, base_url, timeout) as job:
        n_deleted = job.clean()
    if as_json:
        print_json({"n_deleted": n_deleted})
    else:
        _out.print(f"{n_deleted} files are deleted at the service.")


@app.command(name="list")
def list_(
    *,
    name: Annotated[str | None, typer.Option(help="Part of the jobs' names.")] = None,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
) -> None:
    """List the jobs of the last 30 days at the service."""
    from qwen_vl.batches import BatchService  # noqa: PLC0415 - slow for `ask`

    settings = make_settings(region=region, base_url=base_url, timeout=timeout)
    service = BatchService(settings)
    try:
        filters = {} if name is None else {"ds_name": name}
        batches = list(islice(service.find_batches(**filters), _MAX_LISTED))
    finally:
        service.close()
    if as_json:
        print_json([asdict(batch) for batch in batches])
        return
    table = _make_table("Job", "Status", "Lines", "Name")
    for batch in batches:
        table.add_row(
            batch.id,
            batch.status,
            f"{batch.n_completed:,}/{batch.n_total:,}",
            batch.name or "",
        )
    _out.print(table if batches else "No jobs.")


@contextmanager
def _open_job(
    folder: str,
    region: str | None,
    base_url: str | None,
    timeout: float | None,
    server: Server = DEFAULT_SERVER,
) -> Iterator["BatchJob"]:
    from qwen_vl.batches import BatchJob  # noqa: PLC0415 - slow for `ask`

    with open_endpoint(sandbox=False, server=server, base_url=base_url) as endpoint:
        settings: QwenVLSettings = make_settings(region=region, timeout=timeout, **endpoint)
        with BatchJob(expand_path(folder), settings) as job:
            yield job


def _wait(job: "BatchJob", poll: float) -> None:
    with make_bar(_err) as progress:
        job.wait(poll=poll, on_progress=make_batch_display(progress))


def _load_schema(folder: Path) -> AnswerSchema | None:
    path = folder / _SCHEMA_FILE
    return read_schema(str(path)) if path.is_file() else None


def _to_row(result: "BatchResult", answers: AnswerSchema | None) -> dict[str, Any]:
    from qwen_vl.batches import to_row_outcome  # noqa: PLC0415 - slow for `ask`

    outcome = to_row_outcome(result, None if answers is None else answers.read)
    return {"number": result.number, **outcome.to_dict()}


def _to_dict(status: "BatchStatus") -> dict[str, Any]:
    return {**asdict(status), "has_ended": status.has_ended, "is_collected": status.is_collected}


def _print_status(status: "BatchStatus", *, as_json: bool) -> None:
    if as_json:
        print_json(_to_dict(status))
        return
    counts = {
        "answered": status.n_answered,
        "failed": status.n_failed + status.n_unsent,
        "not run": status.n_not_run,
    }
    done = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    _out.print(f"{status.n_items:,} rows, {status.n_lines:,} lines: {done or 'nothing yet'}")
    table = _make_table("File", "State", "Answered", "Failed", "Lines", "Ends by")
    for shard in status.shards:
        table.add_row(
            f"{shard.number:03}",
            _describe_state(shard),
            f"{shard.n_completed:,}",
            f"{shard.n_failed:,}",
            f"{shard.n_lines:,}",
            _to_time(shard.expires_at),
        )
    _out.print(table)
    for shard in status.shards:
        if shard.error:
            _out.print(f"File {shard.number:03}: {shard.error}", markup=False, soft_wrap=True)


def _describe_state(shard: "Shard") -> str:
    # The service's own word for what it does, and this package's for the rest.
    is_there = shard.state in {"submitted", "ended"}
    return shard.status if is_there and shard.status else shard.state


def _make_table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        is_number = heading in {"Answered", "Failed", "Lines"}
        table.add_column(heading, justify="right" if is_number else "left", no_wrap=True)
    return table


def _to_time(seconds: int | None) -> str:
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")
