"""The command `qwen-vl parse`: documents as Markdown, HTML or JSON with boxes, and drawn."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from qwen_vl.cli import options
from qwen_vl.cli.endpoint import make_settings, open_endpoint
from qwen_vl.cli.inputs import check_standard_input, expand_path, find_source
from qwen_vl.cli.outputs import STANDARD_OUTPUT, Outputs
from qwen_vl.cli.reporting import find_exit_code
from qwen_vl.content import to_value
from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.models import DEFAULT_MODEL
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER

if TYPE_CHECKING:
    from qwen_vl.documents.parser import DocumentParser
    from qwen_vl.documents.results import ParsedDocument, ParsedPage

_SUFFIXES = (".md", ".html", ".json")
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def parse(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE_OR_URL…",
            help="Images, PDF and TIFF documents; '-' reads one from standard input.",
        ),
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="File to write: .md, .html or .json; '-' is Markdown on stdout."
        ),
    ] = None,
    draw: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Folder for each page with its blocks drawn on it."),
    ] = None,
    form: Annotated[
        Literal["html", "markdown"],
        typer.Option(help="Form of the answers; in markdown only tables and images have boxes."),
    ] = "html",
    pages: Annotated[
        str | None, typer.Option(help="Pages of PDF and TIFF documents: 1-3,7. All by default.")
    ] = None,
    dpi: Annotated[float | None, typer.Option(help="Dots per inch of PDF pages.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Maximum number of tokens of a page's answer.")
    ] = None,
    concurrency: Annotated[
        int, typer.Option(help="Pages to ask about at the same time.", min=1)
    ] = 4,
    ledger: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Folder for pages that are done, which a later run resumes from."
        ),
    ] = None,
    model: options.Model = DEFAULT_MODEL,
    base_model: options.BaseModel = None,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    server: options.ServerOption = DEFAULT_SERVER,
    protocol: options.ProtocolOption = DEFAULT_PROTOCOL,
    timeout: options.Timeout = None,
    max_pixels: Annotated[
        int | None, typer.Option(help="Maximum number of pixels that the model processes.")
    ] = None,
    as_json: options.AsJson = False,
    sandbox: options.UseSandbox = False,
) -> None:
    """Parse documents into text, tables and figures, with the box of each in pixels."""
    from qwen_vl.documents.parser import DocumentParser  # noqa: PLC0415 - slow for `ask`

    check_standard_input(files)
    found = [find_source(file) for file in files]
    suffix = _find_suffix(output)
    inputs = [path or file for (_, path), file in zip(found, files, strict=True)]
    outputs = Outputs({"--output": output}, {"--output": suffix}, inputs=inputs, as_json=as_json)
    folder = None if draw is None else _make_folder(draw)
    with open_endpoint(sandbox=sandbox, server=server, base_url=base_url) as endpoint:
        settings = make_settings(
            model=model,
            base_model=base_model,
            region=region,
            protocol=protocol,
            timeout=timeout,
            max_pixels=max_pixels,
            **endpoint,
        )
        sources = [path or to_value(source) for source, path in found]
        with _progress() as progress:
            bar = progress.add_task("Pages", total=None)
            parser = DocumentParser(
                settings,
                form=form,
                pages=pages,
                dpi=dpi,
                max_tokens=max_tokens,
                max_concurrency=concurrency,
                ledger=ledger,
                on_page=lambda _: progress.advance(bar),
            )
            if not progress.disable:
                progress.update(bar, total=parser.count_pages(sources))
            documents = asyncio.run(_parse_all(parser, sources))
    if as_json:
        sys.stdout.write(_write(documents, ".json"))
    elif "--output" in outputs:
        outputs.write("--output", _write(documents, suffix).encode())
        _print_summary(documents, _err if outputs.uses_stdout else _out)
    else:
        _out.print(_write(documents, ".md"), end="", markup=False, soft_wrap=True)
    if folder is not None:
        _draw(documents, folder)
    _exit_with_errors(documents)


async def _parse_all(parser: "DocumentParser", sources: Sequence[object]) -> list["ParsedDocument"]:
    return await parser.aparse_all(sources)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=_err,
        transient=True,
        disable=not _err.is_terminal,
    )


def _find_suffix(output: str | None) -> str:
    if output is None or output == STANDARD_OUTPUT:
        return ".md"
    suffix = expand_path(output).suffix.lower()
    if suffix not in _SUFFIXES:
        raise ConfigurationError(f"--output: {output!r} must be a .md, .html or .json file.")
    return suffix


def _make_folder(draw: str) -> Path:
    folder = expand_path(draw)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"--draw: the folder {draw!r} cannot be created: {error.strerror or error}."
        ) from error
    return folder


def _write(documents: Sequence["ParsedDocument"], suffix: str) -> str:
    from qwen_vl.documents.results import ParsedDocument  # noqa: PLC0415 - as above

    if suffix == ".json":
        values = [document.to_dict() for document in documents]
        return json.dumps(values[0] if len(values) == 1 else values) + "\n"
    pages = tuple(page for document in documents for page in document)
    whole = ParsedDocument(source=documents[0].source, pages=pages)
    return whole.to_html() if suffix == ".html" else whole.to_markdown()


def _draw(documents: Sequence["ParsedDocument"], folder: Path) -> None:
    taken: set[str] = set()
    for document in documents:
        for page in document:
            if page.error is not None or page.size is None:
                continue
            path = folder / _name_drawing(page, taken)
            page.draw().save(path, "PNG")
            _err.print(f"Wrote {escape(str(path))}", style="dim", soft_wrap=True)


def _name_drawing(page: "ParsedPage", taken: set[str]) -> str:
    stem = Path(page.source).stem or "page"
    number = f"-{page.page}" if page.n_pages > 1 else ""
    name, n = f"{stem}{number}.png", 1
    while name in taken:
        n += 1
        name = f"{stem}{number} ({n}).png"
    taken.add(name)
    return name


def _print_summary(documents: Sequence["ParsedDocument"], console: Console) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("Document", overflow="fold")
    for heading in ("Page", "Blocks", "Tables", "Figures", "Tokens"):
        table.add_column(heading, justify="right", no_wrap=True)
    for document in documents:
        for page in document:
            tokens = f"{page.usage.total_tokens:,}" if page.usage else "–"
            n_tables = sum(block.kind == "table" for block in page.blocks)
            counts = (len(page.blocks), n_tables, len(page.figures))
            shown = ["failed", "", ""] if page.error else [str(count) for count in counts]
            table.add_row(escape(page.source), str(page.page), *shown, tokens)
    console.print(table)


def _exit_with_errors(documents: Sequence["ParsedDocument"]) -> None:
    """End with the exit code of the first page that failed; a warning has named each."""
    for document in documents:
        for kept in document.errors.values():
            raise typer.Exit(find_exit_code(kept.error) if kept.error else 1)
