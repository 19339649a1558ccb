"""`QwenVLEmbeddings`: vectors of texts, images and videos as LangChain's `Embeddings`."""

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from langchain_core.embeddings import Embeddings
from pydantic import ConfigDict, Field, PrivateAttr, model_validator
from typing_extensions import override

from langchain_qwen_vl.chat_models import langchain_errors
from langchain_qwen_vl.fields import FieldCache, move_unknown
from langchain_qwen_vl.loans import Vector, take_lent
from qwen_vl.embedding.embedder import DEFAULT_CONCURRENCY, QUERY_INSTRUCTION, Embedder
from qwen_vl.embedding.items import Item, to_item
from qwen_vl.embedding.results import Embeddings as Embedded
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.settings import EndpointSettings
from qwen_vl.specs.embedding import DEFAULT_EMBEDDING_MODEL
from qwen_vl.specs.parameters import check_names


class QwenVLEmbeddings(EndpointSettings, Embeddings):
    """Vectors of texts, images, pages and videos, in one space.

    LangChain's interface takes texts only. `embed_image` is the method that stores such as Chroma
    call for images; `embed_media` takes everything that `qwen_vl.Embedder` does. To put images
    into a store, use `add_media`.

    Args:
        **kwargs: The fields. Names that are none go into `model_kwargs` with a warning.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     embeddings = QwenVLEmbeddings(
        ...         base_url=sandbox.base_url, api_key="sk-sandbox", dimensions=512
        ...     )
        ...     query = embeddings.embed_query("a cat")
        ...     vectors = embeddings.embed_media([CHELSEA, {"text": "A cat.", "image": CHELSEA}])
        >>> len(query), len(vectors)
        (512, 2)
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())

    model: str = Field(
        default=DEFAULT_EMBEDDING_MODEL,
        description="Id of the model; `qwen3-vl-embedding` by default.",
    )
    dimensions: int | None = Field(
        default=None,
        description="Length of the vectors; the model's default if `None`.",
    )
    query_instruction: str | None = Field(
        default=QUERY_INSTRUCTION,
        description="What queries are for, in English; `None` for the model's default.",
    )
    document_instruction: str | None = Field(
        default=None,
        description="What documents are for, in English; `None` for the model's default.",
    )
    normalize: bool = Field(
        default=False,
        description="Whether vectors are scaled to length 1. No page says whether the service "
        "does.",
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        description="Maximum number of elements of a request; the model's limit if `None`. vLLM "
        "takes more than 1 from version 0.32 on, and is sent 1 if `None`.",
    )
    max_concurrency: int = Field(
        default=DEFAULT_CONCURRENCY,
        ge=1,
        description="Maximum number of requests at the same time, of the asynchronous methods.",
    )
    cache_folder: str | Path | None = Field(
        default=None,
        description="Folder where vectors are kept: what is there is not asked for again. So that "
        "a run that was stopped goes on where it ended.",
    )
    model_kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="Further parameters by the service's names, such as `res_level`. `fps` is a "
        "share of the frames here, from 0 to 1.",
    )

    _embedder: FieldCache[Embedder] = PrivateAttr(default_factory=FieldCache)

    @model_validator(mode="before")
    @classmethod
    def _move_unknown_to_model_kwargs(cls, values: Any) -> Any:
        return move_unknown(cls, values)

    @model_validator(mode="after")
    def _check_options(self) -> "QwenVLEmbeddings":
        check_names(self.model_kwargs)
        # Wrong dimensions are reported here, not when a store asks for the first vector.
        _ = self.embedder
        return self

    @property
    def embedder(self) -> Embedder:
        """The core's embedder, whose results have token counts and request ids too.

        Example:
            >>> QwenVLEmbeddings(api_key="sk-1", dimensions=512).embedder.space
            'qwen3-vl-embedding/512'
        """
        return self._embedder.recall(self, self._make_embedder)

    def _make_embedder(self) -> Embedder:
        return Embedder(
            # A copy, as it keeps the values that the embedder is remembered for.
            self.model_copy(),
            dimensions=self.dimensions,
            query_instruction=self.query_instruction,
            document_instruction=self.document_instruction,
            normalize=self.normalize,
            batch_size=self.batch_size,
            max_concurrency=self.max_concurrency,
            parameters=self.model_kwargs,
            cache=self.cache_folder,
        )

    @override
    def embed_documents(self, texts: list[str]) -> list[Vector]:
        """Embed texts that are searched.

        Args:
            texts: Never read as paths or URLs; none may be empty.

        Raises:
            UnsupportedContentError: A text is empty, or not a text.
            AnswerFormatError: An answer lacks a vector, or has one that cannot be used.
            QwenVLServiceError: The endpoint answered with an error, or not at all.
        """
        lent = take_lent(texts := _check_list(texts, "texts"))
        with langchain_errors():
            return _fill(lent, self.embedder.embed(_to_texts(texts, lent)))

    @override
    async def aembed_documents(self, texts: list[str]) -> list[Vector]:
        """Embed texts, with several requests at the same time; see `embed_documents`."""
        lent = take_lent(texts := _check_list(texts, "texts"))
        async with langchain_errors():
            return _fill(lent, await self.embedder.aembed(_to_texts(texts, lent)))

    @override
    def embed_query(self, text: str) -> Vector:
        """Embed a text that is searched for.

        Args:
            text: Never read as a path or URL.

        Raises:
            UnsupportedContentError: It is empty, or not a text.
            AnswerFormatError: The answer lacks a vector, or has one that cannot be used.
            QwenVLServiceError: The endpoint answered with an error, or not at all.
        """
        with langchain_errors():
            return _only(self.embedder.embed_queries([_to_text(text, "query")]))

    @override
    async def aembed_query(self, text: str) -> Vector:
        """Embed a text that is searched for; see `embed_query`."""
        async with langchain_errors():
            return _only(await self.embedder.aembed_queries([_to_text(text, "query")]))

    def embed_image(self, uris: Sequence[str | PathLike[str]]) -> list[Vector]:
        """Embed images; the method that Chroma, LanceDB and SingleStore call.

        Args:
            uris: URLs, `data:` URLs, or paths: a `pathlib.Path`, or text, which is read only
                inside `media_roots`.

        Raises:
            ContentError: An image cannot be read or sent; the message names it.
            AnswerFormatError: An answer lacks a vector, or has one that cannot be used.
            QwenVLServiceError: The endpoint answered with an error, or not at all.
        """
        with langchain_errors():
            return list(self.embedder.embed(_to_images(_check_list(uris, "uris"))))

    async def aembed_image(self, uris: Sequence[str | PathLike[str]]) -> list[Vector]:
        """Embed images, with several requests at the same time; see `embed_image`."""
        async with langchain_errors():
            return list(await self.embedder.aembed(_to_images(_check_list(uris, "uris"))))

    def embed_media(self, items: Iterable[object]) -> list[Vector]:
        """Embed texts, images, pages and videos that are searched, or several fused into one.

        Args:
            items: Each becomes one vector, in every form that `qwen_vl.Embedder` takes: a text; a
                `Path`, bytes or an image; `{"image": "report.pdf", "page": 3}`; and
                `{"text": …, "image": …}` or a tuple for several that are fused.

        Raises:
            ContentError: An item cannot be read or sent; the message names it.
            AnswerFormatError: An answer lacks a vector, or has one that cannot be used.
            QwenVLServiceError: The endpoint answered with an error, or not at all.
        """
        with langchain_errors():
            return list(self.embedder.embed(items))

    async def aembed_media(self, items: Iterable[object]) -> list[Vector]:
        """Embed items, with several requests at the same time; see `embed_media`."""
        async with langchain_errors():
            return list(await self.embedder.aembed(items))

    def embed_query_media(self, item: object) -> Vector:
        """Embed an image or another item that is searched for.

        Args:
            item: As of `embed_media`.

        Example:
            >>> from langchain_core.vectorstores import InMemoryVectorStore
            >>> from qwen_vl.samples import CHELSEA
            >>> from qwen_vl_sandbox import Sandbox
            >>> with Sandbox() as sandbox:
            ...     embeddings = QwenVLEmbeddings(base_url=sandbox.base_url, api_key="sk-sandbox")
            ...     store = InMemoryVectorStore(embeddings)
            ...     _ = store.add_texts(["orange fur", "a blue sky"])
            ...     query = embeddings.embed_query_media(CHELSEA)
            ...     found = store.similarity_search_by_vector(query, k=1)
            >>> len(found)
            1
        """
        with langchain_errors():
            return _only(self.embedder.embed_queries([to_item(item, "query")]))

    async def aembed_query_media(self, item: object) -> Vector:
        """Embed an item that is searched for; see `embed_query_media`."""
        async with langchain_errors():
            return _only(await self.embedder.aembed_queries([to_item(item, "query")]))


def _check_list(values: Any, name: str) -> list[Any]:
    if isinstance(values, str | bytes | PathLike) or not hasattr(values, "__iter__"):
        raise UnsupportedContentError(
            f"{name} is one {type(values).__name__}, not a list.", remedy=f"Pass [{name}]."
        )
    return list(values)


def _to_texts(texts: Sequence[Any], lent: Sequence[Vector | None]) -> Iterator[Item]:
    for number, (text, vector) in enumerate(zip(texts, lent, strict=True)):
        if vector is None:
            yield _to_text(text, f"texts[{number}]")


def _to_text(text: Any, where: str) -> Item:
    if not isinstance(text, str):
        raise UnsupportedContentError(
            f"A {type(text).__name__} is not a text.",
            where=where,
            remedy="Use embed_media, or embed_query_media, for images, videos and the like.",
        )
    return to_item(text, where)


def _to_images(uris: Sequence[Any]) -> list[Item]:
    return [to_item({"image": uri}, f"uris[{number}]") for number, uri in enumerate(uris)]


def _fill(lent: Sequence[Vector | None], embedded: Embedded) -> list[Vector]:
    vectors = iter(embedded)
    return [next(vectors) if vector is None else vector for vector in lent]


def _only(embedded: Embedded) -> Vector:
    (vector,) = embedded
    return vector
