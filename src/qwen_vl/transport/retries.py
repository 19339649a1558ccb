"""Whether and when a request is sent again.

The rules are those of the `openai` SDK, which the service's pages recommend as a client. What the
SDK does not do: a redirect is followed only within its origin, and an answer that broke off is not
asked for again unless the program wants it, since both answers are billed.
"""

import logging
import random
import time
from collections.abc import Mapping
from email.utils import mktime_tz, parsedate_tz
from http import HTTPStatus

from qwen_vl.transport.limits import Deadline
from qwen_vl.wire.errors import is_final_error

_logger = logging.getLogger("qwen_vl")

_RETRYABLE = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS}
)
_FIRST_SECONDS = 0.5
_MOST_SECONDS = 8.0
_MAX_RETRY_AFTER_SECONDS = 60.0
_JITTER = 0.25


class Attempts:
    """Decides about one call's further attempts.

    Args:
        max_retries: Further attempts after a failure that may pass.
        deadline: No attempt begins after it.
    """

    def __init__(self, max_retries: int, deadline: Deadline | None) -> None:
        self._max_retries = max_retries
        self._deadline = deadline
        self._n_retries = 0

    def next_delay(self, reason: str, headers: Mapping[str, str] | None = None) -> float | None:
        """Return the seconds to wait before the next attempt.

        Args:
            reason: What went wrong, for the log.
            headers: Of the answer, if there was one.

        Returns:
            `None` for no further attempt: their number is used up, or the deadline would
            pass before the next one begins.
        """
        if self._n_retries >= self._max_retries:
            return None
        seconds = retry_delay(self._n_retries, headers)
        if self._deadline is not None and self._deadline.at - time.monotonic() <= seconds:
            return None
        self._n_retries += 1
        _logger.info(
            "Retry %d of %d in %.2f s: %s", self._n_retries, self._max_retries, seconds, reason
        )
        return seconds


def is_retryable(status: int, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether the same request may be answered later.

    Args:
        status: Of the answer: 408, 409, 429 and 5xx may pass.
        headers: `x-should-retry` has the last word.
        body: A server may say in it that it refuses the request itself, as one that is too long.
    """
    should_retry = headers.get("x-should-retry")
    if should_retry in {"true", "false"}:
        return should_retry == "true"
    may_pass = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _RETRYABLE
    return may_pass and not is_final_error(body)


def retry_delay(attempt: int, headers: Mapping[str, str] | None = None) -> float:
    """Return how many seconds to wait before a request is sent again.

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
    try:
        date = parsedate_tz(retry_after)
        return None if date is None else mktime_tz(date) - time.time()
    except (IndexError, OverflowError, TypeError, ValueError):
        # No date that a calendar has.
        return None
