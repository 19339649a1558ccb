"""Scores of a ranking against what should be found, by the definitions of trec_eval."""

import math
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from qwen_vl.errors import ConfigurationError

DEFAULT_KS = (1, 5, 10)

Wanted = Collection[str] | Mapping[str, float]
"""Ids that answer a question; with a mapping, how well each does: 1 for relevant, 2 for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionScores:
    """The scores of one question.

    Args:
        question: The question.
        found: Ids that the search returned, best first.
        recall: Fraction of the wanted ids among the first k, for each k.
        ndcg: Normalized discounted cumulative gain of the first k, for each k.
        reciprocal_rank: 1 divided by the rank of the first wanted id; 0 where none was found.
    """

    question: str
    found: tuple[str, ...]
    recall: Mapping[int, float]
    ndcg: Mapping[int, float]
    reciprocal_rank: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalScores:
    """The means over all questions; as text, a table.

    Args:
        questions: The scores of each question.
        ks: The cut-offs, in order.
    """

    questions: tuple[QuestionScores, ...] = field(repr=False)
    ks: tuple[int, ...]

    @property
    def recall(self) -> dict[int, float]:
        """Return the mean fraction of the wanted ids among the first k, for each k."""
        return {k: self._mean(scores.recall[k] for scores in self.questions) for k in self.ks}

    @property
    def ndcg(self) -> dict[int, float]:
        """Return the mean normalized discounted cumulative gain of the first k, for each k."""
        return {k: self._mean(scores.ndcg[k] for scores in self.questions) for k in self.ks}

    @property
    def mrr(self) -> float:
        """Return the mean reciprocal rank."""
        return self._mean(scores.reciprocal_rank for scores in self.questions)

    def find_missed(self, k: int | None = None) -> tuple[QuestionScores, ...]:
        """Return the questions of which nothing that was wanted is among the first k.

        Args:
            k: One of `ks`; the largest if `None`.
        """
        k = self.ks[-1] if k is None else k
        return tuple(scores for scores in self.questions if not scores.recall[k])

    def __str__(self) -> str:
        return _to_table([self._to_cells()])

    def _to_cells(self) -> dict[str, str]:
        cells = {"questions": str(len(self.questions))}
        cells |= {f"recall@{k}": f"{value:.3f}" for k, value in self.recall.items()}
        cells |= {f"nDCG@{k}": f"{value:.3f}" for k, value in self.ndcg.items()}
        return {**cells, "MRR": f"{self.mrr:.3f}"}

    def _mean(self, values: Iterator[float]) -> float:
        return math.fsum(values) / len(self.questions)


def compare(scores: Mapping[str, RetrievalScores]) -> str:
    """Return a table of the scores of several searches, one in each row.

    Args:
        scores: From `evaluate`, by the names of the searches.

    Raises:
        ConfigurationError: They have different cut-offs.

    Example:
        >>> questions = {"Where?": {"b"}}
        >>> by_words = evaluate(lambda question: ["a", "b"], questions, ks=(1,))
        >>> by_vector = evaluate(lambda question: ["b"], questions, ks=(1,))
        >>> print(compare({"words": by_words, "vectors": by_vector}))
                 questions  recall@1  nDCG@1    MRR
        words            1     0.000   0.000  0.500
        vectors          1     1.000   1.000  1.000
    """
    if len({each.ks for each in scores.values()}) > 1:
        cutoffs = {name: list(each.ks) for name, each in scores.items()}
        raise ConfigurationError(f"The searches have different cut-offs: {cutoffs}. Use the same.")
    return _to_table(
        [{"": name, **each._to_cells()} for name, each in scores.items()]  # noqa: SLF001 - of here
    )


def evaluate(
    search: Callable[[str], Sequence[str]],
    questions: Mapping[str, Wanted],
    *,
    ks: Sequence[int] = DEFAULT_KS,
) -> RetrievalScores:
    """Search for each question, and score what is found.

    Args:
        search: Returns the ids that it finds for a question, best first. Return at least as many
            as the largest of `ks`, if there are that many. An id that appears twice counts once.
        questions: The ids that are wanted, by question.
        ks: The cut-offs of recall and nDCG.

    Raises:
        ConfigurationError: `questions` is empty, one lacks wanted ids, or a cut-off is below 1.

    Example:
        >>> scores = evaluate(lambda question: ["a", "b"], {"Where?": {"b"}}, ks=(1, 2))
        >>> scores.recall, scores.mrr
        ({1: 0.0, 2: 1.0}, 0.5)
    """
    cutoffs = _check(questions, ks)
    scored = [
        _score(question, search(question), wanted, cutoffs)
        for question, wanted in questions.items()
    ]
    return RetrievalScores(questions=tuple(scored), ks=cutoffs)


async def aevaluate(
    search: Callable[[str], Awaitable[Sequence[str]]],
    questions: Mapping[str, Wanted],
    *,
    ks: Sequence[int] = DEFAULT_KS,
) -> RetrievalScores:
    """Search for each question with an asynchronous search; see `evaluate`.

    Args:
        search: As of `evaluate`.
        questions: As of `evaluate`.
        ks: As of `evaluate`.
    """
    cutoffs = _check(questions, ks)
    scored = [
        _score(question, await search(question), wanted, cutoffs)
        for question, wanted in questions.items()
    ]
    return RetrievalScores(questions=tuple(scored), ks=cutoffs)


def _check(questions: Mapping[str, Wanted], ks: Sequence[int]) -> tuple[int, ...]:
    if not questions:
        raise ConfigurationError("questions is empty. Pass at least one.")
    cutoffs = tuple(sorted(set(ks)))
    if not cutoffs or cutoffs[0] < 1:
        raise ConfigurationError(f"ks is {ks!r}; it must hold whole numbers above 0.")
    for question, wanted in questions.items():
        if isinstance(wanted, str):
            raise ConfigurationError(
                f"The question {question!r} has a text in place of ids. Pass {{{wanted!r}}}."
            )
        if not any(gain > 0 for gain in _to_gains(wanted).values()):
            raise ConfigurationError(
                f"The question {question!r} lacks wanted ids, so no search can find them. "
                "Leave it out."
            )
    return cutoffs


def _score(
    question: str, found: Sequence[str], wanted: Wanted, ks: tuple[int, ...]
) -> QuestionScores:
    ranking = tuple(dict.fromkeys(found))
    gains = {id_: gain for id_, gain in _to_gains(wanted).items() if gain > 0}
    best = sorted(gains.values(), reverse=True)
    reached = [gains.get(id_, 0.0) for id_ in ranking]
    first = next((rank for rank, gain in enumerate(reached, 1) if gain), None)
    return QuestionScores(
        question=question,
        found=ranking,
        recall={k: sum(gain > 0 for gain in reached[:k]) / len(gains) for k in ks},
        ndcg={k: _discount(reached[:k]) / _discount(best[:k]) for k in ks},
        reciprocal_rank=0.0 if first is None else 1 / first,
    )


def _discount(gains: Sequence[float]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _to_gains(wanted: Wanted) -> dict[str, float]:
    if isinstance(wanted, Mapping):
        return dict(wanted)
    return dict.fromkeys(wanted, 1.0)


def _to_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Return rows under their names, the first column aligned to the left if it has no name."""
    if not rows:
        return ""
    names = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in names}
    lines = [dict(zip(names, names, strict=True)), *rows]
    return "\n".join(
        "  ".join(
            line[name].rjust(widths[name]) if name else line[name].ljust(widths[name])
            for name in names
        )
        for line in lines
    )
