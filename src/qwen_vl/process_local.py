"""What belongs to the process that made it, and must not be used by a forked child.

A child of `fork` (gunicorn --preload, Celery prefork, `multiprocessing`) inherits copies of
the parent's objects, and shares the parent's connections: the process that reads first gets the
answer. Locks stay held by threads that the child does not have. So a child makes its own, and keeps
the parent's without using, closing or freeing them.
"""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from qwen_vl.errors import ConfigurationError

_T = TypeVar("_T")


class Process:
    """One process; the objects that it owns are found by it.

    Args:
        pid: Its id. The system gives the ids of dead processes away again, so that two processes
            are the same only if they are the same object.
    """

    __slots__ = ("pid",)

    def __init__(self, pid: int) -> None:
        self.pid = pid


class _Owner(Generic[_T]):
    """Holds one value for each process, of which only the current one's is ever used."""

    def __init__(self) -> None:
        self._values: dict[Process, _T] = {}
        _owners.add(self)

    def keep_inherited(self) -> None:
        """Keep what the parent made from being freed in the child."""
        _inherited.append(self._values.copy())


_owners: "WeakSet[_Owner[Any]]" = WeakSet()
_inherited: list[object] = []
"""Objects of the parent that must not be freed in a child: their finalizers would close what the
parent still uses, wake its event loops, or warn of what is not the child's to close."""

_processes: dict[int, Process] = {}
_current = _processes.setdefault(os.getpid(), Process(os.getpid()))


def current_process() -> Process:
    """Return the process that runs this.

    Example:
        >>> current_process() is current_process()
        True
    """
    # Programs that embed Python can fork without running its hooks.
    if _current.pid != os.getpid():
        _enter_child()
    return _current


class ProcessLocal(_Owner[_T]):
    """A value of which each process has its own, made at its first use there.

    Args:
        make: Makes the value. Where several threads begin together it may be called by each of
            them, and all get the same value.

    Example:
        >>> from threading import Lock
        >>> lock = ProcessLocal(Lock)
        >>> with lock.get():
        ...     lock.get().locked()
        True
    """

    def __init__(self, make: Callable[[], _T]) -> None:
        super().__init__()
        self._make = make

    def get(self) -> _T:
        """Return the value of the current process."""
        process = current_process()
        try:
            return self._values[process]
        except KeyError:
            # In one step, since threads may begin together.
            return self._values.setdefault(process, self._make())


_used_in: WeakKeyDictionary[Any, Process] = WeakKeyDictionary()
"""Processes in which clients of the program's own were used first."""


def check_process(client: object, option: str) -> None:
    """Check that a client that the program made was not used before this process was forked.

    Args:
        client: An HTTP client.
        option: The option that it was passed as.

    Raises:
        ConfigurationError: It was: it is not ours to be opened again here.
    """
    process = current_process()
    # What stands in for a client may be nothing that can be a key here.
    with suppress(TypeError):
        if _used_in.setdefault(client, process) is not process:
            raise ConfigurationError(
                f"The client that was passed as {option}=… was used before this process was "
                "forked. Its connections are the parent's, and answers would go to the wrong "
                "process. Make the client, and the model that it is passed to, in the child: in "
                "gunicorn's post_fork, or at Celery's worker_process_init."
            )


class _BoundSteps(_Owner[_T]):
    """A generator that only the process that began it can run.

    Args:
        begin: Makes the generator, at the first step.
    """

    def __init__(self, begin: Callable[[], _T]) -> None:
        super().__init__()
        self._begin = begin

    def _own(self) -> _T:
        process = current_process()
        steps = self._values.get(process)
        if steps is None:
            if self._values:
                raise ConfigurationError(
                    "This stream was begun before the process was forked, and belongs to the "
                    "parent: reading it here would take the parent's bytes. Start a new stream in "
                    "this process."
                )
            steps = self._values.setdefault(process, self._begin())
        return steps


class ProcessBoundIterator(_BoundSteps[Generator[_T, None, None]], Iterator[_T]):
    """A generator that only the process that began it can run, and only that process closes.

    Args:
        begin: Makes the generator, at the first step.

    Example:
        >>> steps = ProcessBoundIterator(lambda: (number for number in range(3)))
        >>> next(steps), list(steps)
        (0, [1, 2])
    """

    def __next__(self) -> _T:
        """Take the next step.

        Raises:
            ConfigurationError: The generator was begun before this process was forked.
        """
        return next(self._own())

    def close(self) -> None:
        """End the generator; in a child of the process that began it, do nothing."""
        steps = self._values.get(current_process())
        if steps is not None:
            steps.close()


class ProcessBoundAsyncIterator(_BoundSteps[AsyncGenerator[_T, None]], AsyncIterator[_T]):
    """An asynchronous generator that only the process that began it can run.

    Args:
        begin: Makes the generator, at the first step.
    """

    def __anext__(self) -> Awaitable[_T]:
        """Take the next step; see `ProcessBoundIterator`."""
        return anext(self._own())

    async def aclose(self) -> None:
        """End the generator; in a child of the process that began it, do nothing."""
        steps = self._values.get(current_process())
        if steps is not None:
            await steps.aclose()


def _enter_child() -> None:
    global _current  # noqa: PLW0603 - there is one process.
    pid = os.getpid()
    # In one step, since threads of a child may find out together.
    _current = _processes.setdefault(pid, Process(pid))


def _after_fork() -> None:
    # The ids of dead processes are given away again.
    _processes.clear()
    for owner in _owners:
        owner.keep_inherited()
    _enter_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
