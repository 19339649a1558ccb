"""Answers from what was found: what the model is shown, and what it cites."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from PIL import ImageChops

from qwen_vl.embedding.embedder import Embedder
from qwen_vl.errors import ConfigurationError
from qwen_vl.media.pdf.page_text import FractionBox, TextLine, TextWord
from qwen_vl.request.types import MediaPolicy
from qwen_vl.retrieval.answer import Answer, Answerer
from qwen_vl.retrieval.citations import CITATION_PROMPT, Citation
from qwen_vl.retrieval.drawing import draw_citations, open_unit
from qwen_vl.retrieval.quotes import find_quote, find_quote_lines
from qwen_vl.retrieval.search import Hit, Searcher
from qwen_vl.retrieval.store import IndexStore
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox


@pytest.fixture
def searcher(filled: IndexStore, make_embedder: Callable[..., Embedder]) -> Searcher:
    return Searcher(filled, make_embedder())


@pytest.fixture
def hits(searcher: Searcher, qwen_vl_sandbox: Sandbox) -> list[Hit]:
    """The page that has the words, and two others."""
    found = searcher.search("Who proposes a dividend?", 9)
    wanted = ["report.pdf, page 2", "red.png", "bunny.mp4, 0:03"]
    qwen_vl_sandbox.clear()
    return sorted(
        (hit for hit in found if hit.unit.name in wanted),
        key=lambda hit: wanted.index(hit.unit.name),
    )


@pytest.fixture(params=["sync", pytest.param("async", marks=pytest.mark.slow)])
def answer(request: pytest.FixtureRequest) -> Callable[..., Answer]:
    def ask(answerer: Answerer, *args: Any) -> Answer:
        if request.param == "sync":
            return answerer.answer(*args)
        return asyncio.run(answerer.aanswer(*args))

    return ask


def test_model_is_shown_image_and_text_of_each_source(
    settings: QwenVLSettings,
    searcher: Searcher,
    hits: list[Hit],
    qwen_vl_sandbox: Sandbox,
    answer: Any,
) -> None:
    found = answer(Answerer(settings, searcher), "Who proposes it?", hits)

    [message] = qwen_vl_sandbox.last_request.json["messages"]
    content = message["content"]
    texts = [part["text"] for part in content if part["type"] == "text"]
    assert texts == [
        CITATION_PROMPT,
        "Source [1]: report.pdf, page 2",
        'Page 2 of 3 of "report.pdf":',
        "Text of [1]:\nThe board proposes a dividend.",
        "Source [2]: red.png",
        "Source [3]: bunny.mp4, 0:03",
        "Question: Who proposes it?",
    ]
    assert [part["type"] for part in content] == [
        *("text", "text", "text", "image_url", "text"),
        *("text", "image_url", "text", "image_url", "text"),
    ]
    assert [hit.unit.name for hit in found.sources] == [hit.unit.name for hit in hits]
    assert found.left_out == ()
    # Counted before sending, but for the prompt and the question.
    assert found.usage is not None
    assert found.context_tokens < found.usage.input_tokens < found.context_tokens + 150


def test_citations_have_page_box_and_seconds(
    settings: QwenVLSettings,
    searcher: Searcher,
    hits: list[Hit],
    qwen_vl_sandbox: Sandbox,
    answer: Any,
) -> None:
    qwen_vl_sandbox.script(
        'The board does [1: "board proposes a dividend"], in red [2]; so says the rabbit [3], '
        'twice [1: “board proposes a  dividend”]. Nobody else [7: "x"]. '
        '[1: "Words of no page at all"]'
    )

    found = answer(Answerer(settings, searcher), "Who proposes it?", hits)

    assert found.text == (
        "The board does [1], in red [2]; so says the rabbit [3], twice [1]. Nobody else [7]. [1]"
    )
    first, second, third, fourth = found.citations
    assert (first.unit.name, first.quote) == ("report.pdf, page 2", "board proposes a dividend")
    left, top, right, bottom = first.box or (0, 0, 0, 0)
    # "The" stands 15 mm from the left, and all of it 30 mm from the top of a page of A4.
    assert left * 210 == pytest.approx(23.7, abs=0.3)
    assert top * 297 < 30 <= bottom * 297 + 1
    assert right < 0.5
    assert first.line_boxes == (first.box,)
    assert (second.unit.name, second.box) == ("red.png", None)
    assert third.unit.seconds == pytest.approx(2.64)
    assert (fourth.quote, fourth.box) == ("Words of no page at all", None)


def test_sources_stay_within_the_budget_of_tokens(
    settings: QwenVLSettings, searcher: Searcher, hits: list[Hit], answer: Any
) -> None:
    whole = answer(Answerer(settings, searcher), "Who?", hits)
    limit = whole.context_tokens - 1

    found = answer(Answerer(settings, searcher, max_context_tokens=limit), "Who?", hits)

    assert found.context_tokens <= limit
    assert [hit.unit.name for hit in found.left_out] == ["bunny.mp4, 0:03"]
    assert [hit.unit.name for hit in found.sources] == ["report.pdf, page 2", "red.png"]
    # What is smaller and less relevant takes the room of what does not fit.
    small = Answerer(settings, searcher, max_context_tokens=200)
    assert [hit.unit.name for hit in answer(small, "Who?", hits).sources] == ["red.png"]


def test_what_cannot_be_answered_raises(
    settings: QwenVLSettings, searcher: Searcher, hits: list[Hit], qwen_vl_sandbox: Sandbox
) -> None:
    with pytest.raises(ConfigurationError, match="Nothing was found"):
        Answerer(settings, searcher).answer("Who?", [])
    with pytest.raises(ConfigurationError, match="No source fits into 10 tokens: the"):
        Answerer(settings, searcher, max_context_tokens=10).answer("Who?", hits)
    with pytest.raises(ConfigurationError, match="max_context_tokens is 0"):
        Answerer(settings, searcher, max_context_tokens=0)
    assert qwen_vl_sandbox.requests == []


def test_question_is_searched_for(
    settings: QwenVLSettings, searcher: Searcher, qwen_vl_sandbox: Sandbox, answer: Any
) -> None:
    found = answer(Answerer(settings, searcher), "Who proposes a dividend?")

    assert found.sources[0].unit.name == "report.pdf, page 2"
    assert len(found.sources) == 5
    assert [r.path.rpartition("/")[2] for r in qwen_vl_sandbox.requests] == [
        "multimodal-embedding",
        "completions",
    ]


def test_cited_pages_are_drawn(hits: list[Hit]) -> None:
    page, red, frame = [hit.unit for hit in hits]
    box = (0.1, 0.1, 0.5, 0.2)
    citations = [
        Citation(number=1, unit=page, box=box),
        Citation(number=2, unit=red),
        Citation(number=4, unit=page, box=(0.1, 0.6, 0.5, 0.7)),
        Citation(number=3, unit=frame),
    ]

    drawn = draw_citations(citations)

    assert [(cited.unit, cited.numbers) for cited in drawn] == [
        (page, (1, 4)),
        (red, (2,)),
        (frame, (3,)),
    ]
    assert drawn[1].image.getpixel((5, 5)) == (255, 0, 0)
    assert drawn[2].image.size == (1280, 720)
    blank = open_unit(page, MediaPolicy())
    left, top, right, bottom = ImageChops.difference(drawn[0].image, blank).getbbox() or (0,) * 4
    width, height = blank.size
    # The numbers stand to the left of the boxes.
    assert 0 < left < 0.1 * width - 10
    assert top == pytest.approx(0.1 * height, abs=0.01 * height)
    assert right == pytest.approx(0.5 * width, abs=0.01 * width)
    assert bottom == pytest.approx(0.7 * height, abs=0.01 * height)
    tinted = [drawn[0].image.getpixel((0.4 * width, y * height)) for y in (0.15, 0.4, 0.65)]
    assert tinted[1] == (255, 255, 255)
    assert tinted[0] != tinted[1]
    assert tinted[2] not in (tinted[0], tinted[1])


LINES = [
    TextLine(text="Net income rose by 4 per-", box=(0.1, 0.10, 0.5, 0.12)),
    TextLine(text="cent to 12 million euros.", box=(0.1, 0.13, 0.45, 0.15)),
    TextLine(text="The costs of steel fell; the", box=(0.1, 0.16, 0.5, 0.18)),
    TextLine(text="costs of rail rose.", box=(0.1, 0.19, 0.3, 0.21)),
]


@pytest.mark.parametrize(
    ("quote", "lines"),
    [
        ("Net income rose", (0, 0)),
        ("net  INCOME, rose by 4 per cent to 12 million", (0, 1)),
        ("costs of rail rose", (3, 3)),
        ("The costs of steel fell", (2, 2)),
        ("fell; the costs of rail", (2, 3)),
        ("Net income sank by 4 percent to 12 million euros", (0, 1)),
    ],
)
def test_quotes_are_found(quote: str, lines: tuple[int, int]) -> None:
    box = find_quote(quote, LINES)

    first, last = (LINES[number].box for number in lines)
    assert box is not None
    assert (box[1], box[3]) == (first[1], last[3])


WORDS = [
    TextWord(text=text, box=(0.1 * column, 0.1 * line, 0.1 * column + 0.08, 0.1 * line + 0.05))
    for line, texts in enumerate(["Net income rose by 4 per", "cent. Costs", "of steel fell"])
    for column, text in enumerate(texts.split())
]


def box_of(line: int, first: int, last: int) -> FractionBox:
    return (0.1 * first, 0.1 * line, 0.1 * last + 0.08, 0.1 * line + 0.05)


@pytest.mark.parametrize(
    ("quote", "boxes"),
    [
        ("income rose", [box_of(0, 1, 2)]),
        ("rose by 4 per cent", [box_of(0, 2, 5), box_of(1, 0, 0)]),
        ("4 per cent. Costs of steel", [box_of(0, 4, 5), box_of(1, 0, 1), box_of(2, 0, 1)]),
        ("Net wages rose by", [box_of(0, 0, 3)]),
        ("Revenue doubled", []),
        ("", []),
    ],
)
def test_words_of_quotes_are_found_by_lines(quote: str, boxes: list[FractionBox]) -> None:
    assert find_quote_lines(quote, WORDS) == tuple(boxes)
    assert find_quote_lines(quote, []) == ()


@pytest.mark.parametrize(
    "quote", ["", "…", "revenue of the railway doubled", "euros net costs 99 88"]
)
def test_words_that_do_not_stand_there_are_not_found(quote: str) -> None:
    assert find_quote(quote, LINES) is None
    assert find_quote(quote, []) is None
