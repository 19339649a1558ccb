"""What holds for a request as a whole, and for the numbers that stand beside a part.

All of it is checked before the first file is opened; the bytes alone are summed while reading.
"""

from collections.abc import Sequence
from typing import Any, Never

from qwen_vl.content import Audio, Frames, Image, Media, Url, Video, is_remote
from qwen_vl.errors import (
    FrameCountError,
    MediaOptionError,
    RequestTooLargeError,
    UnsupportedContentError,
)
from qwen_vl.specs.models import (
    MAX_FPS,
    MAX_INLINE_IMAGES,
    MAX_VIDEOS,
    MIN_FPS,
    MIN_FRAMES,
    ModelSpec,
    get_model_spec,
)
from qwen_vl.specs.servers import DEFAULT_SERVER, Server

_OTHER_MODEL = "Choose a model that takes it: qwen3-vl-plus, for instance."
_SEVERAL = "Spread them over several requests."


def check_part(part: Media, model: str, server: Server = DEFAULT_SERVER) -> None:
    """Check everything about one part that can be checked without reading.

    Args:
        part: An image, video or audio.
        model: The model that is asked.
        server: Which server is asked: self-hosted servers have limits of their own.

    Raises:
        UnsupportedContentError: The model does not take such a part.
        MediaOptionError: `fps` or a pixel limit out of its range.
        FrameCountError: Too few or too many frames.
    """
    if server != DEFAULT_SERVER:
        return
    spec = get_model_spec(model)
    _check_accepted(part, spec, model)
    if not isinstance(part, Audio):
        check_options(part, spec)
    if isinstance(part, Video) and isinstance(part.source, Frames):
        _check_frame_count(len(part.source.frames), spec, part.where)


def check_counts(parts: Sequence[Media], model: str, server: Server = DEFAULT_SERVER) -> None:
    """Check how many images and videos a request has.

    Args:
        parts: Every image, video and audio of a request, in order.
        model: The model that is asked.
        server: Which server is asked: self-hosted servers have limits of their own.

    Raises:
        RequestTooLargeError: Too many images or videos.
    """
    if server != DEFAULT_SERVER:
        return
    spec = get_model_spec(model)
    # unsure: no page says whether the frames of a list count as pictures; they are not counted.
    images = [part for part in parts if isinstance(part, Image)]
    inline = [part for part in images if not is_remote_source(part.source)]
    videos = [part for part in parts if isinstance(part, Video)]
    _check_count(images, spec.max_images, "pictures", _SEVERAL)
    _check_count(inline, MAX_INLINE_IMAGES, "inline pictures", f"{_SEVERAL} Or give addresses.")
    _check_count(videos, MAX_VIDEOS, "videos", _SEVERAL)


def is_remote_source(source: object) -> bool:
    """Tell whether a source is an address that the service fetches itself."""
    return isinstance(source, Url) and is_remote(source.url)


class Budget:
    """Sums up what a request inlines, and refuses what goes beyond.

    Args:
        limit: Most raw bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0

    @property
    def left(self) -> int:
        """Bytes that may still be inlined."""
        return max(0, self._limit - self._used)

    def spend(self, n_bytes: int, where: str) -> None:
        """Count the bytes of one part.

        Raises:
            RequestTooLargeError: The sum is past the limit with this part.
        """
        self._used += n_bytes
        if self._used > self._limit:
            raise RequestTooLargeError(
                f"With this part, {self._used:,} bytes are inlined in one request; at most "
                f"{self._limit:,} are taken.",
                where=where,
                value=self._used,
                limit=self._limit,
                remedy="Give https:// addresses, make the pictures smaller, or send fewer.",
            )


def _check_accepted(part: Media, spec: ModelSpec, model: str) -> None:
    match part:
        case Image():
            kind, is_accepted = "pictures", spec.accepts_vision
        case Video():
            kind, is_accepted = "videos", spec.accepts_vision and spec.accepts_video
        case Audio():
            kind, is_accepted = "sounds", spec.accepts_audio
    if not is_accepted:
        remedy = "Choose an omni model." if isinstance(part, Audio) else _OTHER_MODEL
        raise UnsupportedContentError(
            f"The model {model!r} takes no {kind}.", where=part.where, remedy=remedy
        )


def check_options(part: Image | Video, spec: ModelSpec) -> None:
    """Check the numbers that stand beside a picture or video.

    Raises:
        MediaOptionError: `fps` or a pixel limit out of its range.
    """
    for name, (lowest, highest) in _pixel_ranges(part, spec).items():
        value: Any = getattr(part, name)
        is_count = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (is_count and lowest <= value <= highest):
            kind = "picture" if isinstance(part, Image) else "video"
            wanted = f"a whole number from {lowest:,} to {highest:,} for a {kind} ({spec.family})"
            _refuse_knob(name, value, wanted, part.where)
    low, high = part.min_pixels, part.max_pixels
    if low is not None and high is not None and low > high:
        _refuse_knob("min_pixels", low, f"at most max_pixels, which is {high}", part.where)
    fps: Any = getattr(part, "fps", None)
    is_number = isinstance(fps, int | float) and not isinstance(fps, bool)
    # NaN is not between any two numbers.
    if fps is not None and not (is_number and MIN_FPS <= fps <= MAX_FPS):
        wanted = f"from {MIN_FPS} to {MAX_FPS} frames per second"
        _refuse_knob("fps", fps, wanted, part.where)


def _pixel_ranges(part: Image | Video, spec: ModelSpec) -> dict[str, tuple[int, int]]:
    """Give the lowest and highest value of each pixel limit (OpenAI-Chat page, 2026-10)."""
    if isinstance(part, Image):
        area = (spec.image_min_pixels, spec.image_pixels_limit)
        return {"min_pixels": area, "max_pixels": area}
    area = (spec.frame_min_pixels, spec.frame_pixels_limit)
    return {
        "min_pixels": area,
        "max_pixels": area,
        "total_pixels": (spec.frame_min_pixels, spec.total_pixels_limit),
    }


def _refuse_knob(name: str, value: object, wanted: str, where: str) -> Never:
    raise MediaOptionError(
        f"{name} is {value!r}; it must be {wanted}.",
        where=where,
        value=value,
        limit=wanted,
        remedy=(
            f"Correct {name}, give the part one of its own, or leave it out for the model's own."
        ),
    )


def _check_frame_count(count: int, spec: ModelSpec, where: str) -> None:
    if MIN_FRAMES <= count <= spec.max_frames:
        return
    is_short = count < MIN_FRAMES
    raise FrameCountError(
        f"The video has {count} frames; {spec.family} takes from {MIN_FRAMES} to "
        f"{spec.max_frames}.",
        where=where,
        value=count,
        limit=MIN_FRAMES if is_short else spec.max_frames,
        remedy=(
            "Take more frames, or give them as pictures."
            if is_short
            else "Take every second frame, or fewer."
        ),
    )


def _check_count(parts: Sequence[Media], limit: int, kind: str, remedy: str) -> None:
    if len(parts) > limit:
        raise RequestTooLargeError(
            f"The request has {len(parts)} {kind}; at most {limit} are taken.",
            where=parts[limit].where,
            value=len(parts),
            limit=limit,
            remedy=remedy,
        )
