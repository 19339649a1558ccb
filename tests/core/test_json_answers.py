"""Answers in JSON, as bulk questions read them."""

from typing import Any

import pytest

from qwen_vl.errors import AnswerFormatError
from qwen_vl.parsing import read_json_answer
from qwen_vl.reply import Reply


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"name": "Chelsea"}', {"name": "Chelsea"}),
        ("[1, 2]", [1, 2]),
        ('Here it is:\n```json\n{"name": "Chelsea"}\n```', {"name": "Chelsea"}),
        ("false", False),
        ("0", 0),
    ],
)
def test_value_of_an_answer(text: str, value: Any) -> None:
    assert read_json_answer(Reply(text=text)) == value


@pytest.mark.parametrize(
    "text", ["", "a cat", '{"name": "Chelsea"} or {"name": "Felix"}', "null"], ids=repr
)
def test_answer_without_one_value(text: str) -> None:
    with pytest.raises(AnswerFormatError, match=r"^The answer is not JSON\.") as caught:
        read_json_answer(Reply(text=text))
    assert caught.value.text == text


@pytest.mark.parametrize("cut", [{"finish_reason": "length"}, {"is_truncated": True}])
def test_answer_that_was_cut_is_not_read(cut: dict[str, Any]) -> None:
    with pytest.raises(AnswerFormatError) as caught:
        read_json_answer(Reply(text='{"name": "Chelsea"}', **cut))
    assert caught.value.text == '{"name": "Chelsea"}'


def test_problem_of_the_value() -> None:
    reply = Reply(text='{"name": 3}')
    with pytest.raises(AnswerFormatError) as caught:
        read_json_answer(reply, lambda value: f"name is {value['name']}")
    assert str(caught.value).startswith("The answer does not follow the schema: name is 3.")
    assert read_json_answer(reply, lambda _: None) == {"name": 3}
