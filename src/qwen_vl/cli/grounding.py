"""The commands `qwen-vl locate` and `qwen-vl timeline`: where and when, as data and as pictures."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qwen_vl.cli.endpoint import find_source, make_settings, open_endpoint
from qwen_vl.content import Image, Url, Video, VideoMode, is_remote
from qwen_vl.errors import ConfigurationError
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.timeline import Timeline, format_clock
from qwen_vl.specs.models import DEFAULT_MODEL, CoordinateSpace

_SIZE = re.compile(r"(\d{1,6})[x×](\d{1,6})")
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def locate(
    image: Annotated[str, typer.Argument(help="A picture: a file or an address.")],
    what: Annotated[str, typer.Argument(help="What to look for, in words.")],
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw what is found, as PNG.")
    ] = None,
    points: Annotated[bool, typer.Option("--points", help="Points in place of boxes.")] = False,
    space: Annotated[
        CoordinateSpace | None,
        typer.Option(help="What the model's coordinates count in, where its family does not."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Width and height of a picture behind an address: 640x480.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Another prompt, with {what} in it.")] = None,
    font: Annotated[str | None, typer.Option(help="Font of the labels.")] = None,
    model: Annotated[str, typer.Option(help="Model id.")] = DEFAULT_MODEL,
    region: Annotated[str | None, typer.Option(help="cn-beijing, ap-southeast-1, …")] = None,
    base_url: Annotated[str | None, typer.Option(help="Another endpoint.")] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Most pixels to look at.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    sandbox: Annotated[bool, typer.Option(help="Ask a local sandbox, not the service.")] = False,
) -> None:
    """Find things in a picture, in pixels, and draw them on it."""
    from qwen_vl.grounding.drawing import draw_grounding  # noqa: PLC0415 - with Pillow, slow for `ask`
    from qwen_vl.grounding.grounder import Grounder  # noqa: PLC0415 - as above

    source, path = find_source(image)
    _check_output(output, source)
    with open_endpoint(sandbox=sandbox) as endpoint:
        values = {"base_url": base_url, **endpoint}
        settings = make_settings(model=model, region=region, max_pixels=max_pixels, **values)
        found = Grounder(settings).locate(
            Image(source=source, where=image),
            what,
            points=points,
            space=space,
            size=_read_size(size),
            prompt=prompt,
        )
    if output:
        drawn = draw_grounding(path or _url(source), found, font=font)
        _write(output, lambda: drawn.save(output, "PNG"))
    if as_json:
        _print_json(found.to_dict())
    else:
        _print_boxes(found)


def timeline(
    video: Annotated[str, typer.Argument(help="A video: a file or an address.")],
    what: Annotated[
        str | None, typer.Argument(help="What to look for, in words; else all that happens.")
    ] = None,
    *,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw a frame for each event, as PNG.")
    ] = None,
    vtt: Annotated[Path | None, typer.Option(help="Write subtitles as WebVTT.")] = None,
    srt: Annotated[Path | None, typer.Option(help="Write subtitles as SubRip.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write a table.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Another prompt, with {what} in it.")] = None,
    font: Annotated[str | None, typer.Option(help="Font of the captions.")] = None,
    model: Annotated[str, typer.Option(help="Model id.")] = DEFAULT_MODEL,
    region: Annotated[str | None, typer.Option(help="cn-beijing, ap-southeast-1, …")] = None,
    base_url: Annotated[str | None, typer.Option(help="Another endpoint.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second to look at.")] = None,
    start: Annotated[float | None, typer.Option(help="Second at which to begin.")] = None,
    end: Annotated[float | None, typer.Option(help="Second at which to stop.")] = None,
    max_frames: Annotated[int | None, typer.Option(help="Most frames to look at.")] = None,
    video_mode: Annotated[
        VideoMode, typer.Option(help="Whole, as frames, whichever fits, or uploaded.")
    ] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    sandbox: Annotated[bool, typer.Option(help="Ask a local sandbox, not the service.")] = False,
) -> None:
    """Find events in a video, in seconds, and write them as subtitles, a table or a picture."""
    from qwen_vl.grounding.drawing import draw_timeline  # noqa: PLC0415 - with Pillow, slow for `ask`
    from qwen_vl.grounding.grounder import Grounder  # noqa: PLC0415 - as above

    source, path = find_source(video)
    _check_output(output, source)
    with open_endpoint(sandbox=sandbox) as endpoint:
        values = {"base_url": base_url, **endpoint}
        cutting = {"fps": fps, "max_frames": max_frames, "video_mode": video_mode}
        settings = make_settings(model=model, region=region, **cutting, **values)
        part = Video(source=source, start=start, end=end, where=video)
        found = Grounder(settings).timeline(part, what, prompt=prompt)
    if output:
        drawn = draw_timeline(path or _url(source), found, font=font)
        _write(output, lambda: drawn.save(output, "PNG"))
    writers = {vtt: found.to_webvtt, srt: found.to_srt, csv: found.to_csv}
    for place, write in writers.items():
        if place:
            _write_text(place, write())
    if as_json:
        _print_json(found.to_dict())
    else:
        _print_events(found)


def _check_output(output: Path | None, source: Any) -> None:
    """Refuse what could not be drawn before anything is asked."""
    if output is None:
        return
    if output.suffix.lower() != ".png":
        raise ConfigurationError(f"Pictures are written as PNG: name {output.name!r} so.")
    if isinstance(source, Url) and is_remote(source.url):
        raise ConfigurationError(
            "What stands behind an address is not fetched here, so that nothing can be drawn on "
            "it. Download it first, or leave out -o."
        )


def _url(source: Any) -> Any:
    return source.url if isinstance(source, Url) else None


def _read_size(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    read = _SIZE.fullmatch(size.strip().lower())
    if read is None:
        raise ConfigurationError(f"--size is {size!r}; it must be like 640x480.")
    return int(read[1]), int(read[2])


def _print_json(made: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(made) + b"\n")


def _print_boxes(found: Grounding) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("Label", overflow="fold")
    headings = ("x1", "y1", "x2", "y2") if found.boxes else ("x", "y")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for box in found.boxes:
        table.add_row(escape(box.label), *(f"{value:.0f}" for value in box.xyxy))
    for point in found.points:
        table.add_row(escape(point.label), f"{point.x:.0f}", f"{point.y:.0f}")
    if len(found):
        _out.print(table)
    else:
        _out.print("Nothing found.")
    _print_cut(found.is_cut_off)


def _print_events(found: Timeline) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("From", "To"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Event", overflow="fold")
    for event in found:
        table.add_row(format_clock(event.start), format_clock(event.end), escape(event.text))
    if len(found):
        _out.print(table)
    else:
        _out.print("Nothing found.")
    _print_cut(found.is_cut_off)


def _print_cut(is_cut_off: bool) -> None:
    if is_cut_off:
        _err.print("The answer broke off: there may be more.", style="yellow")


def _write(path: Path, write: Callable[[], object]) -> None:
    with _reported(path):
        write()
    _err.print(f"Wrote {escape(str(path))}", style="dim", soft_wrap=True)


def _write_text(path: Path, text: str) -> None:
    _write(path, lambda: path.write_text(text, encoding="utf-8", newline=""))


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from error
