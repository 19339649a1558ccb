"""One video file: from any source to one that can be sent."""

from collections.abc import Callable
from typing import Never

from qwen_vl.content import DataUrl, Pixels, Source, Url, is_remote
from qwen_vl.errors import MediaFormatError
from qwen_vl.media.data_url import MediaBytes, to_data_url
from qwen_vl.media.encode import encode_animation
from qwen_vl.media.load import check_remote, load
from qwen_vl.media.pixels import has_animation
from qwen_vl.media.sniff import describe, sniff
from qwen_vl.request.types import MediaPolicy

VIDEO_TYPES = frozenset(
    {
        "video/mp4",
        "video/quicktime",
        "video/x-matroska",
        "video/x-msvideo",
        "video/x-flv",
        "video/x-ms-wmv",
        # unsure: the page's list ends in "…" (Vision page, 2026-08).
        "video/3gpp",
        "video/mpeg",
        "video/webm",
    }
)

ANIMATED_TYPES = frozenset({"image/avif", "image/gif", "image/png", "image/webp"})
"""Images that may be animated, and are sent as the frames of a video then."""


def prepare_video(
    source: Source,
    policy: MediaPolicy,
    where: str,
    check: Callable[[bytes, str], None] | None = None,
    *,
    takes_animations: bool = False,
) -> Url | DataUrl:
    """Prepare a video file.

    Args:
        source: Where it comes from.
        policy: Which files may be read, and how much may be inlined.
        where: The part, for errors.
        check: Looks into the file, and raises if nobody could see anything in it; `None` where
            that is done later.
        takes_animations: Whether an animated image counts as a video; its frames are taken later.

    Raises:
        MediaError: It cannot be sent.
    """
    if isinstance(source, DataUrl):
        return source
    if isinstance(source, Url) and is_remote(source.url):
        check_remote(source.url, where)
        return source
    if isinstance(source, Pixels):
        if not (takes_animations and has_animation(source.image)):
            refuse_pixels(source, where)
        return to_data_url("image/png", MediaBytes(encode_animation(source.image, where)))
    media = load(source, policy, where)
    media_type = find_video_type(
        media.data, where, known=media.media_type, takes_animations=takes_animations
    )
    if check:
        check(media.data, where)
    return to_data_url(media_type, media)


def refuse_pixels(source: Pixels, where: str) -> Never:
    """Refuse a decoded image where a video is wanted.

    Raises:
        MediaFormatError: Always.
    """
    remedy = "Pass it as an image, or give a list of images: the video's frames."
    if has_animation(source.image):
        remedy = 'Set video_mode="auto" or "frames", which sends the frames of an animation.'
    raise MediaFormatError(
        "Expected a video, but this is a decoded image, or an array of pixels.",
        where=where,
        value=type(source.image).__name__,
        remedy=remedy,
    )


def find_video_type(
    data: bytes, where: str, *, known: str | None = None, takes_animations: bool = False
) -> str:
    """Find the type of a video that can be sent.

    Args:
        data: The file, or its first 1,024 bytes.
        where: The part, for errors.
        known: The type, if it was sniffed already.
        takes_animations: Whether an image that may be animated counts as a video.

    Raises:
        MediaFormatError: Something else; it says what it looks like.
    """
    media_type = known or sniff(data)
    if media_type in VIDEO_TYPES or (takes_animations and media_type in ANIMATED_TYPES):
        return str(media_type)
    remedy = "Pass a video as MP4, AVI, MKV, MOV, FLV or WMV."
    if media_type in ANIMATED_TYPES:
        remedy = 'Pass it as an image; if it is animated, set video_mode="auto" or "frames".'
    elif media_type is not None and media_type.startswith("image/"):
        remedy = "Pass it as an image, or give a list of images: the video's frames."
    raise MediaFormatError(
        f"Expected a video, but this looks like {describe(data)}.",
        where=where,
        value=media_type,
        limit="MP4, AVI, MKV, MOV, FLV, WMV",
        remedy=remedy,
    )
