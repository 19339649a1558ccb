"""PDF documents: their pages as images, each behind a label that says which it is.

The service takes no documents. Nothing is rendered larger than the size that the model processes.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any, Never

from qwen_vl.content import (
    DataUrl,
    Document,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Pixels,
    Text,
    Url,
    is_remote,
)
from qwen_vl.errors import (
    MediaFormatError,
    MediaOptionError,
    MediaTooLargeError,
    extra_required,
)
from qwen_vl.media.cache_keys import CachedImages, hash_bytes
from qwen_vl.media.data_url import MediaBytes, to_data_url
from qwen_vl.media.downscale import MAX_FILE_BYTES, Resize, find_sent_size
from qwen_vl.media.encode import encode_compact
from qwen_vl.media.image import check_size
from qwen_vl.media.load import check_inline_bytes, check_seekable, load
from qwen_vl.media.pages import PageSize, choose_pages, label_page, measure_page, title_of
from qwen_vl.media.pdf.page_text import PageText, TextWord, to_page_text, to_words
from qwen_vl.media.pdf.renderer import OpenedPdf, PdfError, PdfLimitError, opened_pdf
from qwen_vl.media.sniff import describe, holds_pdf, sniff
from qwen_vl.media.tiff import TIFF_HEADS, TIFF_TYPE
from qwen_vl.request.types import MediaPolicy

PDF_TYPE = "application/pdf"

_POINTS_PER_INCH = 72
_MIN_DPI, _MAX_DPI = 20, 600
# Where the size at which the model looks is not known: the highest that any of them has.
_MOST_PIXELS = 16_777_216


def reads_pdf() -> bool:
    """Return whether what reads PDF documents is installed."""
    return importlib.util.find_spec("pypdfium2") is not None


def render_pages(
    document: Document, policy: MediaPolicy, resize: Resize | None = None
) -> list[Text | Image]:
    """Render the pages of a document.

    Args:
        document: Where it is, and which pages are wanted.
        policy: Which files may be read, `pdf_dpi` and `pdf_max_pages`.
        resize: Computes the size at which the model sees a page; no page becomes larger.

    Returns:
        For each page a label and an image, PNG or JPEG; for a TIFF one image, which has pages.

    Raises:
        MediaError: Neither PDF nor TIFF, damaged, encrypted, or more pages than are allowed.
        MissingExtraError: pypdfium2 is not installed.
    """
    data = _read(document, policy)
    if data[:4] in TIFF_HEADS:
        return [to_image(document, data)]
    dpi = _check_dpi(document.dpi or policy.pdf_dpi, document.where)
    parts: list[Text | Image] = []
    cached = CachedImages(policy, dpi, resize)
    identity = hash_bytes(data) if cached.is_on else None
    with _opened(document, data, policy) as opened:
        total = opened.n_pages
        for number in choose_pages(document, total, policy.pdf_max_pages):
            where = f"{document.where}.pages[{number}]"
            key = identity and (identity, number)
            page = cached.get(key) or _render(opened, number - 1, dpi, resize, where)
            check_inline_bytes(page.n_bytes, policy.max_inline_bytes, where)
            cached.put(key, page)
            image = Image(
                source=page,
                min_pixels=document.min_pixels,
                max_pixels=document.max_pixels,
                where=where,
            )
            parts += [Text(text=label_page(document, number, total), where=where), image]
    if document.cache_control is not None:
        parts[-1] = replace(parts[-1], cache_control=document.cache_control)
    return parts


def to_image(document: Document, data: bytes) -> Image:
    """Return a TIFF that was given as a document as an image, which has pages as well.

    Args:
        document: Where it is, and which pages are wanted.
        data: Its bytes.
    """
    return Image(
        source=Inline(data, TIFF_TYPE),
        min_pixels=document.min_pixels,
        max_pixels=document.max_pixels,
        pages=document.pages,
        title=title_of(document) or None,
        cache_control=document.cache_control,
        where=document.where,
    )


def measure_pdf_pages(document: Document, policy: MediaPolicy) -> Image | list[PageSize]:
    """Return the sizes of the pages that would be rendered, in pixels, without rendering them.

    Args:
        document: Where it is, and which pages are wanted.
        policy: As of `render_pages`.

    Returns:
        Labels and sizes; for a TIFF the image that has its pages.

    Raises:
        MediaError: As of `render_pages`.
        MissingExtraError: pypdfium2 is not installed.
    """
    if isinstance(document.source, OpenFile):
        # What is only measured is sent later.
        check_seekable(document.source.file, document.where)
    data = _read(document, policy)
    if data[:4] in TIFF_HEADS:
        return to_image(document, data)
    dpi = _check_dpi(document.dpi or policy.pdf_dpi, document.where)
    with _opened(document, data, policy) as opened:
        total = opened.n_pages
        numbers = choose_pages(document, total, policy.pdf_max_pages)
        sizes = opened.measure([number - 1 for number in numbers])
        return [
            measure_page(document, number, total, _size_of(points, dpi))
            for number, points in zip(numbers, sizes, strict=True)
        ]


def read_page_texts(document: Document, policy: MediaPolicy) -> list[PageText]:
    """Return the text that pages of a PDF hold, without rendering them.

    Args:
        document: Where it is, and which pages are wanted; not a TIFF.
        policy: Which files may be read, `pdf_max_pages` and `pdf_timeout`.

    Returns:
        One for each page; without text for a page that is only an image.

    Raises:
        MediaError: As of `render_pages`.
        MissingExtraError: pypdfium2 is not installed.
    """
    data = _read(document, policy)
    with _opened(document, data, policy) as opened:
        numbers = choose_pages(document, opened.n_pages, policy.pdf_max_pages)
        return [to_page_text(number, *opened.read_text(number - 1)) for number in numbers]


def read_page_words(document: Document, policy: MediaPolicy) -> list[tuple[TextWord, ...]]:
    """Return the words of pages of a PDF, and where each stands.

    Args:
        document: As of `read_page_texts`.
        policy: As of `read_page_texts`.

    Raises:
        MediaError: As of `render_pages`.
        MissingExtraError: pypdfium2 is not installed.
    """
    data = _read(document, policy)
    with _opened(document, data, policy) as opened:
        numbers = choose_pages(document, opened.n_pages, policy.pdf_max_pages)
        return [to_words(opened.read_words(number - 1)) for number in numbers]


@contextmanager
def _opened(document: Document, data: bytes, policy: MediaPolicy) -> Iterator[OpenedPdf]:
    with extra_required("A PDF", extra="pdf"):
        import_module("pypdfium2")
    try:
        with opened_pdf(
            data, timeout=policy.pdf_timeout, max_memory=policy.max_decode_memory
        ) as opened:
            yield opened
    except PdfLimitError as error:
        raise MediaTooLargeError(
            f"The PDF cannot be rendered: {error}.",
            where=document.where,
            value=len(data),
            remedy="Leave the page out (pages=…), or raise the limit if you trust its source.",
        ) from error
    except PdfError as error:
        _refuse_document(document, data, error)


def _read(document: Document, policy: MediaPolicy) -> bytes:
    source = document.source
    if isinstance(source, Url) and is_remote(source.url):
        raise MediaFormatError(
            "The service fetches no documents.",
            where=document.where,
            value=source.url,
            remedy="Download it, and give its bytes or a pathlib.Path.",
        )
    data = b""
    if isinstance(source, Url | Inline | LocalFile | OpenFile):
        longest = max(policy.max_inline_bytes, MAX_FILE_BYTES)
        data = load(source, replace(policy, max_inline_bytes=longest), document.where).data
    # What is called a document may begin like something else, before the header of a PDF.
    if sniff(data) in {PDF_TYPE, TIFF_TYPE} or holds_pdf(data):
        return data
    looks = "a decoded image" if isinstance(source, Pixels) else describe(data)
    raise MediaFormatError(
        f"Expected a PDF, but this looks like {looks}.",
        where=document.where,
        value=looks,
        limit="PDF or TIFF",
        remedy="Pass text as text, and images as images.",
    )


def _render(
    opened: OpenedPdf, index: int, dpi: float, resize: Resize | None, where: str
) -> DataUrl:
    (points,) = opened.measure([index])
    width, height = _size_of(points, dpi)
    check_size(width, height, where)
    sent = resize and find_sent_size(width, height, resize)
    scaled_width, scaled_height = limit_page_size(*(sent or (width, height)))
    scale = max(scaled_width / points[0], scaled_height / points[1])
    image = opened.render(index, scale)
    if image.size != (scaled_width, scaled_height):
        image = image.resize((scaled_width, scaled_height))
    media_type, data = encode_compact(image)
    made = to_data_url(media_type, MediaBytes(data), image.size)
    return replace(made, original_size=image.size)


def limit_page_size(width: int, height: int) -> tuple[int, int]:
    """Return the size at which a page is rendered, which is at most 16.7 megapixels.

    Args:
        width: Pixels, as `dpi` says.
        height: Pixels.

    Example:
        >>> limit_page_size(1240, 1754), limit_page_size(8192, 8192)
        ((1240, 1754), (4096, 4096))
    """
    if width * height <= _MOST_PIXELS:
        return width, height
    downscale = (_MOST_PIXELS / (width * height)) ** 0.5
    return int(width * downscale), int(height * downscale)


def _size_of(points: tuple[float, float], dpi: float) -> tuple[int, int]:
    scaled_width, scaled_height = points
    return round(scaled_width * dpi / _POINTS_PER_INCH), round(
        scaled_height * dpi / _POINTS_PER_INCH
    )


def _check_dpi(dpi: Any, where: str) -> float:
    is_number = isinstance(dpi, int | float) and not isinstance(dpi, bool)
    if is_number and _MIN_DPI <= dpi <= _MAX_DPI:
        return float(dpi)
    raise MediaOptionError(
        f"dpi is {dpi!r}; it must be from {_MIN_DPI} to {_MAX_DPI} dots per inch.",
        where=where,
        value=dpi,
        limit=f"{_MIN_DPI} to {_MAX_DPI}",
        remedy="150 makes small print readable.",
    )


def _refuse_document(document: Document, data: bytes, error: Exception) -> Never:
    problem = f"The PDF cannot be read: {str(error).rstrip('.')}."
    remedy = "Copy or download it again."
    if b"/Encrypt" in data:
        problem, remedy = "The PDF is encrypted.", "Save it without a password first."
    raise MediaFormatError(problem, where=document.where, value=len(data), remedy=remedy) from error
