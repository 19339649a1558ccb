"""One contender in a process of its own, which does as it is told in lines of JSON."""

import asyncio
import gc
import importlib.util
import inspect
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.cases import WARMING, Call, find_case
from benchmarks.contenders import ENTRIES, Contender

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


class Worker:
    """Holds what has been made for each case.

    Args:
        name: Of the contender.
        url: Of the endpoint.
        folder: Holds the images.
    """

    def __init__(self, name: str, url: str, folder: Path) -> None:
        self._kind = ENTRIES[name].load()
        self._url = url
        self._folder = folder
        self._contenders: dict[str, Contender] = {}
        self._calls: dict[str, Call] = {}
        self._runner = asyncio.Runner()

    def measure_time(self, name: str, n_calls: int) -> dict[str, float]:
        """Do a case over and over, and tell seconds for each time."""
        call = self._prepare(name)
        # What has been idle is cold: its memory may even have been taken from it.
        self._run(call)
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(n_calls):
            self._run(call)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        return {"cpu": cpu / n_calls, "wall": wall / n_calls}

    def measure_memory(self, name: str) -> dict[str, float]:
        """Do a case once, and tell by how many bytes memory grew at its peak.

        The connection is open and all modules are loaded by then.
        """
        case = find_case(name)
        for warm in WARMING:
            self._prepare(warm)
        call = case.prepare(self._contender(case.answer), self._folder)
        gc.collect()
        _CLEAR_REFS.write_text("5")
        before = _read_memory("VmRSS")
        self._run(call)
        peak = _read_memory("VmHWM")
        return {"growth": peak - before, "peak": peak}

    def _prepare(self, name: str) -> Call:
        if name not in self._calls:
            case = find_case(name)
            self._calls[name] = case.prepare(self._contender(case.answer), self._folder)
            # Connections open, and modules that wait for it load.
            self._run(self._calls[name])
        return self._calls[name]

    def _contender(self, answer: str) -> Contender:
        if answer not in self._contenders:
            self._contenders[answer] = self._kind(f"{self._url}/{answer}/v1")
        return self._contenders[answer]

    def _run(self, call: Call) -> None:
        result = call()
        if inspect.iscoroutine(result):
            self._runner.run(result)


def _read_memory(field: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def is_installed(name: str) -> bool:
    """Tell whether a contender can be measured here."""
    try:
        return importlib.util.find_spec(ENTRIES[name].requires) is not None
    except ModuleNotFoundError:
        return False


def main() -> None:
    """Take orders until there are no more."""
    worker = Worker(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        try:
            result: dict[str, Any] = getattr(worker, order.pop("do"))(**order)
        except NotImplementedError:
            result = {}
        print(json.dumps(result), flush=True)  # noqa: T201 - the answer.


if __name__ == "__main__":
    main()
