"""Vectors that mean something: texts and images that share colors and words lie close together.

A vector is the sum of fixed pseudo-random directions, one for each word of a text and for each
color of an image, by its area. The word "red" and a red area have the same direction. Layout counts
a little: the color of each ninth of an image has a separate direction.

Where the sandbox reads, the words in an image count as much as its colors, and words of a similar
meaning have similar directions.

unsure: whether the service's vectors have length 1. These do not, so that no client relies on it.
"""

import hashlib
import io
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache

from PIL import Image

from qwen_vl_sandbox.answers.word_vectors import find_meaning, is_installed
from qwen_vl_sandbox.media.colors import Color
from qwen_vl_sandbox.media.fetch import Content
from qwen_vl_sandbox.ocr.engine import read_lines

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


def read_image(content: Content, *, reads: bool) -> Features:
    """Measure the colors of an image, and where they are; and the words in it, where it reads."""
    features = dict(_read_colors(content.data))
    words = _read_text(content.data) if reads else {}
    # A word that stands there often counts more, but not as often.
    length = math.sqrt(sum(words.values()))
    for word, count in words.items():
        features[word] = features.get(word, 0.0) + math.sqrt(count) / length
    return features


def _read_text(data: bytes) -> Features:
    try:
        lines = read_lines(data)
    except OSError:
        # HEIC, of which only the header is read.
        return {}
    text = " ".join(line.text for line in lines)
    return read_words(text) if text.strip() else {}


def to_vector(features: Iterable[Features], dimension: int, *, reads: bool = False) -> list[float]:
    """Return the vector of a content, or of several that are fused."""
    total = [0.0] * dimension
    find_direction = _find_meant_direction if reads and is_installed() else _direction
    for one in features:
        for name, weight in one.items():
            for at, step in enumerate(find_direction(name, dimension)):
                total[at] += weight * step
    return total


@lru_cache(maxsize=4096)
def _find_meant_direction(name: str, dimension: int) -> tuple[float, ...]:
    """Return a direction that is half a word's own, and half that of its meaning."""
    own, meaning = _direction(name, dimension), find_meaning(name, dimension)
    if meaning is None:
        return own
    # The word's own direction has the length 2.
    return tuple((a + 2 * b) / math.sqrt(2) for a, b in zip(own, meaning, strict=True))


@lru_cache(maxsize=512)
def _direction(name: str, dimension: int) -> tuple[float, ...]:
    bits = int.from_bytes(hashlib.shake_128(name.encode()).digest((dimension + 7) // 8))
    size = 2 / dimension**0.5
    return tuple(size if bits >> at & 1 else -size for at in range(dimension))
