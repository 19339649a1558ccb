r"""JSON with the faults that models make: what is whole of it, and what was passed over."""

from typing import Any

import pytest

from qwen_vl.grounding.damaged_json import read_damaged_json

KEPT = {"k": 1}

pytestmark = pytest.mark.any_version


@pytest.mark.parametrize(
    ("text", "values"),
    [
        # Commas, quotes, words and comments.
        ('[{"n": 1} {"n": 2}]', [[{"n": 1}, {"n": 2}]]),
        ('{"n": 1,, "m": 2}', [{"n": 1, "m": 2}]),
        ("{n: 1, m: 'a'}", [{"n": 1, "m": "a"}]),
        ("[{'n': None, 'ok': True, 'no': False}]", [[{"n": None, "ok": True, "no": False}]]),
        ('[{"n": 1 /* one */}, # two\n {"n": 2}] // x', [[{"n": 1}, {"n": 2}]]),
        ('[{"n": "a 5" pipe"}]', [[{"n": 'a 5" pipe'}]]),
        ("{'n': 'it\\'s'}", [{"n": "it's"}]),
        ('[{"n": "a\nb\\c"}]', [[{"n": "a\nb\\c"}]]),
        ("[{n: true} {n: False} {n: null}]", [[{"n": True}, {"n": False}, {"n": None}]]),
        # Python's numbers.
        ('[{"n": 1_000}, {"n": +5}, {"n": .5}]', [[{"n": 1_000}, {"n": 5}, {"n": 0.5}]]),
        ("[{n: +5}, {n: 5.}, {n: -1e2}]", [[{"n": 5}, {"n": 5}, {"n": -100}]]),
        # A bracket that is missing.
        ('{"list": [{"n": 1}, {"n": 2}}', [{"list": [{"n": 1}, {"n": 2}]}]),
    ],
)
def test_faults_that_hide_nothing(text: str, values: list[Any]) -> None:
    found = read_damaged_json(text)
    assert list(found.values) == values
    assert (found.unread, found.is_cut_off, found.is_damaged) == ((), False, False)


@pytest.mark.parametrize(
    ("text", "values", "unread"),
    [
        ('[{"n": 1}, {"n": 2}, ...]', [[{"n": 1}, {"n": 2}]], ["..."]),
        ('[{"n": 1}, {"n": 007}]', [[{"n": 1}]], ['{"n": 007}']),
        ('[{"n": "a"}, {"n": "b]', [[{"n": "a"}]], ['{"n": "b]']),
        (
            '{"objects": [{"n": 1}, {"n" 2}, {"n": 3}]}',
            [{"objects": [{"n": 1}, {"n": 3}]}],
            ['{"n" 2}'],
        ),
        ('{"n": , "m": 2}', [], ['{"n": , "m": 2}']),
        # The next object of another name is read again.
        (
            '{"a": {"n": 1}, "b": {"n" 2}, "c": {"n": 3}}',
            [{"a": {"n": 1}}, {"n": 3}],
            ['"b": {"n" 2}, "c":'],
        ),
        ("[[1, 2], [3 4], [5, 6]] x", [[[1, 2], [5, 6]]], ["[3 4]"]),
        ('[{"n": [1, 2}, {"n": 3}]', [[{"n": 3}]], ['{"n": [1, 2}']),
        # A list that lacks its beginning, in a list that an object holds.
        (
            '{"a": [[{1, 2], [3, 4]], "b": 1}, {"n": 2}',
            [{"n": 2}],
            ['{"a": [[{1, 2], [3, 4]], "b": 1}'],
        ),
        # Objects within an entry that has lost its end are kept.
        (
            '[{"n": "x", "m": {"k": 1}, "z": 5, {"n": 2}]',
            [[{"n": "x", "m": {"k": 1}}, {"n": 2}]],
            [],
        ),
    ],
)
def test_faults_that_cost_an_entry(text: str, values: list[Any], unread: list[str]) -> None:
    found = read_damaged_json(text)
    assert list(found.values) == values
    assert list(found.unread) == unread
    assert not found.is_cut_off
    assert found.is_damaged == bool(unread)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('[{"n": 1}, {"n": 2', [[{"n": 1}]]),
        ('[{"n": "a', []),
        (
            '{"a": {"n": 1}, "b": {"n": 2, "c": {"n": 3}}',
            [{"a": {"n": 1}, "b": {"n": 2, "c": {"n": 3}}}],
        ),
        ("[{'n': 1}, {'n': 'tw", [[{"n": 1}]]),
    ],
)
def test_what_breaks_off(text: str, values: list[Any]) -> None:
    found = read_damaged_json(text)
    assert (list(found.values), found.unread, found.is_cut_off) == (values, (), True)


def test_brackets_of_prose_are_nothing() -> None:
    found = read_damaged_json('See [a 1] and {x}: [{"n": 1},, {"n": 2}]')
    assert (found.values[-1], found.unread) == ([{"n": 1}, {"n": 2}], ())


@pytest.mark.parametrize("n_chars", [200, 201])
def test_what_could_not_be_read_is_shown_up_to_200_characters(n_chars: int) -> None:
    entry = ('{"a": 1 % ' + "x" * 300)[: n_chars - 1] + "}"
    found = read_damaged_json(f'[{{"n": 1}}, {entry}, {{"n": 2}}]')
    assert [value for values in found.values for value in values] == [{"n": 1}, {"n": 2}]
    assert found.unread == (entry[:200],)
