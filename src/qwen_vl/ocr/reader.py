"""Reads images and pages of PDF and TIFF files, by a task of the OCR models."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from functools import partial
from typing import Any

from qwen_vl.client import ClientCache
from qwen_vl.content import Image, Turn
from qwen_vl.display.html import to_note
from qwen_vl.errors import ConfigurationError, warn
from qwen_vl.generators import Owned, map_in_order
from qwen_vl.media.page_jobs import PageJob, find_page_jobs, page_noted
from qwen_vl.media.prepare import prepare_page
from qwen_vl.ocr.results import OcrResult, read_ocr_result
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_connection, build_media_policy, build_request
from qwen_vl.request.ocr import OcrTask
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings

DEFAULT_CONCURRENCY = 4
"""Pages that an asynchronous reader asks about at the same time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OcrPage:
    """What was read of one page or image.

    Args:
        source: Where it is from: a path or a URL, or what kind of thing it was.
        page: Number of the page, from 1 on; 1 for an image.
        n_pages: Pages of the whole document, those that were not asked for too.
        result: What was found.
    """

    source: str
    page: int
    n_pages: int
    result: OcrResult

    def to_metadata(self) -> dict[str, Any]:
        """Return all fields except the text as JSON values; see `OcrResult.to_metadata`.

        Example:
            >>> result = OcrResult(task="text_recognition", text="Hello")
            >>> OcrPage(source="a.pdf", page=2, n_pages=3, result=result).to_metadata()
            {'source': 'a.pdf', 'page': 2, 'total_pages': 3, 'task': 'text_recognition'}
        """
        place = {"source": self.source, "page": self.page, "total_pages": self.n_pages}
        return {**place, **self.result.to_metadata()}

    def _repr_html_(self) -> str:
        """Return what notebooks show: where the page is from, and what was read."""
        heading = to_note(f"Page {self.page} of {self.n_pages} of {self.source}.")
        return heading + self.result._repr_html_()


class OcrReader:
    """Reads images and pages of PDF and TIFF files: one request for each of them.

    Args:
        settings: The model to ask, how to reach it, and how pages are rendered: `pdf_dpi`,
            `pdf_max_pages`, `media_roots`, `downscale_images`. A task among them holds where none
            is given here.
        task: What to do with each; plain text where nothing says otherwise.
        result_schema: What `"key_information_extraction"` should find.
        pages: Which pages of each PDF or TIFF: `[1, 2, 7]` or `"1-2,7"`; all of them if `None`.
        dpi: Dots per inch at which they are rendered; `pdf_dpi` where none is given. Places count
            in pixels of the page at this resolution, up to 16.7 megapixels: what would be larger
            (A4 beyond 410 dots per inch) is rendered at that size.
        max_concurrency: Maximum number of pages that `aread` asks about at the same time.

    Raises:
        ConfigurationError: `max_concurrency` is less than 1, or the task cannot be asked for.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     settings = QwenVLSettings(
        ...         model="qwen-vl-ocr", base_url=sandbox.base_url, api_key="sk-sandbox"
        ...     )
        ...     (page,) = OcrReader(settings).read([CHELSEA])
        >>> page.result.text
        'sandbox, not a model; received PNG 451x300...'
    """

    def __init__(
        self,
        settings: QwenVLSettings,
        *,
        task: OcrTask | None = None,
        result_schema: Mapping[str, Any] | None = None,
        pages: str | Sequence[int] | None = None,
        dpi: float | None = None,
        max_concurrency: int = DEFAULT_CONCURRENCY,
    ) -> None:
        if max_concurrency < 1:
            raise ConfigurationError(
                f"max_concurrency is {max_concurrency}; at least one page must be asked about."
            )
        self._settings = settings
        self._task: OcrTask = task or settings.ocr_task or "text_recognition"
        # A schema of the model belongs to the model's own task.
        is_own = result_schema is None and self._task == settings.ocr_task
        self._schema = settings.result_schema if is_own else result_schema
        self._pages = pages
        self._dpi = dpi
        self._max_concurrency = max_concurrency
        self._clients = ClientCache()
        # An invalid task raises before the first file is opened.
        self._make_request(Turn(role="user", parts=()))

    def read(self, sources: Iterable[object]) -> Iterator[OcrPage]:
        """Read one page after the other, in order, each when it is wanted.

        Args:
            sources: Images, PDF and TIFF documents: paths, URLs of images, bytes, open files,
                decoded images. Text is a URL or else a path, which counts as the program's
                own word; `media_roots` still applies.

        Raises:
            MediaError: A file cannot be read, or is neither image nor PDF.
            MissingExtraError: A PDF is to be read, and pypdfium2 is not installed.
            AnswerFormatError: An answer does not have the form of the task.
            ServiceError: The endpoint answered with an error, or not at all. A note on any of
                these names the page.
        """
        for job in self._find_jobs(sources):
            with page_noted(job):
                request = self._prepare(job)
                reply = self._clients.sync(build_connection(self._settings)).ask(request)
                page = self._to_page(job, reply)
            yield page

    async def aread(self, sources: Iterable[object]) -> AsyncIterator[OcrPage]:
        """Read several pages at the same time, and give them in order; see `read`.

        Files are read and pages rendered in threads. At most `max_concurrency` pages are under way
        or wait to be taken. A caller that stops early cancels the requests that are under way.

        Args:
            sources: As of `read`.
        """
        found: Any = map_in_order(self._aread_page, self._find_jobs(sources), self._max_concurrency)
        async with Owned(found) as pages:
            async for page in pages:
                yield page

    async def _aread_page(self, job: PageJob) -> OcrPage:
        with page_noted(job):
            request = await asyncio.to_thread(self._prepare, job)
            client = self._clients.asynchronous(build_connection(self._settings))
            return self._to_page(job, await client.ask(request))

    def make_question(self, job: PageJob) -> tuple[Request, Callable[[Reply], OcrPage]]:
        """Return what is asked about one page, which is rendered now, and what reads the answer.

        Args:
            job: From `find_page_jobs`.

        Raises:
            MediaError: The page cannot be rendered or sent.
        """
        return self._prepare(job), partial(self._to_page, job)

    def _find_jobs(self, sources: Iterable[object]) -> Generator[PageJob, None, None]:
        policy = build_media_policy(self._settings)
        return find_page_jobs(sources, policy, pages=self._pages, dpi=self._dpi)

    def _prepare(self, job: PageJob) -> Request:
        """Create the request of one page, which is rendered now."""
        request = self._make_request(Turn(role="user", parts=(job.held,)))
        held: Any = request.turns[0].parts[0]
        if isinstance(held, Image) and held.pages is None:
            return request
        # Without the label that stands before it in a conversation.
        page = prepare_page(held, request)
        return self._make_request(Turn(role="user", parts=(page,)))

    def _make_request(self, turn: Turn) -> Request:
        return build_request(
            self._settings,
            (turn,),
            stream=None,
            ocr_task=self._task,
            result_schema=self._schema,
        )

    def _to_page(self, job: PageJob, reply: Reply) -> OcrPage:
        if reply.finish_reason == "length":
            warn(
                f"Page {job.page} of {job.source} holds more than the model may write in one "
                "answer, which is cut off. Raise max_tokens, or cut the image into parts."
            )
        result = read_ocr_result(self._task, reply.text, reply.ocr_result)
        return OcrPage(source=job.source, page=job.page, n_pages=job.n_pages, result=result)
