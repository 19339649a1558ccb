"""What is asked: the conversation and every option, resolved once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from qwen_vl.content import Image, Part, Replacement, ToolPart, ToolResult, Turn, Video, VideoMode
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER, Protocol, Server

_Number = TypeVar("_Number", int, float, bool)

ToolMediaErrors: TypeAlias = Literal["note", "raise"]
"""What happens to content from a tool that cannot be sent."""

DEFAULT_MAX_INLINE_BYTES = 7 * 2**20
"""Most raw bytes of one inlined picture or video.

A third is added by Base64, and a data URL may have 10,485,760 characters (Vision page, 2025-10;
newer pages allow 20 MB for some models, but not for all of a request together).
"""

DEFAULT_MAX_TOTAL_INLINE_BYTES = 12 * 2**20
"""Most raw bytes of all that one request inlines.

The decoded body may have 16 MiB (Rate-limit page, 2026); this leaves room for the text.
"""

DEFAULT_PDF_DPI = 150.0
"""Letters of 8 points are 17 pixels high then, and an A4 page has 2.2 megapixels: the models look
at 2.6 of a picture where nothing else is asked for."""

DEFAULT_PDF_MAX_PAGES = 20
"""Some 42,000 tokens where the pages are A4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPolicy:
    """Which local files may be read, and how much may be inlined.

    Args:
        media_roots: Folders that files may be read from. `None`: only files that the program
            itself names by a `pathlib.Path`, wherever they are.
        max_inline_bytes: Most raw bytes of one inlined picture or video.
        max_total_inline_bytes: Most raw bytes of all of them together.
        downscale_images: Whether images with more pixels than the model processes are downscaled
            before they are sent; `None`: only for the hosted service's models, whose limits are
            known.
        video_mode: How local videos are sent that say nothing of it: `"inline"`, whole within the
            request; `"frames"`, as frames taken here; `"auto"`, whole where they are short enough
            and nothing is to be cut off; `"upload"`, whole by way of the temporary storage.
        max_frames: Most frames to take of a local video that says nothing of it.
        upload_cache: Where it is remembered what was uploaded: `True` for the user's cache folder,
            `False` for nowhere, or a folder.
        tool_media_errors: What happens to content from a tool that cannot be sent: `"note"`, the
            model gets a text note in its place; `"raise"`, the error is raised.
    """

    media_roots: tuple[Path, ...] | None = None
    max_inline_bytes: int = DEFAULT_MAX_INLINE_BYTES
    max_total_inline_bytes: int = DEFAULT_MAX_TOTAL_INLINE_BYTES
    downscale_images: bool | None = None
    pdf_dpi: float = DEFAULT_PDF_DPI
    pdf_max_pages: int = DEFAULT_PDF_MAX_PAGES
    video_mode: VideoMode = "auto"
    max_frames: int | None = None
    upload_cache: Path | bool = True
    tool_media_errors: ToolMediaErrors = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaOptions:
    """How closely to look, where a part itself does not say.

    Args:
        min_pixels: Least pixels of a picture or frame.
        max_pixels: Most pixels of a picture or frame.
        total_pixels: Most pixels of all frames of a video.
        fps: Frames per second of a video.
        enable_rotate: Whether the OCR models turn pictures upright first.
    """

    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    fps: float | None = None
    enable_rotate: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call of the service.

    Args:
        model: Model id.
        turns: The conversation.
        parameters: Every parameter that the service reads, by its own name.
        stream: Whether the answer is to come in pieces.
        headers: Extra request headers.
        policy: What may be read and inlined.
        timeout: Seconds to wait for this call; `None` for the client's own.
        protocol: How the hosted service is spoken to.
        server: Which server is asked.
        extra_body: Names of the parameters that the caller wants at the top level of the body as
            they are, whatever is known of the server.
        replaced: Content from tools that `prepare_media` replaced by notes.
    """

    model: str
    turns: tuple[Turn, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    policy: MediaPolicy = field(default_factory=MediaPolicy)
    timeout: float | None = None
    protocol: Protocol = DEFAULT_PROTOCOL
    server: Server = DEFAULT_SERVER
    extra_body: frozenset[str] = frozenset()
    replaced: tuple[Replacement, ...] = ()


def apply_media_options(turns: tuple[Turn, ...], options: MediaOptions) -> tuple[Turn, ...]:
    """Give each picture and video the knobs that it does not bring itself.

    Args:
        turns: The conversation.
        options: What holds where a part says nothing.
    """
    if options == MediaOptions():
        return turns
    return tuple(
        replace(turn, parts=tuple(_with_options(part, options) for part in turn.parts))
        for turn in turns
    )


def _with_options(part: Part | ToolPart, options: MediaOptions) -> Any:
    match part:
        case Image():
            return replace(
                part,
                min_pixels=_first(part.min_pixels, options.min_pixels),
                max_pixels=_first(part.max_pixels, options.max_pixels),
                enable_rotate=_first(part.enable_rotate, options.enable_rotate),
            )
        case Video():
            return replace(
                part,
                fps=_first(part.fps, options.fps),
                min_pixels=_first(part.min_pixels, options.min_pixels),
                max_pixels=_first(part.max_pixels, options.max_pixels),
                total_pixels=_first(part.total_pixels, options.total_pixels),
            )
        case ToolResult():
            return replace(part, parts=tuple(_with_options(inner, options) for inner in part.parts))
        case _:
            return part


def _first(own: _Number | None, inherited: _Number | None) -> _Number | None:
    return inherited if own is None else own
