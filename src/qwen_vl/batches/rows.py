"""A job of many rows, answered by batch files in place of live requests."""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from qwen_vl.batches.job import DEFAULT_POLL, BatchJob
from qwen_vl.batches.status import BatchResult, StatusCallback
from qwen_vl.bulk.job import Job, Validator
from qwen_vl.bulk.ledger import Ledger
from qwen_vl.bulk.outcome import Outcome, to_failure, to_outcome
from qwen_vl.bulk.row import Row
from qwen_vl.bulk.runner import Report
from qwen_vl.errors import ConfigurationError, QwenVLError, ServiceError, warn
from qwen_vl.reply import Reply, Usage
from qwen_vl.request.build import find_service_region
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.batch_file import DEFAULT_WINDOW
from qwen_vl.tokens.cost import Cost, cost_of

_FOLDER = "batch-{:03}"


class BatchRunner:
    """Answers a job's rows by batch files, into the ledger that live runs use.

    Rows that have an answer in the ledger are not asked again, so that a job may begin live and
    end as a batch. A run that is stopped goes on where it ended: nothing is submitted twice.

    Args:
        job: What is asked.
        ledger: Where outcomes are kept; the batch's own files are in its folder.
        retry_failed: Whether rows that failed in an earlier run are asked again.
        window: Within which a batch is to be done.
        poll: Seconds between the first two status calls.
        max_cost: Nothing is submitted if the batch is estimated to cost more.
        output_tokens: Output tokens of a row to assume for `max_cost`.
        validate: Checks answers that follow the job's schema.
        on_progress: Is called after each status call.

    Raises:
        ConfigurationError: The job asks Batch Chat, or has another task than `ask`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from qwen_vl.content import LocalFile
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl.settings import QwenVLSettings
        >>> from qwen_vl_sandbox import Sandbox
        >>> with TemporaryDirectory() as folder, Sandbox() as sandbox, Ledger(folder) as ledger:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     job = Job(settings=settings, prompt="What is this?")
        ...     row = Row(number=0, media=(LocalFile(CHELSEA, is_trusted=True),))
        ...     report = BatchRunner(job, ledger, poll=0.1).run([row, row])
        >>> report.n_answered, report.n_known
        (1, 1)
    """

    def __init__(  # noqa: PLR0913 - what is asked, and how long it may take.
        self,
        job: Job,
        ledger: Ledger,
        *,
        retry_failed: bool = False,
        window: str = DEFAULT_WINDOW,
        poll: float = DEFAULT_POLL,
        max_cost: Decimal | None = None,
        output_tokens: int = 0,
        validate: Validator | None = None,
        on_progress: StatusCallback | None = None,
    ) -> None:
        if job.settings.service_tier is not None:
            raise ConfigurationError(
                'service_tier="batch" is Batch Chat. Leave it out for batch files: they cost the '
                "same."
            )
        if job.task != "ask":
            raise ConfigurationError(
                f"Batch files are for task 'ask', not {job.task!r}: ask live, or Batch Chat."
            )
        self._job = job
        self._ledger = ledger
        self._retry_failed = retry_failed
        self._window = window
        self._poll = poll
        self._max_cost = max_cost
        self._output_tokens = output_tokens
        self._validate = validate
        self._on_progress = on_progress
        self.report = Report()
        self._asked: set[str] = set()
        if max_cost is not None:
            # Before rows are prepared in a folder, which belongs to one endpoint.
            _check_price(_find_price(job.settings))

    def run(self, rows: Iterable[Row]) -> Report:
        """Ask about all rows, and return what was done.

        Args:
            rows: Of the input.

        Raises:
            ServiceError: The endpoint answered with an error, or not at all. Run again to go on.
            ConfigurationError: The rows cannot be in batch files, or cost more than `max_cost`.
        """
        begun = time.monotonic()
        try:
            # First what an earlier run has submitted: it is paid for.
            for folder in self._find_folders():
                self._finish(folder)
            self._ledger.forget_rows()
            folder = self._ledger.folder / _FOLDER.format(len(self._find_folders()))
            requests = self._find_requests(rows)
            with BatchJob.prepare(
                requests, folder, self._job.settings, window=self._window
            ) as batch:
                is_empty = batch.status(update=False).n_items == 0
            if is_empty:
                shutil.rmtree(folder)
            else:
                self._finish(folder)
        finally:
            self._ledger.flush()
            self.report.seconds = time.monotonic() - begun
        return self.report

    def _find_folders(self) -> list[Path]:
        found = sorted(self._ledger.folder.glob(_FOLDER.format(0)[:-3] + "*"))
        return [folder for folder in found if BatchJob.is_in(folder)]

    def _find_requests(self, rows: Iterable[Row]) -> Iterator[tuple[str, Request]]:
        for row in rows:
            self.report.n_rows += 1
            try:
                key = self._job.find_key(row)
                self._ledger.note_row(row.number, key)
                if self._is_known(key):
                    self.report.n_known += 1
                    continue
                self._asked.add(key)
                request = self._job.make_request(row)
            except (QwenVLError, OSError) as error:
                key = f"row-{row.number}"
                self._ledger.note_row(row.number, key)
                self._add(to_failure(key, error))
                continue
            yield key, request

    def _is_known(self, key: str) -> bool:
        if key in self._asked:
            return True
        outcome = self._ledger.find(key)
        return outcome is not None and (outcome.is_answer or not self._retry_failed)

    def _finish(self, folder: Path) -> None:
        with BatchJob(folder, self._job.settings) as batch:
            if batch.is_delivered:
                return
            self._check_cost(batch)
            batch.submit()
            batch.wait(poll=self._poll, on_progress=self._on_progress)
            batch.collect()
            for result in batch.results():
                self._add(to_row_outcome(result, self._read_answer))
            self._ledger.flush()
            batch.is_delivered = True
            self._add_cost(batch)
            try:
                batch.clean()
            except ServiceError as error:
                warn(f"The batch's files stay at the service, as they cannot be deleted: {error}")

    def _add_cost(self, batch: BatchJob) -> None:
        cost = batch.cost()
        if cost.amount is not None:
            self.report.cost = (self.report.cost or Decimal(0)) + cost.amount
            self.report.currency = cost.currency

    def _check_cost(self, batch: BatchJob) -> None:
        if self._max_cost is None or any(one.batch_id for one in batch.status(update=False).shards):
            return
        cost = batch.estimate_cost(self._output_tokens)
        amount = _check_price(cost)
        if amount > self._max_cost:
            raise ConfigurationError(
                f"The batch costs {amount:.2f} {cost.currency} with {self._output_tokens:,} "
                f"output tokens a row, more than max_cost={self._max_cost}. Nothing was sent."
            )

    def _read_answer(self, reply: Reply) -> Any:
        return self._job.read_answer(reply, self._validate)

    def _add(self, outcome: Outcome) -> None:
        report = self.report
        self._ledger.add(outcome)
        report.n_requests += outcome.n_attempts
        report.input_tokens += outcome.input_tokens or 0
        report.output_tokens += outcome.output_tokens or 0
        report.n_answered += outcome.is_answer
        report.n_failed += not outcome.is_answer


def _find_price(settings: QwenVLSettings) -> Cost:
    return cost_of(
        Usage(input_tokens=0, output_tokens=0, total_tokens=0),
        settings.known_model,
        region=find_service_region(settings),
        service_tier="batch",
        prices=settings.prices,
        server=settings.server,
    )


def _check_price(cost: Cost) -> Decimal:
    if cost.amount is None:
        raise ConfigurationError(
            f"max_cost cannot be kept, as the price is not known: {cost.reason} Pass prices, or "
            "leave max_cost out."
        )
    return cost.amount


def to_row_outcome(result: BatchResult, read_answer: Callable[[Reply], Any] | None) -> Outcome:
    """Return the outcome of a row that was in a batch.

    Args:
        result: What came of its line.
        read_answer: Returns the value that an answer holds; its text if `None`.
    """
    reply = result.reply
    if reply is None:
        return Outcome(
            key=result.key,
            error_code=result.error_code,
            error_message=result.error_message,
            request_id=result.request_id,
            n_attempts=int(result.is_run),
        )
    try:
        answer = reply.text if read_answer is None else read_answer(reply)
    except QwenVLError as error:
        return to_failure(result.key, error, n_attempts=1)
    return to_outcome(result.key, reply, answer, seconds=None, n_attempts=1)
