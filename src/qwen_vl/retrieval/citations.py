"""What a model is asked to cite, and what it has cited: source, words, and where they stand."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from qwen_vl.content import Part, Turn
from qwen_vl.errors import ConfigurationError
from qwen_vl.media.pdf.page_text import FractionBox, join_boxes
from qwen_vl.request.build import build_request
from qwen_vl.request.types import MediaPolicy
from qwen_vl.retrieval.files import Unit, check_roots, read_lines, read_words
from qwen_vl.retrieval.quotes import find_quote, find_quote_lines
from qwen_vl.settings import QwenVLSettings
from qwen_vl.tokens.conversation import TokenCounter

DEFAULT_CONTEXT_TOKENS = 16_000
CITATION_PROMPT = (
    "Answer the question from the sources below only. Behind each statement, cite the number n of "
    'its source, and quote the words that it rests on exactly as they stand there: [n: "words"]. '
    "Where no words say it, cite the number alone: [n]. If the sources do not answer the question, "
    "say so."
)
"""What asks a model for citations that `read_citations` reads. It names no question."""
MAX_SOURCE_PIXELS = 1_310_720
"""Maximum number of pixels of a source that the model is shown, where nothing else is set: what an
embedding model sees. Print is readable at that size."""

_CITATION = re.compile(r"\[(\d{1,3})(?::\s*[\"“”']([^\]]{1,2000}?)[\"“”'])?\]")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """Where a statement of an answer is from.

    Args:
        number: The source's number in the answer, from 1 on.
        unit: The page, image or frame.
        quote: The words that the statement rests on; empty where none were quoted.
        box: Where they are, as fractions of width and height: left, top, right and bottom; `None`
            where the page lacks a text layer, or these words.
        line_boxes: The same for each line that they stand on.
    """

    number: int
    unit: Unit
    quote: str = ""
    box: FractionBox | None = None
    line_boxes: tuple[FractionBox, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CitedText:
    """An answer whose citations were read.

    Args:
        text: The answer, with sources as `[1]` and without the quotes.
        citations: In the order of the answer, each once.
    """

    text: str
    citations: tuple[Citation, ...]


def read_citations(
    text: str,
    sources: Sequence[Unit],
    *,
    policy: MediaPolicy | None = None,
    media_roots: Sequence[str | Path] | None = None,
) -> CitedText:
    """Read the citations of an answer, and find the quoted words on the pages of PDF files.

    Numbers that no source has stay in the text, and are not cited.

    Args:
        text: What a model answered that was asked with `CITATION_PROMPT`.
        sources: What it was shown, `[1]` first.
        policy: Limits of reading files; the default policy if `None`.
        media_roots: Folders that cited files may be in; any if `None`. Pass them where the
            sources come from a store that others may write.

    Raises:
        MediaAccessError: A file that is cited is outside of `media_roots`.
        MediaError: A PDF that is quoted cannot be read.

    Example:
        >>> page = Unit(path="/a/notes.txt", kind="text", digest="")
        >>> cited = read_citations('It rains [1: "rain, all day"].', [page])
        >>> cited.text, cited.citations[0].quote
        ('It rains [1].', 'rain, all day')
    """
    roots = None if media_roots is None else [Path(root).resolve() for root in media_roots]
    citations: dict[tuple[int, str], Citation] = {}
    for match in _CITATION.finditer(text):
        number, quote = int(match[1]), " ".join((match[2] or "").split())
        if not 1 <= number <= len(sources) or (number, quote) in citations:
            continue
        unit = sources[number - 1]
        if roots is not None and unit.has_image:
            check_roots(unit, roots)
        boxes = _find_boxes(unit, quote, policy or MediaPolicy())
        citations[number, quote] = Citation(
            number=number,
            unit=unit,
            quote=quote,
            box=join_boxes(boxes) if boxes else None,
            line_boxes=boxes,
        )
    return CitedText(text=_CITATION.sub(r"[\1]", text), citations=tuple(citations.values()))


def _find_boxes(unit: Unit, quote: str, policy: MediaPolicy) -> tuple[FractionBox, ...]:
    if not quote or not unit.has_image:
        return ()
    if found := find_quote_lines(quote, read_words(unit, policy)):
        return found
    # Text that runs along the height of the page is whole in its lines only.
    page = read_lines(unit, policy)
    box = find_quote(quote, page.lines) if page else None
    return () if box is None else (box,)


def name_source(number: int, unit: Unit) -> str:
    """Return the line that a source begins with.

    Args:
        number: Its number, from 1 on.
        unit: What it is.

    Example:
        >>> name_source(2, Unit(path="/a/cat.png", kind="image", digest=""))
        'Source [2]: cat.png'
    """
    return f"Source [{number}]: {unit.name}"


def name_text(number: int, text: str) -> str:
    """Return the text of a source, as it stands behind its image.

    Args:
        number: Its number, from 1 on.
        text: What it says.
    """
    return f"Text of [{number}]:\n{text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedSources(Generic[_T]):
    """The sources that fit into a budget of tokens.

    Args:
        sources: Those that fit, in their order: `[1]` first.
        left_out: Those that do not.
        parts: What the model is shown, of all that fit.
        n_tokens: Tokens of the parts, counted before sending.
    """

    sources: tuple[_T, ...]
    left_out: tuple[_T, ...]
    parts: tuple[Part, ...]
    n_tokens: int


def fit_sources(
    sources: Iterable[_T],
    show: Callable[[_T, int], Sequence[Part]],
    settings: QwenVLSettings,
    max_tokens: int,
) -> FittedSources[_T]:
    """Choose the sources that fit into a budget of tokens, in their order.

    What is smaller, and stands further behind, takes the room of what does not fit.

    Args:
        sources: What was found, the best first.
        show: Returns what the model is shown of a source, by the number that it gets.
        settings: The model whose tokens are counted.
        max_tokens: Maximum number of tokens of all sources, images included.

    Raises:
        ConfigurationError: Nothing fits, or there are no sources.
        MediaError: The file of a source cannot be read.

    Example:
        >>> from qwen_vl.content import Text
        >>> fitted = fit_sources(
        ...     ["rain", "sun " * 50, "wind"],
        ...     lambda word, number: [Text(text=f"[{number}] {word}")],
        ...     QwenVLSettings(api_key="sk-1"),
        ...     max_tokens=20,
        ... )
        >>> fitted.sources, fitted.n_tokens <= 20
        (('rain', 'wind'), True)
    """
    kept: list[_T] = []
    left_out: list[_T] = []
    parts: list[Part] = []
    n_tokens, least = 0, 0
    for source in sources:
        shown = show(source, len(kept) + 1)
        cost = _count_tokens(shown, settings)
        if n_tokens + cost > max_tokens:
            left_out.append(source)
            least = min(least or cost, cost)
            continue
        kept.append(source)
        parts += shown
        n_tokens += cost
    if not kept:
        raise ConfigurationError(
            f"No source fits into {max_tokens:,} tokens: the smallest has {least:,}. Raise "
            "max_context_tokens."
            if left_out
            else "There are no sources to answer from. Index a folder first."
        )
    return FittedSources(
        sources=tuple(kept), left_out=tuple(left_out), parts=tuple(parts), n_tokens=n_tokens
    )


def _count_tokens(parts: Sequence[Part], settings: QwenVLSettings) -> int:
    # With the options of the settings, as they are sent.
    request = build_request(settings, (Turn(role="user", parts=tuple(parts)),), stream=None)
    counter = TokenCounter(
        model=settings.known_model,
        parameters=request.parameters,
        policy=request.policy,
        server=settings.server,
        model_family=settings.model_family,
    )
    return sum(counter.count_part(part) for part in request.turns[-1].parts)
