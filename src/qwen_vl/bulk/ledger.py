"""What was answered, on disk: a run that is started again goes on where it ended."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qwen_vl.bulk.outcome import Outcome
from qwen_vl.errors import ConfigurationError

_FILE = "ledger.sqlite3"
_FLUSH_ROWS = 100
_FLUSH_SECONDS = 1.0
_WAIT_SECONDS = 60.0
_TABLES = (
    (
        "CREATE TABLE IF NOT EXISTS outcomes "
        "(key TEXT PRIMARY KEY, is_answer INTEGER NOT NULL, value TEXT NOT NULL) WITHOUT ROWID"
    ),
    # Of the run: which key each row of its input has.
    "CREATE TABLE IF NOT EXISTS rows (number INTEGER PRIMARY KEY, key TEXT NOT NULL)",
)


class Ledger:
    """A folder with the outcome of each row, by its key; for `with`.

    Each key has one outcome, whatever ends the run: an answer takes the place of an error, never
    the other way around. Outcomes are written every second, or every 100; of a process that is
    killed, those since then are asked for again.

    Args:
        folder: Is created if it is missing.

    Raises:
        ConfigurationError: It cannot be written, or is open in another process.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, Ledger(folder) as ledger:
        ...     ledger.add(Outcome(key="a", answer="A cat."))
        ...     ledger.find("a").answer, ledger.find("b"), len(ledger)
        ('A cat.', None, 1)
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._database = _open(self.folder / _FILE)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError(
                f"The ledger {str(folder)!r} cannot be opened: {error}. If another run uses it, "
                "wait until that ends."
            ) from error
        self._pending: dict[str, Outcome] = {}
        self._rows: list[tuple[int, str]] = []
        self._flushed = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what is pending, and close the ledger."""
        self.flush()
        self._database.close()

    def __len__(self) -> int:
        self.flush()
        with closing(self._database.execute("SELECT count(*) FROM outcomes")) as rows:
            return int(rows.fetchone()[0])

    def find(self, key: str) -> Outcome | None:
        """Return the outcome with a key, `None` if there is none.

        Args:
            key: From `Job.find_key`.
        """
        if key in self._pending:
            return self._pending[key]
        query = "SELECT value FROM outcomes WHERE key = ?"
        with closing(self._database.execute(query, (key,))) as rows:
            row = rows.fetchone()
        return None if row is None else Outcome.from_dict(json.loads(row[0]))

    def forget_rows(self) -> None:
        """Forget which key each row has: another input is read."""
        self._rows.clear()
        with self._database:
            self._database.execute("DELETE FROM rows")

    def note_row(self, number: int, key: str) -> None:
        """Note which key a row has.

        Args:
            number: Its place in the input.
            key: From `Job.find_key`.
        """
        self._rows.append((number, key))
        if len(self._rows) >= _FLUSH_ROWS:
            self.flush()

    def find_row(self, number: int) -> Outcome | None:
        """Return the outcome of a row, `None` if there is none.

        Args:
            number: Its place in the input.
        """
        self.flush()
        query = "SELECT value FROM rows JOIN outcomes ON outcomes.key = rows.key WHERE number = ?"
        with closing(self._database.execute(query, (number,))) as rows:
            row = rows.fetchone()
        return None if row is None else Outcome.from_dict(json.loads(row[0]))

    def find_failures(self) -> Iterator[Outcome]:
        """Find the outcomes that are errors."""
        self.flush()
        query = "SELECT value FROM outcomes WHERE is_answer = 0 ORDER BY key"
        with closing(self._database.execute(query)) as rows:
            for (value,) in rows:
                yield Outcome.from_dict(json.loads(value))

    def add(self, outcome: Outcome) -> None:
        """Note an outcome; it is on disk within a second, or with the next 100.

        Args:
            outcome: Of a row.

        Raises:
            ConfigurationError: It cannot be written.
        """
        self._pending[outcome.key] = outcome
        is_due = time.monotonic() - self._flushed >= _FLUSH_SECONDS
        if is_due or len(self._pending) >= _FLUSH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending.

        Raises:
            ConfigurationError: It cannot be written: the disk is full, for example.
        """
        self._flushed = time.monotonic()
        if not self._pending and not self._rows:
            return
        rows: list[tuple[Any, ...]] = [
            (outcome.key, outcome.is_answer, json.dumps(outcome.to_dict()))
            for outcome in self._pending.values()
        ]
        try:
            with self._database:
                self._database.executemany(
                    "INSERT INTO outcomes VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                    "is_answer = excluded.is_answer, value = excluded.value "
                    "WHERE excluded.is_answer >= outcomes.is_answer",
                    rows,
                )
                self._database.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", self._rows)
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"The ledger {str(self.folder)!r} cannot be written: {error}. What was answered "
                f"before is kept; {len(rows)} answers are asked for again."
            ) from error
        self._pending.clear()
        self._rows.clear()


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=_WAIT_SECONDS)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        # Another process would ask the same rows again, and pay for them.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        with database:
            for table in _TABLES:
                database.execute(table)
    except BaseException:
        database.close()
        raise
    return database
