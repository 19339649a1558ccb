"""Vectors of images with text, where the sandbox reads: the words decide, and what they mean."""

import importlib.util
import math
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from qwen_vl.embedding.embedder import Embedder
from qwen_vl.embedding.reranker import Reranker
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.answers.vectors import read_words, to_vector

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("rapidocr") is None,
        reason='needs: pip install "qwen-vl[sandbox-ocr]"',
    ),
]

PAGES = (
    "The harbor was closed because of the storm.",
    "Quarterly earnings rose in every region.",
    "Feed the cat twice a day, and the dog once.",
)


def draw(text: str) -> Image.Image:
    page = Image.new("RGB", (620, 200), "white")
    ImageDraw.Draw(page).text((30, 70), text, "black", ImageFont.load_default(26))
    return page


@pytest.fixture(scope="module")
def settings() -> Iterator[QwenVLSettings]:
    with Sandbox(reads=True) as sandbox:
        yield QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")


@pytest.fixture(scope="module")
def vectors(settings: QwenVLSettings) -> list[list[float]]:
    return list(Embedder(settings, dimensions=1024, normalize=True).embed(map(draw, PAGES)))


def find(settings: QwenVLSettings, vectors: list[list[float]], question: str) -> str:
    embedder = Embedder(settings, dimensions=1024, normalize=True)
    [query] = embedder.embed_queries([question])
    scores = [sum(a * b for a, b in zip(query, vector, strict=True)) for vector in vectors]
    return PAGES[scores.index(max(scores))]


@pytest.mark.parametrize(
    ("question", "page"),
    [
        ("Why was the harbor closed?", 0),
        ("earnings of the quarter", 1),
        # Without a word of the page.
        ("bad weather at sea", 0),
        ("profit and revenue", 1),
        ("pets and their food", 2),
    ],
)
def test_question_finds_its_page(
    settings: QwenVLSettings, vectors: list[list[float]], question: str, page: int
) -> None:
    assert find(settings, vectors, question) == PAGES[page]


def test_words_of_images_count_in_rankings(settings: QwenVLSettings) -> None:
    ranking = Reranker(settings).rank("the cat and the dog", map(draw, PAGES))

    assert ranking.results[0].index == 2
    assert ranking.results[0].score > ranking.results[1].score


def test_words_are_as_near_as_what_they_mean() -> None:
    def compare(one: str, other: str) -> float:
        pair: list[Any] = [to_vector([read_words(word)], 1024, reads=True) for word in (one, other)]
        return sum(a * b for a, b in zip(*pair, strict=True)) / math.prod(
            math.hypot(*vector) for vector in pair
        )

    assert compare("profit", "profit") == pytest.approx(1)
    assert compare("profit", "earnings") > compare("profit", "harbor") + 0.1
