"""What bounds a call: how long it may take, and how many bytes its answer may have.

A timeout bounds one step on the network; a server that sends a byte now and then never meets it. A
deadline bounds the whole call, with its retries and the reading of its answer.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from qwen_vl.connection import Timeout

_T = TypeVar("_T")


class DeadlineError(Exception):
    """The deadline of a call has passed.

    Args:
        seconds: How long the call could take.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class ResponseTooLongError(Exception):
    """An answer has more bytes than allowed.

    Args:
        max_bytes: Maximum number of decoded bytes.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self.max_bytes = max_bytes


class BrokenAnswerError(Exception):
    """The connection was cut after an answer had begun."""


class ByteLimit:
    """Counts the decoded bytes of an answer.

    Args:
        max_bytes: The maximum.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._n_bytes = 0

    def add(self, chunk: bytes) -> bytes:
        """Count some bytes and return them.

        Raises:
            ResponseTooLongError: There are more than allowed.
        """
        self._n_bytes += len(chunk)
        if self._n_bytes > self._max_bytes:
            raise ResponseTooLongError(self._max_bytes)
        return chunk


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment at which a call must have ended.

    Args:
        seconds: How long the call may take.
        at: That moment, on the clock of `time.monotonic`.
    """

    seconds: float
    at: float

    @classmethod
    def start(cls, seconds: float | None) -> "Deadline | None":
        """Return the deadline of a call that begins now, or `None` where there is none.

        Args:
            seconds: How long the call may take.
        """
        return None if seconds is None else cls(seconds, time.monotonic() + seconds)

    def shorten(self, timeout: Timeout | None) -> Timeout:
        """Return timeouts that end no later than this.

        Args:
            timeout: Of one attempt; `None` for none.

        Raises:
            DeadlineError: The deadline has passed.
        """
        left = self.remaining()
        connect, read, write, pool = (
            left if seconds is None else min(seconds, left) for seconds in timeout or [None] * 4
        )
        return connect, read, write, pool

    def remaining(self) -> float:
        """Return the seconds that are left.

        Raises:
            DeadlineError: There are none.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise DeadlineError(self.seconds)
        return left


_running = threading.local()


@contextmanager
def bounded(deadline: Deadline | None) -> Iterator[None]:
    """Bound each network operation of this thread within the block.

    Args:
        deadline: When the call must have ended; `None` changes nothing.

    Raises:
        DeadlineError: It has passed.
    """
    if deadline is None:
        yield
        return
    deadline.remaining()
    _running.deadline = deadline
    try:
        yield
    except Exception as error:
        # Whatever timed out: it was the deadline that ended the call.
        if passed():
            raise DeadlineError(deadline.seconds) from error
        raise
    finally:
        _running.deadline = None


async def abounded(deadline: Deadline | None, step: Callable[[], Awaitable[_T]]) -> _T:
    """Await one step of a call, and cancel it when the deadline passes.

    Args:
        deadline: When the call must have ended; `None` changes nothing.
        step: Begins the step.

    Raises:
        DeadlineError: It has passed.
    """
    if deadline is None:
        return await step()
    limit = asyncio.timeout(deadline.remaining())
    try:
        async with limit:
            return await step()
    except TimeoutError as error:
        if limit.expired():
            raise DeadlineError(deadline.seconds) from error
        raise


def shorten(timeout: float | None) -> float | None:
    """Return the timeout of one network operation of this thread.

    Args:
        timeout: In seconds, as the request has it.

    Raises:
        DeadlineError: The deadline of the call that this thread makes has passed.
    """
    deadline: Deadline | None = getattr(_running, "deadline", None)
    if deadline is None:
        return timeout
    left = deadline.remaining()
    return left if timeout is None else min(timeout, left)


def passed() -> DeadlineError | None:
    """Return an error if the deadline of the call that this thread makes has passed.

    For an operation that timed out, this shows whether the deadline or its own timeout was reached.
    """
    deadline: Deadline | None = getattr(_running, "deadline", None)
    if deadline is None or deadline.at > time.monotonic():
        return None
    return DeadlineError(deadline.seconds)
