"""Vectors that were paid for, on disk: what is embedded again is not asked for again."""

import hashlib
import json
import sqlite3
from array import array
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from qwen_vl.content import DataUrl, Text, Url
from qwen_vl.embedding.items import Item, ItemPart
from qwen_vl.embedding.results import Vector
from qwen_vl.errors import ConfigurationError

_FILE = "vectors.sqlite3"
# Of the keys: another one where the same item would have another vector.
_VERSION = 1
_WAIT_SECONDS = 60.0


class VectorCache:
    """A folder with the vectors of items, by a hash of their content.

    Each request's vectors are on disk before the next one is answered, so that a run that was
    stopped goes on where it ended, whatever framework or store it works for. Several processes may
    share it. Neither texts nor images are kept, only their hashes.

    Args:
        folder: Is created if it is missing, readable by the user only.

    Raises:
        ConfigurationError: It cannot be written, or holds another file of that name.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     cache = VectorCache(folder)
        ...     cache.add({b"key": [0.5, 1.0]})
        ...     cache.find(b"key"), cache.find(b"other"), len(cache)
        ([0.5, 1.0], None, 1)
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder).expanduser()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise ConfigurationError(
                f"cache: the folder {str(folder)!r} cannot be created: {error.strerror or error}."
            ) from error
        with self._opened() as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) "
                "WITHOUT ROWID"
            )

    def __len__(self) -> int:
        with self._opened() as database:
            (count,) = database.execute("SELECT count(*) FROM vectors").fetchone()
        return int(count)

    def find(self, key: bytes) -> Vector | None:
        """Return the vector with a key, `None` if there is none.

        Args:
            key: From `find_key`.
        """
        with self._opened() as database:
            row = database.execute("SELECT vector FROM vectors WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        numbers = array("d")
        numbers.frombytes(row[0])
        return numbers.tolist()

    def add(self, vectors: Mapping[bytes, Vector]) -> None:
        """Keep vectors; they are on disk when it returns.

        Args:
            vectors: By their keys.

        Raises:
            ConfigurationError: They cannot be written.
        """
        rows = [(key, array("d", vector).tobytes()) for key, vector in vectors.items()]
        with self._opened() as database, database:
            database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        # Opened each time, which takes a tenth of a millisecond: threads and forked processes must
        # not share a connection.
        path = self._folder / _FILE
        try:
            with closing(sqlite3.connect(path, timeout=_WAIT_SECONDS)) as database:
                yield database
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"cache: {str(path)!r} cannot be used: {error}. Remove it, or name another folder."
            ) from error


def find_key(item: Item, asked: Mapping[str, Any]) -> bytes | None:
    """Return the key of an item: a hash of its content and of all that its vector depends on.

    Args:
        item: Its images are prepared.
        asked: What is asked of it: server, model, dimensions, instruction and parameters.

    Returns:
        `None` for a video that is not given by URL.
    """
    parts = [_identify(part) for part in item.parts]
    if None in parts:
        return None
    identity = {"version": _VERSION, "parts": parts, **asked}
    written = json.dumps(identity, default=str, sort_keys=True)
    return hashlib.sha256(written.encode(errors="surrogatepass")).digest()


def _identify(part: ItemPart) -> list[str] | None:
    if isinstance(part, Text):
        return ["text", part.text]
    kind = type(part).__name__
    match part.source:
        case DataUrl() as source:
            data: Any = source.data if source.base64 is None else source.base64
            form = "bytes" if source.base64 is None else "Base64"
            return [kind, form, hashlib.sha256(data or b"").hexdigest()]
        case Url(url=url):
            return [kind, "url", url]
    return None
