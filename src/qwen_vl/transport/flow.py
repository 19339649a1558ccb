"""Calls that are written once, for threads and for event loops.

A flow is a generator. It yields a step, a function without arguments, for each thing to wait
for, and gets back what the step returned, or has its exception raised there. In a thread, `run`
calls the steps; in an event loop, `arun` calls them and awaits what they return.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeAlias, TypeVar

_T = TypeVar("_T")

Step: TypeAlias = Callable[[], Any]
Flow: TypeAlias = Generator[Step, Any, _T]


def run(flow: Flow[_T]) -> _T:
    """Return what a flow returns.

    Args:
        flow: Its steps return results.

    Example:
        >>> def add(read):
        ...     first = yield read
        ...     second = yield read
        ...     return first + second
        >>> run(add(lambda: 20))
        40
    """
    try:
        _walk(flow, awaits=False).send(None)
    except StopIteration as end:
        result: _T = end.value
        return result
    raise RuntimeError("A step of a flow has waited for an event loop.")


async def arun(flow: Flow[_T]) -> _T:
    """Return what a flow returns, from an event loop.

    Args:
        flow: Its steps return awaitables.
    """
    return await _walk(flow, awaits=True)


async def _walk(flow: Flow[_T], *, awaits: bool) -> _T:
    # Where nothing is awaited, a coroutine runs to its end at once, in any thread.
    try:
        step = next(flow)
        while True:
            try:
                outcome = await step() if awaits else step()
            except BaseException as error:  # noqa: BLE001 - the flow decides about each.
                step = flow.throw(error)
            else:
                step = flow.send(outcome)
    except StopIteration as end:
        result: _T = end.value
        return result
