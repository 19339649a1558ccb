"""LangChain's own ways to fill a store, with media; folders; and keywords in Qdrant."""

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from PIL import Image
from qdrant_client import QdrantClient
from qdrant_client.models import (
    Distance,
    Modifier,
    SparseVectorParams,
    VectorParams,
)

from langchain_qwen_vl import (
    MediaVectorStore,
    QwenVLEmbeddings,
    QwenVLMediaLoader,
    QwenVLServiceError,
    aadd_media,
    add_media,
)
from langchain_qwen_vl.sparse import KeywordSparseEmbeddings
from qwen_vl.errors import ConfigurationError, MediaFormatError, MediaNotFoundError
from qwen_vl_sandbox import Sandbox

Make = Callable[..., QwenVLEmbeddings]


@pytest.fixture
def records() -> InMemoryRecordManager:
    records = InMemoryRecordManager("album")
    records.create_schema()
    return records


def failing(loader: QwenVLMediaLoader, sandbox: Sandbox, number: int) -> Iterator[Document]:
    """Load documents, and have the service fail from one of them on."""
    for at, document in enumerate(loader.lazy_load()):
        if at == number:
            sandbox.fail(status=500)
        yield document


def index_folder(folder: Path, records: InMemoryRecordManager, store: MediaVectorStore) -> Any:
    return index(
        QwenVLMediaLoader(folder),
        records,
        store,
        batch_size=2,
        cleanup="full",
        key_encoder="sha256",
    )


def test_index_embeds_what_changed(
    make_embeddings: Make,
    qwen_vl_sandbox: Sandbox,
    records: InMemoryRecordManager,
    squares: dict[str, Path],
    pdf: Path,
) -> None:
    folder = pdf.parent
    store = MediaVectorStore(InMemoryVectorStore(make_embeddings(media_roots=[folder])))

    assert index_folder(folder, records, store)["num_added"] == 6
    n_requests = qwen_vl_sandbox.n_requests
    result = index_folder(folder, records, store)
    assert (result["num_skipped"], qwen_vl_sandbox.n_requests) == (6, n_requests)

    Image.new("RGB", (64, 64), "yellow").save(squares["red"])
    squares["green"].unlink()
    result = index_folder(folder, records, store)
    assert (result["num_added"], result["num_deleted"], result["num_skipped"]) == (1, 2, 4)
    assert qwen_vl_sandbox.n_requests == n_requests + 1
    (found,) = store.similarity_search("a yellow square", k=1)
    assert found.metadata["image_path"] == str(squares["red"])


def test_index_goes_on_after_a_failure(
    make_embeddings: Make,
    qwen_vl_sandbox: Sandbox,
    records: InMemoryRecordManager,
    squares: dict[str, Path],
) -> None:
    folder = squares["red"].parent
    inner = InMemoryVectorStore(make_embeddings(media_roots=[folder], max_retries=0))
    store = MediaVectorStore(inner)
    loader = QwenVLMediaLoader(folder)
    options: Any = {"batch_size": 1, "key_encoder": "sha256"}

    with pytest.raises(QwenVLServiceError):
        index(failing(loader, qwen_vl_sandbox, 2), records, store, **options)
    assert len(inner.store) == 2
    result = index(loader, records, store, **options)
    assert (result["num_added"], result["num_skipped"], len(inner.store)) == (1, 2, 3)


async def test_searches_are_those_of_the_store(
    make_embeddings: Make, squares: dict[str, Path]
) -> None:
    inner = InMemoryVectorStore(make_embeddings(media_roots=[squares["red"].parent]))
    store = MediaVectorStore(inner)
    metadatas = [{"image_path": str(path)} for path in squares.values()]
    ids = store.add_texts(list(squares), metadatas)
    await store.aadd_texts(["a text"], ids=["text"])

    red = store.similarity_search("a red square", k=1)
    assert red[0].page_content == "red"
    assert store.similarity_search_by_media(squares["red"], k=1) == red
    assert await store.asimilarity_search_by_media(squares["red"], k=1) == red
    assert await store.asimilarity_search("a red square", k=1) == red
    assert store.as_retriever(search_kwargs={"k": 1}).invoke("a red square") == red
    assert store.similarity_search_with_score("a red square", k=1)[0][0] == red[0]
    assert len(store.max_marginal_relevance_search("red", k=2)) == 2
    assert [one.id for one in store.get_by_ids(["text"])] == ["text"]
    store.delete(ids)
    assert list(inner.store) == ["text"]
    inner.embedding = make_embeddings(normalize=True)
    moved = MediaVectorStore(inner)
    with pytest.raises(ConfigurationError, match="The store holds vectors of"):
        moved.similarity_search("a text")
    with pytest.raises(ConfigurationError, match="The store holds vectors of"):
        await moved.asimilarity_search_by_media("a text")


def test_media_is_embedded_once(make_embeddings: Make, qwen_vl_sandbox: Sandbox) -> None:
    inner = InMemoryVectorStore(make_embeddings())
    add_media(MediaVectorStore(inner), [{"image": "https://example.com/1.png"}])
    assert (qwen_vl_sandbox.n_requests, len(inner.store)) == (1, 1)


def test_wrong_stores_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="embeds queries with Deterministic"):
        MediaVectorStore(InMemoryVectorStore(DeterministicFakeEmbedding(size=8)))
    with pytest.raises(NotImplementedError, match="Create a store"):
        MediaVectorStore.from_texts(["a"])


def test_folder_of_media(squares: dict[str, Path], pdf: Path) -> None:
    folder = pdf.parent
    (folder / "notes.txt").write_text("left out")
    (folder / "deep").mkdir()
    (folder / "deep/walk.mp4").write_bytes(b"a video")
    Image.new("RGB", (8, 8)).save(
        folder / "scan.tif", save_all=True, append_images=[Image.new("RGB", (8, 8))]
    )

    documents = QwenVLMediaLoader(folder).load()
    found = [
        {name: held for name, held in document.metadata.items() if name not in {"digest", "source"}}
        for document in documents
    ]
    assert found == [
        {"image_path": str(squares["blue"])},
        {"video_path": str(folder / "deep/walk.mp4")},
        {"image_path": str(squares["green"])},
        {"image_path": str(squares["red"])},
        *[{"image_path": str(pdf), "page": n, "total_pages": 3} for n in (1, 2, 3)],
        *[{"image_path": str(folder / "scan.tif"), "page": n, "total_pages": 2} for n in (1, 2)],
    ]
    assert len({document.metadata["digest"] for document in documents}) == 6
    assert QwenVLMediaLoader([pdf, str(squares["red"])]).load()[-1] == documents[3]
    with pytest.raises(MediaFormatError, match="neither an image, a PDF nor a video"):
        QwenVLMediaLoader(folder / "notes.txt").load()
    with pytest.raises(MediaNotFoundError):
        QwenVLMediaLoader(folder / "gone").load()


def test_qdrant_searches_by_keywords_itself(
    make_embeddings: Make, squares: dict[str, Path]
) -> None:
    client = QdrantClient(":memory:")
    client.create_collection(
        "album",
        {"dense": VectorParams(size=256, distance=Distance.COSINE)},
        sparse_vectors_config={"words": SparseVectorParams(modifier=Modifier.IDF)},
    )
    store = QdrantVectorStore(
        client,
        "album",
        make_embeddings(),
        retrieval_mode=RetrievalMode.HYBRID,
        vector_name="dense",
        sparse_embedding=KeywordSparseEmbeddings(),
        sparse_vector_name="words",
    )
    items = [
        {"image": squares[color], "text": text}
        for color, text in (
            ("red", "Invoice 4711"),
            ("green", "Invoice 4712"),
            ("blue", "发票 净利润"),
        )
    ]
    add_media(store, items)

    texts = {"4712": "Invoice 4712", "利润": "发票 净利润", "red": "Invoice 4711"}
    for query, expected in texts.items():
        (found,) = store.similarity_search(query, k=1)
        assert found.page_content == expected
    client.close()


@pytest.mark.slow
def test_thousand_images(
    make_embeddings: Make, qwen_vl_sandbox: Sandbox, records: InMemoryRecordManager, tmp_path: Path
) -> None:
    chance = random.Random(7)  # noqa: S311 - the same each time
    for number in range(1_000):
        color = (number % 256, number // 256, 90)
        Image.new("RGB", (64, 48), color).save(tmp_path / f"{number:04}.png")
    embeddings = make_embeddings(
        media_roots=[tmp_path], max_retries=0, cache_folder=tmp_path / ".vectors"
    )
    inner = InMemoryVectorStore(embeddings)
    store, loader = MediaVectorStore(inner), QwenVLMediaLoader(tmp_path)
    options: Any = {"batch_size": 100, "key_encoder": "sha256"}

    number = chance.randrange(100, 900)
    with pytest.raises(QwenVLServiceError):
        index(failing(loader, qwen_vl_sandbox, number), records, store, **options)
    n_stored = len(inner.store)
    result = index(loader, records, store, **options)

    assert (result["num_added"], len(inner.store)) == (1_000 - n_stored, 1_000)
    assert n_stored == number // 100 * 100
    # 200 requests and the one that failed: what was answered is in the cache, though the store
    # got nothing of that batch.
    sizes = [len(one.json["input"]["contents"]) for one in qwen_vl_sandbox.requests]
    assert (max(sizes), len(sizes), sum(sizes)) == (5, 201, 1_005)
    n_requests = qwen_vl_sandbox.n_requests
    assert index(loader, records, store, **options)["num_skipped"] == 1_000
    assert qwen_vl_sandbox.n_requests == n_requests


async def test_all_methods_of_the_store_are_there(
    make_embeddings: Make, squares: dict[str, Path]
) -> None:
    inner = InMemoryVectorStore(make_embeddings())
    store = MediaVectorStore(inner)
    assert await aadd_media(store, []) == []
    assert add_media(store, []) == []
    ids = await store.aadd_documents([Document("red"), Document("green")])
    vector = store.embeddings.embed_query("red")

    red = inner.similarity_search("red", k=1)
    assert store.similarity_search_by_vector(vector, k=1) == red
    assert await store.asimilarity_search_by_vector(vector, k=1) == red
    assert await store.asimilarity_search_with_score("red", k=1) == (
        inner.similarity_search_with_score("red", k=1)
    )
    both = inner.max_marginal_relevance_search("red", k=2)
    assert store.max_marginal_relevance_search_by_vector(vector, k=2) == both
    assert await store.amax_marginal_relevance_search("red", k=2) == both
    assert await store.aget_by_ids(ids) == inner.get_by_ids(ids)
    await store.adelete(ids[:1])
    assert list(inner.store) == ids[1:]


async def test_searches_find_four_documents_by_default(make_embeddings: Make) -> None:
    store = MediaVectorStore(InMemoryVectorStore(make_embeddings()))
    store.add_documents([Document(f"text {number}") for number in range(6)])
    assert len(store.similarity_search("text")) == 4
    assert len(await store.asimilarity_search("text")) == 4
    assert len(store.similarity_search_by_media("text")) == 4
    assert len(await store.asimilarity_search_by_media("text")) == 4
