"""What a video file is: size, length and number of frames, without decoding it."""

import io
import math
import re
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media.video.animation import is_animation, open_animation
from qwen_vl.media.video.container import HEAD_BYTES, has_av, open_video

# FFmpeg would decode the first frames otherwise: 12 ms instead of 1. Only where the header lists
# all streams: PyAV 14 crashes on options for one that turns up later, as in FLV.
_QUICK = {"skip_frame": "all"}
_DURATION_TAG = re.compile(r"(\d{1,9}):(\d{1,9}):(\d{1,9}(?:\.\d{1,20})?)")
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Clip:
    """What a video's header says.

    Args:
        width: Pixels of a frame, as it is stored: a note to turn it is not applied.
        height: Pixels of a frame, likewise.
        seconds: How long it is.
        n_frames: How many frames it has.
        stated_rate: Frames per second as the header states it, which those of a video whose
            frames come unevenly do not have; `None` where it states none.
        has_audio: Whether it has an audio stream.
    """

    width: int
    height: int
    seconds: float
    n_frames: int
    stated_rate: float | None = field(default=None, repr=False, compare=False)
    has_audio: bool = field(default=False, repr=False, compare=False)

    @property
    def rate(self) -> float:
        """Frames per second on the average; those of a telephone come unevenly."""
        return self.n_frames / self.seconds


def probe(file: BinaryIO, where: str) -> Clip:
    """Return the size, length and frames of a video, from its header if that is enough.

    Where it does not (recordings that were streamed, or cut off), the packets are counted: the
    file is read once then, and still not decoded.

    Args:
        file: Open for reading, seekable.
        where: The part, for errors.

    Raises:
        MediaFormatError: Not a video, audio only, damaged, or without frames.

    Example:
        >>> from qwen_vl.samples import BIG_BUCK_BUNNY
        >>> with BIG_BUCK_BUNNY.open("rb") as file:
        ...     probe(file, "")
        Clip(width=1280, height=720, seconds=5.28, n_frames=132)
    """
    file.seek(0)
    if is_animation(file.read(HEAD_BYTES)):
        with open_animation(file, where) as (animation, size):
            return Clip(*size, animation.seconds, animation.n_frames)
    file.seek(0)
    with open_video(file, where, _options(file)) as (container, stream):
        codec = stream.codec_context
        seconds = _header_seconds(container, stream)
        rate = float(stream.average_rate or 0) or None
        n_frames = stream.frames
        kind = container.format.name
        # Matroska states when the last frame ends, on a clock that may begin at any time; MPEG-PS
        # states the times of some frames only.
        is_off = kind == "mpeg" or (kind.startswith("matroska") and (stream.start_time or 0) > 0)
        if is_off or not (seconds > 0 and n_frames):
            # Length times rate would be too many frames where they come unevenly.
            counted, n_frames = _count_packets(container, stream)
            seconds = counted if is_off or not (seconds > 0 and rate) else seconds
        if not n_frames:
            raise MediaFormatError(
                "The video contains no frames.",
                where=where,
                value=0,
                remedy="Check that it plays; it may have been cut off at its beginning.",
            )
        has_audio = bool(container.streams.audio)
        return Clip(codec.width, codec.height, seconds, n_frames, rate, has_audio)


def find_clip(file: BinaryIO, where: str) -> Clip | None:
    """Return what a video is; `None` if that cannot be read here.

    Args:
        file: Open for reading, seekable.
        where: The part, for errors.
    """
    try:
        return probe(file, where)
    except (MediaFormatError, MediaTooLargeError):
        return None


def check_plays(data: bytes, where: str) -> None:
    """Refuse what nobody could see anything in, before all of it is sent.

    Without PyAV nothing is checked here; the service may refuse it.

    Args:
        data: The file.
        where: The part, for errors.

    Raises:
        MediaFormatError: Damaged, audio only, or without frames.
    """
    if not has_av():
        return
    try:
        probe(io.BytesIO(data), where)
    except MediaTooLargeError:
        # Frames beyond 8K are too large to be decoded here, and the service's to judge.
        return


def _options(file: BinaryIO) -> dict[str, str]:
    head = file.read(12)
    return _QUICK if head[4:8] in {b"ftyp", b"moov"} else {}


def _header_seconds(container: Any, stream: Any) -> float:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    # Matroska's own length is that of its longest stream, often the audio.
    tag = _DURATION_TAG.match(stream.metadata.get("DURATION", ""))
    if tag:
        hours, minutes, seconds = map(float, tag.groups())
        return hours * 3_600 + minutes * 60 + seconds
    return (container.duration or 0) / _MICROSECONDS


def _count_packets(container: Any, stream: Any) -> tuple[float, int]:
    """Count frames, and take the length from their times, or from the rate where they have none."""
    first, last, n_frames = math.inf, -math.inf, 0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        n_frames += 1
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            first, last = min(first, time), max(last, time)
    if last <= first:
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        # A single frame without a rate is shown for a moment.
        return n_frames / rate if rate else float(n_frames), n_frames
    # The last frame is shown as long as the others on the average.
    return float((last - first) * stream.time_base) * n_frames / (n_frames - 1), n_frames
