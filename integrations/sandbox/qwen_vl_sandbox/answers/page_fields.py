"""What stands in the images of a request, as values of the fields that a schema asks for."""

from collections.abc import Mapping, Sequence
from typing import Any

from qwen_vl_sandbox.media.hosted import MediaReport
from qwen_vl_sandbox.ocr.coerce import coerce
from qwen_vl_sandbox.ocr.values import PageValues, split_words


class PageFields:
    """Values of several pages: the newest page that has a value counts.

    Args:
        pages: The oldest first.
    """

    def __init__(self, pages: Sequence[PageValues]) -> None:
        self._pages = pages[::-1]

    def find(self, names: Sequence[str], schema: Mapping[str, Any]) -> Any | None:
        """Find the value of a field; `None` if no page has one that the schema allows."""
        for page in self._pages:
            text = page.find(*names)
            value = None if text is None else coerce(text, schema)
            if value is not None:
                return value
        return None

    def rows(self, name: str, fields: Sequence[str]) -> "Sequence[RowFields]":
        """Find the rows of the table that has these fields as columns."""
        found = (page.rows(name, fields) for page in self._pages)
        return [RowFields(row) for row in next(filter(None, found), [])]


class RowFields:
    """Values of one row of a table.

    Args:
        cells: Texts by the names of the fields.
    """

    def __init__(self, cells: Mapping[str, str]) -> None:
        self._cells = {split_words(name): text for name, text in cells.items()}

    def find(self, names: Sequence[str], schema: Mapping[str, Any]) -> Any | None:
        """Find the value of a field."""
        texts = (self._cells.get(split_words(name)) for name in names)
        values = (coerce(text, schema) for text in texts if text is not None)
        return next((value for value in values if value is not None), None)

    def rows(self, name: str, fields: Sequence[str]) -> "Sequence[RowFields]":  # noqa: ARG002 - as of `PageFields`.
        """Return nothing: no table stands in a row."""
        return []


def find_fields(report: MediaReport) -> PageFields | None:
    """Return the values of all images that were read; `None` if none was."""
    pages = [PageValues(seen.lines) for seen in report.sights if seen.lines]
    return PageFields(pages) if pages else None
