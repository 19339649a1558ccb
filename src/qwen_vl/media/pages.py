"""Pages of documents, PDF or TIFF: which are chosen, and the label before each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Never

from qwen_vl.content import Document, Image, LocalFile, to_plain_number
from qwen_vl.errors import MediaOptionError, MediaTooLargeError
from qwen_vl.media.data_url import excerpt

_RANGE = re.compile(r"\s*+(\d{1,9})\s*+(?:-\s*+(\d{1,9})\s*+)?")
# "1-999999999" would be a list of as many numbers before the document is opened.
_MAX_PAGE_NUMBERS = 100_000


@dataclass(frozen=True, slots=True)
class PageSize:
    """A page that would be sent.

    Args:
        number: The page, from 1 on.
        total: Number of all pages of the document.
        label: The text before it.
        size: Width and height in pixels, before any downscaling.
    """

    number: int
    total: int
    label: str
    size: tuple[int, int]


def label_page(part: Document | Image, number: int, total: int) -> str:
    """Return the text that is sent before a page.

    Args:
        part: What has pages. Without a title, the name of a file is shown.
        number: The page, from 1 on.
        total: Number of all pages.

    Example:
        >>> from pathlib import Path
        >>> report = Document(source=LocalFile(Path("/docs/report.pdf"), is_trusted=True))
        >>> label_page(report, 3, 6)
        'Page 3 of 6 of "report.pdf":'
    """
    title = title_of(part)
    name = f' of "{title}"' if title else ""
    return f"Page {number} of {total}{name}:"


def measure_page(
    part: Document | Image, number: int, total: int, size: tuple[int, int]
) -> PageSize:
    """Return what is known of a page before it is rendered.

    Args:
        part: What has pages.
        number: The page, from 1 on.
        total: Number of all pages.
        size: Width and height in pixels.
    """
    return PageSize(number, total, label_page(part, number, total), size)


def title_of(part: Document | Image) -> str:
    """Return the title of a document, or the name of its file; empty if it has neither.

    Args:
        part: What has pages.
    """
    if part.title:
        return part.title
    return part.source.path.name if isinstance(part.source, LocalFile) else ""


def choose_pages(part: Document | Image, total: int, max_pages: int) -> list[int]:
    """Return the numbers of the pages to send, from 1 on.

    Args:
        part: What has pages.
        total: Number of all pages.
        max_pages: Maximum number of pages to send.

    Raises:
        MediaOptionError: A page that the document does not have.
        MediaTooLargeError: More than `max_pages`.
    """
    where = part.where
    if part.pages is None:
        numbers = list(range(1, total + 1))
    else:
        numbers = read_page_numbers(part.pages, where)
    beyond = next((number for number in numbers if number > total), None)
    if beyond is not None:
        raise MediaOptionError(
            f"Page {beyond} does not exist: the document has {total}.",
            where=where,
            value=beyond,
            limit=total,
            remedy=f'Choose pages from 1 to {total}: pages="1-{total}".',
        )
    if len(numbers) > max_pages:
        raise MediaTooLargeError(
            f"The document has {len(numbers)} pages to send; at most {max_pages} are taken.",
            where=where,
            value=len(numbers),
            limit=max_pages,
            remedy=f'Choose some, pages="1-{max_pages}", or raise pdf_max_pages.',
        )
    return numbers


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
    if not isinstance(pages, str | Sequence):
        _refuse_pages(pages, where)
    numbers: list[int] = []
    for piece in pages.split(",") if isinstance(pages, str) else map(to_plain_number, pages):
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


def _refuse_pages(pages: object, where: str) -> Never:
    shown = excerpt(pages) if isinstance(pages, str) else repr(pages)
    raise MediaOptionError(
        f"pages is {shown}, which are not page numbers.",
        where=where,
        value=pages,
        remedy='Write numbers from 1 on: pages=[1, 2, 7], or pages="1-2,7".',
    )
