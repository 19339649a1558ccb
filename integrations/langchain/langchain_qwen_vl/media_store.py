"""Images, PDF pages and videos in any LangChain vector store."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeAlias

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from langchain_qwen_vl.document_media import merge_keys, read_document
from langchain_qwen_vl.embeddings import QwenVLEmbeddings
from langchain_qwen_vl.loans import Loan, Vector
from qwen_vl.content import Inline, LocalFile, Text, Url, Video, find_scheme
from qwen_vl.embedding.items import Item, ItemPart, to_item
from qwen_vl.errors import ConfigurationError, UnsupportedContentError

MediaItem: TypeAlias = Document | Path | Mapping[str, Any] | str

SPACE_KEY = "embedding_space"
"""Metadata key of the model, dimensions and instruction that a document was embedded with."""


class MediaStoreBase(VectorStore):
    """Base of stores that embed media themselves, into another store.

    Args:
        store: The store that holds the vectors.
    """

    def __init__(self, store: VectorStore) -> None:
        self.store = store


def add_media(
    store: VectorStore,
    items: Iterable[MediaItem],
    *,
    embeddings: QwenVLEmbeddings | None = None,
    ids: Sequence[str] | None = None,
    fuse: bool | None = None,
    keys: Mapping[str, str] | None = None,
    first_page: int = 1,
    check_space: bool = True,
    **kwargs: Any,
) -> list[str]:
    """Embed images, PDF pages, videos and texts, and add them to a vector store.

    The store gets a reference to the media in the metadata (`image_path`, `page`, `image_url`,
    `video_path`, `video_url`) and the caption in `page_content`, never Base64. Everything is
    embedded before anything is stored. What is embedded with the same model and options can be
    searched together; each document has them in its metadata, as `embedding_space`.

    Args:
        store: Any store that was made with a `QwenVLEmbeddings`.
        items: Each becomes one document. A `Path`: an image or video. A mapping: `image` or
            `video`, which is a `Path`, a URL or a path inside `media_roots`; `page` of a PDF or
            TIFF, from 1 on; and, if you like, `text`, `metadata` and `id`. A `Document` whose
            metadata refers to media; paths in it are read only inside `media_roots`. A `str` or
            a `Document` without media: a text.
        embeddings: Computes the vectors; by default those of the store.
        ids: Of the documents; by default their own, or new ones.
        fuse: Whether an item's text and media become one vector, so that one ranking is fair to
            items with and without text. By default where the model can. Without, the media counts.
        keys: Metadata keys of documents that differ from their names.
        first_page: Number that the first page of a file has in the metadata of documents.
        check_space: Whether to search the store first, and refuse to mix vectors of two models.
        **kwargs: For the store's `add_documents`.

    Returns:
        The ids of the documents.

    Raises:
        ConfigurationError: The store does not embed with a `QwenVLEmbeddings`, or holds vectors
            of another model.
        ContentError: An item cannot be read or sent; nothing was stored.
        AnswerFormatError: An answer lacks a vector; nothing was stored.
        QwenVLServiceError: The endpoint answered with an error; nothing was stored.

    Example:
        >>> from langchain_core.vectorstores import InMemoryVectorStore
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     embeddings = QwenVLEmbeddings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     store = InMemoryVectorStore(embeddings)
        ...     ids = add_media(store, [{"image": CHELSEA, "text": "Our cat"}, "A text."])
        ...     [found] = store.similarity_search("a cat", k=1)
        >>> found.page_content, Path(found.metadata["image_path"]).name
        ('Our cat', 'chelsea.png')
    """
    store = store.store if isinstance(store, MediaStoreBase) else store
    plan = _Plan.make(store, items, embeddings, fuse, keys, first_page)
    if not plan.documents:
        return []
    vectors = plan.embeddings.embed_media(plan.items)
    if check_space:
        with _Search(plan, vectors[0]) as search:
            search.found = store.similarity_search_by_vector(vectors[0], k=1)
    loan, documents = plan.lend(vectors)
    with loan.lend():
        stored = store.add_documents(documents, **_with_ids(kwargs, ids))
    _check_taken(loan, stored)
    return stored


async def aadd_media(
    store: VectorStore,
    items: Iterable[MediaItem],
    *,
    embeddings: QwenVLEmbeddings | None = None,
    ids: Sequence[str] | None = None,
    fuse: bool | None = None,
    keys: Mapping[str, str] | None = None,
    first_page: int = 1,
    check_space: bool = True,
    **kwargs: Any,
) -> list[str]:
    """Embed items with several requests at the same time, and add them; see `add_media`."""
    store = store.store if isinstance(store, MediaStoreBase) else store
    plan = _Plan.make(store, items, embeddings, fuse, keys, first_page)
    if not plan.documents:
        return []
    vectors = await plan.embeddings.aembed_media(plan.items)
    if check_space:
        with _Search(plan, vectors[0]) as search:
            search.found = await store.asimilarity_search_by_vector(vectors[0], k=1)
    loan, documents = plan.lend(vectors)
    with loan.lend():
        stored = await store.aadd_documents(documents, **_with_ids(kwargs, ids))
    _check_taken(loan, stored)
    return stored


def check_documents_space(documents: Iterable[Document], embeddings: QwenVLEmbeddings) -> None:
    """Check that documents were embedded as queries are.

    Args:
        documents: Those that a search found. Documents without `embedding_space` are not checked.
        embeddings: Of the queries.

    Raises:
        ConfigurationError: One was embedded with another model, dimensions or instruction.
    """
    expected = embeddings.embedder.space
    for document in documents:
        found = document.metadata.get(SPACE_KEY, expected)
        if found != expected:
            raise ConfigurationError(
                f"The store holds vectors of {found!r}, and these are of {expected!r}: they "
                "cannot be compared. Use the same model, dimensions, normalize and "
                "document_instruction, or index again in a new store."
            )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is stored, and what it is embedded as."""

    embeddings: QwenVLEmbeddings
    documents: list[Document]
    items: list[Item]

    @classmethod
    def make(
        cls,
        store: VectorStore,
        items: Iterable[MediaItem],
        embeddings: QwenVLEmbeddings | None,
        fuse: bool | None,
        keys: Mapping[str, str] | None,
        first_page: int,
    ) -> "_Plan":
        embeddings = find_embeddings(store, embeddings)
        can_fuse = embeddings.embedder.can_fuse
        if fuse and not can_fuse:
            raise ConfigurationError(
                f"{embeddings.model} makes no vectors of text and media together. Leave fuse out, "
                "or use qwen3-vl-embedding."
            )
        if isinstance(items, str | Path | Document | Mapping):
            raise UnsupportedContentError(
                f"items is one {type(items).__name__}, not a list.", remedy="Pass [items]."
            )
        fuses = can_fuse if fuse is None else fuse
        reader = _Reader(merge_keys(keys or {}), first_page, fuses)
        pairs = [reader.read(value, f"items[{number}]") for number, value in enumerate(items)]
        return cls(embeddings, [pair[0] for pair in pairs], [pair[1] for pair in pairs])

    def lend(self, vectors: Sequence[Vector]) -> tuple[Loan, list[Document]]:
        loan = Loan([document.page_content for document in self.documents], vectors)
        mark = {SPACE_KEY: self.embeddings.embedder.space}
        return loan, [
            # Not by the constructor, which makes plain text of it.
            document.model_copy(
                update={"page_content": text, "metadata": {**document.metadata, **mark}}
            )
            for document, text in zip(self.documents, loan.texts, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads what is to be stored."""

    keys: Mapping[str, str]
    first_page: int
    fuses: bool

    def read(self, value: object, where: str) -> tuple[Document, Item]:
        match value:
            case Document():
                text, media = read_document(
                    value, where, keys=self.keys, first_page=self.first_page
                )
                for part in media:
                    # Its reference is in the metadata already.
                    _refer_to(part, where)
                return value, self._to_item(text, media, where)
            case Path():
                return self._read_mapping(_name_kind(value, where), where)
            case Mapping():
                return self._read_mapping(value, where)
            case str():
                return Document(value), to_item(value, where)
        raise UnsupportedContentError(
            f"A {type(value).__name__} cannot be stored: a store keeps a reference to the media.",
            where=where,
            remedy="Save it to a file, and pass its Path; or pass a URL, a Document or a mapping.",
        )

    def _read_mapping(self, value: Mapping[str, Any], where: str) -> tuple[Document, Item]:
        value = dict(value)
        metadata, document_id = dict(value.pop("metadata", None) or {}), value.pop("id", None)
        if "multi_images" in value:
            raise UnsupportedContentError(
                "A document refers to one image.", where=where, remedy="Pass each separately."
            )
        item = to_item(value, where)
        text = next((part for part in item.parts if isinstance(part, Text)), None)
        media = [part for part in item.parts if not isinstance(part, Text)]
        for part in media:
            metadata |= _refer_to(part, where)
        document = Document(text.text if text else "", id=document_id, metadata=metadata)
        return document, self._to_item(text, media, where)

    def _to_item(self, text: Text | None, media: Sequence[ItemPart], where: str) -> Item:
        parts: list[ItemPart] = list(media)
        if text is not None and (self.fuses or not media):
            parts.insert(0, text)
        return to_item(Item(parts=tuple(parts), where=where), where)


def find_embeddings(store: VectorStore, embeddings: QwenVLEmbeddings | None) -> QwenVLEmbeddings:
    """Return what computes the vectors of a store.

    Args:
        store: Any store.
        embeddings: What the program says; `None` for those of the store.

    Raises:
        ConfigurationError: They are none of `QwenVLEmbeddings`, or two that differ.
    """
    held = store.embeddings
    name = type(store).__name__
    if held is None:
        if embeddings is None:
            raise ConfigurationError(
                f"{name} does not say what it embeds with. Pass embeddings=…, the QwenVLEmbeddings "
                "that it was made with."
            )
        return embeddings
    if not isinstance(held, QwenVLEmbeddings):
        raise ConfigurationError(
            f"{name} embeds queries with {type(held).__name__}, whose vectors cannot be compared "
            "with those of media here. Make the store with QwenVLEmbeddings itself."
        )
    if embeddings is not None and embeddings.embedder.space != held.embedder.space:
        raise ConfigurationError(
            f"embeddings are of {embeddings.embedder.space!r}, and those of the store of "
            f"{held.embedder.space!r}. Leave embeddings out."
        )
    return embeddings or held


def _name_kind(path: Path, where: str) -> dict[str, Any]:
    (part,) = to_item(path, where).parts
    return {"video" if isinstance(part, Video) else "image": path}


def _refer_to(part: ItemPart, where: str) -> dict[str, Any]:
    """Return the metadata that says where an image or video is."""
    kind = "video" if isinstance(part, Video) else "image"
    pages: Any = getattr(part, "pages", None)
    page = {} if pages is None else {"page": int(pages if isinstance(pages, str) else pages[0])}
    source = None if isinstance(part, Text) else part.source
    match source:
        case LocalFile(path=path):
            return {f"{kind}_path": str(path.absolute()), **page}
        case Url(url=url) if find_scheme(url) != "data":
            return {f"{kind}_url": url, **page}
        case Url() | Inline():
            problem = f"The {kind} is Base64, which is not stored."
        case _:
            problem = f"A {type(source).__name__} leaves nothing that could be stored."
    raise UnsupportedContentError(
        problem, where=where, remedy="Save it to a file, and pass its Path; or pass a URL."
    )


class _Search:
    """A search for one document of a store, to see what it was embedded with."""

    def __init__(self, plan: _Plan, vector: Vector) -> None:
        self.found: Sequence[Document] = ()
        self._plan, self._vector = plan, vector

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        match error:
            case None:
                check_documents_space(self.found, self._plan.embeddings)
            case ValueError() | AssertionError():
                raise ConfigurationError(
                    f"The store cannot be searched with a vector of {len(self._vector)} numbers, "
                    "as where it holds others. Use the model and dimensions that it was filled "
                    f"with. To store without this check, pass check_space=False. ({error})"
                ) from error
        # Some stores cannot search before something was stored, or by a vector at all.
        return isinstance(error, Exception)


def _with_ids(kwargs: Mapping[str, Any], ids: Sequence[str] | None) -> dict[str, Any]:
    return dict(kwargs) if ids is None else {**kwargs, "ids": list(ids)}


def _check_taken(loan: Loan, stored: Sequence[str]) -> None:
    if loan.n_left:
        raise ConfigurationError(
            f"The store did not ask for the vectors of {loan.n_left} of {len(loan.texts)} items, "
            "so that it has others of them, or none: it embeds with something else. Delete what "
            f"was stored: store.delete({list(stored)})."
        )
