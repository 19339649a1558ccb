"""Whether and when a request is sent again.

The rules are those of the `openai` SDK, which the service's pages recommend as a client.
"""

import random
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus

_RETRYABLE = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}
)
_FIRST_SECONDS = 0.5
_MOST_SECONDS = 8.0
_MAX_RETRY_AFTER_SECONDS = 60.0
_JITTER = 0.25


def is_retryable(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether the same request may be answered later.

    Args:
        status: Of the answer.
        headers: `x-should-retry` has the last word.
    """
    retry_after = headers.get("x-should-retry")
    if retry_after in {"true", "false"}:
        return retry_after == "true"
    return status in _RETRYABLE or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def retry_delay(attempt: int, headers: Mapping[str, str] | None = None) -> float:
    """Tell how long to wait before a request is sent again.

    Args:
        attempt: How often it was sent again already.
        headers: Of the answer, if there was one: `Retry-After` counts up to a minute.

    Example:
        >>> retry_delay(0, {"retry-after": "3"})
        3.0
        >>> 0.75 <= retry_delay(1) <= 1.0
        True
    """
    retry_after = _read_retry_after(headers or {})
    if retry_after is not None and 0 < retry_after <= _MAX_RETRY_AFTER_SECONDS:
        return retry_after
    longest = min(_FIRST_SECONDS * 2.0**attempt, _MOST_SECONDS)
    return longest * (1 - _JITTER * random.random())  # noqa: S311 - no secret.


def _read_retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        return float(headers["retry-after-ms"]) / 1000
    except (KeyError, ValueError):
        pass
    retry_after = headers.get("retry-after", "")
    try:
        return float(retry_after)
    except ValueError:
        pass
    date = parsedate_tz(retry_after)
    try:
        return None if date is None else mktime_tz(date) - time.time()
    except (OverflowError, ValueError):
        # A year that no calendar has.
        return None
