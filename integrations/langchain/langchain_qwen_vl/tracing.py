"""Makes a conversation that holds bytes, paths and pictures fit for JSON.

LangChain traces and caches a call before the model sees it, by the text of its messages: a picture
object there becomes its memory address, and another picture's cached answer is returned.
"""

import base64
import numbers
from collections.abc import Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from langchain_core.load import Serializable, dumpd
from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue

from langchain_qwen_vl.blocks import InlineBlock, ReplacedBlock, kind_of, sniff_base64, to_part
from qwen_vl.content import DataUrl, Inline, Unsupported
from qwen_vl.errors import ContentError, UnsupportedContentError
from qwen_vl.media import prepare_one, sniff, to_json_safe
from qwen_vl.media.pdf import PDF_TYPE
from qwen_vl.media.tool_content import write_note
from qwen_vl.request.types import MediaPolicy

_Message = TypeVar("_Message", bound=BaseMessage)
_Kind = Literal["image", "video", "audio", "file"]

_BASE64_KEYS = frozenset({"base64", "data"})
_MEDIA_KEYS = ("image", "video", *sorted(_BASE64_KEYS))
_BYTES = (bytes, bytearray, memoryview)
_UNKNOWN_TYPE = "application/octet-stream"


class SerializablePrompt(ChatPromptValue):
    """A prompt whose messages were made fit for JSON."""


def to_safe_message(
    message: _Message, where: str, policy: MediaPolicy, *, is_traced: bool = True
) -> _Message:
    """Give the message with every raw value in its blocks turned into text.

    Args:
        message: Any message; it is not changed.
        where: Its place, as `messages[0]`.
        policy: How much may be inlined.
        is_traced: Whether anybody reads the text. Where nobody does, bytes are carried along, and
            not spelt: that takes as long as all the rest of a request.

    Returns:
        The message itself where nothing had to change, else a copy.

    Raises:
        MediaError: A raw value is no picture or video. In a tool message such a value becomes a
            text block instead: what happens to it is decided where the request is prepared.
        UnsupportedContentError: A value is of a kind that nothing can be made of, likewise.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> from qwen_vl.samples import CHELSEA
        >>> message = HumanMessage([{"type": "image", "base64": CHELSEA.read_bytes()}])
        >>> to_safe_message(message, "messages[0]", MediaPolicy()).content[0]["mime_type"]
        'image/png'
    """
    if isinstance(message.content, str):
        return message
    make = _safe_tool_block if isinstance(message, ToolMessage) else _safe_block
    blocks = [
        make(block, f"{where}.content[{index}]", policy, is_traced=is_traced)
        if isinstance(block, dict)
        else block
        for index, block in enumerate(message.content)
    ]
    if all(map(_is, blocks, message.content)):
        return message
    return message.model_copy(update={"content": blocks})


def holds_raw_values(messages: Sequence[BaseMessage]) -> bool:
    """Tell whether anything in the messages has to be read or encoded.

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


def _safe_tool_block(
    block: dict[str, Any], where: str, policy: MediaPolicy, *, is_traced: bool = True
) -> dict[str, Any]:
    try:
        return _safe_block(block, where, policy, is_traced=is_traced, is_from_tool=True)
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
        held = next((name for name in _MEDIA_KEYS if isinstance(block.get(name), _BYTES)), None)
        if held is not None and kind in {"image", "video"}:
            return _carry(block, held, kind, where, policy, is_traced=is_traced)
        safe = _Safety(kind, where, policy, is_from_tool).of(block, "")
    if safe.get("type") != "image":
        return safe
    if "base64" in safe and "mime_type" not in safe:
        # LangChain's tracing raises for an inline picture without a type.
        held = safe["base64"]
        sniffed = sniff_base64(held) if isinstance(held, str) else None
        return {**safe, "mime_type": sniffed or _UNKNOWN_TYPE}
    if "text" in safe:
        # And for a picture block that holds text; our own error says more.
        to_part(safe, where)
    return safe


def _carry(
    block: dict[str, Any],
    name: str,
    kind: Literal["image", "video"],
    where: str,
    policy: MediaPolicy,
    *,
    is_traced: bool,
) -> dict[str, Any]:
    """Give bytes as LangChain's own block."""
    ready = prepare_one(Inline(bytes(block[name])), kind, where, policy)
    beside = {key: held for key, held in block.items() if key != name}
    if not isinstance(ready, DataUrl):  # pragma: no cover - bytes never come back as an address.
        raise TypeError(ready)
    type_name = "media_type" if "media_type" in block else "mime_type"
    is_spelt = is_traced or ready.data is None
    text = ready.to_base64() if is_spelt else ""
    spelt = {"type": kind, "base64": text, type_name: ready.media_type}
    safe = {**_safe_block(beside, where, policy), **spelt}
    return safe if ready.data is None else InlineBlock(safe, ready.data)


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

    def of(self, value: Any, key: str) -> Any:
        if value is None or isinstance(value, str | int | float):
            return value
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
        is_bytes = isinstance(value, bytes | bytearray | memoryview)
        # A file may hold anything, and what its bytes say counts.
        media_type = (sniff(value) or "") if is_bytes else ""
        found = media_type.partition("/")[0] if self.kind == "file" else self.kind
        is_file = self.kind == "file" and (media_type == PDF_TYPE or self.is_from_tool)
        if is_bytes and (found == "audio" or (is_file and found not in {"image", "video"})):
            return base64.b64encode(value).decode()
        kind: Literal["image", "video"] = "video" if found == "video" else "image"
        text = to_json_safe(value, kind, self.where, self.policy)
        if text is None:
            raise UnsupportedContentError(
                f"{key!r} cannot be a {type(value).__name__}.",
                where=self.where,
                remedy=(
                    "Pass a URL, bytes, Base64, a pathlib.Path, a file object or a decoded picture."
                ),
            )
        return text


def _with_type(safe: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Give Base64 where Base64 is promised, and its type beside it."""
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


_NESTED = frozenset({"model_kwargs", "extra_body", "default_headers"})


class SerializedCache:
    """Remembers how a model is serialized, for as long as its fields stay as they are.

    LangChain serializes a model at each call, which takes a third of a millisecond, or keeps what
    it once got: then a changed copy finds the cached answers of the model that it was copied from.
    """

    def __init__(self) -> None:
        # One object, since shallow copies share this memory and may use it from other threads.
        self._last: tuple[dict[str, Any], dict[str, Any]] | None = None

    def recall(self, model: Serializable) -> dict[str, Any]:
        """Give the model as LangChain's JSON.

        Args:
            model: Whose fields are compared with those of the last time.
        """
        fields, last = vars(model), self._last
        if last is None or last[0] != fields:
            kept = {name: _keep(name, value) for name, value in fields.items()}
            self._last = last = (kept, dict(dumpd(model)))
        return last[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> "SerializedCache":
        return SerializedCache()

    def __reduce__(self) -> tuple[type["SerializedCache"], tuple[()]]:
        # The fields hold the key.
        return SerializedCache, ()


def _keep(name: str, value: Any) -> Any:
    # What is changed in place would be equal to itself ever after. Callbacks cannot be copied.
    if name in _NESTED:
        return deepcopy(value)
    return copy(value) if isinstance(value, dict | list) else value
