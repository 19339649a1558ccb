"""The places of a request's media, each filled in steps, and the request rebuilt of them once."""

import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from qwen_vl.content import (
    Part,
    Reasoning,
    Source,
    Text,
    ToolCall,
    ToolPart,
    ToolResult,
    Turn,
    Video,
)
from qwen_vl.errors import ContentError
from qwen_vl.media.tool_content import ToolNotes
from qwen_vl.media.video.cut import SamplingJob

_Holder = TypeVar("_Holder", Turn, ToolResult)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadJob:
    """A video that is to be uploaded.

    Args:
        part: The video.
        source: Its source: a file, an open file, or bytes.
    """

    part: Video
    source: Source


Content: TypeAlias = Part | ToolPart | SamplingJob | UploadJob
Step: TypeAlias = Callable[[Any], Content | list[Content]]


@dataclass(slots=True)
class Slot:
    """What stands in the place of one part: closer to being sent with each step.

    Args:
        content: One part; several where it was a document; jobs for what is still to be done.
        is_from_tool: Whether it stands in a tool result.
        is_earlier: Whether the model has answered its turn already.
    """

    content: list[Content]
    is_from_tool: bool
    is_earlier: bool = False

    def apply(self, step: Step, notes: ToolNotes) -> None:
        """Replace what stands here by what a step makes of it.

        Args:
            step: Returns the part or job itself where it has nothing to do.
            notes: Makes the notes.

        Raises:
            ContentError: A part cannot be sent, and no note takes its place.
        """
        content: list[Content] = []
        for held in self.content:
            try:
                made = step(held)
            except ContentError as error:
                part: Any = getattr(held, "part", held)
                if self.is_from_tool:
                    made = notes.replace(part, error)
                elif self.is_earlier:
                    made = notes.replace_earlier(part, error)
                else:
                    raise
            content += made if isinstance(made, list) else [made]
        self.content = content


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """The slots of a turn or a tool result, in order.

    Args:
        holder: The turn or the tool result; it stays as it is.
        entries: A slot for each part, a plan for each tool result, and text as it is.
    """

    holder: Any
    entries: Sequence[Any]

    @property
    def slots(self) -> Iterator[Slot]:
        """All slots, those of tool results among them."""
        for entry in self.entries:
            if isinstance(entry, Slot):
                yield entry
            elif isinstance(entry, SlotPlan):
                yield from entry.slots

    def rebuild(self) -> Any:
        """Return the holder with what stands in its slots; itself where nothing changed."""
        parts: list[Any] = []
        for entry in self.entries:
            if isinstance(entry, Slot):
                parts += entry.content
            else:
                parts.append(entry.rebuild() if isinstance(entry, SlotPlan) else entry)
        return _with_parts(self.holder, parts)


def plan_slots(holder: Turn | ToolResult, *, is_earlier: bool = False) -> SlotPlan:
    """Create a slot for each part of a turn or tool result that may have to be prepared.

    Args:
        holder: Stays as it is.
        is_earlier: Whether the model has answered it already.

    Example:
        >>> from qwen_vl.content import Image, Url
        >>> cat = Image(source=Url("https://example.com/cat.png"))
        >>> turn = Turn(role="user", parts=(cat, Text(text="What is this?")))
        >>> plan = plan_slots(turn)
        >>> len(list(plan.slots)), plan.rebuild() is turn
        (1, True)
    """
    is_from_tool = isinstance(holder, ToolResult)
    entries: list[Any] = []
    for part in holder.parts:
        match part:
            case Text() | Reasoning() | ToolCall():
                entries.append(part)
            case ToolResult():
                entries.append(plan_slots(part, is_earlier=is_earlier))
            case _:
                entries.append(Slot([part], is_from_tool, is_earlier))
    return SlotPlan(holder, entries)


def is_same(new: Sequence[object], old: Sequence[object]) -> bool:
    """Return whether two sequences hold the same objects.

    Args:
        new: One.
        old: The other.
    """
    return len(new) == len(old) and all(map(operator.is_, new, old))


def _with_parts(holder: _Holder, parts: list[Any]) -> _Holder:
    return holder if is_same(parts, holder.parts) else replace(holder, parts=tuple(parts))
