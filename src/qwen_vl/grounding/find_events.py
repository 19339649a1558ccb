"""Questions for events in a video: what is sent, and what the answer's times count in."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

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
from qwen_vl.grounding.timeline import Timeline
from qwen_vl.media.load import require_source
from qwen_vl.media.measure import measure_video
from qwen_vl.media.prepare import prepare_media, wants_upload
from qwen_vl.media.video.probe import Clip
from qwen_vl.media.video.sampling import Span
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.servers import get_server_spec
from qwen_vl.specs.vision import DEFAULT_FPS, sample_frame_count

WHERE = "video"
ALL_EVENTS = "the sequence of events"
_PART_OPTIONS = ("fps", "start", "end", "max_frames", "video_mode", "total_pixels")


@dataclass(frozen=True, slots=True, kw_only=True)
class FindEventsTask:
    """A question for events that is ready to be sent.

    Args:
        part: The video: with the address that is sent, unless it is yet to be uploaded.
        prompt: The words that follow it.
        options: Options of the call, by the names of `QwenVLSettings.make_request`.
        frame: What the answer's times count in.
    """

    part: Video
    prompt: str
    options: Mapping[str, Any]
    frame: TimeFrame

    def read(self, text: str, *, finish_reason: str | None = None) -> Timeline:
        """Read the answer.

        Args:
            text: The answer.
            finish_reason: Why it ended; with `"length"` the model had more to say.

        Raises:
            AnswerFormatError: There are no events in it.
            TimestampError: A time lies behind the video's end, or is none.
        """
        found = read_timeline(text, self.frame)
        return replace(found, is_cut_off=True) if finish_reason == "length" else found


def find_events_task(
    settings: QwenVLSettings,
    video: object,
    what: str | None = None,
    *,
    seconds: float | None = None,
    prompt: str | None = None,
    **options: Any,
) -> FindEventsTask:
    """Make a question for events; the video is read, and made ready to be sent, here and now.

    Args:
        settings: The model, how to reach it, and which files may be read.
        video: A `pathlib.Path`, bytes, an open file, an address, a list of frames (each a picture
            in any of these forms), or a `Video` with options of its own. Text that is a path is
            read inside of `media_roots` alone.
        what: What to look for, in words; all that happens where nothing is said.
        seconds: How long a video behind an address is; without it, times in it are not checked.
        prompt: A prompt of your own, with `{what}` in it.
        **options: `fps`, `start`, `end`, `max_frames`, `video_mode`, `total_pixels` of the video,
            and options of the call, by the names of the settings' fields.

    Raises:
        MediaError: The video cannot be read, cut or sent.
        ConfigurationError: There is nothing to look for, or an option is wrong.
    """
    words = write_prompt(EVENTS_PROMPT, ALL_EVENTS if what is None else what, prompt)
    own = {name: options.pop(name) for name in _PART_OPTIONS if options.get(name) is not None}
    part = video if isinstance(video, Video) else Video(source=_to_source(video))
    part = replace(part, where=part.where or WHERE, **own)
    if isinstance(part.source, Frames) and part.fps is None and settings.fps is None:
        # What the service takes them for is said aloud, since other servers take another number.
        part = replace(part, fps=DEFAULT_FPS)
    options = {**schema_options(settings, EVENTS_SCHEMA, options), **options}
    request = settings.make_request(_to_turns(part, words), stream=None, **options)
    asked = _find_video(request)
    ready = asked if wants_upload(request) else _find_video(prepare_media(request))
    frame = _find_frame(request, asked, ready, seconds)
    if isinstance(ready.source, Frames) and get_server_spec(request.server).frames == "pictures":
        step = 1 / (frame.fps or DEFAULT_FPS)
        words += FRAMES_NOTE[is_chinese(words)].format(step=step)
    return FindEventsTask(part=ready, prompt=words, options=options, frame=frame)


def _to_turns(part: Video, words: str) -> tuple[Turn, ...]:
    return (Turn(role="user", parts=(part, Text(text=words))),)


def _find_video(request: Request) -> Video:
    parts = (part for turn in reversed(request.turns) for part in turn.parts)
    return next(part for part in parts if isinstance(part, Video))


def _find_frame(request: Request, asked: Video, ready: Video, seconds: float | None) -> TimeFrame:
    fps = asked.fps or DEFAULT_FPS
    if isinstance(asked.source, Frames):
        # The service dates frame `i` to `i / fps` (Native-API page, 2026-09).
        return TimeFrame(seconds=len(asked.source.frames) / fps, fps=fps)
    clip = None
    if not (isinstance(asked.source, Url) and is_remote(asked.source.url)):
        clip = measure_video(asked.source, request.policy, WHERE)
    if clip is None:
        return TimeFrame(seconds=seconds, fps=fps)
    clip = Span(asked.start, asked.end).within(clip, WHERE)
    offset = asked.start or 0.0
    if isinstance(ready.source, Frames):
        return _frame_of_cut(clip, len(ready.source.frames), ready.fps or DEFAULT_FPS, offset)
    most = asked.max_frames or request.policy.max_frames or get_model_spec(request.model).max_frames
    count = sample_frame_count(clip.seconds, clip.n_frames, fps=fps, max_frames=most)
    return TimeFrame(seconds=clip.seconds, fps=_sampled_fps(clip, count), offset=offset)


def _frame_of_cut(clip: Clip, count: int, fps: float, offset: float) -> TimeFrame:
    """Tell the time of frames that were taken here.

    They are dated by the `fps` that was sent, which the service limits: where they were taken at
    another, times are to be scaled.
    """
    taken = _sampled_fps(clip, count)
    is_dated_well = abs(count / taken - count / fps) <= 2 / min(taken, fps)
    scale = 1.0 if is_dated_well else fps / taken
    return TimeFrame(seconds=clip.seconds, offset=offset, scale=scale, fps=fps)


def _sampled_fps(clip: Clip, count: int) -> float:
    """Tell how many frames a second are seen where they lie from the first to the last."""
    return max(count - 1, 1) * clip.rate / max(clip.n_frames - 1, 1)


def _to_source(video: object) -> Source | Frames:
    if isinstance(video, list | tuple):
        return Frames(
            tuple(require_source(frame, f"{WHERE}[{number}]") for number, frame in enumerate(video))
        )
    return require_source(video, WHERE)
