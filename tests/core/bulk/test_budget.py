"""Requests and tokens a minute, on a clock that the test turns."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from qwen_vl.bulk import budget as module
from qwen_vl.bulk.budget import Budget
from qwen_vl.errors import ConfigurationError


class Clock:
    """Time that passes only where it is slept."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        # A real one is late by a little.
        self.now += seconds + 0.0004


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    # The module's own view of asyncio: nothing else sleeps by this clock.
    monkeypatch.setattr(module, "asyncio", _Asyncio(made))
    return made


class _Asyncio:
    Lock, Condition = asyncio.Lock, asyncio.Condition

    def __init__(self, clock: Clock) -> None:
        self.sleep = clock.sleep


async def send(budget: Budget, clock: Clock, count: int, tokens: int = 1) -> list[float]:
    """Send some requests, one after the other, and return when each was sent."""
    begun, times = clock.now, []
    for _ in range(count):
        async with budget.slot(tokens):
            times.append(clock.now - begun)
        budget.correct(tokens, tokens)
    return times


async def test_requests_are_spread_evenly(clock: Clock) -> None:
    budget = Budget(rpm=6_000, warm_up=0, clock=clock)

    times = await send(budget, clock, 1_000)

    assert times[-1] == pytest.approx(10, rel=0.02)
    # No second has more than its part of a minute, and a tenth of a second's burst.
    for start in range(9):
        assert sum(start <= time < start + 1 for time in times) <= 110


async def test_rate_grows_evenly_at_first(clock: Clock) -> None:
    budget = Budget(rpm=6_000, warm_up=30, clock=clock)

    times = await send(budget, clock, 3_000)

    # After t seconds of 30, 100 a second x t² / 60 have been sent.
    assert sum(time <= 10 for time in times) == pytest.approx(100 * 100 / 60, abs=12)
    assert sum(time <= 20 for time in times) == pytest.approx(100 * 400 / 60, abs=12)
    assert sum(time <= 30 for time in times) == pytest.approx(1_500, abs=15)
    assert times[-1] == pytest.approx(45, rel=0.02)


async def test_tokens_are_spread_too(clock: Clock) -> None:
    budget = Budget(rpm=6_000, tpm=60_000, warm_up=0, clock=clock)

    times = await send(budget, clock, 100, tokens=500)

    # 1,000 tokens a second are two requests.
    assert times[-1] == pytest.approx(50, rel=0.03)


async def test_tokens_of_answers_are_settled(clock: Clock) -> None:
    budget = Budget(tpm=60_000, warm_up=0, clock=clock)
    begun = clock.now

    for _ in range(20):
        async with budget.slot(500):
            pass
        budget.correct(500, 1_000)

    assert clock.now - begun == pytest.approx(19, rel=0.05)


async def test_unknown_usage_leaves_what_was_taken(clock: Clock) -> None:
    budget = Budget(tpm=60_000, warm_up=0, clock=clock)
    begun = clock.now

    for _ in range(20):
        async with budget.slot(500):
            pass
        budget.correct(500, None)

    assert clock.now - begun == pytest.approx(9.5, rel=0.1)


async def test_no_limit_waits_for_nothing(clock: Clock) -> None:
    assert (await send(Budget(clock=clock), clock, 1_000, tokens=10**6))[-1] == 0


async def test_all_wait_after_a_429(clock: Clock) -> None:
    budget = Budget(clock=clock)
    budget.cool_down(7)

    assert (await send(budget, clock, 1))[0] == pytest.approx(7, abs=0.01)
    # However long the service says, a minute is enough.
    budget.cool_down(3_600)
    assert (await send(budget, clock, 1))[0] == pytest.approx(60, abs=0.01)
    budget.cool_down()
    assert (await send(budget, clock, 1))[0] == pytest.approx(1, abs=0.01)


async def test_fewer_are_under_way_after_a_429_and_more_later(clock: Clock) -> None:
    budget = Budget(max_concurrency=10, clock=clock)

    async def count() -> int:
        """Return how many may be under way at the same time."""
        release = asyncio.Event()
        n_running = 0

        async def hold() -> None:
            nonlocal n_running
            async with budget.slot(1):
                n_running += 1
                await release.wait()

        tasks = [asyncio.ensure_future(hold()) for _ in range(12)]
        for _ in range(50):
            await asyncio.sleep(0)
        found = n_running
        release.set()
        await asyncio.gather(*tasks)
        return found

    assert await count() == 10
    budget.cool_down(0.1)
    assert await count() == 7
    budget.cool_down(0.1)
    assert await count() == 4
    for _ in range(40):
        budget.correct(1, 1)
    assert await count() == 6
    for _ in range(20):
        budget.cool_down(0.1)
    assert await count() == 1


@pytest.mark.parametrize(
    "limits",
    [{"rpm": 0}, {"rpm": -1}, {"tpm": 0}, {"max_concurrency": 0}, {"warm_up": -1}],
)
def test_wrong_limits_raise(limits: dict[str, Any]) -> None:
    make: Callable[..., Budget] = Budget
    with pytest.raises(ConfigurationError, match=next(iter(limits))):
        make(**limits)
