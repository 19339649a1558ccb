"""Reads events and their times from answers, in any of the forms that models give them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_vl.errors import AnswerFormatError, TimestampError
from qwen_vl.grounding.damaged_json import read_damaged_json
from qwen_vl.grounding.timeline import Event, Timeline, read_range, read_seconds
from qwen_vl.parsing import find_text
from qwen_vl.specs.frame_times import to_taken

_START_KEYS = ("start_time", "start", "begin_time", "begin", "start_seconds", "from")
_END_KEYS = ("end_time", "end", "finish_time", "finish", "end_seconds", "to")
_RANGE_KEYS = ("time_range", "timestamps", "time", "timestamp", "interval")
_START_FRAME_KEYS = ("start_frame", "frame_start", "frame")
_END_FRAME_KEYS = ("end_frame", "frame_end")
_TIME_KEYS = frozenset({*_START_KEYS, *_RANGE_KEYS, *_START_FRAME_KEYS})
_TEXT_KEYS = ("event", "description", "text", "caption", "action", "label", "title", "summary")

# Models round to whole seconds, and the last frame may be shown for a while.
_SLACK_SECONDS = 1.0
_SLACK = 0.05
_DEEPEST = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeFrame:
    """The time base of the answer about one video.

    Args:
        seconds: How long the video is that the model saw; `None` where it is not known.
        offset: Seconds of the whole video that come before what the model saw.
        scale: Seconds of the video in one of the model's: other than 1 where its frames were
            dated at another speed than they were taken at.
        fps: Frames per second that the model saw; `None` where it is not known.
        timestamps: When the frames were taken that the model dates by `fps`; `None` where that is
            when they were taken.
    """

    seconds: float | None = None
    offset: float = 0.0
    scale: float = 1.0
    fps: float | None = None
    timestamps: Sequence[float] | None = None

    @property
    def end(self) -> float | None:
        """Where what the model saw ends, in seconds of the whole video."""
        return None if self.seconds is None else self.offset + self.seconds

    @property
    def slack(self) -> float:
        """How many seconds behind that end a time is taken for it."""
        # The last frame, dated by its number, may be shown for as long as the others.
        return max(_SLACK_SECONDS, _SLACK * (self.seconds or 0.0), self.interval or 0.0)

    @property
    def interval(self) -> float | None:
        """Seconds between two frames that the model saw."""
        return None if self.fps is None else self.scale / self.fps


@dataclass(slots=True)
class _Finds:
    """What has been read so far."""

    text: str
    frame: TimeFrame
    events: list[Event] = field(default_factory=list)
    has_container: bool = False


def read_timeline(text: str, frame: TimeFrame | None = None) -> Timeline:
    """Read events from an answer.

    Taken are JSON in a fence or bare, with prose around it, as one object, a list, or objects that
    hold lists; `start_time`, `end_time` and `event` (Vision page, 2025-10), and other names of
    them; times as `HH:mm:ss`, `mm:ss`, with fractions, with units, or as numbers of seconds;
    both times in one text or list; numbers of frames, by their `fps`; ends before beginnings; and
    lists that break off, of which the whole entries are kept.

    Args:
        text: The answer.
        frame: Its time base; the video's own seconds, unchecked, if not given.

    Raises:
        TimestampError: A time lies behind the video's end, or is none.
        AnswerFormatError: It contains no events.

    Example:
        >>> answer = '[{"start_time": "00:00:05", "end_time": "00:00:15", "event": "x"}]'
        >>> read_timeline(answer, TimeFrame(seconds=21)).events
        (Event(start=5.0, end=15.0, text='x', is_clipped=False),)
    """
    frame = frame or TimeFrame()
    found = read_damaged_json(text)
    finds = _Finds(text, frame)
    for value in found.values:
        _walk(value, finds, 0)
    if not finds.events and found.unread:
        raise AnswerFormatError(f"An entry is not JSON: {found.unread[0]!r}.", text=text)
    if not finds.events and (found.is_cut_off or not finds.has_container):
        problem = (
            "The answer breaks off before its first event is whole."
            if found.is_cut_off
            else "The answer holds no events in JSON."
        )
        raise AnswerFormatError(problem, text=text)
    return Timeline(
        events=tuple(sorted(finds.events, key=lambda event: (event.start, event.end))),
        seconds=frame.end,
        interval=frame.interval,
        is_cut_off=found.is_cut_off,
        skipped=found.unread,
        text=text,
    )


def _walk(value: Any, finds: _Finds, depth: int) -> None:
    """Look for events in a value; what stands around them, such as a summary, is passed over."""
    if depth > _DEEPEST:
        raise AnswerFormatError("The answer's JSON is nested too deeply.", text=finds.text)
    finds.has_container = finds.has_container or value in ([], {})
    if isinstance(value, list):
        for inner in value:
            _walk(inner, finds, depth + 1)
    elif isinstance(value, dict):
        if _TIME_KEYS & value.keys():
            _read_event(value, finds, depth)
            return
        held = [inner for inner in value.values() if isinstance(inner, dict | list)]
        if depth and not held and any(key in value for key in _TEXT_KEYS):
            raise TimestampError(f"An event comes without a time: {value!r}.", text=finds.text)
        for inner in held:
            _walk(inner, finds, depth + 1)


def _read_event(entry: Mapping[str, Any], finds: _Finds, depth: int) -> None:
    """Read an event, and those that are its parts; one without words is but their frame."""
    parts = [inner for inner in entry.values() if _holds_events(inner)]
    if not parts or find_text(entry, _TEXT_KEYS):
        finds.events.append(_to_event(entry, finds))
    for inner in parts:
        _walk(inner, finds, depth + 1)


def _holds_events(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(inner, dict) and _TIME_KEYS & inner.keys() for inner in value
    )


def _to_event(entry: Mapping[str, Any], finds: _Finds) -> Event:
    start, end = sorted(_read_times(entry, finds))
    frame = finds.frame
    start, end = (frame.offset + time * frame.scale for time in (start, end))
    is_clipped = False
    if frame.end is not None:
        if end > frame.end + frame.slack:
            raise TimestampError(
                f"An event is dated to {start:.1f} to {end:.1f} s; the video ends after "
                f"{frame.end:.1f} s.",
                text=finds.text,
            )
        is_clipped = end > frame.end
        start, end = min(start, frame.end), min(end, frame.end)
    if frame.timestamps is not None and frame.fps is not None:
        start, end = (to_taken(time, frame.timestamps, frame.fps) for time in (start, end))
    words = find_text(entry, _TEXT_KEYS) or ""
    return Event(start=start, end=end, text=words, is_clipped=is_clipped, entry=entry)


def _read_times(entry: Mapping[str, Any], finds: _Finds) -> tuple[float, float]:
    frame_number = next((entry[key] for key in _START_FRAME_KEYS if key in entry), None)
    start = next((entry[key] for key in _START_KEYS if key in entry), None)
    if start is not None:
        end = next((entry[key] for key in _END_KEYS if entry.get(key) is not None), start)
        return _read_time(start, finds), _read_time(end, finds)
    both = next((entry[key] for key in _RANGE_KEYS if key in entry), None)
    if both is not None:
        pair = read_range(both)
        if pair is not None:
            return pair
        end = next((entry[key] for key in _END_KEYS if entry.get(key) is not None), both)
        return _read_time(both, finds), _read_time(end, finds)
    end = next((entry[key] for key in _END_FRAME_KEYS if key in entry), frame_number)
    return _frame_time(frame_number, finds), _frame_time(end, finds)


def _read_time(value: Any, finds: _Finds) -> float:
    seconds = read_seconds(value)
    if seconds is None:
        raise TimestampError(f"{value!r} is not a time.", text=finds.text)
    return seconds


def _frame_time(value: Any, finds: _Finds) -> float:
    fps = finds.frame.fps
    if fps is None:
        raise TimestampError(
            f"An event is dated by its frame, {value!r}, and how many frames there are in a "
            "second is not known.",
            text=finds.text,
        )
    # unsure: whether models count frames from 0; frame `i` is what the service dates to `i / fps`.
    return _read_time(value, finds) / fps
