"""One budget for many processes: a schedule that leases times to send, and who keeps to them."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from qwen_vl.bulk.budget import (
    DEFAULT_CONCURRENCY,
    DEFAULT_WARM_UP,
    Concurrency,
    Ramp,
    bound_cool_down,
    check_limits,
)

LEASE_SECONDS = 0.5
# A request whose time has passed by so much, while its process was busy, asks for another: many
# of them would otherwise be sent at once.
_MAX_LATE_SECONDS = 0.1
# Before the last request of a lease, so that the next lease is there in time.
_AHEAD_SECONDS = 0.05
# The first requests of a process are sent late: they import, connect and start threads. The others
# wait for the first one, for so long at most, and are leased in small numbers that double: they
# would otherwise be late together, and too many at once.
_FIRST_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    """Times to send requests at.

    Args:
        n_requests: How many of those that were asked for.
        delay: Seconds until the first.
        span: Seconds over which they are spread evenly.
    """

    n_requests: int
    delay: float
    span: float


LeaseCall: TypeAlias = Callable[[Sequence[int], int], Awaitable[Lease]]
"""Asks for a lease: the tokens of each request, and tokens to correct those of earlier ones by."""


class RateSchedule:
    """Leases requests and tokens, one after the other: never more in total than the limits.

    What is leased and not used is lost.

    Args:
        rpm: Requests per minute; no limit if `None`.
        tpm: Tokens per minute, input and output; no limit if `None`.
        warm_up: Seconds until the full rate is reached.

    Raises:
        ConfigurationError: A limit is not above 0.

    Example:
        >>> schedule = RateSchedule(rpm=6_000, warm_up=0, clock=lambda: 0.0)
        >>> schedule.lease([500] * 10)
        Lease(n_requests=10, delay=0.0, span=0.1)
        >>> schedule.lease([500] * 10)
        Lease(n_requests=10, delay=0.1, span=0.1)
    """

    def __init__(
        self,
        *,
        rpm: float | None = None,
        tpm: float | None = None,
        warm_up: float = DEFAULT_WARM_UP,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_limits(warm_up, rpm=rpm, tpm=tpm)
        self._requests = _Line(rpm, warm_up) if rpm else None
        self._tokens = _Line(tpm, warm_up) if tpm else None
        self._clock = clock
        self._begun: float | None = None
        self._paused_until = 0.0

    def lease(self, tokens: Sequence[int], corrections: int = 0) -> Lease:
        """Lease the next free times.

        Args:
            tokens: Input tokens of each request that waits; at least one is granted.
            corrections: Tokens that earlier requests have used beyond those leased for them;
                negative for fewer.
        """
        now = self._find_age()
        lines = [line for line in (self._requests, self._tokens) if line is not None]
        if self._tokens is not None:
            self._tokens.correct(now, corrections)
        begin = max(now, self._paused_until, *(line.find_free(now) for line in lines))
        count = len(tokens)
        if self._requests is not None:
            count = min(count, self._requests.count_all(begin, [1] * count))
        if self._tokens is not None:
            count = min(count, self._tokens.count_all(begin, tokens[:count]))
        ends = [begin]
        if self._requests is not None:
            ends.append(self._requests.take(begin, count))
        if self._tokens is not None:
            ends.append(self._tokens.take(begin, sum(tokens[:count])))
        return Lease(count, begin - now, max(ends) - begin)

    def pause(self, seconds: float) -> None:
        """Lease nothing for some seconds, after a 429.

        Args:
            seconds: From now on.
        """
        self._paused_until = max(self._paused_until, self._find_age() + seconds)

    def _find_age(self) -> float:
        now = self._clock()
        if self._begun is None:
            self._begun = now
        return now - self._begun


class _Line:
    """What a rate brings, given away from its beginning on."""

    def __init__(self, per_minute: float, warm_up: float) -> None:
        self._ramp = Ramp(per_minute, warm_up)
        self._given = 0.0

    def find_free(self, now: float) -> float:
        """Return the age from which on nothing is given away."""
        return max(now, self._ramp.find_age(self._given))

    def correct(self, now: float, amount: float) -> None:
        """Count an amount as given away."""
        # What nobody asked for is not saved up.
        self._given = max(self._given, self._ramp.find_amount(now)) + amount

    def count_all(self, begin: float, amounts: Sequence[float]) -> int:
        """Return how many amounts fit into a lease, at least one."""
        brought = self._ramp.find_amount(begin + LEASE_SECONDS) - self._ramp.find_amount(begin)
        total = 0.0
        for count, amount in enumerate(amounts):
            total += amount
            if total > brought:
                return max(count, 1)
        return len(amounts)

    def take(self, begin: float, amount: float) -> float:
        """Take an amount, and return the age at which all of it has been brought."""
        self._given = self._ramp.find_amount(begin) + amount
        return self._ramp.find_age(self._given)


class LeasedBudget:
    """Sends requests at the times that a schedule elsewhere leases; a `RateBudget`.

    Args:
        lease: Asks for times.
        pause: Has nothing leased for some seconds, to anybody.
        max_concurrency: Maximum number of requests under way in this process.
    """

    def __init__(
        self,
        lease: LeaseCall,
        pause: Callable[[float], None],
        max_concurrency: int = DEFAULT_CONCURRENCY,
    ) -> None:
        self.max_concurrency = max_concurrency
        self._lease = lease
        self._pause = pause
        self._concurrency = Concurrency(max_concurrency)
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._corrections = 0
        self._leasing: asyncio.Task[None] | None = None
        self._first_sent = asyncio.Event()
        self._n_leased = 1

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[None]:
        """Wait until a request may be sent, and hold its place until it is answered.

        Args:
            tokens: Input tokens of the request.
        """
        # The place first: a leased time does not wait for it.
        async with self._concurrency.place():
            await self._take(tokens)
            try:
                yield
            finally:
                self._first_sent.set()

    def correct(self, taken: int, used: int | None) -> None:
        """Correct the tokens of a request with the next lease.

        Args:
            taken: Input tokens that were taken for it.
            used: Input and output tokens, as billed; `None` where the service does not say.
        """
        if used is not None:
            self._corrections += used - taken
        self._concurrency.rise()

    def cool_down(self, seconds: float | None = None) -> None:
        """Have the requests of all processes wait after a 429, and fewer of this be under way.

        Args:
            seconds: As the service asks for; a second if `None`.
        """
        self._pause(bound_cool_down(seconds))
        self._concurrency.shrink()

    async def _take(self, tokens: int) -> None:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((tokens, granted))
        self._begin_leasing()
        await granted

    def _begin_leasing(self) -> None:
        if self._leasing is None or self._leasing.done():
            self._leasing = asyncio.create_task(self._lease_all())

    async def _lease_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                corrections, self._corrections = self._corrections, 0
                wanted = [tokens for tokens, _ in islice(self._waiting, self._n_leased)]
                lease = await self._lease(wanted, corrections)
                begin = loop.time() + lease.delay
                for at in range(lease.n_requests):
                    when = begin + lease.span * at / lease.n_requests
                    loop.call_at(when, self._grant, self._waiting.popleft(), when)
                end = begin + lease.span - _AHEAD_SECONDS
                await asyncio.sleep(max(0.0, end - loop.time()))
                if self._n_leased == 1:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._first_sent.wait(), _FIRST_SECONDS)
                self._n_leased = min(2 * self._n_leased, self.max_concurrency)
        except Exception as error:  # noqa: BLE001 - those who wait raise it.
            for _, granted in self._waiting:
                if not granted.done():
                    granted.set_exception(error)
            self._waiting.clear()

    def _grant(self, waiting: tuple[int, "asyncio.Future[None]"], when: float) -> None:
        granted = waiting[1]
        if granted.done():
            # Its request was canceled: the time is lost.
            return
        if asyncio.get_running_loop().time() - when > _MAX_LATE_SECONDS:
            self._waiting.appendleft(waiting)
            self._begin_leasing()
            return
        granted.set_result(None)
