"""`MediaVectorStore`: a vector store whose documents are embedded with their media."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Never

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore
from typing_extensions import override

from langchain_qwen_vl.embeddings import QwenVLEmbeddings
from langchain_qwen_vl.media_store import (
    MediaStoreBase,
    aadd_media,
    add_media,
    check_documents_space,
    find_embeddings,
)


def _delegate(name: str) -> Any:
    def method(self: "MediaVectorStore", *args: Any, **kwargs: Any) -> Any:
        return getattr(self.store, name)(*args, **kwargs)

    return method


class MediaVectorStore(MediaStoreBase):
    """Any vector store, whose documents are embedded with the media that they refer to.

    Whatever adds documents to a store then embeds images, PDF pages and videos: `add_documents`,
    LangChain's `index()`, which skips what it has indexed before, and its retrievers that fill a
    store. Searches are those of the store.

    Args:
        store: Any store that was made with a `QwenVLEmbeddings`.
        embeddings: Computes the vectors; by default those of the store.
        fuse: As of `add_media`.
        keys: As of `add_media`.
        first_page: As of `add_media`.
        check_space: As of `add_media`.

    Raises:
        ConfigurationError: The store does not embed with a `QwenVLEmbeddings`.

    Example:
        >>> from langchain_core.indexing import InMemoryRecordManager, index
        >>> from langchain_core.vectorstores import InMemoryVectorStore
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> documents = [Document("Our cat", metadata={"image_path": str(CHELSEA)})]
        >>> records = InMemoryRecordManager("album")
        >>> records.create_schema()
        >>> with Sandbox() as sandbox:
        ...     embeddings = QwenVLEmbeddings(
        ...         base_url=sandbox.base_url, api_key="sk-sandbox", media_roots=[CHELSEA.parent]
        ...     )
        ...     store = MediaVectorStore(InMemoryVectorStore(embeddings))
        ...     first = index(documents, records, store, key_encoder="sha256")
        ...     again = index(documents, records, store, key_encoder="sha256")
        >>> first["num_added"], again["num_skipped"]
        (1, 1)
    """

    def __init__(
        self,
        store: VectorStore,
        *,
        embeddings: QwenVLEmbeddings | None = None,
        fuse: bool | None = None,
        keys: Mapping[str, str] | None = None,
        first_page: int = 1,
        check_space: bool = True,
    ) -> None:
        super().__init__(store)
        self._embeddings = find_embeddings(store, embeddings)
        self._options: dict[str, Any] = {
            "embeddings": embeddings,
            "fuse": fuse,
            "keys": keys,
            "first_page": first_page,
            "check_space": check_space,
        }

    @property
    @override
    def embeddings(self) -> QwenVLEmbeddings:
        return self._embeddings

    @override
    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Embed documents with their media, and add them; see `add_media`.

        Args:
            documents: Texts, and documents whose metadata refers to media.
            **kwargs: `ids`, and options of the store's own method.
        """
        return add_media(self.store, documents, **self._options, **kwargs)

    @override
    async def aadd_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Embed documents with several requests at the same time; see `add_documents`."""
        return await aadd_media(self.store, documents, **self._options, **kwargs)

    @override
    def add_texts(
        self,
        texts: Any,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed texts with the media that their metadata refers to; see `add_documents`."""
        return self.add_documents(_to_documents(texts, metadatas), ids=ids, **kwargs)

    @override
    async def aadd_texts(
        self,
        texts: Any,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Embed texts with several requests at the same time; see `add_texts`."""
        return await self.aadd_documents(_to_documents(texts, metadatas), ids=ids, **kwargs)

    def similarity_search_by_media(self, item: object, k: int = 4, **kwargs: Any) -> list[Document]:
        """Search with an image, a page, a video, or several things together.

        Args:
            item: As of `QwenVLEmbeddings.embed_media`.
            k: Number of documents.
            **kwargs: For the store's search, such as `filter`.

        Raises:
            ContentError: The item cannot be read or sent.
            ConfigurationError: Documents that are found were embedded with another model.
        """
        vector = self._embeddings.embed_query_media(item)
        found = self.store.similarity_search_by_vector(vector, k=k, **kwargs)
        check_documents_space(found, self._embeddings)
        return found

    async def asimilarity_search_by_media(
        self, item: object, k: int = 4, **kwargs: Any
    ) -> list[Document]:
        """Search with an image or another item; see `similarity_search_by_media`."""
        vector = await self._embeddings.aembed_query_media(item)
        found = await self.store.asimilarity_search_by_vector(vector, k=k, **kwargs)
        check_documents_space(found, self._embeddings)
        return found

    @override
    def similarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Search with a text.

        Args:
            query: The text.
            k: Number of documents.
            **kwargs: For the store's search, such as `filter`.

        Raises:
            ConfigurationError: Documents that are found were embedded with another model.
        """
        found = self.store.similarity_search(query, k=k, **kwargs)
        check_documents_space(found, self._embeddings)
        return found

    @override
    async def asimilarity_search(self, query: str, k: int = 4, **kwargs: Any) -> list[Document]:
        """Search with a text; see `similarity_search`."""
        found = await self.store.asimilarity_search(query, k=k, **kwargs)
        check_documents_space(found, self._embeddings)
        return found

    similarity_search_with_score = _delegate("similarity_search_with_score")
    asimilarity_search_with_score = _delegate("asimilarity_search_with_score")
    similarity_search_by_vector = _delegate("similarity_search_by_vector")
    asimilarity_search_by_vector = _delegate("asimilarity_search_by_vector")
    max_marginal_relevance_search = _delegate("max_marginal_relevance_search")
    amax_marginal_relevance_search = _delegate("amax_marginal_relevance_search")
    max_marginal_relevance_search_by_vector = _delegate("max_marginal_relevance_search_by_vector")
    amax_marginal_relevance_search_by_vector = _delegate("amax_marginal_relevance_search_by_vector")
    _similarity_search_with_relevance_scores = _delegate("_similarity_search_with_relevance_scores")
    _asimilarity_search_with_relevance_scores = _delegate(
        "_asimilarity_search_with_relevance_scores"
    )
    get_by_ids = _delegate("get_by_ids")
    aget_by_ids = _delegate("aget_by_ids")
    delete = _delegate("delete")
    adelete = _delegate("adelete")

    @override
    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        return self.store._select_relevance_score_fn()  # noqa: SLF001 - of the same class

    @classmethod
    @override
    def from_texts(cls, *args: Any, **kwargs: Any) -> Never:
        """Not supported: make the store first."""
        raise NotImplementedError("Create a store, then MediaVectorStore(store).add_documents(…).")


def _to_documents(texts: Any, metadatas: Sequence[dict[str, Any]] | None) -> list[Document]:
    held = list(texts)
    if metadatas is None:
        return [Document(text) for text in held]
    return [
        Document(text, metadata=metadata) for text, metadata in zip(held, metadatas, strict=True)
    ]
