"""From a video file of any size to the list of frames that is sent for it."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from qwen_vl.content import Frames, Source, Video
from qwen_vl.errors import MissingExtraError
from qwen_vl.media.data_url import MediaBytes, to_data_url
from qwen_vl.media.video.container import has_av, open_video
from qwen_vl.media.video.file import open_file
from qwen_vl.media.video.frame_buffer import FrameBuffer
from qwen_vl.media.video.mode import SamplingPlan
from qwen_vl.media.video.probe import Clip, probe
from qwen_vl.media.video.reader import FrameReader
from qwen_vl.media.video.sampling import Schedule, make_schedule
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.models import MAX_FPS, MAX_INLINE_IMAGES, MIN_FPS, ModelSpec
from qwen_vl.specs.vision import DEFAULT_FPS, resize_frame

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_QUARTER_TURN = 90
_FPS_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingJob:
    """A video that is to be cut.

    Args:
        part: The video.
        source: Its source: a file, an open file, or bytes.
        cut: From `plan_sampling`.
        reason: Why it is cut, for the error where PyAV is not installed.
        max_frames: Most frames that a request may hold of it; `None` for any number.
    """

    part: Video
    source: Source
    cut: SamplingPlan
    reason: str
    max_frames: int | None = None


@dataclass(frozen=True, slots=True)
class CutVideo:
    """A video that has become its frames.

    Args:
        video: Its source is `Frames` of `data:` addresses.
        n_bytes: Raw bytes of all frames.
    """

    video: Video
    n_bytes: int


def cut_video(job: SamplingJob, policy: MediaPolicy, spec: ModelSpec, limit: int) -> CutVideo:
    """Take the frames that the model would look at, as large as it would look at them.

    They are decoded one after another, so that memory does not grow with the video's length.

    Args:
        job: What to cut, and how.
        policy: Which files may be read.
        spec: The model that is asked.
        limit: Most bytes of all frames together.

    Returns:
        The video as its frames, and the `fps` at which they were taken.

    Raises:
        MissingExtraError: PyAV is not installed.
        MediaError: The video cannot be read or cut so.
    """
    part, cut = job.part, job.cut
    if not has_av():
        place = part.where or "A video"
        raise MissingExtraError(
            f"{place} is to be cut into frames, since {job.reason}, which", extra="video"
        )
    with open_file(job.source, policy, part.where) as file:
        clip = probe(file, part.where)
        schedule = make_schedule(
            clip,
            cut.span,
            fps=part.fps or DEFAULT_FPS,
            max_frames=cut.max_frames,
            where=part.where,
        )
        wanted = len(schedule.times)
        schedule = schedule.thinned(job.max_frames)
        n_frames = len(schedule.times)
        size = _find_size(part, clip, n_frames, spec)
        buffer = FrameBuffer(n_frames, limit, policy.max_inline_bytes, part.where)
        _fill(buffer, file, schedule, size, part.where)
    if n_frames < wanted:
        _warn_many(n_frames, wanted, part.where)
    if buffer.every > 1:
        _warn_thinned(buffer, len(schedule.times), limit, part.where)
    return _to_frames(part, buffer, schedule)


def _find_size(part: Video, clip: Clip, n_frames: int, spec: ModelSpec) -> tuple[int, int]:
    size = resize_frame(
        clip.width,
        clip.height,
        n_frames,
        spec,
        min_pixels=part.min_pixels,
        max_pixels=part.max_pixels,
        total_pixels=part.total_pixels,
    )
    # What the service would enlarge is not sent larger than it is.
    is_smaller = size[0] * size[1] < clip.width * clip.height
    return size if is_smaller else (clip.width, clip.height)


def _fill(
    buffer: FrameBuffer, file: BinaryIO, schedule: Schedule, size: tuple[int, int], where: str
) -> None:
    with open_video(file, where) as (container, stream):
        reader = FrameReader(container, stream, where)
        for number, image in _take(reader, schedule, size, buffer):
            buffer.add(number, image)
    if reader.n_damaged:
        warnings.warn(
            f"{where}: {reader.n_damaged} pieces of the video are damaged and were left out; "
            "frames near them may show an earlier moment.",
            UserWarning,
            stacklevel=2,
        )


def _take(
    reader: FrameReader, schedule: Schedule, size: tuple[int, int], buffer: FrameBuffer
) -> Iterator[tuple[int, "PillowImage"]]:
    from av.video.reformatter import VideoReformatter  # noqa: PLC0415 - an extra, slow to import

    scaler = VideoReformatter()
    for number, time in enumerate(schedule.times):
        if buffer.wants(number):
            yield number, to_pillow(reader.frame_at(time, schedule.slack), scaler, size)


def to_pillow(frame: Any, scaler: Any, size: tuple[int, int]) -> "PillowImage":
    """Scale a frame, and turn it as the file notes.

    Args:
        frame: PyAV's.
        scaler: PyAV's `VideoReformatter`.
        size: Width and height in pixels, before it is turned.
    """
    scaled = scaler.reformat(frame, *size, format="rgb24", interpolation="BICUBIC")
    image: PillowImage = scaled.to_image()
    turns = round(frame.rotation / _QUARTER_TURN) % 4
    if not turns:
        return image
    from PIL.Image import Transpose  # noqa: PLC0415 - slow to import

    # Both count against the clock.
    turned = (Transpose.ROTATE_90, Transpose.ROTATE_180, Transpose.ROTATE_270)[turns - 1]
    return image.transpose(turned)


def _to_frames(part: Video, buffer: FrameBuffer, schedule: Schedule) -> CutVideo:
    files = buffer.files
    times = [schedule.times[number] for number in files]
    frames = tuple(to_data_url("image/jpeg", MediaBytes(data)) for data in files.values())
    video = replace(
        part,
        source=Frames(frames),
        fps=_find_fps(times, part.where),
        start=None,
        end=None,
        max_frames=None,
        video_mode=None,
    )
    return CutVideo(video, sum(map(len, files.values())))


def _find_fps(times: list[float], where: str) -> float:
    """Tell how many frames were taken in a second: the model dates frame `i` to `i / fps`."""
    steps, seconds = len(times) - 1, times[-1] - times[0]
    fps = float(f"{steps / seconds:.{_FPS_DIGITS}g}")
    sent = min(max(fps, MIN_FPS), MAX_FPS)
    # At `fps=0.1` the steps are a little longer than ten seconds, so that the last frame is seen.
    if abs(steps / sent - seconds) <= 1 / sent:
        return sent
    warnings.warn(
        f"{where}: the frames were taken at {fps:g} per second, and the service knows no fps but "
        f"from {MIN_FPS} to {MAX_FPS}. {sent:g} is sent: times that the model names are to be "
        f"multiplied by {sent / fps:.3g}.",
        UserWarning,
        stacklevel=2,
    )
    return sent


def _warn_many(n_frames: int, wanted: int, where: str) -> None:
    warnings.warn(
        f"{where}: {n_frames:,} of {wanted:,} frames are taken, since a request may hold "
        f"{MAX_INLINE_IMAGES} pictures that are sent within it. Set a lower fps or max_frames, "
        'give an address, or set video_mode="upload".',
        UserWarning,
        stacklevel=2,
    )


def _warn_thinned(buffer: FrameBuffer, wanted: int, limit: int, where: str) -> None:
    warnings.warn(
        f"{where}: {len(buffer.files):,} of {wanted:,} frames are sent, since at JPEG quality "
        f"{buffer.quality} no more go into the {limit:,} bytes that are left for them. Set a lower "
        "fps, max_frames or max_pixels, or raise max_total_inline_bytes.",
        UserWarning,
        stacklevel=2,
    )
