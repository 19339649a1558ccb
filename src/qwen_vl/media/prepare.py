"""From a request whose media may be anywhere to one whose media can go on the wire.

The walk over turns and parts; what holds for one picture or one file stands in its own module.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from qwen_vl.content import (
    Audio,
    Frames,
    Image,
    Media,
    Part,
    Source,
    ToolResult,
    Url,
    Video,
)
from qwen_vl.media.limits import Budget, check_media, is_remote_source
from qwen_vl.media.ready import Ready, ready_audio, ready_image, ready_video
from qwen_vl.media.shrink import Resize
from qwen_vl.models import find_model, is_service_model
from qwen_vl.request import Request
from qwen_vl.tokens import resize_frame, resize_image


def prepare_media(request: Request) -> Request:
    """Read every file, check every limit, and give each part an address that can be sent.

    `http:`, `https:` and `oss:` addresses are passed on and never fetched. All else becomes a
    `data:` address whose type is that of the bytes. Pictures go out byte for byte, except for
    three kinds. Those that are larger than the model looks at are shrunk to just that size, see
    `MediaPolicy.shrink_images`. Those that came as pixels, and still ones in formats that the
    service does not list (GIF, AVIF), become PNG, or JPEG of quality 95 where the PNG is longer
    than `max_inline_bytes` and nothing is transparent.

    Args:
        request: Stays as it is.

    Returns:
        A request in which every source is a `Url`, or `Frames` of them; the same object if it
        was one already.

    Raises:
        MediaError: A part cannot be sent; the error names the part and says what to do.
        UnsupportedContentError: The model does not take such a part.

    Example:
        >>> from qwen_vl.content import Image, LocalFile, Turn
        >>> from qwen_vl.samples import CHELSEA
        >>> cat = Image(source=LocalFile(CHELSEA, is_trusted=True))
        >>> turn = Turn(role="user", parts=(cat,))
        >>> ready = prepare_media(Request(model="qwen3-vl-plus", turns=(turn,)))
        >>> ready.turns[0].parts[0].source.address[:30]
        'data:image/png;base64,iVBORw0K'
    """
    media = list(_find_media(request))
    if not media:
        return request
    check_media(media, request.model)
    walk = _Walk(request)
    turns = []
    for turn in request.turns:
        parts = tuple(walk.prepare(part) for part in turn.parts)
        turns.append(turn if _is_same(parts, turn.parts) else replace(turn, parts=parts))
    return request if _is_same(turns, request.turns) else replace(request, turns=tuple(turns))


def needs_io(request: Request) -> bool:
    """Tell whether `prepare_media` will read, decode or encode anything.

    Args:
        request: Any request.

    Returns:
        `False` if every part is text or an `http:`, `https:` or `oss:` address.

    Example:
        >>> needs_io(Request(model="qwen3-vl-plus", turns=()))
        False
    """
    return any(not _is_remote_media(part.source) for part in _find_media(request))


class _Walk:
    """One pass over a request's parts, summing up what they inline."""

    def __init__(self, request: Request) -> None:
        self._policy = request.policy
        self._budget = Budget(request.policy.max_total_inline_bytes)
        self._facts = find_model(request.model)
        self._high_resolution = bool(request.parameters.get("vl_high_resolution_images"))
        shrinks = request.policy.shrink_images
        self._shrinks = is_service_model(request.model) if shrinks is None else shrinks

    def prepare(self, part: Part) -> Any:
        """Give a part whose sources can be sent: a new one, or the same if they can already."""
        match part:
            case Image():
                resize = self._resize_of(part)
                ready = ready_image(part.source, self._policy, part.where, resize)
                return self._with_source(part, ready)
            case Audio():
                return self._with_source(part, ready_audio(part.source, self._policy, part.where))
            case Video(source=Frames() as frames):
                return self._prepare_frames(part, frames)
            case Video(source=source) if not isinstance(source, Frames):
                return self._with_source(part, ready_video(source, self._policy, part.where))
            case ToolResult():
                parts = tuple(self.prepare(inner) for inner in part.parts)
                return part if _is_same(parts, part.parts) else replace(part, parts=parts)
            case _:
                return part

    def _with_source(self, part: Media, ready: Ready) -> Media:
        self._budget.spend(ready.n_bytes, part.where)
        if isinstance(part.source, Url) and part.source.address is ready.address:
            return part
        return replace(part, source=Url(ready.address))

    def _prepare_frames(self, part: Video, frames: Frames) -> Video:
        sources: list[Source] = []
        resize = self._resize_of(part)
        for number, frame in enumerate(frames.frames):
            where = f"{part.where}.video[{number}]"
            ready = ready_image(frame, self._policy, where, resize)
            self._budget.spend(ready.n_bytes, where)
            is_ready = isinstance(frame, Url) and frame.address is ready.address
            sources.append(frame if is_ready else Url(ready.address))
        if _is_same(sources, frames.frames):
            return part
        return replace(part, source=Frames(tuple(sources)))

    def _resize_of(self, part: Image | Video) -> Resize | None:
        """Give the size at which the model looks at a picture or frame, if it is to be shrunk."""
        if not self._shrinks:
            return None
        limits = {"min_pixels": part.min_pixels, "max_pixels": part.max_pixels}
        if isinstance(part, Image):
            high = self._high_resolution
            return lambda w, h: resize_image(w, h, self._facts, high_resolution=high, **limits)
        count = len(part.source.frames) if isinstance(part.source, Frames) else 1
        total = part.total_pixels
        return lambda w, h: resize_frame(w, h, count, self._facts, total_pixels=total, **limits)


def _find_media(request: Request) -> Iterator[Media]:
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, Image | Video | Audio):
                yield part
            elif isinstance(part, ToolResult):
                yield from (inner for inner in part.parts if isinstance(inner, Image | Video))


def _is_remote_media(source: Source | Frames) -> bool:
    if isinstance(source, Frames):
        return all(is_remote_source(frame) for frame in source.frames)
    return is_remote_source(source)


def _is_same(new: Any, old: Any) -> bool:
    return all(ours is theirs for ours, theirs in zip(new, old, strict=True))
