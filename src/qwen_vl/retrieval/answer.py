"""Answers from what was found, each statement with the page, the place on it, or the second."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen_vl.client import ClientCache
from qwen_vl.content import Part, Text, Turn
from qwen_vl.errors import ConfigurationError
from qwen_vl.media.pdf.page_text import FractionBox
from qwen_vl.reply import Reply, Usage
from qwen_vl.request.build import build_connection, build_media_policy, build_request
from qwen_vl.request.types import Request
from qwen_vl.retrieval.files import Unit, read_lines
from qwen_vl.retrieval.quotes import find_quote
from qwen_vl.retrieval.search import Hit, Searcher
from qwen_vl.settings import QwenVLSettings
from qwen_vl.tokens.conversation import TokenCounter

DEFAULT_CONTEXT_TOKENS = 16_000
PROMPT = (
    "Answer the question from the sources below only. Behind each statement, cite the number n of "
    'its source, and quote the words that it rests on exactly as they stand there: [n: "words"]. '
    "Where no words say it, cite the number alone: [n]. If the sources do not answer the question, "
    "say so."
)
# What an embedding model sees; print is readable at that size.
_MAX_PIXELS = 1_310_720
_CITATION = re.compile(r"\[(\d{1,3})(?::\s*[\"“”']([^\]]{1,2000}?)[\"“”'])?\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """Where a statement of an answer is from.

    Args:
        number: The source's number in the answer, from 1 on.
        unit: The page, image or frame.
        quote: The words that the statement rests on; empty where none were quoted.
        box: Where they are, as fractions of width and height: left, top, right and bottom; `None`
            where the page lacks a text layer, or these words.
    """

    number: int
    unit: Unit
    quote: str = ""
    box: FractionBox | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer with its sources.

    Args:
        text: What the model wrote, with sources as `[1]` and without the quotes.
        citations: In the order of the answer, each once.
        sources: What the model was shown, `[1]` first.
        left_out: Hits that did not fit into the token budget.
        reply: The model's reply as it came.
        context_tokens: Tokens of the sources, counted before sending.
    """

    text: str
    citations: tuple[Citation, ...]
    sources: tuple[Hit, ...]
    left_out: tuple[Hit, ...]
    reply: Reply
    context_tokens: int

    @property
    def usage(self) -> Usage | None:
        """Return the tokens that were billed."""
        return self.reply.usage


class Answerer:
    """Answers questions from what a search finds.

    Args:
        settings: The chat model to ask, and how to reach it.
        searcher: Finds the sources.
        max_context_tokens: Maximum number of tokens of all sources, images included.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from qwen_vl.embedding.embedder import Embedder
        >>> from qwen_vl.retrieval.indexer import Indexer
        >>> from qwen_vl.retrieval.store import IndexStore
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with TemporaryDirectory() as folder, Sandbox() as sandbox, IndexStore(folder) as store:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     embedder = Embedder(settings)
        ...     report = Indexer(store, embedder).index(CHELSEA)
        ...     searcher = Searcher(store, embedder)
        ...     hits = searcher.search("Which animal?")
        ...     sandbox.script("It is a tabby cat [1].")
        ...     answer = Answerer(settings, searcher).answer("Which animal?", hits)
        >>> answer.text, answer.citations[0].unit.name
        ('It is a tabby cat [1].', 'chelsea.png')
    """

    def __init__(
        self,
        settings: QwenVLSettings,
        searcher: Searcher,
        *,
        max_context_tokens: int = DEFAULT_CONTEXT_TOKENS,
    ) -> None:
        if max_context_tokens < 1:
            raise ConfigurationError(
                f"max_context_tokens is {max_context_tokens}; it must be 1 or more."
            )
        self._settings = settings
        self._searcher = searcher
        self._max_tokens = max_context_tokens
        self._policy = build_media_policy(settings)
        self._clients = ClientCache()

    def answer(self, question: str, hits: Sequence[Hit] | None = None) -> Answer:
        """Answer a question.

        Args:
            question: The question.
            hits: What was found for it; it is searched for if `None`.

        Raises:
            ConfigurationError: Nothing was found, or not even the first hit fits into the budget.
            MediaError: The file of a hit cannot be read.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        found = self._searcher.search(question) if hits is None else hits
        asked = self._prepare(question, found)
        reply = self._clients.sync(build_connection(self._settings)).ask(asked.request)
        return self._read(asked, reply)

    async def aanswer(self, question: str, hits: Sequence[Hit] | None = None) -> Answer:
        """Answer a question; see `answer`. Files are read in a thread.

        Args:
            question: As of `answer`.
            hits: As of `answer`.
        """
        found = await self._searcher.asearch(question) if hits is None else hits
        asked = await asyncio.to_thread(self._prepare, question, found)
        client = self._clients.asynchronous(build_connection(self._settings))
        reply = await client.ask(asked.request)
        return await asyncio.to_thread(self._read, asked, reply)

    def _prepare(self, question: str, hits: Sequence[Hit]) -> "_Asked":
        if not hits:
            raise ConfigurationError(
                "Nothing was found, so that there is nothing to answer from. Index a folder first."
            )
        counter = self._counter()
        parts: list[Part] = [Text(text=PROMPT)]
        sources: list[Hit] = []
        left_out: list[Hit] = []
        n_tokens = 0
        for hit in hits:
            self._searcher.check_access(hit.unit)
            shown = self._show(hit.unit, len(sources) + 1)
            cost = sum(counter.count_part(part) for part in shown)
            if n_tokens + cost > self._max_tokens:
                left_out.append(hit)
                continue
            parts += shown
            sources.append(hit)
            n_tokens += cost
        if not sources:
            raise ConfigurationError(
                f"{hits[0].unit.name} alone has more than {self._max_tokens:,} tokens. Raise "
                "max_context_tokens."
            )
        parts.append(Text(text=f"Question: {question}"))
        turn = Turn(role="user", parts=tuple(parts))
        request = build_request(self._settings, (turn,), stream=None)
        return _Asked(request, tuple(sources), tuple(left_out), n_tokens)

    def _counter(self) -> TokenCounter:
        settings = self._settings
        return TokenCounter(
            model=settings.known_model,
            parameters={},
            policy=self._policy,
            server=settings.server,
            model_family=settings.model_family,
        )

    def _show(self, unit: Unit, number: int) -> list[Part]:
        """Return what the model sees of a source: its name, its image and its text."""
        part: Any = unit.to_part(self._policy)
        name = Text(text=f"Source [{number}]: {unit.name}")
        text = [Text(text=f"Text of [{number}]:\n{unit.text}")] if unit.text else []
        return [name, replace(part, max_pixels=_MAX_PIXELS), *text]

    def _read(self, asked: "_Asked", reply: Reply) -> Answer:
        citations: dict[tuple[int, str], Citation] = {}
        for match in _CITATION.finditer(reply.text):
            number, quote = int(match[1]), " ".join((match[2] or "").split())
            if not 1 <= number <= len(asked.sources) or (number, quote) in citations:
                continue
            unit = asked.sources[number - 1].unit
            citations[number, quote] = Citation(
                number=number, unit=unit, quote=quote, box=self._find_box(unit, quote)
            )
        return Answer(
            text=_CITATION.sub(r"[\1]", reply.text),
            citations=tuple(citations.values()),
            sources=asked.sources,
            left_out=asked.left_out,
            reply=reply,
            context_tokens=asked.context_tokens,
        )

    def _find_box(self, unit: Unit, quote: str) -> FractionBox | None:
        page = read_lines(unit, self._policy) if quote else None
        return find_quote(quote, page.lines) if page else None


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was sent: the request, and which hits it holds."""

    request: Request
    sources: tuple[Hit, ...]
    left_out: tuple[Hit, ...]
    context_tokens: int
