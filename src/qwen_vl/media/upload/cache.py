"""What was uploaded before, remembered on disk, for all processes of one user.

One small file an upload, written whole or not at all, and a lock between those who would upload
the same. No key stands in it, and no file's name.
"""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import orjson

from qwen_vl.media.upload.send import UploadCancelled

KEPT_SECONDS = 48 * 3_600
"""How long the service keeps a file (Temp-URL page, 2026)."""

# The service counts from the upload's end, by its own clock, and a request takes time.
_EARLY_SECONDS = 3_600
_LOCK_CHARS = 2
_LOCK_STEP_SECONDS = 0.5


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
            folder: Readable by this user only.

        Raises:
            OSError: It cannot be made, or written to.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(f"{folder} cannot be written to")
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
            held = orjson.loads(self._path(entry).read_bytes())
            url, expires_at = str(held["url"]), float(held["expires_at"])
        except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            # What cannot be read was not remembered.
            return None
        return url if time.time() < expires_at else None

    def remember(self, entry: str, url: str) -> None:
        """Keep a URL for as long as the service keeps the file.

        Args:
            entry: From `name`.
            url: `oss://…`
        """
        held = {"url": url, "expires_at": time.time() + KEPT_SECONDS - _EARLY_SECONDS}
        whole = self._folder / f"{uuid.uuid4().hex}.new"
        whole.write_bytes(orjson.dumps(held))
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
        lock = FileLock(self._folder / f"{entry[:_LOCK_CHARS]}.lock")
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
