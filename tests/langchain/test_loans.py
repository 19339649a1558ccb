"""Vectors that are lent to a store with their texts."""

import copy
import pickle

import pytest

from langchain_qwen_vl.loans import LentText, Loan


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))]
)
def test_copy_of_a_text_is_a_plain_one(copied: object) -> None:
    (text,) = Loan(["a cat"], [[0.5, 0.25]]).texts
    again = copied(text)  # type: ignore[operator]
    assert (type(text), type(again), again) == (LentText, str, "a cat")
    assert text.take() == [0.5, 0.25]
