"""Reading foreign JSON: any field may be missing, or of another type than documented.

Each function returns a value of one type whatever stands there, so that no answer of a server,
however odd, ends in a `TypeError` or a `ValueError` in the middle of a decoder.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import orjson

from qwen_vl.reply import is_whole

Json: TypeAlias = Mapping[str, Any]

_REQUEST_ID_HEADERS = (
    "x-request-id",
    "x-dashscope-request-id",
    "x-acs-request-id",
    # LiteLLM passes the headers of what it asked on under this prefix.
    "llm_provider-x-request-id",
)
_TRUNCATED_HEADER = "x-dashscope-partialresponse"
# Larger numbers are not token counts; JSON writers reject integers of more than 64 bits.
_MAX_COUNT = 2**53
_MAX_COUNT_DIGITS = 16
_TOO_DEEP = "(JSON that is nested too deeply)"
_COUNTS = frozenset(
    {"prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"}
)


def load_json(raw: bytes) -> Any:
    """Read JSON; `None` where it is none."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def as_object(value: object) -> Json:
    """Return a JSON object as it is, and an empty one for anything else that may stand there."""
    return value if isinstance(value, dict) else {}


def as_text(value: object) -> str | None:
    """Return text as it is, any other value as its JSON text, and `None` for what is empty.

    Example:
        >>> as_text("stop"), as_text(7), as_text({"a": 1}), as_text(""), as_text(None)
        ('stop', '7', '{"a":1}', None, None)
    """
    if isinstance(value, str):
        return value or None
    if value is None or value is False or value in ([], {}):
        return None
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        # It reads values that are nested more deeply than those that it writes.
        return _TOO_DEEP


def as_count(value: object) -> int | None:
    """Return a number of tokens, pixels or calls, which may come as text or as a float.

    Example:
        >>> as_count(12), as_count("12"), as_count(12.0), as_count(-1), as_count("many")
        (12, 12, 12, None, None)
    """
    if isinstance(value, str):
        is_number = value.isascii() and value.isdecimal() and len(value) <= _MAX_COUNT_DIGITS
        return int(value) if is_number else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= _MAX_COUNT or value != int(value):
        return None
    return int(value)


def first_count(*values: object) -> int | None:
    """Return the first value that is a count; see `as_count`."""
    return next((count for count in map(as_count, values) if count is not None), None)


def repair_counts(usage: Json) -> Json:
    """Return a usage object whose token counts are integers, as callbacks expect that sum them up.

    Args:
        usage: The server's own object; it stays as it is.
    """
    odd = {name: as_count(usage[name]) for name in _COUNTS & usage.keys()}
    if all(count is not None and count is usage[name] for name, count in odd.items()):
        return usage
    counts = {name: count for name, count in odd.items() if count is not None}
    return {**{name: held for name, held in usage.items() if name not in odd}, **counts}


def decode_finish_reason(choice: Json) -> str | None:
    """Read why the answer ended; real streams write "null" too (Streaming page, 2026-07)."""
    held = choice.get("finish_reason")
    if isinstance(held, dict):
        held = held.get("type") or held.get("reason") or held
    elif isinstance(held, list) and len(held) == 1:
        held = held[0]
    reason = as_text(held)
    return None if reason == "null" else reason


def decode_text(content: object) -> str:
    """Read `content`: text, nothing, a list of parts, or JSON where a server has parsed it."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(map(_decode_part, content))
    if isinstance(content, dict):
        return _decode_part(content) if "text" in content else as_text(content) or ""
    return ""


def _decode_part(part: object) -> str:
    if isinstance(part, str):
        return part
    text = as_object(part).get("text")
    return text if isinstance(text, str) else as_text(text) or ""


def decode_reasoning(message: Json) -> str:
    """Read what the model thought: `reasoning_content` here, `reasoning` at self-hosted servers."""
    return decode_text(message.get("reasoning_content")) or decode_text(message.get("reasoning"))


def decode_search_info(*positions: Json) -> Json | None:
    """Read the sources of an answer; `None` where none came.

    Args:
        *positions: Where they may stand.
    """
    found = (as_object(place.get("search_info")) for place in positions)
    # Events of a stream without news hold empty lists (Web-search page, 2026).
    return next((info for info in found if any(info.values())), None)


def decode_encrypted(message: Json) -> str:
    """Read the encrypted reasoning (Thinking-summary page, 2026-11); empty where there is none."""
    return as_text(message.get("encrypted_content")) or ""


def decode_logprobs(value: object) -> Json | None:
    """Read log probabilities; `None` where there are none, or none that can be read.

    Args:
        value: `{"content": [{"token", "logprob", "bytes", "top_logprobs"}, …]}`.
    """
    tokens = value.get("content") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(tokens, list):
        return None
    readable = [token for token in tokens if _is_logprob(token)]
    return value if len(readable) == len(tokens) else {**value, "content": readable}


def _is_logprob(token: object) -> bool:
    if not isinstance(token, dict):
        return False
    spelled = token.get("bytes")
    top = token.get("top_logprobs")
    return (
        isinstance(token.get("token"), str | None)
        and isinstance(token.get("logprob"), int | float | None)
        and (spelled is None or _is_bytes(spelled))
        and (top is None or (isinstance(top, list) and all(map(_is_logprob, top))))
    )


def _is_bytes(spelled: object) -> bool:
    return isinstance(spelled, list) and all(isinstance(byte, int) for byte in spelled)


def find_request_id(data: Json, headers: Mapping[str, str]) -> str | None:
    """Find the id that the service's support asks for, in the body or in a header."""
    found = as_text(data.get("request_id"))
    return found or next((headers[name] for name in _REQUEST_ID_HEADERS if name in headers), None)


def is_truncated(headers: Mapping[str, str]) -> bool:
    """Return whether the service cut the answer at its time limit (Streaming page, 2026-07)."""
    return headers.get(_TRUNCATED_HEADER, "").lower() == "true"


def may_be_cut(finish_reason: str | None, headers: Mapping[str, str]) -> bool:
    """Return whether an answer may lack its end, as it may for any reason that is not known."""
    return is_truncated(headers) or not (finish_reason is None or is_whole(finish_reason))
