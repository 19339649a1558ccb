"""What came out, as tables for a terminal, and as JSON."""

import importlib.metadata
import os
import platform
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES, FRESH, GROWTH
from benchmarks.contenders import ENTRIES
from benchmarks.measure import Figures, find_ratio
from benchmarks.targets import TARGETS, Target

_PACKAGES = (
    *("openai", "httpx", "langchain-core", "langchain-openai", "langchain-qwq"),
    *("llama-index-core", "llama-index-llms-openai-like"),
)
_MEASURES = {
    "cpu": ("CPU, ms", 1e3),
    "wall": ("wall, ms", 1e3),
    "rate": ("requests/s", 1.0),
    "bytes": ("sent, MB", 1e-6),
    "growth": ("memory taken, MB", 1e-6),
    "peak": ("peak memory, MB", 1e-6),
}
_PEERS = {"LangChain": "chat-openai", "LlamaIndex": "openai-like", "neither": "openai"}


def describe_machine() -> dict[str, Any]:
    """Tell what was measured on, and with which versions."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"python": platform.python_version(), "cpus": os.cpu_count(), "versions": versions}


def print_report(console: Console, figures: Figures) -> None:
    """Write all tables.

    Args:
        console: Where to.
        figures: What came out.
    """
    for case, of_case in figures.items():
        if case in FRESH or case in CASES:
            console.print(_case_table(case, of_case))
    for kind in GROWTH:
        if f"{kind}-0" in figures:
            console.print(_growth_table(kind, figures))
    console.print(_targets_table(figures))


def _case_table(case: str, of_case: dict[str, dict[str, Any]]) -> Table:
    title = FRESH.get(case) or CASES[case].title
    table = Table(title=title, title_justify="left", title_style="bold")
    measures = [m for m in _MEASURES if any(m in values for values in of_case.values())]
    table.add_column("contender")
    for measure in measures:
        table.add_column(_MEASURES[measure][0], justify="right")
    table.add_column("CPU, ratio", justify="right")
    for contender, values in of_case.items():
        entry = ENTRIES[contender]
        style = {"ours": "green", "floor": "dim"}.get(entry.standing, "")
        found = find_ratio({case: of_case}, case, contender, _PEERS[entry.family])
        ratio = "" if found is None else f"{found:.2f}x"
        cells = [_cell(values, measure) for measure in measures]
        table.add_row(entry.title, *cells, ratio, style=style)
    return table


def _cell(values: dict[str, float], measure: str) -> str:
    return f"{values[measure] * _MEASURES[measure][1]:,.2f}" if measure in values else ""


def _growth_table(kind: str, figures: Figures) -> Table:
    table = Table(title=f"growth with {kind}", title_justify="left", title_style="bold")
    for column in ("contender", *(case.title for case in GROWTH[kind]), "4x", "16x", "memory, MB"):
        table.add_column(column, justify="left" if column == "contender" else "right")
    for contender in figures[f"{kind}-0"]:
        steps = [figures[f"{kind}-{index}"][contender] for index in range(3)]
        times = [f"{step['cpu'] * 1e3:,.2f} ms" for step in steps]
        growth = [f"{step['cpu'] / steps[0]['cpu']:.1f}" for step in steps[1:]]
        memory = " / ".join(f"{step['growth'] / 1e6:.1f}" for step in steps)
        style = "green" if ENTRIES[contender].standing == "ours" else ""
        table.add_row(ENTRIES[contender].title, *times, *growth, memory, style=style)
    return table


def _targets_table(figures: Figures) -> Table:
    table = Table(title="promised", title_justify="left", title_style="bold")
    for column in ("what", "ratio to", "promised", "measured"):
        table.add_column(column, justify="left" if column in {"what", "ratio to"} else "right")
    for target in TARGETS:
        ratio = target.ratio(figures)
        if ratio is None:
            continue
        limit = f"{'≥' if target.more_is_better else '≤'} {target.limit:g}x"
        style = "green" if target.is_met(ratio) else "red"
        table.add_row(target.title, _other_title(target), limit, f"{ratio:.2f}x", style=style)
    return table


def _other_title(target: Target) -> str:
    if target.other_case:
        return CASES[target.other_case].title
    return ENTRIES[target.other].title
