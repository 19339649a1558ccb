"""Retrievers: by keywords, and by vectors and keywords together."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from importlib import import_module
from typing import Any

from langchain_core.callbacks import (
    AsyncCallbackManagerForRetrieverRun,
    CallbackManagerForRetrieverRun,
)
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig
from langchain_core.vectorstores import VectorStore
from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from typing_extensions import override

from langchain_qwen_vl.embeddings import QwenVLEmbeddings
from langchain_qwen_vl.media_store import check_documents_space
from qwen_vl.embedding.fusion import RRF_K, fuse_rankings
from qwen_vl.errors import ConfigurationError, extra_required
from qwen_vl.media.metadata import PAGE_KEY, SOURCE_KEYS
from qwen_vl.retrieval.keywords import find_words

_IDENTITY_KEYS = ("source", PAGE_KEY, *SOURCE_KEYS)


class KeywordRetriever(BaseRetriever):
    """Finds documents by the words of their text, ranked by BM25.

    It finds names, numbers and codes that vectors miss. The index is held in memory: make a new
    retriever when the documents change.

    Args:
        **kwargs: The fields, and those of LangChain's `BaseRetriever`.

    Raises:
        MissingExtraError: bm25s is not installed.

    Example:
        >>> retriever = KeywordRetriever(documents=[Document("Invoice 4711"), Document("A cat")])
        >>> [document.page_content for document in retriever.invoke("invoice 4711")]
        ['Invoice 4711']
    """

    documents: list[Document] = Field(description="What is searched.")
    k: int = Field(
        default=20, ge=1, description="Maximum number of documents that are found; 20 by default."
    )
    find_words: Callable[[str], Iterable[str]] = Field(
        default=find_words,
        description="Divides a text or query into words; by default in lower case, and Chinese "
        "into each two neighbors.",
    )

    _index: Any = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _make_index(self) -> "KeywordRetriever":
        words = [list(self.find_words(document.page_content)) for document in self.documents]
        if any(words):
            with extra_required("KeywordRetriever", extra="keywords"):
                bm25s: Any = import_module("bm25s")
            self._index = bm25s.BM25()
            self._index.index(words, show_progress=False)
        return self

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        # Words that no document has are not looked up.
        known = {} if self._index is None else self._index.vocab_dict
        words = [word for word in self.find_words(query) if word in known]
        if not words:
            return []
        scores = self._index.get_scores(words)
        found = [at for at in (-scores).argsort(kind="stable")[: k or self.k] if scores[at] > 0]
        return [self.documents[at] for at in found]


class HybridRetriever(BaseRetriever):
    """Merges what vectors find with what keywords find, by reciprocal rank fusion.

    Scores of the two cannot be compared; ranks can. Stores that do both themselves, such as
    Qdrant with sparse vectors, do not need it.

    Args:
        **kwargs: The fields, and those of LangChain's `BaseRetriever`.

    Example:
        >>> from langchain_core.vectorstores import InMemoryVectorStore
        >>> from qwen_vl_sandbox import Sandbox
        >>> documents = [Document("Invoice 4711"), Document("A red car")]
        >>> with Sandbox() as sandbox:
        ...     embeddings = QwenVLEmbeddings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     retriever = HybridRetriever(
        ...         vectorstore=InMemoryVectorStore.from_documents(documents, embeddings),
        ...         keyword_retriever=KeywordRetriever(documents=documents),
        ...         k=1,
        ...     )
        ...     [found] = retriever.invoke("invoice 4711")
        >>> found.page_content
        'Invoice 4711'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    vectorstore: VectorStore = Field(description="Is searched by vector.")
    keyword_retriever: BaseRetriever = Field(
        description="Finds documents by keywords: `KeywordRetriever`, or any other retriever."
    )
    k: int = Field(default=4, ge=1, description="Number of documents to return; 4 by default.")
    fetch_k: int = Field(
        default=20, ge=1, description="Number of documents that each of the two finds."
    )
    weights: tuple[float, float] = Field(
        default=(1.0, 1.0), description="Weights of the vectors and of the keywords."
    )
    rrf_k: int = Field(
        default=RRF_K,
        ge=0,
        description="Constant of the fusion: the larger, the less the first ranks stand out.",
    )
    id_key: str | None = Field(
        default=None,
        description="Metadata key by which documents are the same; by default they are if they "
        "have the same text, source, page and media.",
    )
    search_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="For the store's `similarity_search`, such as `filter`."
    )

    @model_validator(mode="after")
    def _check_weights(self) -> "HybridRetriever":
        fuse_rankings([(), ()], weights=self.weights, k=self.rrf_k)
        return self

    @override
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        by_vector = self.vectorstore.similarity_search(query, **self._search_options(k))
        config = RunnableConfig(callbacks=run_manager.get_child("keywords"))
        by_keyword = self.keyword_retriever.invoke(query, config)
        return self._fuse(by_vector, by_keyword, k)

    @override
    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        by_vector = await self.vectorstore.asimilarity_search(query, **self._search_options(k))
        config = RunnableConfig(callbacks=run_manager.get_child("keywords"))
        by_keyword = await self.keyword_retriever.ainvoke(query, config)
        return self._fuse(by_vector, by_keyword, k)

    def _search_options(self, k: int | None) -> dict[str, Any]:
        return {"k": max(self.fetch_k, k or self.k), **self.search_kwargs}

    def _fuse(
        self, by_vector: Sequence[Document], by_keyword: Sequence[Document], k: int | None
    ) -> list[Document]:
        embeddings = self.vectorstore.embeddings
        if isinstance(embeddings, QwenVLEmbeddings):
            check_documents_space(by_vector, embeddings)
        found: dict[Hashable, Document] = {}
        rankings: list[list[Hashable]] = []
        for documents in (by_vector, by_keyword[: max(self.fetch_k, k or self.k)]):
            keys = [self._identify(document) for document in documents]
            rankings.append(keys)
            for key, document in zip(keys, documents, strict=True):
                found.setdefault(key, document)
        fused = fuse_rankings(rankings, weights=self.weights, k=self.rrf_k)
        return [found[key] for key, _ in fused[: k or self.k]]

    def _identify(self, document: Document) -> Hashable:
        if self.id_key is None:
            values = (document.metadata.get(name) for name in _IDENTITY_KEYS)
            return (document.page_content, *map(_to_hashable, values))
        if self.id_key not in document.metadata:
            raise ConfigurationError(
                f"id_key is {self.id_key!r}, which a document found by the retriever lacks: its "
                f"metadata has {sorted(document.metadata)}."
            )
        return _to_hashable(document.metadata[self.id_key])


def _to_hashable(value: Any) -> Hashable:
    return repr(value) if isinstance(value, list | dict) else value
