"""Search in a store: by vector and by keywords, merged by rank, and ranked again by a model."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from qwen_vl.content import Text
from qwen_vl.embedding.embedder import Embedder
from qwen_vl.embedding.fusion import fuse_rankings
from qwen_vl.embedding.items import Item
from qwen_vl.embedding.rerank_wire import Ranking
from qwen_vl.embedding.reranker import Reranker
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.types import MediaPolicy
from qwen_vl.retrieval.files import Unit, check_roots
from qwen_vl.retrieval.keywords import weigh_query
from qwen_vl.retrieval.store import IndexStore, StoredUnit

DEFAULT_LIMIT = 5
DEFAULT_CANDIDATES = 40
"""How many a rerank model is asked to rank; qwen3-vl-rerank ranks 40 images in a request."""

Vector = Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A page, image or frame that was found.

    Args:
        unit: What it is.
        score: What the hits are sorted by: `relevance` if a model ranked them, else the score of
            reciprocal rank fusion.
        vector_rank: Its rank by vector, from 1 on; `None` where it is not among the candidates.
        keyword_rank: Its rank by keywords; `None` where it has none of them.
        relevance: From the rerank model, from 0 to 1; `None` without one.
    """

    unit: Unit
    score: float
    vector_rank: int | None = None
    keyword_rank: int | None = None
    relevance: float | None = None


class Searcher:
    """Finds the pages, images and frames of a store that match a question.

    Args:
        store: What was indexed.
        embedder: The same model, dimensions and instruction as those of the store.
        reranker: Ranks the candidates again; they stay in the order of their fused ranks if `None`.
        candidates: Number of candidates of each kind of search, and of those that are ranked again.
        media_roots: Folders of which files are read; those that were indexed if `None`.

    Raises:
        ConfigurationError: The store's vectors were made by another model.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from qwen_vl.retrieval.indexer import Indexer
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl.settings import QwenVLSettings
        >>> from qwen_vl_sandbox import Sandbox
        >>> with TemporaryDirectory() as folder, Sandbox() as sandbox, IndexStore(folder) as store:
        ...     embedder = Embedder(
        ...         QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     )
        ...     report = Indexer(store, embedder).index(CHELSEA)
        ...     (hit,) = Searcher(store, embedder).search("a cat called Chelsea")
        >>> hit.unit.name, hit.vector_rank, hit.keyword_rank
        ('chelsea.png', 1, 1)
    """

    def __init__(
        self,
        store: IndexStore,
        embedder: Embedder,
        reranker: Reranker | None = None,
        *,
        candidates: int = DEFAULT_CANDIDATES,
        media_roots: Sequence[str | Path] | None = None,
    ) -> None:
        if candidates < 1:
            raise ConfigurationError(f"candidates is {candidates}; it must be 1 or more.")
        store.check(embedder.space)
        self._store = store
        self._embedder = embedder
        self._reranker = reranker
        self._candidates = candidates
        folders = store.manifest.folders if store.manifest else ()
        self._roots = [Path(root).resolve() for root in (media_roots or folders)]

    def search(self, query: object, limit: int = DEFAULT_LIMIT) -> list[Hit]:
        """Return what matches a question best.

        Args:
            query: A text; or an image, in each form that `Embedder.embed` takes, which is compared
                by its vector only.
            limit: Maximum number of hits.

        Raises:
            ContentError: The query cannot be sent.
            MediaAccessError: A hit is to be ranked by its image, which is not in `media_roots`.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        (vector,) = self._embedder.embed_queries([query])
        hits = self._find(query, vector)
        if self._reranker is None or not hits:
            return hits[:limit]
        documents = self._to_documents(hits[: self._candidates])
        return _sort(hits, self._reranker.rank(query, documents, top_n=limit))

    async def asearch(self, query: object, limit: int = DEFAULT_LIMIT) -> list[Hit]:
        """Return what matches a question best; see `search`.

        The store is searched in the event loop's thread; images are read in another.

        Args:
            query: As of `search`.
            limit: As of `search`.
        """
        (vector,) = await self._embedder.aembed_queries([query])
        hits = self._find(query, vector)
        if self._reranker is None or not hits:
            return hits[:limit]
        documents = await asyncio.to_thread(self._to_documents, hits[: self._candidates])
        return _sort(hits, await self._reranker.arank(query, documents, top_n=limit))

    def _find(self, query: object, vector: Vector) -> list[Hit]:
        by_vector = self._store.search_vector(vector, self._candidates)
        by_words: list[StoredUnit] = []
        if isinstance(query, str):
            by_words = self._store.search_words(weigh_query(query), self._candidates)
        units = {one.id: one.unit for one in (*by_vector, *by_words)}
        ranks = [_rank(found) for found in (by_vector, by_words)]
        return [
            Hit(
                unit=units[id_],
                score=score,
                vector_rank=ranks[0].get(id_),
                keyword_rank=ranks[1].get(id_),
            )
            for id_, score in fuse_rankings(ranks)
        ]

    def _to_documents(self, hits: Sequence[Hit]) -> list[Item]:
        reads_media = self._reranker is not None and self._reranker.reads_media
        return [self._to_document(hit.unit, reads_media=reads_media) for hit in hits]

    def _to_document(self, unit: Unit, *, reads_media: bool) -> Item:
        if not reads_media:
            return Item(parts=(Text(text=unit.text or unit.name),), where=unit.name)
        self.check_access(unit)
        return unit.to_item(MediaPolicy())

    def check_access(self, unit: Unit) -> None:
        """Check that the file of a hit may be read: a store may come from anywhere.

        Args:
            unit: What was found.

        Raises:
            MediaAccessError: It is not within the folders.
        """
        check_roots(unit, self._roots)


def _rank(found: Sequence[StoredUnit]) -> dict[str, int]:
    return {one.id: rank for rank, one in enumerate(found, 1)}


def _sort(hits: Sequence[Hit], ranking: Ranking) -> list[Hit]:
    return [
        replace(hits[ranked.index], score=ranked.score, relevance=ranked.score)
        for ranked in ranking.results
    ]
