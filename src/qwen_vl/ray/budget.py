"""One budget for all workers of a cluster: an actor that leases times to send."""

import asyncio
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from qwen_vl.bulk.budget import DEFAULT_CONCURRENCY, DEFAULT_WARM_UP, check_limits
from qwen_vl.bulk.leases import Lease, LeasedBudget, RateSchedule
from qwen_vl.errors import extra_required

_NAMESPACE = "qwen-vl"
_MAX_LEASE_ATTEMPTS = 3
_MIN_WARM_UP = 5.0


class SharedBudget:
    """Limits of one account and model, which all workers share, on all nodes.

    An actor with the name of the budget leases half a second's requests and tokens at a time, one
    worker after the other: never more in total than the limits. What a lost worker did not use is
    lost too. After a 429 all workers wait. The actor ends with the program that made it;
    if it is lost, the workers make another.

    Args:
        rpm: Requests per minute; no limit if `None`.
        tpm: Tokens per minute, input and output; no limit if `None`.
        name: Programs on one cluster that use the same name share the budget of the first.
        warm_up: Seconds until the full rate is reached, 5 at least: requests of workers that have
            just begun are sent late, and would then be too many at once.
        max_concurrency: Maximum number of requests under way in each worker.

    Raises:
        ConfigurationError: A limit is not above 0.
        MissingExtraError: Ray is not installed.

    Example:
        >>> SharedBudget(rpm=0, tpm=5_000_000)
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: rpm is 0; it must be above 0.
    """

    def __init__(
        self,
        *,
        rpm: float | None = None,
        tpm: float | None = None,
        name: str = "default",
        warm_up: float = DEFAULT_WARM_UP,
        max_concurrency: int = DEFAULT_CONCURRENCY,
    ) -> None:
        check_limits(warm_up, rpm=rpm, tpm=tpm, max_concurrency=max_concurrency)
        self.name = name
        self.max_concurrency = max_concurrency
        self._limits = {"rpm": rpm, "tpm": tpm, "warm_up": max(warm_up, _MIN_WARM_UP)}
        # Made here, so that it lives as long as the program, and not as long as some worker.
        self._actor = self._find_actor()

    def open(self) -> LeasedBudget:
        """Return this worker's part of the budget."""
        return LeasedBudget(self._lease, self._pause, self.max_concurrency)

    async def _lease(self, tokens: Sequence[int], corrections: int) -> Lease:
        for attempt in range(_MAX_LEASE_ATTEMPTS):
            try:
                granted = self._actor.lease.remote(list(tokens), corrections)
                lease: Lease = await asyncio.wrap_future(granted.future())
            except _import_ray().exceptions.RayActorError:
                if attempt == _MAX_LEASE_ATTEMPTS - 1:
                    raise
                self._actor = await asyncio.to_thread(self._find_actor)
            else:
                return lease
        raise AssertionError  # pragma: no cover - the last attempt returns or raises.

    def _pause(self, seconds: float) -> None:
        self._actor.pause.remote(seconds)

    def _find_actor(self) -> Any:
        make: Any = _import_ray().remote(RateSchedule)
        options = make.options(
            name=f"budget/{self.name}", namespace=_NAMESPACE, get_if_exists=True, num_cpus=0
        )
        return options.remote(**self._limits)


def _import_ray() -> Any:
    with extra_required("SharedBudget", extra="ray"):
        return import_module("ray")
