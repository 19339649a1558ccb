"""Questions for events in a video: what is sent, and how the answer's times are read."""

from dataclasses import replace
from typing import Any, Unpack

from qwen_vl.content import Frames, Source, Text, Turn, Url, Video, is_remote
from qwen_vl.grounding.locate import schema_options
from qwen_vl.grounding.parse_timeline import TimeFrame, read_timeline
from qwen_vl.grounding.prompts import (
    EVENTS_PROMPT,
    EVENTS_SCHEMA,
    FRAMES_NOTE,
    is_chinese,
    write_prompt,
)
from qwen_vl.grounding.task import GroundingTask, VideoOptions, check_measures
from qwen_vl.grounding.timeline import Timeline
from qwen_vl.media.limits import check_timestamps
from qwen_vl.media.load import require_source
from qwen_vl.media.measure import measure_video
from qwen_vl.media.prepare import prepare_media, wants_upload
from qwen_vl.media.video.probe import Clip
from qwen_vl.media.video.sampling import Span
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_request
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.frame_times import find_fps
from qwen_vl.specs.servers import get_server_spec
from qwen_vl.specs.vision import DEFAULT_FPS, sample_frame_count

WHERE = "video"
ALL_EVENTS = "the sequence of events"
_PART_OPTIONS = ("fps", "timestamps", "start", "end", "max_frames", "video_mode", "total_pixels")


def find_events_task(
    settings: QwenVLSettings,
    video: object,
    what: str | None = None,
    *,
    seconds: float | None = None,
    prompt: str | None = None,
    **options: Unpack[VideoOptions],
) -> GroundingTask[Timeline]:
    """Create a question for events; the video is read and prepared here and now.

    Args:
        settings: The model, how to reach it, and which files may be read.
        video: A `pathlib.Path`, bytes, an open file, a URL, a list of frames (each an image
            in any of these forms), or a `Video` with its own options. Text that is a path is
            read only inside `media_roots`.
        what: What to look for; everything that happens if `None`.
        seconds: How long a video behind a URL is; without it, times in it are not checked.
        prompt: A custom prompt, with `{what}` in it.
        **options: Options of the video and of the call.

    Raises:
        MediaError: The video cannot be read, cut or sent.
        ConfigurationError: There is nothing to look for, or an option is wrong.
    """
    words = write_prompt(EVENTS_PROMPT, ALL_EVENTS if what is None else what, prompt)
    if seconds is not None:
        check_measures("seconds", seconds, measures=[seconds], wanted="a number above 0")
    call: dict[str, Any] = dict(options)
    own = {name: call.pop(name) for name in _PART_OPTIONS if call.get(name) is not None}
    part = video if isinstance(video, Video) else Video(source=_to_source(video))
    part = replace(part, where=part.where or WHERE, **own)
    if part.timestamps is not None:
        check_timestamps(part)
        part = replace(part, fps=part.fps or find_fps(part.timestamps))
    if isinstance(part.source, Frames) and part.fps is None and settings.fps is None:
        # What the service takes them for is said aloud, since other servers take another number.
        part = replace(part, fps=DEFAULT_FPS)
    call = schema_options(settings, EVENTS_SCHEMA, call)
    request = build_request(settings, _to_turns(part, words), stream=None, **call)
    # The times of the answer are corrected below.
    request = replace(request, policy=replace(request.policy, scales_times=True))
    asked = _find_video(request)
    ready = asked if wants_upload(request) else _find_video(prepare_media(request))
    frame = _find_frame(request, asked, ready, seconds)
    if isinstance(ready.source, Frames) and get_server_spec(request.server).frames == "images":
        step = 1 / (frame.fps or DEFAULT_FPS)
        words += FRAMES_NOTE[is_chinese(words)].format(step=step)
    # Times of the answer are converted here.
    ready = replace(ready, timestamps=None)
    return GroundingTask(
        part=ready, prompt=words, options=call, read=lambda reply: _read(reply, frame)
    )


def _read(reply: Reply, frame: TimeFrame) -> Timeline:
    found = read_timeline(reply.text, frame)
    return replace(found, is_cut_off=True) if reply.finish_reason == "length" else found


def _to_turns(part: Video, words: str) -> tuple[Turn, ...]:
    return (Turn(role="user", parts=(part, Text(text=words))),)


def _find_video(request: Request) -> Video:
    parts = (part for turn in reversed(request.turns) for part in turn.parts)
    return next(part for part in parts if isinstance(part, Video))


def _find_frame(request: Request, asked: Video, ready: Video, seconds: float | None) -> TimeFrame:
    fps = asked.fps or DEFAULT_FPS
    if isinstance(asked.source, Frames):
        # The service dates frame `i` to `i / fps` (Native-API page, 2026-09).
        seconds = len(asked.source.frames) / fps
        return TimeFrame(seconds=seconds, fps=fps, timestamps=asked.timestamps)
    clip = None
    if not (isinstance(asked.source, Url) and is_remote(asked.source.url)):
        clip = measure_video(asked.source, request.policy, WHERE)
    if clip is None:
        return TimeFrame(seconds=seconds, fps=fps)
    clip = Span(asked.start, asked.end).within(clip, WHERE)
    offset = asked.start or 0.0
    if isinstance(ready.source, Frames):
        sent = ready.fps or DEFAULT_FPS
        # The rate that is sent dates them. Where the service knows none as low as the one at which
        # they were taken, times are to be scaled.
        scale = sent / (ready.source.sampled_fps or sent)
        return TimeFrame(seconds=clip.seconds, offset=offset, scale=scale, fps=sent)
    most = asked.max_frames or request.policy.max_frames or request.spec.max_frames
    count = sample_frame_count(clip.seconds, clip.n_frames, fps=fps, max_frames=most)
    return TimeFrame(seconds=clip.seconds, fps=_sampled_fps(clip, count), offset=offset)


def _sampled_fps(clip: Clip, count: int) -> float:
    """Return how many frames a second are seen where they lie from the first to the last."""
    return max(count - 1, 1) * clip.rate / max(clip.n_frames - 1, 1)


def _to_source(video: object) -> Source | Frames:
    if isinstance(video, list | tuple):
        return Frames(
            tuple(require_source(frame, f"{WHERE}[{number}]") for number, frame in enumerate(video))
        )
    return require_source(video, WHERE)
