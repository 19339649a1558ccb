"""One run of an index: what is to be done, and what was done."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from qwen_vl.documents.results import ParsedPage
from qwen_vl.embedding.items import Item
from qwen_vl.embedding.results import EmbeddedBatch, add_usage
from qwen_vl.errors import AnswerFormatError
from qwen_vl.reply import Usage
from qwen_vl.request.types import MediaPolicy
from qwen_vl.retrieval.files import Unit
from qwen_vl.retrieval.store import IndexStore, find_id

ProgressCallback = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFailure:
    """What could not be indexed; the next run tries it again.

    Args:
        name: The file, page or frame.
        error: What is wrong with it.
    """

    name: str
    error: Exception


@dataclass(slots=True, kw_only=True)
class IndexReport:
    """What a run has done.

    Args:
        n_embedded: Pages, images and frames whose vectors were asked for.
        n_copied: Those whose vectors were known: of a file with the same content, for example.
        n_unchanged: Those that were there already.
        n_removed: Those that are gone.
        n_requests: Requests for vectors that were answered.
        skipped: Files of kinds that are not searched.
        failures: What could not be indexed.
        usage: Tokens of all vectors; `None` where none were reported.
    """

    n_embedded: int = 0
    n_copied: int = 0
    n_unchanged: int = 0
    n_removed: int = 0
    n_requests: int = 0
    skipped: tuple[Path, ...] = ()
    failures: list[IndexFailure] = field(default_factory=list)
    usage: Usage | None = None


class IndexRun:
    """The state of a run between a folder, an endpoint and a store.

    Args:
        store: Where vectors and texts are kept.
        folder: What is indexed, by its absolute path.
        model: Id of the embedding model.
        space: From `Embedder.space`.
        policy: Limits of reading files.
        max_failures: Number of failures after which the last one is raised.
        on_progress: Is called with how many are done, and how many there are to do.
    """

    def __init__(
        self,
        store: IndexStore,
        folder: Path,
        *,
        model: str,
        space: str,
        policy: MediaPolicy,
        max_failures: int,
        on_progress: ProgressCallback | None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._model, self._space = model, space
        self._policy = policy
        self._max_failures = max_failures
        self._on_progress = on_progress
        self._stored = {one.id: one.unit for one in store.find_all()}
        self._by_path: dict[str, list[Unit]] = {}
        for unit in self._stored.values():
            self._by_path.setdefault(unit.path, []).append(unit)
        self._by_content = {_find_content(unit): id_ for id_, unit in self._stored.items()}
        self._kept: set[str] = set()
        self._known: list[tuple[Unit, str]] = []
        self._pending: list[Unit] = []
        # Of the same content as one that is pending: the vector is copied at the end.
        self._first: dict[tuple[str, int, float | None], int] = {}
        self._repeats: list[tuple[Unit, int]] = []
        self._errors: dict[int, Exception] = {}
        self._texts: dict[tuple[str, int], str] = {}
        self._n_done = 0
        self.report = IndexReport()

    def find_stored(self, path: str) -> list[Unit]:
        """Return the units of a file that are stored.

        Args:
            path: Its absolute path.
        """
        return self._by_path.get(path, [])

    def plan(self, units: Iterable[Unit], *, wants_text: bool) -> None:
        """Compare the units of a file with those that are stored.

        Args:
            units: All units of the file.
            wants_text: Whether those without a text are to get one.
        """
        for unit in units:
            id_ = find_id(unit)
            self._kept.add(id_)
            stored = self._stored.get(id_)
            is_same = stored is not None and stored.digest == unit.digest
            lacks_text = wants_text and unit.kind != "frame" and not unit.text
            if stored is not None and is_same and not (lacks_text and not stored.text):
                self.report.n_unchanged += 1
            elif (source := self._by_content.get(_find_content(unit))) is not None:
                self._known.append((replace(unit, text=self._stored[source].text), source))
            elif (first := self._first.get(_find_content(unit))) is not None:
                self._repeats.append((unit, first))
            else:
                self._first[_find_content(unit)] = len(self._pending)
                self._pending.append(unit)

    def keep(self, path: str) -> None:
        """Keep what is stored of a file that cannot be read now.

        Args:
            path: Its absolute path.
        """
        self._kept.update(map(find_id, self.find_stored(path)))

    def find_silent(self) -> dict[str, list[int]]:
        """Return the numbers of the pages and images without a text, by path."""
        found: dict[str, list[int]] = {}
        for unit in (*self._pending, *(unit for unit, _ in self._known)):
            if unit.kind != "frame" and not unit.text:
                found.setdefault(unit.path, []).append(unit.number)
        return found

    def set_text(self, path: str, page: ParsedPage) -> None:
        """Set the text of a page or image, which a model has read.

        Args:
            path: Of the file.
            page: What was read; an error is a failure.
        """
        if page.error is not None:
            problem = page.error.error or AnswerFormatError(page.error.message, text="")
            self.add_failure(f"{Path(path).name}, page {page.page}", problem)
            return
        self._texts[path, page.page] = page.to_markdown()

    def _with_text(self, unit: Unit) -> Unit:
        return replace(unit, text=self._texts.get((unit.path, unit.number), unit.text))

    def add_known(self) -> None:
        """Store the units whose vectors are stored already, under another path for example."""
        self._pending = [self._with_text(unit) for unit in self._pending]
        units = [self._with_text(unit) for unit, _ in self._known]
        vectors = self._store.read_vectors([source for _, source in self._known])
        self._store.add(units, [vectors[source] for _, source in self._known])
        self.report.n_copied += len(units)
        self._advance(0)

    def find_items(self) -> Iterator[Item]:
        """Find what is to be embedded, each image when it is needed."""
        return (unit.to_item(self._policy) for unit in self._pending)

    def add(self, batch: EmbeddedBatch) -> None:
        """Store the vectors of a request.

        Args:
            batch: What was answered.
        """
        report = self.report
        self._store.prepare(self._space, self._model, len(batch.vectors[0]))
        # Now, so that what a run has stored that is stopped can be searched.
        self._store.add_folder(self._folder)
        self._store.add([self._pending[position] for position in batch.positions], batch.vectors)
        report.n_embedded += len(batch.positions)
        report.n_requests += 1
        report.usage = add_usage([report.usage, batch.usage])
        self._advance(len(batch.positions))

    def fail(self, position: int, error: Exception) -> None:
        """Note that a unit lacks a vector.

        Args:
            position: Of the unit among those that are embedded.
            error: What is wrong.
        """
        self._errors[position] = error
        self._fail(self._pending[position], error)
        self._advance(1)

    def _fail(self, unit: Unit, error: Exception) -> None:
        if find_id(unit) in self._stored:
            # What is stored is of an earlier content.
            self._kept.discard(find_id(unit))
        self.add_failure(unit.name, error)

    def add_failure(self, name: str, error: Exception) -> None:
        """Note a failure.

        Args:
            name: The file, page or frame.
            error: What is wrong.

        Raises:
            Exception: There are too many.
        """
        self.report.failures.append(IndexFailure(name=name, error=error))
        if len(self.report.failures) >= self._max_failures:
            raise error

    def end(self) -> IndexReport:
        """Copy vectors of repeated content, remove what is gone, and return what was done."""
        self._add_repeats()
        gone = [
            id_
            for id_, unit in self._stored.items()
            if id_ not in self._kept and Path(unit.path).is_relative_to(self._folder)
        ]
        self._store.remove(gone)
        self._store.add_folder(self._folder)
        self.report.n_removed = len(gone)
        return self.report

    def _add_repeats(self) -> None:
        made: list[tuple[Unit, str]] = []
        for unit, first in self._repeats:
            if (error := self._errors.get(first)) is not None:
                self._fail(unit, error)
                continue
            source = self._pending[first]
            made.append((replace(unit, text=source.text), find_id(source)))
        vectors = self._store.read_vectors([source for _, source in made])
        self._store.add([unit for unit, _ in made], [vectors[source] for _, source in made])
        self.report.n_copied += len(made)

    def _advance(self, count: int) -> None:
        self._n_done += count
        if self._on_progress is not None:
            self._on_progress(self._n_done, len(self._pending))


def _find_content(unit: Unit) -> tuple[str, int, float | None]:
    return unit.digest, unit.number, unit.seconds
