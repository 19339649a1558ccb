"""When frames of a list were taken, and what servers take them for.

Servers date the frames of a list by `fps` alone (Vision page, 2026-08).
"""

from collections.abc import Sequence

from qwen_vl.specs.models import MAX_FPS, MIN_FPS

_TOLERANCE_SECONDS = 0.05


def find_fps(timestamps: Sequence[float] | None) -> float | None:
    """Return the frames per second that timestamps amount to, in the range that servers take.

    Args:
        timestamps: Ascending seconds; `None` for none.

    Example:
        >>> find_fps([0.0, 1.0, 9.0, 10.0])
        0.3
    """
    if timestamps is None or len(timestamps) < 2:  # noqa: PLR2004 - one is at no rate.
        return None
    seconds = float(timestamps[-1]) - float(timestamps[0])
    return min(max(round((len(timestamps) - 1) / seconds, 4), MIN_FPS), MAX_FPS)


def are_even(timestamps: Sequence[float], fps: float) -> bool:
    """Return whether servers date frames as they were taken.

    Args:
        timestamps: Ascending seconds.
        fps: As it is sent.
    """
    return all(
        abs(float(time) - number / fps) <= _TOLERANCE_SECONDS
        for number, time in enumerate(timestamps)
    )


def to_taken(time: float, timestamps: Sequence[float], fps: float) -> float:
    """Return when the moment was that a server dates to a time.

    Args:
        time: Seconds, as the model counts them.
        timestamps: When each frame was taken.
        fps: As it was sent.

    Example:
        >>> to_taken(1.5, [0.0, 10.0, 20.0, 60.0], 1.0)
        15.0
    """
    position = time * fps
    before = min(int(position), len(timestamps) - 1)
    after = min(before + 1, len(timestamps) - 1)
    start, end = float(timestamps[before]), float(timestamps[after])
    return start + (end - start) * min(position - before, 1.0)
