"""Limits of rate that are enforced, and reported as the service does."""

import time
from functools import partial
from typing import Any

import httpx2
import pytest
from openai import OpenAI, RateLimitError

from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.errors.api_error import ApiError
from qwen_vl_sandbox.rate_limits import RateLimits

MESSAGES = [{"role": "user", "content": "Hi"}]
QUESTION: dict[str, Any] = {"model": "qwen3-vl-plus", "messages": MESSAGES}


def find_code(limits: RateLimits) -> str | None:
    try:
        limits.admit()
    except ApiError as error:
        return error.code if error.status == 429 else f"HTTP {error.status}"
    return None


def test_second_has_its_part_of_a_minute() -> None:
    now = 10.0
    limits = RateLimits(rpm=600, clock=lambda: now)

    assert [find_code(limits) for _ in range(11)] == [*[None] * 10, "limit_requests"]
    now = 10.11
    assert [find_code(limits) for _ in range(2)] == [None, "limit_requests"]
    # What was not used is not saved up.
    now = 100.0
    assert [find_code(limits) for _ in range(11)] == [*[None] * 10, "limit_requests"]


def test_tokens_are_counted_when_they_are_known() -> None:
    now = 10.0
    limits = RateLimits(tpm=6_000, clock=lambda: now)

    assert find_code(limits) is None
    limits.count(250)
    assert find_code(limits) == "insufficient_quota"
    now = 11.4
    assert find_code(limits) == "insufficient_quota"
    now = 11.6
    assert find_code(limits) is None


def test_no_limit_by_default() -> None:
    limits = RateLimits()
    for _ in range(1_000):
        limits.admit()
        limits.count(10**9)


def test_refusal_is_the_service_s_own() -> None:
    with Sandbox(rpm=60) as sandbox:
        client = OpenAI(base_url=sandbox.base_url, api_key="any", max_retries=0)
        ask = partial(client.chat.completions.create, **QUESTION)
        with client:
            ask()
            with pytest.raises(RateLimitError) as caught:
                ask()
        native = httpx2.post(
            f"{sandbox.native_base_url}/services/aigc/multimodal-generation/generation",
            json={"model": "qwen3-vl-plus", "input": {"messages": MESSAGES}},
            headers={"Authorization": "Bearer any"},
        )

    assert caught.value.code == "limit_requests"
    assert "Requests rate limit exceeded" in caught.value.message
    assert (native.status_code, native.json()["code"]) == (429, "Throttling.RateQuota")


def test_tokens_of_answers_count() -> None:
    with Sandbox(tpm=60) as sandbox:
        client = OpenAI(base_url=sandbox.base_url, api_key="any", max_retries=0)
        ask = partial(client.chat.completions.create, **QUESTION)
        with client:
            ask()
            with pytest.raises(RateLimitError) as caught:
                ask()

    assert caught.value.code == "insufficient_quota"


def test_clock_is_the_machine_s_own() -> None:
    limits = RateLimits(rpm=60)
    limits.admit()
    with pytest.raises(ApiError):
        limits.admit()
    assert limits._clock is time.monotonic
