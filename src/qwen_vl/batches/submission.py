"""What is asked of the service for each file, noted before each call and after it."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen_vl.batches.ledger import BatchLedger, Shard, ShardState
from qwen_vl.batches.service import BatchService, RemoteBatch
from qwen_vl.batches.shards import result_path, shard_path
from qwen_vl.errors import APIConnectionError, RateLimitError, ServerError, ServiceError
from qwen_vl.transport.retries import retry_delay
from qwen_vl.wire.openai import decode_reply
from qwen_vl.wire.openai.batch import LineAnswer, decode_line

UNKNOWN = (APIConnectionError, ServerError)
"""Errors after which it is not known whether a call was carried out."""

# After a call that may have created a job: until then it may not be in the list.
_SETTLE_SECONDS = (1.0, 2.0, 4.0)


class Submission:
    """Carries the files of a job through the service.

    Args:
        ledger: Of the job, locked.
        service: The endpoint.
        max_retries: Further attempts after a failure that may pass.
    """

    def __init__(self, ledger: BatchLedger, service: BatchService, max_retries: int) -> None:
        self._ledger = ledger
        self._folder = ledger.folder
        self._service = service
        self._max_retries = max_retries

    def submit(self) -> None:
        """Upload the files and create their jobs; what was done before is not done again."""
        service = self._service
        for shard in self._ledger.read_shards():
            if shard.state in {ShardState.PREPARED, ShardState.UPLOADING}:
                shard = self._upload(service, shard)  # noqa: PLW2901 - goes on with it.
            if shard.state == ShardState.SUBMITTING:
                shard = self._reconcile(shard)  # noqa: PLW2901 - as above
            if shard.state == ShardState.UPLOADED:
                self._create(service, shard)

    def _upload(self, service: BatchService, shard: Shard) -> Shard:
        path = shard_path(self._folder, shard.number)
        # Of this job only: a file of the same name may be another's.
        name, job_id = self._ledger.recall("name"), self._ledger.recall("id")
        filename = f"{name}-{job_id}-{path.name}"
        n_attempts = 0
        while True:
            file_id = None
            if shard.state == ShardState.UPLOADING:
                file_id = service.find_file(filename, shard.n_bytes)
            try:
                if file_id is None:
                    shard = self._change(shard, state=ShardState.UPLOADING, filename=filename)
                    file_id = service.upload(path, filename)
                return self._change(shard, state=ShardState.UPLOADED, file_id=file_id)
            except (RateLimitError, *UNKNOWN) as error:
                n_attempts = self._wait_before_retry(error, n_attempts)

    def _create(self, service: BatchService, shard: Shard) -> None:
        n_attempts = 0
        while shard.state == ShardState.UPLOADED:
            self._change(shard, state=ShardState.SUBMITTING)
            try:
                batch = service.create(
                    shard.file_id or "",
                    self._ledger.recall("model"),
                    self._ledger.recall("window"),
                    self._ledger.recall("name"),
                )
            except UNKNOWN as error:
                # It may be running. Another one would be paid for too.
                unsure = replace(shard, state=ShardState.SUBMITTING)
                shard = self._reconcile(unsure)
                if shard.state == ShardState.UPLOADED:
                    n_attempts = self._wait_before_retry(error, n_attempts)
            except ServiceError as error:
                self._change(shard, state=ShardState.UPLOADED)
                if not isinstance(error, RateLimitError):
                    raise
                n_attempts = self._wait_before_retry(error, n_attempts)
            else:
                self._note(shard, batch)
                return

    def _wait_before_retry(self, error: ServiceError, n_attempts: int) -> int:
        if n_attempts >= self._max_retries:
            raise error
        time.sleep(retry_delay(n_attempts, error.headers))
        return n_attempts + 1

    def _reconcile(self, shard: Shard) -> Shard:
        """Return the shard with its job, if one was created."""
        batch = self._find_created(shard)
        if batch is None:
            return self._change(shard, state=ShardState.UPLOADED)
        return self._note(shard, batch)

    def _find_created(self, shard: Shard) -> RemoteBatch | None:
        for seconds in (0.0, *_SETTLE_SECONDS):
            time.sleep(seconds)
            batch = self._service.find(shard.file_id or "")
            if batch is not None:
                return batch
        return None

    def update(self) -> None:
        """Ask how far the jobs are."""
        for shard in self._ledger.read_shards():
            if shard.state == ShardState.SUBMITTED:
                self._note(shard, self._service.read(shard.batch_id or ""))

    def _note(self, shard: Shard, batch: RemoteBatch) -> Shard:
        return self._change(
            shard,
            state=ShardState.ENDED if batch.has_ended else ShardState.SUBMITTED,
            batch_id=batch.id,
            status=batch.status,
            n_completed=batch.n_completed,
            n_failed=batch.n_failed,
            output_file_id=batch.output_file_id,
            error_file_id=batch.error_file_id,
            expires_at=batch.expires_at,
            error=batch.error,
        )

    def _end_unsent(self, shard: Shard) -> None:
        self._ledger.collect(replace(shard, status="cancelled"), ())
        self._ledger.update_shard(shard.number, status="cancelled")

    def _change(self, shard: Shard, **values: Any) -> Shard:
        self._ledger.update_shard(shard.number, **values)
        return replace(shard, **values)

    def collect(self, shard: Shard) -> None:
        """Download what came of a shard whose job has ended."""
        files = (("output", shard.output_file_id), ("error", shard.error_file_id))
        for kind, file_id in files:
            path = result_path(self._folder, shard.number, kind)
            if file_id is not None and not path.is_file():
                self._service.download(file_id, path)
        self._ledger.collect(shard, read_answers(self._folder, shard.number))

    def clean(self) -> int:
        """Delete the files of all shards at the service, and return their number."""
        n_deleted = 0
        for shard in self._ledger.read_shards():
            files = (shard.file_id, shard.output_file_id, shard.error_file_id)
            for file_id in filter(None, files if not shard.is_clean else ()):
                self._service.delete(file_id)
                n_deleted += 1
            self._ledger.update_shard(shard.number, is_clean=True)
        return n_deleted

    def cancel(self) -> None:
        """Cancel what runs, and end what was not sent."""
        self.update()
        for shard in self._ledger.read_shards():
            if shard.state == ShardState.SUBMITTED:
                batch_id = shard.batch_id or ""
                self._note(shard, self._service.cancel(batch_id))
            elif shard.state == ShardState.SUBMITTING:
                batch = self._find_created(shard)
                if batch is None:
                    self._end_unsent(shard)
                else:
                    self._note(shard, self._service.cancel(batch.id))
            elif shard.state not in {ShardState.ENDED, ShardState.COLLECTED}:
                self._end_unsent(shard)


def read_answers(folder: Path, number: int) -> Iterator[LineAnswer]:
    """Read what came of a shard's lines, from the files that there are.

    Args:
        folder: Of the job.
        number: Of the shard.
    """
    for kind in ("error", "output"):
        path = result_path(folder, number, kind)
        if not path.is_file():
            continue
        with path.open("rb") as file:
            for line in file:
                answer = decode_line(line)
                if answer is not None:
                    yield _check_answer(answer)


def _check_answer(answer: LineAnswer) -> LineAnswer:
    if not answer.is_answer:
        return answer
    try:
        decode_reply(answer.body, {})
    except ServiceError as error:
        return LineAnswer(
            custom_id=answer.custom_id,
            request_id=answer.request_id,
            error_code=error.code or type(error).__name__,
            error_message=error.message,
        )
    return answer
