"""`python -m benchmarks`: measure, and show."""

import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.cases import CASES, FRESH
from benchmarks.chart import draw_ratios
from benchmarks.contenders import ENTRIES
from benchmarks.measure import Plan, find_installed
from benchmarks.media import make_pictures
from benchmarks.report import describe_machine, print_report
from benchmarks.server import loopback

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def run(
    output: Annotated[Path, typer.Option(help="Where the JSON goes.")],
    cases: Annotated[list[str] | None, typer.Option(help="Only these.")] = None,
    contenders: Annotated[list[str] | None, typer.Option(help="Only these.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each contender.")] = 3,
    growth: Annotated[bool, typer.Option(help="Measure at 1x, 4x and 16x too.")] = True,
) -> None:
    """Measure all contenders that are installed here."""
    chosen = [name for name in find_installed() if not contenders or name in contenders]
    console = Console()
    missing = [ENTRIES[name].title for name in ENTRIES if name not in find_installed()]
    if missing:
        console.print(f"Not installed here: {', '.join(missing)}.", style="yellow")
    columns = (TextColumn("{task.description:40}"), BarColumn(), TimeElapsedColumn())
    with tempfile.TemporaryDirectory() as folder, loopback() as server:
        make_pictures(Path(folder))
        plan = Plan(cases or [*FRESH, *CASES], chosen, rounds, growth, Path(folder))
        with Progress(*columns, console=console, transient=True) as progress:
            figures = plan.run(server, progress)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps({"machine": describe_machine(), "figures": figures}, indent=1))
    print_report(console, figures)


@app.command()
def draw(
    output: Annotated[Path, typer.Argument(help="The PNG.")],
    results: Annotated[list[Path], typer.Argument(help="JSON files of earlier runs.")],
) -> None:
    """Draw what earlier runs found."""
    runs = {}
    for path in results:
        held = json.loads(path.read_text())
        runs[f"openai {held['machine']['versions']['openai']}"] = held["figures"]
    draw_ratios(runs, output)


if __name__ == "__main__":
    app()
