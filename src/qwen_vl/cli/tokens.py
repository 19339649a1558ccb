"""The command `qwen-vl tokens`: what pictures, videos and PDF documents cost, offline."""

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qwen_vl.content import Document, Image, LocalFile, LocalFileUrl, Video
from qwen_vl.errors import MediaNotFoundError, MissingExtraError
from qwen_vl.media.image import check_size
from qwen_vl.media.limits import check_part
from qwen_vl.media.load import open_local
from qwen_vl.media.measure import measure_image, measure_video
from qwen_vl.media.pdf import PDF_TYPE, measure_pages
from qwen_vl.media.sniff import sniff
from qwen_vl.media.video.container import has_av
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.models import DEFAULT_MODEL, find_input_price
from qwen_vl.specs.servers import DEFAULT_SERVER, Server, get_server_spec
from qwen_vl.tokens.conversation import TokenCounter
from qwen_vl.tokens.media import MediaCount

_HEAD_BYTES = 1_024
_SHOWN_CHARS = 80
_POLICY = MediaPolicy()

Size: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCount:
    """What one file costs.

    Args:
        file: As the user wrote it.
        type: Media type, told from its bytes.
        size: Width and height in pixels, of a picture, of the frames, or of every page; `None`
            where the header does not say, or pages differ.
        resized: As the model looks at it; `None` likewise.
        frames: How many frames of a video the model looks at.
        pages: How many pages of a document are sent.
        tokens: Markers included, and the labels of pages.
        is_at_most: Whether the size could not be read, so that `tokens` is an upper limit.
    """

    file: str
    type: str
    size: Size | None
    resized: Size | None
    frames: int | None = None
    pages: int | None = None
    tokens: int
    is_at_most: bool = False


def tokens(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE…", help="Pictures, videos, PDF documents.")
    ],
    *,
    model: Annotated[str, typer.Option(help="Model id.")] = DEFAULT_MODEL,
    max_pixels: Annotated[
        int | None, typer.Option(help="Most pixels of a picture or frame.")
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second of videos.")] = None,
    server: Annotated[
        Server, typer.Option(help="Which server will be asked: its rule counts.")
    ] = DEFAULT_SERVER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
) -> None:
    """Count the tokens that files cost, and the price where it is known; nothing is sent."""
    counter = TokenCounter(model=model, parameters={}, policy=_POLICY, server=server)
    counts = [_count_file(counter, value, max_pixels, fps) for value in files]
    if as_json:
        _print_json(counts, counter)
    else:
        _print_table(counts, counter)


def _count_file(
    counter: TokenCounter, value: str, max_pixels: int | None, fps: float | None
) -> FileCount:
    source = LocalFile(_find_path(value), is_trusted=True)
    with open_local(source, _POLICY, value) as file:
        media_type = sniff(file.read(_HEAD_BYTES)) or ""
    if media_type == PDF_TYPE:
        title = source.path.name
        return _count_document(counter, Document(source=source, title=title, where=value))
    if media_type.startswith("video/"):
        video = Video(source=source, fps=fps, max_pixels=max_pixels, where=value)
        return _count_video(counter, video, source, media_type)
    image = Image(source=source, max_pixels=max_pixels, where=value)
    return _count_image(counter, image, media_type)


def _find_path(value: str) -> Path:
    if value[:7].lower() == "file://":
        return LocalFileUrl(value).path
    if "://" in value or value[:5].lower() == "data:":
        raise MediaNotFoundError(
            "This is an address, and only files are counted.",
            where=value[:_SHOWN_CHARS],
            value=value,
            remedy="Download it first.",
        )
    return Path(value)


def _count_image(counter: TokenCounter, image: Image, media_type: str) -> FileCount:
    check_part(image, counter.model)
    size = measure_image(image.source, _POLICY, image.where)
    if size:
        check_size(*size, image.where)
    count = counter.measure(image)
    return FileCount(
        file=image.where,
        type=media_type,
        size=size,
        resized=_resized(count),
        tokens=count.tokens,
        is_at_most=count.is_assumed,
    )


def _count_video(
    counter: TokenCounter, video: Video, source: LocalFile, media_type: str
) -> FileCount:
    if not has_av():
        raise MissingExtraError("Counting the tokens of video files", extra="video")
    check_part(video, counter.model)
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


def _resized(count: MediaCount) -> Size | None:
    if count.width is None or count.height is None:
        return None
    return count.width, count.height


def _count_document(counter: TokenCounter, document: Document) -> FileCount:
    sizes = measure_pages(document, _POLICY)
    resized = [_resized(counter.measure_page(*size)) for size in sizes]
    return FileCount(
        file=document.where,
        type=PDF_TYPE,
        size=_only(sizes),
        resized=_only(resized),
        pages=len(sizes),
        tokens=counter.count_part(document),
    )


def _only(sizes: Sequence[Size | None]) -> Size | None:
    """Give the size that all pages have."""
    return sizes[0] if len(set(sizes)) == 1 else None


def _print_json(counts: Sequence[FileCount], counter: TokenCounter) -> None:
    tokens = _add_up(counts)
    total = {
        "model": counter.model,
        "server": counter.server,
        "files": len(counts),
        "total_tokens": tokens,
        "total_price_cny": _find_price(counter, tokens),
    }
    for line in (*map(asdict, counts), total):
        sys.stdout.buffer.write(orjson.dumps(line) + b"\n")


def _print_table(counts: Sequence[FileCount], counter: TokenCounter) -> None:
    tokens = _add_up(counts)
    table = Table(
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold",
        caption=f"\n{escape(_describe_rule(counter, tokens))}",
        caption_justify="left",
    )
    table.add_column("File", overflow="fold")
    table.add_column("Type", no_wrap=True)
    for heading in ("Size", "Seen as", "Frames", "Tokens"):
        table.add_column(heading, justify="right", no_wrap=True)
    for count in counts:
        table.add_row(
            escape(count.file),
            count.type,
            _encode(count.size),
            _encode(count.resized),
            _format_length(count),
            _format_tokens(count.tokens, is_at_most=count.is_at_most),
        )
    is_at_most = any(count.is_at_most for count in counts)
    total = _format_tokens(tokens, is_at_most=is_at_most)
    table.add_row("Total", "", "", "", "", total, style="bold")
    Console(highlight=False).print(table)


def _describe_rule(counter: TokenCounter, tokens: int) -> str:
    if counter.server != DEFAULT_SERVER:
        server = get_server_spec(counter.server).title
        return f"By the rules of transformers, for {counter.model} at {server}."
    price = _find_price(counter, tokens)
    cost = "" if price is None else f" In one request: {price:.4f} yuan (list price, Beijing)."
    return f"By the rules of the hosted service, for {counter.model}.{cost}"


def _find_price(counter: TokenCounter, tokens: int) -> float | None:
    is_hosted = counter.server == DEFAULT_SERVER
    return find_input_price(counter.model, tokens) if is_hosted else None


def _add_up(counts: Sequence[FileCount]) -> int:
    return sum(count.tokens for count in counts)


def _encode(size: Size | None) -> str:
    return f"{size[0]}x{size[1]}" if size else "?"


def _format_length(count: FileCount) -> str:
    if count.pages is not None:
        return f"{count.pages} pages"
    return "–" if count.frames is None else f"{count.frames:,}"


def _format_tokens(tokens: int, *, is_at_most: bool) -> str:
    return f"≤ {tokens:,}" if is_at_most else f"{tokens:,}"
