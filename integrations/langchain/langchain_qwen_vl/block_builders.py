"""Blocks for videos that pass through LangChain's tools.

What a tool returns stays content only while its blocks are of types that LangChain knows there,
and `video` is none of them: the block would be turned into text, its Base64 with it. A file block
with a video's type passes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qwen_vl.content import VideoMode
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.media import to_json_safe

_VIDEO_TYPE = "video/mp4"


def video_block(
    video: str | bytes | Path,
    *,
    fps: float | None = None,
    max_pixels: int | None = None,
    total_pixels: int | None = None,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
    video_mode: VideoMode | None = None,
) -> dict[str, Any]:
    """Create a block of a video that a tool may return, and a message may hold.

    Args:
        video: Its URL, bytes or path.
        fps: Frames per second to sample.
        max_pixels: Maximum number of pixels of a frame.
        total_pixels: Maximum number of pixels of all frames.
        start: Seconds from the beginning of a local video at which to begin to look.
        end: Seconds from the beginning of a local video at which to stop.
        max_frames: Maximum number of frames to take of a local video.
        video_mode: How a local video is sent: `"inline"`, `"frames"`, `"upload"` or `"auto"`.

    Raises:
        MediaError: The bytes are not a video.

    Example:
        >>> video_block("https://example.com/walk.mp4", fps=1)["extras"]
        {'fps': 1}
    """
    options = {
        "fps": fps,
        "max_pixels": max_pixels,
        "total_pixels": total_pixels,
        "start": start,
        "end": end,
        "max_frames": max_frames,
        "video_mode": video_mode,
    }
    url = to_json_safe(video, "video", "video") if isinstance(video, bytes) else video
    return _file_block(options, url=url)


def frames_block(
    frames: Sequence[Any],
    *,
    fps: float | None = None,
    timestamps: Sequence[float] | None = None,
    max_pixels: int | None = None,
    total_pixels: int | None = None,
) -> dict[str, Any]:
    """Create a block of a video as its frames that a tool may return, and a message may hold.

    Args:
        frames: Four or more images in order: URLs, paths, bytes, `PIL.Image` or arrays.
        fps: At how many frames per second they were taken.
        timestamps: Seconds at which each was taken, where they are not evenly spaced.
        max_pixels: Maximum number of pixels of a frame.
        total_pixels: Maximum number of pixels of all frames.

    Raises:
        MediaError: A frame is not an image.
        UnsupportedContentError: A frame is of a kind that nothing can be made of.

    Example:
        >>> urls = [f"https://example.com/{number}.jpg" for number in range(4)]
        >>> len(frames_block(urls, fps=2)["extras"]["frames"])
        4
    """
    options = {
        "fps": fps,
        "timestamps": None if timestamps is None else [float(time) for time in timestamps],
        "max_pixels": max_pixels,
        "total_pixels": total_pixels,
    }
    held = [_frame(frame, f"frames[{index}]") for index, frame in enumerate(frames)]
    return _file_block({"frames": held, **options})


def _file_block(extras: dict[str, Any], **source: Any) -> dict[str, Any]:
    values = {name: value for name, value in extras.items() if value is not None}
    return {"type": "file", "mime_type": _VIDEO_TYPE, **source, "extras": values}


def _frame(frame: Any, where: str) -> str | Path:
    if isinstance(frame, str | Path):
        return frame
    text = to_json_safe(frame, "image", where)
    if text is None:
        raise UnsupportedContentError(
            f"A frame cannot be a {type(frame).__name__}.",
            where=where,
            remedy="Pass URLs, paths, bytes or decoded images.",
        )
    return text
