"""`QwenVLVectorStoreIndex`: a vector store index whose nodes are embedded with their media."""

from collections.abc import Sequence
from typing import Any

from llama_index.core import VectorStoreIndex
from llama_index.core.data_structs.data_structs import IndexDict
from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle

from llama_index.embeddings.qwen_vl.base import QwenVLEmbedding
from qwen_vl.errors import ConfigurationError

SPACE_KEY = "embedding_space"


class QwenVLVectorStoreIndex(VectorStoreIndex):
    """A `VectorStoreIndex` whose nodes are embedded with their images and videos.

    LlamaIndex's own hands only the text of its nodes to the embedding model, and leaves out nodes
    without text. Here all nodes, those of `insert_nodes`, `insert` and `from_documents` too, are
    embedded as `QwenVLEmbedding` embeds nodes when it is called: texts, images and videos stand in
    one store, and in one ranking. LlamaIndex's own class can load and search what is stored.

    What is stored has `embedding_space` in its metadata: the model, the length of the vectors and
    the document instruction. A search with others raises an error.

    Args:
        nodes: As of `VectorStoreIndex`, like all other arguments.
        embed_model: A `QwenVLEmbedding`.

    Raises:
        ConfigurationError: `embed_model` is another class.

    Example:
        >>> from llama_index.core.schema import ImageNode, TextNode
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> nodes = [ImageNode(image_path=str(CHELSEA)), TextNode(text="A steam engine.")]
        >>> with Sandbox() as sandbox:
        ...     embed_model = QwenVLEmbedding(
        ...         api_base=sandbox.base_url,
        ...         api_key="sk-sandbox",
        ...         media_roots=[CHELSEA.parent],
        ...     )
        ...     index = QwenVLVectorStoreIndex(nodes, embed_model=embed_model)
        ...     found = index.as_retriever(similarity_top_k=2).retrieve("a steam engine")
        >>> [type(scored.node).__name__ for scored in found]
        ['TextNode', 'ImageNode']
    """

    def build_index_from_nodes(self, nodes: Sequence[BaseNode], **insert_kwargs: Any) -> IndexDict:
        """Build the index, from nodes without text too.

        Args:
            nodes: All of them are stored.
            **insert_kwargs: For the vector store.

        Raises:
            ContentError: A node cannot be embedded; the message names it, and nothing is stored.
        """
        return self._build_index_from_nodes(nodes, **insert_kwargs)

    def as_retriever(self, **kwargs: Any) -> VectorIndexRetriever:
        """Create a retriever, which checks that vectors can be compared.

        Args:
            **kwargs: As of `VectorStoreIndex.as_retriever`, such as `similarity_top_k`.
        """
        # Those that LlamaIndex's own index gives to its retriever.
        return QwenVLRetriever(
            self,
            node_ids=list(self.index_struct.nodes_dict.values()),
            callback_manager=self._callback_manager,
            object_map=self._object_map,
            **kwargs,
        )

    def _get_node_with_embedding(
        self, nodes: Sequence[BaseNode], show_progress: bool = False
    ) -> list[BaseNode]:
        copies, missing = _copy(nodes)
        embed_model = self._require_embed_model()
        embed_model(missing, show_progress=show_progress)
        _mark(missing, embed_model)
        return copies

    async def _aget_node_with_embedding(
        self, nodes: Sequence[BaseNode], show_progress: bool = False
    ) -> list[BaseNode]:
        copies, missing = _copy(nodes)
        embed_model = self._require_embed_model()
        await embed_model.acall(missing, show_progress=show_progress)
        _mark(missing, embed_model)
        return copies

    def _require_embed_model(self) -> QwenVLEmbedding:
        embed_model = self._embed_model
        if not isinstance(embed_model, QwenVLEmbedding):
            raise ConfigurationError(
                f"embed_model is a {type(embed_model).__name__}, which embeds only the text of "
                "nodes. Pass a QwenVLEmbedding, or use VectorStoreIndex."
            )
        return embed_model


class QwenVLRetriever(VectorIndexRetriever):
    """A `VectorIndexRetriever` that checks that nodes were embedded as questions are.

    Args:
        index: A `QwenVLVectorStoreIndex`.
    """

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._check(super()._retrieve(query_bundle))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._check(await super()._aretrieve(query_bundle))

    def _check(self, found: list[NodeWithScore]) -> list[NodeWithScore]:
        model = self._embed_model
        expected = model.embedder.space if isinstance(model, QwenVLEmbedding) else None
        for scored in found:
            space = scored.node.metadata.get(SPACE_KEY, expected)
            if space != expected:
                raise ConfigurationError(
                    f"node {scored.node.node_id!r} was embedded in the space {space!r}, and the "
                    f"question in {expected!r}: their vectors cannot be compared. Pass the same "
                    "model, dimensions and document_instruction, or embed the nodes again."
                )
        return found


def _mark(nodes: Sequence[BaseNode], embed_model: QwenVLEmbedding) -> None:
    """Store with nodes in which space their vectors are; models do not get it as text."""
    for node in nodes:
        node.metadata = {**node.metadata, SPACE_KEY: embed_model.embedder.space}
        embed, llm = node.excluded_embed_metadata_keys, node.excluded_llm_metadata_keys
        node.excluded_embed_metadata_keys = [*embed, SPACE_KEY]
        node.excluded_llm_metadata_keys = [*llm, SPACE_KEY]


def _copy(nodes: Sequence[BaseNode]) -> tuple[list[BaseNode], list[BaseNode]]:
    """Return copies of all nodes, and those among them that lack a vector."""
    copies = [node.model_copy() for node in nodes]
    return copies, [node for node in copies if node.embedding is None]
