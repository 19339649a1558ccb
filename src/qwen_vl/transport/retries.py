"""Whether and when a request is sent again.

The rules are those of the `openai` SDK, which the service's pages recommend as a client.
"""

import random
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus

_PASSING = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}
)
_FIRST_SECONDS = 0.5
_MOST_SECONDS = 8.0
_LONGEST_WISH_SECONDS = 60.0
_JITTER = 0.25


def is_passing(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether the same request may be answered later.

    Args:
        status: Of the answer.
        headers: `x-should-retry` has the last word.
    """
    wish = headers.get("x-should-retry")
    if wish in {"true", "false"}:
        return wish == "true"
    return status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def seconds_to_wait(n_taken: int, headers: Mapping[str, str] | None = None) -> float:
    """Tell how long to wait before a request is sent again.

    Args:
        n_taken: How often it was sent again already.
        headers: Of the answer, if there was one: `Retry-After` counts up to a minute.

    Example:
        >>> seconds_to_wait(0, {"retry-after": "3"})
        3.0
        >>> 0.75 <= seconds_to_wait(1) <= 1.0
        True
    """
    wish = _read_wish(headers or {})
    if wish is not None and 0 < wish <= _LONGEST_WISH_SECONDS:
        return wish
    longest = min(_FIRST_SECONDS * 2.0**n_taken, _MOST_SECONDS)
    return longest * (1 - _JITTER * random.random())  # noqa: S311 - no secret.


def _read_wish(headers: Mapping[str, str]) -> float | None:
    try:
        return float(headers["retry-after-ms"]) / 1000
    except (KeyError, ValueError):
        pass
    wish = headers.get("retry-after", "")
    try:
        return float(wish)
    except ValueError:
        pass
    date = parsedate_tz(wish)
    try:
        return None if date is None else mktime_tz(date) - time.time()
    except (OverflowError, ValueError):
        # A year that no calendar has.
        return None
