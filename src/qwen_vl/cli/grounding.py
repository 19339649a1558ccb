"""The commands `qwen-vl locate` and `qwen-vl timeline`: places and times, as data and drawn."""

import io
import re
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from qwen_vl.cli import options
from qwen_vl.cli.endpoint import make_settings, open_endpoint
from qwen_vl.cli.inputs import (
    STANDARD_INPUT,
    check_standard_input,
    find_source,
    name_input,
    read_text_input,
)
from qwen_vl.cli.outputs import Outputs
from qwen_vl.cli.reporting import print_json
from qwen_vl.content import Image, Source, Url, Video, VideoMode, is_remote, to_value
from qwen_vl.errors import ConfigurationError, MissingExtraError, extra_required
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.timeline import Timeline, format_clock
from qwen_vl.media.video.container import has_av
from qwen_vl.specs.models import DEFAULT_MODEL, CoordinateSpace
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_SIZE = re.compile(r"(\d{1,6})[x×](\d{1,6})")
_SUFFIXES = {"--output": ".png", "--vtt": ".vtt", "--srt": ".srt", "--csv": ".csv"}
_FONT_SIZE = 16
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def locate(
    image: Annotated[
        str, typer.Argument(help="Image file or URL; '-' reads it from standard input.")
    ],
    what: Annotated[
        str, typer.Argument(help="What to look for; '-' reads it from standard input.")
    ],
    *,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="PNG file to draw on; '-' is standard output."),
    ] = None,
    points: Annotated[bool, typer.Option("--points", help="Points instead of boxes.")] = False,
    space: Annotated[
        CoordinateSpace | None,
        typer.Option(help="Coordinate space of the model, where it is not that of its family."),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Width and height of an image behind a URL: 640x480.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Your own prompt, with {what} in it.")] = None,
    font: Annotated[str | None, typer.Option(help="Font of the labels: a file or name.")] = None,
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
    """Find things in an image, in pixels, and draw them."""
    from qwen_vl.grounding.drawing import draw_grounding  # noqa: PLC0415 - with Pillow, slow for `ask`
    from qwen_vl.grounding.grounder import Grounder  # noqa: PLC0415 - as above

    check_standard_input([image, what])
    words = read_text_input() if what == STANDARD_INPUT else what
    source, path = find_source(image)
    inputs = [path or image, font]
    outputs = Outputs({"--output": output}, _SUFFIXES, inputs=inputs, as_json=as_json)
    if "--output" in outputs:
        _check_drawing(source, font)
    measures = _read_size(size)
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
        found = Grounder(settings).locate(
            Image(source=source, where=name_input(image)),
            words,
            points=points,
            space=space,
            size=measures,
            prompt=prompt,
        )
    if "--output" in outputs:
        drawn = draw_grounding(path or to_value(source), found, font=font)
        outputs.write("--output", _to_png(drawn))
    if as_json:
        print_json(found.to_dict())
    else:
        _print_boxes(found, _err if outputs.uses_stdout else _out)


def timeline(
    video: Annotated[
        str, typer.Argument(help="Video file or URL; '-' reads it from standard input.")
    ],
    what: Annotated[
        str | None,
        typer.Argument(
            help="What to look for; by default everything that happens. '-' reads it "
            "from standard input."
        ),
    ] = None,
    *,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="PNG file to draw a frame per event in; '-' is standard output."
        ),
    ] = None,
    vtt: Annotated[
        str | None, typer.Option(help="WebVTT file to write; '-' is standard output.")
    ] = None,
    srt: Annotated[
        str | None, typer.Option(help="SubRip file to write; '-' is standard output.")
    ] = None,
    csv: Annotated[
        str | None, typer.Option(help="CSV file to write; '-' is standard output.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Your own prompt, with {what} in it.")] = None,
    font: Annotated[str | None, typer.Option(help="Font of the captions: a file or name.")] = None,
    model: options.Model = DEFAULT_MODEL,
    base_model: options.BaseModel = None,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    server: options.ServerOption = DEFAULT_SERVER,
    protocol: options.ProtocolOption = DEFAULT_PROTOCOL,
    timeout: options.Timeout = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second of the video.")] = None,
    start: Annotated[float | None, typer.Option(help="Second at which to begin.")] = None,
    end: Annotated[float | None, typer.Option(help="Second at which to stop.")] = None,
    max_frames: Annotated[int | None, typer.Option(help="Maximum number of frames.")] = None,
    video_mode: Annotated[
        VideoMode,
        typer.Option(help="Send the video whole, as frames, uploaded, or as what fits (auto)."),
    ] = "auto",
    as_json: options.AsJson = False,
    sandbox: options.UseSandbox = False,
) -> None:
    """Find events in a video, in seconds, and write them as subtitles, a table or an image."""
    from qwen_vl.grounding.drawing import draw_timeline  # noqa: PLC0415 - with Pillow, slow for `ask`
    from qwen_vl.grounding.grounder import Grounder  # noqa: PLC0415 - as above

    check_standard_input([video, what])
    words = read_text_input() if what == STANDARD_INPUT else what
    source, path = find_source(video)
    values = {"--output": output, "--vtt": vtt, "--srt": srt, "--csv": csv}
    outputs = Outputs(values, _SUFFIXES, inputs=[path or video, font], as_json=as_json)
    if "--output" in outputs:
        _check_drawing(source, font)
        if not has_av():
            raise MissingExtraError("Drawing a timeline", extra="video")
    if "--vtt" in outputs or "--srt" in outputs:
        with extra_required("Writing subtitles", extra="subtitles"):
            import webvtt  # noqa: F401, PLC0415 - an extra
    with open_endpoint(sandbox=sandbox, server=server, base_url=base_url) as endpoint:
        settings = make_settings(
            model=model,
            base_model=base_model,
            region=region,
            protocol=protocol,
            timeout=timeout,
            fps=fps,
            max_frames=max_frames,
            video_mode=video_mode,
            **endpoint,
        )
        part = Video(source=source, start=start, end=end, where=name_input(video))
        found = Grounder(settings).timeline(part, words, prompt=prompt)
    if "--output" in outputs:
        drawn = draw_timeline(path or to_value(source), found, font=font)
        outputs.write("--output", _to_png(drawn))
    writers = {"--vtt": found.to_webvtt, "--srt": found.to_srt, "--csv": found.to_csv}
    for option, write in writers.items():
        if option in outputs:
            outputs.write(option, write().encode())
    if as_json:
        print_json(found.to_dict())
    else:
        _print_events(found, _err if outputs.uses_stdout else _out)


def _check_drawing(source: Source, font: str | None) -> None:
    """Refuse what could not be drawn before anything is asked."""
    from qwen_vl.grounding.drawing import find_font  # noqa: PLC0415 - with Pillow, slow for `ask`

    if isinstance(source, Url) and is_remote(source.url):
        raise ConfigurationError(
            "--output draws on the file itself, and what a URL names is not fetched here. Download "
            "it first, or leave out --output."
        )
    find_font("", _FONT_SIZE, font)


def _to_png(image: "PillowImage") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _read_size(size: str | None) -> tuple[int, int] | None:
    if size is None:
        return None
    read = _SIZE.fullmatch(size.strip().lower())
    if read is None:
        raise ConfigurationError(f"--size is {size!r}; it must be like 640x480.")
    return int(read[1]), int(read[2])


def _print_boxes(found: Grounding, console: Console) -> None:
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
        console.print(table)
    else:
        console.print("Nothing found.")
    _print_cut(found.is_cut_off)


def _print_events(found: Timeline, console: Console) -> None:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    for heading in ("From", "To"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Event", overflow="fold")
    for event in found:
        table.add_row(format_clock(event.start), format_clock(event.end), escape(event.text))
    if len(found):
        console.print(table)
    else:
        console.print("Nothing found.")
    _print_cut(found.is_cut_off)


def _print_cut(is_cut_off: bool) -> None:
    if is_cut_off:
        _err.print("The answer broke off: there may be more.", style="yellow")
