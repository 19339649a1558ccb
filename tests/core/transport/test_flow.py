"""Flows: what a step returns or raises comes back where it was yielded, in threads and in loops."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from qwen_vl.transport.flow import Flow, arun, run


def read_all(read: Callable[[], Any], close: Callable[[], Any]) -> Flow[list[int]]:
    values: list[int] = []
    try:
        while len(values) < 3:
            try:
                values.append((yield read))
            except ValueError:
                values.append(-1)
    finally:
        yield close
    return values


class Source:
    def __init__(self, *outcomes: Any) -> None:
        self._outcomes = list(outcomes)
        self.is_closed = False

    def read(self) -> int:
        # No name for an exception: this frame and it would keep each other.
        if isinstance(self._outcomes[0], BaseException):
            raise self._outcomes.pop(0)
        outcome: int = self._outcomes.pop(0)
        return outcome

    def close(self) -> None:
        self.is_closed = True

    async def aread(self) -> int:
        await asyncio.sleep(0)
        return self.read()

    async def aclose(self) -> None:
        await asyncio.sleep(0)
        self.close()

    def run(self) -> list[int]:
        return run(read_all(self.read, self.close))

    def arun(self) -> list[int]:
        return asyncio.run(arun(read_all(self.aread, self.aclose)))


WAYS = pytest.mark.parametrize("way", [Source.run, Source.arun])


@WAYS
def test_results_and_exceptions_come_back(way: Callable[[Source], list[int]]) -> None:
    source = Source(1, ValueError("caught by the flow"), 3)
    assert way(source) == [1, -1, 3]
    assert source.is_closed


@WAYS
def test_exception_that_the_flow_lets_pass(way: Callable[[Source], list[int]]) -> None:
    source = Source(1, KeyError("not caught"))
    with pytest.raises(KeyError, match="not caught"):
        way(source)
    assert source.is_closed


async def test_cancelled_flow_cleans_up() -> None:
    source = Source()

    async def wait() -> None:
        await asyncio.sleep(60)

    task = asyncio.create_task(arun(read_all(wait, source.aclose)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.is_closed


def test_exceptions_keep_nothing_alive() -> None:
    source = Source(KeyError("not caught"))
    freed = weakref.ref(source)
    gc.disable()
    try:
        with pytest.raises(KeyError):
            source.run()
        del source
        assert freed() is None
    finally:
        gc.enable()
