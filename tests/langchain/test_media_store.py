"""Media in vector stores: what is stored, how it is found, and that nothing lands on an error."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.vectorstores import InMemoryVectorStore, VectorStore
from langchain_qdrant import QdrantVectorStore
from PIL import Image
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams

from langchain_qwen_vl import QwenVLEmbeddings, QwenVLServiceError, aadd_media, add_media
from qwen_vl.errors import AnswerFormatError, ConfigurationError, ContentError
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox

Make = Callable[..., QwenVLEmbeddings]
URL = "https://example.com/1.png"
SPACE = "qwen3-vl-embedding/256"


def make_memory(embeddings: Embeddings) -> InMemoryVectorStore:
    return InMemoryVectorStore(embeddings)


def make_qdrant(embeddings: Embeddings) -> QdrantVectorStore:
    client = QdrantClient(":memory:")
    client.create_collection("media", VectorParams(size=256, distance=Distance.COSINE))
    return QdrantVectorStore(client, "media", embeddings)


def make_chroma(embeddings: Embeddings) -> VectorStore:
    chroma = pytest.importorskip("langchain_chroma")
    return chroma.Chroma("media", embeddings)  # type: ignore[no-any-return]


@pytest.fixture(params=[make_memory, make_qdrant, make_chroma])
def make_store(request: pytest.FixtureRequest) -> Iterator[Callable[[Embeddings], VectorStore]]:
    made: list[VectorStore] = []

    def make(embeddings: Embeddings) -> VectorStore:
        made.append(request.param(embeddings))
        return made[-1]

    yield make
    for store in made:
        if hasattr(store, "delete_collection"):
            store.delete_collection()
        if isinstance(store, QdrantVectorStore):
            store.client.close()


def test_media_of_each_kind(
    make_store: Callable[[Embeddings], VectorStore],
    make_embeddings: Make,
    qwen_vl_sandbox: Sandbox,
    squares: dict[str, Path],
    pdf: Path,
) -> None:
    store = make_store(make_embeddings(video_mode="upload", media_roots=[pdf.parent]))
    video = pdf.parent / "walk.mp4"
    video.write_bytes(BIG_BUCK_BUNNY.read_bytes())
    items = [
        squares["red"],
        {"image": str(pdf), "page": 2, "text": "Revenue", "metadata": {"year": 2024}},
        {"video": video, "text": "A walk"},
        {"image": URL},
        Document("Our logo", metadata={"image_path": str(squares["blue"]), "source": "logo"}),
        "A text about cows",
    ]

    ids = add_media(store, items)

    assert len(set(ids)) == 6
    documents = store.get_by_ids(ids)
    stored = {
        document.page_content: {k: v for k, v in document.metadata.items() if k[0] != "_"}
        for document in documents
        if "image_url" not in document.metadata and document.page_content
    }
    mark = {"embedding_space": SPACE}
    assert stored == {
        "Revenue": {"image_path": str(pdf), "page": 2, "year": 2024, **mark},
        "A walk": {"video_path": str(video), **mark},
        "Our logo": {"image_path": str(squares["blue"]), "source": "logo", **mark},
        "A text about cows": mark,
    }
    assert not any("base64" in str(document) for document in documents)
    assert all(type(document.page_content) is str for document in documents)
    # Text and media of an item are fused: each such item has a request to itself.
    fused = [
        request.json["input"]["contents"]
        for request in qwen_vl_sandbox.requests
        if request.path.endswith("embedding") and "enable_fusion" in request.json["parameters"]
    ]
    assert [[*content] for contents in fused for content in contents[:1]] == [["text"]] * 3
    (found,) = store.similarity_search("cows", k=1)
    assert found.page_content == "A text about cows"


async def test_images_are_found_by_texts_and_by_images(
    make_store: Callable[[Embeddings], VectorStore],
    make_embeddings: Make,
    squares: dict[str, Path],
) -> None:
    embeddings = make_embeddings()
    store = make_store(embeddings)
    await aadd_media(store, squares.values(), ids=[f"{n:032x}" for n in range(3)])

    for color, path in squares.items():
        vector = embeddings.embed_query_media(path)
        for found in (
            *store.similarity_search(f"a {color} square", k=1),
            *store.similarity_search_by_vector(vector, k=1),
        ):
            assert found.metadata["image_path"] == str(path)


def test_chroma_calls_embed_image(make_embeddings: Make, squares: dict[str, Path]) -> None:
    store: Any = make_chroma(make_embeddings(media_roots=[squares["red"].parent]))
    try:
        store.add_images(
            [str(path) for path in squares.values()],
            metadatas=[{"color": color} for color in squares],
        )
        (found,) = store.similarity_search_by_image(str(squares["green"]), k=1)
        assert found.metadata["color"] == "green"
    finally:
        store.delete_collection()


def test_models_that_do_not_fuse_embed_the_media(
    make_embeddings: Make, qwen_vl_sandbox: Sandbox
) -> None:
    store = InMemoryVectorStore(make_embeddings(model="multimodal-embedding-v1", dimensions=1024))
    items = [{"image": URL, "text": "A cat"}, "A text"]

    add_media(store, items)
    sent = qwen_vl_sandbox.requests[0].json["input"]["contents"]
    assert sent == [{"image": URL}, {"text": "A text"}]
    with pytest.raises(ConfigurationError, match="makes no vectors of text and media together"):
        add_media(store, items, fuse=True)

    add_media(InMemoryVectorStore(make_embeddings()), items, fuse=False)
    sent = qwen_vl_sandbox.last_request.json
    assert sent["input"]["contents"] == [{"image": URL}, {"text": "A text"}]


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"image": "/etc/passwd"}, r"items\[1\]: .*media_roots"),
        (Document("", metadata={"image_path": "/etc/passwd"}), r"items\[1\]: .*media_roots"),
        (Path("gone.png"), r"items\[1\]: .*gone.png"),
        (BIG_BUCK_BUNNY, r"items\[1\]: A video is taken by URL"),
        (b"\x89PNG\r\n\x1a\n", r"items\[1\]: A bytes cannot be stored"),
        ({"image": Image.new("RGB", (64, 64))}, r"items\[1\]: A Pixels leaves nothing"),
        ({"image": "data:image/png;base64,iVBORw0KGgo="}, r"items\[1\]: The image is Base64"),
        (
            Document("", metadata={"image_url": "data:image/png;base64,iVBORw0KGgo="}),
            r"items\[1\]: The image is Base64",
        ),
        ({"multi_images": [URL, URL]}, r"items\[1\]: A document refers to one image"),
        ({"image": URL, "caption": "A cat"}, r"items\[1\]"),
        ({"image": "report.pdf", "page": 0}, r"items\[1\]: page is 0"),
        (Document(" "), r"items\[1\]: It holds nothing"),
        ("", r"items\[1\]: The text is empty"),
        (None, r"items\[1\]: A NoneType cannot be stored"),
    ],
)
def test_nothing_is_stored_when_an_item_fails(
    make_embeddings: Make, item: Any, problem: str
) -> None:
    store = InMemoryVectorStore(make_embeddings(batch_size=1))

    with pytest.raises(ContentError, match=problem):
        add_media(store, ["A text", item])
    assert store.store == {}


async def test_nothing_is_stored_when_the_service_fails(
    make_embeddings: Make, qwen_vl_sandbox: Sandbox
) -> None:
    store = InMemoryVectorStore(make_embeddings(max_retries=0, batch_size=1, max_concurrency=1))
    short = {"output": {"embeddings": [{"index": 0, "embedding": [1.0], "type": "vl"}]}}
    body = orjson.dumps(short).replace(b"1.0", b"NaN")
    for fail, kind in (
        (lambda: qwen_vl_sandbox.script_raw(orjson.dumps(short)), AnswerFormatError),
        (lambda: qwen_vl_sandbox.script_raw(body), AnswerFormatError),
        (lambda: qwen_vl_sandbox.fail(status=429, code="Throttling"), QwenVLServiceError),
        (lambda: qwen_vl_sandbox.fail(status=400, code="DataInspectionFailed"), QwenVLServiceError),
    ):
        fail()
        with pytest.raises(kind):
            add_media(store, ["A text", URL])
        fail()
        with pytest.raises(kind):
            await aadd_media(store, ["A text", URL])
    assert store.store == {}


def test_vectors_of_other_models_are_not_mixed(
    make_store: Callable[[Embeddings], VectorStore], make_embeddings: Make
) -> None:
    store = make_store(make_embeddings())
    add_media(store, [{"image": URL}])
    for fields, problem in (
        ({"normalize": True}, "'qwen3-vl-embedding/256', and these are of .*/normalized'"),
        ({"document_instruction": "Find."}, "these are of '.*instruction-"),
    ):
        _swap(store, make_embeddings(**fields))
        with pytest.raises(ConfigurationError, match=problem):
            add_media(store, ["A text"])
    _swap(store, make_embeddings(dimensions=512))
    # Stores that check the length of vectors say so themselves.
    with pytest.raises(Exception, match="512") as caught:
        add_media(store, ["A text"])
    assert isinstance(caught.value, ConfigurationError) is isinstance(store, InMemoryVectorStore)
    _swap(store, make_embeddings())
    assert len(store.similarity_search("a", k=9)) == 1


def _swap(store: Any, embeddings: Embeddings) -> None:
    name = next(
        name
        for name in ("_embedding_function", "embedding", "_embeddings")
        if (name in vars(store))
    )
    setattr(store, name, embeddings)


def test_stores_that_embed_otherwise_are_refused(make_embeddings: Make) -> None:
    fake = DeterministicFakeEmbedding(size=256)
    with pytest.raises(ConfigurationError, match="embeds queries with DeterministicFakeEmbedding"):
        add_media(InMemoryVectorStore(fake), ["A text"])
    store = InMemoryVectorStore(make_embeddings())
    with pytest.raises(ConfigurationError, match="Leave embeddings out"):
        add_media(store, ["A text"], embeddings=make_embeddings(dimensions=512))


class OddStore(InMemoryVectorStore):
    """A store that does not say what it embeds with, and asks for vectors in its own way."""

    def __init__(self, embedding: Embeddings, ask: Callable[..., list[list[float]]]) -> None:
        super().__init__(embedding)
        self._ask = ask

    @property
    def embeddings(self) -> Any:
        return None

    def add_documents(
        self, documents: list[Document], ids: list[str] | None = None, **kwargs: Any
    ) -> list[str]:
        vectors = self._ask(self.embedding, [document.page_content for document in documents])
        for number, (document, vector) in enumerate(zip(documents, vectors, strict=True)):
            text, metadata = document.page_content, document.metadata
            entry = {"id": str(number), "vector": vector, "text": text, "metadata": metadata}
            self.store[str(number)] = entry
        return [str(number) for number in range(len(documents))]

    def similarity_search_by_vector(self, *args: Any, **kwargs: Any) -> list[Document]:
        raise NotImplementedError


def _in_threads(embeddings: Embeddings, texts: Sequence[str]) -> list[list[float]]:
    with ThreadPoolExecutor(3) as threads:
        return list(threads.map(lambda text: embeddings.embed_documents([text])[0], texts))


def _reversed(embeddings: Embeddings, texts: Sequence[str]) -> list[list[float]]:
    return embeddings.embed_documents(list(texts)[::-1])[::-1]


def _copied(embeddings: Embeddings, texts: Sequence[str]) -> list[list[float]]:
    return embeddings.embed_documents([str(text).replace("", "") for text in texts])


def _changed(embeddings: Embeddings, texts: Sequence[str]) -> list[list[float]]:
    return embeddings.embed_documents([f"passage: {text}" for text in texts])


@pytest.mark.parametrize("ask", [_in_threads, _reversed])
def test_stores_may_ask_in_any_order_and_thread(
    make_embeddings: Make, squares: dict[str, Path], ask: Any
) -> None:
    embeddings = make_embeddings()
    store = OddStore(embeddings, ask)
    with pytest.raises(ConfigurationError, match="OddStore does not say what it embeds with"):
        add_media(store, squares.values())

    # All have the same text, so that only the object itself says which vector is meant.
    add_media(store, squares.values(), embeddings=embeddings)
    stored = [entry["vector"] for entry in store.store.values()]
    assert stored == embeddings.embed_image(list(squares.values()))


def test_stores_that_copy_texts_get_nothing(make_embeddings: Make, squares: Any) -> None:
    embeddings = make_embeddings()
    items = [{"image": path, "text": color} for color, path in squares.items()]
    store = OddStore(embeddings, _copied)

    with pytest.raises(ConfigurationError, match="copies texts before it has them embedded"):
        add_media(store, items, embeddings=embeddings)
    assert store.store == {}
    store = OddStore(embeddings, _changed)
    with pytest.raises(ConfigurationError, match=r"did not ask .* of 3 of 3 .*delete\(\['0'"):
        add_media(store, items, embeddings=embeddings)


def test_threads_add_at_the_same_time(make_embeddings: Make, squares: dict[str, Path]) -> None:
    embeddings = make_embeddings()
    store = InMemoryVectorStore(embeddings)
    expected = dict(zip(squares, embeddings.embed_image(list(squares.values())), strict=True))
    start = threading.Barrier(3)

    def add(color: str) -> None:
        start.wait()
        for number in range(5):
            item = {"image": squares[color], "text": "same"}
            add_media(store, [item, "same"], fuse=False, ids=[f"{color}{number}", f"{color}t"])

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(add, squares))
    text = embeddings.embed_documents(["same"])[0]
    for name, entry in store.store.items():
        color = name[:-1]
        assert entry["vector"] == (text if name.endswith("t") else expected[color])


def test_texts_are_plain_again_once_stored(make_embeddings: Make) -> None:
    embeddings = make_embeddings()
    store = InMemoryVectorStore(embeddings)
    (added,) = add_media(store, [{"image": URL, "text": "a red car"}])

    held = store.store[added]["text"]
    assert embeddings.embed_documents([held]) == embeddings.embed_documents(["a red car"])


def test_nothing_to_add(make_embeddings: Make, qwen_vl_sandbox: Sandbox) -> None:
    assert add_media(InMemoryVectorStore(make_embeddings()), []) == []
    assert qwen_vl_sandbox.n_requests == 0
    for one in ("a text", Path("a.png"), {"image": URL}, Document("a")):
        with pytest.raises(ContentError, match="not a list"):
            add_media(InMemoryVectorStore(make_embeddings()), one)  # type: ignore[arg-type]  # wrong
