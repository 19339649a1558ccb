"""Words of texts as sparse vectors, for keyword search by BM25 in a store that weighs rare words.

The store multiplies by how rare a word is (IDF); here is the rest of BM25.
"""

import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

# Of Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009).
_K1, _B = 1.2, 0.75
# A page of print. The mean of a collection changes with each page that comes; this does not.
_AVERAGE_WORDS = 300

_WORD = re.compile(r"[^\W_]+")
# Chinese and Japanese are written without spaces: each two neighbors are a word.
_WITHOUT_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+")


@dataclass(frozen=True, slots=True)
class SparseVector:
    """A vector that is 0 at most places.

    Args:
        indices: Places of the other numbers, in order.
        values: These numbers.
    """

    indices: tuple[int, ...]
    values: tuple[float, ...]


def find_words(text: str) -> Iterator[str]:
    """Find the words of a text, in lower case and without accents.

    Args:
        text: Any.

    Example:
        >>> list(find_words("Café No. 12: 猫咪店"))
        ['cafe', 'no', '12', '猫咪', '咪店']
    """
    plain = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    for match in _WORD.finditer(unicodedata.normalize("NFC", plain)):
        word, at = match.group(), 0
        for run in _WITHOUT_SPACES.finditer(word):
            if run.start() > at:
                yield word[at : run.start()]
            letters, at = run.group(), run.end()
            yield from ([letters] if len(letters) == 1 else map("".join, pairwise(letters)))
        if at < len(word):
            yield word[at:]


def weigh_document(text: str) -> SparseVector:
    """Return the words of a document, each weighted by how often it stands there.

    Args:
        text: Any.

    Example:
        >>> vector = weigh_document("rain, rain and sun")
        >>> len(vector.indices), max(vector.values) < 2 * min(vector.values)
        (3, True)
    """
    counts = Counter(map(_place, find_words(text)))
    length = _K1 * (1 - _B + _B * counts.total() / _AVERAGE_WORDS)
    weights = {place: n * (_K1 + 1) / (n + length) for place, n in sorted(counts.items())}
    return SparseVector(tuple(weights), tuple(weights.values()))


def weigh_query(text: str) -> SparseVector:
    """Return the words of a query, each with the weight 1.

    Args:
        text: Any.
    """
    places = sorted(set(map(_place, find_words(text))))
    return SparseVector(tuple(places), (1.0,) * len(places))


def _place(word: str) -> int:
    # The same in each process and version.
    return zlib.crc32(word.encode(errors="surrogatepass"))
