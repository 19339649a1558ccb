"""From a folder to a store: what is new is embedded, what is gone is removed."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen_vl.documents.parser import DocumentParser
from qwen_vl.documents.results import ParsedPage
from qwen_vl.embedding.embedder import Embedder
from qwen_vl.embedding.results import EmbeddedBatch
from qwen_vl.errors import QwenVLError
from qwen_vl.generators import Owned
from qwen_vl.request.types import MediaPolicy
from qwen_vl.retrieval.files import FrameOptions, Unit, find_files, find_units, open_file
from qwen_vl.retrieval.plan import IndexReport, IndexRun, ProgressCallback
from qwen_vl.retrieval.store import PARSED_PAGES, IndexStore
from qwen_vl.settings import QwenVLSettings

DEFAULT_MAX_FAILURES = 100
# All pages of a document are read, one after the other.
_MAX_PAGES = 1_000_000


class Indexer:
    """Puts the pages, images and frames of folders into a store.

    A run can be ended at any moment: what was answered is stored, and the next run asks for the
    rest. Unchanged content is not asked for again.

    Args:
        store: Where vectors and texts are kept.
        embedder: Makes the vectors.
        frames: Which frames of a video are indexed.
        parse_with: Chat model that reads the text of pages and images without a text layer;
            they have none if `None`.
        policy: Limits of reading files; the default policy if `None`.
        max_failures: Number of failures after which the last one is raised.
        on_progress: Is called with how many pages, images and frames are done, and how many there
            are to do.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with TemporaryDirectory() as folder, Sandbox() as sandbox, IndexStore(folder) as store:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     indexer = Indexer(store, Embedder(settings))
        ...     first, second = indexer.index(CHELSEA), indexer.index(CHELSEA)
        >>> first.n_embedded, second.n_embedded, second.n_unchanged
        (1, 0, 1)
    """

    def __init__(
        self,
        store: IndexStore,
        embedder: Embedder,
        *,
        frames: FrameOptions | None = None,
        parse_with: QwenVLSettings | None = None,
        policy: MediaPolicy | None = None,
        max_failures: int = DEFAULT_MAX_FAILURES,
        on_progress: ProgressCallback | None = None,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._frames = frames or FrameOptions()
        self._parse_with = parse_with
        self._policy = replace(policy or MediaPolicy(), pdf_max_pages=_MAX_PAGES)
        self._max_failures = max_failures
        self._on_progress = on_progress

    def index(self, folder: str | Path) -> IndexReport:
        """Bring a store up to date with a folder.

        Args:
            folder: Its PDF and TIFF documents, images and videos are indexed, those in folders
                within it too; a single file is taken as well.

        Raises:
            MediaNotFoundError: The folder does not exist.
            ConfigurationError: The store's vectors were made by another model, or the key is
                missing.
            ServiceError: The endpoint refuses the key, or cannot be reached.
            QwenVLError: The last of `max_failures`.
        """
        run = self._begin(folder)
        for path, parser in self._find_unread(run):
            for page in parser.parse_pages([Path(path)]):
                run.set_text(path, page)
        run.add_known()
        for batch in self._embedder.embed_batches(run.find_items(), on_error=run.fail):
            run.add(batch)
        return run.end()

    async def aindex(self, folder: str | Path) -> IndexReport:
        """Bring a store up to date, with several requests at the same time; see `index`.

        The store is written in the event loop's thread: each batch takes some milliseconds.

        Args:
            folder: As of `index`.
        """
        run = self._begin(folder)
        for path, parser in self._find_unread(run):
            found: Any = parser.aparse_pages([Path(path)])
            async with Owned[ParsedPage](found) as pages:
                async for page in pages:
                    run.set_text(path, page)
        run.add_known()
        made: Any = self._embedder.aembed_batches(run.find_items(), on_error=run.fail)
        async with Owned[EmbeddedBatch](made) as batches:
            async for batch in batches:
                run.add(batch)
        return run.end()

    def _begin(self, folder: str | Path) -> IndexRun:
        """Find what is to be done: read each file, and compare it with the store."""
        space = self._embedder.space
        self._store.check(space)
        root = Path(folder).expanduser().resolve()
        own = self._store.folder.resolve()
        paths, others = (
            [path for path in found if not path.is_relative_to(own)] for found in find_files(root)
        )
        run = IndexRun(
            self._store,
            root,
            model=self._embedder.model,
            space=space,
            policy=self._policy,
            max_failures=self._max_failures,
            on_progress=self._on_progress,
        )
        run.report.skipped = tuple(others)
        for path in paths:
            try:
                units = self._find_units(path, run)
            except (QwenVLError, OSError) as error:
                run.keep(str(path))
                run.add_failure(path.name, error)
            else:
                run.plan(units, wants_text=self._parse_with is not None)
        return run

    def _find_units(self, path: Path, run: IndexRun) -> Sequence[Unit]:
        file = open_file(path)
        stored = run.find_stored(str(path))
        is_whole = bool(stored) and len(stored) == stored[0].total
        is_same = all(unit.digest == file.digest for unit in stored)
        if is_whole and is_same and not file.media_type.startswith("video/"):
            # Its pages need not be read again.
            return stored
        return list(find_units(file, self._policy, self._frames))

    def _find_unread(self, run: IndexRun) -> Iterator[tuple[str, DocumentParser]]:
        """Find the files with pages whose text a model has to read."""
        if self._parse_with is None:
            return
        for path, numbers in run.find_silent().items():
            ledger = self._store.folder / PARSED_PAGES
            yield path, DocumentParser(self._parse_with, pages=numbers, ledger=ledger)
