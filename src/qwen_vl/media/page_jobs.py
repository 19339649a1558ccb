"""What readers of files read one after the other: images, and pages of PDF and TIFF files."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from qwen_vl.content import (
    DataUrl,
    Document,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Pixels,
    Source,
    Url,
    is_remote,
    to_source,
)
from qwen_vl.errors import MediaFormatError, QwenVLError
from qwen_vl.media.downscale import MAX_FILE_BYTES
from qwen_vl.media.load import load
from qwen_vl.media.measure import measure_pages
from qwen_vl.media.pages import choose_pages
from qwen_vl.media.pdf.document import PDF_TYPE
from qwen_vl.media.sniff import sniff
from qwen_vl.media.tiff import TIFF_TYPE, is_paged, write_pages
from qwen_vl.request.types import MediaPolicy

_MAX_SHOWN_URL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class PageJob:
    """One page or image that is yet to be read.

    Args:
        source: Where it is from: a path or a URL, or what kind of thing it was.
        page: Number of the page, from 1 on; 1 for an image.
        n_pages: Pages of the whole document, those that were not asked for too.
        origin: The source as the caller passed it.
        held: The image, or the document of which this one page is wanted.
        size: Width and height of a page in pixels, before any downscaling; `None` for an image.
    """

    source: str
    page: int
    n_pages: int
    origin: object = field(repr=False)
    held: Image | Document
    size: tuple[int, int] | None = None


def find_page_jobs(
    sources: Iterable[object],
    policy: MediaPolicy,
    *,
    pages: str | Sequence[int] | None = None,
    dpi: float | None = None,
    first: int = 0,
) -> Generator[PageJob, None, None]:
    """Find the images and pages of sources, each source when it is wanted.

    Args:
        sources: Images, PDF and TIFF documents: paths, URLs of images, bytes, open files,
            decoded images. Text is a URL or else a path, which counts as the program's own word;
            `media_roots` still applies.
        policy: Which files may be read, `pdf_dpi` and `pdf_max_pages`.
        pages: Which pages of each PDF or TIFF; all of them if `None`.
        dpi: Dots per inch at which they are rendered; `pdf_dpi` if `None`.
        first: Number of the first source, by which errors name it: `sources[0]`.

    Raises:
        MediaError: A file cannot be read, or is neither image nor PDF.
        MissingExtraError: A PDF is to be read, and pypdfium2 is not installed.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> (job,) = find_page_jobs([CHELSEA], MediaPolicy())
        >>> job.page, job.n_pages
        (1, 1)
    """
    for index, value in enumerate(sources, first):
        where = f"sources[{index}]"
        source = _to_source(value, where)
        name = name_source(source)
        held = _open(Document(source=source, pages=pages, dpi=dpi, where=where), policy)
        sizes = measure_pages(held, policy)
        if isinstance(sizes, Image):
            # Its pages are chosen of documents only.
            image = replace(sizes, pages=None)
            yield PageJob(source=name, page=1, n_pages=1, origin=value, held=image)
            continue
        for page in sizes:
            one = replace(held, pages=[page.number])
            yield PageJob(
                source=name,
                page=page.number,
                n_pages=page.total,
                origin=value,
                held=one,
                size=page.size,
            )


def open_page(page: Document, policy: MediaPolicy) -> Image | Document:
    """Read the source of a single page.

    Args:
        page: A PDF, TIFF or image, and the number of one page.
        policy: Which files may be read.

    Returns:
        A document, or the image if the source is one; it has page 1 only.

    Raises:
        MediaError: The file cannot be read, or lacks the page.
    """
    held = _open(page, policy)
    if isinstance(held, Document):
        return held
    image = replace(held, max_pixels=page.max_pixels)
    choose_pages(page, 1, policy.pdf_max_pages)
    return image


@contextmanager
def page_noted(job: PageJob) -> Iterator[None]:
    """Add a note that names the page to errors of this package.

    Args:
        job: The page.
    """
    try:
        yield
    except QwenVLError as error:
        error.add_note(f"Page {job.page} of {job.n_pages} of {job.source}.")
        raise


def _open(document: Document, policy: MediaPolicy) -> Image | Document:
    """Read a source, to distinguish images from documents; URLs are never fetched here."""
    source, where = document.source, document.where
    if isinstance(source, Pixels):
        if is_paged(source.image):
            # Threads prepare pages at the same time, and an image stands at one of them.
            data = write_pages(source.image, where)
            return replace(document, source=Inline(data, TIFF_TYPE))
        return Image(source=source, where=where)
    if isinstance(source, Url) and is_remote(source.url):
        is_pdf = source.url.partition("?")[0].lower().endswith(".pdf")
        return document if is_pdf else Image(source=source, where=where)
    longest = max(policy.max_inline_bytes, MAX_FILE_BYTES)
    data = load(source, replace(policy, max_inline_bytes=longest), where).data
    if sniff(data) in {PDF_TYPE, TIFF_TYPE}:
        return replace(document, source=Inline(data))
    return Image(source=Inline(data), where=where)


def _to_source(value: object, where: str) -> Source:
    if isinstance(value, LocalFile | Url):
        return value
    source = to_source(value)
    if isinstance(value, str) and not isinstance(source, Url):
        # Not text of a message: the caller of a reader names files, and Base64 is not a file name.
        path = source.path if isinstance(source, LocalFile) else Path(value)
        return LocalFile(path, is_trusted=True)
    if source is None:
        raise MediaFormatError(
            f"A {type(value).__name__} is nothing to read.",
            where=where,
            value=type(value).__name__,
            remedy="Pass paths, URLs, bytes, open files or decoded images.",
        )
    return source


def name_source(source: Source) -> str:
    """Return how a source is named: its path or URL, or what kind of thing it is.

    Args:
        source: Any.
    """
    match source:
        case LocalFile():
            return str(source.path)
        case Url():
            url = source.url
            return url if len(url) <= _MAX_SHOWN_URL else f"{url[:60]}…"
        case OpenFile():
            name = getattr(source.file, "name", None)
            return name if isinstance(name, str) else "an open file"
        case Inline() | DataUrl():
            return "bytes"
        case Pixels():
            return "a decoded image"
