"""What holds for a request as a whole, and for the numbers that stand beside a part.

All of it is checked before the first file is opened; only the bytes are summed while reading.
"""

import math
from collections.abc import Iterator, Sequence
from numbers import Real
from typing import Any, Never

from qwen_vl.content import Audio, DataUrl, Frames, Image, Media, Url, Video, is_remote
from qwen_vl.errors import (
    FrameCountError,
    MediaFormatError,
    MediaOptionError,
    RequestTooLargeError,
    UnsupportedContentError,
)
from qwen_vl.specs.models import (
    AUDIO_MODELS,
    MAX_FPS,
    MAX_INLINE_IMAGES,
    MAX_VIDEOS,
    MIN_FPS,
    MIN_FRAMES,
    ModelSpec,
    get_model_spec,
)
from qwen_vl.specs.processors import FRAMES_PER_STEP, PROCESSORS, Family
from qwen_vl.specs.servers import DEFAULT_SERVER, Server

_OTHER_MODEL = "Choose a model that takes it: qwen3-vl-plus, for instance."
_AUDIO_MODEL = f"Choose an omni model: {', '.join(AUDIO_MODELS)}."
_SEVERAL = "Spread them over several requests."


def check_part(part: Media, model: str, server: Server = DEFAULT_SERVER) -> None:
    """Check everything about one part that can be checked without reading.

    Args:
        part: An image, video or audio.
        model: The model that is asked.
        server: Which server is asked: self-hosted servers have other limits.

    Raises:
        UnsupportedContentError: The model does not take such a part.
        MediaOptionError: `fps` or a pixel limit out of its range.
        FrameCountError: Too few or too many frames.
    """
    if server != DEFAULT_SERVER:
        if not isinstance(part, Audio):
            check_numbers(part)
        return
    spec = get_model_spec(model)
    _check_accepted(part, spec, model)
    if not isinstance(part, Audio):
        check_options(part, spec)
    if isinstance(part, Video) and isinstance(part.source, Frames):
        _check_frame_count(len(part.source.frames), spec, part.where)


def check_counts(parts: Sequence[Media], model: str, server: Server = DEFAULT_SERVER) -> None:
    """Check how many images, videos and audio files a request has.

    Args:
        parts: Every image, video and audio of a request, in order.
        model: The model that is asked.
        server: Which server is asked: self-hosted servers have other limits.

    Raises:
        RequestTooLargeError: Too many of a kind.
    """
    if server != DEFAULT_SERVER:
        return
    spec = get_model_spec(model)
    # unsure: no page says whether the frames of a list count as images; they are not counted.
    images = [part for part in parts if isinstance(part, Image)]
    inline = [part for part in images if not is_remote_source(part.source)]
    videos = [part for part in parts if isinstance(part, Video)]
    _check_count(images, spec.max_images, "images", _SEVERAL)
    fewer = f"{_SEVERAL} Or give URLs, or set history_images=… for an agent."
    _check_count(inline, MAX_INLINE_IMAGES, "inline images", fewer)
    _check_count(videos, MAX_VIDEOS, "videos", _SEVERAL)
    if spec.audio is not None:
        audio = [part for part in parts if isinstance(part, Audio)]
        held = [part for part in audio if not is_remote_source(part.source)]
        _check_count(audio, spec.audio.max_urls, "audio files", _SEVERAL)
        _check_count(held, spec.audio.max_inline, "inline audio files", f"{_SEVERAL} Or give URLs.")


def is_remote_source(source: object) -> bool:
    """Return whether a source is a URL that the service fetches itself."""
    return isinstance(source, Url) and is_remote(source.url)


def check_frame_list(frames: Sequence[object], family: Family, where: str) -> None:
    """Check that the frames of a list have one size, as vLLM wants, which stacks them.

    Args:
        frames: As they are sent.
        family: Architecture of the model: Qwen3-VL takes no single frame (measured, vLLM 0.32).
        where: The part, for errors.

    Raises:
        FrameCountError: There are too few.
        MediaFormatError: One has another size than the first.
    """
    if len(frames) < FRAMES_PER_STEP and PROCESSORS[family].is_video_of_clip:
        raise FrameCountError(
            f"The list has {len(frames)} frames; {FRAMES_PER_STEP} or more are needed.",
            where=where,
            value=len(frames),
            limit=FRAMES_PER_STEP,
            remedy="Pass it as an image, or give more frames.",
        )
    sizes = [frame.size if isinstance(frame, DataUrl) else None for frame in frames]
    first = next((size for size in sizes if size), None)
    for number, size in enumerate(sizes):
        if first is not None and size is not None and size != first:
            raise MediaFormatError(
                f"The frame has {size[0]} x {size[1]} pixels, and others have {first[0]} x "
                f"{first[1]}; the server takes frames of one size.",
                where=f"{where}.video[{number}]",
                value=size,
                limit=first,
                remedy="Scale the frames to one size, or give them as images.",
            )


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
                remedy=(
                    "Pass https:// URLs, downscale the images, or send fewer: history_images=… "
                    "leaves old ones of tools out."
                ),
            )


def find_urls(part: Media) -> Iterator[tuple[str, str]]:
    """Return the URLs of a part, each with where it stands.

    Args:
        part: An image, video or audio; of a list of frames each may be a URL.
    """
    if isinstance(part.source, Url):
        yield part.source.url, part.where
    elif isinstance(part.source, Frames):
        for number, frame in enumerate(part.source.frames):
            if isinstance(frame, Url):
                yield frame.url, f"{part.where}.video[{number}]"


def _check_accepted(part: Media, spec: ModelSpec, model: str) -> None:
    match part:
        case Image():
            kind, is_accepted = "images", spec.accepts_vision
        case Video():
            kind, is_accepted = "videos", spec.accepts_vision and spec.accepts_video
        case Audio():
            kind, is_accepted = "audio", spec.accepts_audio
    if not is_accepted:
        remedy = _AUDIO_MODEL if isinstance(part, Audio) else _OTHER_MODEL
        raise UnsupportedContentError(
            f"The model {model!r} takes no {kind}.", where=part.where, remedy=remedy
        )


def check_timestamps(video: Video) -> None:
    """Check the timestamps of a list of frames.

    Args:
        video: Any video.

    Raises:
        MediaOptionError: They stand beside a file, there are more or fewer than frames, or they
            are not ascending seconds.
    """
    times: Any = video.timestamps
    if times is None:
        return
    if not isinstance(video.source, Frames):
        _refuse_times("timestamps are those of a list of frames, and this is a file.", video, times)
    n_frames = len(video.source.frames)
    if isinstance(times, str) or not hasattr(times, "__len__") or len(times) != n_frames:
        count = f"{len(times)} timestamps" if hasattr(times, "__len__") else f"timestamps {times!r}"
        _refuse_times(f"There are {count} for {n_frames} frames; each has one.", video, times)
    for number, time in enumerate(times):
        is_time = isinstance(time, Real) and not isinstance(time, bool)
        if not (is_time and 0 <= float(time) < math.inf):
            _refuse_times(
                f"timestamps[{number}] is {time!r}; it must be seconds from 0.", video, time
            )
        if number and float(time) <= float(times[number - 1]):
            problem = f"timestamps[{number}], {float(time):g}, is not later than the one before it."
            _refuse_times(problem, video, time)


def check_options(part: Image | Video, spec: ModelSpec) -> None:
    """Check the numbers that stand beside an image or video.

    Raises:
        MediaOptionError: `fps` or a pixel limit out of its range.
    """
    for name, (lowest, highest) in _pixel_ranges(part, spec).items():
        value: Any = getattr(part, name)
        is_count = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (is_count and lowest <= value <= highest):
            kind = "an image" if isinstance(part, Image) else "a video"
            wanted = f"a whole number from {lowest:,} to {highest:,} for {kind} ({spec.family})"
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


def check_numbers(part: Image | Video) -> None:
    """Check that the options of an image or video are numbers, for every server.

    Self-hosted servers do not document ranges.

    Raises:
        MediaOptionError: `fps` or a pixel limit is not above 0, or they contradict each other.
    """
    for name in ("min_pixels", "max_pixels", "total_pixels"):
        value: Any = getattr(part, name, None)
        is_count = isinstance(value, int) and not isinstance(value, bool)
        if value is not None and not (is_count and value > 0):
            _refuse_knob(name, value, "a whole number above 0", part.where)
    low, high = part.min_pixels, part.max_pixels
    if low is not None and high is not None and low > high:
        _refuse_knob("min_pixels", low, f"at most max_pixels, which is {high}", part.where)
    fps: Any = getattr(part, "fps", None)
    is_number = isinstance(fps, int | float) and not isinstance(fps, bool)
    # NaN is above nothing.
    if fps is not None and not (is_number and 0 < fps < math.inf):
        _refuse_knob("fps", fps, "a number of frames per second above 0", part.where)


def _pixel_ranges(part: Image | Video, spec: ModelSpec) -> dict[str, tuple[int, int]]:
    """Return the lowest and highest value of each pixel limit (OpenAI-Chat page, 2026-10)."""
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
        remedy=(f"Correct {name}, set it on the part, or leave it out for the model's default."),
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
            "Take more frames, or give them as images."
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


def _refuse_times(problem: str, video: Video, value: object) -> Never:
    raise MediaOptionError(
        problem,
        where=video.where,
        value=value,
        remedy="Pass the seconds at which each frame was taken, in order.",
    )
