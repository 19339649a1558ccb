"""`QwenVLRerank`: retrieved nodes by their relevance to the question, images and videos too."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import llama_index.core.instrumentation as instrument
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle
from pydantic import Field, PrivateAttr

from llama_index.llms.qwen_vl.nodes.items import NodeContent, to_node_item
from llama_index.llms.qwen_vl.retrieval_fields import FieldCache, RetrievalFields
from qwen_vl.embedding.items import Item
from qwen_vl.embedding.rerank_wire import Ranking
from qwen_vl.embedding.reranker import Reranker
from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.rerank import DEFAULT_RERANK_MODEL

# LlamaIndex re-exports it without saying so.
dispatcher = instrument.get_dispatcher(__name__)  # type: ignore[attr-defined]

DEFAULT_TOP_N = 5


class QwenVLRerank(RetrievalFields, BaseNodePostprocessor):
    """Qwen's rerank models: the nodes that answer the question best, by text, image or video.

    Images and videos of nodes are found as `QwenMediaPostprocessor` finds them; put that one behind
    this one. All nodes are ranked in one request, since scores of several cannot be compared.
    Those beyond its limits (40 images, 100 texts, 4 videos, and 12 MiB of images) are left out with
    a warning, the last first: retrieve fewer.

    Args:
        model: Model id; `model_name` is a synonym.
        **kwargs: The other fields; `api_base` means `base_url`.

    Raises:
        ConfigurationError: A keyword that is not a field, or the model does not rank so.

    Example:
        >>> from llama_index.core.schema import NodeWithScore, TextNode
        >>> from qwen_vl_sandbox import Sandbox
        >>> texts = ["A cup of coffee.", "A steam engine."]
        >>> nodes = [NodeWithScore(node=TextNode(text=text), score=0.5) for text in texts]
        >>> with Sandbox() as sandbox:
        ...     rerank = QwenVLRerank(api_base=sandbox.base_url, api_key="sk-sandbox", top_n=1)
        ...     found = rerank.postprocess_nodes(nodes, query_str="a steam engine")
        >>> [scored.text for scored in found]
        ['A steam engine.']
    """

    model: str = Field(default=DEFAULT_RERANK_MODEL, description="Id of the rerank model.")
    top_n: int = Field(
        default=DEFAULT_TOP_N, ge=1, description="Maximum number of nodes that are kept."
    )
    instruction: str | None = Field(
        default=None,
        description="What the ranking is for, in English; `None` for the model's default.",
    )
    rank_by: NodeContent | None = Field(
        default=None,
        description="What is ranked of a node that has text and media: `media`, `text`, or "
        "`both`, on self-hosted servers only. By default `media` where the model ranks it, else "
        "`text`.",
    )

    _cache: FieldCache[Reranker] = PrivateAttr(default_factory=FieldCache)

    def __init__(self, model: str | None = None, **kwargs: Any) -> None:
        super().__init__(**{"model": model, **kwargs})
        # What the model cannot do is said here and not at the first call.
        self._resolve_content()

    @classmethod
    def class_name(cls) -> str:
        """Name the class in what is stored of it."""
        return "QwenVLRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _read_query(query_bundle)
        with self._reported(nodes, query_bundle) as kept:
            ranking = self.reranker.rank(query, self._read(nodes), self.top_n)
            kept.extend(_choose(nodes, ranking))
        return kept

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _read_query(query_bundle)
        with self._reported(nodes, query_bundle) as kept:
            ranking = await self.reranker.arank(query, self._read(nodes), self.top_n)
            kept.extend(_choose(nodes, ranking))
        return kept

    def _read(self, nodes: Sequence[NodeWithScore]) -> list[Item]:
        keys, content = self.find_keys(), self._resolve_content()
        return [to_node_item(scored.node, keys, content) for scored in nodes]

    @property
    def reranker(self) -> Reranker:
        """The core's reranker, whose results have token counts and the request id too.

        Example:
            >>> QwenVLRerank(api_key="sk-1").reranker.model
            'qwen3-vl-rerank'
        """
        return self._cache.recall(self, self._make_reranker)

    def _make_reranker(self) -> Reranker:
        # A copy, as it keeps the values that the reranker is remembered for.
        settings = self.model_copy(update={"model": self.model})
        return Reranker(settings, instruction=self.instruction, leaves_out_excess=True)

    def _resolve_content(self) -> NodeContent:
        reranker = self.reranker
        if self.rank_by == "both" and not reranker.can_fuse:
            raise ConfigurationError(
                f"{self.model} ranks the text or the media of a node, not both together: no page "
                'describes it. Use rank_by="media" or rank_by="text".'
            )
        if self.rank_by == "media" and not reranker.reads_media:
            raise ConfigurationError(
                f'{self.model} ranks texts only. Use {DEFAULT_RERANK_MODEL}, or rank_by="text".'
            )
        return self.rank_by or ("media" if reranker.reads_media else "text")

    @contextmanager
    def _reported(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None
    ) -> Iterator[list[NodeWithScore]]:
        """Report to LlamaIndex's events what is put into the list."""
        kept: list[NodeWithScore] = []
        dispatcher.event(
            ReRankStartEvent(
                query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=self.model
            )
        )
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: query_bundle.query_str if query_bundle else "",
            EventPayload.TOP_K: self.top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield kept
            event.on_end(payload={EventPayload.NODES: kept})
        dispatcher.event(ReRankEndEvent(nodes=kept))


def _read_query(query_bundle: QueryBundle | None) -> object:
    if query_bundle is None:
        raise ConfigurationError(
            "QwenVLRerank ranks by a question, and there is none. Pass query_str=… or "
            "query_bundle=… to postprocess_nodes."
        )
    if query_bundle.query_str:
        return query_bundle.query_str
    return {"image": query_bundle.image_path} if query_bundle.image_path else ""


def _choose(nodes: Sequence[NodeWithScore], ranking: Ranking) -> list[NodeWithScore]:
    return [
        NodeWithScore(node=nodes[ranked.index].node, score=ranked.score)
        for ranked in ranking.results
    ]
