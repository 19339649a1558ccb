"""`QwenVLRerank`: ranks documents with their images and videos, as a document compressor."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import Runnable, RunnableLambda
from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from typing_extensions import override

from langchain_qwen_vl.chat_models import langchain_errors
from langchain_qwen_vl.document_media import merge_keys, read_document
from langchain_qwen_vl.fields import FieldCache, refuse_unknown
from qwen_vl.embedding.items import Item, ItemPart
from qwen_vl.embedding.rerank_wire import Ranking
from qwen_vl.embedding.reranker import Reranker
from qwen_vl.errors import ConfigurationError, UnsupportedContentError
from qwen_vl.settings import EndpointSettings
from qwen_vl.specs.rerank import DEFAULT_RERANK_MODEL
from qwen_vl.specs.servers import DEFAULT_SERVER

SCORE_KEY = "relevance_score"


class QwenVLRerank(EndpointSettings, BaseDocumentCompressor):
    """Ranks documents by their relevance to a query: texts, images, PDF pages and videos.

    Media is found by the metadata of documents: `image_path`, with `page` beside a PDF or TIFF
    file, `image_url`, `video_url`, or content blocks under `image`, `video` or `media`. Paths are
    read only inside `media_roots`. Base64 in `page_content` is an image too.

    All documents go in one request, since scores of several cannot be compared. Those beyond its
    limits (40 images, 100 texts, 4 videos, and 12 MiB of images) are left out with a warning, the
    last first: retrieve fewer.

    Args:
        **kwargs: The fields.

    Raises:
        ConfigurationError: A field is unknown, or the model or server lacks it.

    Example:
        >>> from qwen_vl_sandbox import Sandbox
        >>> documents = [Document("a blue car"), Document("a red car")]
        >>> with Sandbox() as sandbox:
        ...     rerank = QwenVLRerank(base_url=sandbox.base_url, api_key="sk-sandbox", top_n=1)
        ...     [best] = rerank.compress_documents(documents, "something red")
        >>> best.page_content
        'a red car'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model: str = Field(
        default=DEFAULT_RERANK_MODEL, description="Id of the model; `qwen3-vl-rerank` by default."
    )
    top_n: int | None = Field(
        default=None, ge=1, description="Number of documents to return; all of them if `None`."
    )
    instruction: str | None = Field(
        default=None,
        description="What the ranking is for, in English; `None` for the model's default.",
    )
    rank_by: Literal["media", "text", "both"] = Field(
        default="media",
        description="What counts of documents that have both: the `media`, the `text`, or `both`, "
        "which self-hosted servers only support. A document that has one of them is ranked by it.",
    )
    keys: Mapping[str, str] = Field(
        default_factory=dict,
        description='Metadata keys that differ from their names, such as `{"image_path": '
        '"source"}`.',
    )
    first_page: Literal[0, 1] = Field(
        default=1,
        description="Number that the first page of a file has in the metadata; 0 for documents of "
        "`PyPDFLoader`.",
    )

    _reranker: FieldCache[Reranker] = PrivateAttr(default_factory=FieldCache)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, values: Any) -> Any:
        return refuse_unknown(cls, values)

    @model_validator(mode="after")
    def _check_options(self) -> "QwenVLRerank":
        merge_keys(self.keys)
        if self.rank_by == "both" and self.server == DEFAULT_SERVER:
            raise ConfigurationError(
                'rank_by="both" is for self-hosted servers: no page of the service describes '
                'documents of several parts. Use "media" or "text".'
            )
        _ = self.reranker
        return self

    @property
    def reranker(self) -> Reranker:
        """The core's reranker, whose results have token counts and the request id too.

        Example:
            >>> QwenVLRerank(api_key="sk-1").reranker.model
            'qwen3-vl-rerank'
        """
        return self._reranker.recall(self, self._make_reranker)

    def _make_reranker(self) -> Reranker:
        # A copy, as it keeps the values that the reranker is remembered for.
        return Reranker(self.model_copy(), instruction=self.instruction, leaves_out_excess=True)

    @override
    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Rank documents.

        Args:
            documents: Texts, images and videos; they are not changed.
            query: What they should be relevant to.
            callbacks: Not used: nothing here has events.

        Returns:
            Copies, the most relevant first, with `relevance_score` in their metadata. Scores are
            relative to the request.

        Raises:
            ContentError: The query or a document cannot be sent; nothing was.
            AnswerFormatError: The answer lacks a score, or has one that cannot be used.
            QwenVLServiceError: The endpoint answered with an error, or not at all.
        """
        items = self._to_items(documents)
        with langchain_errors():
            return _sort(documents, self.reranker.rank(query, items, self.top_n))

    @override
    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        """Rank documents without blocking the event loop; see `compress_documents`."""
        items = self._to_items(documents)
        async with langchain_errors():
            return _sort(documents, await self.reranker.arank(query, items, self.top_n))

    def as_runnable(self) -> Runnable[Mapping[str, Any], list[Document]]:
        """Return a runnable that takes `{"documents": …, "query": …}`.

        Example:
            >>> from qwen_vl_sandbox import Sandbox
            >>> with Sandbox() as sandbox:
            ...     rerank = QwenVLRerank(base_url=sandbox.base_url, api_key="sk-sandbox")
            ...     ranked = rerank.as_runnable().invoke(
            ...         {"documents": [Document("blue"), Document("red")], "query": "red"}
            ...     )
            >>> [document.page_content for document in ranked]
            ['red', 'blue']
        """

        def rank(values: Mapping[str, Any]) -> list[Document]:
            return self.compress_documents(values["documents"], values["query"])

        async def arank(values: Mapping[str, Any]) -> list[Document]:
            return await self.acompress_documents(values["documents"], values["query"])

        return RunnableLambda(rank, arank, name="QwenVLRerank")

    def _to_items(self, documents: Sequence[Document]) -> list[Item]:
        keys = merge_keys(self.keys)
        return [
            self._to_item(document, f"documents[{number}]", keys)
            for number, document in enumerate(documents)
        ]

    def _to_item(self, document: Document, where: str, keys: Mapping[str, str]) -> Item:
        if not isinstance(document, Document):
            raise UnsupportedContentError(
                f"A {type(document).__name__} is not a Document.",
                where=where,
                remedy="Pass Document(page_content=…), or use qwen_vl.Reranker.",
            )
        text, media = read_document(document, where, keys=keys, first_page=self.first_page)
        parts: list[ItemPart] = [*media]
        if text is not None and (not media or self.rank_by != "media"):
            parts = [text] if self.rank_by == "text" else [text, *media]
        if not parts:
            raise UnsupportedContentError(
                "The document has neither text nor media.", where=where, remedy="Leave it out."
            )
        return Item(parts=tuple(parts), where=where)


def _sort(documents: Sequence[Document], ranking: Ranking) -> list[Document]:
    return [
        documents[ranked.index].model_copy(
            update={"metadata": {**documents[ranked.index].metadata, SCORE_KEY: ranked.score}}
        )
        for ranked in ranking.results
    ]
