"""One budget for several processes, on a clock that passes only where it is waited for."""

import asyncio
import selectors
from bisect import bisect_left
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from qwen_vl.bulk.leases import Lease, LeasedBudget, RateSchedule
from qwen_vl.errors import ConfigurationError


class _Selector(selectors.SelectSelector):
    """Lets time pass instead of waiting."""

    now = 1_000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += max(timeout or 0.0, 0.0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        # Each look takes a moment, so that nothing is awaited for ever.
        self.selector.now += 1e-6
        return self.selector.now


def run(main: Callable[[_Loop], Coroutine[Any, Any, Any]]) -> Any:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, _Loop)
        return runner.run(main(loop))


def open_budget(
    schedule: RateSchedule, latency: float = 0.01, max_concurrency: int = 64
) -> LeasedBudget:
    async def lease(tokens: Sequence[int], settled: int) -> Lease:
        await asyncio.sleep(latency)
        made = schedule.lease(tokens, settled)
        await asyncio.sleep(latency)
        return made

    return LeasedBudget(lease, schedule.pause, max_concurrency)


async def send(
    budget: LeasedBudget,
    count: int,
    times: list[float],
    *,
    tokens: int = 100,
    used: int | None = None,
    seconds: float = 0.3,
) -> None:
    """Send requests as a stage does, and note when."""
    room = asyncio.Semaphore(80)

    async def ask() -> None:
        async with room, budget.slot(tokens):
            times.append(asyncio.get_running_loop().time())
            await asyncio.sleep(seconds)
        budget.correct(tokens, used)

    await asyncio.gather(*(ask() for _ in range(count)))


def count_most(times: Sequence[float], seconds: float) -> int:
    """Return how many there are at most in a span of time."""
    ordered = sorted(times)
    return max(bisect_left(ordered, t + seconds) - at for at, t in enumerate(ordered))


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_all_workers_together_keep_the_limit(n_workers: int) -> None:
    times: list[float] = []

    async def main(loop: _Loop) -> None:
        schedule = RateSchedule(rpm=3_000, warm_up=0, clock=loop.time)
        budgets = [open_budget(schedule) for _ in range(n_workers)]
        await asyncio.gather(*(send(budget, 2_000 // n_workers, times) for budget in budgets))

    run(main)

    assert len(times) == 2_000
    assert count_most(times, 10) <= 500 * 1.01
    assert count_most(times, 1) <= 50 * 1.2
    # And nothing of it is wasted.
    assert max(times) - min(times) == pytest.approx(40, rel=0.03)


def test_tokens_are_shared_too() -> None:
    times: list[float] = []

    async def main(loop: _Loop) -> None:
        schedule = RateSchedule(rpm=60_000, tpm=600_000, warm_up=0, clock=loop.time)
        budgets = [open_budget(schedule) for _ in range(2)]
        await asyncio.gather(*(send(budget, 200, times, tokens=500) for budget in budgets))

    run(main)

    # 10,000 tokens a second are 20 requests.
    assert max(times) - min(times) == pytest.approx(20, rel=0.05)
    assert count_most(times, 10) <= 206


@pytest.mark.parametrize(("used", "seconds"), [(1_000, 40), (250, 10), (None, 20)])
def test_tokens_are_settled(used: int | None, seconds: float) -> None:
    times: list[float] = []

    async def main(loop: _Loop) -> None:
        schedule = RateSchedule(tpm=600_000, warm_up=0, clock=loop.time)
        budgets = [open_budget(schedule) for _ in range(2)]
        await asyncio.gather(
            *(send(budget, 200, times, tokens=500, used=used, seconds=0.05) for budget in budgets)
        )

    run(main)

    assert max(times) - min(times) == pytest.approx(seconds, rel=0.1)


def test_rate_grows_evenly_at_first() -> None:
    times: list[float] = []

    async def main(loop: _Loop) -> None:
        schedule = RateSchedule(rpm=6_000, warm_up=30, clock=loop.time)
        await asyncio.gather(*(send(open_budget(schedule), 1_000, times) for _ in range(2)))

    run(main)

    begun = min(times)
    for seconds in (10, 20):
        expected = 100 * seconds**2 / 60
        assert sum(t - begun <= seconds for t in times) == pytest.approx(expected, rel=0.1)


def test_what_is_not_used_is_not_saved_up() -> None:
    times: list[float] = []

    async def main(loop: _Loop) -> None:
        schedule = RateSchedule(rpm=3_000, warm_up=0, clock=loop.time)
        budget = open_budget(schedule)
        await send(budget, 10, times)
        await asyncio.sleep(60)
        times.clear()
        await send(budget, 200, times)

    run(main)

    assert count_most(times, 1) <= 60


def test_all_workers_wait_after_a_429() -> None:
    times: list[float] = []

    async def main(loop: _Loop) -> None:
        schedule = RateSchedule(rpm=3_000, warm_up=0, clock=loop.time)
        first, second = open_budget(schedule), open_budget(schedule)
        first.cool_down(30)
        begun = loop.time()
        await asyncio.gather(send(first, 5, times), send(second, 5, times))
        assert min(times) - begun == pytest.approx(30, abs=0.1)

    run(main)


def test_lost_worker_loses_its_lease_only() -> None:
    times: list[float] = []

    async def main(loop: _Loop) -> None:
        schedule = RateSchedule(rpm=3_000, warm_up=0, clock=loop.time)
        lost = asyncio.create_task(send(open_budget(schedule), 1_000, [], seconds=0.05))
        left = asyncio.create_task(send(open_budget(schedule), 1_000, times, seconds=0.05))
        await asyncio.sleep(5)
        lost.cancel()
        await left

    run(main)

    # About half of the rate for 5 seconds, and then all of it.
    assert max(times) - min(times) == pytest.approx(23, abs=1)
    assert count_most(times, 10) <= 515


def test_time_that_has_passed_is_leased_again() -> None:
    times: list[float] = []

    async def main(loop: _Loop) -> None:
        schedule = RateSchedule(rpm=3_000, warm_up=0, clock=loop.time)
        sending = asyncio.create_task(send(open_budget(schedule), 200, times))
        for _ in range(3):
            await asyncio.sleep(0.7)
            # Nothing else runs meanwhile, as while a large image is encoded.
            loop.selector.now += 0.4
        await sending

    run(main)

    assert len(times) == 200
    assert count_most(times, 0.1) <= 5 + 50 * 0.25
    assert count_most(times, 1) <= 65


def test_first_requests_of_a_worker_come_slowly() -> None:
    times: list[float] = []

    async def main(loop: _Loop) -> None:
        schedule = RateSchedule(rpm=60_000, warm_up=0, clock=loop.time)
        await send(open_budget(schedule, latency=0.02), 100, times, seconds=0.4)

    run(main)

    # The first is answered before the others are sent; one that takes too long is not waited for.
    begun = times[0]
    assert sum(t - begun < 0.35 for t in times) == 1
    assert sum(t - begun < 0.5 for t in times) <= 1 + 2 + 4 + 8
    times.clear()

    async def wait(loop: _Loop) -> None:
        schedule = RateSchedule(rpm=60_000, warm_up=0, clock=loop.time)
        await send(open_budget(schedule), 10, times, seconds=100)

    run(wait)

    assert times[-1] - times[0] == pytest.approx(1.0, abs=0.3)


def test_canceled_requests_leave_the_others_alone() -> None:
    times: list[float] = []

    async def main(loop: _Loop) -> None:
        budget = open_budget(RateSchedule(rpm=600, warm_up=0, clock=loop.time))
        canceled = asyncio.create_task(send(budget, 20, []))
        others = asyncio.create_task(send(budget, 20, times))
        await asyncio.sleep(0.5)
        canceled.cancel()
        await others

    run(main)

    assert len(times) == 20


def test_concurrency_is_bounded_and_falls_after_a_429() -> None:
    most = 0

    async def main(loop: _Loop) -> None:
        nonlocal most
        budget = open_budget(RateSchedule(clock=loop.time), max_concurrency=10)
        n_running = 0

        async def ask() -> None:
            nonlocal n_running, most
            async with budget.slot(1):
                n_running += 1
                most = max(most, n_running)
                await asyncio.sleep(1)
                n_running -= 1

        await asyncio.gather(*(ask() for _ in range(40)))
        assert most == 10
        most = 0
        budget.cool_down(1)
        await asyncio.gather(*(ask() for _ in range(40)))

    run(main)

    assert most == 7


def test_error_of_a_lease_is_raised_by_those_who_wait() -> None:
    async def lease(_tokens: Sequence[int], _settled: int) -> Lease:
        raise ConnectionError("The node is gone.")

    async def main(_loop: _Loop) -> None:
        budget = LeasedBudget(lease, lambda _seconds: None)
        results = await asyncio.gather(
            *(send(budget, 1, []) for _ in range(3)), return_exceptions=True
        )
        assert [type(result) for result in results] == [ConnectionError] * 3

    run(main)


def test_large_request_is_leased_by_itself() -> None:
    now = 0.0
    schedule = RateSchedule(tpm=60_000, warm_up=0, clock=lambda: now)

    assert schedule.lease([5_000, 10]) == Lease(1, 0.0, 5.0)
    assert schedule.lease([10, 10]) == Lease(2, 5.0, pytest.approx(0.02))
    now = 100.0
    assert schedule.lease([100] * 64) == Lease(5, 0.0, pytest.approx(0.5))


def test_no_limit_waits_for_nothing() -> None:
    schedule = RateSchedule()
    assert schedule.lease([10**6] * 64) == Lease(64, 0.0, 0.0)


@pytest.mark.parametrize("limits", [{"rpm": 0}, {"tpm": -1}, {"warm_up": -1}])
def test_wrong_limits_raise(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(limits))):
        RateSchedule(**limits)
