"""Questions about 60 pages, answered with LlamaIndex and Qdrant: each stage does what it says."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.response.schema import Response
from llama_index.core.ingestion import DocstoreStrategy, IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle
from llama_index.core.storage.docstore import SimpleDocumentStore
from llama_index.core.vector_stores.types import VectorStoreQueryMode
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, Modifier, SparseVectorParams, VectorParams

from llama_index.embeddings.qwen_vl import (
    QwenVLEmbedding,
    QwenVLVectorStoreIndex,
    fuse_results,
    weigh_documents,
    weigh_queries,
)
from llama_index.llms.qwen_vl import (
    CITATION_TEMPLATE,
    QwenMediaPostprocessor,
    QwenVL,
    QwenVLMediaReader,
    read_citations,
)
from llama_index.postprocessor.qwen_vl import QwenVLRerank
from qwen_vl.embedding.fusion import fuse_rankings
from qwen_vl.retrieval_eval import compare, evaluate
from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.ocr.engine import is_installed
from visual_rag_checks import (
    check_citation,
    check_drawing,
    count_sources,
    rank_again,
    script_answer,
)
from visual_rag_corpus import N_UNITS, QUESTIONS, Library, Question

pytestmark = [
    pytest.mark.any_version,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not is_installed(), reason="the extra sandbox-ocr is not installed"),
    # Qdrant does not close its database.
    pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning"),
]


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


class Indexer:
    """Indexes the folder with LlamaIndex's own pipeline."""

    def __init__(self, library: Library, folder: Path, embed_model: QwenVLEmbedding) -> None:
        self._library, self._folder = library, folder
        self._embed_model = embed_model
        self._reader = QwenVLMediaReader(frames_folder=folder / "frames")
        self.client = QdrantClient(path=str(folder / "qdrant"))
        if not self.client.collection_exists("pages"):
            self.client.create_collection(
                "pages",
                {"media": VectorParams(size=1024, distance=Distance.COSINE)},
                sparse_vectors_config={"words": SparseVectorParams(modifier=Modifier.IDF)},
            )
        self._store = QdrantVectorStore(
            "pages",
            client=self.client,
            dense_vector_name="media",
            sparse_vector_name="words",
            enable_hybrid=True,
            sparse_doc_fn=weigh_documents,
            sparse_query_fn=weigh_queries,
            hybrid_fusion_fn=fuse_results,
        )

    def run(self) -> int:
        docstore = self._folder / "docstore.json"
        pipeline = IngestionPipeline(
            transformations=[SentenceSplitter(chunk_size=10_000), self._embed_model],
            docstore=(
                SimpleDocumentStore.from_persist_path(str(docstore))
                if docstore.exists()
                else SimpleDocumentStore()
            ),
            vector_store=self._store,
            docstore_strategy=DocstoreStrategy.UPSERTS_AND_DELETE,
            disable_cache=True,
        )
        nodes = pipeline.run(documents=self._reader.load_data(self._library.folder))
        assert pipeline.docstore is not None
        pipeline.docstore.persist(str(docstore))
        return len(nodes)

    def retrieve(self, text: str, mode: str = "hybrid", k: int = N_UNITS) -> list[NodeWithScore]:
        return self.as_retriever(mode, k).retrieve(text)

    def as_retriever(self, mode: str = "hybrid", k: int = N_UNITS) -> BaseRetriever:
        index = QwenVLVectorStoreIndex.from_vector_store(self._store, embed_model=self._embed_model)
        return index.as_retriever(
            vector_store_query_mode=VectorStoreQueryMode(mode),
            similarity_top_k=N_UNITS if mode == "hybrid" else k,
            sparse_top_k=N_UNITS if mode == "hybrid" else k,
            hybrid_top_k=k,
        )


class Found(BaseRetriever):
    """Retrieves what was found before."""

    def __init__(self, nodes: list[NodeWithScore]) -> None:
        self._nodes = nodes
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self._nodes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("llama-index")


@pytest.fixture
def settings(sandbox: Sandbox, library: Library, folder: Path) -> dict[str, Any]:
    return {
        "api_base": sandbox.base_url,
        "api_key": "sk-sandbox",
        "media_roots": [library.folder, folder],
    }


@pytest.fixture
def indexer(
    library: Library, folder: Path, settings: dict[str, Any], sandbox: Sandbox
) -> Iterator[Indexer]:
    """The folder, which is indexed by the first test that asks."""
    indexer = Indexer(library, folder, QwenVLEmbedding(dimensions=1024, **settings))
    indexer.run()
    sandbox.clear()
    yield indexer
    indexer.client.close()


def test_folder_is_indexed_once(folder: Path, indexer: Indexer, sandbox: Sandbox) -> None:
    assert indexer.client.count("pages").count == N_UNITS
    assert len(list((folder / "frames").iterdir())) == 1

    assert indexer.run() == 0
    assert sandbox.requests == []


def _name(scored: NodeWithScore) -> str:
    return read_citations("[1]", [scored], media_roots=["/"]).citations[0].unit.name


def test_order_is_that_of_the_fused_rankings(indexer: Indexer) -> None:
    for question in QUESTIONS:
        found = indexer.retrieve(question.text)

        rankings = [
            [_name(scored) for scored in indexer.retrieve(question.text, mode)]
            for mode in ("default", "sparse")
        ]
        assert len(rankings[0]) == N_UNITS > len(rankings[1])
        assert [(_name(one), one.score) for one in found] == fuse_rankings(rankings)


def test_order_is_that_of_the_reranked_scores(
    indexer: Indexer, settings: dict[str, Any], sandbox: Sandbox
) -> None:
    rerank = QwenVLRerank(top_n=12, **settings)
    for question in QUESTIONS[::5]:
        nodes = indexer.retrieve(question.text, k=12)

        ranked = rerank.postprocess_nodes(nodes, query_str=question.text)

        assert [(_name(one), one.score) for one in ranked] == [
            (_name(nodes[at]), score) for at, score in rank_again(sandbox)
        ]


def _choose(indexer: Indexer, question: Question) -> list[NodeWithScore]:
    """Return the best nodes, and the page that answers."""
    found = indexer.retrieve(question.text)
    (answering,) = [one for one in found if _name(one) == question.wanted]
    return found[:4] if answering in found[:4] else [*found[:3], answering]


def _ask(
    nodes: list[NodeWithScore], text: str, settings: dict[str, Any], max_tokens: int
) -> Response:
    postprocessor = QwenMediaPostprocessor(
        max_tokens=max_tokens, numbers_sources=True, media_roots=settings["media_roots"]
    )
    engine = RetrieverQueryEngine.from_args(
        Found(nodes),
        llm=QwenVL(**settings),
        multimodal=True,
        node_postprocessors=[postprocessor],
        chat_content_qa_template=CITATION_TEMPLATE,
    )
    response = engine.query(text)
    assert isinstance(response, Response)
    return response


def test_answers_cite_page_and_place(
    library: Library, indexer: Indexer, settings: dict[str, Any], sandbox: Sandbox
) -> None:
    for question in QUESTIONS:
        nodes = _choose(indexer, question)
        number = [*map(_name, nodes)].index(question.wanted) + 1
        text = script_answer(sandbox, question, number)

        response = _ask(nodes, question.text, settings, 2_500)

        cited = read_citations(response, response.source_nodes, media_roots=[library.folder])
        assert cited.text == text
        (citation,) = cited.citations
        check_citation(citation, question, library.pages[question.wanted])
        check_drawing(citation)
        assert count_sources(sandbox) <= 2_500


def test_budget_leaves_out_what_does_not_fit(
    indexer: Indexer, settings: dict[str, Any], sandbox: Sandbox
) -> None:
    nodes = indexer.retrieve("ships")

    response = _ask(nodes, "Ships?", settings, 3_000)

    n_used = count_sources(sandbox)
    assert n_used <= 3_000
    shown = [scored.node.node_id for scored in response.source_nodes]
    left_out = [scored for scored in nodes if scored.node.node_id not in shown]
    assert len(shown) + len(left_out) == N_UNITS
    _ask(left_out[:1], "Ships?", settings, 3_000)
    assert n_used + count_sources(sandbox) > 3_000


def test_scores_of_each_stage(indexer: Indexer, settings: dict[str, Any]) -> None:
    """Prints the table; run with `-s` to see it."""
    rerank = QwenVLRerank(top_n=12, **settings)
    wanted = {question.text: {question.wanted} for question in QUESTIONS}

    def search(mode: str, text: str) -> list[str]:
        return [*map(_name, indexer.retrieve(text, mode, 10))]

    scores = {
        "vectors": evaluate(lambda text: search("default", text), wanted),
        "words": evaluate(lambda text: search("sparse", text), wanted),
        "fused": evaluate(lambda text: search("hybrid", text), wanted),
        "reranked": evaluate(
            lambda text: [
                _name(one)
                for one in rerank.postprocess_nodes(indexer.retrieve(text, k=10), query_str=text)
            ],
            wanted,
        ),
    }

    print(f"\n{compare(scores)}")  # noqa: T201 - to be read
    # Ranking again neither loses a candidate nor adds one.
    assert scores["reranked"].recall[10] == scores["fused"].recall[10]
