"""Single frames of a video, decoded one after another; two of them are held at a time."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qwen_vl.media.video.container import damaged

MAX_THREADS = 4
"""Maximum threads of a decoder: each holds its own frames, 3 MB at 1080p and 12 MB at 4K."""

MISSING_SECONDS = 1.0
"""How much may be missing at the end: headers include the end of the audio, and are rounded."""

# A seek that lands before what has been decoded already was for nothing, and doubles the distance
# from which on the next is tried. So a video with few key frames costs little more than once.
_FIRST_SEEK_SECONDS = 1.0
# How far before the wanted time to seek again where the container lands behind it.
_FIRST_BACK_SECONDS = 4.0
_BEFORE_FIRST_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Shown:
    """A frame, and from when on it is shown, in seconds from the video's beginning."""

    frame: Any
    begin: float


class FrameReader:
    """Gives the frame that is shown at a time, for times that rise.

    Args:
        container: An open PyAV container.
        stream: Its video stream.
        where: The part, for errors.
    """

    def __init__(self, container: Any, stream: Any, where: str) -> None:
        self._container = container
        self._stream = stream
        self._where = where
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = min(MAX_THREADS, os.cpu_count() or 1)
        self._time_base = float(stream.time_base)
        self._origin = (stream.start_time or 0) * self._time_base
        self._step = 1 / float(stream.average_rate or stream.guessed_rate or 25)
        self._seek_from = _FIRST_SEEK_SECONDS
        self._frames = self._decode(0.0)
        self._shown: _Shown | None = None
        self._next: _Shown | None = None
        self._end = 0.0
        self.n_damaged = 0

    def frame_at(self, time: float, slack: float) -> Any:
        """Decode as far as a time.

        Args:
            time: Seconds from the video's beginning, not before that of the last call.
            slack: Seconds by which the frame may begin later.

        Returns:
            PyAV's frame; the first one if the video begins later still.

        Raises:
            MediaFormatError: Nothing can be decoded, or the video ends long before that time.
        """
        position = self._shown.begin if self._shown else 0.0
        if time - position > self._seek_from:
            self._seek(time, slack, position)
        while True:
            self._next = self._next or next(self._frames, None)
            if self._next is None or (self._shown and self._next.begin > time + slack):
                break
            self._shown, self._next = self._next, None
        if self._shown is None:
            raise damaged("none of its frames can be decoded", self._where)
        if self._next is None and time > self._end + MISSING_SECONDS:
            raise damaged(
                f"it should have a frame at second {time:.1f}, but ends at second {self._end:.1f}",
                self._where,
            )
        return self._shown.frame

    def _seek(self, time: float, slack: float, position: float) -> None:
        """Go to the last key frame before a time; on streams without an index, to one well before.

        Where the container cannot seek, decoding goes on from where it is.
        """
        import av.error  # noqa: PLC0415 - an extra, and slow to import

        back = 0.0
        while True:
            target = max(0.0, time - back)
            # Of streams without an index, the first packet is found only from well before it.
            begin = target or -_BEFORE_FIRST_SECONDS
            try:
                self._container.seek(
                    int((begin + self._origin) / self._time_base), stream=self._stream
                )
            except av.error.FFmpegError:
                self._seek_from = float("inf")
                return
            self._frames = self._decode(target)
            landed = next(self._frames, None)
            if target == 0 or (landed and landed.begin <= time + slack):
                break
            back = 2 * back or _FIRST_BACK_SECONDS
        self._shown, self._next = None, landed
        if landed is None or landed.begin <= position:
            self._seek_from *= 2

    def _decode(self, begin: float) -> Iterator[_Shown]:
        """Decode from here on.

        Args:
            begin: Seconds at which a first frame is shown that bears no time.
        """
        import av.error  # noqa: PLC0415 - as above

        for packet in self._container.demux(self._stream):
            if packet.pts is not None:
                # The last frame of a recorded screen may be shown for minutes.
                shown = (packet.pts + (packet.duration or 0)) * self._time_base - self._origin
                self._end = max(self._end, shown)
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                # As every player does: what is damaged is left out.
                self.n_damaged += 1
                continue
            for frame in frames:
                if frame.pts is not None:
                    begin = frame.pts * self._time_base - self._origin
                yield _Shown(frame, begin)
                begin += self._step
                self._end = max(self._end, begin)
