"""Reading content parts: what both protocols have in common.

Rules are those of the OpenAI-Chat page (2026-10), the Native-API page (2026-09), the
Vision page (2026-08) and the Errors page (2026-07).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from qwen_vl.sandbox.conversation import Part, Picture, Text, Video
from qwen_vl.sandbox.models import ModelFacts, Pixels, VideoFacts
from qwen_vl.sandbox.refusals import ALGO, refuse
from qwen_vl.sandbox.validation import Fields

KNOBS = frozenset({"min_pixels", "max_pixels", "total_pixels", "fps", "max_frames"})
"""Pixel and frame knobs; they stand beside the address they are for."""

MIN_LIST = 4
MIN_MAX_FRAMES = 4
"""Smallest `max_frames`. unsure: no page prints it; fewer frames are never sampled."""


class PartReader(ABC):
    """Reads the parts of one request.

    Args:
        facts: What the model takes.
        strict: As for `Sandbox`.
    """

    answers_in_parts = False
    """Whether the protocol's own answers hold a list, which comes back empty with tool calls."""

    def __init__(self, facts: ModelFacts, *, strict: bool) -> None:
        self._facts = facts
        self._strict = strict

    @property
    @abstractmethod
    def fields(self) -> Mapping[str, frozenset[str]]:
        """Documented fields by kind of part, its own and `cache_control` apart."""

    @abstractmethod
    def read(self, part: Any, path: str, role: str) -> Part:
        """Read one part of a message of that role.

        Raises:
            Refusal: It is none that the service takes.
        """

    def _check_place(self, part: dict[str, Any], path: str, kind: str, role: str) -> None:
        if role != "user" and kind != "text":
            refuse(f"{path}: only user messages may hold {kind!r}; {role} messages hold text.")
        if not self._strict:
            return
        # unsure: the service may ignore misplaced knobs; the page only shows where they stand.
        inner = part.get(kind)
        if isinstance(inner, dict) and (inside := KNOBS & inner.keys()):
            refuse(f"{path}: {sorted(inside)} must stand beside {kind!r}, not inside it.")
        if misplaced := (KNOBS & part.keys()) - self.fields[kind]:
            refuse(f"{path}: {sorted(misplaced)} cannot be set on a {kind!r} part.")

    def _text(self, part: dict[str, Any], path: str) -> Text:
        text = Fields(part, path).string("text")
        return Text(text) if text is not None else refuse(f"{path}.text is required.")

    def _picture(self, part: dict[str, Any], path: str, url: str) -> Picture:
        low, high = _pixel_range(part, path, self._facts.picture)
        return Picture(path, url, low, high)

    def _clip(self, part: dict[str, Any], path: str, source: str | tuple[str, ...]) -> Video:
        facts = self._video_facts(path)
        fields = Fields(part, path)
        fps = fields.number("fps", 0.1, 10)
        low, high = _pixel_range(part, path, facts.pixels)
        total = fields.integer("total_pixels", 1, facts.total_pixels)
        return Video(path, source, 2.0 if fps is None else fps, low, high, total)

    def _frames(self, frames: Any, path: str) -> tuple[str, ...]:
        if not isinstance(frames, list) or not all(isinstance(url, str) for url in frames):
            refuse(f"{path}.video must be a list of strings.")
        most = self._video_facts(path).longest_list
        if not MIN_LIST <= len(frames) <= most:
            # The spelling is the service's (Errors page, 2026-07).
            refuse(f"{ALGO}the range of sequence images shoule be ({MIN_LIST}, {most})")
        return tuple(frames)

    def _video_facts(self, path: str) -> VideoFacts:
        return self._facts.video or refuse(f"{path}: the model does not support video input.")


def _pixel_range(part: dict[str, Any], path: str, pixels: Pixels) -> tuple[int | None, int | None]:
    fields = Fields(part, path)
    low = fields.integer("min_pixels", pixels.lowest, pixels.highest)
    high = fields.integer("max_pixels", pixels.lowest, pixels.highest)
    if (low or pixels.lowest) > (high or pixels.highest):
        refuse(f"{path}: min_pixels must not be greater than max_pixels.")
    return low, high
