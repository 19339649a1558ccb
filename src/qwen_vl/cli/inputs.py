"""What the user passes to a command: files, URLs, and standard input."""

import sys
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

import typer

from qwen_vl.content import (
    Audio,
    Document,
    Image,
    Inline,
    LocalFileUrl,
    Source,
    Url,
    Video,
    is_url,
    to_source,
)
from qwen_vl.errors import ConfigurationError, MediaNotFoundError, MediaTooLargeError
from qwen_vl.media import sniff
from qwen_vl.media.pdf.document import PDF_TYPE
from qwen_vl.media.tiff import TIFF_TYPE
from qwen_vl.specs.audio import AUDIO_SUFFIXES

STANDARD_INPUT = "-"
_STDIN_NAME = "standard input"
_MAX_STDIN_BYTES = 2**30
_MAX_URL_BYTES = 8_192
_VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".flv", ".wmv", ".webm", ".m4v"})
_SNIFF_BYTES = 1_024


def check_standard_input(values: Iterable[str | None]) -> None:
    """Check that at most one argument stands for standard input.

    Args:
        values: All that may, as the user typed them.

    Raises:
        typer.BadParameter: There are several.
    """
    if sum(value == STANDARD_INPUT for value in values) > 1:
        raise typer.BadParameter("'-' stands for standard input, which only one argument can be.")


def read_question(value: str) -> str:
    """Return the question, from standard input if it is `-`.

    Args:
        value: As the user typed it.

    Raises:
        typer.BadParameter: It is empty.
        ConfigurationError: Standard input is not text.
    """
    question = read_text_input() if value == STANDARD_INPUT else value
    if not question.strip():
        raise typer.BadParameter("The question is empty.")
    return question


def read_text_input() -> str:
    """Read standard input as UTF-8 text, to its end.

    Raises:
        ConfigurationError: It is not.
    """
    data = _read_stdin(_MAX_STDIN_BYTES)
    try:
        return data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            "Standard input is not UTF-8 text. For an image or a video, '-' belongs behind the "
            "question."
        ) from error


def to_part(
    value: str, *, is_video: bool = False, pages: str | None = None
) -> Image | Video | Audio | Document:
    """Return the part that a file, a URL or standard input stands for.

    Args:
        value: As the user typed it.
        is_video: Whether it is a video, whatever it looks like.
        pages: Pages of a PDF or TIFF.

    Raises:
        ConfigurationError: It is neither a file nor a URL.
        MediaNotFoundError: The file does not exist.
    """
    source, path = find_source(value)
    where = name_input(value)
    media_type = "video/" if is_video else _find_type(value, source, path)
    if media_type.startswith("video/"):
        return Video(source=source, where=where)
    if media_type.startswith("audio/"):
        # What its bytes are counts, and of a URL its name.
        return Audio(source=source, where=where)
    if media_type == PDF_TYPE:
        return Document(source=source, pages=pages, where=where)
    return Image(source=source, pages=pages if media_type == TIFF_TYPE else None, where=where)


def name_input(value: str) -> str:
    """Return how errors name an input.

    Args:
        value: As the user typed it.
    """
    return _STDIN_NAME if value == STANDARD_INPUT else value


def find_source(value: str) -> tuple[Source, Path | None]:
    """Find what a file, a URL or standard input stands for, and the path of a file.

    Args:
        value: As the user typed it.

    Raises:
        ConfigurationError: It is neither, or standard input cannot be read.
        MediaTooLargeError: Standard input has too many bytes.
    """
    if value == STANDARD_INPUT:
        return _read_media_input(), None
    has_scheme = "://" in value or value[:5].lower() == "data:"
    # Files that the user types are files that the user wants to send.
    path = LocalFileUrl(value).path if value[:7].lower() == "file://" else None
    if path is None and not has_scheme:
        path = expand_path(value)
    source = to_source(path or value)
    if source is None:
        raise ConfigurationError(f"{value!r} is neither a file nor a URL.")
    return source, path


def expand_path(value: str) -> Path:
    """Return a path as the user means it, `~` for the home folder included.

    Args:
        value: As the user typed it.
    """
    try:
        return Path(value).expanduser()
    except RuntimeError:
        # Without such a user, it is the name of a file that begins with `~`.
        return Path(value)


def _read_stdin(max_bytes: int) -> bytes:
    try:
        return sys.stdin.buffer.read(max_bytes)
    except (AttributeError, OSError) as error:
        # It is closed, or a folder.
        reason = getattr(error, "strerror", None) or "it is closed"
        raise ConfigurationError(f"Standard input cannot be read: {reason}.") from error


def _read_media_input() -> Source:
    if sys.stdin is not None and sys.stdin.isatty():
        raise ConfigurationError(
            "Standard input is a terminal. Redirect a file to it: qwen-vl … - < cat.png"
        )
    data = _read_stdin(_MAX_STDIN_BYTES + 1)
    if len(data) > _MAX_STDIN_BYTES:
        raise MediaTooLargeError(
            f"It has more than {_MAX_STDIN_BYTES} bytes.",
            where=_STDIN_NAME,
            limit=_MAX_STDIN_BYTES,
            remedy="Save it to a file and pass its path.",
        )
    text = data[:_MAX_URL_BYTES].decode("latin-1").strip()
    if len(data) <= _MAX_URL_BYTES and is_url(text) and not text[:5].lower().startswith("file:"):
        return Url(text)
    if data[:5].lower() == b"data:":
        return Url(data.decode("latin-1").strip())
    return Inline(data)


def _find_type(value: str, source: Source, path: Path | None) -> str:
    if isinstance(source, Inline) and isinstance(source.data, bytes):
        return sniff(source.data[:_SNIFF_BYTES]) or ""
    if isinstance(source, Url):
        value = source.url
    if value[:5].lower() == "data:":
        return value[5:].partition(",")[0].partition(";")[0].lower()
    if path is None:
        suffix = Path(urlsplit(value).path).suffix.lower()
        families = {"video/": _VIDEO_SUFFIXES, "audio/": AUDIO_SUFFIXES, PDF_TYPE: {".pdf"}}
        return next((name for name, known in families.items() if suffix in known), "")
    # A pipe would wait for its other end; reading reports what is not a file.
    if path.exists() and not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return sniff(file.read(_SNIFF_BYTES)) or ""
    except OSError as error:
        raise MediaNotFoundError(
            f"The file cannot be read: {error.strerror}.",
            where=value,
            value=value,
            remedy="Check the path.",
        ) from error
