"""Requests and tokens per minute, spread evenly, and how many requests are under way."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from qwen_vl.errors import ConfigurationError

DEFAULT_WARM_UP = 30.0
DEFAULT_CONCURRENCY = 64
# Of a minute's requests or tokens, what may go at once: the service limits each second too.
_BURST_SECONDS = 0.1
_SECONDS_PER_MINUTE = 60.0
_COOL_DOWN_FACTOR = 0.7
_MIN_COOL_DOWN, _MAX_COOL_DOWN = 1.0, 60.0
# Answers in a row without a 429 after which one more request may be under way.
_ANSWERS_TO_RISE = 20


class Ramp:
    """How much a rate has brought since its beginning, while it warms up and after.

    Args:
        per_minute: The full rate.
        warm_up: Seconds in which it rises evenly.

    Example:
        >>> ramp = Ramp(60, warm_up=10)
        >>> ramp.find_amount(10), ramp.find_amount(11), ramp.find_age(6)
        (5.0, 6.0, 11.0)
    """

    def __init__(self, per_minute: float, warm_up: float) -> None:
        self.rate = per_minute / _SECONDS_PER_MINUTE
        self._warm_up = warm_up

    def find_amount(self, age: float) -> float:
        """Return what it has brought after some seconds."""
        if age < self._warm_up:
            return self.rate * age * age / (2 * self._warm_up)
        return self.rate * (age - self._warm_up / 2)

    def find_age(self, amount: float) -> float:
        """Return the seconds after which it has brought an amount."""
        if amount < self.rate * self._warm_up / 2:
            return math.sqrt(2 * self._warm_up * max(amount, 0.0) / self.rate)
        return amount / self.rate + self._warm_up / 2


class _Bucket:
    """Fills evenly, and is drawn from before a request."""

    def __init__(self, per_minute: float, warm_up: float) -> None:
        self._ramp = Ramp(per_minute, warm_up)
        self._level = 0.0
        self._age = 0.0

    def fill(self, seconds: float) -> None:
        """Add what some seconds bring: less while it warms up."""
        # The integral of a rate that rises evenly, until the end of the warm-up.
        before, after = self._age, self._age + seconds
        self._age = after
        gained = self._ramp.find_amount(after) - self._ramp.find_amount(before)
        self._level = min(self._level + gained, max(1.0, self._ramp.rate * _BURST_SECONDS))

    def find_wait(self, amount: float) -> float:
        """Return the seconds until an amount may be drawn; the level may fall below 0 by it."""
        # A single request that is larger than the bucket empties it, and the next one waits.
        missing = min(amount, 1.0) - self._level
        if missing <= 0:
            return 0.0
        return self._ramp.find_age(self._ramp.find_amount(self._age) + missing) - self._age

    def draw(self, amount: float) -> None:
        """Take an amount, or give some back if it is negative."""
        self._level -= amount


def check_limits(warm_up: float, **limits: float | None) -> None:
    """Check the limits of a budget.

    Args:
        warm_up: Seconds until the full rate is reached.
        **limits: Limits by their names; `None` for none.

    Raises:
        ConfigurationError: A limit is not above 0.
    """
    for name, limit in limits.items():
        if limit is not None and not limit > 0:
            raise ConfigurationError(f"{name} is {limit}; it must be above 0.")
    if warm_up < 0:
        raise ConfigurationError(f"warm_up is {warm_up}; it must be 0 or more.")


class Concurrency:
    """How many requests are under way: fewer after a 429, and more again later.

    Args:
        maximum: Of requests under way.
    """

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self.n_running = 0
        self._allowed = float(maximum)
        self._n_good = 0
        self._freed = asyncio.Condition()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait until one more request may be under way, and hold its place."""
        async with self._freed:
            await self._freed.wait_for(lambda: self.n_running < int(self._allowed))
            self.n_running += 1
        try:
            yield
        finally:
            async with self._freed:
                self.n_running -= 1
                self._freed.notify_all()

    def rise(self) -> None:
        """Count an answer that was no 429."""
        self._n_good += 1
        if self._n_good >= _ANSWERS_TO_RISE and self._allowed < self.maximum:
            self._n_good = 0
            self._allowed += 1

    def shrink(self) -> None:
        """Allow fewer requests after a 429."""
        self._allowed = max(1.0, self._allowed * _COOL_DOWN_FACTOR)
        self._n_good = 0


def bound_cool_down(seconds: float | None) -> float:
    """Return how long requests wait after a 429.

    Args:
        seconds: As the service asks for; a second if `None`.
    """
    return min(max(seconds or _MIN_COOL_DOWN, 0.0), _MAX_COOL_DOWN)


class Budget:
    """Limits of one account and model, which all requests of a job share.

    Requests are spread evenly: the service limits each second, and how fast the rate grows, beside
    each minute (Rate-limit page, 2026-10). Input tokens are taken before a request, output tokens
    after its answer. After a 429 all wait, and fewer requests are under way.

    Args:
        rpm: Requests per minute; no limit if `None`.
        tpm: Tokens per minute, input and output; no limit if `None`.
        warm_up: Seconds until the full rate is reached.
        max_concurrency: Maximum number of requests under way.

    Raises:
        ConfigurationError: A limit is not above 0.

    Example:
        >>> budget = Budget(rpm=6_000, tpm=5_000_000)
        >>> budget.max_concurrency
        64
    """

    def __init__(
        self,
        *,
        rpm: float | None = None,
        tpm: float | None = None,
        warm_up: float = DEFAULT_WARM_UP,
        max_concurrency: int = DEFAULT_CONCURRENCY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_limits(warm_up, rpm=rpm, tpm=tpm, max_concurrency=max_concurrency)
        self.max_concurrency = max_concurrency
        self._concurrency = Concurrency(max_concurrency)
        self._requests = _Bucket(rpm, warm_up) if rpm else None
        self._tokens = _Bucket(tpm, warm_up) if tpm else None
        self._clock = clock
        self._filled: float | None = None
        self._cool_until = 0.0
        self._taking = asyncio.Lock()

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[None]:
        """Wait until a request may be sent, and hold its place until it is answered.

        Args:
            tokens: Input tokens of the request.
        """
        # The rate first: who waits for it must not take the place of one that could be sent.
        await self._take(tokens)
        async with self._concurrency.place():
            yield

    def correct(self, taken: int, used: int | None) -> None:
        """Correct the tokens of a request, once they are known.

        Args:
            taken: Input tokens that were taken for it.
            used: Input and output tokens, as billed; `None` where the service does not say.
        """
        if self._tokens is not None and used is not None:
            self._tokens.draw(used - taken)
        self._concurrency.rise()

    def cool_down(self, seconds: float | None = None) -> None:
        """Have all requests wait after a 429, and fewer of them be under way.

        Args:
            seconds: As the service asks for; a second if `None`.
        """
        self._cool_until = max(self._cool_until, self._clock() + bound_cool_down(seconds))
        self._concurrency.shrink()

    async def _take(self, tokens: int) -> None:
        # One after the other, in the order in which they came.
        async with self._taking:
            while (wait := self._find_wait(tokens)) > 0:  # noqa: ASYNC110 - time fills it.
                await asyncio.sleep(wait)
            if self._requests is not None:
                self._requests.draw(1)
            if self._tokens is not None:
                self._tokens.draw(tokens)

    def _find_wait(self, tokens: int) -> float:
        now = self._clock()
        passed = 0.0 if self._filled is None else now - self._filled
        self._filled = now
        waits = [self._cool_until - now]
        for bucket, amount in ((self._requests, 1.0), (self._tokens, float(tokens))):
            if bucket is not None:
                bucket.fill(passed)
                waits.append(bucket.find_wait(amount))
        return max(waits)
