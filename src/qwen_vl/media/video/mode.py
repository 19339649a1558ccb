"""Which way a video goes: as a URL, whole within the request, or cut into frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Never, get_args

from qwen_vl.content import (
    DataUrl,
    Frames,
    Inline,
    LocalFile,
    OpenFile,
    Pixels,
    Url,
    Video,
    VideoMode,
    is_remote,
)
from qwen_vl.errors import MediaOptionError, UnsupportedContentError
from qwen_vl.media.head import read_head
from qwen_vl.media.load import is_seekable
from qwen_vl.media.pixels import has_animation
from qwen_vl.media.video.animation import is_animation
from qwen_vl.media.video.container import has_av, is_mpegts
from qwen_vl.media.video.file import count_bytes, open_file
from qwen_vl.media.video.probe import find_clip
from qwen_vl.media.video.sampling import Span
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.models import MIN_FRAMES, ModelSpec
from qwen_vl.specs.servers import ServerSpec

_MODES = get_args(VideoMode)
_MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingPlan:
    """How a video is to be cut, resolved: what the part says, else the policy.

    Args:
        mode: The way that it goes, or `"auto"`.
        span: The part of it to sample.
        max_frames: Maximum number of frames; never more than the model takes.
        reason: Why it must be cut whatever its size; empty where nothing says so.
    """

    mode: VideoMode
    span: Span
    max_frames: int
    reason: str


def plan_sampling(
    part: Video, policy: MediaPolicy, spec: ModelSpec, *, carries_max_frames: bool = False
) -> SamplingPlan:
    """Resolve what a video and the policy say about cutting it.

    Args:
        part: A video of any source.
        policy: What holds where the part says nothing.
        spec: The model that is asked.
        carries_max_frames: Whether the protocol has a place for `max_frames` beside a video, so
            that a whole one can go with it.

    Raises:
        MediaOptionError: A number is out of its range, or contradicts the mode.
        UnsupportedContentError: The video is none that can be cut here.
    """
    own = [
        name
        for name in ("start", "end", "max_frames", "video_mode")
        if getattr(part, name) is not None
    ]
    _check_numbers(part, policy, spec)
    if isinstance(part.source, Frames):
        _refuse_uncut(part, [name for name in own if name != "video_mode"], "a list of frames")
    elif isinstance(part.source, Url) and is_remote(part.source.url):
        is_auto = part.video_mode == "auto"
        kept = {"video_mode": is_auto, "max_frames": carries_max_frames}
        uncut = [name for name in own if not kept.get(name)]
        _refuse_uncut(part, uncut, "a video by URL")
    max_frames = policy.max_frames if part.max_frames is None else part.max_frames
    mode = policy.video_mode if part.video_mode is None else part.video_mode
    asked = [name for name in ("start", "end") if getattr(part, name) is not None]
    if max_frames is not None and not carries_max_frames:
        asked.append("max_frames")
    if mode in {"inline", "upload"} and asked and not isinstance(part.source, Frames | Url):
        _refuse_whole(asked, mode, part)
    return SamplingPlan(
        mode=mode,
        span=Span(part.start, part.end),
        max_frames=spec.max_frames if max_frames is None else max_frames,
        reason=f"{' and '.join(asked)} " + ("is" if len(asked) == 1 else "are") + " set"
        if asked
        else "",
    )


def find_reason_to_cut(
    part: Video, cut: SamplingPlan, policy: MediaPolicy, left: int, server: ServerSpec
) -> str | None:
    """Return why a video must be cut into frames, or that it is sent whole.

    Args:
        part: A video.
        cut: From `plan_sampling`.
        policy: How much may be inlined.
        left: Bytes that the request may still inline.
        server: The server.

    Returns:
        The reason, for errors; `None` where the video goes as it is.

    Raises:
        MediaError: The file may not be read, or is not there.
    """
    source = part.source
    if cut.mode in {"inline", "upload"} or isinstance(source, Frames):
        return None
    if isinstance(source, Url) and is_remote(source.url):
        return None
    if isinstance(source, Pixels):
        return "it is an animated image" if has_animation(source.image) else None
    if cut.mode == "frames":
        return 'video_mode is "frames"'
    if cut.reason:
        return cut.reason
    if server.video is None:
        return f"{server.title} takes no video files"
    return _find_unseen(source, policy, part.where, server) or _find_bad_length(
        source, policy, part.where, left, server
    )


def _find_bad_length(
    source: Inline | LocalFile | OpenFile | Url | DataUrl,
    policy: MediaPolicy,
    where: str,
    left: int,
    server: ServerSpec,
) -> str | None:
    n_bytes = count_bytes(source, policy, where)
    limit = min(policy.max_inline_bytes, left)
    if n_bytes is None or n_bytes <= limit:
        return _find_too_short(source, policy, where, server)
    return f"it has {n_bytes / _MIB:.1f} MiB, and {limit / _MIB:.1f} may be inlined"


def _find_unseen(
    source: Inline | LocalFile | OpenFile | Url | DataUrl,
    policy: MediaPolicy,
    where: str,
    server: ServerSpec,
) -> str:
    """Return why the server could not read a whole file; empty if it can."""
    if isinstance(source, DataUrl) or (
        isinstance(source, OpenFile) and not is_seekable(source.file)
    ):
        return ""
    head = read_head(source, policy, where)
    if is_animation(head):
        return "it is an animated image, which is not taken as a video"
    if not server.decodes_mpegts and is_mpegts(head):
        return f"{server.title} sees nothing in MPEG-TS"
    return ""


def _find_too_short(
    source: Inline | LocalFile | OpenFile | Url | DataUrl,
    policy: MediaPolicy,
    where: str,
    server: ServerSpec,
) -> str | None:
    is_once = isinstance(source, OpenFile) and not is_seekable(source.file)
    if is_once or not server.min_video_seconds or not has_av():
        return None
    with open_file(source, policy, where) as file:
        clip = find_clip(file, where)
    shortest = server.min_video_seconds
    if clip is None or clip.seconds >= shortest:
        return None
    return f"it lasts {clip.seconds:.2f} s, and {shortest:g} s is the shortest"


def _check_numbers(part: Video, policy: MediaPolicy, spec: ModelSpec) -> None:
    for mode in (part.video_mode, policy.video_mode):
        if mode is not None and mode not in _MODES:
            _refuse("video_mode", mode, f"one of {', '.join(map(repr, _MODES))}", part)
    for name in ("start", "end"):
        value: Any = getattr(part, name)
        if value is not None and not (_is_number(value) and value >= 0):
            _refuse(name, value, "a number of seconds from 0, from the video's beginning", part)
    if part.end is not None and part.end <= (part.start or 0):
        _refuse("end", part.end, f"later than start, which is {part.start or 0}", part)
    for count in (part.max_frames, policy.max_frames):
        is_count = isinstance(count, int) and not isinstance(count, bool)
        if count is not None and not (is_count and MIN_FRAMES <= count <= spec.max_frames):
            wanted = f"a whole number from {MIN_FRAMES} to {spec.max_frames:,} ({spec.family})"
            _refuse("max_frames", count, wanted, part)


def _is_number(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)  # type: ignore[arg-type]  # It is a number here.


def _refuse(name: str, value: object, wanted: str, part: Video) -> Never:
    raise MediaOptionError(
        f"{name} is {value!r}; it must be {wanted}.",
        where=part.where,
        value=value,
        limit=wanted,
        remedy=f"Correct {name}, or leave it out.",
    )


def _refuse_uncut(part: Video, names: Sequence[str], kind: str) -> None:
    if names:
        raise UnsupportedContentError(
            f"{' and '.join(names)} cannot be honoured for {kind}: it is sent as it is.",
            where=part.where,
            remedy=(
                "Leave out the frames that are not wanted."
                if kind == "a list of frames"
                else "Pass the file itself, or cut it where it is stored; fps, max_pixels and "
                "total_pixels hold for URLs too."
            ),
        )


def _refuse_whole(asked: Sequence[str], mode: VideoMode, part: Video) -> Never:
    raise MediaOptionError(
        f'{" and ".join(asked)} cannot be honoured with video_mode="{mode}": the file is sent '
        "whole then.",
        where=part.where,
        value=mode,
        limit="auto or frames",
        remedy='Set video_mode="frames" or "auto", or leave them out.',
    )
