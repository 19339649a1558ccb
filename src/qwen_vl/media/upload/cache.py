"""What was uploaded before, remembered on disk, for all processes of one user.

One small file an upload, written whole or not at all, and a lock between those who would upload
the same. No key stands in it, and no file's name. What others may have written is not read: an
entry names the video that the model is shown.
"""

import hashlib
import os
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qwen_vl.media.upload.send import UploadCancelled

KEPT_SECONDS = 48 * 3_600
"""How long the service keeps a file (Temp-URL page, 2026)."""

# The service counts from the upload's end, by its own clock, and a request takes time.
_EARLY_SECONDS = 3_600
_LOCK_CHARS = 2
_LOCK_STEP_SECONDS = 0.2
_MAX_ENTRY_BYTES = 16_384
_PRIVATE_FOLDER, _PRIVATE_FILE = 0o700, 0o600
_OTHERS = 0o077


class _Entry(BaseModel):
    """What was uploaded, and until when it can be used, in seconds since 1970."""

    model_config = ConfigDict(strict=True)

    url: Annotated[str, Field(pattern=r"^oss://[A-Za-z0-9._-]+/[\x21-\x7e]+$", max_length=4_096)]
    expires_at: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class UploadCache:
    """URLs of what one user's programs have uploaded.

    Args:
        folder: Where they are kept.

    Example:
        >>> from tempfile import mkdtemp
        >>> cache = UploadCache.open(Path(mkdtemp()))
        >>> entry = cache.name(sha256="9f86d081", model="qwen3-vl-plus", account="ab12")
        >>> cache.remember(entry, "oss://dashscope-instant/a/walk.mp4")
        >>> cache.find(entry)
        'oss://dashscope-instant/a/walk.mp4'
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Create the folder if it does not exist.

        Args:
            folder: Accessible to this user only.

        Raises:
            OSError: It cannot be made or written to, or others may access it.
        """
        folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} cannot be written to")
        found = folder.stat()
        if not _is_own(found):
            raise PermissionError(f"{folder} belongs to another user")
        if os.name == "posix" and found.st_mode & _OTHERS:
            mode = stat.S_IMODE(found.st_mode)
            raise PermissionError(
                f"{folder} is accessible to other users (mode {mode:04o}; run chmod 700 on it)"
            )
        return cls(folder)

    @staticmethod
    def name(*, sha256: str, model: str, account: str) -> str:
        """Name the entry of a file: a URL is valid for one model and one account only.

        Args:
            sha256: Of the file's content.
            model: Model id.
            account: Identifies one account at one endpoint.
        """
        return hashlib.sha256(orjson.dumps([sha256, model, account])).hexdigest()

    def find(self, entry: str) -> str | None:
        """Return the URL of what was uploaded and is still kept.

        Args:
            entry: From `name`.
        """
        try:
            held = _Entry.model_validate_json(_read_private(self._path(entry)))
        except (OSError, ValidationError):
            # What cannot be read was not remembered.
            return None
        left = held.expires_at - time.time()
        return held.url if 0 < left <= KEPT_SECONDS else None

    def remember(self, entry: str, url: str) -> None:
        """Keep a URL for as long as the service keeps the file.

        Args:
            entry: From `name`.
            url: `oss://…`
        """
        held = {"url": url, "expires_at": time.time() + KEPT_SECONDS - _EARLY_SECONDS}
        whole = self._folder / f"{uuid.uuid4().hex}.new"
        descriptor = os.open(whole, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(held))
        whole.replace(self._path(entry))
        self._remove_old()

    def forget(self, entry: str, url: str) -> None:
        """Drop a URL that the service refused, unless another has taken its place.

        Args:
            entry: From `name`.
            url: What was refused.
        """
        if self.find(entry) == url:
            self._path(entry).unlink(missing_ok=True)

    @contextmanager
    def locked(self, entry: str, is_cancelled: Callable[[], bool]) -> Iterator[None]:
        """Keep out all others that would upload the same, in this process and in others.

        Args:
            entry: From `name`.
            is_cancelled: Asked while waiting.

        Raises:
            UploadCancelled: It was.
        """
        from filelock import FileLock, Timeout  # noqa: PLC0415 - not for requests without uploads

        # A lock that is removed can be held twice; so there are a few, and they stay.
        lock = FileLock(self._folder / f"{entry[:_LOCK_CHARS]}.lock", mode=_PRIVATE_FILE)
        while True:
            try:
                lock.acquire(timeout=_LOCK_STEP_SECONDS)
                break
            except Timeout:
                if is_cancelled():
                    raise UploadCancelled from None
        try:
            yield
        finally:
            lock.release()

    def _path(self, entry: str) -> Path:
        return self._folder / f"{entry}.json"

    def _remove_old(self) -> None:
        oldest = time.time() - KEPT_SECONDS
        for file in (*self._folder.glob("*.json"), *self._folder.glob("*.new")):
            try:
                if file.stat().st_mtime < oldest:
                    file.unlink()
            except FileNotFoundError:
                # Another process was first.
                continue


def _is_own(found: os.stat_result) -> bool:
    return not hasattr(os, "getuid") or found.st_uid == os.getuid()


def _read_private(path: Path) -> bytes:
    """Read a short file that nobody else can have written.

    Raises:
        OSError: It does not exist, is not a file of this user, or is long.
    """
    # Opening a pipe would wait for its other end, and a link may lead anywhere.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
        found = os.fstat(file.fileno())
        is_open_to_others = os.name == "posix" and bool(found.st_mode & _OTHERS)
        if not stat.S_ISREG(found.st_mode) or not _is_own(found) or is_open_to_others:
            raise PermissionError(f"{path} is not a private file of this user")
        content = file.read(_MAX_ENTRY_BYTES + 1)
    if len(content) > _MAX_ENTRY_BYTES:
        raise PermissionError(f"{path} is longer than an entry")
    return content
