"""Searches: by vector, by words, merged by rank, ranked again; and what a hostile store can do."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from qwen_vl.embedding.embedder import Embedder
from qwen_vl.embedding.fusion import fuse_rankings
from qwen_vl.embedding.reranker import Reranker
from qwen_vl.errors import ConfigurationError, MediaAccessError
from qwen_vl.retrieval.files import Unit
from qwen_vl.retrieval.keywords import find_words, weigh_document, weigh_query
from qwen_vl.retrieval.search import Hit, Searcher
from qwen_vl.retrieval.store import IndexStore
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

Make = Callable[..., Embedder]


@pytest.fixture(params=["sync", "async"])
def search(request: pytest.FixtureRequest) -> Callable[..., list[Hit]]:
    def find(searcher: Searcher, *args: Any) -> list[Hit]:
        if request.param == "sync":
            return searcher.search(*args)
        return asyncio.run(searcher.asearch(*args))

    return find


def test_words_and_vectors_are_merged_by_rank(
    filled: IndexStore, make_embedder: Make, search: Any
) -> None:
    hits = search(Searcher(filled, make_embedder()), "Who proposes a dividend?", 9)

    assert len(hits) == 9
    assert hits[0].unit.name == "report.pdf, page 2"
    assert hits[0].keyword_rank == 1
    # No other page has one of these words, but for "a".
    assert [hit.unit.name for hit in hits if hit.keyword_rank] == [
        "report.pdf, page 2",
        "pump.pdf, page 2",
    ]
    by_vector = [hit.unit for hit in sorted(hits, key=lambda hit: hit.vector_rank or 99)]
    by_words = [hit.unit for hit in hits if hit.keyword_rank]
    assert [(hit.unit, hit.score) for hit in hits] == fuse_rankings([by_vector, by_words])


def test_colors_are_found_by_vector(filled: IndexStore, make_embedder: Make, search: Any) -> None:
    hits = search(Searcher(filled, make_embedder()), "something blue", 9)

    assert min(hits, key=lambda hit: hit.vector_rank or 99).unit.name == "fax.tiff, page 1"


def test_image_finds_images(
    filled: IndexStore, make_embedder: Make, qwen_vl_sandbox: Sandbox, search: Any
) -> None:
    hits = search(Searcher(filled, make_embedder()), Image.new("RGB", (32, 32), "red"), 2)

    assert hits[0].unit.name == "red.png"
    assert all(hit.keyword_rank is None for hit in hits)
    [request] = qwen_vl_sandbox.requests
    # As a query, and by the vectors' own length.
    assert request.json["parameters"]["dimension"] == 256
    assert "query" in request.json["parameters"]["instruct"]


def test_candidates_are_ranked_again(
    filled: IndexStore,
    make_embedder: Make,
    settings: QwenVLSettings,
    qwen_vl_sandbox: Sandbox,
    search: Any,
) -> None:
    searcher = Searcher(filled, make_embedder(), Reranker(settings), candidates=4)

    hits = search(searcher, "a red area", 2)

    body = qwen_vl_sandbox.last_request.json
    assert body["model"] == "qwen3-vl-rerank"
    assert len(body["input"]["documents"]) == 4
    assert all("image" in document for document in body["input"]["documents"])
    assert body["parameters"]["top_n"] == 2
    assert hits[0].unit.name == "red.png"
    assert hits[0].score == hits[0].relevance
    assert [hit.relevance for hit in hits] == sorted((hit.relevance for hit in hits), reverse=True)


def test_texts_are_ranked_by_a_model_of_texts(
    filled: IndexStore, make_embedder: Make, settings: QwenVLSettings, qwen_vl_sandbox: Sandbox
) -> None:
    reranker = Reranker(settings.model_copy(update={"model": "qwen3-rerank"}))
    reranker = Reranker(
        QwenVLSettings(**settings.model_dump(exclude_unset=True), model="qwen3-rerank")
    )

    hits = Searcher(filled, make_embedder(), reranker).search("a dividend of the board", 1)

    assert hits[0].unit.name == "report.pdf, page 2"
    documents = qwen_vl_sandbox.last_request.json["documents"]
    assert "The board proposes a dividend." in documents
    # What has no text is ranked by its name.
    assert "red.png" in documents


def test_paths_outside_of_the_folders_are_not_read(
    filled: IndexStore,
    tmp_path: Path,
    make_embedder: Make,
    settings: QwenVLSettings,
    qwen_vl_sandbox: Sandbox,
    search: Any,
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 64), "yellow").save(secret)
    planted = Unit(path=str(secret), kind="image", digest="0", text="a dividend")
    (folder,) = filled.require_manifest().folders
    through = replace(planted, path=f"{folder}/{os.path.relpath(secret, folder)}")
    filled.add([planted, through], [[1.0] * 256] * 2)
    qwen_vl_sandbox.clear()

    with pytest.raises(MediaAccessError, match=r"secret\.png.*media_roots"):
        search(Searcher(filled, make_embedder(), Reranker(settings)), "a dividend", 9)
    assert not any("rerank" in request.path for request in qwen_vl_sandbox.requests)
    allowed = Searcher(filled, make_embedder(), Reranker(settings), media_roots=[tmp_path, folder])
    assert search(allowed, "a dividend", 9)


def test_store_of_another_model_is_refused(filled: IndexStore, make_embedder: Make) -> None:
    with pytest.raises(ConfigurationError, match="cannot be compared with those of"):
        Searcher(filled, make_embedder(dimensions=512))
    with pytest.raises(ConfigurationError, match="candidates is 0"):
        Searcher(filled, make_embedder(), candidates=0)


def test_empty_store_finds_nothing(store: IndexStore, make_embedder: Make) -> None:
    assert Searcher(store, make_embedder()).search("anything") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Net income: 12.5 %", ["net", "income", "12", "5"]),
        ("ÜBER naïve Straße", ["uber", "naive", "strasse"]),
        ("snake_case and-dashes", ["snake", "case", "and", "dashes"]),
        ("第2季度净收入", ["第", "2", "季度", "度净", "净收", "收入"]),
        ("ﬁne ２０２６", ["fine", "2026"]),
        ("", []),
        (" .,;!? ", []),
    ],
)
def test_words_of_any_language(text: str, words: list[str]) -> None:
    assert list(find_words(text)) == words


def test_words_are_weighed_by_bm25() -> None:
    vector = weigh_document("rain rain sun")
    by_place = dict(zip(vector.indices, vector.values, strict=True))
    (rain,), (sun,) = weigh_query("rain").indices, weigh_query("sun").indices

    # k1 = 1.2, b = 0.75, and an average length of 300 words.
    length = 1.2 * (0.25 + 0.75 * 3 / 300)
    assert by_place == {
        rain: pytest.approx(2 * 2.2 / (2 + length)),
        sun: pytest.approx(1 * 2.2 / (1 + length)),
    }
    assert list(vector.indices) == sorted(vector.indices)
    assert weigh_query("sun sun rain").values == (1.0, 1.0)
