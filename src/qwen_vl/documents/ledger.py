"""Pages that are done, on disk: a run that is started again goes on where it ended."""

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from qwen_vl.content import Inline, Pixels, Url
from qwen_vl.documents.results import ParsedPage
from qwen_vl.errors import AnswerFormatError, ConfigurationError, warn
from qwen_vl.media.cache_keys import hash_bytes, hash_pixels
from qwen_vl.media.page_jobs import PageJob

# Of the files: another one where pages would be read differently.
_VERSION = 1


class PageLedger:
    """A folder with a file for each page that is done.

    Several processes may share it: files are written whole, and under another name first.

    Args:
        folder: Is created if it is missing.

    Raises:
        ConfigurationError: It cannot be written.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).expanduser()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"ledger: the folder {str(folder)!r} cannot be created: {error.strerror or error}."
            ) from error

    def find(self, key: str) -> ParsedPage | None:
        """Return the page with a key, `None` if it is not done.

        Args:
            key: From `find_key`.
        """
        path = self._path(key)
        try:
            return ParsedPage.from_dict(json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError, AnswerFormatError) as error:
            warn(
                f"ledger: {path} cannot be read ({type(error).__name__}), and its page is parsed "
                "again."
            )
            return None

    def add(self, key: str, page: ParsedPage) -> None:
        """Write a page.

        Args:
            key: From `find_key`.
            page: Without an error.

        Raises:
            ConfigurationError: It cannot be written.
        """
        data = json.dumps(page.to_dict()).encode()
        path = self._path(key)
        try:
            handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(name).replace(path)
            except BaseException:
                with suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise ConfigurationError(
                f"ledger: {path} cannot be written: {error.strerror or error}."
            ) from error

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def find_key(job: PageJob, asked: dict[str, Any]) -> str | None:
    """Return the key of a page: a hash of its bytes and of all that its answer depends on.

    Args:
        job: The page.
        asked: What is asked of it: model, prompt and parameters.

    Returns:
        `None` for decoded pixels that cannot be hashed.
    """
    source = job.held.source
    match source:
        case Inline(data=data):
            digest: bytes | None = _hash(data if isinstance(data, bytes) else data.encode())
        case Url(url=url):
            digest = hash_bytes(url.encode())
        case Pixels(image=image):
            digest = hash_pixels(image)
        case _:
            digest = None
    if digest is None:
        return None
    identity = {"version": _VERSION, "bytes": digest.hex(), "page": job.page, **asked}
    written = json.dumps(identity, default=str, sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()


@lru_cache(maxsize=2)
def _hash(data: bytes) -> bytes:
    # Once for all pages of a document.
    return hash_bytes(data)
