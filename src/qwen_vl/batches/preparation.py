"""The files of a new job: each request that differs is a line."""

from collections.abc import Callable, Iterable

from qwen_vl.batches.ledger import BatchLedger
from qwen_vl.batches.shards import Encoded, Writer, make_id, prepare_bodies
from qwen_vl.bulk.outcome import name_error
from qwen_vl.request.types import Request

_FLUSH_ROWS = 500


class Preparation:
    """Writes the files of a new job."""

    def __init__(
        self,
        ledger: BatchLedger,
        writer: Writer,
    ) -> None:
        self._ledger = ledger
        self._writer = writer
        self._items: list[tuple[int, str, str | None, str | None, str | None]] = []
        self._lines: list[tuple[str, int, int]] = []
        self._known: set[str] = set()

    def write(
        self,
        requests: Iterable[tuple[str, Request]],
        on_progress: Callable[[int], None] | None,
    ) -> None:
        """Write all lines."""
        try:
            for number, (key, encoded) in enumerate(prepare_bodies(requests)):
                self._add(number, key, encoded)
                if len(self._items) >= _FLUSH_ROWS:
                    self._flush()
                if on_progress is not None:
                    on_progress(number + 1)
        finally:
            self._writer.close()
        self._flush()
        for shard in self._writer.shards:
            self._ledger.add_shard(*shard)

    def _add(self, number: int, key: str, encoded: Encoded) -> None:
        if isinstance(encoded, Exception):
            self._items.append((number, key, None, *name_error(encoded)))
            return
        body, n_tokens = encoded
        custom_id = make_id(body)
        self._items.append((number, key, custom_id, None, None))
        if custom_id not in self._known:
            self._known.add(custom_id)
            self._lines.append((custom_id, self._writer.add(custom_id, body), n_tokens))

    def _flush(self) -> None:
        self._ledger.add_lines(self._lines)
        self._ledger.add_items(self._items)
        self._lines.clear()
        self._items.clear()
