"""Rounds in which all contenders take turns, and what comes out of them."""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from benchmarks.cases import CASES, FRESH, GROWTH, Case
from benchmarks.contenders import ENTRIES, Entry
from benchmarks.server import Loopback
from benchmarks.worker import is_installed

Figures = dict[str, dict[str, dict[str, Any]]]
"""By case, contender and measure: seconds, bytes, or requests in a second."""

_N_MEMORY_ROUNDS = 3
# Short turns are many: the machine is never the same for long.
_N_QUICK = 3
_N_FRESH = 7


@dataclass
class Plan:
    """What is to be measured.

    Args:
        cases: Names of `CASES` and `FRESH`.
        contenders: Names of `ENTRIES`.
        n_rounds: How often each contender has its turn with each case.
        growth: Whether to measure by size too.
        folder: Holds the images.
    """

    cases: Sequence[str]
    contenders: Sequence[str]
    n_rounds: int
    growth: bool
    folder: Path
    figures: Figures = field(default_factory=dict)

    def run(self, server: Loopback, progress: Progress) -> Figures:
        """Measure all of it."""
        named = {name: CASES[name] for name in self.cases if name in CASES}
        if self.growth:
            for kind, steps in GROWTH.items():
                named |= {f"{kind}-{index}": case for index, case in enumerate(steps)}
        fresh = [name for name in FRESH if name in self.cases]
        n_fresh = len(fresh) * len(self.contenders) * _N_FRESH
        remembered = {name: case for name, case in named.items() if case.tells_memory}
        n_memory = len(self.contenders) * _N_MEMORY_ROUNDS if remembered else 0
        task = progress.add_task("", total=len(named) + n_fresh + n_memory)

        def tell(what: str) -> None:
            progress.update(task, description=what, advance=1)
            if not progress.console.is_terminal:
                progress.console.print(what)

        for name in fresh:
            self._time_fresh(name, server, tell)
        with _workers(self.contenders, server, self.folder) as workers:
            for name, case in named.items():
                tell(case.title)
                self._take_turns(name, case, workers, server)
        for contender in self.contenders if remembered else ():
            family = ENTRIES[contender].family
            names = [name for name, case in remembered.items() if family in case.families]
            results = []
            for _ in range(_N_MEMORY_ROUNDS):
                tell(f"memory: {ENTRIES[contender].title}")
                results.append(self._measure_memory(contender, names, server))
            for name in names:
                _put(self.figures, name, contender, _medians([result[name] for result in results]))
        return self.figures

    def _time_fresh(self, name: str, server: Loopback, tell: Callable[[str], None]) -> None:
        calls = {
            contender: entry.imports if name == "import" else _write_first_call(entry, server)
            for contender in self.contenders
            if (entry := ENTRIES[contender]).first_call or name == "import"
        }
        rounds: dict[str, list[dict[str, float]]] = {contender: [] for contender in calls}
        for _ in range(_N_FRESH):
            for contender, results in rounds.items():
                tell(f"{FRESH[name]}: {ENTRIES[contender].title}")
                results.append(_time_process(calls[contender]))
        for contender, results in rounds.items():
            # The first fills the disk's cache, and writes what is compiled.
            medians: dict[str, Any] = _medians(results[1:])
            medians["cpu_by_round"] = [result["cpu"] for result in results[1:]]
            _put(self.figures, name, contender, medians)

    def _take_turns(
        self, name: str, case: Case, workers: Mapping[str, "_Worker"], server: Loopback
    ) -> None:
        taking = [c for c in self.contenders if ENTRIES[c].family in case.families]
        rounds: dict[str, list[dict[str, float]]] = {contender: [] for contender in taking}
        for number in range(self.n_rounds if case.is_slow else self.n_rounds * _N_QUICK):
            # Who comes first may find the machine cooler.
            for contender in taking if number % 2 else reversed(taking):
                result = workers[contender].do("measure_time", name=name, n_calls=case.n_calls)
                if result:
                    rounds[contender].append(result)
                if case.counts_bytes and result:
                    result["bytes"] = server.last_length()
        for contender, results in rounds.items():
            if results:
                medians: dict[str, Any] = _medians(results)
                if case.n_requests:
                    medians["rate"] = case.n_requests / medians["wall"]
                    medians["cpu_of_request"] = medians["cpu"] / case.n_requests
                medians["cpu_by_round"] = [result["cpu"] for result in results]
                medians["wall_by_round"] = [result["wall"] for result in results]
                _put(self.figures, name, contender, medians)

    def _measure_memory(
        self, contender: str, names: Sequence[str], server: Loopback
    ) -> dict[str, dict[str, float]]:
        with _workers([contender], server, self.folder) as workers:
            worker = workers[contender]
            return {name: worker.do("measure_memory", name=name) for name in names}


class _Worker:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def do(self, what: str, **order: Any) -> dict[str, float]:
        """Give an order, and wait for what comes of it."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("The worker has no pipes.")
        self._process.stdin.write(json.dumps({"do": what, **order}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The worker has stopped at {what} {order}; see above.")
        result: dict[str, float] = json.loads(line)
        return result


@contextmanager
def _workers(
    contenders: Iterable[str], server: Loopback, folder: Path
) -> Iterator[dict[str, _Worker]]:
    with ExitStack() as stack:
        running: dict[str, _Worker] = {}
        for contender in contenders:
            command = [sys.executable, "-m", "benchmarks.worker"]
            process = stack.enter_context(
                subprocess.Popen(
                    [*command, contender, server.url, str(folder)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env=_environment(),
                )
            )
            stack.callback(process.terminate)
            running[contender] = _Worker(process)
        yield running


def _environment() -> dict[str, str]:
    # A process that compiles all that it imports would be measured compiling.
    inherited = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, "PYTHONPATH": str(Path(__file__).parents[1])}


def _write_first_call(entry: Entry, server: Loopback) -> str:
    url = f"{server.url}/whole/v1"
    return f"{entry.imports}\n{entry.first_call.replace('URL', repr(url))}"


def _time_process(code: str) -> dict[str, float]:
    command = [sys.executable, "-c", code]
    before, start = _children_cpu(), time.perf_counter()
    subprocess.run(command, check=True, env=_environment())
    wall = time.perf_counter() - start
    return {"cpu": _children_cpu() - before, "wall": wall}


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _medians(results: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


def find_ratio(
    figures: Figures,
    case: str,
    ours: str,
    other: str,
    measure: str = "cpu",
    *,
    other_case: str | None = None,
) -> float | None:
    """Give ours divided by the other's; `None` where one of them was not measured.

    Of times it is the median of the rounds' ratios: both had their turns within a second, in which
    the machine was the same for both.
    """
    one = figures.get(case, {}).get(ours, {})
    two = figures.get(other_case or case, {}).get(other, {})
    if measure not in one or measure not in two:
        return None
    by_round = {"cpu": "cpu_by_round"}.get(measure)
    if measure in {"rate", "wall"}:
        by_round = "wall_by_round"
    if by_round not in one or by_round not in two:
        return float(one[measure] / two[measure])
    pairs = zip(one[by_round], two[by_round], strict=True)
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    return 1 / ratio if measure == "rate" else ratio


def _put(figures: Figures, case: str, contender: str, values: Mapping[str, Any]) -> None:
    figures.setdefault(case, {}).setdefault(contender, {}).update(values)


def find_installed() -> list[str]:
    """Find the contenders that can be measured here."""
    return [name for name in ENTRIES if is_installed(name)]
