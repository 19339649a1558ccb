"""The frames that were taken, as JPEG, within the bytes that a request may have."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from qwen_vl.errors import MediaTooLargeError, RequestTooLargeError
from qwen_vl.media.encode import FRAME_JPEG_QUALITIES, encode_jpeg
from qwen_vl.specs.models import MIN_FRAMES

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


class FrameBuffer:
    """JPEG files of a video's frames. Their bytes never exceed the limit, also while they come.

    When they would, all that is held is written again at the next lower quality; at the lowest,
    every second frame is left out, so that those that stay are evenly apart. Below it the model
    would lose small writing.

    Args:
        n_frames: Frames that will come.
        limit: Maximum number of bytes of all frames together.
        most_each: Maximum number of bytes of one.
        where: The part, for errors.
    """

    def __init__(self, n_frames: int, limit: int, most_each: int, where: str) -> None:
        self._n_frames = n_frames
        self._limit = limit
        self._most_each = most_each
        self._where = where
        self._quality = 0
        self._files: dict[int, bytes] = {}
        self._n_bytes = 0
        self.every = 1

    @property
    def quality(self) -> int:
        """The JPEG quality that all frames have."""
        return FRAME_JPEG_QUALITIES[self._quality]

    @property
    def files(self) -> dict[int, bytes]:
        """The JPEG files by the numbers of the frames, in order."""
        return self._files

    def wants(self, number: int) -> bool:
        """Return whether a frame will be kept.

        Args:
            number: Its place in the schedule, from 0.
        """
        return number % self.every == 0

    def add(self, number: int, image: "PillowImage") -> None:
        """Keep a frame.

        Args:
            number: Its place in the schedule, from 0.
            image: In RGB, at the size that it is sent.

        Raises:
            MediaTooLargeError: Even one frame of the lowest quality is longer than one may be.
            RequestTooLargeError: Four such frames do not go into what the request has left.
        """
        data = encode_jpeg(image, self.quality)
        while not self._fits(data):
            if self._quality + 1 < len(FRAME_JPEG_QUALITIES):
                self._quality += 1
                self._rewrite()
                data = encode_jpeg(image, self.quality)
            else:
                self._thin_out(len(data))
                if not self.wants(number):
                    return
        self._files[number] = data
        self._n_bytes += len(data)

    def _fits(self, data: bytes) -> bool:
        return len(data) <= self._most_each and self._n_bytes + len(data) <= self._limit

    def _rewrite(self) -> None:
        self._keep(lambda data: encode_jpeg(_open(data), self.quality))

    def _thin_out(self, n_bytes: int) -> None:
        left = -(-self._n_frames // (2 * self.every))
        if left < MIN_FRAMES or n_bytes > self._most_each:
            limit = min(self._limit, self._most_each * MIN_FRAMES)
            is_alone_too_long = n_bytes > self._most_each
            kind = MediaTooLargeError if is_alone_too_long else RequestTooLargeError
            raise kind(
                f"{MIN_FRAMES} frames of {n_bytes:,} bytes do not go into the {limit:,} that are "
                "left for them in the request.",
                where=self._where,
                value=n_bytes,
                limit=limit,
                remedy=(
                    "Send fewer images and videos along, lower max_pixels, or raise "
                    "max_inline_bytes and max_total_inline_bytes."
                ),
            )
        self.every *= 2
        self._files = {number: data for number, data in self._files.items() if self.wants(number)}
        self._keep(lambda data: data)

    def _keep(self, change: Callable[[bytes], bytes]) -> None:
        for number, data in self._files.items():
            self._files[number] = change(data)
        self._n_bytes = sum(map(len, self._files.values()))


def _open(data: bytes) -> "PillowImage":
    from PIL import Image  # noqa: PLC0415 - slow to import

    return Image.open(io.BytesIO(data), formats=["JPEG"])
