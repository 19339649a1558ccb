"""Questions about 60 pages, answered with the core: each stage does what it says.

How well the right pages are found depends on the sandbox's vectors, and proves nothing.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qwen_vl.embedding.embedder import Embedder
from qwen_vl.embedding.fusion import fuse_rankings
from qwen_vl.embedding.reranker import Reranker
from qwen_vl.retrieval import Answerer, Hit, Indexer, IndexStore, Searcher
from qwen_vl.retrieval.keywords import weigh_query
from qwen_vl.retrieval_eval import compare, evaluate
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.ocr.engine import is_installed
from visual_rag_checks import (
    check_citation,
    check_drawing,
    count_sources,
    rank_again,
    script_answer,
)
from visual_rag_corpus import N_UNITS, QUESTIONS, Library

pytestmark = [
    pytest.mark.any_version,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not is_installed(), reason="the extra sandbox-ocr is not installed"),
]


@pytest.fixture
def store(library: Library, tmp_path: Path) -> Iterator[IndexStore]:
    with IndexStore(shutil.copytree(library.store, tmp_path / "index")) as opened:
        yield opened


@pytest.fixture
def embedder(settings: QwenVLSettings) -> Embedder:
    return Embedder(settings, dimensions=1024)


@pytest.fixture
def searcher(store: IndexStore, embedder: Embedder) -> Searcher:
    return Searcher(store, embedder, candidates=N_UNITS)


def test_index_is_packed_and_made_once(
    library: Library, store: IndexStore, embedder: Embedder, sandbox: Sandbox
) -> None:
    assert len(store) == N_UNITS
    # Five images a request.
    assert library.n_requests == 13

    report = Indexer(store, embedder).index(library.folder)

    assert (report.n_embedded, report.n_unchanged, sandbox.requests) == (0, N_UNITS, [])


def test_order_is_that_of_the_fused_rankings(
    store: IndexStore, embedder: Embedder, searcher: Searcher
) -> None:
    for question in QUESTIONS:
        hits = searcher.search(question.text, N_UNITS)

        (vector,) = embedder.embed_queries([question.text])
        by_vector = [one.unit for one in store.search_vector(vector, N_UNITS)]
        by_words = [one.unit for one in store.search_words(weigh_query(question.text), N_UNITS)]
        assert len(by_vector) == N_UNITS > len(by_words)
        fused = fuse_rankings([by_vector, by_words])
        assert [(hit.unit, hit.score) for hit in hits] == fused
        ranks = [by_vector.index(hit.unit) + 1 for hit in hits]
        assert [hit.vector_rank for hit in hits] == ranks


def test_order_is_that_of_the_reranked_scores(
    store: IndexStore, embedder: Embedder, settings: QwenVLSettings, sandbox: Sandbox
) -> None:
    fused = Searcher(store, embedder, candidates=12)
    reranked = Searcher(store, embedder, Reranker(settings), candidates=12)
    for question in QUESTIONS[::5]:
        candidates = fused.search(question.text, 12)
        hits = reranked.search(question.text, 12)

        scores = rank_again(sandbox)
        assert len(scores) == 12
        assert [(hit.unit, hit.relevance) for hit in hits] == [
            (candidates[at].unit, score) for at, score in scores
        ]


def _choose(hits: list[Hit], wanted: str) -> list[Hit]:
    """Return the best hits, and the page that answers, where the search has put it."""
    (answering,) = [hit for hit in hits if hit.unit.name == wanted]
    return hits[:4] if answering in hits[:4] else [*hits[:3], answering]


def test_answers_cite_page_and_place(
    library: Library, searcher: Searcher, settings: QwenVLSettings, sandbox: Sandbox
) -> None:
    answerer = Answerer(settings, searcher, max_context_tokens=2_500)
    for question in QUESTIONS:
        hits = _choose(searcher.search(question.text, N_UNITS), question.wanted)
        number = [hit.unit.name for hit in hits].index(question.wanted) + 1
        text = script_answer(sandbox, question, number)

        answer = answerer.answer(question.text, hits)

        assert answer.text == text
        (citation,) = answer.citations
        check_citation(citation, question, library.pages[question.wanted])
        check_drawing(citation)
        assert count_sources(sandbox) == answer.context_tokens
        assert answer.context_tokens <= 2_500


def test_budget_leaves_out_what_does_not_fit(
    searcher: Searcher, settings: QwenVLSettings, sandbox: Sandbox
) -> None:
    hits = [hit for hit in searcher.search("ships", N_UNITS) if hit.unit.kind == "page"]

    answer = Answerer(settings, searcher, max_context_tokens=3_000).answer("Ships?", hits)

    assert answer.context_tokens <= 3_000
    assert len(answer.sources) + len(answer.left_out) == 60
    assert count_sources(sandbox) == answer.context_tokens
    # One page more would not fit.
    one = Answerer(settings, searcher).answer("Ships?", answer.left_out[:1])
    assert answer.context_tokens + one.context_tokens > 3_000


def test_scores_of_each_stage(
    store: IndexStore, embedder: Embedder, searcher: Searcher, settings: QwenVLSettings
) -> None:
    """Prints the table; run with `-s` to see it."""
    reranking = Searcher(store, embedder, Reranker(settings), candidates=10)
    wanted = {question.text: {question.wanted} for question in QUESTIONS}
    hits = {text: searcher.search(text, N_UNITS) for text in wanted}

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
    table = compare(scores)

    print(f"\n{table}")  # noqa: T201 - to be read
    assert [line.split()[0] for line in table.splitlines()[1:]] == list(scores)
    assert all(each.recall[10] <= 1 for each in scores.values())
    # Every page has a vector, so that vectors find each one in the end.
    assert all(one.reciprocal_rank for one in scores["vectors"].questions)
