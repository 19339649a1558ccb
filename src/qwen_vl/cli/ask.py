"""The command `qwen-vl ask`: a question about images, videos, audio and documents."""

from dataclasses import asdict, replace
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

from qwen_vl.cli import options
from qwen_vl.cli.endpoint import make_settings, open_endpoint
from qwen_vl.cli.inputs import check_standard_input, read_question, to_part
from qwen_vl.cli.reporting import print_json, print_warning
from qwen_vl.cli.schema import AnswerSchema, read_schema
from qwen_vl.client import QwenVLClient
from qwen_vl.content import Part, Text, Turn, Video, VideoMode
from qwen_vl.reply import Delta, Reply, ReplyBuilder, Usage, describe_cut
from qwen_vl.request.build import build_connection, build_request
from qwen_vl.request.types import Request
from qwen_vl.specs.models import DEFAULT_MODEL
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def ask(
    question: Annotated[str, typer.Argument(help="What to ask; '-' reads it from standard input.")],
    media: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE_OR_URL…",
            help="Images, videos, audio, PDF and TIFF; '-' reads one from standard input.",
        ),
    ] = None,
    *,
    video: Annotated[
        list[str] | None,
        typer.Option(help="A video whose URL does not look like one. Can be repeated."),
    ] = None,
    pages: Annotated[
        str | None, typer.Option(help="Pages of PDF and TIFF documents: 1-3,7. All by default.")
    ] = None,
    system: Annotated[str | None, typer.Option(help="System message.")] = None,
    schema: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="File of a JSON schema: the answer is JSON that follows it."
        ),
    ] = None,
    model: options.Model = DEFAULT_MODEL,
    base_model: options.BaseModel = None,
    region: options.Region = None,
    base_url: options.BaseUrl = None,
    server: options.ServerOption = DEFAULT_SERVER,
    protocol: options.ProtocolOption = DEFAULT_PROTOCOL,
    temperature: Annotated[
        float | None, typer.Option(help="Sampling temperature, from 0 to below 2.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Maximum number of tokens of the answer.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the sampling, for answers that can be repeated.")
    ] = None,
    think: Annotated[
        bool | None, typer.Option("--think/--no-think", help="Reason before the answer.")
    ] = None,
    timeout: options.Timeout = None,
    fps: Annotated[float | None, typer.Option(help="Frames per second of videos.")] = None,
    max_pixels: Annotated[
        int | None, typer.Option(help="Maximum number of pixels of an image or frame.")
    ] = None,
    start: Annotated[
        float | None, typer.Option(help="Second of the video files at which to begin.")
    ] = None,
    end: Annotated[
        float | None, typer.Option(help="Second of the video files at which to stop.")
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="Maximum number of frames of a video file.")
    ] = None,
    video_mode: Annotated[
        VideoMode,
        typer.Option(help="Send video files whole, as frames, uploaded, or as what fits (auto)."),
    ] = "auto",
    as_json: options.AsJson = False,
    sandbox: options.UseSandbox = False,
) -> None:
    """Ask about images, videos, audio and documents; the answer is printed as it comes."""
    check_standard_input([question, *(media or ()), *(video or ()), schema])
    words = read_question(question)
    parts = [
        *(to_part(value, pages=pages) for value in media or ()),
        *(to_part(value, is_video=True) for value in video or ()),
    ]
    if pages is not None and not any(getattr(part, "pages", None) for part in parts):
        raise typer.BadParameter(
            "None of the files is a PDF or TIFF document.", param_hint="--pages"
        )
    wanted = None if schema is None else read_schema(schema)
    with open_endpoint(sandbox=sandbox, server=server, base_url=base_url) as endpoint:
        settings = make_settings(
            model=model,
            base_model=base_model,
            region=region,
            protocol=protocol,
            temperature=temperature,
            max_tokens=max_tokens,
            seed=seed,
            timeout=timeout,
            fps=fps,
            max_pixels=max_pixels,
            max_frames=max_frames,
            video_mode=video_mode,
            **endpoint,
        )
        turns = [
            *([] if system is None else [Turn(role="system", parts=(Text(text=system),))]),
            Turn(
                role="user", parts=(*(_cut(part, start, end) for part in parts), Text(text=words))
            ),
        ]
        asked = {} if wanted is None else wanted.options(settings)
        request = build_request(settings, turns, stream=True, enable_thinking=think, **asked)
        client = QwenVLClient(build_connection(settings))
        reply = _receive(client, request, quietly=as_json or wanted is not None)
    _print_reply(reply, wanted, as_json=as_json)


def describe_usage(usage: Usage | None) -> str:
    """Return what a request cost, in one line.

    Args:
        usage: The service's counts.

    Example:
        >>> describe_usage(Usage(input_tokens=150, output_tokens=9, total_tokens=159))
        '150 tokens in, 9 out'
    """
    if usage is None:
        return "no token counts"
    kinds = {
        "image": usage.image_tokens,
        "video": usage.video_tokens,
        "audio": usage.audio_tokens,
    }
    details = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count)
    thought = f", {usage.reasoning_tokens:,} of them reasoning" if usage.reasoning_tokens else ""
    media = f" ({details})" if details else ""
    return f"{usage.input_tokens:,} tokens in{media}, {usage.output_tokens:,} out{thought}"


def _cut(part: Part, start: float | None, end: float | None) -> Part:
    return replace(part, start=start, end=end) if isinstance(part, Video) else part


def _receive(client: QwenVLClient, request: Request, *, quietly: bool) -> Reply:
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


def _print_reply(reply: Reply, schema: AnswerSchema | None, *, as_json: bool) -> None:
    """Print what is left to print of a reply whose text is printed as it comes."""
    parsed = None if schema is None else schema.read(reply)
    if as_json:
        print_json({**_to_json(reply), **({} if schema is None else {"parsed": parsed})})
        return
    if schema is not None:
        _out.print(
            orjson.dumps(parsed, option=orjson.OPT_INDENT_2).decode(), markup=False, soft_wrap=True
        )
    cut = describe_cut(reply.finish_reason, is_truncated=reply.is_truncated)
    if cut:
        print_warning(cut)
    _err.print(f"\n{_describe_reply(reply)}", style="dim", markup=False, soft_wrap=True)


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


def _describe_reply(reply: Reply) -> str:
    return f"{describe_usage(reply.usage)} · {reply.model} · request {reply.request_id}"
