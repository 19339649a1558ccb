"""What the commands about many rows share: the folders of an input, the output, the bar."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from qwen_vl.cli.inputs import expand_path
from qwen_vl.errors import ConfigurationError

if TYPE_CHECKING:
    from qwen_vl.batches.status import BatchStatus, StatusCallback

ASSUMED_OUTPUT_TOKENS = 200
"""Of an answer, where `--max-tokens` does not say."""

_TABLES = frozenset({".jsonl", ".ndjson", ".csv", ".parquet"})


def find_roots(source: str, roots: list[str] | None) -> list[str] | None:
    """Return the folders that paths in an input file may lie in.

    Args:
        source: The input, as the user typed it.
        roots: Those that the user gave.
    """
    if roots:
        return roots
    return [str(expand_path(source).resolve().parent)] if is_rows_file(source) else None


def is_rows_file(source: str) -> bool:
    """Return whether an input is a file whose lines are rows, and not a folder or a pattern.

    Args:
        source: The input, as the user typed it.
    """
    path = expand_path(source)
    return path.suffix.lower() in _TABLES and path.is_file()


def check_rows_file(path: Path) -> None:
    """Check that a file of results can be written.

    Args:
        path: Of `--output`.

    Raises:
        ConfigurationError: It is of another kind, or its folder does not exist.
    """
    from qwen_vl.bulk.results import SUFFIXES  # noqa: PLC0415 - slow for `ask`

    if path.suffix.lower() not in SUFFIXES:
        raise ConfigurationError(f"--output: {path.name!r} must be a .jsonl or .parquet file.")
    if not path.absolute().parent.is_dir():
        raise ConfigurationError(f"--output: the folder {str(path.parent)!r} does not exist.")


def make_bar(console: Console) -> Progress:
    """Return a progress bar whose tasks have a field `spent`; nothing is shown in a pipe.

    Args:
        console: Of standard error.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[spent]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def make_batch_display(progress: Progress) -> "StatusCallback":
    """Return what shows in a bar how far a batch is.

    Args:
        progress: From `make_bar`, running.
    """
    bar: TaskID | None = None

    def show(status: "BatchStatus") -> None:
        nonlocal bar
        if bar is None:
            bar = progress.add_task("Waiting", total=None, spent="")
        phases = {shard.status or shard.state.value for shard in status.shards}
        progress.update(
            bar,
            total=status.n_lines,
            completed=status.n_answered + status.n_failed,
            spent=f"{', '.join(sorted(phases))} · looked at {time.strftime('%H:%M')}",
        )

    return show
