"""What models take of audio, and the names of audio formats (Omni page, 2026-09)."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

MAX_AUDIO_BASE64_CHARS = 10 * 2**20
"""The Base64 of one audio file must be shorter than this, for every model (Omni page, 2026-09)."""

_HOUR = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSpec:
    """What one model takes of audio.

    Args:
        tokens_per_second: Tokens of a second of it; less than a second counts as one.
        max_seconds: Length of the longest file.
        max_urls: Most files of one request that are given by URL.
        max_inline: Most files of one request that are sent within it.
    """

    tokens_per_second: float
    max_seconds: float
    max_urls: int = 1
    max_inline: int = 1


LONG_AUDIO = AudioSpec(tokens_per_second=7, max_seconds=3 * _HOUR, max_urls=2_048, max_inline=250)
"""That of Qwen3.8-Omni-Flash and Qwen3.5-Omni."""

QWEN3_AUDIO = AudioSpec(tokens_per_second=12.5, max_seconds=_HOUR / 3)
"""That of Qwen3-Omni-Flash."""

TURBO_AUDIO = AudioSpec(tokens_per_second=25, max_seconds=_HOUR / 20)
"""That of Qwen-Omni-Turbo. unsure: and of the open Qwen2.5-Omni, which it was made of."""

# The page lists AMR, WAV, 3GP, 3GPP, AAC and MP3 "and other mainstream formats".
_FORMATS = {
    "aacp": "aac",
    "adts": "aac",
    "amr-wb": "amr",
    "m4a": "m4a",
    "matroska": "mkv",
    "mp4": "m4a",
    "mpeg": "mp3",
    "mpeg3": "mp3",
    "oga": "ogg",
    "quicktime": "mov",
    "vnd.wave": "wav",
    "wave": "wav",
    "3gpp": "3gp",
    "3gpp2": "3gp",
}
_VIDEO_FORMATS = {"video/mp4": "mp4", "video/mpeg": "mpeg"}

_NAMES = ("3gp", "3gpp", "aac", "amr", "flac", "m4a", "mp3", "oga", "ogg", "opus", "wav")

AUDIO_SUFFIXES = frozenset(f".{name}" for name in _NAMES)
"""Endings of file names that stand for audio."""

_NAMED_FORMATS = {suffix: suffix[1:] for suffix in AUDIO_SUFFIXES} | {".mp4": "mp4"}


def name_audio_format(stated: str) -> str:
    """Return a format as the service names it.

    Args:
        stated: A media type, its second half, or the ending of a file name.

    Example:
        >>> [name_audio_format(each) for each in ("audio/mpeg", "x-wav", ".MP3", "audio/mp4")]
        ['mp3', 'wav', 'mp3', 'm4a']
    """
    whole = stated.partition(";")[0].strip().lower()
    if whole in _VIDEO_FORMATS:
        return _VIDEO_FORMATS[whole]
    short = whole.rpartition("/")[2].lstrip(".").removeprefix("x-")
    return _FORMATS.get(short, short)


def find_named_format(url: str) -> str:
    """Return the format that the name of a file shows; empty if it shows none.

    Args:
        url: A URL or a path.

    Example:
        >>> find_named_format("https://example.com/song.mp3?x=1"), find_named_format("a/b")
        ('mp3', '')
    """
    suffix = PurePosixPath(urlsplit(url).path).suffix.lower()
    return name_audio_format(_NAMED_FORMATS[suffix]) if suffix in _NAMED_FORMATS else ""
