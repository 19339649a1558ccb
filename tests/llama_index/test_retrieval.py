"""Images, pages and texts in one store: LlamaIndex's own indexes, pipeline, stores and engines."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from llama_index.core import Document, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.indices import MultiModalVectorStoreIndex
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    MetadataMode,
    NodeWithScore,
    QueryBundle,
    TextNode,
)
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.vector_stores.qdrant import QdrantVectorStore
from PIL import Image as PillowImage
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams

from llama_index.embeddings.qwen_vl import QwenVLEmbedding, QwenVLVectorStoreIndex
from llama_index.llms.qwen_vl import QwenMediaPostprocessor, QwenVL, QwenVLMediaReader
from llama_index.postprocessor.qwen_vl import QwenVLRerank
from qwen_vl.errors import (
    ConfigurationError,
    MediaAccessError,
    MediaFormatError,
    MediaNotFoundError,
    ServerError,
)
from qwen_vl_sandbox import Sandbox

# Qdrant's client leaves a database in memory unclosed, which Python reports from 3.13 on.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")

COLORS = ("red", "green", "blue")
PATH = "/api/v1/services/embeddings/multimodal-embedding/multimodal-embedding"


NAMES: dict[str, str] = {}


def to_id(name: str) -> str:
    """Make an id that Qdrant takes."""
    made = str(uuid5(NAMESPACE_URL, name))
    NAMES[made] = name
    return made


@pytest.fixture(autouse=True)
def _loop_of_core() -> Iterator[None]:
    """A current event loop: sync engines take it, or leave their own unclosed."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    # As `asyncio.run` ends one; connections are closed then.
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pages = []
    for color in COLORS:
        image = PillowImage.new("RGB", (64, 64), color)
        image.save(tmp_path / f"{color}.png")
        pages.append(image)
    pages[0].save(tmp_path / "pages.pdf", save_all=True, append_images=pages[1:])
    return tmp_path


@pytest.fixture
def settings(qwen_vl_sandbox: Sandbox, folder: Path) -> dict[str, Any]:
    return {
        "api_base": qwen_vl_sandbox.base_url,
        "api_key": "sk-sandbox",
        "media_roots": [folder],
        "max_retries": 0,
    }


@pytest.fixture
def embed_model(settings: dict[str, Any]) -> QwenVLEmbedding:
    return QwenVLEmbedding(**settings, dimensions=256)


@pytest.fixture
def nodes(folder: Path) -> list[BaseNode]:
    """Two images, one by metadata and one without any text, a page, and texts."""
    return [
        TextNode(id_=to_id("red"), metadata={"image_path": str(folder / "red.png")}),
        ImageNode(id_=to_id("green"), image_path=str(folder / "green.png")),
        TextNode(id_=to_id("blue"), metadata={"image_path": str(folder / "pages.pdf"), "page": 3}),
        TextNode(id_=to_id("engine"), text="A steam engine."),
        TextNode(
            id_=to_id("both"), text="A cat.", metadata={"image_path": str(folder / "red.png")}
        ),
    ]


QUESTIONS = {
    "a red square": {"red", "both"},
    "a green square": {"green"},
    "a blue square": {"blue"},
    "a steam engine": {"engine"},
}


def ids(found: list[NodeWithScore]) -> list[str]:
    return [NAMES.get(each.node.node_id, each.node.node_id) for each in found]


def check(index: VectorStoreIndex) -> None:
    retriever = index.as_retriever(similarity_top_k=5)
    for question, best in QUESTIONS.items():
        found = retriever.retrieve(question)
        assert len(found) == 5
        assert set(ids(found)[: len(best)]) == best
        scores = [each.score or 0 for each in found]
        assert scores == sorted(scores, reverse=True)


def embedded(sandbox: Sandbox) -> list[str]:
    """What was embedded as documents, by its kinds."""
    return [
        "+".join(key for content in request.json["input"]["contents"] for key in content)
        for request in sandbox.requests
        if request.path == PATH and "instruct" not in request.json["parameters"]
    ]


def build(nodes: list[BaseNode], model: QwenVLEmbedding) -> VectorStoreIndex:
    return QwenVLVectorStoreIndex(nodes, embed_model=model)


def insert(nodes: list[BaseNode], model: QwenVLEmbedding) -> VectorStoreIndex:
    index = QwenVLVectorStoreIndex([], embed_model=model)
    index.insert_nodes(nodes[:2])
    asyncio.run(index.ainsert_nodes(nodes[2:]))
    return index


def call(nodes: list[BaseNode], model: QwenVLEmbedding) -> VectorStoreIndex:
    index = VectorStoreIndex([], embed_model=model)
    index.insert_nodes(list(model(nodes)))
    return index


@pytest.mark.parametrize("make", [build, insert, call])
def test_one_store_one_ranking(
    make: Callable[..., VectorStoreIndex],
    nodes: list[BaseNode],
    embed_model: QwenVLEmbedding,
    qwen_vl_sandbox: Sandbox,
) -> None:
    index = make(nodes, embed_model)

    check(index)
    assert "+".join(sorted(embedded(qwen_vl_sandbox))).count("image") == 4


def test_nodes_of_the_program_stay_as_they_are(
    nodes: list[BaseNode], embed_model: QwenVLEmbedding
) -> None:
    before = [node.model_dump() for node in nodes]
    build(nodes, embed_model)
    assert [node.model_dump() for node in nodes] == before


def test_nodes_with_vectors_are_not_embedded_again(
    nodes: list[BaseNode], embed_model: QwenVLEmbedding, qwen_vl_sandbox: Sandbox
) -> None:
    embed_model(nodes)
    n_requests = qwen_vl_sandbox.n_requests

    check(build(nodes, embed_model))
    assert qwen_vl_sandbox.n_requests == n_requests + len(QUESTIONS)


def test_persisted_and_loaded_by_llama_index(
    nodes: list[BaseNode], embed_model: QwenVLEmbedding, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    build(nodes, embed_model).storage_context.persist(str(tmp_path / "store"))
    n_requests = qwen_vl_sandbox.n_requests

    storage = StorageContext.from_defaults(persist_dir=str(tmp_path / "store"))
    loaded = load_index_from_storage(storage, embed_model=embed_model)
    assert isinstance(loaded, VectorStoreIndex)
    check(loaded)
    assert qwen_vl_sandbox.n_requests == n_requests + len(QUESTIONS)


def test_qdrant_in_a_folder(
    nodes: list[BaseNode], embed_model: QwenVLEmbedding, tmp_path: Path
) -> None:
    with closing(QdrantClient(path=str(tmp_path / "qdrant"))) as client:
        client.create_collection("pages", VectorParams(size=256, distance=Distance.COSINE))
        store = QdrantVectorStore("pages", client=client)
        storage = StorageContext.from_defaults(vector_store=store)
        QwenVLVectorStoreIndex(nodes, storage_context=storage, embed_model=embed_model)
    with closing(QdrantClient(path=str(tmp_path / "qdrant"))) as client:
        opened = QdrantVectorStore("pages", client=client)
        check(QwenVLVectorStoreIndex.from_vector_store(opened, embed_model=embed_model))


def test_plain_index_hands_over_only_text(
    nodes: list[BaseNode],
    embed_model: QwenVLEmbedding,
    qwen_vl_sandbox: Sandbox,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Why there is an index of our own: LlamaIndex's loses images, and nodes without text."""
    index = VectorStoreIndex(nodes, embed_model=embed_model)

    assert "Some nodes are missing content, skipping them" in capsys.readouterr().out
    assert len(index.index_struct.nodes_dict) == 4
    assert embedded(qwen_vl_sandbox) == ["text+text+text+text"]


def test_plain_index_from_documents(
    folder: Path, embed_model: QwenVLEmbedding, qwen_vl_sandbox: Sandbox
) -> None:
    documents = [
        Document(
            doc_id=color, text="A page.", metadata={"image_path": str(folder / f"{color}.png")}
        )
        for color in COLORS
    ]
    transformations = [SentenceSplitter(), embed_model]
    index = VectorStoreIndex.from_documents(
        documents[:2], transformations=transformations, embed_model=embed_model
    )
    index.insert(documents[2])

    assert embedded(qwen_vl_sandbox) == ["text+image"] * 3
    for color in COLORS:
        (found,) = index.as_retriever(similarity_top_k=1).retrieve(f"a {color} square")
        assert found.node.ref_doc_id == color


def test_vectors_of_another_space_are_not_compared(
    nodes: list[BaseNode], embed_model: QwenVLEmbedding, settings: dict[str, Any], tmp_path: Path
) -> None:
    index = build(nodes, embed_model)
    found = index.as_retriever(similarity_top_k=1).retrieve("a red square")
    assert found[0].node.metadata["embedding_space"] == "qwen3-vl-embedding/256"
    assert "embedding_space" not in found[0].get_content(MetadataMode.LLM)
    assert "embedding_space" not in found[0].get_content(MetadataMode.EMBED)

    other = QwenVLEmbedding(**settings, dimensions=256, document_instruction="Represent the page.")
    opened = QwenVLVectorStoreIndex(
        index_struct=index.index_struct, storage_context=index.storage_context, embed_model=other
    )
    problem = "embedded in the space 'qwen3-vl-embedding/256', and the question in 'qwen3"
    with pytest.raises(ConfigurationError, match=problem):
        opened.as_retriever().retrieve("a red square")
    with pytest.raises(ConfigurationError, match=problem):
        asyncio.run(opened.as_retriever().aretrieve("a red square"))
    # Questions may have another instruction.
    embed_model.query_instruction = None
    check(index)


def test_another_embedding_model_raises(nodes: list[BaseNode]) -> None:
    with pytest.raises(ConfigurationError, match="embed_model is a MockEmbedding, which embeds"):
        QwenVLVectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=2))


@pytest.mark.parametrize("use_async", [False, True])
def test_failure_stores_nothing(
    nodes: list[BaseNode], embed_model: QwenVLEmbedding, qwen_vl_sandbox: Sandbox, use_async: bool
) -> None:
    store = SimpleVectorStore()
    storage = StorageContext.from_defaults(vector_store=store)

    def build_index(added: list[BaseNode]) -> None:
        QwenVLVectorStoreIndex(
            added, storage_context=storage, embed_model=embed_model, use_async=use_async
        )

    with pytest.raises(MediaAccessError, match="node 'bad'"):
        build_index([*nodes, ImageNode(id_="bad", image_path="/etc/passwd")])
    with pytest.raises(MediaFormatError, match="node 'bad'"):
        build_index([*nodes, ImageNode(id_="bad", image="bm90IGFuIGltYWdl")])
    qwen_vl_sandbox.fail(status=500, times=9)
    with pytest.raises(ServerError):
        build_index(nodes)
    assert (store.data.embedding_dict, storage.docstore.docs) == ({}, {})


def test_run_that_was_stopped_goes_on(
    nodes: list[BaseNode], settings: dict[str, Any], tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    settings = {**settings, "embed_batch_size": 2, "cache_folder": tmp_path / "vectors"}
    embed_model = QwenVLEmbedding(**settings, dimensions=256)
    with pytest.raises(MediaAccessError):
        build([*nodes[:2], ImageNode(image_path="/etc/passwd"), *nodes[2:]], embed_model)
    n_before = len(embedded(qwen_vl_sandbox))
    check(build(nodes, QwenVLEmbedding.from_json(embed_model.to_json(), api_key="k")))

    sent = "+".join(embedded(qwen_vl_sandbox))
    assert 0 < n_before < len(embedded(qwen_vl_sandbox))
    # A text, three images, and one with its text.
    assert (sent.count("text"), sent.count("image")) == (2, 4)


# The pipeline.


@pytest.fixture
def documents(folder: Path) -> list[Document]:
    return [
        Document(
            doc_id=color,
            text=f"Page of {color}.",
            metadata={"image_path": str(folder / f"{color}.png")},
        )
        for color in COLORS
    ]


def test_pipeline_embeds_what_is_new(
    documents: list[Document], embed_model: QwenVLEmbedding, qwen_vl_sandbox: Sandbox
) -> None:
    store = SimpleVectorStore(stores_text=False)
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), embed_model],
        docstore=SimpleDocumentStore(),
        vector_store=store,
        docstore_strategy=DocstoreStrategy.UPSERTS,
        disable_cache=True,
    )
    assert len(pipeline.run(documents=documents)) == 3
    assert embedded(qwen_vl_sandbox) == ["text+image"] * 3
    assert pipeline.run(documents=documents) == []
    assert len(embedded(qwen_vl_sandbox)) == 3
    # A changed file shows by what its metadata says of it, such as a hash.
    changed = documents[1].model_copy(deep=True)
    changed.metadata["image_hash"] = "2"
    assert len(pipeline.run(documents=[documents[0], changed, documents[2]])) == 1
    assert len(embedded(qwen_vl_sandbox)) == 4
    assert len(store.data.embedding_dict) == 3


def test_folder_is_read_and_indexed_again_where_it_changed(
    folder: Path, embed_model: QwenVLEmbedding, qwen_vl_sandbox: Sandbox
) -> None:
    (folder / "notes.txt").write_text("No image.")
    store = SimpleVectorStore(stores_text=False)
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(), embed_model],
        docstore=SimpleDocumentStore(),
        vector_store=store,
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        disable_cache=True,
    )
    reader = QwenVLMediaReader()
    # Three pages and three images, without text.
    assert len(pipeline.run(documents=reader.load_data(folder))) == 6
    assert embedded(qwen_vl_sandbox) == ["+".join(["image"] * 5), "image"]
    assert pipeline.run(documents=reader.load_data(folder)) == []

    PillowImage.new("RGB", (64, 64), "white").save(folder / "red.png")
    (folder / "green.png").unlink()
    (changed,) = pipeline.run(documents=reader.load_data([folder]))
    assert changed.metadata["image_path"] == str(folder / "red.png")
    assert len(store.data.embedding_dict) == 5
    assert len(embedded(qwen_vl_sandbox)) == 3


def test_documents_of_files(folder: Path) -> None:
    (folder / "clip.mp4").write_bytes(b"")
    documents = QwenVLMediaReader().load_data(
        [folder / "pages.pdf", str(folder / "clip.mp4")], extra_info={"team": "A"}
    )

    path, clip = str(folder / "pages.pdf"), str(folder / "clip.mp4")
    digests = [document.metadata.pop("digest") for document in documents]
    assert [document.metadata for document in documents] == [
        *(
            {"team": "A", "source": path, "image_path": path, "page": page, "total_pages": 3}
            for page in (1, 2, 3)
        ),
        {"team": "A", "source": clip, "video_path": clip},
    ]
    assert len(set(digests)) == 2
    assert [document.get_content(MetadataMode.LLM) for document in documents] == [""] * 4
    with pytest.raises(MediaFormatError, match="neither an image, a PDF nor a video"):
        QwenVLMediaReader().load_data(__file__)
    with pytest.raises(MediaNotFoundError, match="does not exist"):
        QwenVLMediaReader().load_data(folder / "nothing")


def test_pipeline_cache(
    documents: list[Document],
    embed_model: QwenVLEmbedding,
    qwen_vl_sandbox: Sandbox,
    tmp_path: Path,
) -> None:
    def run(model: QwenVLEmbedding) -> list[Any]:
        pipeline = IngestionPipeline(transformations=[model])
        if (tmp_path / "cache").exists():
            pipeline.load(str(tmp_path / "cache"))
        found = pipeline.run(documents=[each.model_copy() for each in documents])
        pipeline.persist(str(tmp_path / "cache"))
        return [node.embedding for node in found]

    first = run(embed_model)
    assert run(QwenVLEmbedding.from_dict(embed_model.to_dict(), api_key="sk-2")) == first
    assert len(embedded(qwen_vl_sandbox)) == 3
    # Another length is another space.
    other = QwenVLEmbedding.from_dict({**embed_model.to_dict(), "dimensions": 512}, api_key="k")
    assert len(run(other)[0]) == 512
    assert len(embedded(qwen_vl_sandbox)) == 6


async def test_pipeline_in_async(documents: list[Document], embed_model: QwenVLEmbedding) -> None:
    found = await IngestionPipeline(transformations=[embed_model]).arun(documents=documents)
    assert [len(node.embedding or ()) for node in found] == [256] * 3


# Two stores.


@pytest.fixture
def two_stores(folder: Path, embed_model: QwenVLEmbedding) -> MultiModalVectorStoreIndex:
    images = [
        ImageNode(id_=color, text="An image.", image_path=str(folder / f"{color}.png"))
        for color in COLORS
    ]
    texts = [TextNode(id_="engine", text="A steam engine."), TextNode(id_="cat", text="A cat.")]
    return MultiModalVectorStoreIndex(
        [*images, *texts], embed_model=embed_model, image_embed_model=embed_model
    )


def test_multi_modal_index(
    two_stores: MultiModalVectorStoreIndex, folder: Path, qwen_vl_sandbox: Sandbox
) -> None:
    assert embedded(qwen_vl_sandbox) == ["text+" * 4 + "text", "image+image+image"]
    retriever = two_stores.as_retriever(similarity_top_k=1, image_similarity_top_k=1)

    assert ids(retriever.retrieve("a steam engine"))[0] == "engine"
    assert ids(retriever.retrieve("a blue square"))[1] == "blue"
    assert "red" in ids(asyncio.run(retriever.aretrieve("a red square")))
    path = str(folder / "green.png")
    assert ids(retriever.image_to_image_retrieve(path)) == ["green"]
    assert ids(asyncio.run(retriever.aimage_to_image_retrieve(path))) == ["green"]
    with pytest.raises(MediaAccessError, match="/etc/passwd"):
        retriever.image_to_image_retrieve("/etc/passwd")


# Engines.


def test_search_by_image(nodes: list[BaseNode], embed_model: QwenVLEmbedding, folder: Path) -> None:
    retriever = build(nodes, embed_model).as_retriever(similarity_top_k=1)
    vector = embed_model.get_query_media_embedding(folder / "green.png")
    assert ids(retriever.retrieve(QueryBundle("", embedding=vector))) == ["green"]


def make_engine(index: VectorStoreIndex, settings: dict[str, Any]) -> RetrieverQueryEngine:
    return RetrieverQueryEngine.from_args(
        index.as_retriever(similarity_top_k=4),
        llm=QwenVL(**settings),
        multimodal=True,
        node_postprocessors=[QwenVLRerank(**settings, top_n=2), QwenMediaPostprocessor()],
    )


@pytest.mark.parametrize("is_async", [False, True])
def test_search_rerank_and_answer(
    nodes: list[BaseNode],
    embed_model: QwenVLEmbedding,
    settings: dict[str, Any],
    is_async: bool,
    qwen_vl_sandbox: Sandbox,
) -> None:
    engine = make_engine(build(nodes, embed_model), settings)
    question = "Which square is blue?"
    response = asyncio.run(engine.aquery(question)) if is_async else engine.query(question)

    assert response.source_nodes[0].node.metadata["page"] == 3
    assert len(response.source_nodes) == 2
    assert 'Page 3 of 3 of "pages.pdf":' in str(response)
    assert "(blue)" in str(response)
    paths = [request.path.rpartition("/")[2] for request in qwen_vl_sandbox.requests[-3:]]
    assert paths == ["multimodal-embedding", "text-rerank", "completions"]


def test_hostile_path_of_a_store_is_never_read(
    nodes: list[BaseNode],
    embed_model: QwenVLEmbedding,
    settings: dict[str, Any],
    qwen_vl_sandbox: Sandbox,
) -> None:
    index = build(nodes, embed_model)
    for node in (
        TextNode(id_="bad", metadata={"image_path": "/etc/passwd"}, embedding=[1.0] * 256),
        ImageNode(id_="bad", image_path="/etc/passwd", embedding=[1.0] * 256),
    ):
        index.insert_nodes([node])
        engine = make_engine(index, settings)
        engine.retriever._similarity_top_k = 7  # type: ignore[attr-defined]
        with pytest.raises(MediaAccessError, match="node 'bad': The file '/etc/passwd' may not"):
            engine.query("Which square is blue?")
    assert not any(request.path.endswith("completions") for request in qwen_vl_sandbox.requests)


def test_budget_of_tokens(nodes: list[BaseNode], folder: Path) -> None:
    roots = [str(folder)]
    given = [NodeWithScore(node=node, score=1 - n / 10) for n, node in enumerate(nodes)]

    def choose(max_tokens: int | None) -> list[str]:
        shown = QwenMediaPostprocessor(media_roots=roots, max_tokens=max_tokens)
        return ids(shown.postprocess_nodes(given))

    # Each image of 64x64 pixels is 66 tokens or a few more, with its text.
    assert choose(None) == choose(1_000) == ["red", "green", "blue", "engine", "both"]
    assert choose(100) == ["red", "engine"]
    assert choose(1) == ["red"]


@pytest.mark.slow
def test_thousand_images(
    settings: dict[str, Any], qwen_vl_sandbox: Sandbox, tmp_path: Path
) -> None:
    images = tmp_path / "thousand"
    images.mkdir()
    for number in range(1_000):
        color = (number % 256, number // 256, 90)
        PillowImage.new("RGB", (64, 48), color).save(images / f"{number:04}.png")
    roots = {**settings, "media_roots": [images], "max_retries": 0}
    model = QwenVLEmbedding(**roots, cache_folder=tmp_path / "vectors", max_concurrency=1)
    vectors, docstore = SimpleVectorStore(stores_text=False), SimpleDocumentStore()
    pipeline = IngestionPipeline(
        transformations=[SentenceSplitter(chunk_size=10_000), model],
        docstore=docstore,
        vector_store=vectors,
        docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
        disable_cache=True,
    )
    documents = QwenVLMediaReader().load_data([images])

    n_answered = 137
    qwen_vl_sandbox.fail(latency=0.001, times=n_answered)
    qwen_vl_sandbox.fail(status=500)
    with pytest.raises(ServerError):
        pipeline.run(documents=documents)
    assert len(vectors.data.embedding_dict) == 0
    pipeline.run(documents=documents)

    # Each was asked for once, but for the five of the request that failed.
    sizes = [len(request.json["input"]["contents"]) for request in qwen_vl_sandbox.requests]
    assert (max(sizes), len(sizes), sum(sizes)) == (5, 201, 1_005)
    assert len(vectors.data.embedding_dict) == 1_000
    assert pipeline.run(documents=documents) == []
    assert qwen_vl_sandbox.n_requests == 201
