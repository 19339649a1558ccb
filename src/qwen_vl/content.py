"""What a conversation is made of: turns, their parts, and where each part's media comes from.

Every framework's messages become these values, and every wire format is written from them.
They are plain frozen data: nothing here opens a file, decodes a picture or knows a framework.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

import pybase64

from qwen_vl.errors import ContentError

Role = Literal["system", "user", "assistant", "tool"]

VideoMode = Literal["auto", "inline", "frames", "upload"]
"""How a local video is sent: whole within the request, as its frames, whichever of these two fits,
or by an address, after it was put into the service's temporary storage."""

_BASE64_TEXT = re.compile(r"[A-Za-z0-9+/\-_\s]+={0,2}\s*")
_JPEG_BASE64 = "/9j/"
# Others (ftp://, s3://) are URLs too: the service does not take them, but they are not paths.
_SCHEME = re.compile(r"(https?|oss|data|file):|([a-z][a-z0-9+.\-]+)://", re.IGNORECASE)
_WEB = frozenset({"http", "https"})
_REMOTE = _WEB | {"oss"}
_KNOWN = _REMOTE | {"data", "file"}
# Long enough to meet a dot or a colon in any path, short enough to cost nothing on 10 MB of Base64.
_BASE64_PROBE_CHARS = 512


@dataclass(frozen=True, slots=True)
class Url:
    """An address that goes to the service as it is: `https://`, `http://`, `oss://` or `data:`.

    The client never fetches it. `oss://` addresses are the service's own temporary storage
    and need a request header, which the client adds.
    """

    url: str


@dataclass(frozen=True, slots=True)
class Inline:
    """Media held in memory.

    Args:
        data: The raw bytes, or Base64 as text or as bytes; the content decides which it is.
    """

    data: bytes | str = field(repr=False)


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
    """A decoded picture.

    Args:
        image: A `PIL.Image.Image`, or a numpy array of `uint8`: height x width (x 1, 3 or 4).
    """

    image: Any = field(repr=False)


@dataclass(frozen=True, slots=True)
class DataUrl:
    """Media that was made ready to go within the request: checked, and of a known type.

    It is spelt as a `data:` address while it leaves, so that megabytes are not copied before.

    Args:
        media_type: As told by the bytes; may be empty.
        data: The raw bytes; `None` where their Base64 is at hand.
        base64: Their Base64.
        n_bytes: How many raw bytes there are.
    """

    media_type: str
    data: bytes | None = field(repr=False)
    base64: bytes | memoryview | None = field(repr=False)
    n_bytes: int

    @property
    def prefix(self) -> str:
        """What stands before the Base64."""
        return f"data:{self.media_type};base64,"

    @property
    def url(self) -> str:
        """The whole address.

        Example:
            >>> DataUrl("image/gif", b"GIF89a", None, 6).url
            'data:image/gif;base64,R0lGODlh'
        """
        return self.prefix + self.to_base64()

    def to_base64(self) -> str:
        """Give the Base64 alone."""
        if self.base64 is not None:
            return str(self.base64, "ascii")
        return pybase64.b64encode_as_string(self.data or b"")


Source: TypeAlias = Url | Inline | LocalFile | OpenFile | Pixels | DataUrl


@dataclass(frozen=True, slots=True)
class Frames:
    """A video given as its frames, in order: each of them a picture."""

    frames: tuple[Source, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Words. Never read as a path or an address."""

    text: str
    cache_control: Mapping[str, Any] | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A picture.

    Args:
        source: Where it comes from.
        min_pixels: Smaller pictures are enlarged to this many pixels by the service.
        max_pixels: Larger pictures are shrunk to this many pixels by the service.
        detail: Passed on beside the address (`image_url.detail`) for servers that read it.
        enable_rotate: Whether the OCR models turn the picture upright first (native protocol).
        cache_control: Marks the end of a cached prefix, `{"type": "ephemeral"}`.
        where: The part's place in the caller's messages, for errors: `messages[0].content[1]`.
    """

    source: Source
    min_pixels: int | None = None
    max_pixels: int | None = None
    detail: str | None = None
    enable_rotate: bool | None = None
    cache_control: Mapping[str, Any] | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A video, as a file or as a list of frames.

    Args:
        source: Where it comes from.
        fps: Frames per second to look at (a file), or at which the frames were taken (a list).
        min_pixels: Least pixels of a frame.
        max_pixels: Most pixels of a frame.
        total_pixels: Most pixels of all frames together.
        start: Seconds from the beginning of a local video at which to begin to look.
        end: Seconds from the beginning of a local video at which to stop.
        max_frames: Most frames to take of a local video, 4 at least.
        video_mode: How a local video is sent; `None` for what the policy says.
        cache_control: Marks the end of a cached prefix, `{"type": "ephemeral"}`.
        where: The part's place in the caller's messages, for errors.
    """

    source: Source | Frames
    fps: float | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    start: float | None = None
    end: float | None = None
    max_frames: int | None = None
    video_mode: VideoMode | None = None
    cache_control: Mapping[str, Any] | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """A sound, for the omni models alone.

    Args:
        source: Where it comes from.
        format: `"mp3"`, `"wav"`, …
        where: The part's place in the caller's messages, for errors.
    """

    source: Source
    format: str
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A PDF, whose pages are sent as pictures: the service takes no documents.

    Args:
        source: Where it comes from; not an address that only the service could fetch.
        pages: Numbers from 1 on, as `[1, 2, 7]` or `"1-2,7"`; `None` for all.
        dpi: Dots per inch to render at; `None` for the policy's.
        title: Stands in the label of each page.
        cache_control: Marks the end of a cached prefix, behind the last page.
        where: The part's place in the caller's messages, for errors.
    """

    source: Source
    pages: str | Sequence[int] | None = None
    dpi: float | None = None
    title: str | None = None
    cache_control: Mapping[str, Any] | None = None
    where: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasoning:
    """What the model thought before an earlier answer."""

    text: str
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
    """Content from a tool that no other part can represent.

    `MediaPolicy.tool_media_errors` decides what happens to it: the model gets a note, or the
    error is raised.

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


ToolPart: TypeAlias = Text | Image | Video | Document | File | Unsupported


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a tool gave back: text, and pictures or videos too.

    Args:
        tool_call_id: The call that this answers.
        parts: What came back, in order.
    """

    tool_call_id: str
    parts: tuple[ToolPart, ...]
    where: str = field(default="", compare=False)


Media: TypeAlias = Image | Video | Audio
Part: TypeAlias = Text | Image | Video | Audio | Document | Reasoning | ToolCall | ToolResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One message of a conversation.

    Args:
        role: Who speaks.
        parts: What is said, in order.
        name: The speaker's name, where the conversation gives one.
        is_partial: Whether an assistant turn is a beginning that the model shall continue.
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    is_partial: bool = False


def to_source(value: object) -> Source | None:
    """Tell where media comes from by the kind of value that stands in its place.

    Text is an address (`http:`, `https:`, `oss:`, `data:`, or any other `scheme://`), a `file://`
    address, Base64, or else a path, which is kept as not trusted. Whether it may be read is
    decided later, where it is read.

    Args:
        value: `str`, `bytes`, `bytearray`, `memoryview`, `pathlib.Path`, a binary file object,
            a `PIL.Image.Image` or a numpy array.

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
        case Path():
            return LocalFile(value, is_trusted=True)
        case io.TextIOBase():
            return None
    if callable(getattr(value, "read", None)):
        return OpenFile(value)  # type: ignore[arg-type]  # A readable object is all that is asked.
    if is_pixels(value):
        return Pixels(value)
    return None


def find_scheme(text: str) -> str | None:
    """Return the scheme of a URL in lower case; `None` for text that is not a URL.

    Example:
        >>> find_scheme("HTTPS://example.com/cat.png"), find_scheme("cat.png")
        ('https', None)
    """
    found = _SCHEME.match(text)
    return (found[1] or found[2]).lower() if found else None


def is_url(text: str) -> bool:
    """Tell whether text is a URL of a kind that this package reads or passes on.

    Example:
        >>> is_url("oss://bucket/cat.png"), is_url("ftp://example.com/cat.png"), is_url("cat.png")
        (True, False, False)
    """
    return find_scheme(text) in _KNOWN


def is_remote(url: str) -> bool:
    """Tell whether a URL is fetched by the service: `http:`, `https:` or `oss:`."""
    return find_scheme(url) in _REMOTE


def is_web(url: str) -> bool:
    """Tell whether a URL is one that any server can fetch: `http:` or `https:`."""
    return find_scheme(url) in _WEB


def is_stored(url: str) -> bool:
    """Tell whether a URL lies in the hosted service's temporary storage: `oss:`."""
    return find_scheme(url) == "oss"


def is_pixels(value: object) -> bool:
    """Tell whether a value is a `PIL.Image.Image` or an array, without importing either."""
    # Asked of the type: a picture copies all its pixels to answer for itself.
    if hasattr(type(value), "__array_interface__"):
        return True
    return any(base.__module__ == "PIL.Image" for base in type(value).__mro__)


class LocalFileUrl(str):
    """The `file://` address of a file that the program itself named.

    A `pathlib.Path` cannot stand in JSON, and its text alone would no longer be trusted. This is
    text to every serializer, so that traces and cache keys can hold it; only the object itself,
    which no message from outside can bring along, carries the trust. Size and time of the file
    stand in the fragment: a changed file is another cache key.

    Example:
        >>> from pathlib import Path
        >>> to_source(LocalFileUrl.of(Path("/pictures/cat.png"), version="7"))
        LocalFile(path=PosixPath('/pictures/cat.png'), is_trusted=True)
    """

    __slots__ = ()

    @classmethod
    def of(cls, path: Path, *, version: str = "") -> "LocalFileUrl":
        """Spell a path as an address.

        Args:
            path: The file; relative paths count from the working folder.
            version: What tells this content of the file from another.
        """
        url = path.absolute().as_uri()
        return cls(f"{url}#{version}" if version else url)

    @property
    def path(self) -> Path:
        """The file."""
        return _file_url_path(self)


def _text_source(text: str) -> Source:
    if find_scheme(text) not in {None, "file"}:
        return Url(text)
    if text[:7].lower() == "file://":
        return LocalFile(_file_url_path(text), is_trusted=False)
    # Of pictures and videos only a JPEG's Base64 begins with a slash; anything else is a path.
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
