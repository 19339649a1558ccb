"""What a conversation is made of: turns, their parts, and where each part's media comes from.

Every framework's messages become these values, and every wire format is written from them.
They are plain frozen data: nothing here opens a file, decodes an image or knows a framework.
"""

import hashlib
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from pathlib import Path, PurePath
from typing import Any, BinaryIO, Literal, Self, TypeAlias
from urllib.parse import quote, unquote, urlsplit

import pybase64

from qwen_vl.errors import ContentError

Role = Literal["system", "user", "assistant", "tool"]

VideoMode = Literal["auto", "inline", "frames", "upload"]
"""How a local video is sent: whole within the request, as its frames, as the first of these that
fits (`auto`), or by URL, after it was put into the service's temporary storage."""

_BASE64_TEXT = re.compile(r"[A-Za-z0-9+/\-_\s]+={0,2}\s*")
_JPEG_BASE64 = "/9j/"
# Others (ftp://, s3://) are URLs too: the service does not take them, but they are not paths.
_SCHEME = re.compile(r"(https?|oss|data|file):|([a-z][a-z0-9+.\-]+)://", re.IGNORECASE)
_ROW_KEYS = frozenset({"bytes", "path"})
_WEB = frozenset({"http", "https"})
_REMOTE = _WEB | {"oss"}
_KNOWN = _REMOTE | {"data", "file"}
# Long enough to meet a dot or a colon in any path, short enough to cost nothing on 10 MB of Base64.
_BASE64_PROBE_CHARS = 512


@dataclass(frozen=True, slots=True)
class Url:
    """A URL that goes to the service as it is: `https://`, `http://`, `oss://` or `data:`.

    The client never fetches it. `oss://` URLs are the service's own temporary storage
    and need a request header, which the client adds.
    """

    url: str


@dataclass(frozen=True, slots=True)
class Inline:
    """Media held in memory.

    Args:
        data: The raw bytes, or Base64 as text or as bytes; the content decides which it is.
        media_type: The type of raw bytes that were sniffed already; `None` if they were not.
    """

    data: bytes | str = field(repr=False)
    media_type: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file on this machine.

    Args:
        path: Where it is.
        is_trusted: Whether the program itself named the file (a `pathlib.Path`). Paths that stand
            in message content as text are not trusted: they are read only inside `media_roots`.
    """

    path: Path
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A binary file object. It is read whole from its start, and left where it was."""

    file: BinaryIO = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pixels:
    """A decoded image.

    Args:
        image: A `PIL.Image.Image`, or a numpy array, height x width (x 1 to 4): gray, gray and
            alpha, RGB or RGBA, of `uint8`, `bool`, floats from 0 to 1, or other integers, from 0
            to 65,535. OpenCV has BGR:
            `array[:, :, ::-1]`.
    """

    image: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class DataUrl:
    """Media that was made ready to go within the request: checked, and of a known type.

    It is written as a data URL while it leaves, so that megabytes are not copied before.

    Args:
        media_type: As determined from the bytes; may be empty.
        data: The raw bytes; `None` where their Base64 is at hand.
        base64: Their Base64.
        n_bytes: How many raw bytes there are.
        size: Width and height of an image in pixels, if they are known.
        original_size: The same before it was downscaled.
    """

    media_type: str
    data: bytes | None = field(repr=False)
    base64: bytes | memoryview | None = field(repr=False)
    n_bytes: int
    size: tuple[int, int] | None = field(default=None, compare=False)
    original_size: tuple[int, int] | None = field(default=None, compare=False)

    @property
    def prefix(self) -> str:
        """What stands before the Base64."""
        return f"data:{self.media_type};base64,"

    @property
    def url(self) -> str:
        """The whole URL.

        Example:
            >>> DataUrl("image/gif", b"GIF89a", None, 6).url
            'data:image/gif;base64,R0lGODlh'
        """
        return self.prefix + self.to_base64()

    def to_base64(self) -> str:
        """Return the Base64 alone."""
        if self.base64 is not None:
            return str(self.base64, "ascii")
        return pybase64.b64encode_as_string(self.data or b"")


Source: TypeAlias = Url | Inline | LocalFile | OpenFile | Pixels | DataUrl


@dataclass(frozen=True, slots=True)
class Frames:
    """A video given as its frames, in order: each of them an image.

    Args:
        frames: The frames.
        is_sampled: Whether they were taken of a video file here, at a rate that nobody asked for.
        sampled_fps: That rate, where the one that is sent may be another: the hosted service
            takes none below 0.1.
    """

    frames: tuple[Source, ...]
    is_sampled: bool = field(default=False, repr=False, compare=False)
    sampled_fps: float | None = field(default=None, repr=False, compare=False)


_IMAGE_NUMBERS = ("min_pixels", "max_pixels")
_DOCUMENT_NUMBERS = (*_IMAGE_NUMBERS, "dpi")
_VIDEO_NUMBERS = (*_IMAGE_NUMBERS, "total_pixels", "fps", "start", "end", "max_frames")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words. Never read as a path or a URL."""

    text: str
    cache_control: Mapping[str, Any] | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image.

    Args:
        source: Where it comes from.
        min_pixels: Smaller images are enlarged to this many pixels by the service.
        max_pixels: Larger images are shrunk to this many pixels by the service.
        detail: Passed on beside the URL (`image_url.detail`) for servers that read it.
        enable_rotate: Whether the OCR models turn the image upright first (native protocol).
        pages: Of a TIFF with several pages: numbers from 1 on, as `[1, 2, 7]` or `"1-2,7"`; `None`
            for all.
        title: Stands in the label of each page; the name of a local file if `None`.
        cache_control: Marks the end of a cached prefix: `{"type": "ephemeral"}`, or the other
            form that Qwen4 has, `{"prompt_cache_breakpoint": {"mode": "explicit"}}`.
        where: The part's place in the caller's messages, for errors: `messages[0].content[1]`.
    """

    source: Source
    min_pixels: int | None = None
    max_pixels: int | None = None
    detail: str | None = None
    enable_rotate: bool | None = None
    pages: str | Sequence[int] | None = None
    title: str | None = None
    cache_control: Mapping[str, Any] | None = None
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _make_plain(self, _IMAGE_NUMBERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A video, as a file or as a list of frames.

    Args:
        source: Where it comes from.
        fps: Frames per second to sample (a file), or at which the frames were taken (a list).
        timestamps: Seconds at which the frames of a list were taken, where they are not evenly
            spaced: one for each, ascending.
        min_pixels: Minimum number of pixels of a frame.
        max_pixels: Maximum number of pixels of a frame.
        total_pixels: Maximum number of pixels of all frames together.
        start: Seconds from the beginning of a local video at which to begin to look.
        end: Seconds from the beginning of a local video at which to stop.
        max_frames: Maximum number of frames to take of a local video, 4 at least.
        video_mode: How a local video is sent; `None` for what the policy says.
        cache_control: Marks the end of a cached prefix, `{"type": "ephemeral"}`.
        where: The part's place in the caller's messages, for errors.
    """

    source: Source | Frames
    fps: float | None = None
    timestamps: Sequence[float] | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    start: float | None = None
    end: float | None = None
    max_frames: int | None = None
    video_mode: VideoMode | None = None
    cache_control: Mapping[str, Any] | None = None
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _make_plain(self, _VIDEO_NUMBERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """Audio, for the omni models only.

    Args:
        source: Where it comes from.
        format: `"mp3"`, `"wav"`, …; a media type will do. Of bytes and files, what they are counts,
            and of a URL the name if this is empty.
        where: The part's place in the caller's messages, for errors.
    """

    source: Source
    format: str = ""
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A PDF or TIFF, whose pages are sent as images: the service takes no documents.

    Args:
        source: Where it comes from; not a URL that only the service could fetch.
        pages: Numbers from 1 on, as `[1, 2, 7]` or `"1-2,7"`; `None` for all.
        dpi: Dots per inch to render a PDF at; `None` for the policy's.
        min_pixels: Minimum number of pixels of a page, as of an image.
        max_pixels: Maximum number of pixels of a page, as of an image.
        title: Stands in the label of each page; the name of a local file if `None`.
        cache_control: Marks the end of a cached prefix, behind the last page.
        where: The part's place in the caller's messages, for errors.
    """

    source: Source
    pages: str | Sequence[int] | None = None
    dpi: float | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    title: str | None = None
    cache_control: Mapping[str, Any] | None = None
    where: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _make_plain(self, _DOCUMENT_NUMBERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    """What the model thought before an earlier answer.

    Args:
        text: The reasoning, or its summary; may be empty where `encrypted_content` is not.
        encrypted_content: The whole reasoning, encrypted, as it came with
            `thinking_display="summarized"`. Only the service can read it.
    """

    text: str
    encrypted_content: str = field(default="", repr=False)
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A call that the model asked for.

    Args:
        id: Ties the call to its result.
        name: The tool.
        arguments: The JSON text that the model wrote, valid or not.
    """

    id: str
    name: str
    arguments: str
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file or link from a tool that is neither media nor a PDF; the model gets it as text.

    Only tool results hold files: a program that wants a text file read passes its text.

    Args:
        source: Where it comes from. A `Url` other than `data:` is a link, which the model gets as
            a line of text; everything else is read and decoded.
        media_type: As stated, with a `charset` parameter if there is one; may be empty.
        title: The title or file name, `None` if there is none.
        where: The part's place in the caller's messages, for errors.
    """

    source: Source
    media_type: str = ""
    title: str | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported:
    """Content that no other part can represent, or that is known not to be sendable.

    From a tool, `MediaPolicy.tool_media_errors` decides what happens to it: the model gets a note,
    or the error is raised. In other messages the error is raised where the request is prepared.

    Args:
        error: Why it cannot be sent.
        kind: What it is, in the note: `"image"`, `"audio"`, ….
        where: The part's place in the caller's messages, for errors.
    """

    error: ContentError = field(compare=False)
    kind: str = "content"
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """Content from a tool that was replaced by a note.

    Args:
        where: The part's place in the caller's messages: `messages[2].content[0]`.
        reason: The note that the model got instead.
    """

    where: str
    reason: str


ToolPart: TypeAlias = Text | Image | Video | Audio | Document | File | Unsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a tool gave back: text, and images, videos or audio too.

    Args:
        tool_call_id: The call that this answers.
        parts: What came back, in order.
    """

    tool_call_id: str
    parts: tuple[ToolPart, ...]
    where: str = field(default="", compare=False)


Media: TypeAlias = Image | Video | Audio
Part: TypeAlias = (
    Text | Image | Video | Audio | Document | Reasoning | ToolCall | ToolResult | Unsupported
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation.

    Args:
        role: Who speaks.
        parts: What is said, in order.
        name: The speaker's name, where the conversation gives one.
        is_partial: Whether an assistant turn is a beginning that the model should continue.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    is_partial: bool = False


def to_source(value: object) -> Source | None:
    """Return where media comes from by the kind of value that stands in its place.

    Text is a URL (`http:`, `https:`, `oss:`, `data:`, or any other `scheme://`), a `file://`
    URL, Base64, or else a path, which is kept as not trusted. Whether it may be read is
    decided later, where it is read.

    Args:
        value: `str`, `bytes`, `bytearray`, `memoryview`, `pathlib.Path` or another `os.PathLike`,
            a binary file object, a `PIL.Image.Image`, a numpy array, or a row of a Hugging Face
            data set, `{"bytes": …, "path": …}`.

    Returns:
        The source, or `None` if the value is none of these.

    Example:
        >>> to_source("https://example.com/cat.png")
        Url(url='https://example.com/cat.png')
        >>> to_source("/etc/passwd").is_trusted
        False
    """
    match value:
        case LocalFileUrl():
            return LocalFile(value.path, is_trusted=True)
        case str():
            return _text_source(value)
        case bytes():
            return Inline(value)
        case bytearray() | memoryview():
            return Inline(bytes(value))
        case os.PathLike():
            return LocalFile(to_path(value), is_trusted=True)
        case Mapping() if value and value.keys() <= _ROW_KEYS:
            return to_source(read_row(value))
        case io.TextIOBase():
            return None
    if callable(getattr(value, "read", None)):
        return OpenFile(value)  # type: ignore[arg-type]  # A readable object is all that is asked.
    if is_pixels(value):
        return Pixels(value)
    return None


def read_row(row: Mapping[str, Any]) -> Any:
    """Return what a value of Hugging Face's `Image` or `Video` feature holds: bytes or a path.

    Args:
        row: `{"bytes": …, "path": …}`, as data sets give it that are not decoded.

    Example:
        >>> read_row({"bytes": None, "path": "cat.png"})
        'cat.png'
    """
    data = row.get("bytes")
    return row.get("path") if data is None else data


def to_path(value: os.PathLike[Any]) -> Path:
    """Return any kind of path as one of this machine.

    Args:
        value: A `pathlib.Path`, a pure path of another system, or another `os.PathLike`.

    Example:
        >>> from pathlib import PureWindowsPath
        >>> to_path(PureWindowsPath("images", "cat.png")).as_posix()
        'images/cat.png'
    """
    if isinstance(value, Path):
        return value
    return Path(value.as_posix() if isinstance(value, PurePath) else os.fsdecode(value))


def to_value(source: "Source | Frames") -> Any:
    """Return a value that `to_source` turns into this source; the inverse of `to_source`.

    Args:
        source: Where media comes from; media that is prepared already stays as it is.

    Example:
        >>> to_value(Frames((Url("https://example.com/1.png"), Inline(b"GIF89a"))))
        ['https://example.com/1.png', b'GIF89a']
    """
    match source:
        case Url(url=value) | Inline(data=value):
            return value
        case LocalFile(path=path):
            return path if source.is_trusted else str(path)
        case OpenFile(file=file):
            return file
        case Pixels(image=image):
            return image
        case Frames(frames=frames):
            return [to_value(frame) for frame in frames]
        case DataUrl():
            return source


def find_scheme(text: str) -> str | None:
    """Return the scheme of a URL in lower case; `None` for text that is not a URL.

    Example:
        >>> find_scheme("HTTPS://example.com/cat.png"), find_scheme("cat.png")
        ('https', None)
    """
    found = _SCHEME.match(text)
    return (found[1] or found[2]).lower() if found else None


def is_url(text: str) -> bool:
    """Return whether text is a URL of a kind that this package reads or passes on.

    Example:
        >>> is_url("oss://bucket/cat.png"), is_url("ftp://example.com/cat.png"), is_url("cat.png")
        (True, False, False)
    """
    return find_scheme(text) in _KNOWN


def is_remote(url: str) -> bool:
    """Return whether a URL is fetched by the service: `http:`, `https:` or `oss:`."""
    return find_scheme(url) in _REMOTE


def is_web(url: str) -> bool:
    """Return whether a URL is one that any server can fetch: `http:` or `https:`."""
    return find_scheme(url) in _WEB


def is_stored(url: str) -> bool:
    """Return whether a URL lies in the hosted service's temporary storage: `oss:`."""
    return find_scheme(url) == "oss"


def to_plain_number(value: Any) -> Any:
    """Return a number of numpy or another library as Python's; anything else as it is.

    Args:
        value: Any value.

    Example:
        >>> from fractions import Fraction
        >>> to_plain_number(Fraction(1, 2)), to_plain_number("2")
        (0.5, '2')
    """
    if value is None or type(value) in {bool, float, int, str} or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _make_plain(part: Any, names: Sequence[str]) -> None:
    for name in names:
        value = getattr(part, name)
        plain = to_plain_number(value)
        if plain is not value:
            object.__setattr__(part, name, plain)


def is_pixels(value: object) -> bool:
    """Return whether a value is a `PIL.Image.Image` or an array, without importing either."""
    # Asked of the type: an image copies all its pixels to answer for itself.
    if hasattr(type(value), "__array_interface__"):
        return True
    return any(base.__module__ == "PIL.Image" for base in type(value).__mro__)


class LocalFileUrl(str):
    """The `file:` URL of a file that the program itself named, which shows only its name.

    A `pathlib.Path` is not JSON, and its plain text would no longer be trusted. This is
    text to every serializer, so that traces and cache keys can hold it; only the object itself,
    which no message from outside can bring along, carries the path and the trust. The fragment has
    the size and time of the file and a hash of its path: a changed file, or another of the same
    name, is another cache key.

    Example:
        >>> from pathlib import Path
        >>> url = LocalFileUrl.of(Path("/images/cat.png"), version="7")
        >>> url
        'file:///cat.png#7&path=5a1da1ee'
        >>> to_source(url)
        LocalFile(path=PosixPath('/images/cat.png'), is_trusted=True)
    """

    __slots__ = ("path",)

    path: Path
    """The file."""

    def __new__(cls, text: str, path: Path | None = None) -> Self:
        """Take a URL as it is.

        Args:
            text: The URL.
            path: The file; by default that of the URL.
        """
        made = super().__new__(cls, text)
        made.path = _file_url_path(text) if path is None else path
        return made

    def __getnewargs__(self) -> tuple[str, Path]:  # type: ignore[override]
        return str(self), self.path

    @classmethod
    def of(cls, path: Path, *, version: str = "") -> "LocalFileUrl":
        """Format a path as a URL.

        Args:
            path: The file; relative paths count from the working folder.
            version: Identifies this content of the file.
        """
        path = path.absolute()
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
        mark = "&".join(filter(None, (version, f"path={digest}")))
        return cls(f"file:///{quote(path.name)}#{mark}", path)


def _text_source(text: str) -> Source:
    if find_scheme(text) not in {None, "file"}:
        return Url(text)
    if text[:7].lower() == "file://":
        return LocalFile(_file_url_path(text), is_trusted=False)
    # Of images and videos only a JPEG's Base64 begins with a slash; anything else is a path.
    is_absolute = text.startswith("/") and not text.startswith(_JPEG_BASE64)
    if not is_absolute and _BASE64_TEXT.fullmatch(text[:_BASE64_PROBE_CHARS]):
        return Inline(text)
    return LocalFile(Path(text), is_trusted=False)


def _file_url_path(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc.lower() not in {"", "localhost"}:
        # A file of another machine is not this machine's file of the same name.
        return Path(f"//{parts.netloc}{path}")
    # file:///C:/cat.png has its path behind one slash too many for Windows.
    return Path(path[1:] if re.match(r"/[A-Za-z]:", path) else path)
