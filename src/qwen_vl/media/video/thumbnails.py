"""Single frames of a video as images for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qwen_vl.content import Source
from qwen_vl.errors import MissingExtraError
from qwen_vl.media.decoding import decoding_limited
from qwen_vl.media.video.container import has_av, open_video
from qwen_vl.media.video.cut import to_pillow
from qwen_vl.media.video.file import open_file
from qwen_vl.media.video.probe import probe
from qwen_vl.media.video.reader import FrameReader
from qwen_vl.request.types import MediaPolicy

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage


def take_thumbnails(
    source: Source, policy: MediaPolicy, times: Sequence[float], *, width: int, where: str
) -> list["PillowImage"]:
    """Return the frames that are shown at some times.

    Args:
        source: A video: a file, an open file, or bytes.
        policy: Which files may be read.
        times: Seconds from the video's beginning, in any order; behind its end stands its last
            frame.
        width: Pixels of the images; no image is enlarged.
        where: What it is, for errors.

    Returns:
        Images in RGB, in the order of the times.

    Raises:
        MissingExtraError: PyAV is not installed.
        MediaError: The video cannot be read.
    """
    if not has_av():
        raise MissingExtraError("Taking frames of a video", extra="video")
    from av.video.reformatter import VideoReformatter  # noqa: PLC0415 - an extra, slow to import

    thumbnails: dict[float, PillowImage] = {}
    scaler = VideoReformatter()
    with decoding_limited(policy.max_decode_memory), open_file(source, policy, where) as file:
        clip = probe(file, where)
        scaled_width = min(width, clip.width)
        size = (scaled_width, max(1, round(clip.height * scaled_width / clip.width)))
        with open_video(file, where) as (container, stream):
            reader = FrameReader(container, stream, where)
            for time in sorted(set(times)):
                shown = min(time, max(clip.seconds - 1 / clip.rate, 0.0))
                frame = reader.frame_at(shown, 0.5 / clip.rate)
                thumbnails[time] = to_pillow(frame, scaler, size)
    return [thumbnails[time] for time in times]
