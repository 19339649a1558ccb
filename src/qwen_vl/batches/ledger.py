"""What a batch job consists of and how far it is, on disk: any process can go on with it."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from qwen_vl.errors import ConfigurationError
from qwen_vl.wire.openai.batch import LineAnswer

FILE = "job.sqlite3"
_LOCK_FILE = "lock.sqlite3"
_WAIT_SECONDS = 60.0
_VERSION = 1
_PAGE = 200
_TABLES = (
    "CREATE TABLE IF NOT EXISTS job (name TEXT PRIMARY KEY, value TEXT NOT NULL)",
    """CREATE TABLE IF NOT EXISTS items (
        number INTEGER PRIMARY KEY, key TEXT NOT NULL, line TEXT,
        error_code TEXT, error_message TEXT)""",
    """CREATE TABLE IF NOT EXISTS lines (
        custom_id TEXT PRIMARY KEY, shard INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
        state TEXT NOT NULL, body BLOB, request_id TEXT,
        error_code TEXT, error_message TEXT) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS lines_of_shard ON lines (shard)",
    """CREATE TABLE IF NOT EXISTS shards (
        number INTEGER PRIMARY KEY, n_lines INTEGER NOT NULL, n_bytes INTEGER NOT NULL,
        state TEXT NOT NULL, filename TEXT, file_id TEXT, batch_id TEXT, status TEXT,
        n_completed INTEGER NOT NULL DEFAULT 0, n_failed INTEGER NOT NULL DEFAULT 0,
        output_file_id TEXT, error_file_id TEXT, expires_at INTEGER, error TEXT,
        is_clean INTEGER NOT NULL DEFAULT 0)""",
)


class ShardState(StrEnum):
    """How far a file of requests is. What stands here is written before the call, and after it."""

    PREPARED = "prepared"
    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    SUBMITTING = "submitting"
    SUBMITTED = "submitted"
    ENDED = "ended"
    COLLECTED = "collected"


class LineState(StrEnum):
    """What came of a line."""

    WAITING = "waiting"
    ANSWERED = "answered"
    FAILED = "failed"
    NOT_RUN = "not_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One file of requests.

    Args:
        number: From 0 on.
        n_lines: Requests in it.
        n_bytes: Its size.
        state: How far it is.
        filename: What it is called at the service.
        file_id: Its id there.
        batch_id: Id of its job there.
        status: Status of that job, in the service's words.
        n_completed: Lines that were answered, as the service counts.
        n_failed: Lines that failed.
        output_file_id: Id of the answers.
        error_file_id: Id of the errors.
        expires_at: When the job ends at the latest, in seconds since 1970.
        error: Why the service refused the job.
        is_clean: Whether its files are deleted at the service.
    """

    number: int
    n_lines: int
    n_bytes: int
    state: ShardState
    filename: str | None = None
    file_id: str | None = None
    batch_id: str | None = None
    status: str | None = None
    n_completed: int = 0
    n_failed: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    expires_at: int | None = None
    error: str | None = None
    is_clean: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What came of an item of the input.

    Args:
        number: Place of the item in the input.
        key: The item's key.
        state: Of its line; `FAILED` where it has none.
        body: JSON of the answer.
        request_id: What the service's support asks for.
        error_code: Why the answer is missing.
        error_message: What is wrong.
    """

    number: int
    key: str
    state: LineState
    body: bytes = b""
    request_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


class BatchLedger:
    """The database of a job's folder.

    Each method is a transaction, so that a process that is killed leaves no half of one.

    Args:
        folder: Of the job; must exist.

    Raises:
        ConfigurationError: It cannot be opened, or is of a later version.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with self._explained():
            self._database = _open(folder / FILE)
        version = self.recall("version")
        if version is not None and version > _VERSION:
            self.close()
            raise ConfigurationError(
                f"The job in {str(folder)!r} was written by a later version of qwen-vl. Update it."
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def recall(self, name: str) -> Any:
        """Return what is known of the whole job; `None` if nothing is.

        Args:
            name: Of the value.
        """
        found = self._find("SELECT value FROM job WHERE name = ?", (name,))
        return json.loads(found[0]) if found else None

    def remember(self, **values: Any) -> None:
        """Note something of the whole job.

        Args:
            **values: What JSON has forms for.
        """
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        self._write("INSERT OR REPLACE INTO job VALUES (?, ?)", rows)

    def begin(self) -> None:
        """Forget a preparation that was not finished."""
        with self._explained(), self._database:
            for table in ("items", "lines", "shards", "job"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608 - names from above.
        self.remember(version=_VERSION)

    def add_items(
        self, items: Iterable[tuple[int, str, str | None, str | None, str | None]]
    ) -> None:
        """Add items: number, key, custom id of the line, code and message of an error.

        Args:
            items: In any order.
        """
        self._write("INSERT INTO items VALUES (?, ?, ?, ?, ?)", items)

    def add_lines(self, lines: Iterable[tuple[str, int, int]]) -> None:
        """Add lines: custom id, number of the shard, input tokens.

        Args:
            lines: In any order.
        """
        self._write(
            "INSERT INTO lines (custom_id, shard, input_tokens, state) VALUES (?, ?, ?, 'waiting')",
            lines,
        )

    def add_shard(self, number: int, n_lines: int, n_bytes: int) -> None:
        """Add a file of requests.

        Args:
            number: From 0 on.
            n_lines: Requests in it.
            n_bytes: Its size.
        """
        query = "INSERT INTO shards (number, n_lines, n_bytes, state) VALUES (?, ?, ?, 'prepared')"
        self._write(query, [(number, n_lines, n_bytes)])

    def move_lines(self, number: int, n_bytes: int, custom_ids: list[str]) -> None:
        """Add a file of lines that are asked again.

        Args:
            number: Of the new shard.
            n_bytes: Its size.
            custom_ids: Its lines.
        """
        rows = [(number, custom_id) for custom_id in custom_ids]
        with self._explained(), self._database:
            self._database.execute(
                "INSERT INTO shards (number, n_lines, n_bytes, state) VALUES (?, ?, ?, 'prepared')",
                (number, len(rows), n_bytes),
            )
            self._database.executemany(
                "UPDATE lines SET shard = ?, state = 'waiting', error_code = NULL, "
                "error_message = NULL WHERE custom_id = ?",
                rows,
            )

    def read_shards(self) -> list[Shard]:
        """Return all files of requests, by their numbers."""
        columns = Shard.__slots__
        query = f"SELECT {', '.join(columns)} FROM shards ORDER BY number"  # noqa: S608 - fields.
        with self._explained(), closing(self._database.execute(query)) as rows:
            found = [dict(zip(columns, row, strict=True)) for row in rows]
        return [
            Shard(**{**row, "state": ShardState(row["state"]), "is_clean": bool(row["is_clean"])})
            for row in found
        ]

    def update_shard(self, number: int, **values: Any) -> None:
        """Note how far a shard is.

        Args:
            number: Of the shard.
            **values: Fields of `Shard`.
        """
        names = ", ".join(f"{name} = ?" for name in values)
        query = f"UPDATE shards SET {names} WHERE number = ?"  # noqa: S608 - fields.
        self._write(query, [(*values.values(), number)])

    def collect(self, shard: Shard, answers: Iterable[LineAnswer]) -> None:
        """Note what came of a shard's lines; lines without an answer have not been run.

        Args:
            shard: Its job has ended.
            answers: Of its output and error files.
        """
        rows = (
            (
                LineState.ANSWERED if answer.is_answer else LineState.FAILED,
                answer.body or None,
                answer.request_id,
                answer.error_code,
                answer.error_message,
                answer.custom_id,
                shard.number,
            )
            for answer in answers
        )
        refused = shard.status == "failed"
        rest = LineState.FAILED if refused else LineState.NOT_RUN
        code = "job_failed" if refused else f"job_{shard.status}"
        message = shard.error or f"The job ended ({shard.status}) before the line was run."
        with self._explained(), self._database:
            self._database.executemany(
                "UPDATE lines SET state = ?, body = ?, request_id = ?, error_code = ?, "
                "error_message = ? WHERE custom_id = ? AND shard = ? AND state != 'answered'",
                rows,
            )
            self._database.execute(
                "UPDATE lines SET state = ?, error_code = ?, error_message = ? "
                "WHERE shard = ? AND state = 'waiting'",
                (rest, code, message, shard.number),
            )
            self._database.execute(
                "UPDATE shards SET state = 'collected' WHERE number = ?", (shard.number,)
            )

    def find_lines(self, *states: LineState) -> set[str]:
        """Return the ids of lines that came to something.

        Args:
            *states: Of the lines.
        """
        marks = ", ".join("?" for _ in states)
        query = f"SELECT custom_id FROM lines WHERE state IN ({marks})"  # noqa: S608 - marks.
        with self._explained(), closing(self._database.execute(query, states)) as rows:
            return {custom_id for (custom_id,) in rows}

    def count_lines(self) -> dict[LineState, int]:
        """Return how many lines there are in each state."""
        counts = dict.fromkeys(LineState, 0)
        query = "SELECT state, count(*) FROM lines GROUP BY state"
        with self._explained(), closing(self._database.execute(query)) as rows:
            counts.update({LineState(state): number for state, number in rows})
        return counts

    def count_items(self) -> tuple[int, int]:
        """Return the number of items, and of those that could not be written."""
        query = "SELECT count(*), sum(line IS NULL) FROM items"
        n_items, n_failed = self._find(query, ()) or (0, 0)
        return int(n_items), int(n_failed or 0)

    def read_input_tokens(self) -> list[tuple[int, int]]:
        """Return numbers of input tokens, and how many lines have as many."""
        query = "SELECT input_tokens, count(*) FROM lines GROUP BY input_tokens"
        with self._explained(), closing(self._database.execute(query)) as rows:
            return [(int(tokens), int(count)) for tokens, count in rows]

    def read_items(self) -> Iterator[Line]:
        """Read what came of each item, in the order of the input."""
        query = (
            "SELECT items.number, items.key, coalesce(lines.state, 'failed'), lines.body, "
            "lines.request_id, coalesce(lines.error_code, items.error_code), "
            "coalesce(lines.error_message, items.error_message) FROM items "
            "LEFT JOIN lines ON lines.custom_id = items.line "
            "WHERE items.number > ? ORDER BY items.number LIMIT ?"
        )
        for number, key, state, body, request_id, code, message in self._read_pages(query, -1):
            yield Line(
                number=number,
                key=key,
                state=LineState(state),
                body=body or b"",
                request_id=request_id,
                error_code=code,
                error_message=message,
            )

    def read_bodies(self) -> Iterator[bytes]:
        """Read the answer of each line that has one, once each."""
        query = (
            "SELECT custom_id, body FROM lines WHERE custom_id > ? AND state = 'answered' "
            "ORDER BY custom_id LIMIT ?"
        )
        for _, body in self._read_pages(query, ""):
            yield body

    def _read_pages(self, query: str, begin: Any) -> Iterator[tuple[Any, ...]]:
        # Page by page: the reader may stop at any row, and close the job.
        while True:
            with self._explained(), closing(self._database.execute(query, (begin, _PAGE))) as rows:
                page = rows.fetchall()
            yield from page
            if len(page) < _PAGE:
                return
            begin = page[-1][0]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from changing the job; the end of this process lets them.

        Raises:
            ConfigurationError: Another process is at it.
        """
        # Of a separate database, whose lock the system lifts if the process is killed; the job
        # can be read meanwhile.
        lock = sqlite3.connect(self.folder / _LOCK_FILE, timeout=0.0, isolation_level=None)
        with closing(lock):
            try:
                lock.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError as error:
                raise ConfigurationError(
                    f"The job in {str(self.folder)!r} is being changed by another process. Wait "
                    "until that ends."
                ) from error
            yield

    def _find(self, query: str, values: tuple[Any, ...]) -> Any:
        with self._explained(), closing(self._database.execute(query, values)) as rows:
            return rows.fetchone()

    def _write(self, query: str, rows: Iterable[tuple[Any, ...]]) -> None:
        with self._explained(), self._database:
            self._database.executemany(query, rows)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"The job in {str(self.folder)!r} cannot be read or written: {error}."
            ) from error


def _open(path: Path) -> sqlite3.Connection:
    # A job may be used from another thread, one call at a time.
    database = sqlite3.connect(path, timeout=_WAIT_SECONDS, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        with database:
            for table in _TABLES:
                database.execute(table)
    except BaseException:
        database.close()
        raise
    return database
