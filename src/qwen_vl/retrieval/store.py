"""Where vectors and texts are kept: a Qdrant collection in a folder, and what made its vectors."""

import json
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qwen_vl.errors import ConfigurationError, extra_required
from qwen_vl.retrieval.files import Unit
from qwen_vl.retrieval.keywords import SparseVector, weigh_document

MANIFEST = "index.json"
PARSED_PAGES = "parsed-pages"
"""Folder in a store, where the texts of pages are kept that a model has read."""

_META = "meta.json"
_UNFINISHED = ".tmp"
# What Qdrant writes into a folder that it opens, and what may be there before the first vector.
_EMPTY = frozenset({".lock", _META, f"{_META}{_UNFINISHED}", f"index{_UNFINISHED}", PARSED_PAGES})
_COLLECTION = "units"
_MEDIA, _WORDS = "media", "words"
_VERSION = 1
_PAGE_SIZE = 1_000
# Of ids: the same file has the same ones in each run.
_NAMESPACE = uuid.UUID("6f1f6c1e-5d0c-5f0e-9a53-4f3f3c6a1f8d")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the vectors of a store were made with; vectors of others cannot be compared with them.

    Args:
        space: From `Embedder.space`: model, dimensions and instruction.
        model: Id of the embedding model.
        dimensions: Length of the vectors.
        folders: What was indexed, by absolute paths.
    """

    space: str
    model: str
    dimensions: int
    folders: tuple[str, ...] = ()

    @property
    def own_dimensions(self) -> int | None:
        """Return the length to ask for; `None` where it was left to a model that is not known."""
        return None if "default" in self.space.split("/")[1:] else self.dimensions


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUnit:
    """A unit of the store.

    Args:
        id: Its id.
        unit: What it is.
    """

    id: str
    unit: Unit


def find_id(unit: Unit) -> str:
    """Return the id of a unit, which depends on its place only.

    Args:
        unit: Any.
    """
    place = unit.number if unit.seconds is None else f"{unit.seconds:.3f}s"
    return str(uuid.uuid5(_NAMESPACE, f"{unit.path}\0{place}"))


class IndexStore:
    """A folder with the vectors and texts of pages, images and frames; for `with`.

    One process at a time can open it. Each write is on disk when it returns.

    Args:
        folder: Is created if it is missing.

    Raises:
        MissingExtraError: qdrant-client is not installed.
        ConfigurationError: It is not a store, of another version, or open already.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder, IndexStore(folder) as store:
        ...     store.manifest is None, len(store)
        (True, 0)
    """

    def __init__(self, folder: str | Path, *, create: bool = True) -> None:
        with extra_required("An index", extra="index"):
            from qdrant_client import QdrantClient  # noqa: PLC0415 - an extra, slow to import
        self._folder = Path(folder).expanduser()
        self.manifest = self._read_manifest(create=create)
        meta = self._folder / _META
        if self.manifest is None and meta.is_file() and not meta.stat().st_size:
            # A run was killed while Qdrant began to write it, before anything was stored.
            meta.unlink()
        try:
            self._client = QdrantClient(
                path=str(self._folder),
                # Otherwise it asks a database that it does not close.
                force_disable_check_same_thread=True,
            )
        except (RuntimeError, OSError, ValueError) as error:
            if "already accessed" not in str(error):
                raise ConfigurationError(
                    f"The store {str(self._folder)!r} cannot be opened: {error}."
                ) from error
            raise ConfigurationError(
                f"The store {str(self._folder)!r} is open already, in this process or in another. "
                "Close it first: store.close()."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """Return the folder of the store."""
        return self._folder

    def close(self) -> None:
        """Close the store, so that another process can open it."""
        self._client.close()

    def __len__(self) -> int:
        is_there = self._client.collection_exists(_COLLECTION)
        return self._client.count(_COLLECTION).count if is_there else 0

    def prepare(self, space: str, model: str, dimensions: int) -> None:
        """Create the collection, or check that its vectors can be compared with new ones.

        Args:
            space: From `Embedder.space`.
            model: Id of the embedding model.
            dimensions: Length of its vectors.

        Raises:
            ConfigurationError: Those of the store were made with something else.
        """
        from qdrant_client import models  # noqa: PLC0415 - as above

        self.check(space)
        if self.manifest is None:
            self._write_manifest(Manifest(space=space, model=model, dimensions=dimensions))
        if self._client.collection_exists(_COLLECTION):
            return
        self._client.create_collection(
            _COLLECTION,
            vectors_config={
                _MEDIA: models.VectorParams(size=dimensions, distance=models.Distance.COSINE)
            },
            sparse_vectors_config={_WORDS: models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )

    def check(self, space: str) -> None:
        """Check that the store's vectors can be compared with those of an embedder.

        Args:
            space: From `Embedder.space`.

        Raises:
            ConfigurationError: They were made with something else.
        """
        if self.manifest is not None and self.manifest.space != space:
            raise ConfigurationError(
                f"The store {str(self._folder)!r} has vectors of {self.manifest.space}, which "
                f"cannot be compared with those of {space}. Use the same model, dimensions and "
                "instruction, or index the folder into another store."
            )

    def require_manifest(self) -> Manifest:
        """Return what the vectors were made with.

        Raises:
            ConfigurationError: Nothing was indexed yet.
        """
        if self.manifest is None:
            raise ConfigurationError(
                f"The store {str(self._folder)!r} is empty. Index a folder: qwen-vl index FOLDER "
                f"--store {self._folder.name}"
            )
        return self.manifest

    def add_folder(self, folder: Path) -> None:
        """Note that a folder was indexed.

        Args:
            folder: Its absolute path.
        """
        if self.manifest is not None and str(folder) not in self.manifest.folders:
            folders = (*self.manifest.folders, str(folder))
            self._write_manifest(Manifest(**{**asdict(self.manifest), "folders": folders}))

    def add(self, units: Sequence[Unit], vectors: Sequence[Sequence[float]]) -> None:
        """Store units with their vectors, in place of those with the same ids.

        Args:
            units: What was embedded.
            vectors: One for each.
        """
        from qdrant_client import models  # noqa: PLC0415 - as above

        points = [
            models.PointStruct(
                id=find_id(unit),
                vector={_MEDIA: list(vector), _WORDS: _to_sparse(weigh_document(to_words(unit)))},
                payload=asdict(unit),
            )
            for unit, vector in zip(units, vectors, strict=True)
        ]
        if points:
            self._client.upsert(_COLLECTION, points)

    def find_all(self) -> Iterator[StoredUnit]:
        """Find all units, without their vectors."""
        offset: Any = None
        while self._client.collection_exists(_COLLECTION):
            records, offset = self._client.scroll(_COLLECTION, limit=_PAGE_SIZE, offset=offset)
            for record in records:
                yield StoredUnit(id=str(record.id), unit=_to_unit(record.payload or {}))
            if offset is None:
                return

    def read_vectors(self, ids: Sequence[str]) -> dict[str, list[float]]:
        """Return the vectors of units.

        Args:
            ids: Of units that are stored.
        """
        if not ids:
            return {}
        records = self._client.retrieve(_COLLECTION, ids, with_vectors=[_MEDIA])
        found: dict[str, list[float]] = {}
        for record in records:
            vectors: Any = record.vector
            found[str(record.id)] = list(vectors[_MEDIA])
        return found

    def remove(self, ids: Collection[str]) -> None:
        """Remove units.

        Args:
            ids: Of units that are stored.
        """
        from qdrant_client import models  # noqa: PLC0415 - as above

        if ids:
            self._client.delete(_COLLECTION, models.PointIdsList(points=list(ids)))

    def search_vector(self, vector: Sequence[float], limit: int) -> list[StoredUnit]:
        """Return the units whose vectors are closest to one.

        Args:
            vector: Of a query.
            limit: Maximum number of units.
        """
        return self._search(list(vector), _MEDIA, limit)

    def search_words(self, words: SparseVector, limit: int) -> list[StoredUnit]:
        """Return the units whose texts have the words of a query, by BM25.

        Args:
            words: From `weigh_query`.
            limit: Maximum number of units.
        """
        return self._search(_to_sparse(words), _WORDS, limit) if words.indices else []

    def _search(self, query: Any, using: str, limit: int) -> list[StoredUnit]:
        if not self._client.collection_exists(_COLLECTION):
            return []
        answer = self._client.query_points(_COLLECTION, query=query, using=using, limit=limit)
        return [
            StoredUnit(id=str(point.id), unit=_to_unit(point.payload or {}))
            for point in answer.points
            # Texts without any of the words are not results.
            if using == _MEDIA or point.score > 0
        ]

    def _read_manifest(self, *, create: bool) -> Manifest | None:
        path = self._folder / MANIFEST
        try:
            data = json.loads(path.read_bytes())
            if data["version"] == _VERSION:
                folders = tuple(map(str, data["folders"]))
                return Manifest(
                    space=str(data["space"]),
                    model=str(data["model"]),
                    dimensions=int(data["dimensions"]),
                    folders=folders,
                )
        except FileNotFoundError:
            if create and self._is_empty():
                self._folder.mkdir(parents=True, exist_ok=True)
                return None
            problem = "is not a store" if self._folder.exists() else "does not exist"
            raise ConfigurationError(
                f"The store {str(self._folder)!r} {problem}. Create one: qwen-vl index FOLDER "
                f"--store {self._folder.name}"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"The store {str(self._folder)!r} cannot be read: {path.name} is damaged "
                f"({type(error).__name__}). Remove the folder, and index again."
            ) from error
        raise ConfigurationError(
            f"The store {str(self._folder)!r} is of another version ({data['version']}). Remove "
            "the folder, and index again."
        )

    def _is_empty(self) -> bool:
        """Return whether nothing is there, or what a run left that ended before its first write."""
        if not self._folder.exists():
            return True
        return self._folder.is_dir() and {path.name for path in self._folder.iterdir()} <= _EMPTY

    def _write_manifest(self, manifest: Manifest) -> None:
        path = self._folder / MANIFEST
        written = path.with_suffix(_UNFINISHED)
        written.write_text(json.dumps({"version": _VERSION, **asdict(manifest)}, indent=2))
        written.replace(path)
        self.manifest = manifest


def to_words(unit: Unit) -> str:
    """Return the text that keyword search finds a unit by: what it says, and its file's name.

    Args:
        unit: Any.
    """
    return f"{Path(unit.path).stem}\n{unit.text}"


def _to_sparse(vector: SparseVector) -> Any:
    from qdrant_client import models  # noqa: PLC0415 - as above

    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


def _to_unit(payload: Mapping[str, Any]) -> Unit:
    return Unit(**{name: payload[name] for name in Unit.__dataclass_fields__})
