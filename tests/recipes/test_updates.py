"""The folder changes: both frameworks embed what is new, and remove what is gone."""

import asyncio
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fpdf import FPDF
from langchain_classic.indexes import SQLRecordManager
from langchain_core.indexing import index
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.vector_stores.qdrant import QdrantVectorStore as QdrantNodeStore
from PIL import Image
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, Modifier, SparseVectorParams, VectorParams

from langchain_qwen_vl import MediaVectorStore, QwenVLEmbeddings, QwenVLMediaLoader, document_key
from langchain_qwen_vl.sparse import KeywordSparseEmbeddings
from llama_index.embeddings.qwen_vl import (
    QwenVLEmbedding,
    fuse_results,
    weigh_documents,
    weigh_queries,
)
from llama_index.llms.qwen_vl import QwenVLMediaReader
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox

pytestmark = [
    pytest.mark.any_version,
    # Qdrant does not close its database.
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
]

Update = Callable[[], None]


def write_pdf(path: Path, *texts: str) -> None:
    pdf = FPDF(format=(100, 60))
    pdf.set_font("helvetica", size=12)
    for text in texts:
        pdf.add_page()
        pdf.text(10, 20, text)
    pdf.output(str(path))


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    """A PDF of two pages, an image, and a video of one frame."""
    papers = tmp_path / "papers"
    papers.mkdir()
    write_pdf(papers / "report.pdf", "Steel became cheap.", "The board proposes a dividend.")
    Image.new("RGB", (64, 64), "red").save(papers / "red.png")
    shutil.copy(BIG_BUCK_BUNNY, papers / "bunny.mp4")
    return papers


@pytest.fixture
def client(tmp_path: Path) -> Iterator[QdrantClient]:
    client = QdrantClient(path=str(tmp_path / "qdrant"))
    client.create_collection(
        "pages",
        {"media": VectorParams(size=256, distance=Distance.COSINE)},
        sparse_vectors_config={"words": SparseVectorParams(modifier=Modifier.IDF)},
    )
    yield client
    client.close()


@pytest.fixture
def langchain(
    papers: Path, tmp_path: Path, client: QdrantClient, qwen_vl_sandbox: Sandbox
) -> Iterator[Update]:
    store = MediaVectorStore(
        QdrantVectorStore(
            client,
            "pages",
            QwenVLEmbeddings(
                dimensions=256,
                base_url=qwen_vl_sandbox.base_url,
                api_key="sk-sandbox",
                media_roots=[tmp_path],
            ),
            retrieval_mode=RetrievalMode.HYBRID,
            vector_name="media",
            sparse_embedding=KeywordSparseEmbeddings(),
            sparse_vector_name="words",
            validate_collection_config=False,
        )
    )
    records = SQLRecordManager("pages", db_url="sqlite://")
    records.create_schema()
    loader = QwenVLMediaLoader(papers, frames_folder=tmp_path / "frames")

    def update() -> None:
        index(loader, records, store, cleanup="full", key_encoder=document_key)

    yield update
    engine: Any = records.engine
    engine.dispose()


@pytest.fixture
def llama_index(
    papers: Path, tmp_path: Path, client: QdrantClient, qwen_vl_sandbox: Sandbox
) -> Iterator[Update]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    embed_model = QwenVLEmbedding(
        dimensions=256,
        api_base=qwen_vl_sandbox.base_url,
        api_key="sk-sandbox",
        media_roots=[tmp_path],
        cache_folder=tmp_path / "vectors",
    )
    store = QdrantNodeStore(
        "pages",
        client=client,
        dense_vector_name="media",
        sparse_vector_name="words",
        enable_hybrid=True,
        sparse_doc_fn=weigh_documents,
        sparse_query_fn=weigh_queries,
        hybrid_fusion_fn=fuse_results,
    )
    path = tmp_path / "docstore.json"
    SimpleDocumentStore().persist(str(path))

    def update() -> None:
        docstore = SimpleDocumentStore.from_persist_path(str(path))
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(chunk_size=10_000), embed_model],
            docstore=docstore,
            vector_store=store,
            docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
            disable_cache=True,
        )
        reader = QwenVLMediaReader(frames_folder=tmp_path / "frames")
        pipeline.run(documents=reader.load_data(papers))
        docstore.persist(str(path))

    yield update
    asyncio.set_event_loop(None)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def find_texts(client: QdrantClient) -> list[str]:
    records, _ = client.scroll("pages", limit=100)
    payloads = [record.payload or {} for record in records]
    return sorted(
        str(payload["page_content"])
        if "page_content" in payload
        else json.loads(payload["_node_content"])["text"]
        for payload in payloads
    )


def count_contents(sandbox: Sandbox) -> int:
    return sum(len(request.json["input"]["contents"]) for request in sandbox.requests)


@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_only_what_changed_is_embedded(
    framework: str,
    request: pytest.FixtureRequest,
    papers: Path,
    tmp_path: Path,
    client: QdrantClient,
    qwen_vl_sandbox: Sandbox,
) -> None:
    update: Update = request.getfixturevalue(framework)
    update()
    assert len(find_texts(client)) == 4
    # Two pages, each with its text; an image and a frame.
    assert count_contents(qwen_vl_sandbox) == 6
    qwen_vl_sandbox.clear()

    update()
    assert qwen_vl_sandbox.requests == []

    write_pdf(papers / "report.pdf", "Steel became dear.")
    (papers / "red.png").unlink()
    Image.new("RGB", (64, 64), "blue").save(papers / "blue.png")
    update()

    assert count_contents(qwen_vl_sandbox) == 3
    assert find_texts(client) == ["", "", "Steel became dear."]
    # The frame of the video was taken once.
    assert len(list((tmp_path / "frames").iterdir())) == 1
