"""The endpoints of batch jobs (Batch-File page, 2026; OpenAPI of /batches, 2026)."""

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from qwen_vl_sandbox.batches.jobs import FINAL, STATUSES, Job
from qwen_vl_sandbox.batches.worker import BatchWorker
from qwen_vl_sandbox.errors.api_error import ApiError, reject
from qwen_vl_sandbox.errors.hosted import OPENAI
from qwen_vl_sandbox.http.managing import cut_page, manage, read_limit
from qwen_vl_sandbox.http.requests import parsed, read_body
from qwen_vl_sandbox.http.responses import error_answer
from qwen_vl_sandbox.reading.validation import Fields
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.specs.batches import (
    CHAT_URL,
    EMBEDDING_URL,
    MAX_PARALLEL_JOBS,
    MAX_TEST_JOBS,
    TEST_URL,
)

_FIELDS = frozenset({"input_file_id", "endpoint", "completion_window", "metadata"})
_HOURS = {"h": 1, "d": 24}
_MIN_HOURS, _MAX_HOURS = 24, 336
_MAX_NAME, _MAX_DESCRIPTION = 100, 200
_MAX_PAGE, _PAGE = 100, 20
_MAX_FILES = 20
# unsure: of which time zone the times of a search are.
_BEIJING = timezone(timedelta(hours=8))


class BatchEndpoints:
    """Runs batch jobs for one ledger."""

    def __init__(self, recorder: Recorder) -> None:
        self._ledger = recorder
        self._store = recorder.batch_jobs
        self._worker = BatchWorker(recorder)

    async def create(self, request: Request) -> Response:
        """Create a job."""
        try:
            raw = await read_body(request)
        except ApiError as error:
            return error_answer(error, str(uuid.uuid4()), OPENAI)
        body = parsed(raw)

        async def work(account: str) -> Any:
            if not isinstance(body, dict):
                reject("The request body must be a JSON object.")
            job = self._make_job(body, account)
            file = self._ledger.batch_files.find(job.input_file_id, account)
            if file is None or file.kind != "batch":
                message = f"No such File object: {job.input_file_id}"
                reject(message, status=404, code="not_found")
            self._store.add(job)
            self._worker.start(job, file, request.headers.get("authorization", ""))
            return job.to_json()

        unknown = tuple(_find_unknown(body))
        return await manage(
            self._ledger,
            request,
            "batches",
            work,
            call="batch_create",
            raw=raw,
            unknown_fields=unknown,
        )

    async def retrieve(self, request: Request) -> Response:
        """Return the object of a job."""

        async def work(account: str) -> Any:
            return self._find(request, account).to_json()

        return await manage(self._ledger, request, "batch", work, call="batch_retrieve")

    async def cancel(self, request: Request) -> Response:
        """Cancel a job."""

        async def work(account: str) -> Any:
            job = self._find(request, account)
            if job.status in FINAL:
                # unsure: what is answered then.
                reject(f"Cannot cancel a batch with status '{job.status}'.")
            if job.status != "cancelling":
                job.enter("cancelling")
                job.wake()
            return job.to_json()

        return await manage(self._ledger, request, "batch_cancel", work, call="batch_cancel")

    async def list(self, request: Request) -> Response:
        """List the jobs of an account, the newest first."""

        async def work(account: str) -> Any:
            query = request.query_params
            limit = read_limit(request, _MAX_PAGE, _PAGE)
            jobs = [job for job in reversed(self._store.jobs) if job.account == account]
            found = [job for job in jobs if _is_wanted(job, query)]
            page, has_more = cut_page(found, query.get("after"), limit)
            return {
                "object": "list",
                "data": [job.to_json() for job in page],
                "first_id": page[0].id if page else None,
                "last_id": page[-1].id if page else None,
                "has_more": has_more,
            }

        return await manage(self._ledger, request, "batch_list", work, call="batch_list")

    def _find(self, request: Request, account: str) -> Job:
        job_id = str(request.path_params["id"])
        found = self._store.find(job_id, account)
        # unsure: the wording; no page prints it.
        return found or reject(f"No such Batch object: {job_id}", status=404, code="not_found")

    def _make_job(self, body: dict[str, Any], account: str) -> Job:
        fields = Fields(body)
        file_id = fields.string("input_file_id")
        if not file_id:
            reject("input_file_id is required.")
        if file_id.startswith(("http:", "https:", "oss:")):
            reject("The sandbox takes files that were uploaded to it, and none of OSS.")
        endpoint = fields.string("endpoint")
        if endpoint == EMBEDDING_URL:
            reject("The sandbox has no batch jobs of text embeddings.")
        if endpoint not in {CHAT_URL, TEST_URL}:
            reject(f"endpoint must be one of {CHAT_URL}, {EMBEDDING_URL}, {TEST_URL}.")
        window = fields.string("completion_window") or ""
        seconds = _read_window(window)
        metadata = body.get("metadata")
        _check_metadata(metadata)
        self._check_parallel(endpoint, account)
        fault = self._store.next_fault()
        return Job(
            account=account,
            input_file_id=file_id,
            endpoint=endpoint,
            completion_window=window,
            window_seconds=seconds,
            metadata=metadata,
            created_at=int(self._store.clock()),
            seconds=self._store.seconds if fault.seconds is None else fault.seconds,
            fault=fault,
        )

    def _check_parallel(self, endpoint: str, account: str) -> None:
        running = [
            job for job in self._store.jobs if job.account == account and job.status not in FINAL
        ]
        n_tests = sum(job.endpoint == TEST_URL for job in running)
        # unsure: whether the call is refused, or the job waits.
        if len(running) >= MAX_PARALLEL_JOBS or (endpoint == TEST_URL and n_tests >= MAX_TEST_JOBS):
            reject("There are too many batch jobs at once.", status=429, code="limit_requests")


def _find_unknown(body: Any) -> Iterator[str]:
    if not isinstance(body, dict):
        return
    yield from (name for name in body if name not in _FIELDS)


def _read_window(window: str) -> int:
    match = re.fullmatch(r"(\d{1,4})([hd])", window, re.ASCII)
    hours = int(match[1]) * _HOURS[match[2]] if match else 0
    if not _MIN_HOURS <= hours <= _MAX_HOURS:
        reject("completion_window must be 24h to 336h: an integer, and h or d.")
    return hours * 3_600


def _check_metadata(metadata: Any) -> None:
    if metadata is None:
        return
    if not isinstance(metadata, dict):
        reject("metadata must be an object.")
    fields = Fields(metadata, "metadata")
    for name, most in (("ds_name", _MAX_NAME), ("ds_description", _MAX_DESCRIPTION)):
        value = fields.string(name)
        if value is not None and len(value) > most:
            reject(f"metadata.{name} must have at most {most} characters.")
    callback = fields.string("ds_batch_finish_callback")
    if callback is not None:
        url = urlsplit(callback)
        if url.scheme != "https" or not url.hostname:
            reject("metadata.ds_batch_finish_callback must be an https URL.")


def _is_wanted(job: Job, query: Mapping[str, str]) -> bool:
    name = str((job.metadata or {}).get("ds_name", ""))
    if query.get("ds_name", "") not in name:
        return False
    files = _split(query, "input_file_ids")
    if len(files) > _MAX_FILES:
        reject(f"input_file_ids must have at most {_MAX_FILES} ids.")
    if files and job.input_file_id not in files:
        return False
    statuses = _split(query, "status")
    if unknown := set(statuses) - STATUSES:
        reject(f"status: {min(unknown)} is not one of {', '.join(sorted(STATUSES))}.")
    if statuses and job.status not in statuses:
        return False
    after, before = _read_time(query, "create_after"), _read_time(query, "create_before")
    is_later = after is None or job.created_at >= after
    return is_later and (before is None or job.created_at <= before)


def _split(query: Mapping[str, str], name: str) -> list[str]:
    return [value for value in query.get(name, "").split(",") if value]


def _read_time(query: Mapping[str, str], name: str) -> float | None:
    value = query.get(name)
    if value is None:
        return None
    is_time = re.fullmatch(r"\d{14}", value, re.ASCII)
    try:
        time = datetime.strptime(value if is_time else "", "%Y%m%d%H%M%S")  # noqa: DTZ007 - it names no zone.
    except ValueError:
        reject(f"{name} must be a time as yyyyMMddHHmmss.")
    return time.replace(tzinfo=_BEIJING).timestamp()
