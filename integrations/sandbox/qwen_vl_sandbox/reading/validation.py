"""Reading fields of a JSON object strictly: right type, right range, or a refusal."""

from collections.abc import Mapping
from typing import Any

from qwen_vl_sandbox.errors.api_error import reject

LONGEST_WAIT = 120
SHORTEST_WAIT = 3


def read_wait(headers: Mapping[str, str], *, strict: bool) -> int:
    """Read how many seconds a request may wait in the service's queue (Queueing page, 2026-10).

    Args:
        headers: Of the request, names in lower case.
        strict: As for `Sandbox`.

    Raises:
        ApiError: It is none that the page advises.
    """
    value = headers.get("x-dashscope-wait-timeout")
    if value is None:
        return 0
    is_number = value.isascii() and value.isdecimal()
    seconds = int(value) if is_number else -1
    if seconds != 0 and not SHORTEST_WAIT <= seconds <= LONGEST_WAIT:
        # unsure: the page advises the range, and does not say what becomes of other values.
        if strict:
            reject(f"X-DashScope-Wait-Timeout must be 0, or {SHORTEST_WAIT} to {LONGEST_WAIT}.")
        return 0
    return seconds


class Fields:
    """The fields of one JSON object; `null` counts as absent.

    Args:
        values: The object.
        path: Where it stands in the request, for messages; "" at the top.
    """

    def __init__(self, values: Mapping[str, Any], path: str = "") -> None:
        self._values = values
        self._path = path

    def name(self, field: str) -> str:
        """The field's full name."""
        return f"{self._path}.{field}" if self._path else field

    def get(self, field: str) -> Any:
        """The field's value as it is."""
        return self._values.get(field)

    def boolean(self, field: str, *, default: bool = False) -> bool:
        """A true or false."""
        value = self._values.get(field)
        if value is None:
            return default
        if not isinstance(value, bool):
            reject(f"{self.name(field)} must be a boolean.")
        return value

    def string(self, field: str) -> str | None:
        """A text."""
        value = self._values.get(field)
        if value is not None and not isinstance(value, str):
            reject(f"{self.name(field)} must be a string.")
        return value

    def integer(self, field: str, low: int, high: int) -> int | None:
        """A whole number within [low, high]."""
        value = self._values.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            reject(f"{self.name(field)} must be an integer.")
        if not low <= value <= high:
            # The wording of "Range of max_tokens should be [1, xxx]" (Errors page, 2026-07).
            reject(f"Range of {self.name(field)} should be [{low}, {high}]")
        return value

    def number(
        self,
        field: str,
        low: float,
        high: float,
        *,
        low_excluded: bool = False,
        high_excluded: bool = False,
    ) -> float | None:
        """A number within the bounds."""
        value = self._values.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            reject(f"{self.name(field)} must be a number.")
        too_low = value <= low if low_excluded else value < low
        too_high = value >= high if high_excluded else value > high
        if too_low or too_high:
            opening, closing = "(" if low_excluded else "[", ")" if high_excluded else "]"
            reject(f"Range of {self.name(field)} should be {opening}{low}, {high}{closing}")
        return float(value)
