"""Questions about 60 pages, answered with LangChain and Qdrant: each stage does what it says."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.indexes import SQLRecordManager
from langchain_core.documents import Document
from langchain_core.indexing import index
from langchain_core.messages import HumanMessage
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, Modifier, SparseVectorParams, VectorParams

from langchain_qwen_vl import (
    ChatQwenVL,
    HybridRetriever,
    MediaVectorStore,
    QwenVLEmbeddings,
    QwenVLMediaLoader,
    QwenVLRerank,
    document_key,
    read_citations,
    to_source_blocks,
)
from langchain_qwen_vl.sparse import KeywordSparseEmbeddings
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


@dataclass(frozen=True)
class Stores:
    """One collection: what is stored in it, and what is searched by vectors and by words."""

    media: MediaVectorStore
    vectors: QdrantVectorStore
    words: QdrantVectorStore


class Indexer:
    """Indexes the folder with LangChain's own `index`."""

    def __init__(self, library: Library, folder: Path, embeddings: QwenVLEmbeddings) -> None:
        self.client = QdrantClient(path=str(folder / "qdrant"))
        if not self.client.collection_exists("pages"):
            self.client.create_collection(
                "pages",
                {"media": VectorParams(size=1024, distance=Distance.COSINE)},
                sparse_vectors_config={"words": SparseVectorParams(modifier=Modifier.IDF)},
            )
        common: dict[str, Any] = {
            "embedding": embeddings,
            "vector_name": "media",
            "sparse_embedding": KeywordSparseEmbeddings(),
            "sparse_vector_name": "words",
        }
        make = QdrantVectorStore
        self.stores = Stores(
            MediaVectorStore(
                make(self.client, "pages", retrieval_mode=RetrievalMode.HYBRID, **common)
            ),
            make(self.client, "pages", retrieval_mode=RetrievalMode.DENSE, **common),
            make(self.client, "pages", retrieval_mode=RetrievalMode.SPARSE, **common),
        )
        self.records = SQLRecordManager("pages", db_url=f"sqlite:///{folder / 'records.sqlite'}")
        self.records.create_schema()
        self.loader = QwenVLMediaLoader(library.folder, frames_folder=folder / "frames")

    def run(self) -> dict[str, int]:
        return dict(
            index(
                self.loader,
                self.records,
                self.stores.media,
                cleanup="full",
                key_encoder=document_key,
            )
        )

    def close(self) -> None:
        self.client.close()
        self.records.engine.dispose()  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("langchain")


@pytest.fixture
def settings(sandbox: Sandbox, library: Library, folder: Path) -> dict[str, Any]:
    return {
        "base_url": sandbox.base_url,
        "api_key": "sk-sandbox",
        "media_roots": [library.folder, folder],
    }


@pytest.fixture
def indexer(library: Library, folder: Path, settings: dict[str, Any]) -> Iterator[Indexer]:
    embeddings = QwenVLEmbeddings(dimensions=1024, **settings)
    indexer = Indexer(library, folder, embeddings)
    yield indexer
    indexer.close()


@pytest.fixture
def stores(indexer: Indexer, sandbox: Sandbox) -> Stores:
    """The stores of the folder, which is indexed by the first test that asks."""
    indexer.run()
    sandbox.clear()
    return indexer.stores


def test_folder_is_indexed_once(
    library: Library, folder: Path, indexer: Indexer, sandbox: Sandbox
) -> None:
    indexer.run()
    sandbox.clear()

    assert indexer.run()["num_skipped"] == N_UNITS
    assert sandbox.requests == []
    (frame,) = (folder / "frames").iterdir()
    found = {document.metadata["source"]: document for document in indexer.loader.lazy_load()}
    video = found[str(library.folder / "bunny.mp4")]
    assert video.metadata["seconds"] == 2.64
    assert video.metadata["image_path"] == str(frame)


def _name(document: Document) -> str:
    cited = read_citations("[1]", [document], media_roots=["/"])
    return cited.citations[0].unit.name


def _hybrid(stores: Stores, k: int = N_UNITS) -> HybridRetriever:
    return HybridRetriever(
        vectorstore=stores.vectors,
        keyword_retriever=stores.words.as_retriever(search_kwargs={"k": N_UNITS}),
        k=k,
        fetch_k=N_UNITS,
    )


def test_order_is_that_of_the_fused_rankings(stores: Stores) -> None:
    hybrid = _hybrid(stores)
    for question in QUESTIONS:
        found = hybrid.invoke(question.text)

        rankings = [
            [_name(document) for document in store.similarity_search(question.text, k=N_UNITS)]
            for store in (stores.vectors, stores.words)
        ]
        assert len(rankings[0]) == N_UNITS > len(rankings[1])
        assert [_name(one) for one in found] == [name for name, _ in fuse_rankings(rankings)]
        # Qdrant's own fusion has another constant.
        fused = stores.media.similarity_search(question.text, k=N_UNITS)
        assert [_name(one) for one in fused] == [name for name, _ in fuse_rankings(rankings, k=1)]


def test_order_is_that_of_the_reranked_scores(
    stores: Stores, settings: dict[str, Any], sandbox: Sandbox
) -> None:
    rerank = QwenVLRerank(**settings)
    for question in QUESTIONS[::5]:
        documents = _hybrid(stores, 12).invoke(question.text)

        ranked = rerank.compress_documents(documents, question.text)

        assert [(_name(one), one.metadata["relevance_score"]) for one in ranked] == [
            (_name(documents[at]), score) for at, score in rank_again(sandbox)
        ]


def _choose(stores: Stores, question: Question) -> list[Document]:
    """Return the best documents, and the page that answers."""
    found = _hybrid(stores).invoke(question.text)
    (answering,) = [one for one in found if _name(one) == question.wanted]
    return found[:4] if answering in found[:4] else [*found[:3], answering]


def test_answers_cite_page_and_place(
    library: Library, stores: Stores, settings: dict[str, Any], sandbox: Sandbox
) -> None:
    model = ChatQwenVL(**settings)
    for question in QUESTIONS:
        sources = to_source_blocks(_choose(stores, question), model, max_context_tokens=2_500)
        number = [_name(one) for one in sources.documents].index(question.wanted) + 1
        text = script_answer(sandbox, question, number)

        message = HumanMessage([*sources.blocks, f"Question: {question.text}"])
        answer = model.invoke([message])

        cited = read_citations(answer, sources.documents, media_roots=[library.folder])
        assert cited.text == text
        (citation,) = cited.citations
        check_citation(citation, question, library.pages[question.wanted])
        check_drawing(citation)
        assert count_sources(sandbox) == sources.n_tokens
        assert sources.n_tokens <= 2_500


def test_budget_leaves_out_what_does_not_fit(
    stores: Stores, settings: dict[str, Any], sandbox: Sandbox
) -> None:
    model = ChatQwenVL(**settings)
    found = _hybrid(stores).invoke("ships")

    sources = to_source_blocks(found, model, max_context_tokens=3_000)
    model.invoke([HumanMessage([*sources.blocks, "Question: Ships?"])])

    assert sources.n_tokens <= 3_000
    assert len(sources.documents) + len(sources.left_out) == N_UNITS
    assert count_sources(sandbox) == sources.n_tokens
    (one, *_) = sources.left_out
    alone = to_source_blocks([one], model)
    assert sources.n_tokens + alone.n_tokens > 3_000


def test_scores_of_each_stage(stores: Stores, settings: dict[str, Any]) -> None:
    """Prints the table; run with `-s` to see it."""
    rerank = QwenVLRerank(**settings)
    wanted = {question.text: {question.wanted} for question in QUESTIONS}

    def search(store: QdrantVectorStore, text: str) -> list[str]:
        return [_name(one) for one in store.similarity_search(text, k=10)]

    scores = {
        "vectors": evaluate(lambda text: search(stores.vectors, text), wanted),
        "words": evaluate(lambda text: search(stores.words, text), wanted),
        "fused": evaluate(lambda text: [*map(_name, _hybrid(stores, 10).invoke(text))], wanted),
        "reranked": evaluate(
            lambda text: [
                _name(one)
                for one in rerank.compress_documents(_hybrid(stores, 10).invoke(text), text)
            ],
            wanted,
        ),
    }

    print(f"\n{compare(scores)}")  # noqa: T201 - to be read
    # Ranking again neither loses a candidate nor adds one.
    assert scores["reranked"].recall[10] == scores["fused"].recall[10]
