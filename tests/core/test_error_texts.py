"""How errors show themselves: to people, tracers and task queues alike."""

import pickle

import pytest

from langchain_qwen_vl.errors import QwenVLRateLimitError, to_langchain_error
from qwen_vl.errors import (
    AnswerFormatError,
    ConfigurationError,
    MediaNotFoundError,
    QwenVLError,
    RateLimitError,
)

SHOWN = [
    RateLimitError("Slow down", status=429, code="limit_requests", request_id="r-1").with_advice(
        "Wait."
    ),
    MediaNotFoundError("There is no file.", where="messages[0].content[0]", remedy="Check it."),
    ConfigurationError("No API key."),
    AnswerFormatError("The answer is not JSON.", text="A cat."),
]


@pytest.mark.parametrize("error", SHOWN, ids=lambda error: type(error).__name__)
def test_all_forms_show_the_same(error: QwenVLError) -> None:
    assert repr(error) == f"{type(error).__name__}({str(error)!r})"
    restored = pickle.loads(pickle.dumps(error))
    assert (repr(restored), str(restored)) == (repr(error), str(error))


def test_repr_has_what_the_service_said() -> None:
    shown = repr(SHOWN[0])
    for part in ("Slow down", "429", "limit_requests", "r-1", "Wait."):
        assert part in shown


def test_langchain_s_error_shows_the_same() -> None:
    error = to_langchain_error(SHOWN[0])
    assert isinstance(error, QwenVLRateLimitError)
    assert repr(error) == f"QwenVLRateLimitError({str(error)!r})"
    assert "limit_requests" in repr(error)
    assert repr(pickle.loads(pickle.dumps(error))) == repr(error)
