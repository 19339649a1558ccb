"""The command `qwen-vl tokens`: what images, videos, audio and documents cost, offline."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, TypeAlias

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qwen_vl.cli import options
from qwen_vl.cli.inputs import STANDARD_INPUT, check_standard_input, find_source, name_input
from qwen_vl.cli.reporting import print_json
from qwen_vl.content import Audio, Document, Image, Inline, LocalFile, Source, Url, Video
from qwen_vl.errors import MediaNotFoundError, MissingExtraError
from qwen_vl.media.image import check_size
from qwen_vl.media.limits import check_part
from qwen_vl.media.load import open_local
from qwen_vl.media.measure import measure_image, measure_pages, measure_video
from qwen_vl.media.pdf.document import PDF_TYPE
from qwen_vl.media.sniff import sniff
from qwen_vl.media.tiff import TIFF_TYPE
from qwen_vl.media.video.container import has_av
from qwen_vl.reply import Usage
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.specs.endpoints import DEFAULT_REGION
from qwen_vl.specs.models import DEFAULT_MODEL, get_model_spec, is_service_model
from qwen_vl.specs.processors import family_of
from qwen_vl.specs.servers import DEFAULT_SERVER, Server, get_server_spec
from qwen_vl.tokens.audio import count_audio
from qwen_vl.tokens.conversation import ASSUMED_VIDEO_SECONDS, TokenCounter
from qwen_vl.tokens.cost import Cost, cost_of
from qwen_vl.tokens.media import MediaCount

_HEAD_BYTES = 1_024
_SHOWN_CHARS = 80
_POLICY = MediaPolicy()
_PLACES = {"cn": "Beijing", "intl": "Singapore"}

Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCount:
    """What one file costs.

    Args:
        file: As the user wrote it.
        type: Media type, by its first bytes.
        size: Width and height in pixels, of an image, of the frames, or of every page; `None`
            where the header does not say, or pages differ.
        resized: Size that the model processes; `None` where it is not known, or pages differ.
        frames: Number of frames of a video that the model processes.
        pages: Number of pages of a document that are sent.
        seconds: Length of audio.
        tokens: Markers included, and the labels of pages.
        is_at_most: Whether the size could not be read, so that `tokens` is an upper limit.
    """

    file: str
    type: str
    size: Size | None
    resized: Size | None
    frames: int | None = None
    pages: int | None = None
    seconds: float | None = None
    tokens: int
    is_at_most: bool = False


def tokens(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE…",
            help="Images, videos, audio, PDF and TIFF; '-' reads one from standard input.",
        ),
    ],
    *,
    model: options.Model = DEFAULT_MODEL,
    max_pixels: Annotated[
        int | None, typer.Option(help="Maximum number of pixels of an image or frame.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second of videos.")] = None,
    server: Annotated[Server, typer.Option(help="Server whose rules count.")] = DEFAULT_SERVER,
    region: options.Region = None,
    output_tokens: Annotated[
        int, typer.Option(min=0, help="Number of tokens of an answer, for the price.")
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines; for an error, one JSON object.")
    ] = False,
) -> None:
    """Count the tokens that files cost, and the price where it is known; nothing is sent."""
    check_standard_input(files)
    counter = TokenCounter(model=model, parameters={}, policy=_POLICY, server=server)
    counts = [_count_file(counter, value, max_pixels, fps) for value in files]
    cost = _find_cost(counter, _add_up(counts), output_tokens, region or DEFAULT_REGION)
    cost = replace(cost, is_at_most=any(count.is_at_most for count in counts))
    if as_json:
        _print_json(counts, counter, cost)
    else:
        _print_table(counts, counter, cost)


def _count_file(
    counter: TokenCounter, value: str, max_pixels: int | None, fps: float | None
) -> FileCount:
    source, where = _find_local(value), name_input(value)
    if isinstance(source, LocalFile):
        with open_local(source, _POLICY, where) as file:
            head = file.read(_HEAD_BYTES)
    else:
        head = source.data[:_HEAD_BYTES] if isinstance(source.data, bytes) else b""
    media_type = sniff(head) or ""
    if media_type == PDF_TYPE:
        document = Document(source=source, max_pixels=max_pixels, where=where)
        return _count_document(counter, document, media_type)
    if media_type.startswith("video/"):
        video = Video(source=source, fps=fps, max_pixels=max_pixels, where=where)
        return _count_video(counter, video, source, media_type)
    if media_type.startswith("audio/"):
        return _count_audio(counter, Audio(source=source, where=where), media_type)
    image = Image(source=source, max_pixels=max_pixels, where=where)
    if media_type == TIFF_TYPE:
        return _count_document(counter, image, media_type)
    return _count_image(counter, image, media_type)


def _find_local(value: str) -> LocalFile | Inline:
    source, path = find_source(value)
    if path is not None:
        return LocalFile(path, is_trusted=True)
    if isinstance(source, Inline) and value == STANDARD_INPUT:
        return source
    shown = source.url if isinstance(source, Url) else value
    raise MediaNotFoundError(
        "This is a URL, and only files are counted.",
        where=shown[:_SHOWN_CHARS],
        value=shown,
        remedy="Download it first.",
    )


def _count_image(counter: TokenCounter, image: Image, media_type: str) -> FileCount:
    check_part(image, counter.model, counter.server)
    size = measure_image(image.source, _POLICY, image.where)
    if size:
        family = family_of(get_model_spec(counter.model).factor)
        check_size(*size, image.where, get_server_spec(counter.server).image_limits(family))
    count = counter.measure(image)
    return FileCount(
        file=image.where,
        type=media_type,
        size=size,
        resized=_resized(count),
        tokens=count.tokens,
        is_at_most=count.is_assumed,
    )


def _count_video(counter: TokenCounter, video: Video, source: Source, media_type: str) -> FileCount:
    if not has_av():
        raise MissingExtraError("Counting the tokens of video files", extra="video")
    check_part(video, counter.model, counter.server)
    clip = measure_video(source, _POLICY, video.where)
    count = counter.measure(video)
    return FileCount(
        file=video.where,
        type=media_type,
        size=(clip.width, clip.height) if clip else None,
        resized=_resized(count),
        frames=count.n_frames,
        tokens=count.tokens,
        is_at_most=count.is_assumed,
    )


def _count_audio(counter: TokenCounter, audio: Audio, media_type: str) -> FileCount:
    check_part(audio, counter.model, counter.server)
    if media_type != "audio/wav" and not has_av():
        raise MissingExtraError("Counting the tokens of audio other than WAV", extra="video")
    request = Request(model=counter.model, turns=(), policy=_POLICY, server=counter.server)
    count = count_audio(audio, request, ASSUMED_VIDEO_SECONDS)
    return FileCount(
        file=audio.where,
        type=media_type,
        size=None,
        resized=None,
        seconds=count.seconds,
        tokens=count.max_tokens,
        is_at_most=count.seconds is None,
    )


def _resized(count: MediaCount) -> Size | None:
    if count.width is None or count.height is None:
        return None
    return count.width, count.height


def _count_document(
    counter: TokenCounter, document: Image | Document, media_type: str
) -> FileCount:
    pages = measure_pages(document, _POLICY)
    if isinstance(pages, Image):
        return _count_image(counter, pages, media_type)
    resized = [_resized(counter.measure_page(document, page)) for page in pages]
    return FileCount(
        file=document.where,
        type=media_type,
        size=_only([page.size for page in pages]),
        resized=_only(resized),
        pages=len(pages),
        tokens=counter.count_part(document),
    )


def _only(sizes: Sequence[Size | None]) -> Size | None:
    """Return the size that all pages have."""
    return sizes[0] if len(set(sizes)) == 1 else None


def _print_json(counts: Sequence[FileCount], counter: TokenCounter, cost: Cost) -> None:
    tokens, window = _add_up(counts), _find_window(counter)
    total = {
        "model": counter.model,
        "server": counter.server,
        "files": len(counts),
        "total_tokens": tokens,
        "total_price": None if cost.amount is None else float(cost.amount),
        "currency": cost.currency,
        "is_price_unsure": cost.is_unsure if cost.price else None,
        "max_input_tokens": window,
        "exceeds_context_window": None if window is None else tokens > window,
    }
    for count in counts:
        print_json({**asdict(count), "file": _to_unicode(count.file)})
    print_json(total)


def _print_table(counts: Sequence[FileCount], counter: TokenCounter, cost: Cost) -> None:
    tokens = _add_up(counts)
    table = Table(
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold",
        caption=f"\n{escape(_describe_rule(counter, cost))}",
        caption_justify="left",
    )
    table.add_column("File", overflow="fold")
    table.add_column("Type", no_wrap=True)
    for heading in ("Size", "Seen as", "Frames", "Tokens"):
        table.add_column(heading, justify="right", no_wrap=True)
    for count in counts:
        table.add_row(
            escape(_to_unicode(count.file)),
            count.type,
            _encode(count.size),
            _encode(count.resized),
            _format_length(count),
            _format_tokens(count.tokens, is_at_most=count.is_at_most),
        )
    is_at_most = any(count.is_at_most for count in counts)
    total = _format_tokens(tokens, is_at_most=is_at_most)
    table.add_row("Total", "", "", "", "", total, style="bold")
    console = Console(highlight=False)
    console.print(table)
    if overflow := _describe_overflow(counter, tokens):
        console.print(overflow, style="bold yellow", markup=False)


def _describe_rule(counter: TokenCounter, cost: Cost) -> str:
    if counter.server != DEFAULT_SERVER:
        server = get_server_spec(counter.server).title
        return f"By the rules of transformers, for {counter.model} at {server}."
    return f"By the rules of the hosted service, for {counter.model}.{_describe_cost(cost)}"


def _describe_cost(cost: Cost) -> str:
    if cost.amount is None or cost.price is None:
        return ""
    place = _PLACES.get(cost.price.scope or "", "")
    doubt = ", unsure" if cost.is_unsure else ""
    answer = f" with an answer of {cost.output_tokens:,} tokens" if cost.output_tokens else ""
    amount = f"{'at most ' if cost.is_at_most else ''}{cost.amount:.4f} {cost.currency}"
    return f" In one request{answer}: {amount} (list price, {place}{doubt})."


def _find_window(counter: TokenCounter) -> int | None:
    """Return how many tokens of input the model takes; `None` where it is not known."""
    if counter.server != DEFAULT_SERVER or not is_service_model(counter.model):
        # A self-hosted server's is set by its flags, and that of an unknown model is not known.
        return None
    spec = get_model_spec(counter.model)
    limits = [limit for limit in (spec.max_input_tokens, spec.context_window) if limit]
    return min(limits, default=None)


def _describe_overflow(counter: TokenCounter, tokens: int) -> str | None:
    """Return why the files do not fit into one request; `None` if they do."""
    limit = _find_window(counter)
    if limit is None or tokens <= limit:
        return None
    window = get_model_spec(counter.model).context_window
    whole = f" ({window:,} with the answer)" if window and window > limit else ""
    return (
        f"Together they exceed the context window of {counter.model}, which takes {limit:,} tokens "
        f"of input{whole}."
    )


def _to_unicode(name: str) -> str:
    """Return the name of a file as it can be printed, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _find_cost(counter: TokenCounter, tokens: int, output_tokens: int, region: str) -> Cost:
    usage = Usage(
        input_tokens=tokens, output_tokens=output_tokens, total_tokens=tokens + output_tokens
    )
    return cost_of(usage, counter.model, region=region, server=counter.server)


def _add_up(counts: Sequence[FileCount]) -> int:
    return sum(count.tokens for count in counts)


def _encode(size: Size | None) -> str:
    return f"{size[0]}x{size[1]}" if size else "?"


def _format_length(count: FileCount) -> str:
    if count.pages is not None:
        return f"{count.pages} pages"
    if count.seconds is not None:
        return f"{count.seconds:,.1f} s"
    return "–" if count.frames is None else f"{count.frames:,}"


def _format_tokens(tokens: int, *, is_at_most: bool) -> str:
    return f"≤ {tokens:,}" if is_at_most else f"{tokens:,}"
