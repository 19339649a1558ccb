"""Requests and tokens per minute, which the service also limits each second.

A limit holds for all requests of an account to a model, here: to the sandbox (Rate-limit page,
2026-11). unsure: whether a second is a window or, as here, a bucket that a second fills.
"""

import threading
import time
from collections.abc import Callable, Mapping

from qwen_vl_sandbox.errors.api_error import reject

_SECONDS_PER_MINUTE = 60.0
_RATE = "Requests rate limit exceeded, please try again later."
_TOKENS = "Allocated quota exceeded, please increase your quota limit."


class RateLimits:
    """Counts what passes.

    Args:
        rpm: Requests per minute; no limit if `None`.
        tpm: Tokens per minute, of requests and answers; no limit if `None`.
    """

    def __init__(
        self,
        rpm: float | None = None,
        tpm: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._requests = None if rpm is None else Bucket(rpm / _SECONDS_PER_MINUTE)
        self._tokens = None if tpm is None else Bucket(tpm / _SECONDS_PER_MINUTE)
        self._clock = clock
        self._counting = threading.Lock()

    def admit(self) -> None:
        """Let one request pass.

        Raises:
            ApiError: There were too many, or too many tokens.
        """
        with self._counting:
            now = self._clock()
            if self._tokens is not None and self._tokens.find_level(now) <= 0:
                reject(
                    _TOKENS,
                    status=429,
                    code="insufficient_quota",
                    native_code="Throttling.AllocationQuota",
                )
            if self._requests is None:
                return
            if self._requests.find_level(now) < 1:
                reject(_RATE, status=429, code="limit_requests", native_code="Throttling.RateQuota")
            self._requests.draw(1)

    def count(self, tokens: int) -> None:
        """Count the tokens of a request that has passed, and of its answer."""
        if self._tokens is not None:
            with self._counting:
                self._tokens.find_level(self._clock())
                self._tokens.draw(tokens)


class CallRates:
    """Limits of the calls that manage files and batch jobs, of all accounts together.

    Args:
        limits: Calls per some seconds, by the name of the call.
    """

    def __init__(
        self,
        limits: Mapping[str, tuple[int, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._buckets = {
            name: Bucket(calls / seconds, seconds) for name, (calls, seconds) in limits.items()
        }
        self._clock = clock
        self._counting = threading.Lock()

    def admit(self, name: str) -> None:
        """Let one call pass.

        Raises:
            ApiError: There were too many.
        """
        bucket = self._buckets.get(name)
        if bucket is None:
            return
        with self._counting:
            if bucket.find_level(self._clock()) < 1:
                reject(_RATE, status=429, code="limit_requests")
            bucket.draw(1)


class Bucket:
    """Holds what a second brings, and at least 1; or what some seconds bring."""

    def __init__(self, per_second: float, seconds: float = 1.0) -> None:
        self._per_second = per_second
        self._capacity = max(1.0, per_second * seconds)
        self._level = self._capacity
        self._filled: float | None = None

    def find_level(self, now: float) -> float:
        """Return what may be drawn by now."""
        passed = 0.0 if self._filled is None else now - self._filled
        self._filled = now
        self._level = min(self._capacity, self._level + passed * self._per_second)
        return self._level

    def draw(self, amount: float) -> None:
        """Take an amount; the level may fall below 0 by it."""
        self._level -= amount
