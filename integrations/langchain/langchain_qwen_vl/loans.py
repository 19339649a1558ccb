"""Vectors that were computed beforehand, lent to a store that wants to embed texts.

A `VectorStore` takes texts, and asks its `Embeddings` for their vectors. Each text brings its
vector along here, so that it does not matter in which thread, batch or order the store asks.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from qwen_vl.errors import ConfigurationError

Vector = list[float]


class LentText(str):
    """A text with the vector that its embedding is to be.

    Args:
        text: What the store keeps.
        loan: Counts the vectors that were taken.
        vector: The vector.
    """

    __slots__ = ("_loan", "_vector")

    _loan: "Loan"
    _vector: Vector

    @classmethod
    def of(cls, text: str, loan: "Loan", vector: Vector) -> "LentText":
        """Attach a vector to a text."""
        lent = cls(text)
        lent._loan, lent._vector = loan, vector
        return lent

    def take(self) -> Vector | None:
        """Return the vector; `None` when the store has been served."""
        return self._vector if self._loan.count(self) else None

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)


class Loan:
    """Texts with their vectors, for one call of a store.

    Args:
        texts: What the store keeps of each item; may be empty.
        vectors: One for each.
    """

    def __init__(self, texts: Sequence[str], vectors: Sequence[Vector]) -> None:
        pairs = zip(texts, vectors, strict=True)
        self.texts = [LentText.of(text, self, vector) for text, vector in pairs]
        self._taken: set[int] = set()
        self._is_open = True

    @property
    def n_left(self) -> int:
        """Number of vectors that were not taken."""
        return len(self.texts) - len(self._taken)

    def count(self, text: LentText) -> bool:
        """Count a vector as taken; return whether it may be."""
        if self._is_open:
            self._taken.add(id(text))
        return self._is_open

    def check_plain(self, texts: Sequence[str]) -> None:
        """Check that a store does not ask for the vector of a copy.

        Args:
            texts: Those that it wants embedded as texts.

        Raises:
            ConfigurationError: One is a copy of a text that has a vector.
        """
        if not set(self.texts).isdisjoint(texts):
            raise ConfigurationError(
                "The store copies texts before it has them embedded, so that it would get the "
                "vectors of the captions instead of the media. Nothing was stored. If it has a "
                "method such as add_embeddings, pass it embeddings.embed_media(…)."
            )

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Serve the store that is called inside of the `with` block."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)
            # What a store in memory keeps is a plain text from now on.
            self._is_open = False


_current: ContextVar[Loan | None] = ContextVar("loan", default=None)


def take_lent(texts: Sequence[str]) -> list[Vector | None]:
    """Return the vectors that texts bring along.

    Args:
        texts: What a store wants embedded.

    Returns:
        One for each; `None` for a text to be embedded.

    Raises:
        ConfigurationError: A text is a copy of one that has a vector.
    """
    vectors = [text.take() if isinstance(text, LentText) else None for text in texts]
    loan = _current.get()
    if loan is not None:
        loan.check_plain([text for text, held in zip(texts, vectors, strict=True) if held is None])
    return vectors
