"""One picture, video or sound: from wherever it is to an address that can be sent."""

from collections.abc import Callable
from dataclasses import replace
from typing import Never, TypeAlias

from qwen_vl.content import DataUrl, LocalFile, Pixels, Source, Url, is_remote
from qwen_vl.errors import MediaFormatError
from qwen_vl.media.color_modes import ODD_MODES
from qwen_vl.media.data_url import MediaBytes, read_data_url, to_data_url
from qwen_vl.media.downscale import MAX_FILE_BYTES, Resize, downscale
from qwen_vl.media.encode import encode_pixels, reencode, to_jpeg
from qwen_vl.media.image import REENCODED_TYPES, check_image_file, check_large, is_too_large
from qwen_vl.media.load import check_inline_bytes, check_remote, load
from qwen_vl.media.sniff import UNKNOWN, describe, sniff
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

_HEADERLESS = frozenset({"pcm", "pcm16", "raw"})

PreparedMedia: TypeAlias = Url | DataUrl
"""One picture, video or sound as it goes on the wire: by address, or within the body."""


def prepare_image(
    source: Source, policy: MediaPolicy, where: str, resize: Resize | None = None
) -> PreparedMedia:
    """Prepare a picture, or one frame of a video.

    Args:
        source: Where it comes from.
        policy: Which files may be read, and how much may be inlined.
        where: The part, for errors.
        resize: Gives the size at which the model looks at it: a larger picture is shrunk to that.

    Raises:
        MediaError: It cannot be sent.
    """
    if isinstance(source, DataUrl):
        return source
    if isinstance(source, Url) and is_remote(source.url):
        check_remote(source.url, where)
        return source
    limit = policy.max_inline_bytes
    if isinstance(source, Pixels):
        return _from_file(*encode_pixels(source.image, limit, where, resize))
    # What is too long for the request may not be so once it is as large as the model looks at it.
    reading = replace(policy, max_inline_bytes=max(limit, MAX_FILE_BYTES)) if resize else policy
    media = load(source, reading, where)
    header = check_image_file(media, where)
    is_odd = header.mode in ODD_MODES or header.is_animated
    if header.media_type in REENCODED_TYPES or is_odd:
        return _from_file(*reencode(media, header, limit, where, resize))
    smaller = downscale(media, header, resize, where) if resize else None
    if smaller:
        check_inline_bytes(len(smaller[1]), limit, where)
        return _from_file(*smaller)
    check_inline_bytes(len(media.data), limit, where)
    check_large(header, where)
    return to_data_url(header.media_type, media)


def check_image(
    source: Source, policy: MediaPolicy, where: str, resize: Resize | None = None
) -> None:
    """Check that `prepare_image` can prepare an image, without encoding it unless that decides.

    Args:
        source: Where it comes from.
        policy: Which files may be read, and how much may be inlined.
        where: The part, for errors.
        resize: As of `prepare_image`.

    Raises:
        MediaError: It cannot be sent.
    """
    is_remote_url = isinstance(source, Url) and is_remote(source.url)
    if not isinstance(source, DataUrl | Pixels) and not is_remote_url:
        longest = max(policy.max_inline_bytes, MAX_FILE_BYTES) if resize else None
        reading = replace(policy, max_inline_bytes=longest or policy.max_inline_bytes)
        media = load(source, reading, where)
        header = check_image_file(media, where)
        is_kept = header.media_type not in REENCODED_TYPES and header.mode not in ODD_MODES
        is_short = len(media.data) <= policy.max_inline_bytes
        if is_kept and is_short and not (header.is_animated or is_too_large(header)):
            return
    prepare_image(source, policy, where, resize)


def prepare_jpeg(ready: PreparedMedia, where: str) -> PreparedMedia:
    """Make a picture that is sent within the request a JPEG.

    Args:
        ready: Of `prepare_image`.
        where: The part, for errors.

    Raises:
        MediaFormatError: It cannot be decoded.
    """
    if isinstance(ready, Url) or ready.media_type == "image/jpeg":
        return ready
    data = to_jpeg(read_data_url(ready), ready.media_type, where)
    return _from_file("image/jpeg", data)


def prepare_video(
    source: Source,
    policy: MediaPolicy,
    where: str,
    check: Callable[[bytes, str], None] | None = None,
) -> PreparedMedia:
    """Prepare a video file.

    Args:
        source: Where it comes from.
        policy: Which files may be read, and how much may be inlined.
        where: The part, for errors.
        check: Looks into the file, and raises if nobody could see anything in it; `None` where
            that is done later.

    Raises:
        MediaError: It cannot be sent.
    """
    if isinstance(source, DataUrl):
        return source
    if isinstance(source, Url) and is_remote(source.url):
        check_remote(source.url, where)
        return source
    if isinstance(source, Pixels):
        refuse_pixels(source, where)
    media = load(source, policy, where)
    media_type = find_video_type(media.data, where)
    if check:
        check(media.data, where)
    return to_data_url(media_type, media)


def refuse_pixels(source: Pixels, where: str) -> Never:
    """Refuse a decoded picture where a video is wanted.

    Raises:
        MediaFormatError: Always.
    """
    raise MediaFormatError(
        "A video is wanted, but this is a decoded picture, or an array of pixels.",
        where=where,
        value=type(source.image).__name__,
        remedy="Give it as a picture, or give a list of pictures: the video's frames.",
    )


def find_video_type(data: bytes, where: str) -> str:
    """Find the type of a video that can be sent.

    Args:
        data: The file, or its first 1,024 bytes.
        where: The part, for errors.

    Raises:
        MediaFormatError: Something else; it says what it looks like.
    """
    media_type = sniff(data)
    if media_type in VIDEO_TYPES:
        return str(media_type)
    is_image = media_type is not None and media_type.startswith("image/")
    raise MediaFormatError(
        f"A video is wanted, but this looks like {describe(data)}.",
        where=where,
        value=media_type,
        limit="MP4, AVI, MKV, MOV, FLV, WMV",
        remedy=(
            "Give it as a picture, or give a list of pictures: the video's frames."
            if is_image
            else "Give a video as MP4, AVI, MKV, MOV, FLV or WMV."
        ),
    )


def prepare_audio(
    source: Source, policy: MediaPolicy, where: str, audio_format: str = ""
) -> PreparedMedia:
    """Prepare audio.

    Bytes that begin like no audio are refused: they may be anything, such as a key file. Bytes in
    memory that the program itself calls `"pcm"` are the exception, since PCM has no header. A
    file is never sent on its name or stated format alone.

    Args:
        source: Where it comes from.
        policy: Which files may be read, and how much may be inlined.
        where: The part, for errors.
        audio_format: As stated: `"mp3"`, `"wav"`, `"pcm"`, ….

    Raises:
        MediaError: It cannot be sent.
    """
    if isinstance(source, DataUrl):
        return source
    if isinstance(source, Url) and is_remote(source.url):
        check_remote(source.url, where)
        return source
    if isinstance(source, Pixels):
        looks = "a decoded picture"
    else:
        media = load(source, policy, where)
        # Some encoders begin an MP3 file with zeros.
        media_type = sniff(media.data) or sniff(media.data.lstrip(b"\0"))
        looks = describe(media.data)
        # Audio may be in a video's container.
        is_audio = media_type is not None and media_type.startswith(("audio/", "video/"))
        # unsure: no page lists a format without a header.
        is_raw = audio_format in _HEADERLESS and looks == UNKNOWN
        if is_audio or (is_raw and not isinstance(source, LocalFile)):
            # The documented form bears no type: `format` stands beside it (Omni page, 2026-09).
            return to_data_url("", media)
    raise MediaFormatError(
        f"A sound is wanted, but this looks like {looks}.",
        where=where,
        value=looks,
        remedy="Give a sound as WAV, MP3, AAC, FLAC, OGG or AMR.",
    )


def _from_file(media_type: str, data: bytes) -> DataUrl:
    return to_data_url(media_type, MediaBytes(data))
