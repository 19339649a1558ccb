"""Words as sparse vectors, for stores that search by keywords themselves, such as Qdrant."""

from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
from typing_extensions import override

from qwen_vl.retrieval import keywords


class KeywordSparseEmbeddings(SparseEmbeddings):
    """The words of texts as sparse vectors, for `RetrievalMode.HYBRID` of `QdrantVectorStore`.

    It needs no model. Words are weighted by BM25 except for how rare they are, which the store does
    itself: create the sparse vector with `modifier=Modifier.IDF`. Chinese is divided into each two
    neighbors. Needs `langchain-qdrant`.

    Example:
        >>> vector = KeywordSparseEmbeddings().embed_query("invoice 4711")
        >>> len(vector.indices), vector.values
        (2, [1.0, 1.0])
    """

    @override
    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """Return the words of documents, each weighted by how often it occurs.

        Args:
            texts: Any texts.
        """
        return [_to_vector(keywords.weigh_document(text)) for text in texts]

    @override
    def embed_query(self, text: str) -> SparseVector:
        """Return the words of a query.

        Args:
            text: Any text.
        """
        return _to_vector(keywords.weigh_query(text))


def _to_vector(vector: keywords.SparseVector) -> SparseVector:
    return SparseVector(indices=list(vector.indices), values=list(vector.values))
