"""Which frames of a video are taken, and when they are shown: the service's own rule."""

from dataclasses import dataclass

from qwen_vl.errors import FrameCountError, MediaOptionError
from qwen_vl.media.video.probe import Clip
from qwen_vl.specs.models import MIN_FRAMES
from qwen_vl.specs.vision import sample_frame_count

ROUNDING_SECONDS = 1.0
"""How far `end` may lie beyond the video: lengths are often stated in whole seconds, rounded up."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a video, as it was asked for.

    Args:
        start: Where it begins, in seconds; `None` for the beginning.
        end: Where it ends, in seconds; `None` for the end.
    """

    start: float | None = None
    end: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is cut off."""
        return self.start is None and self.end is None

    def within(self, clip: Clip, where: str) -> Clip:
        """Return the part of a video as a separate clip.

        Args:
            clip: The whole video.
            where: The part, for errors.

        Raises:
            MediaOptionError: It begins or ends behind the video's end.
        """
        if self.is_whole:
            return clip
        for name, value, slack in (("start", self.start, 0.0), ("end", self.end, ROUNDING_SECONDS)):
            if value is not None and value > clip.seconds + slack:
                raise _beyond(name, value, clip, where)
        seconds = min(self.end or clip.seconds, clip.seconds) - (self.start or 0.0)
        if seconds <= 0:
            raise _beyond("start", self.start, clip, where)
        return Clip(clip.width, clip.height, seconds, max(1, round(seconds * clip.rate)))


@dataclass(frozen=True, slots=True)
class Schedule:
    """The frames to take.

    Args:
        times: When each is shown, in seconds from the video's beginning; they rise.
        slack: Half of the time that a frame is shown, in seconds. The frame for a time is the
            last that begins before this much after it: the nearest, where they come evenly.
    """

    times: tuple[float, ...]
    slack: float

    def thinned(self, max_frames: int | None) -> "Schedule":
        """Leave out frames, so that those that stay are evenly apart.

        Args:
            max_frames: How many may stay; `None` for all.
        """
        if max_frames is None or len(self.times) <= max_frames:
            return self
        every = -(-len(self.times) // max_frames)
        return Schedule(self.times[::every], self.slack)


def make_schedule(clip: Clip, span: Span, *, fps: float, max_frames: int, where: str) -> Schedule:
    """Choose frames as the service does from a file.

    Their number is `sample_frame_count`'s (Vision page, 2026-08). They are evenly apart from the
    first frame to the last. unsure: the page does not say which frames are taken; this is what
    the models' makers do in `qwen-vl-utils` 0.0.14. Of a whole clip with fewer frames than a list
    must have, some are taken more than once.

    Args:
        clip: The whole video.
        span: The part of it to sample.
        fps: Frames per second to sample.
        max_frames: Maximum number of frames.
        where: The part, for errors.

    Raises:
        FrameCountError: The span has fewer frames than a list must have.
        MediaOptionError: The span lies behind the video's end.

    Example:
        >>> clip = Clip(1920, 1080, seconds=60, n_frames=1500)
        >>> schedule = make_schedule(clip, Span(), fps=2, max_frames=2000, where="")
        >>> len(schedule.times), round(schedule.times[1], 3), schedule.times[-1]
        (120, 0.504, 59.96)
    """
    cut = span.within(clip, where)
    count = sample_frame_count(cut.seconds, cut.n_frames, fps=fps, max_frames=max_frames)
    if count < MIN_FRAMES and span.is_whole:
        # A list of frames has more than this clip, so that some are taken more than once.
        step = cut.seconds / MIN_FRAMES
        return Schedule(tuple(number * step for number in range(MIN_FRAMES)), 0.5 / clip.rate)
    if count < MIN_FRAMES:
        raise FrameCountError(
            f"Of {cut.seconds:.2f} s with {cut.n_frames} frames, {count} can be taken; a list of "
            f"frames has {MIN_FRAMES} at least.",
            where=where,
            value=count,
            limit=MIN_FRAMES,
            remedy="Set start and end farther apart, or give the frames as images.",
        )
    begin = span.start or 0.0
    step = (cut.n_frames - 1) / (count - 1)
    times = tuple(begin + _resolve_tie(number * step) / clip.rate for number in range(count))
    return Schedule(times, 0.5 / clip.rate)


def _resolve_tie(place: float) -> float:
    """Round what is halfway between two frames as `qwen-vl-utils` does, to the even one.

    The rest is not rounded: frames that come unevenly are not where their number says.
    """
    even = round(place)
    return float(even) if abs(place - even) == 0.5 else place  # noqa: PLR2004 - a half.


def _beyond(name: str, value: float | None, clip: Clip, where: str) -> MediaOptionError:
    return MediaOptionError(
        f"{name} is {value!r}; the video ends after {clip.seconds:.2f} s.",
        where=where,
        value=value,
        limit=clip.seconds,
        remedy=f"Set {name} within the video, in seconds from its beginning.",
    )
