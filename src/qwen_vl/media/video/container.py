"""Opening a video file with PyAV, by what its bytes are and by nothing that it may say."""

import importlib.util
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media.sniff import sniff
from qwen_vl.media.streams import find_video_type
from qwen_vl.media.video.sample_tables import check_sample_tables

HEAD_BYTES = 1_024
"""What `sniff` needs to determine the type of a file."""

MAX_FRAME_PIXELS = 8_192 * 4_320
"""Largest frame that is decoded: 8K. One of them takes 53 MB, and a decoder holds several."""

CONTAINERS = {
    "video/3gpp": "mov",
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-flv": "flv",
    "video/x-matroska": "matroska",
    "video/x-ms-wmv": "asf",
    "video/x-msvideo": "avi",
}
"""FFmpeg's name for each container. Given, because FFmpeg guesses from the content otherwise, and
some of what it may guess (playlists) has it open other files and URLs."""
_MPEG_HEADS = {b"\x00\x00\x01\xba": "mpeg", b"\x00\x00\x01\xb3": "mpegvideo"}

_REMEDY = "Check that it plays, or write it again: ffmpeg -i in.mp4 -c:v libx264 out.mp4"


def is_mpegts(head: bytes) -> bool:
    """Return whether a file is MPEG-TS.

    Args:
        head: Its first 1,024 bytes.
    """
    return sniff(head) == "video/mpeg" and head[:4] not in _MPEG_HEADS


def has_av() -> bool:
    """Return whether PyAV is installed."""
    return importlib.util.find_spec("av") is not None


def find_container(head: bytes, where: str) -> str:
    """Name the container of a video for FFmpeg.

    Args:
        head: The file's first 1,024 bytes.
        where: The part, for errors.

    Raises:
        MediaFormatError: It is not a video.

    Example:
        >>> from qwen_vl.samples import BIG_BUCK_BUNNY
        >>> find_container(BIG_BUCK_BUNNY.read_bytes(), "")
        'mov'
    """
    media_type = find_video_type(head, where)
    return CONTAINERS.get(media_type) or _MPEG_HEADS.get(head[:4], "mpegts")


@contextmanager
def open_video(
    file: BinaryIO, where: str, options: Mapping[str, str] | None = None
) -> Iterator[tuple[Any, Any]]:
    """Open a video file; errors while reading it are reported as damage.

    Args:
        file: Open for reading, seekable; it is read from its start.
        where: The part, for errors.
        options: Of FFmpeg, for all streams.

    Yields:
        PyAV's container, and its video stream.

    Raises:
        MediaFormatError: Not a video, audio only, or damaged.
        MediaTooLargeError: Its frames are larger than 8K, or its index takes too much memory.
    """
    import av  # noqa: PLC0415 - an extra, and slow to import
    import av.error  # noqa: PLC0415 - as av itself

    file.seek(0)
    container = find_container(file.read(HEAD_BYTES), where)
    if container == "mov":
        check_sample_tables(file, where)
    file.seek(0)
    try:
        with av.open(
            file,
            "r",
            format=container,
            options=dict(options or {}),
            # Titles may be in any encoding, and are not read.
            metadata_errors="replace",
        ) as opened:
            yield opened, _find_stream(opened, where)
    except (av.error.FFmpegError, ValueError, IndexError) as error:
        # The latter two are PyAV's own, of streams that turn up late or change their format.
        problem = getattr(error, "strerror", None) or error
        raise damaged(f"it cannot be read: {problem}", where) from error


def damaged(problem: str, where: str) -> MediaFormatError:
    """Create the error for a video that is damaged or incomplete.

    Args:
        problem: What was met.
        where: The part.
    """
    return MediaFormatError(
        f"The video is damaged or incomplete: {problem}.",
        where=where,
        value=problem,
        remedy=_REMEDY,
    )


def _find_stream(container: Any, where: str) -> Any:
    from av.stream import Disposition  # noqa: PLC0415 - an extra, and slow to import

    # The cover of an album is a video stream of one frame.
    streams = [
        stream
        for stream in container.streams.video
        if Disposition.attached_pic not in stream.disposition
    ]
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        rest = f": {kinds} is all there is" if kinds else ", nor anything else"
        raise MediaFormatError(
            f"Expected a video, but it holds no moving images{rest}.",
            where=where,
            value=kinds or None,
            remedy="Pass a file with a video stream; send audio files as audio, to an omni model.",
        )
    stream = streams[0]
    _check_size(stream.codec_context, where)
    return stream


def _check_size(codec: Any, where: str) -> None:
    if codec is None:
        raise damaged("it is written by a codec that is not known here", where)
    if not (codec.width and codec.height):
        raise damaged("it does not say how large its frames are", where)
    n_pixels = codec.width * codec.height
    if n_pixels > MAX_FRAME_PIXELS:
        raise MediaTooLargeError(
            f"The frames have {codec.width} x {codec.height} pixels; at most {MAX_FRAME_PIXELS:,} "
            "(8K) are decoded.",
            where=where,
            value=n_pixels,
            limit=MAX_FRAME_PIXELS,
            remedy="Scale the video down, or give its https:// URL.",
        )
