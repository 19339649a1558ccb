"""Reciprocal rank fusion, compared with its formula."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_vl.embedding.fusion import fuse_rankings
from qwen_vl.errors import ConfigurationError

RANKINGS = st.lists(st.lists(st.integers(0, 9), unique=True), max_size=4)


@given(RANKINGS, st.integers(0, 100))
def test_scores_are_sums_of_reciprocal_ranks(rankings: list[list[int]], k: int) -> None:
    fused = fuse_rankings(rankings, k=k)

    assert {key for key, _ in fused} == {key for ranking in rankings for key in ranking}
    for key, score in fused:
        ranks = [ranking.index(key) + 1 for ranking in rankings if key in ranking]
        assert math.isclose(score, sum(1 / (k + rank) for rank in ranks))
    assert [score for _, score in fused] == sorted((score for _, score in fused), reverse=True)


def test_weights_and_equal_scores() -> None:
    assert [key for key, _ in fuse_rankings([["a"], ["b"]])] == ["a", "b"]
    assert [key for key, _ in fuse_rankings([["a"], ["b"]], weights=[1, 2])] == ["b", "a"]
    assert dict(fuse_rankings([["a", "b"], ["c"]], weights=[0.5, 0])) == {
        "a": 0.5 / 61,
        "b": 0.5 / 62,
        "c": 0,
    }


def test_what_a_ranking_has_twice_counts_once() -> None:
    assert fuse_rankings([["a", "a", "b"]]) == fuse_rankings([["a", "b"]])


@pytest.mark.parametrize(
    ("weights", "k", "problem"),
    [
        ([1.0], 60, "1 weights for 2 rankings"),
        ([1.0, -1.0], 60, "must be 0 or more"),
        ([1.0, math.nan], 60, "must be 0 or more"),
        (None, -1, "must be 0 or more"),
    ],
)
def test_wrong_weights_raise(weights: list[float] | None, k: int, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        fuse_rankings([["a"], ["b"]], weights=weights, k=k)
