"""Reading `messages`, strictly: what both protocols have in common.

Rules are those of the OpenAI-Chat page (2026-10), the Native-API page (2026-09), the
Vision page (2026-08) and the Errors page (2026-07).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, get_args

from qwen_vl_sandbox.errors.api_error import ALGO, reject
from qwen_vl_sandbox.reading.conversation import (
    ImagePart,
    Message,
    Part,
    Role,
    Text,
    ToolCall,
    Video,
)
from qwen_vl_sandbox.reading.validation import Fields
from qwen_vl_sandbox.specs.models import ModelSpec, Pixels, VideoSpec

MEDIA_OPTIONS = frozenset({"min_pixels", "max_pixels", "total_pixels", "fps", "max_frames"})
"""Pixel and frame knobs; they stand beside the URL they are for."""

MIN_LIST = 4
MIN_MAX_FRAMES = 4
"""Smallest `max_frames`. unsure: no page prints it; fewer frames are never sampled."""


class PartReader(ABC):
    """Reads the parts of one request.

    Args:
        spec: What the model takes.
        strict: As for `Sandbox`.
    """

    answers_in_parts = False
    """Whether the protocol's own answers hold a list, which comes back empty with tool calls."""

    def __init__(self, spec: ModelSpec, *, strict: bool) -> None:
        self._spec = spec
        self._strict = strict

    @property
    @abstractmethod
    def fields(self) -> Mapping[str, frozenset[str]]:
        """Documented fields by kind of part, its own and `cache_control` apart."""

    @abstractmethod
    def read(self, part: Any, path: str, role: str) -> Part:
        """Read one part of a message of that role.

        Raises:
            ApiError: It is none that the service takes.
        """

    def _check_place(self, part: dict[str, Any], path: str, kind: str, role: str) -> None:
        if role != "user" and kind != "text":
            reject(f"{path}: only user messages may hold {kind!r}; {role} messages hold text.")
        if not self._strict:
            return
        # unsure: the service may ignore misplaced knobs; the page only shows where they stand.
        inner = part.get(kind)
        if isinstance(inner, dict) and (inside := MEDIA_OPTIONS & inner.keys()):
            reject(f"{path}: {sorted(inside)} must stand beside {kind!r}, not inside it.")
        if misplaced := (MEDIA_OPTIONS & part.keys()) - self.fields[kind]:
            reject(f"{path}: {sorted(misplaced)} cannot be set on a {kind!r} part.")

    def _text(self, part: dict[str, Any], path: str) -> Text:
        text = Fields(part, path).string("text")
        return Text(text) if text is not None else reject(f"{path}.text is required.")

    def _image(self, part: dict[str, Any], path: str, url: str) -> ImagePart:
        low, high = _pixel_range(part, path, self._spec.image)
        return ImagePart(path, url, low, high)

    def _clip(self, part: dict[str, Any], path: str, source: str | tuple[str, ...]) -> Video:
        spec = self._video_spec(path)
        fields = Fields(part, path)
        fps = fields.number("fps", 0.1, 10)
        low, high = _pixel_range(part, path, spec.pixels)
        total = fields.integer("total_pixels", 1, spec.total_pixels)
        return Video(path, source, 2.0 if fps is None else fps, low, high, total)

    def _frames(self, frames: Any, path: str) -> tuple[str, ...]:
        if not isinstance(frames, list) or not all(isinstance(url, str) for url in frames):
            reject(f"{path}.video must be a list of strings.")
        most = self._video_spec(path).longest_list
        if not MIN_LIST <= len(frames) <= most:
            # The spelling is the service's (Errors page, 2026-07).
            reject(f"{ALGO}the range of sequence images shoule be ({MIN_LIST}, {most})")
        return tuple(frames)

    def _video_spec(self, path: str) -> VideoSpec:
        return self._spec.video or reject(f"{path}: the model does not support video input.")


def _pixel_range(part: dict[str, Any], path: str, pixels: Pixels) -> tuple[int | None, int | None]:
    fields = Fields(part, path)
    low = fields.integer("min_pixels", pixels.lowest, pixels.highest)
    high = fields.integer("max_pixels", pixels.lowest, pixels.highest)
    if (low or pixels.lowest) > (high or pixels.highest):
        reject(f"{path}: min_pixels must not be greater than max_pixels.")
    return low, high


MARKERS = frozenset({"cache_control", "prompt_cache_breakpoint"})
"""Fields that any part may have beside its own."""

MAX_CACHE_MARKERS = 4
KEPT_SECONDS = 300.0
"""Lifetime of a cached prefix where none is asked for."""

LONE_TOOL_MESSAGE = (
    'messages with role "tool" must be a response to a preceeding message with "tool_calls".'
)
UNANSWERED_CALLS = (
    'An assistant message with "tool_calls" must be followed by tool messages responding to each '
    '"tool_call_id". The following tool_call_ids did not have response messages: '
)


def read_messages(value: Any, spec: ModelSpec, parts: PartReader) -> tuple[Message, ...]:
    """Read and check all messages; `parts` reads their parts.

    Raises:
        ApiError: A message, or their order, is not one the service takes.
    """
    if not isinstance(value, list) or not value:
        # unsure: the wording for a missing or empty list is not documented.
        reject("[] is too short - 'messages'")
    reader = _Reader(spec, parts)
    messages = tuple(reader.read(item, f"messages[{at}]") for at, item in enumerate(value))
    _check_partial(value)
    _check_tool_pairs(messages)
    return messages


def is_partial(value: Any) -> bool:
    """Return whether the last message asks to be continued."""
    last = value[-1] if isinstance(value, list) and value else None
    return isinstance(last, dict) and bool(last.get("partial"))


class _Reader:
    def __init__(self, spec: ModelSpec, parts: PartReader) -> None:
        self._spec = spec
        self._part_reader = parts
        self._cache_markers = 0

    def read(self, item: Any, path: str) -> Message:
        if not isinstance(item, dict):
            reject(f"{path} must be an object.")
        role: Role = item.get("role", "")
        if role not in get_args(Role):
            reject(f"{role!r} is not one of {list(get_args(Role))} - '{path}.role'")
        fields = Fields(item, path)
        return Message(
            role=role,
            parts=self._parts(item, path),
            reasoning=fields.string("reasoning_content") or "",
            tool_calls=_read_calls(item, path) if role == "assistant" else (),
            tool_call_id=fields.string("tool_call_id"),
            cache_marks=self._cache_marks(item, path),
            encrypted_content=fields.string("encrypted_content"),
        )

    def _parts(self, item: dict[str, Any], path: str) -> tuple[Part, ...]:
        content, role = item.get("content"), item["role"]
        if isinstance(content, str):
            return (Text(content),)
        empty = content is None or (content == [] and self._part_reader.answers_in_parts)
        if empty and role == "assistant" and item.get("tool_calls"):
            return ()
        if role == "tool":
            reject(f"{path}.content of a tool message must be a string.")
        if role == "user" and not self._spec.sees:
            reject(f"{ALGO}input content must be a string")
        if not isinstance(content, list) or not content:
            reject(f"{path}.content must be a string or a list of parts that is not empty.")
        return tuple(
            self._part_reader.read(part, f"{path}.content[{at}]", role)
            for at, part in enumerate(content)
        )

    def _cache_marks(self, item: dict[str, Any], path: str) -> dict[int, float]:
        content = item.get("content")
        if not isinstance(content, list):
            return {}
        seconds = {
            at: self._kept_seconds(part, f"{path}.content[{at}]") for at, part in enumerate(content)
        }
        marks = {at: kept for at, kept in seconds.items() if kept is not None}
        self._cache_markers += len(marks)
        # unsure: whether the limit holds for both forms together.
        if self._cache_markers > MAX_CACHE_MARKERS:
            reject(f"At most {MAX_CACHE_MARKERS} cache_control markers are supported.")
        return marks

    def _kept_seconds(self, part: dict[str, Any], path: str) -> float | None:
        marker, breakpoint_ = part.get("cache_control"), part.get("prompt_cache_breakpoint")
        if breakpoint_ is not None:
            if not self._spec.takes_breakpoints:
                reject(f"{path}.prompt_cache_breakpoint is not supported by the model.")
            if breakpoint_ != {"mode": "explicit"}:
                reject(f"{path}.prompt_cache_breakpoint must be {{'mode': 'explicit'}}.")
        if marker is None:
            return None if breakpoint_ is None else KEPT_SECONDS
        if marker == {"type": "ephemeral"}:
            return KEPT_SECONDS
        # unsure: the page names the lifetimes; the name of their field is that of the protocol
        # which `cache_control` comes from.
        lifetimes = self._spec.cache_seconds
        ttl = marker.get("ttl") if isinstance(marker, dict) else None
        if marker != {"type": "ephemeral", "ttl": ttl} or ttl not in lifetimes:
            beside = f", with a ttl of {' or '.join(lifetimes)}" if lifetimes else ""
            reject(f"{path}.cache_control must be {{'type': 'ephemeral'}}{beside}.")
        return lifetimes[str(ttl)]


def _read_calls(item: dict[str, Any], path: str) -> tuple[ToolCall, ...]:
    calls = item.get("tool_calls")
    if calls is None:
        return ()
    if not isinstance(calls, list):
        reject(f"{path}.tool_calls must be a list.")
    return tuple(_read_call(call, f"{path}.tool_calls[{at}]") for at, call in enumerate(calls))


def _read_call(call: Any, path: str) -> ToolCall:
    if not isinstance(call, dict) or call.get("type", "function") != "function":
        reject(f"{path} must be an object of type 'function'.")
    function = call.get("function")
    if not isinstance(function, dict):
        reject(f"{path}.function must be an object.")
    fields = Fields(function, f"{path}.function")
    identity, name = Fields(call, path).string("id"), fields.string("name")
    if not identity or not name:
        reject(f"{path} needs an id and a function name.")
    return ToolCall(name, fields.string("arguments") or "", identity)


def _check_partial(value: list[dict[str, Any]]) -> None:
    for at, item in enumerate(value):
        if not Fields(item, f"messages[{at}]").boolean("partial"):
            continue
        if item["role"] != "assistant" or at != len(value) - 1:
            reject(f"messages[{at}].partial is for the last message, from the assistant.")


def _check_tool_pairs(messages: tuple[Message, ...]) -> None:
    open_ids: list[str] = []
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in open_ids:
                reject(LONE_TOOL_MESSAGE)
            open_ids.remove(message.tool_call_id)
            continue
        if open_ids:
            reject(UNANSWERED_CALLS + ", ".join(open_ids))
        open_ids = [str(call.id) for call in message.tool_calls]
    if open_ids:
        reject(UNANSWERED_CALLS + ", ".join(open_ids))
