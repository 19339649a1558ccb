"""Parses images and pages of PDF and TIFF files into blocks: one request for each page."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from qwen_vl.client import ClientCache
from qwen_vl.content import Document, Image, Text, Turn, to_source
from qwen_vl.documents.blocks import ParsedBlocks
from qwen_vl.documents.ledger import PageLedger, find_key
from qwen_vl.documents.options import (
    DEFAULT_CONCURRENCY,
    ParserOptions,
    check_parser_options,
    find_call_options,
    find_prompt,
)
from qwen_vl.documents.page_images import PageOrigin
from qwen_vl.documents.parse_html import parse_html
from qwen_vl.documents.parse_markdown import parse_markdown
from qwen_vl.documents.results import PageError, ParsedDocument, ParsedPage
from qwen_vl.errors import (
    AuthenticationError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    QwenVLError,
    warn,
)
from qwen_vl.generators import Owned, map_in_order
from qwen_vl.grounding.coordinates import CoordinateFrame
from qwen_vl.grounding.locate import find_request_frame, with_reported_size
from qwen_vl.media.page_jobs import PageJob, find_page_jobs, name_source, page_noted
from qwen_vl.media.pdf.document import limit_page_size
from qwen_vl.media.prepare import prepare_page
from qwen_vl.reply import Reply, is_length
from qwen_vl.request.build import build_connection, build_media_policy, build_request
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings

# With these every page fails alike.
_FATAL = (ConfigurationError, AuthenticationError, PermissionDeniedError, NotFoundError)


@dataclass(frozen=True, slots=True)
class _Unopened:
    """A source that cannot be opened."""

    source: str
    error: QwenVLError


@dataclass(frozen=True, slots=True)
class _Question:
    """The request about one page, and the coordinate space of its answer."""

    request: Request
    frame: CoordinateFrame | None


class DocumentParser:
    """Parses documents with any Qwen VL model: text, tables and figures as blocks with boxes.

    The user message is the page and the prompt `qwenvl html` or `qwenvl markdown`; thinking is off.

    Args:
        settings: The model to ask, how to reach it, and how pages are rendered: `pdf_dpi`,
            `pdf_max_pages`, `media_roots`.
        **options: `form`, `pages`, `dpi`, `max_tokens`, `prompt`, `space`, `max_concurrency`,
            `raise_errors`, `ledger` and `on_page`; see `qwen_vl.documents.options.ParserOptions`.

    Raises:
        ConfigurationError: An option is wrong, or the model does not know the form.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     document = DocumentParser(settings).parse(CHELSEA)
        >>> document.pages[0].size, document.blocks[0].kind
        ((451, 300), 'paragraph')
    """

    def __init__(self, settings: QwenVLSettings, **options: Unpack[ParserOptions]) -> None:
        check_parser_options(options)
        self._settings = settings
        self._form = options.get("form", "html")
        self._pages, self._dpi = options.get("pages"), options.get("dpi")
        self._space = options.get("space")
        self._prompt = options.get("prompt") or find_prompt(settings.known_model, self._form)
        self._options = find_call_options(settings, options.get("max_tokens"))
        self._max_concurrency = options.get("max_concurrency", DEFAULT_CONCURRENCY)
        self._raises = options.get("raise_errors", False)
        self._on_page = options.get("on_page")
        self._clients = ClientCache()
        self._policy = build_media_policy(settings)
        # A wrong option raises before the first file is opened.
        template = self._make_request(Turn(role="user", parts=()))
        folder = options.get("ledger")
        self._ledger = None if folder is None else PageLedger(folder)
        self._asked = {
            "model": template.model,
            "server": template.server,
            "protocol": template.protocol,
            "form": self._form,
            "prompt": self._prompt,
            "space": self._space,
            "parameters": template.parameters,
            "pixels": [self._options.get("min_pixels"), self._options.get("max_pixels")],
        }

    def parse(self, source: object) -> ParsedDocument:
        """Parse one document or image, one page after the other.

        Args:
            source: An image, PDF or TIFF: a path, bytes, an open file, a decoded image, or the URL
                of an image, whose blocks lack boxes. Text is a URL or else a path, which counts
                as the program's own word; `media_roots` still applies.

        Raises:
            MediaError: The file cannot be opened, or is neither image nor PDF.
            MissingExtraError: A PDF is to be read, and pypdfium2 is not installed.
            ConfigurationError: The key is missing, or an option is wrong.
            ServiceError: The endpoint refuses every page; with `raise_errors`, any of them.
        """
        pages = [self._finish(job, self._parse_job(job)) for job in self._find_own_jobs(source)]
        return ParsedDocument(source=pages[0].source, pages=tuple(pages))

    async def aparse(self, source: object) -> ParsedDocument:
        """Parse one document or image, several pages at the same time; see `parse`."""
        found: Any = self._aparse_jobs(self._find_own_jobs(source))
        async with Owned(found) as owned:
            pages = [page async for page in owned]
        return ParsedDocument(source=pages[0].source, pages=tuple(pages))

    def parse_pages(self, sources: Iterable[object]) -> Iterator[ParsedPage]:
        """Parse one page after the other, each when it is wanted.

        Args:
            sources: As of `parse`, any number of them.

        Raises:
            QwenVLError: As of `parse`; files that cannot be opened are pages with the number 0.
        """
        for job in self._find_jobs(sources):
            yield self._finish(job, self._parse_job(job))

    async def aparse_pages(self, sources: Iterable[object]) -> AsyncIterator[ParsedPage]:
        """Parse several pages at the same time, and give them in order; see `parse_pages`.

        Files are read and pages rendered in threads. At most `max_concurrency` pages are under way
        or wait to be taken. A caller that stops early cancels the requests that are under way.

        Args:
            sources: As of `parse_pages`.
        """
        found: Any = self._aparse_jobs(self._find_jobs(sources))
        async with Owned(found) as pages:
            async for page in pages:
                yield page

    def parse_all(self, sources: Iterable[object]) -> list[ParsedDocument]:
        """Parse several documents; see `parse_pages`.

        Args:
            sources: As of `parse`, any number of them.
        """
        return _group(self.parse_pages(sources))

    async def aparse_all(self, sources: Iterable[object]) -> list[ParsedDocument]:
        """Parse several documents, several pages at the same time; see `parse_all`."""
        pages: Any = self.aparse_pages(sources)
        async with Owned(pages) as owned:
            return _group([page async for page in owned])

    def count_pages(self, sources: Iterable[object]) -> int:
        """Return the number of pages that would be parsed, for a progress bar; nothing is rendered.

        Args:
            sources: As of `parse_pages`; files that cannot be opened count as a page.

        Raises:
            QwenVLError: With `raise_errors`, a file cannot be opened.
        """
        return sum(1 for _ in self._find_jobs(sources))

    def make_question(self, job: PageJob) -> tuple[Request, Callable[[Reply], ParsedPage]]:
        """Return what is asked about one page, which is rendered now, and what reads the answer.

        Args:
            job: From `find_page_jobs`.

        Raises:
            MediaError: The page cannot be rendered or sent.
        """
        question = self._prepare(job)
        return question.request, lambda reply: self._read(job, question, reply, None)

    async def _aparse_jobs(self, jobs: Iterator[PageJob | _Unopened]) -> AsyncIterator[ParsedPage]:
        found: Any = map_in_order(self._aparse_job, jobs, self._max_concurrency)
        async with Owned(found) as pages:
            async for job, page in pages:
                yield self._finish(job, page)

    def _find_own_jobs(self, source: object) -> Iterator[PageJob]:
        """Find the pages of a single document, which must be there."""
        return find_page_jobs([source], self._policy, pages=self._pages, dpi=self._dpi)

    def _find_jobs(self, sources: Iterable[object]) -> Generator[PageJob | _Unopened, None, None]:
        for index, value in enumerate(sources):
            try:
                yield from find_page_jobs(
                    [value], self._policy, pages=self._pages, dpi=self._dpi, first=index
                )
            except _FATAL:
                raise
            except QwenVLError as error:
                if self._raises:
                    raise
                source = to_source(value)
                name = (
                    str(value) if isinstance(value, str) or source is None else name_source(source)
                )
                yield _Unopened(name, error)

    def _parse_job(self, job: PageJob | _Unopened) -> ParsedPage:
        if isinstance(job, _Unopened):
            return _fail(job, job.error)
        try:
            with page_noted(job):
                done, key = self._find_done(job)
                if done is not None:
                    return done
                question = self._prepare(job)
                client = self._clients.sync(build_connection(self._settings))
                return self._read(job, question, client.ask(question.request), key)
        except QwenVLError as error:
            return self._keep_error(job, error)

    async def _aparse_job(self, job: PageJob | _Unopened) -> tuple[PageJob | _Unopened, ParsedPage]:
        if isinstance(job, _Unopened):
            return job, _fail(job, job.error)
        try:
            with page_noted(job):
                done, key = await asyncio.to_thread(self._find_done, job)
                if done is not None:
                    return job, done
                question = await asyncio.to_thread(self._prepare, job)
                client = self._clients.asynchronous(build_connection(self._settings))
                reply = await client.ask(question.request)
                return job, await asyncio.to_thread(self._read, job, question, reply, key)
        except QwenVLError as error:
            return job, self._keep_error(job, error)

    def _find_done(self, job: PageJob) -> tuple[ParsedPage | None, str | None]:
        """Return a page that an earlier run has done, and its key."""
        if self._ledger is None:
            return None, None
        dpi = self._dpi_of(job)
        key = find_key(job, {**self._asked, "dpi": dpi})
        done = None if key is None else self._ledger.find(key)
        if done is None:
            return None, key
        # The same page may stand in another file now.
        here = replace(done, source=job.source, page=job.page, n_pages=job.n_pages)
        return replace(here, is_resumed=True, origin=self._origin_of(job)), key

    def _prepare(self, job: PageJob) -> _Question:
        """Create the request of one page, which is rendered now."""
        asked = Text(text=self._prompt)
        request = self._make_request(Turn(role="user", parts=(job.held, asked)))
        held: Any = request.turns[0].parts[0]
        # Without the label that stands before it in a conversation.
        ready = prepare_page(held, request)
        size = self._size_of(job, ready)
        frame = None if size is None else find_request_frame(request, ready, size, self._space)
        return _Question(self._make_request(Turn(role="user", parts=(ready, asked))), frame)

    def _make_request(self, turn: Turn) -> Request:
        return build_request(self._settings, (turn,), stream=None, **self._options)

    def _read(self, job: PageJob, question: _Question, reply: Reply, key: str | None) -> ParsedPage:
        frame = question.frame and with_reported_size(question.frame, reply)
        found = self._parse_answer(reply, frame, job.page)
        page = ParsedPage(
            source=job.source,
            page=job.page,
            n_pages=job.n_pages,
            size=frame.image if frame else None,
            dpi=self._dpi_of(job),
            blocks=found.blocks,
            problems=found.problems,
            is_cut_off=found.is_cut_off,
            finish_reason=reply.finish_reason,
            usage=reply.usage and replace(reply.usage, raw={}),
            model=reply.model,
            form=self._form,
            answer=reply.text,
            origin=self._origin_of(job),
        )
        if self._ledger is not None and key is not None:
            self._ledger.add(key, page)
        return page

    def _parse_answer(self, reply: Reply, frame: CoordinateFrame | None, page: int) -> ParsedBlocks:
        is_cut = is_length(reply.finish_reason) or reply.is_truncated
        if self._form == "markdown":
            return parse_markdown(reply.text, frame, page=page, is_cut_off=is_cut)
        # Where the server says nothing, the text does.
        is_known = is_cut or reply.finish_reason == "stop"
        return parse_html(reply.text, frame, page=page, is_cut_off=is_cut if is_known else None)

    def _keep_error(self, job: PageJob, error: QwenVLError) -> ParsedPage:
        if self._raises or isinstance(error, _FATAL):
            raise error
        return _fail(job, error)

    def _finish(self, job: PageJob | _Unopened, page: ParsedPage) -> ParsedPage:
        if page.error:
            where = f"Page {page.page} of {job.source}" if page.page else job.source
            warn(
                f"{where} was not parsed: {page.error.message} The error is in the page's `error`."
            )
        elif page.is_cut_off:
            warn(
                f"Page {page.page} of {page.source} holds more than the answer, which is cut off. "
                "Raise max_tokens, or cut the image into parts."
            )
        if self._on_page is not None:
            self._on_page(page)
        return page

    def _size_of(self, job: PageJob, ready: Image) -> tuple[int, int] | None:
        if job.size is not None:
            return limit_page_size(*job.size) if isinstance(job.held, Document) else job.size
        size: tuple[int, int] | None = getattr(ready.source, "original_size", None)
        return size

    def _dpi_of(self, job: PageJob) -> float | None:
        is_rendered = isinstance(job.held, Document) and job.size is not None
        return (self._dpi or self._policy.pdf_dpi) if is_rendered else None

    def _origin_of(self, job: PageJob) -> PageOrigin:
        is_named = isinstance(job.origin, str | Path)
        source = job.origin if is_named else _bytes_of(job.held)
        return PageOrigin(source=source, page=job.page, dpi=self._dpi, policy=self._policy)


def _bytes_of(held: Image | Document) -> object:
    source: Any = held.source
    for name in ("data", "image", "url"):
        if hasattr(source, name):
            return getattr(source, name)
    return source


def _fail(job: PageJob | _Unopened, error: QwenVLError) -> ParsedPage:
    kept = PageError(type=type(error).__name__, message=str(error), error=error)
    if isinstance(job, _Unopened):
        return ParsedPage(source=job.source, page=0, n_pages=0, error=kept)
    return ParsedPage(source=job.source, page=job.page, n_pages=job.n_pages, error=kept)


def _group(pages: Iterable[ParsedPage]) -> list[ParsedDocument]:
    """Put pages that follow one another into the document that they are of."""
    documents: list[list[ParsedPage]] = []
    for page in pages:
        last = documents[-1][-1] if documents else None
        # Images without a name are separate documents, as is a file that is passed twice.
        is_next = last and last.source == page.source and page.n_pages == last.n_pages > 1
        if is_next and last and page.page not in {other.page for other in documents[-1]}:
            documents[-1].append(page)
        else:
            documents.append([page])
    return [ParsedDocument(source=group[0].source, pages=tuple(group)) for group in documents]
