"""What holds for answers about the 60 pages, however they were asked for."""

from collections.abc import Sequence
from typing import Any

import httpx2
from PIL import ImageChops

from qwen_vl.request.types import MediaPolicy
from qwen_vl.retrieval import Citation, draw_citations
from qwen_vl.retrieval.drawing import open_unit
from qwen_vl.tokens.text import estimate_text_tokens
from qwen_vl_sandbox import RecordedRequest, Sandbox
from visual_rag_corpus import HEIGHT, WIDTH, Question, WrittenPage

RERANK_PATH = "/api/v1/services/rerank/text-rerank/text-rerank"
# Pixels of a number with its frame, and of an outline with its distance from the words.
_LABEL, _OUTLINE = 30, 6
_MILLIMETER = (1 / WIDTH, 1 / HEIGHT, 1 / WIDTH, 1 / HEIGHT)


def script_answer(sandbox: Sandbox, question: Question, number: int) -> str:
    """Have the model answer with the right words, and return what is left of the answer."""
    sandbox.script(f'It says so [{number}: "{question.quote}"].')
    return f"It says so [{number}]."


def check_citation(citation: Citation, question: Question, page: WrittenPage) -> None:
    """Check that a citation has the right page, and the box holds the words that were written."""
    assert citation.unit.name == question.wanted
    assert citation.quote == question.quote
    assert citation.box is not None
    ink = page.find(question.quote)
    assert holds(citation.box, ink, within=0.4)
    # And little else.
    assert holds(ink, citation.box, within=0.4)
    lines = page.find_lines(question.quote)
    assert len(citation.line_boxes) == len(lines)
    for found, line in zip(citation.line_boxes, lines, strict=True):
        assert holds(found, line, within=0.4)
        assert holds(line, found, within=0.4)


def check_drawing(citation: Citation) -> None:
    """Check that the words are colored in the image of the page, and nothing else is."""
    (cited,) = draw_citations([citation])
    assert cited.unit == citation.unit
    assert citation.box is not None
    blank = open_unit(citation.unit, MediaPolicy())
    width, height = blank.size
    left, top = citation.box[0] * width, citation.box[1] * height
    right, bottom = citation.box[2] * width, citation.box[3] * height
    changed = ImageChops.difference(cited.image, blank).getbbox()
    assert changed is not None
    # The words with their outline, and the number, which is larger than a line, to the left.
    assert changed[0] <= left
    assert top - _OUTLINE <= changed[1] <= top
    assert right <= changed[2] <= right + _OUTLINE
    assert bottom <= changed[3] <= bottom + _LABEL
    # Below the last letters, where the page is white.
    last = citation.line_boxes[-1]
    corner = round(last[2] * width), round(last[3] * height)
    assert blank.getpixel(corner) == (255, 255, 255)
    assert cited.image.getpixel(corner) != (255, 255, 255)


def count_sources(sandbox: Sandbox) -> int:
    """Return the tokens of the sources of the last question.

    Images are those that the service counts. Texts are estimated, as before sending.
    """
    sent = sandbox.last_request
    (message,) = sent.json["messages"]
    texts = [part["text"] for part in message["content"] if part["type"] == "text"]
    # The first asks for citations, and the last is the question.
    sources = texts[1 : next(at for at, text in enumerate(texts) if text.startswith("Question:"))]
    usage = _send_again(sandbox, sent)["usage"]
    n_images: int = usage["prompt_tokens_details"].get("image_tokens", 0)
    return n_images + sum(map(estimate_text_tokens, sources))


def rank_again(sandbox: Sandbox) -> list[tuple[int, float]]:
    """Send the last rerank request again, and return the places and scores of the answer."""
    sent = [request for request in sandbox.requests if request.path == RERANK_PATH][-1]
    results = _send_again(sandbox, sent)["output"]["results"]
    return [(result["index"], result["relevance_score"]) for result in results]


def _send_again(sandbox: Sandbox, sent: RecordedRequest) -> dict[str, Any]:
    answer = httpx2.post(
        sandbox.url + sent.path,
        json=sent.json,
        headers={"authorization": "Bearer sk-sandbox"},
        timeout=60,
    )
    return answer.raise_for_status().json()  # type: ignore[no-any-return]


def holds(outer: Sequence[float], inner: Sequence[float], *, within: float) -> bool:
    """Return whether a box holds another, but for some millimeters."""
    room = [within * millimeter for millimeter in _MILLIMETER]
    return (
        outer[0] <= inner[0] + room[0]
        and outer[1] <= inner[1] + room[1]
        and outer[2] >= inner[2] - room[2]
        and outer[3] >= inner[3] - room[3]
    )
