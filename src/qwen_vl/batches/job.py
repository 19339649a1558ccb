"""A batch job in a folder: written, submitted, waited for and collected, by any process."""

import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qwen_vl.batches.ledger import FILE, BatchLedger, LineState, ShardState
from qwen_vl.batches.preparation import Preparation
from qwen_vl.batches.service import BatchService
from qwen_vl.batches.shards import RESULTS, Writer, read_custom_id, read_lines, result_path
from qwen_vl.batches.status import BatchResult, BatchStatus, StatusCallback
from qwen_vl.batches.submission import UNKNOWN, Submission, read_answers
from qwen_vl.errors import ConfigurationError, RateLimitError
from qwen_vl.reply import Usage
from qwen_vl.request.build import build_connection, find_service_region
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.batch_file import DEFAULT_WINDOW, check_window
from qwen_vl.specs.endpoints import hide_password
from qwen_vl.specs.servers import DEFAULT_SERVER
from qwen_vl.tokens.cost import Cost, cost_of
from qwen_vl.wire.openai import decode_reply

DEFAULT_POLL = 60.0
"""Seconds between two status calls: the page asks for more than a minute."""
_MAX_POLL = 300.0
_POLL_FACTOR = 1.5
_MAX_NAME = 100


class BatchJob:
    """A job of the Batch API in a folder, for `with`: half the price, answers within a day.

    What is done is written down before and after each call of the service. After a crash, any
    process goes on with the folder; nothing is submitted twice.

    Use `prepare` for a new job, and `open` for one that there is. Calls wait for the network; in an
    event loop, call them in a thread.

    Args:
        folder: Of the job; must exist.
        settings: How to reach the endpoint.

    Raises:
        ConfigurationError: The folder holds no job, or one of another endpoint.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from qwen_vl.content import Image, LocalFile, Text, Turn
        >>> from qwen_vl.request.build import build_request
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> image = Image(source=LocalFile(CHELSEA, is_trusted=True))
        >>> turn = Turn(role="user", parts=(image, Text(text="What is this?")))
        >>> with TemporaryDirectory() as folder, Sandbox() as sandbox:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     requests = [("cat", build_request(settings, [turn]))]
        ...     with BatchJob.prepare(requests, folder, settings) as job:
        ...         _ = job.submit()
        ...         _ = job.wait(poll=0.1)
        ...         status = job.collect()
        ...         (result,) = job.results()
        >>> status.n_answered, result.key, result.reply.finish_reason
        (1, 'cat', 'stop')
    """

    def __init__(self, folder: str | Path, settings: QwenVLSettings) -> None:
        self.folder = Path(folder).expanduser()
        if not (self.folder / FILE).is_file():
            raise ConfigurationError(f"{str(folder)!r} does not hold a batch job: prepare one.")
        self._settings = settings
        self._ledger = BatchLedger(self.folder)
        self._service: BatchService | None = None
        try:
            self._check()
        except BaseException:
            self._ledger.close()
            raise

    @classmethod
    def is_in(cls, folder: str | Path) -> bool:
        """Return whether there is a prepared job in a folder.

        Args:
            folder: Any.
        """
        path = Path(folder).expanduser()
        if not (path / FILE).is_file():
            return False
        ledger = BatchLedger(path)
        try:
            return bool(ledger.recall("is_prepared"))
        finally:
            ledger.close()

    @classmethod
    def prepare(
        cls,
        requests: Iterable[tuple[str, Request]],
        folder: str | Path,
        settings: QwenVLSettings,
        *,
        window: str = DEFAULT_WINDOW,
        name: str | None = None,
        max_lines: int | None = None,
        max_bytes: int | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> Self:
        """Write the files of a job; nothing is sent.

        Images and videos are read, downscaled and encoded as for live requests, to lines of up to
        6 MB. Media given by URL stays a URL: it must be valid until the job ends. A request whose
        media cannot be sent becomes a failed item.

        Args:
            requests: A key, and what to ask. All have one model and one mode of thinking. Equal
                requests are asked once.
            folder: For the job; is created. It must not hold another.
            settings: How to reach the endpoint.
            window: Within which the job is to be done: 24h to 336h, or 1d to 14d.
            name: Of the job at the service; by default that of the folder.
            max_lines: Fewer lines in a file than the service takes, 50,000.
            max_bytes: Fewer bytes in a file than the service takes, 500 MB.
            on_progress: Is called with the number of items so far.

        Raises:
            ConfigurationError: The requests cannot be in batch files, the window is wrong, or the
                folder holds a job.
        """
        path = Path(folder).expanduser()
        check_window(window)
        if cls.is_in(path):
            raise ConfigurationError(
                f"{str(folder)!r} holds a batch job. Open it, or choose another folder."
            )
        path.mkdir(parents=True, exist_ok=True)
        ledger = BatchLedger(path)
        try:
            with ledger.locked():
                ledger.begin()
                left = iter(requests)
                first = next(left, None)
                model = settings.model if first is None else first[1].model
                (path / RESULTS).mkdir(exist_ok=True)
                writing = Preparation(
                    ledger, Writer(path, model, max_lines=max_lines, max_bytes=max_bytes)
                )
                writing.write(chain(() if first is None else (first,), left), on_progress)
                ledger.remember(
                    is_prepared=True,
                    id=secrets.token_hex(4),
                    model=model,
                    known_model=settings.known_model if first is None else first[1].known_model,
                    server=settings.server,
                    window=window,
                    name=(name or path.resolve().name)[:_MAX_NAME],
                    base_url=_find_url(settings),
                )
        finally:
            ledger.close()
        return cls(path, settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the job's database, and the connections to the service."""
        self._ledger.close()
        if self._service is not None:
            self._service.close()

    def submit(self) -> BatchStatus:
        """Upload the files, and create a job for each. What was done before is not done again.

        After a call whose answer was lost, the service is asked which jobs there are.

        Raises:
            ServiceError: The endpoint answered with an error, or not at all. Submit again to go on.
            MissingExtraError: The `openai` package is not installed.
            ConfigurationError: Another process is at it, or the server is self-hosted.
        """
        with self._changing() as submission:
            submission.submit()
        return self.status(update=False)

    def status(self, *, update: bool = True) -> BatchStatus:
        """Return how far the job is.

        Args:
            update: Whether to ask the service; otherwise what is known is returned.

        Raises:
            ServiceError: The endpoint answered with an error, or not at all.
        """
        if update:
            self._update()
        shards = self._ledger.read_shards()
        counts = self._ledger.count_lines()
        n_items, n_unsent = self._ledger.count_items()
        running = [shard for shard in shards if shard.state != ShardState.COLLECTED]
        return BatchStatus(
            n_items=n_items,
            n_unsent=n_unsent,
            n_lines=sum(counts.values()),
            n_answered=counts[LineState.ANSWERED] + sum(shard.n_completed for shard in running),
            n_failed=counts[LineState.FAILED] + sum(shard.n_failed for shard in running),
            n_not_run=counts[LineState.NOT_RUN],
            shards=tuple(shards),
        )

    def wait(
        self,
        *,
        poll: float = DEFAULT_POLL,
        timeout: float | None = None,
        on_progress: StatusCallback | None = None,
    ) -> BatchStatus:
        """Wait until the job has ended, and return how far it is.

        Args:
            poll: Seconds between the first two status calls; later ones come more slowly.
            timeout: Seconds after which it returns although the job goes on.
            on_progress: Is called after each look.

        Raises:
            ServiceError: The endpoint answered with an error that does not pass.
            ConfigurationError: A file of it is not submitted.
        """
        end = None if timeout is None else time.monotonic() + timeout
        longest = max(_MAX_POLL, poll)
        while True:
            try:
                status = self.status()
            except (RateLimitError, *UNKNOWN):
                if end is not None and time.monotonic() >= end:
                    raise
                status = self.status(update=False)
            if on_progress is not None:
                on_progress(status)
            if status.has_ended:
                return status
            waiting = [shard for shard in status.shards if shard.batch_id is None]
            if waiting:
                raise ConfigurationError(
                    f"{len(waiting)} of {len(status.shards)} files are not submitted: submit the "
                    "job first."
                )
            if end is not None and time.monotonic() + poll > end:
                return status
            time.sleep(poll)
            poll = min(poll * _POLL_FACTOR, longest)

    def collect(self) -> BatchStatus:
        """Download what has ended. Downloaded files stay in the folder.

        For a self-hosted server, the files that `vllm run_batch` wrote are read.

        Raises:
            ServiceError: The endpoint answered with an error, or not at all. Collect again to go
                on.
        """
        with self._ledger.locked():
            if self._settings.server != DEFAULT_SERVER:
                self._collect_own()
            else:
                submission = self._open_submission()
                submission.update()
                for shard in self._ledger.read_shards():
                    if shard.state == ShardState.ENDED:
                        submission.collect(shard)
        return self.status(update=False)

    def keys(self) -> Iterator[str]:
        """Read the keys of all items, in the order of the input."""
        for line in self._ledger.read_items():
            yield line.key

    def results(self) -> Iterator[BatchResult]:
        """Read what came of each item, in the order of the input; for those that are collected.

        An item that waits still is not among them.
        """
        for line in self._ledger.read_items():
            if line.state == LineState.WAITING:
                continue
            reply = None
            if line.state == LineState.ANSWERED:
                reply = decode_reply(line.body, {})
                reply = replace(reply, request_id=line.request_id or reply.request_id)
            yield BatchResult(
                number=line.number,
                key=line.key,
                reply=reply,
                error_code=line.error_code,
                error_message=line.error_message,
                request_id=line.request_id,
                is_run=line.state != LineState.NOT_RUN,
            )

    def retry(self) -> int:
        """Write the lines that failed or were not run into new files, and return their number.

        Submit again to send them. Answers that there are stay.

        Raises:
            ConfigurationError: Another process is at it.
        """
        with self._ledger.locked():
            wanted = self._ledger.find_lines(LineState.FAILED, LineState.NOT_RUN)
            if not wanted:
                return 0
            numbers = [shard.number for shard in self._ledger.read_shards()]
            writer = Writer(self.folder, self._ledger.recall("model"), first=max(numbers) + 1)
            moved: dict[int, list[str]] = {}
            try:
                for line in read_lines(self.folder, numbers, wanted):
                    moved.setdefault(writer.add_line(line), []).append(read_custom_id(line))
            finally:
                writer.close()
            for number, _, n_bytes in writer.shards:
                self._ledger.move_lines(number, n_bytes, moved[number])
            return len(wanted)

    def cancel(self) -> BatchStatus:
        """Cancel what runs. Lines that were answered are billed, and can be collected.

        Raises:
            ServiceError: The endpoint answered with an error, or not at all.
        """
        with self._changing() as submission:
            submission.cancel()
        return self.status(update=False)

    def clean(self) -> int:
        """Delete the job's files at the service, where they stay otherwise; return their number.

        Those in the folder are kept.

        Raises:
            ConfigurationError: Results are not collected.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        if not self.status(update=False).is_collected:
            raise ConfigurationError(
                "The job has results that are not collected, which would be lost. Collect them "
                "first."
            )
        with self._changing() as submission:
            return submission.clean()

    @property
    def is_delivered(self) -> bool:
        """Whether the results are noted to be safe elsewhere."""
        return bool(self._ledger.recall("is_delivered"))

    @is_delivered.setter
    def is_delivered(self, value: bool) -> None:
        self._ledger.remember(is_delivered=value)

    def estimate_cost(self, output_tokens: int) -> Cost:
        """Estimate what all lines cost, at the price of a batch.

        Args:
            output_tokens: Output tokens of a line to assume.
        """
        rows = [
            (Usage(input_tokens=n, output_tokens=output_tokens, total_tokens=n + output_tokens), k)
            for n, k in self._ledger.read_input_tokens()
        ]
        return self._add_costs(rows)

    def cost(self) -> Cost:
        """Return what the collected answers cost, by their token counts."""
        usages = (decode_reply(body, {}).usage for body in self._ledger.read_bodies())
        return self._add_costs((usage, 1) for usage in usages if usage is not None)

    def _add_costs(self, usages: Iterable[tuple[Usage, int]]) -> Cost:
        settings = self._settings
        model = self._ledger.recall("known_model")
        total, n_input, n_output = Decimal(0), 0, 0
        terms: dict[str, Any] = {
            "region": find_service_region(settings),
            "service_tier": "batch",
            "prices": settings.prices,
            "server": settings.server,
        }
        last = cost_of(Usage(input_tokens=0, output_tokens=0, total_tokens=0), model, **terms)
        for usage, count in usages:
            cost = cost_of(usage, model, **terms)
            n_input += usage.input_tokens * count
            n_output += usage.output_tokens * count
            last = cost if cost.amount is None or last.amount is not None else last
            total += (cost.amount or 0) * count
        amount = None if last.amount is None else total
        return replace(last, amount=amount, input_tokens=n_input, output_tokens=n_output)

    def _check(self) -> None:
        if not self._ledger.recall("is_prepared"):
            raise ConfigurationError(
                f"The preparation of the job in {str(self.folder)!r} did not finish. Prepare it "
                "again; nothing was sent."
            )
        known, url = self._ledger.recall("base_url"), _find_url(self._settings)
        if known != url:
            raise ConfigurationError(
                f"The job in {str(self.folder)!r} is for {known}, and the settings have {url}. "
                "Pass base_url or region as it was prepared with."
            )

    def _update(self) -> None:
        if any(shard.state == ShardState.SUBMITTED for shard in self._ledger.read_shards()):
            self._open_submission().update()

    def _collect_own(self) -> None:
        for shard in self._ledger.read_shards():
            if result_path(self.folder, shard.number, "output").is_file():
                ended = replace(shard, status="completed")
                self._ledger.collect(ended, read_answers(self.folder, shard.number))

    @contextmanager
    def _changing(self) -> Iterator[Submission]:
        with self._ledger.locked():
            yield self._open_submission()

    def _open_submission(self) -> Submission:
        if self._service is None:
            self._service = BatchService(self._settings)
        return Submission(self._ledger, self._service, self._settings.max_retries)


def _find_url(settings: QwenVLSettings) -> str:
    client = settings.openai_client
    return hide_password(str(client.base_url if client else build_connection(settings).base_url))
