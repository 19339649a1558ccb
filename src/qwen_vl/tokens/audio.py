"""What audio costs: so many tokens a second (Omni page, 2026-09)."""

import math
from dataclasses import dataclass

from qwen_vl.content import Audio
from qwen_vl.media.audio import measure_audio
from qwen_vl.request.types import Request
from qwen_vl.specs.audio import TURBO_AUDIO, AudioSpec

_SHORTEST_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioCount:
    """What one audio file costs.

    Args:
        tokens: Tokens.
        seconds: Its length; `None` if assumed.
        min_tokens: The fewest that it may cost.
        max_tokens: The most that it may cost.
    """

    tokens: int
    seconds: float | None
    min_tokens: int
    max_tokens: int


def count_audio_tokens(seconds: float, spec: AudioSpec) -> int:
    """Count the tokens of audio of a length.

    Args:
        seconds: Its length; less than a second counts as one.
        spec: What the model takes.

    Example:
        >>> from qwen_vl.specs.audio import LONG_AUDIO
        >>> count_audio_tokens(60, LONG_AUDIO), count_audio_tokens(0.2, LONG_AUDIO)
        (420, 7)
    """
    # unsure: the page does not say how it rounds.
    return math.ceil(max(seconds, _SHORTEST_SECONDS) * spec.tokens_per_second)


def count_audio(part: Audio, request: Request, assumed_seconds: float) -> AudioCount:
    """Count one audio file.

    Args:
        part: Any audio.
        request: What holds for it: model, policy and server.
        assumed_seconds: Length of what cannot be measured: given by URL, or in a format other than
            WAV where PyAV is not installed.

    Raises:
        MediaError: The file cannot be read, or is not audio.
    """
    # unsure: what a model costs that no page names; this is the highest rate of those that are.
    spec = request.spec.audio or TURBO_AUDIO
    seconds = measure_audio(part, request.policy)
    if seconds is None:
        return AudioCount(
            tokens=count_audio_tokens(assumed_seconds, spec),
            seconds=None,
            min_tokens=count_audio_tokens(0, spec),
            max_tokens=count_audio_tokens(spec.max_seconds, spec),
        )
    tokens = count_audio_tokens(seconds, spec)
    return AudioCount(tokens=tokens, seconds=seconds, min_tokens=tokens, max_tokens=tokens)
