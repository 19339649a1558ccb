"""Times as models write them, and as people read them."""

import math
import re
from typing import Any

# Digits without end are no time, and Python reads no integer of more than 4,300.
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}(?:[.,]\d{1,40})?)")
_UNITS = re.compile(
    r"(?:(\d{1,15})\s*+(?:h|hr|hrs|hours?|小时|时)\s*+)?"
    r"(?:(\d{1,15})\s*+(?:m|min|mins|minutes?|分钟|分)\s*+)?"
    r"(?:(\d{1,15}(?:[.,]\d{1,40})?)\s*+(?:s|sec|secs|seconds?|秒)?)?",
    re.IGNORECASE,
)
# Without the spaces around it: looked for at each of them, they would be read again and again.
_DASH = re.compile(r"-->|->|~|–|—|−|\bto\b|至|到|-")
_BRACKETS = " \t\r\n[](){}<>\"'"
_SIXTY = 60


def read_seconds(value: Any) -> float | None:
    """Read a time: `HH:mm:ss`, `mm:ss`, with fractions or without, or a number of seconds.

    Args:
        value: What the model wrote.

    Returns:
        Seconds; `None` where it is no time.

    Example:
        >>> read_seconds("00:01:02.5"), read_seconds("01:05"), read_seconds("7.5s"), read_seconds(3)
        (62.5, 65.0, 7.5, 3.0)
        >>> read_seconds("soon") is None
        True
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # Larger numbers than a float holds are no times either.
        seconds = float(value) if abs(value) < 1e9 else math.inf  # noqa: PLR2004 - 30 years
        return seconds if 0 <= seconds < math.inf else None
    if not isinstance(value, str):
        return None
    text = value.strip(_BRACKETS)
    clock = _CLOCK.fullmatch(text)
    if clock:
        return _add_up(*clock.groups(), is_clock=True)
    units = _UNITS.fullmatch(text) if text else None
    return _add_up(*units.groups(), is_clock=False) if units else None


def read_range(value: Any) -> tuple[float, float] | None:
    """Read a beginning and an end that stand together.

    Args:
        value: A list of two times, or a text with a dash between them.

    Returns:
        Both in seconds; `None` where it is something else.

    Example:
        >>> read_range("00:05 - 00:10"), read_range([1, "2.5"])
        ((5.0, 10.0), (1.0, 2.5))
    """
    if isinstance(value, str):
        before, *after = _DASH.split(value.strip(_BRACKETS), maxsplit=2)
        value = [before.rstrip(), *(each.lstrip() for each in after)]
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - a pair
        return None
    start, end = map(read_seconds, value)
    return None if start is None or end is None else (start, end)


def spell_clock(seconds: float) -> str:
    """Write a time as people read it: minutes and seconds, hours where there are any, tenths.

    Args:
        seconds: From 0.

    Example:
        >>> spell_clock(65), spell_clock(5.28), spell_clock(3_725.5)
        ('1:05', '0:05.3', '1:02:05.5')
    """
    tenths = round(seconds * 10)
    whole, rest = divmod(tenths, 10)
    minutes, second = divmod(whole, _SIXTY)
    hours, minute = divmod(minutes, _SIXTY)
    clock = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{clock}.{rest}" if rest else clock


def _add_up(
    hours: str | None, minutes: str | None, seconds: str | None, *, is_clock: bool
) -> float | None:
    second = float((seconds or "0").replace(",", "."))
    if is_clock and (second >= _SIXTY or (hours and int(minutes or 0) >= _SIXTY)):
        return None
    return int(hours or 0) * _SIXTY**2 + int(minutes or 0) * _SIXTY + second
