"""Asks about many rows at the same time, within a budget, and keeps what is answered."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import TypeAlias

from qwen_vl.bulk.budget import Budget
from qwen_vl.bulk.job import Job, Validator
from qwen_vl.bulk.ledger import Ledger
from qwen_vl.bulk.outcome import Outcome, to_failure
from qwen_vl.bulk.row import Row
from qwen_vl.bulk.row_client import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_ERROR_RATE,
    ErrorRate,
    RowClient,
)
from qwen_vl.errors import ConfigurationError, QwenVLError
from qwen_vl.reply import Usage
from qwen_vl.request.build import find_service_region
from qwen_vl.tokens.cost import Cost, cost_of

# Rows that are read and counted while others wait for their turn.
_AHEAD = 16
_READ_ROWS = 64

ProgressCallback: TypeAlias = Callable[["Report"], None]


@dataclass(slots=True, kw_only=True)
class Report:
    """What a run has done so far.

    Args:
        n_rows: Rows that were read.
        n_answered: Rows that were answered in this run.
        n_failed: Rows that failed in this run.
        n_known: Rows whose outcome was in the ledger, or that ask the same as another row.
        n_requests: Requests that were sent.
        n_refused: Those of them that were answered with a 429.
        input_tokens: Tokens of the requests, as billed.
        output_tokens: Tokens of the answers, as billed.
        cost: At list prices, or your own; `None` where no price is known.
        currency: Of the cost.
        seconds: Since the run began.
        is_over_cost: Whether it ended because `max_cost` was reached.
    """

    n_rows: int = 0
    n_answered: int = 0
    n_failed: int = 0
    n_known: int = 0
    n_requests: int = 0
    n_refused: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal | None = None
    currency: str | None = None
    seconds: float = 0.0
    is_over_cost: bool = False


class Runner:
    """Asks a job's question about many rows.

    Outcomes are in the ledger. Errors of rows are outcomes too; a run ends early only if the
    endpoint refuses the key, the account or the model, if too many rows fail, or at `max_cost`.

    Args:
        job: What is asked.
        ledger: Where outcomes are kept; rows that have an answer there are not asked again.
        budget: Limits of rate and concurrency; no rate limit if `None`.
        retry_failed: Whether rows that failed in an earlier run are asked again.
        max_attempts: Maximum number of requests for a row: after a 429, a failure of the server,
            or a connection that was cut.
        max_error_rate: Fraction of rows that may fail, from the first 50 on.
        max_cost: The run ends when it has cost as much.
        validate: Checks answers that follow the job's schema.
        on_progress: Is called after each row.

    Raises:
        ConfigurationError: The key is missing, a parameter is wrong, or `max_cost` is set and no
            price is known.

    Example:
        >>> import asyncio
        >>> from tempfile import TemporaryDirectory
        >>> from qwen_vl.content import LocalFile
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl.settings import QwenVLSettings
        >>> from qwen_vl_sandbox import Sandbox
        >>> with TemporaryDirectory() as folder, Sandbox() as sandbox, Ledger(folder) as ledger:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     job = Job(settings=settings, prompt="What is this?")
        ...     row = Row(number=0, media=(LocalFile(CHELSEA, is_trusted=True),))
        ...     report = asyncio.run(Runner(job, ledger).run([row, row]))
        >>> report.n_answered, report.n_known
        (1, 1)
    """

    def __init__(  # noqa: PLR0913 - what is asked, and what ends a run.
        self,
        job: Job,
        ledger: Ledger,
        budget: Budget | None = None,
        *,
        retry_failed: bool = False,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        max_error_rate: float = DEFAULT_MAX_ERROR_RATE,
        max_cost: Decimal | None = None,
        validate: Validator | None = None,
        on_progress: ProgressCallback | None = None,
    ) -> None:
        self._job = job
        self._ledger = ledger
        self._budget = budget or Budget()
        self._error_rate = ErrorRate(max_error_rate)
        self._max_cost = max_cost
        self._on_progress = on_progress
        self._client = RowClient(
            job,
            ledger,
            self._budget,
            retry_failed=retry_failed,
            max_attempts=max_attempts,
            validate=validate,
        )
        nothing = self._find_cost(0, 0)
        self.report = Report(cost=nothing.amount, currency=nothing.currency)
        if max_cost is not None and nothing.amount is None:
            raise ConfigurationError(
                f"max_cost cannot be kept, as the price is not known: {nothing.reason} Pass "
                "prices, or leave max_cost out."
            )
        self._stop: Exception | None = None

    async def run(self, rows: Iterable[Row]) -> Report:
        """Ask about all rows, and return what was done.

        Args:
            rows: Are taken when there is room for them.

        Raises:
            ServiceError: The endpoint refuses the key, the account or the model.
            QwenVLError: The last error of too many.
        """
        begun = time.monotonic()
        self._ledger.forget_rows()
        room = asyncio.Semaphore(self._budget.max_concurrency + _AHEAD)
        tasks: set[asyncio.Task[None]] = set()
        try:
            async for row in _read_ahead(iter(rows)):
                await room.acquire()
                if self._stop is not None or self.report.is_over_cost:
                    break
                task = asyncio.create_task(self._finish(row, room, begun))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            while tasks and self._stop is None:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._count_requests()
            self._ledger.flush()
        if self._stop is not None:
            raise self._stop
        return self.report

    async def _finish(self, row: Row, room: asyncio.Semaphore, begun: float) -> None:
        report = self.report
        report.n_rows += 1
        try:
            outcome = await self._find_outcome(row)
            if outcome is not None:
                self._count(outcome)
        except Exception as error:  # noqa: BLE001 - raised by `run`, which stops all others.
            self._stop = self._stop or error
        finally:
            room.release()
        self._count_requests()
        report.seconds = time.monotonic() - begun
        if self._on_progress is not None:
            self._on_progress(report)

    async def _find_outcome(self, row: Row) -> Outcome | None:
        """Return what came of a row; `None` if its outcome was known."""
        try:
            key = await self._client.find_key(row)
        except (QwenVLError, OSError) as error:
            failure = to_failure(f"row-{row.number}", error)
            self._ledger.note_row(row.number, failure.key)
            self._ledger.add(failure)
            return failure
        self._ledger.note_row(row.number, key)
        outcome, is_new = await self._client.find_outcome(key, row)
        self.report.n_known += not is_new
        return outcome if is_new else None

    def _count_requests(self) -> None:
        self.report.n_requests = self._client.n_requests
        self.report.n_refused = self._client.n_refused

    def _count(self, outcome: Outcome) -> None:
        report = self.report
        n_input, n_output = outcome.input_tokens or 0, outcome.output_tokens or 0
        report.input_tokens += n_input
        report.output_tokens += n_output
        # Of each answer by itself: the price of a token depends on the length of the request.
        amount = self._find_cost(n_input, n_output).amount
        report.cost = None if report.cost is None or amount is None else report.cost + amount
        if report.cost is not None and self._max_cost is not None:
            report.is_over_cost = report.cost >= self._max_cost
        report.n_answered += outcome.is_answer
        report.n_failed += not outcome.is_answer
        self._error_rate.count(outcome)

    def _find_cost(self, n_input: int, n_output: int) -> Cost:
        settings = self._job.settings
        usage = Usage(input_tokens=n_input, output_tokens=n_output, total_tokens=n_input + n_output)
        return cost_of(
            usage,
            settings.known_model,
            region=find_service_region(settings),
            service_tier=settings.service_tier,
            prices=settings.prices,
            server=settings.server,
        )


async def _read_ahead(rows: Iterator[Row]) -> AsyncIterator[Row]:
    """Read rows in a thread, some at a time."""
    while chunk := await asyncio.to_thread(lambda: list(islice(rows, _READ_ROWS))):
        for row in chunk:
            yield row
