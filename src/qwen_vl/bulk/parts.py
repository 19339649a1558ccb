"""What was answered, in files that many processes can write, each its own."""

import contextlib
import os
import socket
import time
import uuid
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import orjson

from qwen_vl.bulk.outcome import Outcome
from qwen_vl.errors import ConfigurationError

DEFAULT_FLUSH_ROWS = 100
DEFAULT_FLUSH_SECONDS = 1.0
_ROWS_PER_PART = 50_000
# The place of an outcome as one number: whether it is an answer, its file, and where it begins.
_ANSWER = 1 << 63
_FILE_SHIFT = 40
_OFFSET_MASK = (1 << _FILE_SHIFT) - 1
_FILE_MASK = (1 << (63 - _FILE_SHIFT)) - 1


class PartLedger:
    """A folder with the outcome of each row, by its key, which many processes can use; for `with`.

    Each process appends to its own file, `.part-….jsonl`, which becomes `part-….jsonl` when
    it is full or closed. What other processes write is found when the ledger is opened again.
    Outcomes are written every `flush_rows`, or after `flush_seconds` with the next one; of a
    process that is killed, those since then are asked for again. A line that was cut off is passed
    over. An answer takes the place of an error with the same key, never the other way around.

    Memory: 16 bytes for each outcome that was there at the opening.

    Args:
        folder: Is created if it is missing; all processes must reach it.
        flush_rows: Outcomes that are held at the most.
        flush_seconds: How long outcomes are held, if others follow.

    Raises:
        ConfigurationError: It cannot be read or written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     with PartLedger(folder) as ledger:
        ...         ledger.add(Outcome(key="ab" * 32, answer="A cat."))
        ...     with PartLedger(folder) as ledger:
        ...         ledger.find("ab" * 32).answer, len(ledger)
        ('A cat.', 1)
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        flush_rows: int = DEFAULT_FLUSH_ROWS,
        flush_seconds: float = DEFAULT_FLUSH_SECONDS,
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.flush_seconds = flush_seconds
        self._flush_rows = flush_rows
        self._name = f"{socket.gethostname()[:32]}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._n_parts = 0
        self._written = 0
        self._part: BinaryIO | None = None
        self._files: list[Path] = []
        self._own: dict[int, int] = {}
        self._pending: dict[str, Outcome] = {}
        self._flushed = time.monotonic()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._keys, self._places = self._read()
        except OSError as error:
            raise ConfigurationError(
                f"The ledger {str(folder)!r} cannot be opened: {error}."
            ) from error

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
        """Write what is pending, and close this process's file."""
        self.flush()
        self._end_part()

    def __del__(self) -> None:
        # In workers of an engine, which says no word before it ends them.
        if hasattr(self, "_keys"):
            with contextlib.suppress(Exception):
                self.close()

    def __len__(self) -> int:
        self.flush()
        return len(self._keys) + sum(self._find_place(key) is None for key in self._own)

    def find(self, key: str) -> Outcome | None:
        """Return the outcome with a key, `None` if there is none.

        Args:
            key: From `Job.find_key`.
        """
        if key in self._pending:
            return self._pending[key]
        digest = _shorten(key)
        place = self._own.get(digest, self._find_place(digest))
        outcome = None if place is None else self._load(place)
        # Of two keys that are confused, one is asked for again.
        return outcome if outcome is not None and outcome.key == key else None

    def add(self, outcome: Outcome) -> None:
        """Note an outcome.

        Args:
            outcome: Of a row.

        Raises:
            ConfigurationError: It cannot be written.
        """
        self._pending[outcome.key] = outcome
        is_due = time.monotonic() - self._flushed >= self.flush_seconds
        if is_due or len(self._pending) >= self._flush_rows:
            self.flush()

    def flush(self) -> None:
        """Write what is pending.

        Raises:
            ConfigurationError: It cannot be written: the disk is full, for example.
        """
        self._flushed = time.monotonic()
        if not self._pending:
            return
        try:
            part = self._part or self._begin_part()
            offset = part.tell()
            positions, lines = [], []
            for outcome in self._pending.values():
                line = orjson.dumps(outcome.to_dict(), option=orjson.OPT_APPEND_NEWLINE)
                number = len(self._files) - 1
                positions.append((_shorten(outcome.key), _place(number, offset, outcome.is_answer)))
                lines.append(line)
                offset += len(line)
            # At once: what is written of a line by a process that is killed is passed over.
            part.write(b"".join(lines))
            part.flush()
        except (OSError, TypeError) as error:
            # Nothing is appended to what may be half a line.
            with contextlib.suppress(OSError):
                self._end_part()
            raise ConfigurationError(
                f"The ledger {str(self.folder)!r} cannot be written: {error}. What was answered "
                f"before is kept; {len(self._pending)} answers are asked for again."
            ) from error
        self._own.update(positions)
        self._written += len(lines)
        self._pending.clear()
        if self._written >= _ROWS_PER_PART:
            self._end_part()

    def find_outcomes(self) -> Iterator[Outcome]:
        """Find all outcomes, in no order: those at the opening, and this process's own."""
        self.flush()
        known = zip(self._keys, self._places, strict=True)
        positions = [place for key, place in known if key not in self._own]
        for place in (*positions, *self._own.values()):
            outcome = self._load(place)
            if outcome is not None:
                yield outcome

    def _begin_part(self) -> BinaryIO:
        path = self.folder / f".part-{self._name}-{self._n_parts:05}.jsonl"
        self._part = path.open("xb")
        self._files.append(path)
        return self._part

    def _end_part(self) -> None:
        if self._part is None:
            return
        self._part.close()
        path = self._files[-1]
        final = path.with_name(path.name.removeprefix("."))
        path.replace(final)
        self._files[-1] = final
        self._part = None
        self._n_parts += 1
        self._written = 0

    def _find_place(self, digest: int) -> int | None:
        at = bisect_left(self._keys, digest)
        is_there = at < len(self._keys) and self._keys[at] == digest
        return self._places[at] if is_there else None

    def _load(self, place: int) -> Outcome | None:
        path = self._files[(place >> _FILE_SHIFT) & _FILE_MASK]
        for name in (path.name, path.name.removeprefix(".")):
            # Another process may have closed its file meanwhile.
            with contextlib.suppress(FileNotFoundError), path.with_name(name).open("rb") as file:
                file.seek(place & _OFFSET_MASK)
                return Outcome.from_dict(orjson.loads(file.readline()))
        return None

    def _read(self) -> tuple["array[int]", "array[int]"]:
        found: list[int] = []
        for path in sorted((*self.folder.glob("part-*.jsonl"), *self.folder.glob(".part-*.jsonl"))):
            number = len(self._files)
            self._files.append(path)
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                found.extend(_read_positions(file, number))
        # Of those with one key, the last is an answer, if there is one.
        found.sort()
        keys, positions = array("Q"), array("Q")
        for one in found:
            digest, place = one >> 64, one & ((1 << 64) - 1)
            if keys and keys[-1] == digest:
                positions[-1] = place
            else:
                keys.append(digest)
                positions.append(place)
        return keys, positions


def _read_positions(file: BinaryIO, number: int) -> Iterator[int]:
    offset = 0
    for line in file:
        begin, offset = offset, offset + len(line)
        try:
            values = orjson.loads(line)
            digest, is_answer = _shorten(values["key"]), "error_code" not in values
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            # Cut off with its process.
            continue
        if line.endswith(b"\n"):
            yield (digest << 64) | _place(number, begin, is_answer)


def _place(number: int, offset: int, is_answer: bool) -> int:
    return (_ANSWER if is_answer else 0) | (number << _FILE_SHIFT) | offset


def _shorten(key: str) -> int:
    """Return 8 bytes that stand for a key."""
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big")
