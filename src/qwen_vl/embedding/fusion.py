"""Several rankings merged into one, by rank: their scores need not be comparable."""

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

from qwen_vl.errors import ConfigurationError

_Key = TypeVar("_Key", bound=Hashable)

RRF_K = 60
"""The constant of the paper on reciprocal rank fusion (Cormack, Clarke and Büttcher, 2009)."""


def fuse_rankings(
    rankings: Sequence[Iterable[_Key]],
    *,
    weights: Sequence[float] | None = None,
    k: int = RRF_K,
) -> list[tuple[_Key, float]]:
    """Merge rankings by reciprocal rank fusion.

    What a ranking has at rank r, from 1 on, gets its weight divided by k + r; the sum over all
    rankings is its score. Of equal scores, what an earlier ranking has, and has earlier, is first.

    Args:
        rankings: Each has what was found, the best first. What it has twice counts once, where it
            is best.
        weights: Weight of each ranking; 1 for all if `None`.
        k: The larger, the less the first ranks stand out.

    Returns:
        All that was found, with its score, the best first.

    Raises:
        ConfigurationError: There is not one weight of 0 or more for each ranking, or k is below 0.

    Example:
        >>> [key for key, score in fuse_rankings([["a", "b", "c"], ["c", "b"]])]
        ['c', 'b', 'a']
    """
    weights = [1.0] * len(rankings) if weights is None else list(weights)
    if len(weights) != len(rankings):
        raise ConfigurationError(
            f"There are {len(weights)} weights for {len(rankings)} rankings. Pass one for each."
        )
    if k < 0 or not all(weight >= 0 for weight in weights):
        raise ConfigurationError(f"Weights {weights} and k={k} must be 0 or more.")
    scores: dict[_Key, float] = {}
    for weight, ranking in zip(weights, rankings, strict=True):
        for rank, key in enumerate(dict.fromkeys(ranking), 1):
            scores[key] = scores.get(key, 0.0) + weight / (k + rank)
    return sorted(scores.items(), key=lambda entry: -entry[1])
