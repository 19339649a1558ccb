"""Reading `messages`, strictly: what both protocols have in common.

Rules are those of the OpenAI-Chat page (2026-10), the Native-API page (2026-09), the
Vision page (2026-08) and the Errors page (2026-07).
"""

from typing import Any, get_args

from qwen_vl.sandbox.conversation import Message, Part, Role, Text, ToolCall
from qwen_vl.sandbox.models import ModelFacts
from qwen_vl.sandbox.parts import PartReader
from qwen_vl.sandbox.refusals import ALGO, refuse
from qwen_vl.sandbox.validation import Fields

MAX_CACHE_MARKERS = 4

LONE_TOOL_MESSAGE = (
    'messages with role "tool" must be a response to a preceeding message with "tool_calls".'
)
UNANSWERED_CALLS = (
    'An assistant message with "tool_calls" must be followed by tool messages responding to each '
    '"tool_call_id". The following tool_call_ids did not have response messages: '
)


def read_messages(value: Any, facts: ModelFacts, parts: PartReader) -> tuple[Message, ...]:
    """Read and check all messages; `parts` reads their parts.

    Raises:
        Refusal: A message, or their order, is not one the service takes.
    """
    if not isinstance(value, list) or not value:
        # unsure: the wording for a missing or empty list is not documented.
        refuse("[] is too short - 'messages'")
    reader = _Reader(facts, parts)
    messages = tuple(reader.read(item, f"messages[{at}]") for at, item in enumerate(value))
    _check_partial(value)
    _check_tool_pairs(messages)
    return messages


def is_partial(value: Any) -> bool:
    """Tell whether the last message asks to be continued."""
    last = value[-1] if isinstance(value, list) and value else None
    return isinstance(last, dict) and bool(last.get("partial"))


class _Reader:
    def __init__(self, facts: ModelFacts, parts: PartReader) -> None:
        self._facts = facts
        self._part_reader = parts
        self._cache_markers = 0

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
            cache_marks=self._cache_marks(item, path),
        )

    def _parts(self, item: dict[str, Any], path: str) -> tuple[Part, ...]:
        content, role = item.get("content"), item["role"]
        if isinstance(content, str):
            return (Text(content),)
        empty = content is None or (content == [] and self._part_reader.answers_in_parts)
        if empty and role == "assistant" and item.get("tool_calls"):
            return ()
        if role == "tool":
            refuse(f"{path}.content of a tool message must be a string.")
        if role == "user" and not self._facts.sees:
            refuse(f"{ALGO}input content must be a string")
        if not isinstance(content, list) or not content:
            refuse(f"{path}.content must be a string or a list of parts that is not empty.")
        return tuple(
            self._part_reader.read(part, f"{path}.content[{at}]", role)
            for at, part in enumerate(content)
        )

    def _cache_marks(self, item: dict[str, Any], path: str) -> tuple[int, ...]:
        content = item.get("content")
        if not isinstance(content, list):
            return ()
        marks = []
        for at, part in enumerate(content):
            marker = part.get("cache_control")
            if marker is None:
                continue
            if marker != {"type": "ephemeral"}:
                refuse(f"{path}.content[{at}].cache_control must be {{'type': 'ephemeral'}}.")
            marks.append(at)
        self._cache_markers += len(marks)
        if self._cache_markers > MAX_CACHE_MARKERS:
            refuse(f"At most {MAX_CACHE_MARKERS} cache_control markers are supported.")
        return tuple(marks)


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
