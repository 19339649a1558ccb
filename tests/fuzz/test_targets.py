"""Each fuzz target, a few times: `make fuzz` runs them for minutes."""

import pytest
from hypothesis import HealthCheck, given, settings

from fuzz.targets import TARGETS, quietly


@pytest.mark.parametrize("name", TARGETS)
def test_input_ends_in_an_answer_or_an_error_of_ours(name: str) -> None:
    target = TARGETS[name]
    read = quietly(target.run)

    @settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
    @given(drawn=target.inputs())
    def try_each(drawn: object) -> None:
        read(drawn)

    try_each()


def test_finding_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is not ours ends a target."""
    monkeypatch.setitem(
        TARGETS, "broken", TARGETS["errors"].__class__(TARGETS["errors"].inputs, _break)
    )

    with pytest.raises(ZeroDivisionError):
        test_input_ends_in_an_answer_or_an_error_of_ours("broken")


def _break(drawn: object) -> None:
    raise ZeroDivisionError(drawn)
