"""The explicit context cache, on both protocols, by the rules of the Cache page (2026-10)."""

from collections.abc import Callable
from typing import Any

import pytest

from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.media.hosted import CacheUse, receive
from qwen_vl_sandbox.prefix_cache import PrefixCache
from qwen_vl_sandbox.protocols.native import NativeProtocol
from qwen_vl_sandbox.storage import Storage

PATH = "/api/v1/services/aigc/multimodal-generation/generation"
MARK = {"cache_control": {"type": "ephemeral"}}
LONG = "word" * 1100
LONGER = "more" * 500
Post = Callable[..., Any]


def native(*parts: Any, model: str = "qwen3-vl-plus") -> dict[str, Any]:
    """Write a request of the native protocol."""
    return {"model": model, "input": {"messages": [{"role": "user", "content": list(parts)}]}}


def compatible(*parts: Any, model: str = "qwen3-vl-plus") -> dict[str, Any]:
    """Write the same for the other protocol."""
    content = [{"type": "text", **part} for part in parts]
    return {"model": model, "messages": [{"role": "user", "content": content}]}


def cached(post: Post, body: dict[str, Any], key: str = "sk-test-key") -> tuple[int, int]:
    """Send a request; how much it created and how much it found."""
    headers = {"Authorization": f"Bearer {key}"}
    path = PATH if "input" in body else "/compatible-mode/v1/chat/completions"
    details = post(body, path=path, headers=headers).json["usage"]["prompt_tokens_details"]
    assert details["cache_type"] == "ephemeral"
    created = details["cache_creation_input_tokens"]
    assert details["cache_creation"] == {"ephemeral_5m_input_tokens": created}
    return created, details["cached_tokens"]


@pytest.mark.parametrize("write", [native, compatible])
def test_prefix_is_created_then_found(post: Post, write: Callable[..., dict[str, Any]]) -> None:
    """The first request pays for it, the next ones find it."""
    first, second = ({"text": LONG, **MARK}, {"text": "What?"}), ({"text": LONG, **MARK},)
    created, found = cached(post, write(*first))
    assert (created, found) == (1105, 0)
    assert cached(post, write(*second)) == (0, 1105)


def test_cache_is_shared_by_both_protocols(post: Post) -> None:
    """It belongs to the model and the account."""
    assert cached(post, native({"text": LONG, **MARK})) == (1105, 0)
    assert cached(post, compatible({"text": LONG, **MARK})) == (0, 1105)


def test_cache_is_bound_to_its_model_and_account(post: Post) -> None:
    """Another of either finds nothing."""
    body = native({"text": LONG, **MARK})
    assert cached(post, body) == (1105, 0)
    assert cached(post, body, key="sk-another") == (1105, 0)
    other = {**native({"text": LONG, **MARK}, model="qwen3.7-plus"), "parameters": {}}
    assert cached(post, other) == (1105, 0)
    assert cached(post, body) == (0, 1105)


def test_longer_prefix_builds_on_the_shorter(post: Post) -> None:
    """Only what is new is created."""
    assert cached(post, native({"text": LONG, **MARK})) == (1105, 0)
    longer = native({"text": LONG}, {"text": LONGER, **MARK})
    assert cached(post, longer) == (500, 1105)
    assert cached(post, longer) == (0, 1605)


def test_short_prefix_is_not_cached(post: Post) -> None:
    """It needs 1024 tokens."""
    body = native({"text": "word" * 1018, **MARK})
    assert [cached(post, body) for _ in range(2)] == [(0, 0), (0, 0)]
    enough = native({"text": "word" * 1019, **MARK})
    assert [cached(post, enough) for _ in range(2)] == [(1024, 0), (0, 1024)]


def test_prefix_is_looked_for_in_twenty_blocks(post: Post) -> None:
    """Further back it is not found."""
    assert cached(post, native({"text": LONG, **MARK})) == (1105, 0)
    few = [{"text": "abcd"} for _ in range(19)]
    assert cached(post, native({"text": LONG}, *few, {"text": "end", **MARK})) == (20, 1105)
    many = [{"text": "efgh"} for _ in range(20)]
    created, found = cached(post, native({"text": LONG}, *many, {"text": "end", **MARK}))
    assert (created, found) == (1126, 0)


def test_changed_prefix_is_another(post: Post, picture_url: Callable[..., str]) -> None:
    """A word, an image or a knob makes the difference; images count."""
    url = picture_url(2048, 1024)
    assert cached(post, native({"image": url, **MARK})) == (2048 + 2 + 5, 0)
    assert cached(post, native({"image": url, **MARK})) == (0, 2055)
    smaller = native({"image": url, "max_pixels": 1_500_000, **MARK})
    assert cached(post, smaller)[1] == 0


def test_request_without_markers_caches_nothing(post: Post) -> None:
    """The implicit cache is not imitated."""
    for _ in range(2):
        details = post(native({"text": LONG}), path=PATH).json["usage"]["prompt_tokens_details"]
        assert details == {"cached_tokens": 0}


def test_cleared_sandbox_has_no_cache(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """Each test starts without."""
    body = native({"text": LONG, **MARK})
    cached(post, body)
    qwen_vl_sandbox.clear()
    assert cached(post, body) == (1105, 0)


@pytest.mark.parametrize(
    ("ttl", "seconds"), [({}, 300.0), ({"ttl": "5m"}, 300.0), ({"ttl": "1h"}, 3_600.0)]
)
def test_prefix_is_kept_from_its_last_use(ttl: dict[str, str], seconds: float) -> None:
    """A hit begins the lifetime again, which is 5 minutes or, with Qwen4, an hour."""
    now = 0.0
    cache = PrefixCache(lambda: now)
    body = native({"text": LONG, "cache_control": {"type": "ephemeral", **ttl}}, model="qwen4-max")
    conversation = NativeProtocol().read(body, {}, strict=True).conversation
    report = receive(conversation, Storage())
    created = CacheUse(created=1105, found=0, seconds=seconds)
    found = CacheUse(created=0, found=1105, seconds=seconds)
    assert cache.use(conversation, report) == created
    now = seconds - 1
    assert cache.use(conversation, report) == found
    now = 2 * seconds - 2
    assert cache.use(conversation, report) == found
    now = 3 * seconds - 2
    assert cache.use(conversation, report) == created
