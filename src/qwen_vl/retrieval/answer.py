"""Answers from what was found, each statement with the page, the place on it, or the second."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen_vl.client import ClientCache
from qwen_vl.content import Part, Text, Turn
from qwen_vl.errors import ConfigurationError
from qwen_vl.reply import Reply, Usage
from qwen_vl.request.build import build_connection, build_media_policy, build_request
from qwen_vl.request.types import Request
from qwen_vl.retrieval.citations import (
    CITATION_PROMPT,
    DEFAULT_CONTEXT_TOKENS,
    MAX_SOURCE_PIXELS,
    Citation,
    FittedSources,
    fit_sources,
    name_source,
    name_text,
    read_citations,
)
from qwen_vl.retrieval.search import Hit, Searcher
from qwen_vl.settings import QwenVLSettings


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
        fitted = fit_sources(hits, self._show, self._settings, self._max_tokens)
        parts = (
            Text(text=CITATION_PROMPT),
            *fitted.parts,
            Text(text=f"Question: {question}"),
        )
        turn = Turn(role="user", parts=parts)
        return _Asked(build_request(self._settings, (turn,), stream=None), fitted)

    def _show(self, hit: Hit, number: int) -> list[Part]:
        """Return what the model sees of a source: its name, its image and its text."""
        unit = hit.unit
        self._searcher.check_access(unit)
        part: Any = unit.to_part(self._policy)
        name = Text(text=name_source(number, unit))
        text = [Text(text=name_text(number, unit.text))] if unit.text else []
        return [
            name,
            replace(part, max_pixels=self._settings.max_pixels or MAX_SOURCE_PIXELS),
            *text,
        ]

    def _read(self, asked: "_Asked", reply: Reply) -> Answer:
        fitted = asked.fitted
        units = [hit.unit for hit in fitted.sources]
        cited = read_citations(reply.text, units, policy=self._policy)
        return Answer(
            text=cited.text,
            citations=cited.citations,
            sources=fitted.sources,
            left_out=fitted.left_out,
            reply=reply,
            context_tokens=fitted.n_tokens,
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What was sent, and which hits it holds."""

    request: Request
    fitted: FittedSources[Hit]
