"""What audio really is: opened, measured, checked against the limits of the Omni page (2026-09)."""

import io
from dataclasses import dataclass
from functools import lru_cache

import av
import av.error

from qwen_vl_sandbox.errors.api_error import ALGO, reject
from qwen_vl_sandbox.media.fetch import Content, FileContent
from qwen_vl_sandbox.specs.models import AudioSpec

# unsure: no page prints these messages.
BAD_AUDIO = ALGO + "Invalid audio file."
LONG_AUDIO = ALGO + "The audio file is too long."
WRONG_FORMAT = ALGO + "The audio format does not match the audio file."

# What FFmpeg calls the formats that the page lists and the other usual ones, and by which names the
# request may call them.
_FORMATS = {
    "wav": {"wav"},
    "mp3": {"mp3", "mpeg"},
    "aac": {"aac"},
    "amr": {"amr"},
    "amrnb": {"amr"},
    "amrwb": {"amr"},
    "flac": {"flac"},
    "ogg": {"ogg", "opus", "oga"},
    "mov,mp4,m4a,3gp,3g2,mj2": {"m4a", "mp4", "mov", "3gp", "3gpp"},
    "matroska,webm": {"webm", "mkv"},
    "avi": {"avi"},
    "flv": {"flv"},
    "asf": {"wmv", "wma", "asf"},
}


@dataclass(frozen=True, slots=True)
class HeardAudio:
    """Audio that has been opened."""

    names: frozenset[str]
    """What its format may be called."""
    seconds: float

    @property
    def format(self) -> str:
        """The usual name of its format."""
        return min(self.names, key=lambda name: (len(name), name)).upper()


def hear_audio(
    content: Content | FileContent, stated: str, spec: AudioSpec, *, strict: bool
) -> HeardAudio:
    """Open audio and check it against the limits.

    Args:
        content: The file.
        stated: Its format, as the request has it; empty where the protocol lacks it.
        spec: What the model takes.
        strict: As for `Sandbox`.

    Raises:
        ApiError: It is not audio, is called something else, or is too long for the model.
    """
    heard = listen(content)
    # unsure: whether the service minds.
    if strict and stated and stated.lower() not in heard.names:
        reject(f"{WRONG_FORMAT} [{stated!r} was stated, and it is {min(heard.names)!r}]")
    if heard.seconds > spec.max_seconds:
        reject(LONG_AUDIO)
    return heard


@lru_cache(maxsize=16)
def listen(content: Content | FileContent) -> HeardAudio:
    """Open audio and decode its first frame.

    Raises:
        ApiError: It is not audio.
    """
    source = str(content.path) if isinstance(content, FileContent) else io.BytesIO(content.data)
    try:
        with av.open(source, mode="r") as container:
            names = _FORMATS.get(container.format.name)
            stream = container.streams.audio[0]
            next(container.decode(stream))
            seconds = (container.duration or 0) / av.time_base
    except (av.error.FFmpegError, ValueError, StopIteration, IndexError):
        reject(BAD_AUDIO)
    if names is None:
        reject(BAD_AUDIO)
    return HeardAudio(frozenset(names), seconds)
