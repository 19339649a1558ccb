"""Audio that tests send: tones, written here."""

import io
import math
import wave
from functools import cache

import av
import numpy as np

RATE = 8_000


@cache
def make_wav(seconds: float = 1.0) -> bytes:
    """Write a tone as WAV: 8,000 samples of 16 bits a second, one channel."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(_tone(seconds).tobytes())
    return buffer.getvalue()


@cache
def encode_audio(container: str, codec: str, seconds: float = 1.0, rate: int = RATE) -> bytes:
    """Write a tone with FFmpeg.

    Args:
        container: FFmpeg's name of the format: `"mp3"`, `"adts"`, `"ogg"`, …
        codec: FFmpeg's name of the encoder.
        seconds: How long it is.
        rate: Samples a second.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate)
        frame = av.AudioFrame.from_ndarray(
            _tone(seconds, rate).reshape(1, -1), format="s16", layout="mono"
        )
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout="mono",
            rate=rate,
            frame_size=stream.codec_context.frame_size or None,
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def _tone(seconds: float, rate: int = RATE) -> "np.ndarray[tuple[int], np.dtype[np.int16]]":
    times = np.arange(int(seconds * rate)) / rate
    return (np.sin(times * 2 * math.pi * 440) * 8_000).astype(np.int16)
