"""Asynchronous generators: some that read from one another, and work that is done in order."""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, Protocol, Self, TypeVar

_T = TypeVar("_T")
_Job = TypeVar("_Job")
_Step_co = TypeVar("_Step_co", covariant=True)


class _Closable(Protocol[_Step_co]):
    def __anext__(self) -> Awaitable[_Step_co]: ...

    def aclose(self) -> Awaitable[None]: ...


class Owned(AsyncIterator[_T]):
    """An asynchronous generator that another one reads and closes; for `async with`.

    An event loop that ends closes all generators that it knows of, at the same time. One that is
    closed by another generator, too, would be closed twice at once, which raises.

    Args:
        steps: The generator, before its first step.
        with_inner: Whether it also closes inner generators, which begin at its first item.

    Example:
        >>> import asyncio
        >>> async def count():
        ...     yield 1
        ...     yield 2
        >>> async def first():
        ...     async with Owned(count()) as numbers:
        ...         async for number in numbers:
        ...             return number
        >>> asyncio.run(first())
        1
    """

    def __init__(self, steps: _Closable[_T], *, with_inner: bool = False) -> None:
        self._steps = steps
        self._with_inner = with_inner
        self._has_begun = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._steps.aclose()

    def __anext__(self) -> Awaitable[_T]:
        if self._has_begun:
            return self._steps.__anext__()
        self._has_begun = True
        with _unknown_to_the_loop():
            step = self._steps.__anext__()
        return _FirstStep(step) if self._with_inner else step


async def map_in_order(
    work: Callable[[_Job], Coroutine[Any, Any, _T]], jobs: Iterator[_Job], max_concurrency: int
) -> AsyncIterator[_T]:
    """Do several jobs at the same time, and give their results in the order of the jobs.

    At most `max_concurrency` are under way or wait to be taken. Jobs are found in a thread. A
    caller that stops early cancels the jobs that are under way. What finding a job raises comes
    behind the results of the jobs before it.

    Args:
        work: Does one job.
        jobs: Are found one by one, each when there is room for it.
        max_concurrency: Maximum number of jobs at the same time.

    Example:
        >>> async def double(number):
        ...     return 2 * number
        >>> async def collect():
        ...     return [number async for number in map_in_order(double, iter([1, 2]), 4)]
        >>> asyncio.run(collect())
        [2, 4]
    """
    running: deque[asyncio.Future[_T]] = deque()
    is_over = False
    try:
        while running or not is_over:
            while not is_over and len(running) < max_concurrency:
                try:
                    following = await asyncio.to_thread(_take_next, jobs)
                except Exception as error:  # noqa: BLE001 - it is raised in its turn
                    is_over = True
                    running.append(_failed(error))
                    break
                if following is None:
                    is_over = True
                else:
                    running.append(asyncio.ensure_future(work(following[0])))
            if running:
                yield await running.popleft()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _take_next(jobs: Iterator[_Job]) -> tuple[_Job] | None:
    # A future cannot hold a StopIteration.
    for job in jobs:
        return (job,)
    return None


def _failed(error: Exception) -> asyncio.Future[_T]:
    future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
    future.set_exception(error)
    return future


class _FirstStep(Generic[_T]):
    """Awaits the first item, while generators that this one reads from begin too."""

    def __init__(self, step: Awaitable[_T]) -> None:
        self._step = step

    def __await__(self) -> Generator[Any, Any, _T]:
        steps = self._step.__await__()
        go_on = partial(next, steps)
        while True:
            try:
                with _unknown_to_the_loop():
                    waited_for = go_on()
            except StopIteration as end:
                item: _T = end.value
                return item
            try:
                sent = yield waited_for
                go_on = partial(steps.send, sent)
            except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for.
                go_on = partial(steps.throw, error)


@contextmanager
def _unknown_to_the_loop() -> Iterator[None]:
    # A loop gets to know of a generator when its first step is asked for.
    hook = sys.get_asyncgen_hooks().firstiter
    sys.set_asyncgen_hooks(firstiter=None)
    try:
        yield
    finally:
        sys.set_asyncgen_hooks(firstiter=hook)
