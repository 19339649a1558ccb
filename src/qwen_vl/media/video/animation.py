"""Animated images (GIF, APNG, WEBP, AVIF), read as videos: Pillow decodes them, and knows times."""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO

from qwen_vl.errors import ContentError, MediaFormatError, MediaTooLargeError
from qwen_vl.media.color_modes import with_plain_mode
from qwen_vl.media.decoding import check_decodable
from qwen_vl.media.encode import MAX_ANIMATION_FRAMES
from qwen_vl.media.image import check_size, find_image_type, open_image, refuse_undecodable
from qwen_vl.media.sniff import describe, sniff
from qwen_vl.media.streams import ANIMATED_TYPES
from qwen_vl.specs.models import MIN_FRAMES

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

# Of all frames together: two hundred seconds of 1080p at 10 frames per second.
_MAX_PIXELS = 2**32
_MS_PER_SECOND = 1_000
# Browsers show frames with a shorter or no duration for this long.
_SHORTEST_MS, _DEFAULT_MS = 11, 100


def is_animation(head: bytes) -> bool:
    """Return whether a file is of a type that may be an animated image.

    Args:
        head: Its first 1,024 bytes.

    Example:
        >>> is_animation(b"GIF89a")
        True
    """
    return sniff(head) in ANIMATED_TYPES


class Animation:
    """An animated image, whose frames are taken by their times.

    Args:
        image: As Pillow opened it.
        looks: What the file looks like, for errors.
        where: The part, for errors.

    Raises:
        MediaFormatError: It has one frame.
        MediaTooLargeError: It has too many.
    """

    def __init__(self, image: Any, looks: str, where: str) -> None:
        self._image = image
        self._where = where
        n_images = getattr(image, "n_frames", 1)
        # An APNG may have a separate image for readers without animations.
        self._first = 1 if image.info.get("default_image") else 0
        if n_images - self._first <= 1:
            raise MediaFormatError(
                f"Expected a video, but this looks like {looks}, which is not animated.",
                where=where,
                value=looks,
                remedy="Pass it as an image, or give a list of images: the video's frames.",
            )
        if n_images > MAX_ANIMATION_FRAMES:
            raise MediaTooLargeError(
                f"The animation has {n_images:,} frames; at most {MAX_ANIMATION_FRAMES:,} are "
                "read.",
                where=where,
                value=n_images,
                limit=MAX_ANIMATION_FRAMES,
                remedy="Convert it to a video: ffmpeg -i in.gif out.mp4",
            )
        n_pixels = n_images * image.width * image.height
        if n_pixels > _MAX_PIXELS:
            raise MediaTooLargeError(
                f"The animation has {n_images:,} frames of {image.width} x {image.height} pixels, "
                f"{n_pixels:,} together; at most {_MAX_PIXELS:,} are decoded.",
                where=where,
                value=n_pixels,
                limit=_MAX_PIXELS,
                remedy="Convert it to a video: ffmpeg -i in.gif out.mp4",
            )
        durations = [self._read_duration(number) for number in range(self._first, n_images)]
        self._begins = [0.0, *accumulate(durations)]
        self._shortest = min(durations)

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self._begins[-1]

    @property
    def n_frames(self) -> int:
        """Number of frames if all were shown as briefly as the briefest; those of a video.

        A list of frames has 4 at least: of fewer, some are taken more than once.
        """
        return max(MIN_FRAMES, round(self.seconds / self._shortest))

    def frame_at(self, time: float, size: tuple[int, int]) -> "PillowImage":
        """Return the frame that is shown at a time.

        Args:
            time: Seconds from the beginning.
            size: Width and height that it is scaled to.
        """
        from PIL.Image import Resampling  # noqa: PLC0415 - slow to import

        number = min(bisect_right(self._begins, time), len(self._begins) - 1) - 1
        self._image.seek(self._first + number)
        frame = with_plain_mode(self._image, self._where).convert("RGB")
        return frame if frame.size == size else frame.resize(size, Resampling.BICUBIC)

    def _read_duration(self, number: int) -> float:
        self._image.seek(number)
        check_decodable(self._image, self._where)
        # WEBP reports it while it is decoded.
        self._image.load()
        held = self._image.info.get("duration") or 0
        return (held if held >= _SHORTEST_MS else _DEFAULT_MS) / _MS_PER_SECOND


@contextmanager
def open_animation(file: BinaryIO, where: str) -> Iterator[tuple[Animation, tuple[int, int]]]:
    """Open an animated image.

    Args:
        file: Open for reading, seekable.
        where: The part, for errors.

    Yields:
        The animation, and the size of its frames in pixels.

    Raises:
        MediaFormatError: It is not animated, or cannot be decoded.
        MediaTooSmallError: A side of 10 pixels or fewer.
        MediaRatioError: More than 200 times as long as wide.
    """
    file.seek(0)
    data = file.read()
    image = open_image(data, find_image_type(data, where), where)
    if image is None:
        raise MediaFormatError(
            "The animation cannot be read: nothing installed reads its format.",
            where=where,
            remedy="Convert it to a video.",
        )
    with image:
        check_size(image.width, image.height, where)
        try:
            yield Animation(image, describe(data), where), image.size
        except ContentError:
            raise
        except Exception as error:  # noqa: BLE001 - Pillow raises whatever it trips over
            refuse_undecodable(where, error)
