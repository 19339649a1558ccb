"""Search by keywords beside vectors, in stores that take sparse vectors, such as Qdrant."""

from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.vector_stores import VectorStoreQueryResult

from qwen_vl.embedding.fusion import fuse_rankings
from qwen_vl.retrieval.keywords import SparseVector, weigh_document, weigh_query

_Sparse = tuple[list[list[int]], list[list[float]]]


def weigh_documents(texts: list[str]) -> _Sparse:
    """Return the words of documents as sparse vectors, for `QdrantVectorStore(sparse_doc_fn=…)`.

    It needs no model. Words are weighted by BM25 except for how rare they are, which the store does
    itself: pass `sparse_config=SparseVectorParams(modifier=Modifier.IDF)`. Chinese is divided into
    each two neighbors.

    Args:
        texts: Any texts.

    Returns:
        Indices and values of each.

    Example:
        >>> indices, values = weigh_documents(["rain, rain and sun", "sun"])
        >>> [len(each) for each in indices]
        [3, 1]
    """
    return _weigh(texts, weigh_document)


def weigh_queries(texts: list[str]) -> _Sparse:
    """Return the words of queries as sparse vectors, for `QdrantVectorStore(sparse_query_fn=…)`.

    Args:
        texts: Any texts.

    Example:
        >>> indices, values = weigh_queries(["invoice 4711"])
        >>> len(indices[0]), values
        (2, [[1.0, 1.0]])
    """
    return _weigh(texts, weigh_query)


def fuse_results(
    dense_result: VectorStoreQueryResult,
    sparse_result: VectorStoreQueryResult,
    alpha: float = 0.5,
    top_k: int = 2,
    **kwargs: Any,
) -> VectorStoreQueryResult:
    """Merge two results by reciprocal rank fusion, for `QdrantVectorStore(hybrid_fusion_fn=…)`.

    Their scores cannot be compared; ranks can.

    Args:
        dense_result: What vectors found.
        sparse_result: What words found.
        alpha: How much vectors count, from 0 to 1; as much as words by default.
        top_k: Number of nodes to return.
        **kwargs: Not used.

    Example:
        >>> from llama_index.core.schema import TextNode
        >>> dense = VectorStoreQueryResult(nodes=[TextNode(id_="a"), TextNode(id_="b")])
        >>> sparse = VectorStoreQueryResult(nodes=[TextNode(id_="b")])
        >>> fuse_results(dense, sparse).ids
        ['b', 'a']
    """
    del kwargs
    results = (dense_result, sparse_result)
    rankings = [[node.node_id for node in result.nodes or ()] for result in results]
    nodes = {node.node_id: node for result in results for node in result.nodes or ()}
    fused = fuse_rankings(rankings, weights=(2 * alpha, 2 * (1 - alpha)))[:top_k]
    return VectorStoreQueryResult(
        nodes=[nodes[id_] for id_, _ in fused],
        similarities=[score for _, score in fused],
        ids=[id_ for id_, _ in fused],
    )


def _weigh(texts: Sequence[str], weigh: Callable[[str], SparseVector]) -> _Sparse:
    vectors = [weigh(text) for text in texts]
    indices = [list(vector.indices) for vector in vectors]
    return indices, [list(vector.values) for vector in vectors]
