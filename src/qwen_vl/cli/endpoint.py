"""What the commands share: the endpoint that they ask, and the files that the user types."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from qwen_vl.content import Image, LocalFileUrl, Source, Video, to_source
from qwen_vl.errors import ConfigurationError, MediaNotFoundError, MissingExtraError
from qwen_vl.media import sniff
from qwen_vl.settings import QwenVLSettings

_VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".avi", ".flv", ".wmv", ".webm", ".m4v"})
_SNIFF_BYTES = 64


def make_settings(**values: Any) -> QwenVLSettings:
    """Make the settings of a command.

    Args:
        **values: Fields.

    Raises:
        ConfigurationError: One has a value that it cannot have.
    """
    try:
        return QwenVLSettings(**values)
    except ValidationError as error:
        wrong = [f"{problem['loc'][0]}: {problem['msg']}" for problem in error.errors()]
        raise ConfigurationError(f"{'; '.join(wrong)}.") from error


def to_part(value: str, *, is_video: bool) -> Image | Video:
    """Give the part that a file or an address stands for.

    Args:
        value: As the user typed it.
        is_video: Whether it is a video, whatever it looks like.

    Raises:
        ConfigurationError: It is neither.
        MediaNotFoundError: There is no such file.
    """
    source, path = find_source(value)
    if is_video or _is_video(value, path):
        return Video(source=source, where=value)
    return Image(source=source, where=value)


def find_source(value: str) -> tuple[Source, Path | None]:
    """Find what a file or an address stands for, and the path of a file.

    Args:
        value: As the user typed it.

    Raises:
        ConfigurationError: It is neither.
    """
    is_url = "://" in value or value[:5].lower() == "data:"
    # Files that the user types are files that the user wants to send.
    path = LocalFileUrl(value).path if value[:7].lower() == "file://" else None
    if path is None and not is_url:
        path = _expand(value)
    source = to_source(path or value)
    if source is None:
        raise ConfigurationError(f"{value!r} is neither a file nor an address.")
    return source, path


def _expand(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:
        # There is no such user: then it is the name of a file that begins so, or of none.
        return Path(value)


def _is_video(value: str, path: Path | None) -> bool:
    if value[:5].lower() == "data:":
        return value[:11].lower() == "data:video/"
    if path is None:
        return Path(urlsplit(value).path).suffix.lower() in _VIDEO_SUFFIXES
    # A pipe would wait for its other end; what is no file is told where it is read.
    if path.exists() and not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            media_type = sniff(file.read(_SNIFF_BYTES))
    except OSError as error:
        raise MediaNotFoundError(
            f"The file cannot be read: {error.strerror}.",
            where=value,
            value=value,
            remedy="Check the path.",
        ) from error
    return (media_type or "").startswith("video/")


@contextmanager
def open_endpoint(*, sandbox: bool) -> Iterator[dict[str, str]]:
    """Start the sandbox if it is wanted, and give the settings that reach it.

    Args:
        sandbox: Whether it is.

    Raises:
        MissingExtraError: What it needs is not installed.
    """
    if not sandbox:
        yield {}
        return
    with load_sandbox().Sandbox() as running:
        yield {"base_url": running.base_url, "api_key": "sk-sandbox"}


def load_sandbox() -> Any:
    """Import the sandbox.

    Raises:
        MissingExtraError: What it needs is not installed.
    """
    try:
        import qwen_vl_sandbox  # noqa: PLC0415 - an extra.

        _ = qwen_vl_sandbox.Sandbox
    except ImportError as error:
        raise MissingExtraError("The sandbox", extra="sandbox") from error
    return qwen_vl_sandbox
