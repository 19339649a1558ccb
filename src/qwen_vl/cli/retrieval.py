"""The commands `qwen-vl index` and `qwen-vl search`: a folder that can be searched and asked."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from qwen_vl.cli import options
from qwen_vl.cli.ask import describe_usage
from qwen_vl.cli.endpoint import make_settings, open_endpoint
from qwen_vl.cli.inputs import expand_path
from qwen_vl.cli.reporting import find_exit_code, print_json, print_warning
from qwen_vl.errors import ConfigurationError, QwenVLError
from qwen_vl.reply import describe_cut
from qwen_vl.request.build import build_connection
from qwen_vl.specs.embedding import DEFAULT_EMBEDDING_MODEL
from qwen_vl.specs.models import DEFAULT_MODEL
from qwen_vl.specs.rerank import DEFAULT_RERANK_MODEL
from qwen_vl.specs.servers import DEFAULT_SERVER

if TYPE_CHECKING:
    from qwen_vl.retrieval.answer import Answer
    from qwen_vl.retrieval.drawing import CitedImage
    from qwen_vl.retrieval.files import Unit
    from qwen_vl.retrieval.plan import IndexReport
    from qwen_vl.retrieval.search import Hit

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)
_MAX_SHOWN_FAILURES = 10
_SHOWN_LETTERS = 70


def index(
    folder: Annotated[
        str, typer.Argument(help="Folder of PDF and TIFF documents, images and videos.")
    ],
    *,
    store: Annotated[
        str, typer.Option(metavar="DIR", help="Folder for the index; it is updated if it exists.")
    ],
    model: Annotated[str, typer.Option(help="Embedding model.")] = DEFAULT_EMBEDDING_MODEL,
    dimensions: Annotated[
        int | None, typer.Option(help="Length of the vectors; the model's default if left out.")
    ] = None,
    parse_with: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Chat model that reads the text of scanned pages and images.",
        ),
    ] = None,
    frame_seconds: Annotated[
        float, typer.Option(help="Seconds between the frames of a video.")
    ] = 10.0,
    concurrency: Annotated[
        int, typer.Option(help="Requests to have under way at the same time.", min=1)
    ] = 4,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    server: options.ServerOption = DEFAULT_SERVER,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
    sandbox: options.UseSandbox = False,
) -> None:
    """Index a folder, so that its pages, images and videos can be searched.

    Only what is new or has changed is sent. A run that was stopped goes on where it ended.
    """
    from qwen_vl.embedding.embedder import Embedder  # noqa: PLC0415 - slow for `ask`
    from qwen_vl.retrieval.files import FrameOptions  # noqa: PLC0415 - as above
    from qwen_vl.retrieval.indexer import Indexer  # noqa: PLC0415 - as above
    from qwen_vl.retrieval.store import IndexStore  # noqa: PLC0415 - as above

    frames = FrameOptions(seconds=frame_seconds)
    with open_endpoint(sandbox=sandbox, server=server, base_url=base_url) as endpoint:
        reach = {"region": region, "timeout": timeout, **endpoint}
        embedding = make_settings(model=model, **reach)
        embedder = Embedder(embedding, dimensions=dimensions, max_concurrency=concurrency)
        # A missing key is reported before a folder is created.
        build_connection(embedding)
        reader = None if parse_with is None else make_settings(model=parse_with, **reach)
        with IndexStore(expand_path(store)) as opened, _progress() as progress:
            bar = progress.add_task("Indexing", total=None)
            indexer = Indexer(
                opened,
                embedder,
                frames=frames,
                parse_with=reader,
                on_progress=lambda done, total: progress.update(bar, completed=done, total=total),
            )
            report = asyncio.run(indexer.aindex(expand_path(folder)))
            n_stored = len(opened)
    if as_json:
        print_json(_report_to_json(report, n_stored))
    else:
        _print_report(report, n_stored, folder, store)
    if report.failures:
        error = report.failures[0].error
        raise typer.Exit(find_exit_code(error) if isinstance(error, QwenVLError) else 3)


def search(
    store: Annotated[str, typer.Argument(metavar="DIR", help="Folder of the index.")],
    question: Annotated[str, typer.Argument(help="What to look for.")],
    *,
    limit: Annotated[int, typer.Option(help="Maximum number of hits.", min=1)] = 5,
    rerank: Annotated[
        bool, typer.Option("--rerank", help="Have a model rank the best candidates again.")
    ] = False,
    rerank_model: Annotated[str, typer.Option(help="Rerank model.")] = DEFAULT_RERANK_MODEL,
    answer: Annotated[
        bool, typer.Option("--answer", help="Answer the question from the hits, and cite them.")
    ] = False,
    model: options.Model = DEFAULT_MODEL,
    max_context_tokens: Annotated[
        int, typer.Option(help="Maximum number of tokens of the hits that the model is shown.")
    ] = 16_000,
    draw: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Folder for the hits as images; for cited pages, with --answer."
        ),
    ] = None,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    server: options.ServerOption = DEFAULT_SERVER,
    timeout: options.Timeout = None,
    as_json: options.AsJson = False,
    sandbox: options.UseSandbox = False,
) -> None:
    """Search an index, and answer a question from what is found."""
    from qwen_vl.embedding.embedder import Embedder  # noqa: PLC0415 - slow for `ask`
    from qwen_vl.embedding.reranker import Reranker  # noqa: PLC0415 - as above
    from qwen_vl.retrieval.answer import Answerer  # noqa: PLC0415 - as above
    from qwen_vl.retrieval.citations import Citation  # noqa: PLC0415 - as above
    from qwen_vl.retrieval.drawing import draw_citations  # noqa: PLC0415 - as above
    from qwen_vl.retrieval.search import Searcher  # noqa: PLC0415 - as above
    from qwen_vl.retrieval.store import IndexStore  # noqa: PLC0415 - as above

    with (
        IndexStore(expand_path(store), create=False) as opened,
        open_endpoint(sandbox=sandbox, server=server, base_url=base_url) as endpoint,
    ):
        reach = {"region": region, "timeout": timeout, **endpoint}
        manifest = opened.require_manifest()
        embedder = Embedder(
            make_settings(model=manifest.model, **reach), dimensions=manifest.own_dimensions
        )
        reranker = (
            Reranker(make_settings(model=rerank_model, **reach), leaves_out_excess=True)
            if rerank
            else None
        )
        searcher = Searcher(opened, embedder, reranker)
        with _status("Searching"):
            hits = searcher.search(question, limit)
        answered = None
        if answer and hits:
            answerer = Answerer(
                make_settings(model=model, **reach),
                searcher,
                max_context_tokens=max_context_tokens,
            )
            with _status("Answering"):
                answered = answerer.answer(question, hits)
        images: Sequence[CitedImage] = []
        if draw is not None:
            cited = answered.citations if answered else ()
            found = [Citation(number=number, unit=hit.unit) for number, hit in enumerate(hits, 1)]
            images = draw_citations(cited or found)
    files = [] if draw is None else _save(images, expand_path(draw))
    if as_json:
        print_json(_to_json(hits, answered, files))
        return
    if answered is not None:
        _print_answer(answered)
    _print_hits(hits)
    for file in files:
        _err.print(f"Wrote {escape(str(file))}", style="dim", soft_wrap=True)


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


@contextmanager
def _status(text: str) -> Iterator[None]:
    if _err.is_terminal:
        with _err.status(text):
            yield
    else:
        yield


def _print_report(report: "IndexReport", n_stored: int, folder: str, store: str) -> None:
    counts = {
        "embedded": report.n_embedded,
        "copied": report.n_copied,
        "unchanged": report.n_unchanged,
        "removed": report.n_removed,
        "failed": len(report.failures),
    }
    done = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)
    _out.print(f"{done or 'nothing to index'}; {n_stored:,} pages, images and frames in {store}")
    if report.n_embedded:
        n_requests = report.n_requests
        requests = f"{n_requests:,} {'request' if n_requests == 1 else 'requests'}"
        _err.print(f"{requests} · {describe_usage(report.usage)}", style="dim")
    if report.skipped:
        kinds = sorted({path.suffix.lower() or path.name for path in report.skipped})
        n_skipped = len(report.skipped)
        _err.print(
            f"Skipped {n_skipped:,} {'file' if n_skipped == 1 else 'files'} of no kind that is "
            f"searched: {', '.join(kinds)}",
            style="dim",
            markup=False,
        )
    for failure in report.failures[:_MAX_SHOWN_FAILURES]:
        print_warning(f"{failure.name} was not indexed: {failure.error}")
    n_more = len(report.failures) - _MAX_SHOWN_FAILURES
    if n_more > 0:
        print_warning(f"{n_more} more were not indexed; --json lists all.")
    if not n_stored:
        print_warning(f"{folder} lacks PDF or TIFF documents, images or videos.")


def _report_to_json(report: "IndexReport", n_stored: int) -> dict[str, Any]:
    return {
        "embedded": report.n_embedded,
        "copied": report.n_copied,
        "unchanged": report.n_unchanged,
        "removed": report.n_removed,
        "requests": report.n_requests,
        "stored": n_stored,
        "input_tokens": report.usage.input_tokens if report.usage else None,
        "skipped": [str(path) for path in report.skipped],
        "failures": [
            {"name": failure.name, "error": str(failure.error)} for failure in report.failures
        ],
    }


def _save(images: Iterable["CitedImage"], folder: Path) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for number, cited in enumerate(images, 1):
            file = folder / f"{number:02}-{Path(cited.unit.path).stem}-{cited.unit.number}.png"
            cited.image.save(file, "PNG")
            files.append(file)
    except OSError as error:
        raise ConfigurationError(
            f"--draw: {str(folder)!r} cannot be written: {error.strerror or error}."
        ) from error
    return files


def _print_answer(answer: "Answer") -> None:
    _out.print(answer.text, markup=False, soft_wrap=True)
    for citation in answer.citations:
        quote = f' "{citation.quote}"' if citation.quote else ""
        line = f"[{citation.number}] {citation.unit.name}{quote}"
        _out.print(line, style="dim", markup=False, soft_wrap=True)
    if answer.left_out:
        names = ", ".join(hit.unit.name for hit in answer.left_out)
        print_warning(f"Not shown to the model, for want of tokens: {names}.")
    cut = describe_cut(answer.reply.finish_reason, is_truncated=answer.reply.is_truncated)
    if cut:
        print_warning(cut)
    _err.print(f"\n{describe_usage(answer.usage)} · {answer.reply.model}\n", style="dim")


def _print_hits(hits: Sequence["Hit"]) -> None:
    if not hits:
        _out.print("Nothing was found.")
        return
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("", "Score", "By vector", "By keywords"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Found", overflow="fold")
    for number, hit in enumerate(hits, 1):
        ranks = [str(rank or "–") for rank in (hit.vector_rank, hit.keyword_rank)]
        start = " ".join(hit.unit.text.split())[:_SHOWN_LETTERS]
        shown = f"{escape(hit.unit.name)}  [dim]{escape(start)}[/dim]"
        table.add_row(str(number), f"{hit.score:.3f}", *ranks, shown)
    _out.print(table)


def _to_json(
    hits: Sequence["Hit"], answer: "Answer | None", files: Sequence[Path]
) -> dict[str, Any]:
    answered = {} if answer is None else {"answer": _answer_to_json(answer)}
    return {
        **answered,
        "hits": [
            {
                **_place_to_json(hit.unit),
                "score": hit.score,
                "vector_rank": hit.vector_rank,
                "keyword_rank": hit.keyword_rank,
                "relevance": hit.relevance,
                "text": hit.unit.text,
            }
            for hit in hits
        ],
        **({"images": [str(file) for file in files]} if files else {}),
    }


def _answer_to_json(answer: "Answer") -> dict[str, Any]:
    return {
        "text": answer.text,
        "citations": [
            {
                "source": citation.number,
                **_place_to_json(citation.unit),
                "quote": citation.quote,
                "box": citation.box,
                "line_boxes": citation.line_boxes,
            }
            for citation in answer.citations
        ],
        "sources": [hit.unit.name for hit in answer.sources],
        "left_out": [hit.unit.name for hit in answer.left_out],
        "model": answer.reply.model,
        "finish_reason": answer.reply.finish_reason,
        "input_tokens": answer.usage.input_tokens if answer.usage else None,
        "output_tokens": answer.usage.output_tokens if answer.usage else None,
        "request_id": answer.reply.request_id,
    }


def _place_to_json(unit: "Unit") -> dict[str, Any]:
    place: dict[str, Any] = {"path": unit.path, "kind": unit.kind}
    if unit.kind == "page":
        place["page"] = unit.number
    if unit.seconds is not None:
        place["seconds"] = unit.seconds
    return place
