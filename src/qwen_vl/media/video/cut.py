"""From a video file of any size to the list of frames that is sent for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO

from qwen_vl.content import Frames, Source, Video
from qwen_vl.errors import MissingExtraError, warn
from qwen_vl.media.data_url import MediaBytes, to_data_url
from qwen_vl.media.downscale import find_cut_resize, find_frame_size
from qwen_vl.media.video.animation import is_animation, open_animation
from qwen_vl.media.video.container import HEAD_BYTES, has_av, open_video
from qwen_vl.media.video.file import open_file
from qwen_vl.media.video.frame_buffer import FrameBuffer
from qwen_vl.media.video.mode import SamplingPlan
from qwen_vl.media.video.probe import Clip, probe
from qwen_vl.media.video.reader import FrameReader
from qwen_vl.media.video.sampling import Schedule, make_schedule
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.specs.models import MAX_FPS, MAX_INLINE_IMAGES, MIN_FPS
from qwen_vl.specs.servers import DEFAULT_SERVER, get_server_spec
from qwen_vl.specs.vision import DEFAULT_FPS

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

_QUARTER_TURN = 90
_FPS_DIGITS = 6
# Of the time between two frames: by so little the last one may be dated wrong.
_EXACT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingJob:
    """A video that is to be cut.

    Args:
        part: The video.
        source: Its source: a file, an open file, or bytes.
        cut: From `plan_sampling`.
        reason: Why it is cut, for the error where PyAV is not installed.
        max_frames: Maximum number of frames that a request may hold of it; `None` for any number.
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
        video: Its source is `Frames` of data URLs.
        n_bytes: Raw bytes of all frames.
    """

    video: Video
    n_bytes: int


@dataclass(frozen=True, slots=True)
class CutPlan:
    """How a video is cut, as far as its header shows.

    Args:
        schedule: Which frames are taken.
        size: Width and height at which they are sent.
        fps: How many were taken in a second, as it is sent.
        n_wanted: How many would be taken if a request could hold any number.
    """

    schedule: Schedule
    size: tuple[int, int]
    fps: float
    n_wanted: int


def plan_cut(
    part: Video,
    clip: Clip,
    cut: SamplingPlan,
    request: Request,
    *,
    max_frames: int | None = None,
) -> CutPlan:
    """Plan how a video is cut: frames, sizes and rate are those that the server would choose.

    Args:
        part: The video.
        clip: What its header says.
        cut: From `plan_sampling`.
        request: What holds for it: model, policy and server.
        max_frames: Maximum number of frames that a request may hold of it.

    Raises:
        FrameCountError: There are fewer frames than a list must have.
        MediaOptionError: The span lies behind the video's end.
    """
    schedule = make_schedule(
        clip, cut.span, fps=part.fps or DEFAULT_FPS, max_frames=cut.max_frames, where=part.where
    )
    n_wanted = len(schedule.times)
    schedule = schedule.thinned(max_frames)
    resize = find_cut_resize(part, request, len(schedule.times))
    fps = _rate_of(schedule.times)
    is_limited = get_server_spec(request.server).fps == "part"
    return CutPlan(
        schedule,
        find_frame_size(clip.width, clip.height, resize),
        min(max(fps, MIN_FPS), MAX_FPS) if is_limited else fps,
        n_wanted,
    )


def cut_video(job: SamplingJob, request: Request, limit: int) -> CutVideo:
    """Decode the frames that the model would sample, at the size that it would process.

    They are decoded one after another, so that memory does not grow with the video's length.

    Args:
        job: What to cut, and how.
        request: What holds for it: model, policy and server.
        limit: Maximum number of bytes of all frames together.

    Returns:
        The video as its frames, and the `fps` at which they were taken.

    Raises:
        MissingExtraError: PyAV is not installed.
        MediaError: The video cannot be read or cut so.
    """
    part, policy = job.part, request.policy
    if not has_av() and not _is_animation(job.source, policy, part.where):
        place = part.where or "A video"
        raise MissingExtraError(
            f"{place} is to be cut into frames, since {job.reason}, which", extra="video"
        )
    with open_file(job.source, policy, part.where) as file:
        clip = probe(file, part.where)
        plan = plan_cut(part, clip, job.cut, request, max_frames=job.max_frames)
        n_frames = len(plan.schedule.times)
        buffer = FrameBuffer(n_frames, limit, policy.max_inline_bytes, part.where)
        _fill(buffer, file, plan.schedule, plan.size, part.where)
    if n_frames < plan.n_wanted:
        _warn_many(n_frames, plan.n_wanted, part.where)
    if buffer.every > 1:
        _warn_thinned(buffer, n_frames, limit, part.where)
    if clip.has_audio and request.server == DEFAULT_SERVER and request.spec.accepts_audio:
        _warn_no_audio(job)
    return _to_frames(part, buffer, plan.schedule, request)


def _is_animation(source: Source, policy: MediaPolicy, where: str) -> bool:
    with open_file(source, policy, where) as file:
        return is_animation(file.read(HEAD_BYTES))


def _fill(
    buffer: FrameBuffer, file: BinaryIO, schedule: Schedule, size: tuple[int, int], where: str
) -> None:
    file.seek(0)
    if is_animation(file.read(HEAD_BYTES)):
        with open_animation(file, where) as (animation, _):
            for number, time in enumerate(schedule.times):
                if buffer.wants(number):
                    # Halfway between two frames, the later one: times are sums of rounded steps.
                    buffer.add(number, animation.frame_at(time + schedule.slack, size))
        return
    with open_video(file, where) as (container, stream):
        reader = FrameReader(container, stream, where)
        for number, image in _take(reader, schedule, size, buffer):
            buffer.add(number, image)
    if reader.n_damaged:
        warn(
            f"{where}: {reader.n_damaged} pieces of the video are damaged and were left out; "
            "frames near them may show an earlier moment."
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


def _to_frames(part: Video, buffer: FrameBuffer, schedule: Schedule, request: Request) -> CutVideo:
    files = buffer.files
    times = [schedule.times[number] for number in files]
    frames = tuple(to_data_url("image/jpeg", MediaBytes(data)) for data in files.values())
    fps = sampled_fps = _rate_of(times)
    if get_server_spec(request.server).fps == "part":
        is_scaled = request.policy.scales_times
        fps = _within_limits(fps, times, part.where, is_scaled=is_scaled)
    video = replace(
        part,
        source=Frames(frames, is_sampled=True, sampled_fps=sampled_fps),
        fps=fps,
        start=None,
        end=None,
        max_frames=None,
        video_mode=None,
    )
    return CutVideo(video, sum(map(len, files.values())))


def _rate_of(times: Sequence[float]) -> float:
    """Return how many frames were taken in a second: the model dates frame `i` to `i / fps`."""
    return float(f"{(len(times) - 1) / (times[-1] - times[0]):.{_FPS_DIGITS}g}")


def _within_limits(fps: float, times: Sequence[float], where: str, *, is_scaled: bool) -> float:
    """Return the rate that the hosted service takes, with a warning where times would be off."""
    steps, seconds = len(times) - 1, times[-1] - times[0]
    sent = min(max(fps, MIN_FPS), MAX_FPS)
    if is_scaled or abs(steps / sent - seconds) <= _EXACT / sent:
        return sent
    warn(
        f"{where}: the frames were taken at {fps:g} per second, and the service knows no fps but "
        f"from {MIN_FPS} to {MAX_FPS}. {sent:g} is sent: times that the model names are to be "
        f"multiplied by {sent / fps:.3g}."
    )
    return sent


def _warn_no_audio(job: SamplingJob) -> None:
    warn(
        f"{job.part.where}: only frames of the video are sent, without its audio, since "
        f'{job.reason}. Give a URL, set video_mode="upload", or pass the audio beside it.'
    )


def _warn_many(n_frames: int, wanted: int, where: str) -> None:
    warn(
        f"{where}: {n_frames:,} of {wanted:,} frames are taken, since a request may hold "
        f"{MAX_INLINE_IMAGES} images that are sent within it. Set a lower fps or max_frames, "
        'give a URL, or set video_mode="upload".'
    )


def _warn_thinned(buffer: FrameBuffer, wanted: int, limit: int, where: str) -> None:
    warn(
        f"{where}: {len(buffer.files):,} of {wanted:,} frames are sent, since at JPEG quality "
        f"{buffer.quality} no more go into the {limit:,} bytes that are left for them. Set a lower "
        "fps, max_frames or max_pixels, or raise max_total_inline_bytes."
    )
