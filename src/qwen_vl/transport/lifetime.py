"""Connections that belong to an event loop, and how they are closed in time."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Coroutine, Generator
from typing import Any

from qwen_vl.process_local import Process, current_process
from qwen_vl.transport.base import AsyncTransport


class Pool:
    """The connections of one event loop, closed with the loop or with whoever uses them.

    Args:
        transport: What is closed.
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport
        self._end = _close_at_end(transport, current_process())

    async def close_with(self, owner: object, loop: asyncio.AbstractEventLoop) -> None:
        """See to it that the connections end with their loop, or with their owner before it.

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
        self._finalizer = weakref.finalize(owner, _close_soon, current_process(), loop, self._end)
        self._finalizer.atexit = False

    def forget(self) -> None:
        """Let go of what belongs to a loop that is closed already."""
        self._finalizer.detach()
        open_ends.discard(self._end)


open_ends: set[AsyncGenerator[None, None]] = set()
"""What is still to be closed."""


def _close_soon(
    process: Process, loop: asyncio.AbstractEventLoop, end: AsyncGenerator[None, None]
) -> None:
    if process is not current_process():
        # The loop is the parent's, which would be woken, and so are the connections.
        return
    if loop.is_closed():
        open_ends.discard(end)
    else:
        # The owner may have been freed in any thread.
        loop.call_soon_threadsafe(lambda: loop.create_task(_close(end)))


async def _close(end: AsyncGenerator[None, None]) -> None:
    await end.aclose()
    open_ends.discard(end)


async def _close_at_end(transport: AsyncTransport, process: Process) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        # A forked child that leaves the parent's `asyncio.run` ends its generators too.
        if process is current_process():
            await Uninterrupted(transport.close())


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
