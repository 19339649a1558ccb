"""How well the service finds and cites the pages that answer 30 questions, out of 60."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_transcript import Transcript
from qwen_vl.embedding.embedder import Embedder
from qwen_vl.embedding.reranker import Reranker
from qwen_vl.retrieval import Answerer, Indexer, IndexStore, Searcher
from qwen_vl.retrieval_eval import compare, evaluate
from qwen_vl.settings import QwenVLSettings
from visual_rag_checks import holds
from visual_rag_corpus import QUESTIONS, WrittenPage, write_corpus

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        not os.environ.get("DASHSCOPE_API_KEY"), reason="DASHSCOPE_API_KEY is not set"
    ),
]
N_PAGES = 60
CANDIDATES = 20


@pytest.fixture
def library(tmp_path: Path) -> Iterator[tuple[IndexStore, dict[str, WrittenPage]]]:
    """The index of the pages, and where words stand on them."""
    folder = tmp_path / "papers"
    folder.mkdir()
    pages = write_corpus(folder)
    with IndexStore(tmp_path / "index") as store:
        report = Indexer(store, Embedder(QwenVLSettings(), dimensions=1024)).index(folder)
        assert (report.failures, report.n_embedded) == ([], N_PAGES)
        yield store, pages


def test_right_pages_are_found_and_cited(
    library: tuple[IndexStore, dict[str, WrittenPage]], transcript: Transcript
) -> None:
    store, pages = library
    transcript.notes["Retrieval: 30 questions about 60 pages"] = find_pages(store)
    transcript.notes["Citations of the same questions"] = cite_pages(store, pages)


def find_pages(store: IndexStore) -> str:
    """Search for the page of each question, and return the scores of each stage."""
    embedder = Embedder(QwenVLSettings(), dimensions=1024)
    searcher = Searcher(store, embedder, candidates=N_PAGES)
    reranking = Searcher(store, embedder, Reranker(QwenVLSettings()), candidates=CANDIDATES)
    wanted = {question.text: {question.wanted} for question in QUESTIONS}
    hits = {text: searcher.search(text, N_PAGES) for text in wanted}

    def rank(name: str, text: str) -> list[str]:
        found = [hit for hit in hits[text] if getattr(hit, name) is not None]
        return [hit.unit.name for hit in sorted(found, key=lambda hit: getattr(hit, name))]

    scores = {
        "vectors": evaluate(lambda text: rank("vector_rank", text), wanted),
        "words": evaluate(lambda text: rank("keyword_rank", text), wanted),
        "fused": evaluate(lambda text: [hit.unit.name for hit in hits[text]], wanted),
        "reranked": evaluate(
            lambda text: [hit.unit.name for hit in reranking.search(text, 10)], wanted
        ),
    }

    assert all(each.recall[10] > 0 for each in scores.values())
    return compare(scores)


def cite_pages(store: IndexStore, pages: dict[str, WrittenPage]) -> str:
    """Have each question answered, and return how many answers cite the page and the words."""
    embedder = Embedder(QwenVLSettings(), dimensions=1024)
    searcher = Searcher(store, embedder, Reranker(QwenVLSettings()), candidates=CANDIDATES)
    answerer = Answerer(QwenVLSettings(), searcher)
    n_cited = n_boxed = n_citations = 0
    for question in QUESTIONS:
        citations = answerer.answer(question.text, searcher.search(question.text, 5)).citations
        n_citations += len(citations)
        right = [citation for citation in citations if citation.unit.name == question.wanted]
        ink = pages[question.wanted].find(question.quote)
        boxes = [citation.box for citation in right if citation.box is not None]
        n_cited += bool(right)
        n_boxed += any(holds(box, ink, within=0.4) for box in boxes)

    assert n_citations
    return (
        f"{n_cited} of {len(QUESTIONS)} answers cite the page that answers,\n"
        f"{n_boxed} with a box that holds the words; {n_citations} citations in all"
    )
