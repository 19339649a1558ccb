"""Connections that belong to an event loop, and how they are closed in time."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import suppress
from types import AsyncGeneratorType
from typing import Any

from qwen_vl.process_local import current_process
from qwen_vl.transport.base import AsyncTransport


class Pool:
    """The connections of one event loop, closed with the loop or with their owner.

    Args:
        transport: What is closed.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport
        self._ending = _Ending(transport)
        end: Any = _close_at_end(self._ending)
        self._end: AsyncGeneratorType[None, None] = end

    async def close_with(self, owner: object, loop: asyncio.AbstractEventLoop) -> None:
        """Close the connections when their loop ends, or their owner before it.

        Args:
            owner: Whose connections they are; it is not kept alive.
            loop: The running loop.
        """
        # A loop that ends closes its open async generators, and connections that outlive their
        # loop can only be complained about: "Event loop is closed", "unclosed transport".
        await anext(self._end)
        # The owner may go in the loop's last moment, when tasks are cancelled before they begin:
        # until its connections are closed the generator must be there for the loop to find.
        open_ends.add(self._end)
        self._finalizer = weakref.finalize(owner, _close_soon, self._ending, loop, self._end)
        self._finalizer.atexit = False

    def forget(self) -> None:
        """Let go of what belongs to a loop that is closed already."""
        self._finalizer.detach()
        open_ends.discard(self._end)


# The type of what `aclose` of an asynchronous generator returns.
_CLOSING = "async_generator_athrow"
_MAX_SETTLE_SECONDS = 1.0
_QUIET_TURNS = 3
_ending: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
"""Tasks that close the connections of a loop: none waits for another."""

open_ends: set[AsyncGeneratorType[None, None]] = set()
"""What is still to be closed."""


class _Ending:
    """Closes connections once, no matter how often it is asked to.

    Args:
        transport: What is closed.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self.process = current_process()
        self._transport = transport
        self._closing = asyncio.Lock()
        self._is_closed = False

    async def close(self) -> None:
        """Close the connections; in a child of the process that opened them, do nothing."""
        # A forked child that leaves the parent's `asyncio.run` ends its generators too.
        if self._is_closed or self.process is not current_process():
            return
        async with self._closing:
            if not self._is_closed:
                await Uninterrupted(_settle())
                await Uninterrupted(self._transport.close())
                self._is_closed = True


def _close_soon(
    ending: _Ending, loop: asyncio.AbstractEventLoop, end: AsyncGeneratorType[None, None]
) -> None:
    if ending.process is not current_process():
        # The loop is the parent's, which would be woken, and so are the connections.
        return
    if loop.is_closed():
        open_ends.discard(end)
    else:
        # The owner may have been freed in any thread.
        loop.call_soon_threadsafe(lambda: loop.create_task(_close(ending, end)))


async def _close(ending: _Ending, end: AsyncGeneratorType[None, None]) -> None:
    # The loop may be closing it in this moment, and waits for nobody else.
    if not end.ag_running:
        await ending.close()
    if not end.ag_running:
        await end.aclose()
    open_ends.discard(end)


async def _close_at_end(ending: _Ending) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await ending.close()


async def _settle() -> None:
    """Wait for streams that were dropped when the loop ended: each is closed by a separate task.

    A loop waits for the generators that it still knows of, and for no task that begins while it
    ends.
    """
    own = asyncio.current_task()
    if own is not None:
        _ending.add(own)
    with suppress(TimeoutError):
        async with asyncio.timeout(_MAX_SETTLE_SECONDS):
            n_quiet = 0
            # What one of them read from is dropped with it, and closed two turns later.
            while n_quiet < _QUIET_TURNS:
                tasks = asyncio.all_tasks() - set(_ending)
                closing = {task for task in tasks if type(task.get_coro()).__name__ == _CLOSING}
                if closing:
                    n_quiet = 0
                    await asyncio.wait(closing)
                else:
                    n_quiet += 1
                    await asyncio.sleep(0)


class Uninterrupted:
    """Awaits to the end what is cancelled in the middle: the rest would never be closed.

    Args:
        closing: What is awaited; the cancellation is raised after it.
    """

    def __init__(self, closing: Coroutine[Any, Any, None]) -> None:
        self._closing = closing

    def __await__(self) -> Generator[Any, None, None]:
        steps = self._closing.__await__()
        cancelled: asyncio.CancelledError | None = None
        while True:
            try:
                waited_for = steps.send(None)
            except StopIteration:
                break
            try:
                yield waited_for
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
