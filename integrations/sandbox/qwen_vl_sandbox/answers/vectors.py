"""Vectors that mean something: texts and images that share colors and words lie close together.

A vector is the sum of fixed pseudo-random directions, one for each word of a text and for each
color of an image, by its area. The word "red" and a red area have the same direction. Layout counts
a little: the color of each ninth of an image has a separate direction.

unsure: whether the service's vectors have length 1. These do not, so that no client relies on it.
"""

import hashlib
import io
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

from PIL import Image

from qwen_vl_sandbox.media.colors import Color
from qwen_vl_sandbox.media.fetch import Content

Features = Mapping[str, float]
_WORD = re.compile(r"[a-z0-9]+|[^\W\d_]")
_CELLS = 3
_LAYOUT_WEIGHT = 0.25
_TRIFLES = frozenset({"a", "an", "and", "in", "is", "of", "on", "the", "with"})


def read_words(text: str) -> Features:
    """Count the words of a text.

    Example:
        >>> sorted(read_words("A red square"))
        ['red', 'square']
    """
    found = _WORD.findall(text.lower())
    return Counter([word for word in found if word not in _TRIFLES] or found or [text])


@lru_cache(maxsize=64)
def _read_colors(data: bytes) -> tuple[tuple[str, float], ...]:
    with Image.open(io.BytesIO(data)) as opened:
        small = opened.convert("RGB").resize((_CELLS, _CELLS), Image.Resampling.BOX)
    features: dict[str, float] = defaultdict(float)
    raw = small.tobytes()
    n_cells = _CELLS * _CELLS
    for cell in range(n_cells):
        name = Color(*raw[3 * cell : 3 * cell + 3]).name
        for word in name.split():
            features[word] += 1 / n_cells
        features[f"{name} at {cell}"] += _LAYOUT_WEIGHT / n_cells
    return tuple(features.items())


def read_colors(content: Content) -> Features:
    """Measure the colors of an image, and where they are."""
    return dict(_read_colors(content.data))


def to_vector(features: Iterable[Features], dimension: int) -> list[float]:
    """Return the vector of a content, or of several that are fused."""
    total = [0.0] * dimension
    for one in features:
        for name, weight in one.items():
            for at, sign in enumerate(_direction(name, dimension)):
                total[at] += weight * sign
    return total


@lru_cache(maxsize=512)
def _direction(name: str, dimension: int) -> tuple[float, ...]:
    bits = int.from_bytes(hashlib.shake_128(name.encode()).digest((dimension + 7) // 8))
    size = 2 / dimension**0.5
    return tuple(size if bits >> at & 1 else -size for at in range(dimension))
