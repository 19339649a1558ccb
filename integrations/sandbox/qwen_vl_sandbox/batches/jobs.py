"""Batch jobs: their objects, and where they are kept.

Objects are those of the Batch-File page (2026).
"""

import asyncio
import contextlib
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qwen_vl_sandbox.batches.faults import NO_BATCH_FAULT, BatchFault

DEFAULT_SECONDS = 0.2
FINAL = frozenset({"completed", "failed", "expired", "cancelled"})
STATUSES = FINAL | {"validating", "in_progress", "finalizing", "cancelling"}
_STAMPS = (
    *("in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at"),
    *("expired_at", "cancelling_at", "cancelled_at"),
)


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """What became of a batch job.

    Args:
        id: Its id.
        input_file_id: The file of its requests.
        status: As its object says.
        n_lines: Lines of the file.
        n_executed: Lines that were run, failed ones among them.

    Example:
        >>> BatchRecord("batch_1", "file-batch-1", "completed", 3, 3).n_executed
        3
    """

    id: str
    input_file_id: str
    status: str
    n_lines: int
    n_executed: int


@dataclass(slots=True, kw_only=True)
class Job:
    """A batch job, as it is at the moment."""

    account: str
    input_file_id: str
    endpoint: str
    completion_window: str
    window_seconds: int
    metadata: Mapping[str, Any] | None
    created_at: int
    seconds: float
    fault: BatchFault = NO_BATCH_FAULT
    id: str = field(default_factory=lambda: f"batch_{uuid.uuid4()}")
    status: str = "validating"
    stamps: dict[str, int] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    output_file_id: str | None = None
    error_file_id: str | None = None
    n_lines: int = 0
    n_executed: int = 0
    n_completed: int = 0
    n_failed: int = 0
    is_dropped: bool = False
    loop: asyncio.AbstractEventLoop | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ends_early(self) -> bool:
        """Whether it was canceled, or is forgotten."""
        return self.is_dropped or self.status == "cancelling"

    def enter(self, status: str) -> None:
        """Go over to a status, and note when."""
        self.status = status
        self.stamps[f"{status}_at"] = int(time.time())

    def fail(self, errors: list[dict[str, Any]]) -> None:
        """Fail as a whole."""
        self.errors = errors
        self.enter("failed")

    async def wait(self, seconds: float | None) -> None:
        """Wait, until the job ends early at the longest; `None` is forever."""
        if not self.ends_early:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.woken.wait(), seconds)

    def wake(self) -> None:
        """End the waiting; safe from any thread."""
        if self.loop is not None:
            # The sandbox may have been stopped.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.woken.set)

    def to_json(self) -> dict[str, Any]:
        """Return the batch object."""
        is_counted = self.status in FINAL or not self.fault.counters_stand_still
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "input_file_id": self.input_file_id,
            "completion_window": self.completion_window,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created_at,
            **{name: self.stamps.get(name) for name in _STAMPS},
            "request_counts": {
                "total": self.n_lines if "in_progress_at" in self.stamps else 0,
                "completed": self.n_completed if is_counted else 0,
                "failed": self.n_failed if is_counted else 0,
            },
            "metadata": self.metadata,
        }

    def to_record(self) -> BatchRecord:
        """Return what became of it."""
        return BatchRecord(self.id, self.input_file_id, self.status, self.n_lines, self.n_executed)


class JobStore:
    """The jobs of one sandbox.

    Args:
        seconds: How long a job takes.
        clock: Gives the time, in seconds since 1970.
    """

    def __init__(
        self, seconds: float = DEFAULT_SECONDS, clock: Callable[[], float] = time.time
    ) -> None:
        self.seconds = seconds
        self.clock = clock
        self._jobs: dict[str, Job] = {}
        self._faults: deque[BatchFault] = deque()

    @property
    def jobs(self) -> list[Job]:
        """All jobs, the oldest first."""
        return list(self._jobs.values())

    def plan(self, fault: BatchFault) -> None:
        """Let the next jobs go wrong."""
        self._faults.extend([fault] * fault.times)

    def next_fault(self) -> BatchFault:
        """The fault that applies to this job."""
        return self._faults.popleft() if self._faults else NO_BATCH_FAULT

    def add(self, job: Job) -> None:
        """Add a job."""
        self._jobs[job.id] = job

    def find(self, job_id: str, account: str) -> Job | None:
        """Look a job up; `None` if the account does not have it."""
        found = self._jobs.get(job_id)
        return found if found is not None and found.account == account else None

    def clear(self) -> None:
        """Forget all jobs and faults; what is under way ends."""
        for job in self.jobs:
            job.is_dropped = True
            job.wake()
        self._jobs.clear()
        self._faults.clear()
