"""Audio: from any source to one that can be sent, its format and its length."""

import io
from dataclasses import replace
from typing import Never

from qwen_vl.content import (
    Audio,
    DataUrl,
    LocalFile,
    OpenFile,
    Pixels,
    Url,
    is_remote,
)
from qwen_vl.errors import ContentError, MediaFormatError, MediaTooLargeError
from qwen_vl.media.data_url import MediaBytes, excerpt, read_data_url, to_data_url
from qwen_vl.media.load import check_remote, is_seekable, load
from qwen_vl.media.sniff import UNKNOWN, describe, sniff
from qwen_vl.media.video.container import CONTAINERS, has_av
from qwen_vl.media.video.sample_tables import check_sample_tables
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.specs.audio import (
    MAX_AUDIO_BASE64_CHARS,
    AudioSpec,
    find_named_format,
    name_audio_format,
)
from qwen_vl.specs.servers import DEFAULT_SERVER

_HEADERLESS = frozenset({"pcm", "pcm16", "raw"})
_AUDIO_CONTAINERS = {
    "audio/aac": "aac",
    "audio/amr": "amr",
    "audio/flac": "flac",
    "audio/mp4": "mov",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    **CONTAINERS,
}
_REMEDY = "Pass audio as WAV, MP3, AAC, AMR, 3GP, FLAC or OGG."
_MICROSECONDS = 1e6
_WAV_HEADER_BYTES = 12
_CHUNK_HEADER_BYTES = 8


def prepare_audio(part: Audio, request: Request) -> Audio:
    """Prepare audio, and find its format.

    Bytes that begin like no audio are refused: they may be anything, such as a key file. Bytes in
    memory that the program itself calls `"pcm"` are the exception: PCM lacks a header. A
    file is never sent on the strength of its name or stated format only.

    Args:
        part: Any audio.
        request: What holds for it: model, policy and server.

    Returns:
        The same audio with a source that can be sent. Its format is empty where neither the bytes
        nor what is stated nor the URL shows it.

    Raises:
        MediaError: It cannot be sent.

    Example:
        >>> from qwen_vl.content import Inline
        >>> song = Audio(source=Inline(b"ID3" + bytes(99)), format="wav")
        >>> ready = prepare_audio(song, Request(model="qwen3.8-omni-flash", turns=()))
        >>> ready.format, ready.source.url[:20]
        ('mp3', 'data:;base64,SUQzAAA')
    """
    source, where = part.source, part.where
    stated = name_audio_format(part.format)
    if isinstance(source, DataUrl):
        return part
    if isinstance(source, Url) and is_remote(source.url):
        check_remote(source.url, where)
        named = stated or find_named_format(source.url)
        if not named and request.server == DEFAULT_SERVER and request.protocol == "openai":
            _refuse_nameless(source.url, where)
        return part if named == part.format else replace(part, format=named)
    if isinstance(source, Pixels):
        _refuse("a decoded image", where)
    media = load(source, request.policy, where)
    media_type = find_audio_type(media)
    # unsure: no page lists a format without a header.
    is_raw = stated in _HEADERLESS and describe(media.data) == UNKNOWN
    if media_type is None and not (is_raw and not isinstance(source, LocalFile)):
        _refuse(describe(media.data), where)
    # The documented form bears no type: `format` stands beside it (Omni page, 2026-09).
    shown = ""
    if request.server != DEFAULT_SERVER:
        shown = media_type or f"audio/{stated}"
    elif request.spec.audio is not None:
        _check_limits(media, media_type, request.spec.audio, where)
    named = name_audio_format(media_type) if media_type else stated
    return replace(part, source=to_data_url(shown, media), format=named)


def find_audio_type(media: MediaBytes) -> str | None:
    """Return the media type of bytes that may hold audio; `None` for anything else.

    Args:
        media: The file. Audio may be in a video's container.
    """
    # Some encoders begin an MP3 file with zeros.
    found = media.media_type or sniff(media.data) or sniff(media.data.lstrip(b"\0"))
    return found if found is not None and found.startswith(("audio/", "video/")) else None


def measure_audio(part: Audio, policy: MediaPolicy) -> float | None:
    """Return how many seconds audio lasts; `None` where that cannot be read.

    Args:
        part: Any audio. URLs are not fetched.
        policy: Which files may be read.

    Raises:
        MediaError: The file cannot be read, or is not audio.
    """
    source = part.source
    if isinstance(source, DataUrl):
        media = MediaBytes(read_data_url(source), source.base64)
    elif isinstance(source, Pixels) or (isinstance(source, Url) and is_remote(source.url)):
        return None
    elif isinstance(source, OpenFile) and not is_seekable(source.file):
        # Reading would use it up.
        return None
    else:
        media = load(source, policy, part.where)
    return measure_seconds(media.data, find_audio_type(media))


def measure_seconds(data: bytes, media_type: str | None) -> float | None:
    """Return how many seconds an audio file lasts; `None` where that cannot be read.

    WAV shows it by its header. Other formats are read with PyAV, if it is installed.

    Args:
        data: The file.
        media_type: As sniffed.
    """
    if media_type == "audio/wav":
        return _measure_wav(data)
    container = _AUDIO_CONTAINERS.get(media_type or "")
    if container is None or not has_av():
        return None
    return _measure_with_av(data, container)


def _measure_wav(data: bytes) -> float | None:
    rate, at = 0, _WAV_HEADER_BYTES
    while at + _CHUNK_HEADER_BYTES <= len(data):
        name, start = data[at : at + 4], at + _CHUNK_HEADER_BYTES
        n_bytes = int.from_bytes(data[at + 4 : start], "little")
        if name == b"fmt ":
            # Behind its format, channels and sample rate: bytes a second.
            rate = int.from_bytes(data[start + 8 : start + 12], "little")
        elif name == b"data":
            # What was written to a pipe states no length, or the largest one.
            n_bytes = min(n_bytes or len(data), len(data) - start)
            return n_bytes / rate if rate else None
        at = start + n_bytes + n_bytes % 2
    return None


def _measure_with_av(data: bytes, container: str) -> float | None:
    import av  # noqa: PLC0415 - an extra, and slow to import
    import av.error  # noqa: PLC0415 - as av itself

    try:
        if container == "mov":
            check_sample_tables(io.BytesIO(data), "")
        with av.open(io.BytesIO(data), "r", format=container, metadata_errors="replace") as opened:
            if not opened.streams.audio or not opened.duration:
                return None
            return float(opened.duration) / _MICROSECONDS
    except (av.error.FFmpegError, ContentError, ValueError, IndexError):
        # What is damaged is the service's to judge.
        return None


def _check_limits(media: MediaBytes, media_type: str | None, spec: AudioSpec, where: str) -> None:
    n_chars = -(-len(media.data) // 3) * 4
    if n_chars >= MAX_AUDIO_BASE64_CHARS:
        limit = (MAX_AUDIO_BASE64_CHARS - 1) // 4 * 3
        raise MediaTooLargeError(
            f"The audio has {len(media.data):,} bytes; within a request, at most {limit:,} are "
            "taken.",
            where=where,
            value=len(media.data),
            limit=limit,
            remedy="Compress it to MP3, or give its https:// URL.",
        )
    seconds = measure_seconds(media.data, media_type)
    if seconds is not None and seconds > spec.max_seconds:
        raise MediaTooLargeError(
            f"The audio lasts {seconds:,.0f} s; the model takes at most {spec.max_seconds:,.0f} s.",
            where=where,
            value=seconds,
            limit=spec.max_seconds,
            remedy="Cut it into pieces, or choose qwen3.8-omni-flash, which takes 3 hours.",
        )


def _refuse_nameless(url: str, where: str) -> Never:
    # unsure: the page shows one request without a format (Omni page, 2026-09).
    raise MediaFormatError(
        f"The format of the audio at {excerpt(url)} is not known: its name does not show it.",
        where=where,
        value=excerpt(url),
        remedy='State it: "format": "mp3", or its media type.',
    )


def _refuse(looks: str, where: str) -> Never:
    raise MediaFormatError(
        f"Expected audio, but this looks like {looks}.", where=where, value=looks, remedy=_REMEDY
    )
