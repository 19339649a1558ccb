"""The markers up to which the service should cache a conversation.

`cache_control` is that of all models (Cache page, 2026-10); Qwen4 has lifetimes and a second form
of marker, `prompt_cache_breakpoint`, which means the same (Qwen4-Cache page, 2026-11).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen_vl.content import Document, Image, Part, Text, ToolPart, ToolResult, Turn, Video
from qwen_vl.errors import UnsupportedContentError, warn
from qwen_vl.specs.models import NEWEST, ModelSpec, get_model_spec

MAX_CACHE_MARKS = 4
"""Most markers of one request (Cache page, 2026-10)."""

CACHE_CONTROL: Mapping[str, Any] = {"type": "ephemeral"}
"""The one kind of marker of most models: for 5 minutes from its last use."""

CACHE_BREAKPOINT = "prompt_cache_breakpoint"
"""Name of the other kind of marker, which a part's `cache_control` holds under this name."""

_TTL = "5m"


def find_marker(block: Mapping[str, Any], where: str) -> Mapping[str, Any] | None:
    """Find the marker beside a part, in either form.

    Args:
        block: What stands beside the part, by the service's names.
        where: The part's place, for errors.

    Returns:
        What a part holds as `cache_control`; `None` without a marker.

    Raises:
        UnsupportedContentError: There are both forms.

    Example:
        >>> find_marker({"prompt_cache_breakpoint": {"mode": "explicit"}}, "")
        {'prompt_cache_breakpoint': {'mode': 'explicit'}}
    """
    control, breakpoint_ = block.get("cache_control"), block.get(CACHE_BREAKPOINT)
    if breakpoint_ is None:
        return control
    if control is not None:
        raise UnsupportedContentError(
            f"cache_control and {CACHE_BREAKPOINT} mean the same.",
            where=where,
            remedy="Pass one of them.",
        )
    return {CACHE_BREAKPOINT: breakpoint_}


def write_marker(mark: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what stands beside a part in a request's body.

    Args:
        mark: A part's `cache_control`.

    Example:
        >>> write_marker({"type": "ephemeral"})
        {'cache_control': {'type': 'ephemeral'}}
    """
    if mark is None:
        return {}
    return dict(mark) if CACHE_BREAKPOINT in mark else {"cache_control": mark}


def resolve_cache_control(turns: Sequence[Turn], model: str) -> tuple[Turn, ...]:
    """Check the markers of a conversation, and write them as the service reads them.

    Args:
        turns: They stay as they are.
        model: Model id.

    Returns:
        The same turns where there is nothing to change.

    Raises:
        UnsupportedContentError: A marker is of a kind, or asks for a lifetime, that the model does
            not have; or there are more than 4.

    Example:
        >>> marked = Text(text="Long.", cache_control={"type": "ephemeral", "ttl": "5m"})
        >>> turns = [Turn(role="user", parts=(marked,))]
        >>> resolve_cache_control(turns, "qwen3-vl-plus")[0].parts[0].cache_control
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
    markers = _Markers(model, get_model_spec(model))
    return tuple(_resolve_turn(turn, markers) for turn in turns)


def _find_marked(holder: Turn | ToolResult) -> Iterator[Any]:
    for part in holder.parts:
        if isinstance(part, ToolResult):
            yield from (inner for inner in _find_marked(part) if not isinstance(inner, Text))
        elif _mark_of(part) is not None:
            yield part


def _mark_of(part: Part | ToolPart) -> Mapping[str, Any] | None:
    return part.cache_control if isinstance(part, Text | Image | Video | Document) else None


def _resolve_turn(holder: Any, markers: "_Markers") -> Any:
    parts = tuple(_resolve_part(part, holder, markers) for part in holder.parts)
    is_same = all(new is old for new, old in zip(parts, holder.parts, strict=True))
    return holder if is_same else replace(holder, parts=parts)


def _resolve_part(part: Any, holder: Turn | ToolResult, markers: "_Markers") -> Any:
    if isinstance(part, ToolResult):
        return _resolve_turn(part, markers)
    mark = _mark_of(part)
    if mark is None:
        return part
    if isinstance(holder, ToolResult) and isinstance(part, Text):
        warn(
            f"{part.where}: cache_control is not supported in a tool result's text, which the "
            "service takes as plain text. It is not sent; mark a message before or after it."
        )
        return replace(part, cache_control=None)
    if mark == CACHE_CONTROL:
        return part
    try:
        return replace(part, cache_control=markers.read(mark, part.where))
    except UnsupportedContentError as error:
        if not isinstance(holder, ToolResult):
            raise
        # The content itself can be sent, and the next turn would meet the marker again.
        warn(f"{error} The marker is not sent.")
        return replace(part, cache_control=None)


@dataclass(frozen=True, slots=True)
class _Markers:
    """Which markers a model has."""

    model: str
    spec: ModelSpec

    def read(self, mark: Any, where: str) -> Mapping[str, Any]:
        """Return a marker as the service reads it."""
        if isinstance(mark, Mapping) and CACHE_BREAKPOINT in mark:
            return self._read_breakpoint(mark, where)
        if not isinstance(mark, Mapping) or mark.get("type") != "ephemeral":
            kind = mark.get("type") if isinstance(mark, Mapping) else mark
            raise UnsupportedContentError(
                f"Unknown cache_control type {kind!r}.",
                where=where,
                remedy='Only {"type": "ephemeral"} is supported.',
            )
        beside = {name: value for name, value in mark.items() if name != "type"}
        ttl = beside.pop("ttl", None)
        for name in beside:
            warn(
                f"{where}: {name!r} is not something that the service reads in cache_control. It "
                "is not sent."
            )
        if ttl is not None and self._takes(ttl, where):
            return {**CACHE_CONTROL, "ttl": ttl}
        return CACHE_CONTROL

    def _takes(self, ttl: object, where: str) -> bool:
        lifetimes = self.spec.cache_ttls
        if ttl in lifetimes:
            return True
        if not lifetimes:
            if ttl == _TTL:
                # What the service does anyway.
                return False
            raise UnsupportedContentError(
                f"cache_control asks for a ttl of {ttl!r}; {self.model} keeps what is cached for "
                "5 minutes from its last use.",
                where=where,
                remedy=f"Leave the ttl out, or use a model with lifetimes: {NEWEST.family}.",
            )
        raise UnsupportedContentError(
            f"cache_control asks for a ttl of {ttl!r}.",
            where=where,
            remedy=f"{self.model} has {' and '.join(lifetimes)}.",
        )

    def _read_breakpoint(self, mark: Mapping[str, Any], where: str) -> Mapping[str, Any]:
        if self.spec.accepts_cache_breakpoint:
            # unsure: which other modes there are.
            return mark
        raise UnsupportedContentError(
            f"{CACHE_BREAKPOINT} is not supported by {self.model}.",
            where=where,
            remedy='Pass cache_control={"type": "ephemeral"}, which means the same.',
        )
