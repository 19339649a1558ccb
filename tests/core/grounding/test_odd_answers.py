"""Whatever a model answers: a typed result, or an error of ours with the answer in it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwen_vl.errors import AnswerFormatError
from qwen_vl.grounding.coordinates import CoordinateFrame
from qwen_vl.grounding.parse_boxes import read_grounding
from qwen_vl.grounding.parse_timeline import TimeFrame, read_timeline
from qwen_vl.grounding.timeline import Timeline
from qwen_vl.parsing import find_json

FRAME = CoordinateFrame(space="normalized", image=(1000, 500), scale=(1000, 1000))
PLACES = (
    '```json\n[{"bbox_2d": [100, 200, 300, 400], "label": "cat"}, {"point_2d": ["1", 2.5]}, '
    '{"location": [1, 1, 9, 1, 9, 9, 1, 9], "text": "\\"[x]\\""}, {"cats": [[1, 2, 3, 4]]}]\n```'
)
EVENTS = (
    'So: {"events": [{"start_time": "00:00:05", "end_time": "00:00:15.5", "event": "x"}, '
    '{"time": "0:01 - 0:02", "event": "y"}, {"start": 1, "end": "2s"}, {"frame": 3}]}'
)

_signs = st.text("[]{}\"',:\\0123456789.-eE `\nxnull至", max_size=4)


def mutated(answer: str) -> st.SearchStrategy[str]:
    """Answers with pieces cut out and others put in."""
    place = st.integers(0, len(answer))
    change = st.tuples(place, st.integers(0, 12), _signs)
    return st.lists(change, min_size=1, max_size=4).map(lambda changes: _apply(answer, changes))


def _apply(answer: str, changes: list[tuple[int, int, str]]) -> str:
    for at, length, put in changes:
        answer = answer[:at] + put + answer[at + length :]
    return answer


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                (
                    *("bbox_2d", "bbox", "point_2d", "points", "location", "rotate_rect", "label"),
                    *("x1", "y1", "x2", "y2", "start_time", "end_time", "time", "frame", "event"),
                )
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


def _read(read: Callable[..., Any], text: str, frame: object) -> Any:
    """Read an answer; `None` where it is refused, by an error that carries it."""
    failure = None
    try:
        return read(text, frame)
    except AnswerFormatError as error:
        failure = error
    assert failure.text == text
    return None


@settings(max_examples=150, deadline=None)
@given(mutated(PLACES) | st.text(max_size=60) | json_values.map(repr) | json_values.map(str))
def test_places_are_read_or_refused(text: str) -> None:
    found = _read(read_grounding, text, FRAME)
    if found is None:
        return
    for box in found.boxes:
        assert 0 <= box.x1 <= box.x2 <= 1000
        assert 0 <= box.y1 <= box.y2 <= 500
    for point in found.points:
        assert 0 <= point.x <= 1000
        assert 0 <= point.y <= 500
    assert found.to_dict()
    assert found.describe()


@settings(max_examples=150, deadline=None)
@given(mutated(EVENTS) | st.text(max_size=60) | json_values.map(repr))
def test_events_are_read_or_refused(text: str) -> None:
    found = _read(read_timeline, text, TimeFrame(seconds=20, fps=2, offset=3))
    if found is None:
        return
    for event in found:
        assert 3 <= event.start <= event.end <= 23
    assert isinstance(found, Timeline)
    assert found.to_webvtt().startswith("WEBVTT")


@pytest.mark.parametrize("piece", ["[", "{", '{"a":', "[[1,2],", "[1,", '"', "{'a': ", "<think>"])
def test_long_nonsense_is_read_quickly(piece: str) -> None:
    # Quadratic reading would take minutes, beyond the time that a test may take.
    find_json(piece * 50_000)
    find_json(f"Here: {piece * 20_000} and so on")
