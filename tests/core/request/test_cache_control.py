"""Markers of the context cache, as the service reads them."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from qwen_vl.content import Document, Image, Inline, Text, ToolResult, Turn, Url, Video
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.request.build import build_request
from qwen_vl.request.cache_control import find_marker, resolve_cache_control
from qwen_vl.settings import QwenVLSettings

MARK = {"type": "ephemeral"}
ADDRESS = Url("https://e.org/1")
PLUS = "qwen3-vl-plus"
BREAKPOINT = {"prompt_cache_breakpoint": {"mode": "explicit"}}


def turn(*parts: Any, role: Any = "user") -> Turn:
    return Turn(role=role, parts=parts)


def marked(mark: Any, where: str = "messages[0].content[0]") -> Text:
    return Text(text="Long.", cache_control=mark, where=where)


MAKERS: list[Callable[[Any], Any]] = [
    marked,
    lambda mark: Image(source=ADDRESS, cache_control=mark),
    lambda mark: Video(source=ADDRESS, cache_control=mark),
    lambda mark: Document(source=Inline(b""), cache_control=mark),
]


@pytest.mark.parametrize("make", MAKERS, ids=["text", "image", "video", "document"])
@pytest.mark.parametrize("mark", [MARK, {"type": "ephemeral", "ttl": "5m"}])
def test_kind_that_there_is(make: Callable[[Any], Any], mark: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (settled,) = resolve_cache_control([turn(make(mark))], PLUS)
    assert settled.parts[0].cache_control == MARK  # type: ignore[union-attr]


def test_what_is_settled_stays_the_same() -> None:
    turns = (turn(marked(MARK)), turn(Text(text="Hello")))
    assert all(a is b for a, b in zip(resolve_cache_control(turns, PLUS), turns, strict=True))


@pytest.mark.parametrize("model", [PLUS, "qwen3.8-max", "qwen3.7-plus"])
def test_lifetime_that_the_model_has_not(model: str) -> None:
    marked_turn = turn(marked({"type": "ephemeral", "ttl": "1h"}))
    with pytest.raises(UnsupportedContentError) as refused:
        resolve_cache_control([marked_turn], model)
    assert str(refused.value) == (
        f"messages[0].content[0]: cache_control asks for a ttl of '1h'; {model} keeps what is "
        "cached for 5 minutes from its last use. Leave the ttl out, or use a model with "
        "lifetimes: Qwen4."
    )


# help.aliyun.com/zh/model-studio/explicit-cache-qwen4 (2026-11-16): 5 minutes or 1 hour.
@pytest.mark.parametrize("mark", [MARK, {**MARK, "ttl": "5m"}, {**MARK, "ttl": "1h"}])
@pytest.mark.parametrize("make", MAKERS, ids=["text", "image", "video", "document"])
def test_lifetime_that_qwen4_has(make: Callable[[Any], Any], mark: Any) -> None:
    (settled,) = resolve_cache_control([turn(make(mark))], "qwen4-max")
    assert settled.parts[0].cache_control == mark  # type: ignore[union-attr]


def test_lifetime_that_there_is_not() -> None:
    marked_turn = turn(marked({"type": "ephemeral", "ttl": "1d"}))
    with pytest.raises(UnsupportedContentError, match=r"ttl of '1d'\. qwen4-max has 5m and 1h"):
        resolve_cache_control([marked_turn], "qwen4-max")


def test_breakpoint_is_for_qwen4() -> None:
    turns = (turn(marked(BREAKPOINT)),)
    assert resolve_cache_control(turns, "qwen4-max") == turns
    with pytest.raises(UnsupportedContentError, match=r"not supported by qwen3\.8-max\. Pass"):
        resolve_cache_control(turns, "qwen3.8-max")


def test_both_forms_of_a_marker() -> None:
    both = {"cache_control": MARK, **BREAKPOINT}
    with pytest.raises(UnsupportedContentError, match=r"mean the same\. Pass one"):
        find_marker(both, "messages[0].content[0]")


def test_unknown_option_is_told_and_not_sent() -> None:
    with pytest.warns(UserWarning, match="'scope' is not something that the service reads"):
        (settled,) = resolve_cache_control(
            [turn(marked({"type": "ephemeral", "scope": "all"}))], PLUS
        )
    assert settled.parts == (marked(MARK),)


@pytest.mark.parametrize("mark", [{"type": "persistent"}, {}, "ephemeral"])
@pytest.mark.parametrize("make", MAKERS, ids=["text", "image", "video", "document"])
def test_kind_that_there_is_not(make: Callable[[Any], Any], mark: Any) -> None:
    with pytest.raises(UnsupportedContentError, match=r"Only .* is supported"):
        resolve_cache_control([turn(make(mark))], PLUS)


def test_four_markers_and_no_more() -> None:
    four = [turn(marked(MARK, f"messages[{n}]")) for n in range(4)]
    assert resolve_cache_control(four, PLUS) == tuple(four)
    result = ToolResult(
        tool_call_id="1",
        parts=(Image(source=ADDRESS, cache_control=MARK, where="messages[4].content[0]"),),
    )
    with pytest.raises(UnsupportedContentError, match=r"5 cache_control markers; .* takes 4") as no:
        resolve_cache_control([*four, turn(result, role="tool")], PLUS)
    assert no.value.where == "messages[4].content[0]"


def test_text_of_a_tool_s_result_takes_no_marker() -> None:
    image = Image(source=ADDRESS, cache_control=MARK)
    result = ToolResult(tool_call_id="1", parts=(marked(MARK), image))
    with pytest.warns(UserWarning, match="not supported in a tool result's text"):
        (settled,) = resolve_cache_control([turn(result, role="tool")], PLUS)
    assert settled.parts == (ToolResult(tool_call_id="1", parts=(marked(None), image)),)


def test_servers_of_one_s_own_have_limits_of_their_own() -> None:
    settings = QwenVLSettings(server="vllm", base_url="http://localhost:8000/v1")
    turns = (turn(*[marked({"type": "persistent"})] * 5),)
    assert build_request(settings, turns).turns == turns
