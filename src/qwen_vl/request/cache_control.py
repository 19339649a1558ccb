"""The markers up to which the service should cache a conversation (Cache page, 2026-10)."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qwen_vl.content import Document, Image, Part, Text, ToolPart, ToolResult, Turn, Video
from qwen_vl.errors import UnsupportedContentError

MAX_CACHE_MARKS = 4
"""Most markers of one request (Cache page, 2026-10)."""

CACHE_CONTROL: Mapping[str, Any] = {"type": "ephemeral"}
"""The one kind of marker that there is: for 5 minutes from its last use."""

_TTL = "5m"


def resolve_cache_control(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Check the markers of a conversation, and write them as the service reads them.

    Args:
        turns: They stay as they are.

    Returns:
        The same turns where there is nothing to change.

    Raises:
        UnsupportedContentError: A marker is of another kind, or there are more than 4.

    Example:
        >>> marked = Text(text="Long.", cache_control={"type": "ephemeral", "ttl": "5m"})
        >>> resolve_cache_control([Turn(role="user", parts=(marked,))])[0].parts[0].cache_control
        {'type': 'ephemeral'}
    """
    marked = [part for turn in turns for part in _find_marked(turn)]
    if not marked:
        return tuple(turns)
    if len(marked) > MAX_CACHE_MARKS:
        raise UnsupportedContentError(
            f"The conversation has {len(marked)} cache_control markers; the service takes "
            f"{MAX_CACHE_MARKS}.",
            where=marked[MAX_CACHE_MARKS].where,
            remedy="Keep the last ones: each holds all that stands before it.",
        )
    return tuple(_resolve_turn(turn) for turn in turns)


def _find_marked(holder: Turn | ToolResult) -> Iterator[Any]:
    for part in holder.parts:
        if isinstance(part, ToolResult):
            yield from (inner for inner in _find_marked(part) if not isinstance(inner, Text))
        elif _mark_of(part) is not None:
            yield part


def _mark_of(part: Part | ToolPart) -> Mapping[str, Any] | None:
    return part.cache_control if isinstance(part, Text | Image | Video | Document) else None


def _resolve_turn(holder: Any) -> Any:
    parts = tuple(_resolve_part(part, holder) for part in holder.parts)
    is_same = all(new is old for new, old in zip(parts, holder.parts, strict=True))
    return holder if is_same else replace(holder, parts=parts)


def _resolve_part(part: Any, holder: Turn | ToolResult) -> Any:
    if isinstance(part, ToolResult):
        return _resolve_turn(part)
    mark = _mark_of(part)
    if mark is None:
        return part
    if isinstance(holder, ToolResult) and isinstance(part, Text):
        warnings.warn(
            f"{part.where}: cache_control is not supported in a tool result's text, which the "
            "service takes as plain text. It is not sent; mark a message before or after it.",
            UserWarning,
            stacklevel=2,
        )
        return replace(part, cache_control=None)
    if mark == CACHE_CONTROL:
        return part
    try:
        return replace(part, cache_control=_read_mark(mark, part.where))
    except UnsupportedContentError as error:
        if not isinstance(holder, ToolResult):
            raise
        # The content itself can be sent, and the next turn would meet the marker again.
        warnings.warn(f"{error} The marker is not sent.", UserWarning, stacklevel=2)
        return replace(part, cache_control=None)


def _read_mark(mark: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(mark, Mapping) or mark.get("type") != "ephemeral":
        kind = mark.get("type") if isinstance(mark, Mapping) else mark
        raise UnsupportedContentError(
            f"Unknown cache_control type {kind!r}.",
            where=where,
            remedy='Only {"type": "ephemeral"} is supported.',
        )
    beside = {name: value for name, value in mark.items() if name != "type"}
    if beside.pop("ttl", _TTL) != _TTL:
        warnings.warn(
            f"{where}: cache_control asks for a ttl of {mark['ttl']!r}; the service keeps what is "
            "cached for 5 minutes from its last use. The ttl is not sent.",
            UserWarning,
            stacklevel=2,
        )
    for name in beside:
        warnings.warn(
            f"{where}: {name!r} is not something that the service reads in cache_control. It is "
            "not sent.",
            UserWarning,
            stacklevel=2,
        )
    return CACHE_CONTROL
