"""PDF documents: their pages as pictures, each behind a label that says which it is.

The service takes no documents. Nothing is rendered larger than the model looks at it.
"""

import importlib.util
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Never

from qwen_vl.content import (
    Document,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Pixels,
    Text,
    ToolResult,
    Turn,
    Url,
    is_remote,
)
from qwen_vl.errors import (
    ContentError,
    MediaFormatError,
    MediaOptionError,
    MediaTooLargeError,
    MissingExtraError,
)
from qwen_vl.media.data_url import excerpt
from qwen_vl.media.downscale import MAX_FILE_BYTES, Resize, encode_compact, is_worth_shrinking
from qwen_vl.media.image import check_size
from qwen_vl.media.load import load
from qwen_vl.media.sniff import describe, sniff
from qwen_vl.media.tool_content import ToolNotes
from qwen_vl.process_local import ProcessLocal
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.specs.models import get_model_spec, is_service_model
from qwen_vl.specs.vision import resize_image

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage
    from pypdfium2 import PdfDocument, PdfPage

PDF_TYPE = "application/pdf"

_POINTS_PER_INCH = 72
_MIN_DPI, _MAX_DPI = 20, 600
# Where the size at which the model looks is not known: the highest that any of them has.
_MOST_PIXELS = 16_777_216
_RANGE = re.compile(r"\s*+(\d{1,9})\s*+(?:-\s*+(\d{1,9})\s*+)?")
# "1-999999999" would be a list of as many numbers before the document has been looked at.
_MAX_PAGE_NUMBERS = 100_000

_in_use = ProcessLocal(threading.Lock)
"""PDFium must not be used by two threads at the same time, whatever the documents."""


def reads_pdf() -> bool:
    """Tell whether what reads PDF documents is installed."""
    return importlib.util.find_spec("pypdfium2") is not None


def expand_documents(request: Request, notes: ToolNotes | None = None) -> Request:
    """Put the pages of each document in its place.

    Args:
        request: Stays as it is.
        notes: Takes the place of documents from tools that cannot be read; the default raises or
            notes as the request's policy says.

    Returns:
        A request without documents; the same object if there were none.

    Raises:
        MediaError: As of `render_pages`.
        MissingExtraError: As of `render_pages`.
    """
    if not any(holds_document(turn) for turn in request.turns):
        return request
    notes = notes or ToolNotes(request.policy)
    made = _Expansion(request.policy, find_page_resize(request), notes)
    return replace(request, turns=tuple(made.expand(turn) for turn in request.turns))


def find_page_resize(request: Request) -> Resize | None:
    """Find the size at which the model looks at a page, if none shall be rendered larger.

    Args:
        request: What will be asked.
    """
    spec = get_model_spec(request.model)
    scaled_height = bool(request.parameters.get("vl_high_resolution_images"))
    knows = request.policy.downscale_images
    if not (is_service_model(request.model) if knows is None else knows):
        return None
    return lambda width, height: resize_image(width, height, spec, high_resolution=scaled_height)


def holds_document(turn: Turn | ToolResult) -> bool:
    """Tell whether anything that a turn says is a document.

    Args:
        turn: Or a tool's result.
    """
    return any(
        isinstance(part, Document) or (isinstance(part, ToolResult) and holds_document(part))
        for part in turn.parts
    )


@dataclass(frozen=True, slots=True)
class _Expansion:
    policy: MediaPolicy
    resize: Resize | None
    notes: ToolNotes

    def expand(self, holder: Any) -> Any:
        if not holds_document(holder):
            return holder
        parts: list[Any] = []
        for part in holder.parts:
            if isinstance(part, Document):
                parts += self._render(part, holder)
            else:
                parts.append(self.expand(part) if isinstance(part, ToolResult) else part)
        return replace(holder, parts=tuple(parts))

    def _render(self, document: Document, holder: Turn | ToolResult) -> list[Any]:
        try:
            return list(render_pages(document, self.policy, self.resize))
        except ContentError as error:
            if isinstance(holder, ToolResult):
                return [self.notes.replace(document, error)]
            raise


def render_pages(
    document: Document, policy: MediaPolicy, resize: Resize | None = None
) -> list[Text | Image]:
    """Render the pages of a document.

    Args:
        document: Where it is, and which pages are wanted.
        policy: Which files may be read, `pdf_dpi` and `pdf_max_pages`.
        resize: Gives the size at which the model looks at a picture; no page becomes larger.

    Returns:
        For each page a label and a picture, PNG or JPEG.

    Raises:
        MediaError: No PDF, damaged, encrypted, or more pages than are allowed.
        MissingExtraError: pypdfium2 is not installed.
    """
    dpi = _check_dpi(document.dpi or policy.pdf_dpi, document.where)
    parts: list[Text | Image] = []
    with _opened(document, policy) as opened:
        total = len(opened)
        name = f' of "{document.title}"' if document.title else ""
        for number in _choose_pages(document, total, policy.pdf_max_pages):
            where = f"{document.where}.pages[{number}]"
            data = _render(opened[number - 1], dpi, resize, where)
            label = f"Page {number} of {total}{name}:"
            parts += [Text(text=label, where=where), Image(source=Inline(data), where=where)]
    if document.cache_control is not None:
        parts[-1] = replace(parts[-1], cache_control=document.cache_control)
    return parts


def measure_pages(document: Document, policy: MediaPolicy) -> list[tuple[int, int]]:
    """Tell the sizes of the pages that would be rendered, in pixels, without rendering them.

    Args:
        document: Where it is, and which pages are wanted.
        policy: As of `render_pages`.

    Raises:
        MediaError: As of `render_pages`.
        MissingExtraError: pypdfium2 is not installed.
    """
    dpi = _check_dpi(document.dpi or policy.pdf_dpi, document.where)
    with _opened(document, policy) as opened:
        numbers = _choose_pages(document, len(opened), policy.pdf_max_pages)
        return [_size_of(opened.get_page_size(number - 1), dpi) for number in numbers]


def find_pages(document: Document, policy: MediaPolicy) -> tuple[list[int], int]:
    """Tell which pages are wanted, and how many there are, without rendering any.

    Args:
        document: Where it is, and which pages are wanted.
        policy: As of `render_pages`.

    Returns:
        Numbers of pages, from 1 on, and the number of all pages.

    Raises:
        MediaError: As of `render_pages`.
        MissingExtraError: pypdfium2 is not installed.
    """
    with _opened(document, policy) as opened:
        total = len(opened)
        return _choose_pages(document, total, policy.pdf_max_pages), total


def read_page_numbers(pages: str | Sequence[int], where: str) -> list[int]:
    """Read which pages are wanted.

    Args:
        pages: Numbers from 1 on, as `[1, 2, 7]` or as `"1-2,7"`.
        where: The part, for errors.

    Raises:
        MediaOptionError: Neither.

    Example:
        >>> read_page_numbers("1-3, 7", "")
        [1, 2, 3, 7]
    """
    numbers: list[int] = []
    for piece in pages.split(",") if isinstance(pages, str) else pages:
        if isinstance(piece, int) and not isinstance(piece, bool) and piece > 0:
            numbers.append(piece)
            continue
        found = _RANGE.fullmatch(piece) if isinstance(piece, str) else None
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 0 < first <= last or len(numbers) + last - first >= _MAX_PAGE_NUMBERS:
            _refuse_pages(pages, where)
        numbers += range(first, last + 1)
    if not numbers:
        _refuse_pages(pages, where)
    return numbers


@contextmanager
def _opened(document: Document, policy: MediaPolicy) -> "Iterator[PdfDocument]":
    data = _read(document, policy)
    try:
        import pypdfium2  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError("A PDF", extra="pdf") from error
    with _in_use.get():
        try:
            opened = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            _refuse_document(document, data, error)
        try:
            yield opened
        except ContentError:
            raise
        except pypdfium2.PdfiumError as error:
            _refuse_document(document, data, error)
        finally:
            opened.close()


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
    if sniff(data) == PDF_TYPE:
        return data
    looks = "a decoded picture" if isinstance(source, Pixels) else describe(data)
    raise MediaFormatError(
        f"A PDF is wanted, but this looks like {looks}.",
        where=document.where,
        value=looks,
        limit="PDF",
        remedy="Pass text as text, and pictures as pictures.",
    )


def _choose_pages(document: Document, total: int, max_pages: int) -> list[int]:
    where = document.where
    if document.pages is None:
        numbers = list(range(1, total + 1))
    else:
        numbers = read_page_numbers(document.pages, where)
    beyond = next((number for number in numbers if number > total), None)
    if beyond is not None:
        raise MediaOptionError(
            f"Page {beyond} is wanted, but the document has {total}.",
            where=where,
            value=beyond,
            limit=total,
            remedy=f'Choose pages from 1 to {total}: pages="1-{total}".',
        )
    if len(numbers) > max_pages:
        raise MediaTooLargeError(
            f"The document has {len(numbers)} pages to look at; at most {max_pages} are taken.",
            where=where,
            value=len(numbers),
            limit=max_pages,
            remedy=f'Choose some, pages="1-{max_pages}", or raise pdf_max_pages.',
        )
    return numbers


def _render(page: "PdfPage", dpi: float, resize: Resize | None, where: str) -> bytes:
    points = page.get_size()
    width, height = _size_of(points, dpi)
    check_size(width, height, where)
    scaled_width, scaled_height = width, height
    if resize and is_worth_shrinking(width, height, resize):
        scaled_width, scaled_height = resize(width, height)
    if scaled_width * scaled_height > _MOST_PIXELS:
        downscale = (_MOST_PIXELS / (scaled_width * scaled_height)) ** 0.5
        scaled_width, scaled_height = int(scaled_width * downscale), int(scaled_height * downscale)
    scale = max(scaled_width / points[0], scaled_height / points[1])
    image: PillowImage = page.render(scale=scale).to_pil()
    if image.size != (scaled_width, scaled_height):
        image = image.resize((scaled_width, scaled_height))
    return encode_compact(image)[1]


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


def _refuse_pages(pages: object, where: str) -> Never:
    shown = excerpt(pages) if isinstance(pages, str) else repr(pages)
    raise MediaOptionError(
        f"pages is {shown}, which are no page numbers.",
        where=where,
        value=pages,
        remedy='Write numbers from 1 on: pages=[1, 2, 7], or pages="1-2,7".',
    )


def _refuse_document(document: Document, data: bytes, error: Exception) -> Never:
    problem = f"The PDF cannot be read: {str(error).rstrip('.')}."
    remedy = "Copy or download it again."
    if b"/Encrypt" in data:
        problem, remedy = "The PDF is encrypted.", "Save it without a password first."
    raise MediaFormatError(problem, where=document.where, value=len(data), remedy=remedy) from error
