"""The command line: `qwen-vl` with one of twelve commands, which `qwen-vl --help` lists.

Exit codes: 0 answered; 2 wrong usage; 3 an image, video or document cannot be sent; 4 a setting is
missing or wrong; 5 the service refused; 6 the service failed for now, another try may succeed; 7
the answer cannot be read: it is not the JSON, the boxes or the times that were asked for.
"""

import os
from collections.abc import Callable
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from qwen_vl.cli.ask import ask
from qwen_vl.cli.batch import app as batch
from qwen_vl.cli.bulk import map_
from qwen_vl.cli.documents import parse
from qwen_vl.cli.endpoint import load_sandbox, open_endpoint, reading_required
from qwen_vl.cli.grounding import locate, timeline
from qwen_vl.cli.reporting import CommandGroup
from qwen_vl.cli.retrieval import index, search
from qwen_vl.cli.tokens import tokens
from qwen_vl.connection import API_KEY_VARIABLE
from qwen_vl.errors import ConfigurationError, MissingExtraError
from qwen_vl.specs.models import CURRENT_MODELS, get_model_spec

app = typer.Typer(
    cls=CommandGroup,
    help="Ask Qwen VL about images, videos and documents.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
_out = Console(highlight=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("qwen-vl"))  # noqa: T201 - only the number.
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def demo(
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="Folder for the images that are drawn; a new one by default."
        ),
    ] = None,
) -> None:
    """Ask about real images and a real video: the service if there is a key, else a sandbox."""
    from qwen_vl.cli.demo import make_folder, print_next_steps  # noqa: PLC0415 - loads Pillow

    demos = sorted(entry_points(group="qwen_vl.demo"), key=lambda entry: entry.name)
    if not demos:
        raise ConfigurationError(
            "The demo needs: pip install langchain-qwen-vl, or llama-index-llms-qwen-vl"
        )
    has_key = bool(os.environ.get(API_KEY_VARIABLE))
    folder = make_folder(output)
    earlier = set(folder.iterdir())
    with open_endpoint(sandbox=not has_key) as endpoint:
        if has_key:
            _out.print(f"[bold]Asking the service[/bold], since {API_KEY_VARIABLE} is set.\n")
        else:
            _out.print(
                "[bold]Asking the local sandbox[/bold], which is not a model: it says what it "
                f"received. Set {API_KEY_VARIABLE} to ask the service.\n"
            )
        for entry in demos:
            run: Callable[..., None] = entry.load()
            run(_out, folder, **endpoint)
    _demonstrate_reading(folder, has_key=has_key)
    saved = sorted(set(folder.iterdir()) - earlier)
    print_next_steps(_out, folder, [file.name for file in saved], has_key=has_key)


def _demonstrate_reading(folder: Path, *, has_key: bool) -> None:
    try:
        with open_endpoint(sandbox=not has_key, reads=True) as endpoint:
            for entry in entry_points(group="qwen_vl.demo_reading"):
                run: Callable[..., None] = entry.load()
                run(_out, folder, **endpoint)
    except MissingExtraError as error:
        _out.rule("Read an invoice")
        _out.print(f"{error}\n", markup=False)


def models() -> None:
    """List the vision models that the service offers, and what each can do."""
    table = Table(
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold",
        caption="\nAny other id works too, with the limits of the newest of these.",
    )
    table.add_column("Model", no_wrap=True)
    for heading in ("Thinks", "Tools", "Schema", "Images", "Frames", "Context", "Output"):
        table.add_column(heading, justify="right", no_wrap=True)
    for model in CURRENT_MODELS:
        spec = get_model_spec(model)
        table.add_row(
            model,
            spec.thinking,
            _yes(spec.accepts_tools),
            _yes(spec.accepts_json_schema),
            f"{spec.max_images}",
            f"{spec.max_frames}" if spec.accepts_video else "–",
            _thousands(spec.context_window),
            _thousands(spec.max_output_tokens),
        )
    _out.print(table)


def sandbox(
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65_535)
    ] = 8000,
    server: Annotated[
        Literal["dashscope", "vllm", "sglang", "llamacpp", "ollama"],
        typer.Option(help="Server to imitate."),
    ] = "dashscope",
    ocr: Annotated[
        bool, typer.Option("--ocr", help="Read the text in images; needs qwen-vl\\[sandbox-ocr].")
    ] = False,
) -> None:
    """Run a local endpoint that checks requests, says what it received, and logs them."""
    try:
        with reading_required():
            load_sandbox().serve(port, server=server, reads=ocr)
    except OSError as error:
        raise ConfigurationError(error.strerror or str(error)) from error


for command in (ask, demo, index, locate, map_, models, parse, sandbox, search, timeline, tokens):
    app.command(command.__name__.rstrip("_"))(command)
app.add_typer(batch, name="batch")


def _thousands(tokens: int | None) -> str:
    return f"{tokens / 1000:.0f}k" if tokens else "?"


def _yes(answer: bool) -> str:
    return "yes" if answer else "–"
