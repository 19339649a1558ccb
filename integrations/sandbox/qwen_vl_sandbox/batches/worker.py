"""Runs batch jobs: checks the file, answers its lines, and writes the results."""

import asyncio
import time
import uuid
from typing import Any

import orjson

from qwen_vl_sandbox.batches.faults import BatchFault
from qwen_vl_sandbox.batches.files import BatchFile
from qwen_vl_sandbox.batches.jobs import Job
from qwen_vl_sandbox.batches.lines import Line, check_lines, read_lines
from qwen_vl_sandbox.batches.results import (
    ResultFile,
    answered_line,
    failed_line,
    make_test_body,
    to_batch_body,
    unfinished_line,
)
from qwen_vl_sandbox.errors.api_error import ApiError
from qwen_vl_sandbox.faults import RawAnswer
from qwen_vl_sandbox.protocols.answerer import Answerer
from qwen_vl_sandbox.protocols.openai import OpenAIProtocol
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.specs.batches import TEST_MODEL, TEST_URL

_SUCCESS = 200
# Of the time that a job takes: for its validation, and as much for its results.
_EDGE = 0.1


class BatchWorker:
    """Runs the jobs of one ledger, each in a task of the server's event loop."""

    def __init__(self, recorder: Recorder) -> None:
        self._ledger = recorder
        self._protocol = OpenAIProtocol(batch="file")
        # There is no context cache (Batch-File page, 2026).
        self._answerer = Answerer(recorder, self._protocol, caches=False)
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, job: Job, file: BatchFile, authorization: str) -> None:
        """Start a job."""
        job.loop = asyncio.get_running_loop()
        task = asyncio.create_task(self._run(job, file, {"authorization": authorization}))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Job, file: BatchFile, headers: dict[str, str]) -> None:
        try:
            await self._run_to_the_end(job, file, headers)
        except Exception as error:  # noqa: BLE001 - the job's object is the one place to say so.
            if not job.is_dropped:
                message = f"The sandbox itself has failed: {error!r}"
                job.fail([_blame("internal_error", message)])

    async def _run_to_the_end(self, job: Job, file: BatchFile, headers: dict[str, str]) -> None:
        job.n_lines, errors = await asyncio.to_thread(check_lines, file.path, job.endpoint)
        await job.wait(job.seconds * _EDGE)
        code = job.fault.validation_code
        if code is not None:
            errors = [_blame(code, "The input file is not valid.")]
        if job.ends_early:
            job.enter("cancelled")
            return
        if errors:
            job.fail(errors)
            return
        job.enter("in_progress")
        job.stamps["expires_at"] = job.created_at + job.window_seconds
        store = self._ledger.batch_files
        output, failures = ResultFile(store.new_path()), ResultFile(store.new_path())
        expired = await self._answer_lines(job, file, headers, output, failures)
        if not expired and not job.ends_early:
            job.enter("finalizing")
            await job.wait(job.seconds * _EDGE)
        if job.is_dropped:
            return
        await asyncio.to_thread(self._keep_results, job, output, failures)
        if job.status == "cancelling":
            job.enter("cancelled")
        else:
            job.enter("expired" if expired else "completed")

    async def _answer_lines(
        self,
        job: Job,
        file: BatchFile,
        headers: dict[str, str],
        output: ResultFile,
        failures: ResultFile,
    ) -> bool:
        """Answer the lines, and return whether the job expired meanwhile."""
        fault, begun = job.fault, time.monotonic()
        expired = False
        for index, line in enumerate(read_lines(file.path)):
            if index == fault.stops_after:
                await job.wait(None)
            # Others are answered meanwhile, and hear how far the job is.
            due = begun + job.seconds * (1 - 2 * _EDGE) * (index + 1) / job.n_lines
            if (early := due - time.monotonic()) > 0:
                await job.wait(early)
            else:
                await asyncio.sleep(0)
            if job.ends_early:
                break
            expired = expired or index == fault.expires_after
            if expired:
                if fault.lists_unfinished:
                    failures.add(unfinished_line(line.custom_id))
                continue
            is_prescribed = index < fault.failed_lines
            result = await self._answer(job, line, headers, fault if is_prescribed else None)
            job.n_executed += 1
            if result["response"]["status_code"] == _SUCCESS:
                job.n_completed += 1
                output.add(result)
            else:
                job.n_failed += 1
                (output if is_prescribed and fault.in_output else failures).add(result)
        return expired

    async def _answer(
        self, job: Job, line: Line, headers: dict[str, str], fault: BatchFault | None
    ) -> dict[str, Any]:
        request_id = str(uuid.uuid4())
        try:
            if fault is not None:
                raise fault.error()
            if job.endpoint == TEST_URL:
                body = make_test_body(request_id, int(time.time()), TEST_MODEL)
                return answered_line(line.custom_id, _SUCCESS, body, request_id)
            exchange, report = await self._answerer.receive(line.body, headers)
            scripted = self._ledger.next_answer()
            if isinstance(scripted, RawAnswer):
                body = orjson.loads(scripted.body)
                return answered_line(line.custom_id, scripted.status, body, request_id)
            reply = await self._answerer.reply(exchange, report, request_id, scripted)
            body = to_batch_body(orjson.loads(self._protocol.whole(reply)))
            return answered_line(line.custom_id, _SUCCESS, body, request_id)
        except ApiError as error:
            return failed_line(line.custom_id, error, request_id, job.fault.spelling)

    def _keep_results(self, job: Job, output: ResultFile, failures: ResultFile) -> None:
        store = self._ledger.batch_files
        for results in (output, failures):
            results.flush()
        # unsure: the names of the files.
        if output.count:
            name = f"{job.id}_output.jsonl"
            job.output_file_id = store.add(job.account, output.path, "batch_output", name).id
        if failures.count:
            name = f"{job.id}_error.jsonl"
            job.error_file_id = store.add(job.account, failures.path, "batch_error", name).id


def _blame(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "param": None, "line": None}
