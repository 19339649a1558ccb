"""The files of batch jobs, on the disk: those that were uploaded, and their results.

Objects are those of the OpenAI-File page (2026).
"""

import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

FileKind = Literal["batch", "batch_output", "batch_error"]
DOWNLOADABLE = ("file-batch_output", "file-batch_error")


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file of a batch job.

    Args:
        id: Its id, such as `file-batch-…`.
        kind: `batch` for a file of requests, `batch_output` and `batch_error` for results.
        filename: As it was uploaded.
        n_bytes: Its size in bytes.
        created_at: Seconds since 1970.
        path: Where it is.
        account: Whose it is.

    Example:
        >>> BatchFile("file-batch-1", "batch", "a.jsonl", 9, 0, Path("a"), "").to_json()["bytes"]
        9
    """

    id: str
    kind: FileKind
    filename: str
    n_bytes: int
    created_at: int
    path: Path
    account: str

    def to_json(self) -> dict[str, Any]:
        """Return the file object."""
        return {
            "id": self.id,
            "bytes": self.n_bytes,
            "created_at": self.created_at,
            "filename": self.filename,
            "object": "file",
            # unsure: the purpose of results; the page shows files that were uploaded.
            "purpose": "batch" if self.kind == "batch" else "batch_output",
            "status": "processed",
            "status_details": None,
        }


class FileStore:
    """The files of one sandbox.

    Args:
        clock: Gives the time, in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._files: dict[str, BatchFile] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = threading.Lock()

    @property
    def files(self) -> list[BatchFile]:
        """All files, the oldest first."""
        return list(self._files.values())

    def upload(self, account: str, file: BinaryIO, filename: str) -> BatchFile:
        """Take a file of requests in, block by block."""
        path = self.new_path()
        with path.open("xb") as saved:
            shutil.copyfileobj(file, saved)
        return self.add(account, path, "batch", filename)

    def new_path(self) -> Path:
        """Return the path of a file that does not exist yet."""
        with self._lock:
            if self._folder is None:
                self._folder = tempfile.TemporaryDirectory(prefix="qwen-vl-sandbox-batch-")
            return Path(self._folder.name, uuid.uuid4().hex)

    def add(self, account: str, path: Path, kind: FileKind, filename: str) -> BatchFile:
        """Add a file that is written."""
        made = BatchFile(
            id=f"file-{kind}-{uuid.uuid4()}",
            kind=kind,
            filename=filename,
            n_bytes=path.stat().st_size,
            created_at=int(self._clock()),
            path=path,
            account=account,
        )
        self._files[made.id] = made
        return made

    def find(self, file_id: str, account: str) -> BatchFile | None:
        """Look a file up; `None` if the account does not have it."""
        found = self._files.get(file_id)
        return found if found is not None and found.account == account else None

    def delete(self, file: BatchFile) -> None:
        """Remove a file."""
        del self._files[file.id]
        file.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all files."""
        with self._lock:
            self._files.clear()
            if self._folder is not None:
                self._folder.cleanup()
                self._folder = None
