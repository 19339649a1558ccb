"""When things happen in a video: events in seconds, and the files that players read."""

import csv
import html
import io
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal, TypeAlias

from qwen_vl.display.drawn import Drawable, draw_known
from qwen_vl.display.html import to_note, to_table
from qwen_vl.errors import ConfigurationError, extra_required

# Endless digits are not a time, and Python refuses integers of more than 4,300 digits.
_CLOCK = re.compile(r"(?:(\d{1,3}):)?(\d{1,3}):(\d{1,2}(?:[.,]\d{1,40})?)")
_UNITS = re.compile(
    r"(?:(\d{1,15})\s*+(?:h|hr|hrs|hours?|小时|时)\s*+)?"
    r"(?:(\d{1,15})\s*+(?:m|min|mins|minutes?|分钟|分)\s*+)?"
    r"(?:(\d{1,15}(?:[.,]\d{1,40})?)\s*+(?:s|sec|secs|seconds?|秒)?)?",
    re.IGNORECASE,
)
# Without the spaces around it: looked for at each of them, they would be read again and again.
_DASH = re.compile(r"-->|->|~|–|—|−|\bto\b|至|到|-")
_BRACKETS = " \t\r\n[](){}<>\"'"
_SIXTY = 60


def read_seconds(value: Any) -> float | None:
    """Read a time: `HH:mm:ss`, `mm:ss`, with fractions or without, or a number of seconds.

    Args:
        value: What the model wrote.

    Returns:
        Seconds; `None` where it is not a time.

    Example:
        >>> read_seconds("00:01:02.5"), read_seconds("01:05"), read_seconds("7.5s"), read_seconds(3)
        (62.5, 65.0, 7.5, 3.0)
        >>> read_seconds("soon") is None
        True
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # Larger numbers than a float holds are not times either.
        seconds = float(value) if abs(value) < 1e9 else math.inf  # noqa: PLR2004 - 30 years
        return seconds if 0 <= seconds < math.inf else None
    if not isinstance(value, str):
        return None
    text = value.strip(_BRACKETS)
    clock = _CLOCK.fullmatch(text)
    if clock:
        return _add_up(*clock.groups(), is_clock=True)
    units = _UNITS.fullmatch(text) if text else None
    return _add_up(*units.groups(), is_clock=False) if units else None


def read_range(value: Any) -> tuple[float, float] | None:
    """Read a beginning and an end that stand together.

    Args:
        value: A list of two times, or a text with a dash between them.

    Returns:
        Both in seconds; `None` where it is something else.

    Example:
        >>> read_range("00:05 - 00:10"), read_range([1, "2.5"])
        ((5.0, 10.0), (1.0, 2.5))
    """
    if isinstance(value, str):
        before, *after = _DASH.split(value.strip(_BRACKETS))
        value = [before.rstrip(), *(each.lstrip() for each in after)]
    if not isinstance(value, list) or len(value) != 2:  # noqa: PLR2004 - a pair
        return None
    start, end = map(read_seconds, value)
    return None if start is None or end is None else (start, end)


def format_clock(seconds: float) -> str:
    """Write a time as people read it: minutes and seconds, hours where there are any, tenths.

    Args:
        seconds: From 0.

    Example:
        >>> format_clock(65), format_clock(5.28), format_clock(3_725.5)
        ('1:05', '0:05.3', '1:02:05.5')
    """
    tenths = round(seconds * 10)
    whole, rest = divmod(tenths, 10)
    minutes, second = divmod(whole, _SIXTY)
    hours, minute = divmod(minutes, _SIXTY)
    clock = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return f"{clock}.{rest}" if rest else clock


def _add_up(
    hours: str | None, minutes: str | None, seconds: str | None, *, is_clock: bool
) -> float | None:
    second = float((seconds or "0").replace(",", "."))
    if is_clock and (second >= _SIXTY or (hours and int(minutes or 0) >= _SIXTY)):
        return None
    return int(hours or 0) * _SIXTY**2 + int(minutes or 0) * _SIXTY + second


TimelineFormat: TypeAlias = Literal["vtt", "srt", "csv"]

SHOWN_SECONDS = 2.0
"""For how long a subtitle shows an event that lasts no time."""

_SHORTEST_CUE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happens in a video.

    Args:
        start: When it begins, in seconds from the video's beginning.
        end: When it ends, in seconds; the same as `start` where only a moment was named.
        text: What happens.
        is_clipped: Whether it ended a little behind the video's end, and was cut off there.
        entry: What the model wrote about it, all of it.
    """

    start: float
    end: float
    text: str = ""
    is_clipped: bool = False
    entry: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline(Drawable):
    """What happens in a video, in the order of time.

    Args:
        events: Sorted by `start`.
        seconds: How long the video is; `None` where that is not known, so that nothing could be
            checked against it.
        interval: Seconds between two sampled frames: times cannot be more exact
            than that; `None` where it is not known.
        is_cut_off: Whether the answer broke off: there may be more than is here.
        skipped: The beginnings of entries of the answer that are not JSON.
        text: The answer.

    Example:
        >>> timeline = Timeline(events=(Event(start=1.5, end=4, text="A cat jumps."),), seconds=10)
        >>> print(timeline.to_webvtt().rstrip())
        WEBVTT
        <BLANKLINE>
        00:00:01.500 --> 00:00:04.000
        A cat jumps.
    """

    events: tuple[Event, ...]
    seconds: float | None = None
    interval: float | None = None
    is_cut_off: bool = False
    skipped: tuple[str, ...] = ()
    text: str = field(default="", repr=False)

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __str__(self) -> str:
        return self.describe()

    def to_dict(self) -> dict[str, Any]:
        """Return all fields except `text` as JSON values; times are rounded to milliseconds."""
        made: dict[str, Any] = {
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "interval": None if self.interval is None else round(self.interval, 3),
            "events": [_to_dict(event) for event in self.events],
        }
        if self.skipped:
            made["skipped"] = list(self.skipped)
        return {**made, "is_cut_off": True} if self.is_cut_off else made

    def describe(self) -> str:
        """Describe what happens when, for the result of an agent's tool.

        Example:
            >>> Timeline(events=(Event(start=1.5, end=4, text="A cat jumps."),)).describe()
            '1 event: 0:01.5 to 0:04 A cat jumps.'
        """
        lines = [
            f"{format_clock(event.start)} to {format_clock(event.end)} {event.text}".rstrip()
            for event in self.events
        ]
        count = f"{len(lines)} event{'' if len(lines) == 1 else 's'}" if lines else "nothing found"
        length = "" if self.seconds is None else f" in a video of {format_clock(self.seconds)}"
        cut = " (the list is cut off: there may be more)" if self.is_cut_off else ""
        skipped = f" Skipped, as not JSON: {'; '.join(self.skipped)}." if self.skipped else ""
        return f"{count}{length}{cut}" + (f": {'; '.join(lines)}" if lines else ".") + skipped

    def _repr_html_(self) -> str:
        """Return what notebooks show: the storyboard, if the video is known, and a table."""
        if not self.events:
            return to_note(self.describe())
        rows = [(format_clock(e.start), format_clock(e.end), e.text) for e in self.events]
        cut = "The list is cut off: there may be more." if self.is_cut_off else ""
        skipped = f"Skipped, as not JSON: {'; '.join(self.skipped)}." if self.skipped else ""
        notes = " ".join(filter(None, (cut, skipped)))
        return draw_known(self) + to_table(("start", "end", "event"), rows) + to_note(notes)

    def to_webvtt(self) -> str:
        """Write subtitles that browsers and players read (WebVTT).

        Raises:
            MissingExtraError: webvtt-py is not installed.
        """
        return self._to_subtitles("vtt")

    def to_srt(self) -> str:
        """Write subtitles that nearly every player reads (SubRip).

        Raises:
            MissingExtraError: webvtt-py is not installed.
        """
        return self._to_subtitles("srt")

    def to_csv(self) -> str:
        r"""Write a table of start, end (both in seconds) and event, with a line of headings.

        Example:
            >>> Timeline(events=(Event(start=1.5, end=4, text="A cat, jumping"),)).to_csv()
            'start,end,event\r\n1.500,4.000,"A cat, jumping"\r\n'
        """
        buffer = io.StringIO(newline="")
        writer = csv.writer(buffer)
        writer.writerow(("start", "end", "event"))
        writer.writerows((f"{e.start:.3f}", f"{e.end:.3f}", e.text) for e in self.events)
        return buffer.getvalue()

    def save(self, path: str | Path) -> None:
        """Write a file whose ending says its form: `.vtt`, `.srt` or `.csv`.

        Args:
            path: Where to; what is there is overwritten.

        Raises:
            ConfigurationError: Another ending.
            MissingExtraError: Subtitles are to be written, and webvtt-py is not installed.
        """
        path = Path(path)
        writers = {".vtt": self.to_webvtt, ".srt": self.to_srt, ".csv": self.to_csv}
        write = writers.get(path.suffix.lower())
        if write is None:
            raise ConfigurationError(
                f"A timeline cannot be written as {path.name!r}; its name must end in "
                f"{', '.join(writers)}."
            )
        # The table has its own ends of lines.
        path.write_text(write(), encoding="utf-8", newline="")

    def _to_subtitles(self, form: Literal["vtt", "srt"]) -> str:
        with extra_required("Writing subtitles", extra="subtitles"):
            from webvtt import Caption, WebVTT  # noqa: PLC0415 - an extra
            from webvtt.models import Timestamp  # noqa: PLC0415 - an extra

        captions = [
            Caption(
                str(Timestamp.from_seconds(event.start)),
                str(Timestamp.from_seconds(end)),
                _escape(event.text, form),
            )
            for event, end in self._cues()
        ]
        buffer = io.StringIO()
        WebVTT(captions=captions).write(buffer, format=form)
        written = f"{buffer.getvalue().rstrip()}\n"
        # SubRip knows no signs that stand for others, and the library leaves them as they are.
        return html.unescape(written) if form == "srt" else written

    def _cues(self) -> Iterator[tuple[Event, float]]:
        """Return each event and when its subtitle ends: a moment is shown until the next begins."""
        following = [after.start for after in self.events[1:]]
        for event, after in zip_longest(self.events, following):
            if event.end > event.start:
                yield event, event.end
                continue
            ends = (event.start + SHOWN_SECONDS, after, self.seconds)
            end = min(end for end in ends if end is not None)
            yield event, max(end, event.start + _SHORTEST_CUE)


def _escape(text: str, form: Literal["vtt", "srt"]) -> str:
    """Escape text for WebVTT, which the library uses for every format."""
    # An empty line would end the subtitle.
    joined = "\n".join(line.strip() for line in text.splitlines() if line.strip())
    if form == "srt":
        # WebVTT cannot escape this arrow, which separates times.
        joined = joined.replace("-->", "→")
    return joined.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _to_dict(event: Event) -> dict[str, Any]:
    held = {"start": round(event.start, 3), "end": round(event.end, 3), "event": event.text}
    return {**held, "is_clipped": True} if event.is_clipped else held
