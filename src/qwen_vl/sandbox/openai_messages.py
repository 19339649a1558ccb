"""Reading the `messages` of the OpenAI-compatible protocol, strictly.

Rules are those of the OpenAI-Chat page (2026-10), the Vision page (2026-08) and the
Errors page (2026-07).
"""

from collections.abc import Callable
from typing import Any, get_args

from qwen_vl.sandbox.conversation import (
    Audio,
    Message,
    Part,
    Picture,
    Role,
    Text,
    ToolCall,
    Video,
)
from qwen_vl.sandbox.models import ModelFacts, Pixels, VideoFacts
from qwen_vl.sandbox.refusals import ALGO, refuse
from qwen_vl.sandbox.validation import Fields

KNOBS = frozenset({"min_pixels", "max_pixels", "total_pixels", "fps", "max_frames"})
"""Pixel and frame knobs; they stand beside `image_url`, `video_url` or `video`."""

PART_FIELDS: dict[str, frozenset[str]] = {
    "text": frozenset({"text"}),
    "image_url": frozenset({"image_url", "min_pixels", "max_pixels"}),
    "video_url": frozenset({"video_url", "fps", "min_pixels", "max_pixels", "total_pixels"}),
    "video": frozenset({"video", "fps", "min_pixels", "max_pixels", "total_pixels"}),
    "input_audio": frozenset({"input_audio"}),
}
"""Documented fields by part type, `type` and `cache_control` apart."""

MAX_CACHE_MARKERS = 4
MIN_LIST = 4

NOT_A_PART = "if content is list. item must be dict and key[type] should in dict"
"""The service's wording in public threads."""

LONE_TOOL_MESSAGE = (
    'messages with role "tool" must be a response to a preceeding message with "tool_calls".'
)
UNANSWERED_CALLS = (
    'An assistant message with "tool_calls" must be followed by tool messages responding to each '
    '"tool_call_id". The following tool_call_ids did not have response messages: '
)


def read_messages(value: Any, facts: ModelFacts, *, strict: bool) -> tuple[Message, ...]:
    """Read and check all messages.

    Raises:
        Refusal: A message, or their order, is not one the service takes.
    """
    if not isinstance(value, list) or not value:
        # unsure: the wording for a missing or empty list is not documented.
        refuse("[] is too short - 'messages'")
    reader = _Reader(facts, strict=strict)
    messages = tuple(reader.read(item, f"messages[{at}]") for at, item in enumerate(value))
    _check_partial(value)
    _check_tool_pairs(messages)
    return messages


def is_partial(value: Any) -> bool:
    """Tell whether the last message asks to be continued."""
    last = value[-1] if isinstance(value, list) and value else None
    return isinstance(last, dict) and bool(last.get("partial"))


class _Reader:
    def __init__(self, facts: ModelFacts, *, strict: bool) -> None:
        self._facts = facts
        self._strict = strict
        self._cache_markers = 0
        self._readers: dict[str, Callable[[dict[str, Any], str], Part]] = {
            "text": self._text,
            "image_url": self._picture,
            "video_url": self._video,
            "video": self._frames,
            "input_audio": self._audio,
        }

    def read(self, item: Any, path: str) -> Message:
        if not isinstance(item, dict):
            refuse(f"{path} must be an object.")
        role: Role = item.get("role", "")
        if role not in get_args(Role):
            refuse(f"{role!r} is not one of {list(get_args(Role))} - '{path}.role'")
        fields = Fields(item, path)
        return Message(
            role=role,
            parts=self._parts(item, path),
            reasoning=fields.string("reasoning_content") or "",
            tool_calls=_read_calls(item, path) if role == "assistant" else (),
            tool_call_id=fields.string("tool_call_id"),
        )

    def _parts(self, item: dict[str, Any], path: str) -> tuple[Part, ...]:
        content, role = item.get("content"), item["role"]
        if isinstance(content, str):
            return (Text(content),)
        if content is None and role == "assistant" and item.get("tool_calls"):
            return ()
        if role == "tool":
            refuse(f"{path}.content of a tool message must be a string.")
        if role == "user" and not self._facts.sees:
            refuse(f"{ALGO}input content must be a string")
        if not isinstance(content, list) or not content:
            refuse(f"{path}.content must be a string or a list of parts that is not empty.")
        return tuple(
            self._part(part, f"{path}.content[{at}]", role) for at, part in enumerate(content)
        )

    def _part(self, part: Any, path: str, role: str) -> Part:
        if not isinstance(part, dict) or "type" not in part:
            refuse(f"{NOT_A_PART} - '{path}'")
        kind = part["type"]
        read = self._readers.get(kind) if isinstance(kind, str) else None
        if read is None or (kind == "input_audio" and not self._facts.hears):
            refuse(f"{path}.type {kind!r} is not supported by the model.")
        if role != "user" and kind != "text":
            refuse(f"{path}: only user messages may hold {kind!r}; {role} messages hold text.")
        self._check_cache_control(part, path)
        self._check_knobs(part, path, kind)
        return read(part, path)

    def _check_cache_control(self, part: dict[str, Any], path: str) -> None:
        marker = part.get("cache_control")
        if marker is None:
            return
        if marker != {"type": "ephemeral"}:
            refuse(f"{path}.cache_control must be {{'type': 'ephemeral'}}.")
        self._cache_markers += 1
        if self._cache_markers > MAX_CACHE_MARKERS:
            refuse(f"At most {MAX_CACHE_MARKERS} cache_control markers are supported.")

    def _check_knobs(self, part: dict[str, Any], path: str, kind: str) -> None:
        if not self._strict:
            return
        # unsure: the service may ignore misplaced knobs; the page only shows where they stand.
        inner = part.get(kind)
        if isinstance(inner, dict) and (inside := KNOBS & inner.keys()):
            refuse(f"{path}: {sorted(inside)} must stand beside {kind!r}, not inside it.")
        if misplaced := (KNOBS & part.keys()) - PART_FIELDS[kind]:
            refuse(f"{path}: {sorted(misplaced)} cannot be set on a {kind!r} part.")

    def _text(self, part: dict[str, Any], path: str) -> Text:
        text = Fields(part, path).string("text")
        return Text(text) if text is not None else refuse(f"{path}.text is required.")

    def _picture(self, part: dict[str, Any], path: str) -> Picture:
        url = _url(part, "image_url", path)
        low, high = _pixel_range(part, path, self._facts.picture)
        return Picture(path, url, low, high)

    def _video(self, part: dict[str, Any], path: str) -> Video:
        return self._clip(part, path, _url(part, "video_url", path))

    def _frames(self, part: dict[str, Any], path: str) -> Video:
        frames = part.get("video")
        if not isinstance(frames, list) or not all(isinstance(url, str) for url in frames):
            refuse(f"{path}.video must be a list of strings.")
        most = self._video_facts(path).longest_list
        if not MIN_LIST <= len(frames) <= most:
            # The spelling is the service's (Errors page, 2026-07).
            refuse(f"{ALGO}the range of sequence images shoule be ({MIN_LIST}, {most})")
        return self._clip(part, path, tuple(frames))

    def _clip(self, part: dict[str, Any], path: str, source: str | tuple[str, ...]) -> Video:
        facts = self._video_facts(path)
        fields = Fields(part, path)
        fps = fields.number("fps", 0.1, 10)
        low, high = _pixel_range(part, path, facts.pixels)
        total = fields.integer("total_pixels", 1, facts.total_pixels)
        return Video(path, source, 2.0 if fps is None else fps, low, high, total)

    def _audio(self, part: dict[str, Any], path: str) -> Audio:
        inner = part.get("input_audio")
        if not isinstance(inner, dict):
            refuse(f"{path}.input_audio must be an object with data and format.")
        fields = Fields(inner, f"{path}.input_audio")
        data, kind = fields.string("data"), fields.string("format")
        if not data or not kind:
            refuse(f"{path}.input_audio needs data and format.")
        return Audio(path, data, kind)

    def _video_facts(self, path: str) -> VideoFacts:
        return self._facts.video or refuse(f"{path}: the model does not support video input.")


def _url(part: dict[str, Any], kind: str, path: str) -> str:
    inner = part.get(kind)
    if not isinstance(inner, dict) or not isinstance(inner.get("url"), str):
        refuse(f"{path}.{kind} must be an object with a url.")
    return str(inner["url"])


def _pixel_range(part: dict[str, Any], path: str, pixels: Pixels) -> tuple[int | None, int | None]:
    fields = Fields(part, path)
    low = fields.integer("min_pixels", pixels.lowest, pixels.highest)
    high = fields.integer("max_pixels", pixels.lowest, pixels.highest)
    if (low or pixels.lowest) > (high or pixels.highest):
        refuse(f"{path}: min_pixels must not be greater than max_pixels.")
    return low, high


def _read_calls(item: dict[str, Any], path: str) -> tuple[ToolCall, ...]:
    calls = item.get("tool_calls")
    if calls is None:
        return ()
    if not isinstance(calls, list):
        refuse(f"{path}.tool_calls must be a list.")
    return tuple(_read_call(call, f"{path}.tool_calls[{at}]") for at, call in enumerate(calls))


def _read_call(call: Any, path: str) -> ToolCall:
    if not isinstance(call, dict) or call.get("type", "function") != "function":
        refuse(f"{path} must be an object of type 'function'.")
    function = call.get("function")
    if not isinstance(function, dict):
        refuse(f"{path}.function must be an object.")
    fields = Fields(function, f"{path}.function")
    identity, name = Fields(call, path).string("id"), fields.string("name")
    if not identity or not name:
        refuse(f"{path} needs an id and a function name.")
    return ToolCall(name, fields.string("arguments") or "", identity)


def _check_partial(value: list[dict[str, Any]]) -> None:
    for at, item in enumerate(value):
        if not Fields(item, f"messages[{at}]").boolean("partial"):
            continue
        if item["role"] != "assistant" or at != len(value) - 1:
            refuse(f"messages[{at}].partial is for the last message, from the assistant.")


def _check_tool_pairs(messages: tuple[Message, ...]) -> None:
    open_ids: list[str] = []
    for message in messages:
        if message.role == "tool":
            if message.tool_call_id not in open_ids:
                refuse(LONE_TOOL_MESSAGE)
            open_ids.remove(message.tool_call_id)
            continue
        if open_ids:
            refuse(UNANSWERED_CALLS + ", ".join(open_ids))
        open_ids = [str(call.id) for call in message.tool_calls]
    if open_ids:
        refuse(UNANSWERED_CALLS + ", ".join(open_ids))
