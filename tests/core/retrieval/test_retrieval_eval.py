"""Scores of rankings, compared with those of trec_eval."""

import random
from collections.abc import Sequence

import pytest
import pytrec_eval

from qwen_vl.errors import ConfigurationError
from qwen_vl.retrieval_eval import aevaluate, compare, evaluate

PAGES = [f"report.pdf#{page}" for page in range(1, 31)]


@pytest.mark.parametrize("seed", range(20))
def test_scores_are_those_of_trec_eval(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same each time
    questions = {
        f"question {number}": {
            page: chance.choice([1, 1, 1, 2, 3])
            for page in chance.sample(PAGES, chance.choice([1, 1, 2, 6]))
        }
        for number in range(12)
    }
    found = {question: chance.sample(PAGES, chance.choice([0, 1, 3, 20])) for question in questions}

    scores = evaluate(found.__getitem__, questions, ks=(1, 3, 10))

    measures = {"recall.1,3,10", "ndcg_cut.1,3,10", "recip_rank"}
    runs = {
        question: {page: float(-rank) for rank, page in enumerate(pages)} or {"none": 1.0}
        for question, pages in found.items()
    }
    expected = pytrec_eval.RelevanceEvaluator(questions, measures).evaluate(runs)
    for one in scores.questions:
        theirs = expected[one.question]
        assert one.reciprocal_rank == pytest.approx(theirs["recip_rank"])
        for k in (1, 3, 10):
            assert one.recall[k] == pytest.approx(theirs[f"recall_{k}"])
            assert one.ndcg[k] == pytest.approx(theirs[f"ndcg_cut_{k}"])
    n = len(questions)
    assert scores.mrr == pytest.approx(sum(one["recip_rank"] for one in expected.values()) / n)
    assert scores.ndcg[10] == pytest.approx(sum(o["ndcg_cut_10"] for o in expected.values()) / n)
    assert scores.recall[3] == pytest.approx(sum(o["recall_3"] for o in expected.values()) / n)


def test_page_that_is_found_twice_counts_once() -> None:
    scores = evaluate(lambda _: ["a", "a", "b"], {"Where?": {"b"}}, ks=(2,))

    assert scores.questions[0].found == ("a", "b")
    assert scores.recall == {2: 1.0}
    assert scores.mrr == 0.5


def test_missed_questions_are_listed() -> None:
    found = {"One?": ["a", "b"], "Two?": ["c"]}

    scores = evaluate(found.__getitem__, {"One?": {"b"}, "Two?": {"z"}}, ks=(1, 2))

    assert [one.question for one in scores.find_missed()] == ["Two?"]
    assert [one.question for one in scores.find_missed(1)] == ["One?", "Two?"]


def test_scores_are_a_table() -> None:
    assert str(evaluate(lambda _: ["a"], {"One?": {"a"}, "Two?": {"b"}}, ks=(10, 1))).split(
        "\n"
    ) == [
        "questions  recall@1  recall@10  nDCG@1  nDCG@10    MRR",
        "        2     0.500      0.500   0.500    0.500  0.500",
    ]


async def test_asynchronous_search() -> None:
    async def search(question: str) -> Sequence[str]:
        return [question]

    assert (await aevaluate(search, {"a": {"a"}, "b": {"c"}}, ks=(1,))).mrr == 0.5


@pytest.mark.parametrize(
    ("questions", "ks", "message"),
    [
        ({}, (1,), "questions is empty"),
        ({"One?": set()}, (1,), "'One.' lacks wanted ids"),
        ({"One?": {"a": 0}}, (1,), "'One.' lacks wanted ids"),
        ({"One?": "report.pdf#1"}, (1,), r"has a text in place of ids. Pass \{'report.pdf#1'\}"),
        ({"One?": {"a"}}, (), "must hold whole numbers above 0"),
        ({"One?": {"a"}}, (0, 1), "must hold whole numbers above 0"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    questions: dict[str, set[str]], ks: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        evaluate(lambda _: [], questions, ks=ks)


def test_searches_are_rows_of_a_table() -> None:
    questions = {"Where?": {"b"}, "When?": {"a"}}
    right = evaluate(lambda question: [*questions[question]], questions, ks=(1, 10))
    fixed = evaluate({"Where?": ["a", "b"], "When?": ["a", "b"]}.__getitem__, questions, ks=(1, 10))

    assert compare({"vectors": right, "the same two": fixed}).splitlines() == [
        "              questions  recall@1  recall@10  nDCG@1  nDCG@10    MRR",
        "vectors               2     1.000      1.000   1.000    1.000  1.000",
        "the same two          2     0.500      1.000   0.500    0.815  0.750",
    ]
    assert compare({}) == ""
    with pytest.raises(ConfigurationError, match="different cut-offs"):
        compare({"a": right, "b": evaluate(lambda question: [question], questions, ks=(1,))})
