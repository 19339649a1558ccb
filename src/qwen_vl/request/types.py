"""What is asked: the conversation and every option, resolved once."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

from qwen_vl.content import (
    Document,
    Image,
    Part,
    Replacement,
    ToolPart,
    ToolResult,
    Turn,
    Video,
    VideoMode,
)
from qwen_vl.request.media_cache import DEFAULT_MEDIA_CACHE_BYTES, MediaCache
from qwen_vl.specs.models import ModelSpec
from qwen_vl.specs.processors import Family, family_of
from qwen_vl.specs.servers import (
    DEFAULT_PROTOCOL,
    DEFAULT_SERVER,
    Protocol,
    Server,
    get_served_spec,
    get_server_spec,
)
from qwen_vl.specs.upload_hosts import DEFAULT_UPLOAD_HOSTS

_Number = TypeVar("_Number", int, float, bool)

ToolMediaErrors: TypeAlias = Literal["note", "raise"]
"""What happens to content from a tool that cannot be sent."""

DEFAULT_MAX_INLINE_BYTES = 7 * 2**20
"""Most raw bytes of one inlined image or video.

A third is added by Base64, and a data URL may have 10,485,760 characters (Vision page, 2025-10;
newer pages allow 20 MB for some models, but not for all of a request together).
"""

DEFAULT_MAX_TOTAL_INLINE_BYTES = 12 * 2**20
"""Most raw bytes of all that one request inlines.

The decoded body may have 16 MiB (Rate-limit page, 2026); this leaves room for the text.
"""

DEFAULT_MAX_DECODE_MEMORY = 512 * 2**20
"""Maximum bytes of memory that decoding one image takes: 85 megapixels of RGB."""

DEFAULT_PDF_DPI = 150.0
"""Letters of 8 points are 17 pixels high then, and an A4 page has 2.2 megapixels: the models look
at 2.6 of an image where nothing else is asked for."""

DEFAULT_PDF_TIMEOUT = 30.0
"""Seconds to open a document, or to render a page of it, which takes some tenths of one."""

DEFAULT_PDF_MAX_PAGES = 20
"""Some 42,000 tokens where the pages are A4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaPolicy:
    """Which local files may be read, and how much may be inlined.

    Args:
        media_roots: Folders that files may be read from. `None`: only files that the program
            itself names by a `pathlib.Path`, where they are.
        max_inline_bytes: Most raw bytes of one inlined image or video.
        max_total_inline_bytes: Most raw bytes of all of them together.
        max_decode_memory: Maximum bytes of memory that decoding one image, or reading the index of
            a video, may take, estimated from its header.
        downscale_images: Whether images with more pixels than the model processes are downscaled
            before they are sent; `None`: only for the hosted service's models, whose limits are
            known.
        video_mode: How local videos are sent that say nothing of it: `"inline"`, whole within the
            request; `"frames"`, as frames taken here; `"auto"`, whole where they are short enough
            and nothing is to be cut off; `"upload"`, whole by way of the temporary storage.
        max_frames: Maximum number of frames to take of a local video that says nothing of it.
        upload_cache: Where it is remembered what was uploaded: `True` for the user's cache folder,
            `False` for nowhere, or a folder.
        upload_hosts: Hosts that videos may be uploaded to, beside the endpoint's own.
        tool_media_errors: What happens to content from a tool that cannot be sent: `"note"`, the
            model gets a text note in its place; `"raise"`, the error is raised.
        history_images: Number of images in tool messages that are kept at least, those of the
            newest turn apart; `None` for all. When twice as many are held, the older half becomes
            notes.
        scales_times: Whether the caller corrects times of frames that are sent with another `fps`
            than they were taken at. Otherwise a warning says by what to multiply them.
        media_cache: Maximum bytes of prepared images that are held for later calls; 0 for none.
        cache: Holds them; without it none are.
    """

    media_roots: tuple[Path, ...] | None = None
    max_inline_bytes: int = DEFAULT_MAX_INLINE_BYTES
    max_total_inline_bytes: int = DEFAULT_MAX_TOTAL_INLINE_BYTES
    max_decode_memory: int = DEFAULT_MAX_DECODE_MEMORY
    downscale_images: bool | None = None
    pdf_dpi: float = DEFAULT_PDF_DPI
    pdf_max_pages: int = DEFAULT_PDF_MAX_PAGES
    pdf_timeout: float = DEFAULT_PDF_TIMEOUT
    video_mode: VideoMode = "auto"
    max_frames: int | None = None
    upload_cache: Path | bool = True
    upload_hosts: tuple[str, ...] = DEFAULT_UPLOAD_HOSTS
    tool_media_errors: ToolMediaErrors = "note"
    history_images: int | None = None
    scales_times: bool = False
    media_cache: int = DEFAULT_MEDIA_CACHE_BYTES
    cache: MediaCache | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaOptions:
    """How closely to look, where a part itself does not say.

    Args:
        min_pixels: Minimum number of pixels of an image, page or frame.
        max_pixels: Maximum number of pixels of an image, page or frame.
        total_pixels: Maximum number of pixels of all frames of a video.
        fps: Frames per second of a video.
        enable_rotate: Whether the OCR models turn images upright first.
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
        timeout: Seconds to connect, read, write and wait for a connection, of one attempt of this
            call, or one number for all of them; `None` for the client's own.
        queue_seconds: Seconds that the service may let the request wait, by which `timeout` is
            extended.
        deadline: Seconds that the whole call may take, with its retries and the reading of its
            answer; `None` for as long as it takes.
        protocol: How the hosted service is spoken to.
        server: Which server is asked.
        extra_body: Names of the parameters that the caller wants at the top level of the body as
            they are, whatever is known of the server.
        base_model: Id of the model behind `model`, where that is another name for it.
        model_family: Architecture of the model, if its name does not show it.
        replaced: Content from tools that `prepare_media` replaced by notes.
    """

    model: str
    turns: tuple[Turn, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    policy: MediaPolicy = field(default_factory=MediaPolicy)
    timeout: float | tuple[float | None, ...] | None = None
    queue_seconds: int = 0
    deadline: float | None = None
    protocol: Protocol = DEFAULT_PROTOCOL
    server: Server = DEFAULT_SERVER
    extra_body: frozenset[str] = frozenset()
    base_model: str | None = None
    model_family: Family | None = None
    replaced: tuple[Replacement, ...] = ()

    @property
    def known_model(self) -> str:
        """Id by which it is looked up what the model can do."""
        return self.base_model or self.model

    @property
    def spec(self) -> ModelSpec:
        """What the model accepts."""
        return get_served_spec(self.known_model, self.server, self.model_family)

    @property
    def takes_audio(self) -> bool:
        """Whether audio may be sent; what model a self-hosted server has is not known."""
        if self.server == DEFAULT_SERVER:
            return self.spec.accepts_audio
        return get_server_spec(self.server).audio is not None

    @property
    def processor(self) -> Family:
        """Whose processor scales images and videos at a self-hosted server."""
        return family_of(self.spec.factor)


def apply_media_options(turns: tuple[Turn, ...], options: MediaOptions) -> tuple[Turn, ...]:
    """Set options on each image and video that does not set them itself.

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
        case Document():
            return replace(
                part,
                min_pixels=_first(part.min_pixels, options.min_pixels),
                max_pixels=_first(part.max_pixels, options.max_pixels),
            )
        case Video():
            return replace(
                part,
                fps=part.fps if part.timestamps is not None else _first(part.fps, options.fps),
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
