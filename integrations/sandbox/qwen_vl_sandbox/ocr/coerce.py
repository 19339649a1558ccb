"""Text from a page as a value of a JSON schema: only what the schema allows, never a guess."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_NUMBER = re.compile(r"[-+−]?\d[\d.,'’ \u00a0]*")
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y")
_CHINESE_DATE = "%Y年%m月%d日"
_TRUTHS = {"yes": True, "true": True, "是": True, "no": False, "false": False, "否": False}
_GROUP = 3


def coerce(text: str, schema: Mapping[str, Any]) -> Any | None:
    """Read a text as a value of a schema.

    Args:
        text: As it stands on the page.
        schema: Of the value; without references.

    Returns:
        The value, or `None` if the schema does not allow it.

    Example:
        >>> coerce("EUR 1,234.50", {"type": "number"})
        1234.5
        >>> coerce("30 November 2026", {"type": "string", "format": "date"})
        '2026-11-30'
    """
    if "enum" in schema:
        choices = {str(choice).casefold(): choice for choice in schema["enum"]}
        return choices.get(text.strip().casefold())
    if "const" in schema:
        return None
    kinds = schema.get("type", "string")
    match next((kind for kind in ([kinds] if isinstance(kinds, str) else kinds)), None):
        case "string":
            return _to_text(text, schema)
        case "number":
            return _within(_to_number(text), schema)
        case "integer":
            number = _to_number(text)
            whole = None if number is None or number != int(number) else int(number)
            return _within(whole, schema)
        case "boolean":
            return _TRUTHS.get(text.strip().casefold())
        case _:
            return None


def _to_text(text: str, schema: Mapping[str, Any]) -> str | None:
    match schema.get("format"):
        case None:
            pass
        case "date":
            return _to_date(text)
        case _:
            return None
    pattern = schema.get("pattern")
    fits = not pattern or re.search(pattern, text) is not None
    most = schema.get("maxLength", len(text))
    return text if fits and schema.get("minLength", 0) <= len(text) <= most else None


def _to_date(text: str) -> str | None:
    for form in (*_DATES, _CHINESE_DATE):
        try:
            return datetime.strptime(text.strip(), form).date().isoformat()  # noqa: DTZ007 - a day.
        except ValueError:
            continue
    return None


def _to_number(text: str) -> float | None:
    """Read a number with its currency, with a point or a comma before the decimals.

    Example:
        >>> [_to_number(text) for text in ("$1,234", "12,50 €", "1.234,50", "none", "1-2")]
        [1234.0, 12.5, 1234.5, None, None]
    """
    found = _NUMBER.findall(text)
    if len(found) != 1:
        return None
    digits = re.sub(r"['’ \u00a0]", "", found[0]).replace("−", "-").rstrip(".,")
    point, comma = digits.rfind("."), digits.rfind(",")
    if point >= 0 and comma >= 0:
        groups = "," if point > comma else "."
    else:
        only = "," if comma >= 0 else "."
        parts = digits.split(only)
        is_grouped = len(parts) > 2 or (only == "," and len(parts[-1]) == _GROUP)  # noqa: PLR2004 - one decimal point.
        groups = only if is_grouped else ""
    plain = digits.replace(groups, "") if groups else digits
    try:
        return float(plain.replace(",", "."))
    except ValueError:
        return None


def _within(number: float | None, schema: Mapping[str, Any]) -> float | None:
    if number is None:
        return None
    step = schema.get("multipleOf")
    fits = (
        schema.get("minimum", number) <= number <= schema.get("maximum", number)
        and ("exclusiveMinimum" not in schema or schema["exclusiveMinimum"] < number)
        and ("exclusiveMaximum" not in schema or number < schema["exclusiveMaximum"])
        and (not step or abs(number / step - round(number / step)) < 1e-9)  # noqa: PLR2004 - of floats.
    )
    return number if fits else None
