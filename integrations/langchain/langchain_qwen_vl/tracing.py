"""Makes a conversation that holds bytes, paths and images fit for JSON.

LangChain traces and caches a call before the model sees it, by the text of its messages: an image
object there becomes its memory address, and another image's cached answer is returned.
"""

import base64
import io
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue

from langchain_qwen_vl.blocks import InlineBlock, ReplacedBlock, kind_of, sniff_base64, to_part
from qwen_vl.content import (
    DataUrl,
    Inline,
    OpenFile,
    Pixels,
    Unsupported,
    is_pixels,
    read_row,
    to_source,
)
from qwen_vl.errors import ContentError, UnsupportedContentError
from qwen_vl.media import read_whole, sniff, to_json_safe, to_text
from qwen_vl.media.pdf.document import PDF_TYPE
from qwen_vl.media.tool_content import write_note
from qwen_vl.request.types import MediaPolicy

_Message = TypeVar("_Message", bound=BaseMessage)
_Kind = Literal["image", "video", "audio", "file"]

_BASE64_KEYS = frozenset({"base64", "data"})
_FRAME_KEYS = frozenset({"video", "frames"})
_MEDIA_KEYS = ("image", "video", *sorted(_BASE64_KEYS))
_BYTES = (bytes, bytearray, memoryview)
_UNKNOWN_TYPE = "application/octet-stream"


class SerializablePrompt(ChatPromptValue):
    """A prompt whose messages were made fit for JSON."""


def to_safe_message(
    message: _Message, where: str, policy: MediaPolicy, *, is_traced: bool = True
) -> _Message:
    """Return the message with every raw value in its blocks turned into text.

    Args:
        message: Any message; it is not changed.
        where: Its place, as `messages[0]`.
        policy: How much may be inlined.
        is_traced: Whether anybody reads the text. Where nobody does, bytes are carried along, and
            not written: that takes as long as all the rest of a request.

    Returns:
        The message itself where nothing had to change, else a copy.

    A value that is not an image or video, or of a kind that nothing can be made of, becomes a text
    block that carries the error. What happens to it is decided where the request is prepared,
    inside the run that tracers see.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> from qwen_vl.samples import CHELSEA
        >>> message = HumanMessage([{"type": "image", "base64": CHELSEA.read_bytes()}])
        >>> to_safe_message(message, "messages[0]", MediaPolicy()).content[0]["mime_type"]
        'image/png'
    """
    if isinstance(message.content, str):
        return message
    is_from_tool = isinstance(message, ToolMessage)
    blocks = [
        _replace_refused(
            block,
            f"{where}.content[{index}]",
            policy,
            is_traced=is_traced,
            is_from_tool=is_from_tool,
        )
        if isinstance(block, dict)
        else block
        for index, block in enumerate(message.content)
    ]
    if all(map(_is, blocks, message.content)):
        return message
    return message.model_copy(update={"content": blocks})


def holds_raw_values(messages: Sequence[BaseMessage]) -> bool:
    """Return whether anything in the messages has to be read or encoded.

    Args:
        messages: Any messages.
    """
    return any(_is_raw(message.content) for message in messages)


def _is_raw(value: object) -> bool:
    if value is None or isinstance(value, str | int | float):
        return False
    # A dict is known at once, and any other mapping after a while.
    if isinstance(value, (dict, Mapping)):
        return any(map(_is_raw, value.values()))
    return any(map(_is_raw, value)) if isinstance(value, list | tuple) else True


def _replace_refused(
    block: dict[str, Any], where: str, policy: MediaPolicy, **options: bool
) -> dict[str, Any]:
    try:
        return _safe_block(block, where, policy, **options)
    except ContentError as error:
        part = Unsupported(error=error, kind=_kind_of(block), where=where)
        return ReplacedBlock({"type": "text", "text": write_note(part, error)}, part)


def _safe_block(
    block: dict[str, Any],
    where: str,
    policy: MediaPolicy,
    *,
    is_traced: bool = True,
    is_from_tool: bool = False,
) -> dict[str, Any]:
    safe = block
    if _is_raw(block):
        kind = _kind_of(block)
        block = {name: _unwrap(held) for name, held in block.items()}
        held = next((name for name in _MEDIA_KEYS if _is_carried(block.get(name), kind)), None)
        if held is not None and kind in {"image", "video"}:
            return _carry(block, held, kind, where, policy, is_traced=is_traced)
        safe = _Safety(kind, where, policy, is_from_tool, is_traced).of(block, "")
    if safe.get("type") != "image":
        return safe
    if "base64" in safe and "mime_type" not in safe:
        # LangChain's tracing raises for an inline image without a type.
        held = safe["base64"]
        sniffed = sniff_base64(held) if isinstance(held, str) else None
        return {**safe, "mime_type": sniffed or _UNKNOWN_TYPE}
    if "text" in safe:
        # And for an image block that holds text; our own error says more.
        to_part(safe, where)
    return safe


def _unwrap(value: Any) -> Any:
    """Take the bytes or the path out of a row of a Hugging Face data set."""
    is_row = isinstance(value, Mapping) and value and value.keys() <= {"bytes", "path"}
    return read_row(value) if is_row else value


def _carry(
    block: dict[str, Any],
    name: str,
    kind: Literal["image", "video"],
    where: str,
    policy: MediaPolicy,
    *,
    is_traced: bool,
) -> dict[str, Any]:
    """Return bytes or pixels as LangChain's own block."""
    value = block[name]
    source = value if isinstance(value, DataUrl) else to_source(value)
    if not isinstance(source, DataUrl | Inline | OpenFile | Pixels):  # pragma: no cover
        raise TypeError(source)
    beside = {key: held for key, held in block.items() if key != name}
    text, media_type = "", str(block.get("mime_type") or _UNKNOWN_TYPE)
    if isinstance(source, DataUrl):
        media_type = source.media_type
        text = source.to_base64() if is_traced else ""
    elif is_traced or isinstance(source, OpenFile):
        # A file object is read once: another attempt might find nothing more in it.
        text, source = to_text(source, kind, where, policy)
        media_type = source.media_type or _UNKNOWN_TYPE
    type_name = "media_type" if "media_type" in block else "mime_type"
    spelt = {"type": kind, "base64": text, type_name: media_type}
    return InlineBlock({**_safe_block(beside, where, policy), **spelt}, source)


def _is_carried(value: object, kind: str) -> bool:
    if isinstance(value, io.TextIOBase):
        return False
    is_file = callable(getattr(value, "read", None))
    is_held = isinstance(value, (*_BYTES, DataUrl)) or is_file
    return is_held or (kind == "image" and is_pixels(value))


def _kind_of(block: Mapping[str, Any]) -> _Kind:
    stated = str(kind_of(block) or "")
    wrapped = block.get("value")
    if stated == "non_standard" and isinstance(wrapped, Mapping):
        return _kind_of(wrapped)
    if stated in {"file", "media", "document"}:
        return "file"
    if stated in {"audio", "input_audio"}:
        return "audio"
    return "video" if stated.startswith("video") else "image"


@dataclass(frozen=True, slots=True)
class _Safety:
    """Converts what one block holds, at any depth; gives the same objects where nothing changes."""

    kind: _Kind
    where: str
    policy: MediaPolicy
    is_from_tool: bool = False
    is_traced: bool = True

    def of(self, value: Any, key: str) -> Any:
        if value is None or isinstance(value, str | int | float):
            return value
        if key == "timestamps" and hasattr(value, "tolist"):
            return value.tolist()
        if isinstance(value, numbers.Real):
            # Numbers of numpy, as options often are.
            return int(value) if isinstance(value, numbers.Integral) else float(value)
        if isinstance(value, Mapping):
            items = {name: self.of(held, name) for name, held in value.items()}
            is_same = all(items[name] is held for name, held in value.items())
            return value if is_same else _with_type(items, value)
        if isinstance(value, list | tuple):
            elements = [
                # The members of a list are a video's frames.
                replace(self, kind="image", where=f"{self.where}.{key}[{index}]").of(held, key)
                for index, held in enumerate(value)
            ]
            return value if all(map(_is, elements, value)) else elements
        return self._text_of(value, key)

    def _text_of(self, value: Any, key: str) -> str:
        source = None if isinstance(value, io.TextIOBase) else to_source(value)
        if self.kind in {"file", "audio"} and isinstance(source, OpenFile):
            # It is read once; a file may hold anything too.
            value = read_whole(source, self.where)
        is_bytes = isinstance(value, bytes | bytearray | memoryview)
        is_held = is_bytes or isinstance(value, DataUrl) or is_pixels(value)
        if not self.is_traced and key in _FRAME_KEYS and is_held:
            return value  # type: ignore[no-any-return]  # Nobody reads it as text.
        if isinstance(value, DataUrl):
            return value.url
        # A file may hold anything, and what its bytes say counts.
        media_type = (sniff(value) or "") if is_bytes else ""
        found = media_type.partition("/")[0] if self.kind == "file" else self.kind
        is_file = self.kind == "file" and (media_type == PDF_TYPE or self.is_from_tool)
        if is_bytes and (found == "audio" or (is_file and found not in {"image", "video"})):
            encoded = base64.b64encode(value).decode()
            is_known = found == "audio" and media_type.startswith(("audio/", "video/"))
            return f"data:{media_type};base64,{encoded}" if is_known else encoded
        kind: Literal["image", "video"] = "video" if found == "video" else "image"
        text = to_json_safe(value, kind, self.where, self.policy)
        if text is None:
            raise UnsupportedContentError(
                f"The {kind} cannot be of type {type(value).__name__}.",
                where=self.where,
                remedy=(
                    "Pass a URL, bytes, Base64, a pathlib.Path, a file object or a decoded image."
                ),
            )
        return text


def _with_type(safe: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return Base64 where Base64 is promised, with its type."""
    for key in _BASE64_KEYS & safe.keys():
        if safe[key] is values[key] or not safe[key].startswith("data:"):
            continue
        header, _, text = safe[key].partition(",")
        safe[key] = text
        name = "media_type" if "media_type" in safe else "mime_type"
        safe[name] = header[len("data:") :].partition(";")[0]
    return safe


def _is(one: object, other: object) -> bool:
    return one is other
