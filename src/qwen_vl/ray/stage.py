"""A callable class for `Dataset.map_batches` that asks one question about each row."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import orjson

from qwen_vl.bulk.budget import Budget
from qwen_vl.bulk.inputs import to_media_source
from qwen_vl.bulk.job import Job, Validator
from qwen_vl.bulk.leases import LeasedBudget
from qwen_vl.bulk.outcome import Outcome, to_failure
from qwen_vl.bulk.parts import PartLedger
from qwen_vl.bulk.row import Row
from qwen_vl.bulk.row_client import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_ERROR_RATE,
    ErrorRate,
    RowClient,
)
from qwen_vl.errors import ConfigurationError, QwenVLError, extra_required
from qwen_vl.ray.budget import SharedBudget

# Rows that are read and counted while others wait for their turn.
_AHEAD = 16
_COLUMNS = {
    "error_code": "string",
    "error_message": "string",
    "model": "string",
    "input_tokens": "int64",
    "output_tokens": "int64",
    "image_tokens": "int64",
    "finish_reason": "string",
    "request_id": "string",
    "seconds": "float64",
    "n_attempts": "int64",
    "key": "string",
}


class QwenVLStage:
    """Asks a job's question about each row of a Ray dataset: for `map_batches`, as a class.

    Rows keep their columns, and get those of `docs/bulk.md`: the answer, tokens, and, where there
    is none, `error_code` and `error_message`. Columns with these names are replaced. A row that
    fails does not end the run; a refused key, account or model does, and so do too many failures.

    What was answered is kept in the folder `store`: when Ray runs a batch again, or the program is
    started again, these rows are not asked again.

    Args:
        job: What is asked. The key of the API is not sent to workers: `DASHSCOPE_API_KEY` must be
            set there.
        column: Column with the path or URL of an image, a video or a document, or with a list of
            them. Paths must be inside `media_roots` of the job's settings; a relative path is
            relative to the first of them.
        answers: Column for the answer; JSON text if the job has a schema.
        store: Folder for what was answered, which all nodes must reach; `None` keeps nothing.
        budget: Limits of rate: a `SharedBudget` for all workers, or a `Budget` for each of them;
            none if `None`.
        retry_failed: Whether rows that failed in an earlier run are asked again.
        max_attempts: Maximum number of requests for a row.
        max_error_rate: Fraction of rows that may fail in a worker, from its first 50 on.
        validate: Checks answers that follow the job's schema.

    Raises:
        ConfigurationError: The key is missing, or a parameter is wrong.
        MissingExtraError: Ray is not installed.

    Example:
        >>> from qwen_vl.settings import QwenVLSettings
        >>> job = Job(settings=QwenVLSettings(api_key="sk-1"), prompt="Is this a {animal}?")
        >>> options = {"job": job, "column": "path", "store": None}
        >>> # dataset.map_batches(QwenVLStage, fn_constructor_kwargs=options, …)
        >>> QwenVLStage(**options).needed_columns
        ('path', 'animal')
    """

    def __init__(  # noqa: PLR0913 - what is asked, and what ends a run.
        self,
        job: Job,
        *,
        column: str = "image",
        answers: str = "answer",
        store: str | Path | None = "results",
        budget: SharedBudget | Budget | None = None,
        retry_failed: bool = False,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        max_error_rate: float = DEFAULT_MAX_ERROR_RATE,
        validate: Validator | None = None,
    ) -> None:
        self._job = job
        self._column = column
        self._answers = answers
        self._ledger = None if store is None else PartLedger(store)
        used: LeasedBudget | Budget
        used = budget.open() if isinstance(budget, SharedBudget) else budget or Budget()
        self._client = RowClient(
            job,
            _Nothing() if self._ledger is None else self._ledger,
            used,
            retry_failed=retry_failed,
            max_attempts=max_attempts,
            validate=validate,
        )
        self._room = asyncio.Semaphore(used.max_concurrency + _AHEAD)
        self._error_rate = ErrorRate(max_error_rate)
        roots = job.settings.media_roots
        self._folder = Path(next(iter(roots))) if roots else Path()

    async def __call__(self, batch: Any) -> AsyncIterator[Any]:
        """Answer a batch.

        Args:
            batch: As `map_batches` passes it; `batch_format="pyarrow"` keeps all types.

        Yields:
            The batch with its outcomes, as an Arrow table.
        """
        table = _to_table(batch)
        rows = self._read_rows(table)
        outcomes = await asyncio.gather(*(self._answer(row) for row in rows))
        if self._ledger is not None:
            # Ray ends its workers without a word once the last batch is done.
            self._ledger.flush()
        yield _add_columns(table, outcomes, self._answers)

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """Columns that the dataset must have."""
        return tuple(dict.fromkeys((self._column, *self._job.columns)))

    def _read_rows(self, table: Any) -> list[Mapping[str, Any]]:
        names = self.needed_columns
        known = table.column_names
        if missing := [name for name in names if name not in known]:
            raise ConfigurationError(
                f"The dataset lacks the column {missing[0]!r}. Its columns: {', '.join(known)}."
            )
        rows: list[Mapping[str, Any]] = table.select(list(names)).to_pylist()
        return rows

    async def _answer(self, columns: Mapping[str, Any]) -> Outcome:
        async with self._room:
            try:
                row = self._to_row(columns)
                key = await self._client.find_key(row)
            except (QwenVLError, OSError) as error:
                # It lacks a key, and is read again the next time.
                outcome, is_new = to_failure("", error), True
            else:
                outcome, is_new = await self._client.find_outcome(key, row)
        if is_new:
            self._error_rate.count(outcome)
        return outcome

    def _to_row(self, columns: Mapping[str, Any]) -> Row:
        held = columns[self._column]
        values = held if isinstance(held, list) else [held]
        where = f"{self._column} {values[0]!r:.100}" if values else self._column
        media = [to_media_source(value, self._folder, where) for value in values if value]
        return Row(number=0, media=tuple(media), columns=columns, name=where)


class _Nothing:
    """Where no outcome is kept."""

    def find(self, key: str) -> Outcome | None:  # noqa: ARG002 - as in a ledger.
        return None

    def add(self, outcome: Outcome) -> None:
        pass


def _to_table(batch: Any) -> Any:
    """Return a batch of any format as an Arrow table."""
    with extra_required("QwenVLStage", extra="ray"):
        arrow: Any = import_module("pyarrow")
    if isinstance(batch, arrow.Table):
        return batch
    try:
        if isinstance(batch, Mapping):
            return arrow.table({name: arrow.array(values) for name, values in batch.items()})
        return arrow.Table.from_pandas(batch, preserve_index=False)
    except (arrow.ArrowInvalid, arrow.ArrowTypeError, AttributeError) as error:
        raise ConfigurationError(
            f'The batch cannot be read: {error}. Pass batch_format="pyarrow" to map_batches.'
        ) from error


def _add_columns(table: Any, outcomes: Iterable[Outcome], answers: str) -> Any:
    arrow: Any = import_module("pyarrow")
    found = list(outcomes)
    texts = [
        value if value is None or isinstance(value, str) else orjson.dumps(value).decode()
        for value in (outcome.answer for outcome in found)
    ]
    columns = {answers: arrow.array(texts, arrow.string())}
    for name, kind in _COLUMNS.items():
        values = [getattr(outcome, name) or None for outcome in found]
        columns[name] = arrow.array(values, arrow.type_for_alias(kind))
    for name, values in columns.items():
        if name in table.column_names:
            table = table.drop_columns([name])
        table = table.append_column(name, values)
    return table
