"""`QwenVLEmbedding`: vectors of texts, images, videos, and of nodes with their media."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import llama_index.core.instrumentation as instrument
from llama_index.core.base.embeddings.base import Embedding
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.instrumentation.events.embedding import (
    EmbeddingEndEvent,
    EmbeddingStartEvent,
)
from llama_index.core.schema import BaseNode, ImageType
from llama_index.core.utils import get_tqdm_iterable
from pydantic import Field, PrivateAttr, field_validator

from llama_index.llms.qwen_vl.nodes.items import NodeContent, to_node_item
from llama_index.llms.qwen_vl.retrieval_fields import FieldCache, RetrievalFields
from qwen_vl.content import Text, VideoMode
from qwen_vl.embedding.embedder import DEFAULT_CONCURRENCY, QUERY_INSTRUCTION, Embedder
from qwen_vl.embedding.items import Item, to_item, to_items
from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.embedding import DEFAULT_EMBEDDING_MODEL
from qwen_vl.specs.parameters import check_names

ImageInput: TypeAlias = ImageType | Path
"""A URL, a path inside `media_roots`, an open file, or a `pathlib.Path`."""

# LlamaIndex re-exports it without saying so.
dispatcher = instrument.get_dispatcher(__name__)  # type: ignore[attr-defined]

# Requests of 20 elements, four of them at the same time, come out even.
_EMBED_BATCH_SIZE = 400
_SHOWN_CHARS = 40


class QwenVLEmbedding(RetrievalFields, MultiModalEmbedding):
    """Qwen's embedding models: vectors of texts, images and videos that can be compared.

    Called with nodes, as a transformation, it embeds them with their images and videos, found as
    `QwenMediaPostprocessor` finds them. A plain `VectorStoreIndex` hands over only the text of its
    nodes: use `QwenVLVectorStoreIndex`, an `IngestionPipeline`, or
    `VectorStoreIndex(embed_model(nodes))`.

    Texts are never read as paths or URLs. Each gets a vector, or an error says which lacks one.

    Args:
        model_name: Model id; `model` is a synonym.
        **kwargs: The other fields; `api_base` means `base_url`.

    Raises:
        ConfigurationError: A keyword that is not a field, or the model does not have vectors of
            this length.

    Example:
        >>> from llama_index.core.schema import TextNode
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> node = TextNode(text="Our cat.", metadata={"image_path": str(CHELSEA)})
        >>> with Sandbox() as sandbox:
        ...     embed_model = QwenVLEmbedding(
        ...         api_base=sandbox.base_url,
        ...         api_key="sk-sandbox",
        ...         dimensions=512,
        ...         media_roots=[CHELSEA.parent],
        ...     )
        ...     vector = embed_model.get_query_embedding("a cat")
        ...     (embedded,) = embed_model([node])
        >>> len(vector), len(embedded.embedding)
        (512, 512)
    """

    nullable_fields: ClassVar[frozenset[str]] = frozenset({"query_instruction"})

    model: str = Field(default=DEFAULT_EMBEDDING_MODEL, exclude=True, repr=False)
    model_name: str = Field(
        default=DEFAULT_EMBEDDING_MODEL, description="Id of the embedding model."
    )
    dimensions: int | None = Field(
        default=None, description="Length of the vectors; by default the model's."
    )
    query_instruction: str | None = Field(
        default=QUERY_INSTRUCTION,
        description="What queries are for, in English; `None` for the model's default.",
    )
    document_instruction: str | None = Field(
        default=None,
        description="What all else is for, in English; `None` for the model's default.",
    )
    normalize: bool = Field(default=False, description="Whether vectors are scaled to length 1.")
    embed_by: NodeContent | None = Field(
        default=None,
        description="What is embedded of a node that has text and media: `both`, in one vector; "
        "`media`, without the text; or `text`. By default `both` where the model can, "
        "else `media`.",
    )
    embed_batch_size: int = Field(
        default=_EMBED_BATCH_SIZE,
        gt=0,
        le=2048,
        description="Number of texts, images or nodes that are handed over at a time. They are "
        "packed into requests below the model's limits whatever it is. A `rate_limiter` counts "
        "these batches: with one, set it to the elements of a request, 20.",
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of elements of a request; by default the model's limit, and 1 "
        "for vLLM, which takes several from 0.32 on.",
    )
    max_concurrency: int = Field(
        default=DEFAULT_CONCURRENCY,
        ge=1,
        description="Maximum number of requests at the same time, of the asynchronous methods.",
    )
    cache_folder: str | Path | None = Field(
        default=None,
        description="Folder where vectors of texts and media are kept: what is there is not asked "
        "for again, so that a run that was stopped goes on where it ended.",
    )
    video_mode: VideoMode = Field(
        default="auto",
        description="`upload` to put local videos into the service's temporary storage. The "
        "service embeds videos by URL only, and local ones are refused otherwise.",
    )
    additional_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description='Further parameters by the service\'s names, as `{"res_level": 2}`.',
    )

    _cache: FieldCache[Embedder] = PrivateAttr(default_factory=FieldCache)

    def __init__(self, model_name: str | None = None, **kwargs: Any) -> None:
        names = {name for name in (model_name, kwargs.pop("model", None)) if name}
        if len(names) > 1:
            raise ConfigurationError("model and model_name mean the same. Pass one of them.")
        chosen = next(iter(names), None)
        super().__init__(model_name=chosen, model=chosen, **kwargs)
        check_names(self.additional_kwargs)
        # What the model cannot do is said here and not at the first call.
        self._resolve_content()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"model", "model_name"}:
            super().__setattr__("model", value)
            name = "model_name"
        super().__setattr__(name, value)

    @field_validator("cache_folder")
    @classmethod
    def _cache_folder_as_text(cls, folder: str | Path | None) -> str | None:
        # It is dumped as JSON, which lacks paths.
        return None if folder is None else str(folder)

    @classmethod
    def class_name(cls) -> str:
        """Name the class in what is stored of it."""
        return "QwenVLEmbedding"

    def to_payload(self) -> dict[str, Any]:
        """Describe the model for traces, without keys."""
        return {**super().to_payload(), "dimensions": self.dimensions}

    def get_video_embedding(self, video: ImageInput) -> Embedding:
        """Embed a video.

        Args:
            video: Its URL. A path, or an open file, is uploaded with `video_mode="upload"`, and
                refused otherwise.

        Raises:
            ContentError: It cannot be sent.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        return self.get_media_embeddings([{"video": video}])[0]

    async def aget_video_embedding(self, video: ImageInput) -> Embedding:
        """Embed a video; see `get_video_embedding`."""
        return (await self.aget_media_embeddings([{"video": video}]))[0]

    def get_media_embeddings(
        self, items: Iterable[object], show_progress: bool = False
    ) -> list[Embedding]:
        """Embed texts, images, videos, or several of them together.

        Args:
            items: Each in a form that `qwen_vl.embedding.items.to_items` names: `Path`, bytes,
                `{"text": …, "image": …}` and so on.
            show_progress: Whether to show a progress bar.

        Raises:
            ContentError: An item cannot be sent; the message names it.
            AnswerFormatError: An answer lacks a vector, or has one that cannot be used.
            ServiceError: The endpoint answered with an error, or not at all.

        Example:
            >>> from qwen_vl.samples import CHELSEA
            >>> from qwen_vl_sandbox import Sandbox
            >>> with Sandbox() as sandbox:
            ...     embed_model = QwenVLEmbedding(api_base=sandbox.base_url, api_key="sk-sandbox")
            ...     vectors = embed_model.get_media_embeddings([CHELSEA, ("Our cat.", CHELSEA)])
            >>> len(vectors)
            2
        """
        vectors: list[Embedding] = []
        for batch in self._divide(list(to_items(items)), show_progress):
            with self._reported(batch) as found:
                if self.rate_limiter is not None:
                    self.rate_limiter.acquire()
                found.extend(self.embedder.embed(batch))
            vectors += found
        return vectors

    async def aget_media_embeddings(
        self, items: Iterable[object], show_progress: bool = False
    ) -> list[Embedding]:
        """Embed texts, images and videos; see `get_media_embeddings`."""
        vectors: list[Embedding] = []
        for batch in self._divide(list(to_items(items)), show_progress):
            with self._reported(batch) as found:
                if self.rate_limiter is not None:
                    await self.rate_limiter.async_acquire()
                found.extend(await self._aembed(batch))
            vectors += found
        return vectors

    def get_query_media_embedding(self, item: object) -> Embedding:
        """Embed an image, or text and images together, to search with.

        Pass the vector on: `retriever.retrieve(QueryBundle("", embedding=vector))`.

        Args:
            item: One, as of `get_media_embeddings`.

        Raises:
            ContentError: It cannot be sent.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        query = to_item(item, "query")
        with self._reported([query]) as found:
            found.extend(self.embedder.embed_queries([query]))
        return found[0]

    async def aget_query_media_embedding(self, item: object) -> Embedding:
        """Embed an image to search with; see `get_query_media_embedding`."""
        query = to_item(item, "query")
        with self._reported([query]) as found:
            found.extend(await self.embedder.aembed_queries([query]))
        return found[0]

    def __call__(
        self, nodes: Sequence[BaseNode], show_progress: bool = False, **kwargs: Any
    ) -> Sequence[BaseNode]:
        """Embed nodes with their images and videos.

        Args:
            nodes: Their `embedding` is set, of all of them or of none.
            show_progress: Whether to show progress bars.
            **kwargs: Not used; indexes hand over all of theirs.

        Raises:
            ContentError: A node cannot be embedded; the message names it.
            AnswerFormatError: An answer lacks a vector, or has one that cannot be used.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        del kwargs
        plan = self._plan(nodes)
        texts = self.get_text_embedding_batch(plan.texts, show_progress)
        return plan.assign(texts, self.get_media_embeddings(plan.items, show_progress))

    async def acall(
        self, nodes: Sequence[BaseNode], show_progress: bool = False, **kwargs: Any
    ) -> Sequence[BaseNode]:
        """Embed nodes with their images and videos, several requests at a time.

        Args:
            nodes: Their `embedding` is set, of all of them or of none.
            show_progress: Whether to show progress bars.
            **kwargs: Not used.
        """
        del kwargs
        plan = self._plan(nodes)
        texts = await self.aget_text_embedding_batch(plan.texts, show_progress)
        return plan.assign(texts, await self.aget_media_embeddings(plan.items, show_progress))

    def _get_query_embedding(self, query: str) -> Embedding:
        return self.embedder.embed_queries([_name_text(query, "query")]).vectors[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        found = await self.embedder.aembed_queries([_name_text(query, "query")])
        return found.vectors[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        found = await self.embedder.aembed(_name_texts([text]))
        return found.vectors[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return list(self.embedder.embed(_name_texts(texts)))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._aembed(_name_texts(texts))

    def _get_image_embedding(self, img_file_path: ImageInput) -> Embedding:
        return self._get_image_embeddings([img_file_path])[0]

    async def _aget_image_embedding(self, img_file_path: ImageInput) -> Embedding:
        found = await self.embedder.aembed(_name_images([img_file_path]))
        return found.vectors[0]

    def _get_image_embeddings(self, img_file_paths: Sequence[ImageInput]) -> list[Embedding]:
        return list(self.embedder.embed(_name_images(img_file_paths)))

    async def _aget_image_embeddings(self, img_file_paths: Sequence[ImageInput]) -> list[Embedding]:
        return await self._aembed(_name_images(img_file_paths))

    async def _aembed(self, items: list[Item]) -> list[Embedding]:
        # LlamaIndex starts all batches together, and each sends up to max_concurrency requests.
        async with self._cache.lock():
            return list(await self.embedder.aembed(items))

    @property
    def embedder(self) -> Embedder:
        """The core's embedder, whose results have token counts and request ids too.

        Example:
            >>> QwenVLEmbedding(api_key="sk-1", dimensions=512).embedder.space
            'qwen3-vl-embedding/512'
        """
        return self._cache.recall(self, self._make_embedder)

    def _make_embedder(self) -> Embedder:
        return Embedder(
            # A copy, as it keeps the values that the embedder is remembered for.
            self.model_copy(update={"model": self.model_name}),
            dimensions=self.dimensions,
            query_instruction=self.query_instruction,
            document_instruction=self.document_instruction,
            normalize=self.normalize,
            batch_size=self.batch_size,
            max_concurrency=self.max_concurrency,
            parameters=self.additional_kwargs,
            cache=self.cache_folder,
        )

    def _resolve_content(self) -> NodeContent:
        can_fuse = self.embedder.can_fuse
        if self.embed_by == "both" and not can_fuse:
            raise ConfigurationError(
                f"{self.model_name} makes no vectors of text and media together. Use "
                f'{DEFAULT_EMBEDDING_MODEL}, or embed_by="media".'
            )
        return self.embed_by or ("both" if can_fuse else "media")

    def _plan(self, nodes: Sequence[BaseNode]) -> "_Plan":
        keys, content = self.find_keys(), self._resolve_content()
        plan = _Plan(nodes=nodes)
        for position, node in enumerate(nodes):
            item = to_node_item(node, keys, content)
            match item.parts:
                case (Text(text=text),):
                    plan.texts.append(text)
                    plan.text_positions.append(position)
                case _:
                    plan.items.append(item)
                    plan.item_positions.append(position)
        return plan

    def _divide(self, items: list[Item], show_progress: bool) -> Iterator[list[Item]]:
        size = self.embed_batch_size
        batches = [items[at : at + size] for at in range(0, len(items), size)]
        yield from get_tqdm_iterable(batches, show_progress, "Embedding media")

    @contextmanager
    def _reported(self, items: Sequence[Item]) -> Iterator[list[Embedding]]:
        """Report to LlamaIndex's events what is put into the list."""
        found: list[Embedding] = []
        payload = self.to_payload()
        chunks = [_describe(item) for item in items]
        dispatcher.event(EmbeddingStartEvent(model_dict=payload))
        with self.callback_manager.event(
            CBEventType.EMBEDDING, payload={EventPayload.SERIALIZED: payload}
        ) as event:
            yield found
            event.on_end(
                payload={EventPayload.CHUNKS: chunks, EventPayload.EMBEDDINGS: list(found)}
            )
        dispatcher.event(EmbeddingEndEvent(chunks=chunks, embeddings=list(found)))


@dataclass
class _Plan:
    """Which nodes are embedded as text, by LlamaIndex's own method, and which with their media."""

    nodes: Sequence[BaseNode]
    texts: list[str] = field(default_factory=list)
    text_positions: list[int] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    item_positions: list[int] = field(default_factory=list)

    def assign(self, texts: list[Embedding], items: list[Embedding]) -> Sequence[BaseNode]:
        """Set the vectors, and return the nodes."""
        positions = [*self.text_positions, *self.item_positions]
        for position, vector in zip(positions, [*texts, *items], strict=True):
            self.nodes[position].embedding = vector
        return self.nodes


def _name_text(text: str, name: str) -> Item:
    # An error of the hundredth batch names a place in that batch: the words say more.
    shown = text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
    return Item(parts=(Text(text=text),), where=f"{name} ({shown!r})")


def _name_texts(texts: Sequence[str]) -> list[Item]:
    return [_name_text(text, f"texts[{number}]") for number, text in enumerate(texts)]


def _name_images(images: Sequence[ImageInput]) -> list[Item]:
    return list(to_items([{"image": image} for image in images], name="images"))


def _describe(item: Item) -> str:
    return " ".join(
        part.text if isinstance(part, Text) else f"[{type(part).__name__.lower()}]"
        for part in item.parts
    )
