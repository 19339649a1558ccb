"""The command line: `qwen-vl ask | demo | locate | models | sandbox | timeline | tokens`.

Exit codes: 0 answered; 2 wrong usage; 3 a picture or video cannot be sent; 4 a setting is missing
or wrong; 5 the service refused; 6 the service failed for now, another try may succeed.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.metadata import entry_points, version
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.console import Console
from rich.table import Table

from qwen_vl.cli.endpoint import load_sandbox, make_settings, open_endpoint, to_part
from qwen_vl.cli.grounding import locate, timeline
from qwen_vl.cli.tokens import tokens
from qwen_vl.client import QwenVLClient
from qwen_vl.connection import API_KEY_VARIABLE
from qwen_vl.content import Image, Part, Text, Turn, Video, VideoMode
from qwen_vl.errors import (
    ConfigurationError,
    ContentError,
    QwenVLError,
    ServiceError,
)
from qwen_vl.reply import Delta, Reply, ReplyBuilder, Usage
from qwen_vl.request.types import Request
from qwen_vl.specs.models import CURRENT_MODELS, DEFAULT_MODEL, get_model_spec

EXIT_CONTENT, EXIT_CONFIGURATION, EXIT_REFUSED, EXIT_UNAVAILABLE = 3, 4, 5, 6

app = typer.Typer(
    help="Ask Qwen VL about pictures and videos.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(version("qwen-vl"))  # noqa: T201 - nothing but the number.
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    media: Annotated[
        list[str] | None, typer.Argument(metavar="FILE_OR_URL…", help="Pictures and videos.")
    ] = None,
    *,
    video: Annotated[
        list[str] | None,
        typer.Option(help="A video whose URL does not end like one. May be given again."),
    ] = None,
    model: Annotated[str, typer.Option(help="Model id.")] = DEFAULT_MODEL,
    region: Annotated[str | None, typer.Option(help="cn-beijing, ap-southeast-1, …")] = None,
    base_url: Annotated[str | None, typer.Option(help="Another endpoint.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second of videos.")] = None,
    max_pixels: Annotated[int | None, typer.Option(help="Most pixels of a picture.")] = None,
    start: Annotated[
        float | None, typer.Option(help="Second of the video files at which to begin.")
    ] = None,
    end: Annotated[
        float | None, typer.Option(help="Second of the video files at which to stop.")
    ] = None,
    max_frames: Annotated[int | None, typer.Option(help="Most frames of a video file.")] = None,
    video_mode: Annotated[
        VideoMode, typer.Option(help="Video files whole, as frames, whichever fits, or uploaded.")
    ] = "auto",
    think: Annotated[
        bool | None, typer.Option("--think/--no-think", help="Reason before the answer.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    sandbox: Annotated[bool, typer.Option(help="Ask a local sandbox, not the service.")] = False,
) -> None:
    """Ask about pictures and videos; the answer is printed as it comes."""
    with _errors_as_exit_codes(), open_endpoint(sandbox=sandbox) as endpoint:
        # Parameters that are None count as not given.
        values = {"base_url": base_url, **endpoint}
        cutting = {"max_frames": max_frames, "video_mode": video_mode}
        settings = make_settings(
            model=model, region=region, fps=fps, max_pixels=max_pixels, **cutting, **values
        )
        parts = [
            *(to_part(value, is_video=False) for value in media or ()),
            *(to_part(value, is_video=True) for value in video or ()),
            Text(text=question),
        ]
        turn = Turn(role="user", parts=tuple(_cut(part, start, end) for part in parts))
        request = settings.make_request([turn], stream=True, enable_thinking=think)
        reply = _print_answer(QwenVLClient(settings.connection()), request, quietly=as_json)
        if as_json:
            sys.stdout.buffer.write(orjson.dumps(_to_json(reply)) + b"\n")
        else:
            _err.print(f"\n{_describe_usage(reply)}", style="dim", soft_wrap=True)


@app.command()
def demo() -> None:
    """Ask about real pictures and a real video, at the service if there is a key, else here."""
    with _errors_as_exit_codes():
        demos = sorted(entry_points(group="qwen_vl.demo"), key=lambda entry: entry.name)
        if not demos:
            raise ConfigurationError(
                "The demo needs: pip install langchain-qwen-vl, or llama-index-llms-qwen-vl"
            )
        has_key = bool(os.environ.get(API_KEY_VARIABLE))
        with open_endpoint(sandbox=not has_key) as endpoint:
            if has_key:
                _out.print(f"[bold]Asking the service[/bold], since {API_KEY_VARIABLE} is set.\n")
            else:
                _out.print(
                    "[bold]Asking the local sandbox[/bold], which is no model: it says what it "
                    f"received. Set {API_KEY_VARIABLE} to ask the service.\n"
                )
            for entry in demos:
                run: Callable[..., None] = entry.load()
                run(_out, **endpoint)


@app.command()
def models() -> None:
    """List the vision models that the service offers, and what each can do."""
    table = Table(
        box=None,
        padding=(0, 1, 0, 0),
        header_style="bold",
        caption="\nAny other id works too, as the newest of these do.",
    )
    table.add_column("Model", no_wrap=True)
    for heading in ("Thinks", "Tools", "Schema", "Pictures", "Frames", "Context", "Output"):
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


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65_535)] = 8000,
    server: Annotated[
        Literal["dashscope", "vllm", "sglang", "llamacpp", "ollama"],
        typer.Option(help="The server to imitate; the service itself if not given."),
    ] = "dashscope",
) -> None:
    """Run a local endpoint that checks requests and says what it received."""
    with _errors_as_exit_codes():
        load_sandbox().serve(port, server=server)


def _cut(part: Image | Video | Text, start: float | None, end: float | None) -> Part:
    return replace(part, start=start, end=end) if isinstance(part, Video) else part


def _print_answer(client: QwenVLClient, request: Request, *, quietly: bool) -> Reply:
    builder = ReplyBuilder()
    was_thinking = False
    for delta in client.stream(request):
        builder.add(delta)
        if quietly:
            continue
        if delta.reasoning:
            _out.print(delta.reasoning, end="", style="dim", markup=False, soft_wrap=True)
            was_thinking = True
        if delta.text:
            _print_text(delta, after_thinking=was_thinking)
            was_thinking = False
    if not quietly:
        _out.print()
    return builder.reply()


def _print_text(delta: Delta, *, after_thinking: bool) -> None:
    if after_thinking:
        _out.print("\n")
    _out.print(delta.text, end="", markup=False, soft_wrap=True)


def _to_json(reply: Reply) -> dict[str, Any]:
    usage = asdict(reply.usage) if reply.usage else None
    if usage:
        usage = {name: count for name, count in usage.items() if isinstance(count, int)}
    return {
        "answer": reply.text,
        **({"reasoning": reply.reasoning} if reply.reasoning else {}),
        "model": reply.model,
        "finish_reason": reply.finish_reason,
        "usage": usage,
        "request_id": reply.request_id,
    }


def _describe_usage(reply: Reply) -> str:
    return f"{describe_usage(reply.usage)} · {reply.model} · request {reply.request_id}"


def describe_usage(usage: Usage | None) -> str:
    """Say in one line what a request cost.

    Args:
        usage: The service's counts.

    Example:
        >>> describe_usage(Usage(input_tokens=150, output_tokens=9, total_tokens=159))
        '150 tokens in, 9 out'
    """
    if usage is None:
        return "no token counts"
    kinds = {"picture": usage.image_tokens, "video": usage.video_tokens}
    details = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
    thought = f", {usage.reasoning_tokens:,} of them reasoning" if usage.reasoning_tokens else ""
    media = f" ({details})" if details else ""
    return f"{usage.input_tokens:,} tokens in{media}, {usage.output_tokens:,} out{thought}"


@contextmanager
def _errors_as_exit_codes() -> Iterator[None]:
    try:
        yield
    except QwenVLError as error:
        _err.print("Error:", style="bold red", end=" ")
        _err.print(str(error), markup=False, soft_wrap=True)
        raise typer.Exit(_exit_code(error)) from error


for command in (locate, timeline, tokens):
    app.command()(_errors_as_exit_codes()(command))


def _exit_code(error: QwenVLError) -> int:
    match error:
        case ContentError():
            return EXIT_CONTENT
        case ServiceError():
            return EXIT_UNAVAILABLE if error.is_retryable else EXIT_REFUSED
        case _:
            return EXIT_CONFIGURATION


def _thousands(tokens: int | None) -> str:
    return f"{tokens / 1000:.0f}k" if tokens else "?"


def _yes(answer: bool) -> str:
    return "yes" if answer else "–"
