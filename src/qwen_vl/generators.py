"""Asynchronous generators that read from one another."""

import sys
from collections.abc import AsyncIterator, Awaitable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Generic, Protocol, Self, TypeVar

_T = TypeVar("_T")
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
