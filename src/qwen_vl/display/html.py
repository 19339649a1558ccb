"""Results as HTML, for notebooks. All text is escaped, since models write most of it."""

from collections.abc import Iterable, Sequence
from html import escape

MAX_ROWS = 100
MAX_CHARACTERS = 300


def to_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of up to 100 rows; longer text is shortened.

    Args:
        headings: Of the columns.
        rows: A value for each column; `None` is an empty cell.

    Example:
        >>> to_table(["label", "tokens"], [["<b>", "1,200"]])
        '<table><thead><tr><th>label</th><th>tokens</th></tr></thead>\
<tbody><tr><td>&lt;b&gt;</td><td>1,200</td></tr></tbody></table>'
    """
    listed = list(rows)
    head = "".join(f"<th>{to_text(heading)}</th>" for heading in headings)
    body = "".join(
        f"<tr>{''.join(f'<td>{to_text(value)}</td>' for value in row)}</tr>"
        for row in listed[:MAX_ROWS]
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    n_left = len(listed) - MAX_ROWS
    return table + to_note(f"{n_left:,} more rows are not shown.") if n_left > 0 else table


def to_note(text: str) -> str:
    """Return a paragraph; an empty string for empty text.

    Args:
        text: Is escaped.
    """
    return f"<p>{to_text(text)}</p>" if text else ""


def to_text(value: object, most: int = MAX_CHARACTERS) -> str:
    """Return a value as escaped text.

    Args:
        value: Of a cell.
        most: Maximum number of characters.
    """
    if value is None:
        return ""
    text = str(value)
    text = text if len(text) <= most else f"{text[:most]}…"
    # Answers may hold half of a surrogate pair, which a notebook cannot store.
    return escape(text.encode("utf-8", "replace").decode())
