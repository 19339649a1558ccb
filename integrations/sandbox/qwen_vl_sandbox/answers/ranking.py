"""Relevance: how near the vectors of two contents are."""

import math
from collections.abc import Sequence

from qwen_vl_sandbox.answers.vectors import Features

Ranked = list[tuple[int, float]]


def rank(query: Sequence[Features], documents: Sequence[Sequence[Features]]) -> Ranked:
    """Return the index and score of each document, from 0 to 1, the best first.

    The score is the cosine of what the query and the document have in common.
    """
    wanted = _add(query)
    scores = [(at, round(_cosine(wanted, _add(one)), 6)) for at, one in enumerate(documents)]
    return sorted(scores, key=lambda item: -item[1])


def _add(features: Sequence[Features]) -> dict[str, float]:
    total: dict[str, float] = {}
    for one in features:
        for name, weight in one.items():
            total[name] = total.get(name, 0.0) + weight
    return total


def _cosine(one: dict[str, float], other: dict[str, float]) -> float:
    lengths = math.hypot(*one.values()) * math.hypot(*other.values())
    product = sum(weight * other.get(name, 0.0) for name, weight in one.items())
    return product / lengths if lengths else 0.0
