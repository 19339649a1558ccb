"""Makes a conversation that holds bytes, paths and pictures fit for JSON.

LangChain traces and caches a call before the model sees it, by the text of its messages: a picture
object there becomes its memory address, and another picture's cached answer is returned.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from langchain_core.messages import BaseMessage

from langchain_qwen_vl.blocks import sniff_base64, to_part
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.media import to_json_safe

_Message = TypeVar("_Message", bound=BaseMessage)

_BASE64_KEYS = frozenset({"base64", "data"})
_UNKNOWN_TYPE = "application/octet-stream"


def to_safe_message(message: _Message, where: str) -> _Message:
    """Give the message with every raw value in its blocks turned into text.

    Args:
        message: Any message; it is not changed.
        where: Its place, as `messages[0]`.

    Returns:
        The message itself where nothing had to change, else a copy.

    Raises:
        MediaError: A raw value is no picture or video.
        UnsupportedContentError: A value is of a kind that nothing can be made of.
    """
    if isinstance(message.content, str):
        return message
    blocks = [
        _safe_block(block, f"{where}.content[{index}]") if isinstance(block, dict) else block
        for index, block in enumerate(message.content)
    ]
    if all(new is old for new, old in zip(blocks, message.content, strict=True)):
        return message
    return message.model_copy(update={"content": blocks})


def _safe_block(block: dict[str, Any], where: str) -> dict[str, Any]:
    safe: dict[str, Any] = _safe_value(block, "", where)
    if safe.get("type") != "image":
        return safe
    if "base64" in safe and "mime_type" not in safe:
        # LangChain's tracing raises for an inline picture without a type.
        return {**safe, "mime_type": sniff_base64(str(safe["base64"])) or _UNKNOWN_TYPE}
    if "text" in safe:
        # And for a picture block that holds text; our own error says more.
        to_part(safe, where)
    return safe


def _safe_value(value: Any, key: str, where: str) -> Any:
    """Convert a value at any depth; give the same object back where nothing changes."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        items = {name: _safe_value(held, name, where) for name, held in value.items()}
        is_same = all(items[name] is held for name, held in value.items())
        return value if is_same else _with_type(items, value)
    if isinstance(value, list | tuple):
        elements = [
            _safe_value(held, key, f"{where}.{key}[{index}]") for index, held in enumerate(value)
        ]
        return value if all(map(_is, elements, value)) else elements
    text = to_json_safe(value, "video" if key in {"video", "video_url"} else "image", where)
    if text is None:
        raise UnsupportedContentError(
            f"{key!r} cannot be a {type(value).__name__}.",
            where=where,
            remedy="Pass a URL, bytes, Base64, a pathlib.Path, a file object or a decoded picture.",
        )
    return text


def _with_type(safe: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Give Base64 where Base64 is promised, and its type beside it."""
    for key in _BASE64_KEYS & safe.keys():
        if safe[key] is given[key] or not safe[key].startswith("data:"):
            continue
        header, _, text = safe[key].partition(",")
        safe[key] = text
        name = "media_type" if "media_type" in safe else "mime_type"
        safe[name] = header[len("data:") :].partition(";")[0]
    return safe


def _is(one: object, other: object) -> bool:
    return one is other
