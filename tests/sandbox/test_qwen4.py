"""The sandbox as qwen4-max, asked by the official SDK: what it takes, and what it refuses.

Pages: help.aliyun.com/zh/model-studio/{qwen4-max, cot-summary, explicit-cache-qwen4} (2026-11-16);
docs.apiyi.com/api-capabilities/qwen-4/overview (2026-11-17).
"""

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from qwen_vl_sandbox import Sandbox, ScriptedAnswer

LONG = "word " * 1_100
HELLO: Any = {"role": "user", "content": "Hello"}
DISPLAY = {"thinking_display": "summarized"}
PRESERVED = {**DISPLAY, "preserve_thinking": True}


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


class RowClient:
    """Asks one sandbox through the SDK."""

    def __init__(self, client: openai.OpenAI) -> None:
        self.client = client

    def __call__(self, *messages: Any, **options: Any) -> Any:
        extra = options.pop("extra", {})
        return self.client.chat.completions.create(
            model=options.pop("model", "qwen4-max"),
            messages=list(messages) or [HELLO],
            extra_body=extra,
            **options,
        )


@pytest.fixture
def ask(sandbox: Sandbox) -> Iterator[RowClient]:
    with openai.OpenAI(base_url=sandbox.base_url, api_key="sk-1", max_retries=0) as client:
        yield RowClient(client)


def to_history(message: Any) -> dict[str, Any]:
    return message.model_dump(include={"role", "content"}) | message.model_extra


def test_it_is_listed_and_thinks_by_default(ask: RowClient) -> None:
    assert "qwen4-max" in [model.id for model in ask.client.models.list()]
    message = ask().choices[0].message
    assert message.model_extra["reasoning_content"]
    assert "encrypted_content" not in message.model_extra


@pytest.mark.parametrize("effort", ["none", "off"])
def test_efforts_that_turn_thinking_off(effort: str, ask: RowClient) -> None:
    message = ask(reasoning_effort=effort).choices[0].message
    assert "reasoning_content" not in message.model_extra


def test_other_efforts_are_refused_with_the_list(ask: RowClient) -> None:
    with pytest.raises(openai.BadRequestError, match=r"one of \['xhigh', .*'none', 'off'\]"):
        ask(reasoning_effort="huge")
    with pytest.raises(openai.BadRequestError, match=r"one of \['xhigh', .*'none'\]"):
        ask(reasoning_effort="off", model="qwen3.8-max")


def test_summary_costs_what_the_whole_costs(ask: RowClient) -> None:
    whole, summary = ask(), ask(extra=DISPLAY)
    assert len(summary.choices[0].message.model_extra["reasoning_content"]) < len(
        whole.choices[0].message.model_extra["reasoning_content"]
    )
    assert (
        summary.usage.completion_tokens_details.reasoning_tokens
        == whole.usage.completion_tokens_details.reasoning_tokens
    )
    encrypted = summary.choices[0].message.model_extra["encrypted_content"]
    assert "sandbox" not in encrypted


def test_history_as_the_page_has_it(ask: RowClient) -> None:
    answer = ask(extra=DISPLAY).choices[0].message
    ask(HELLO, to_history(answer), HELLO, extra=PRESERVED)


@pytest.mark.parametrize(
    ("change", "extra", "reason"),
    [
        ({"encrypted_content": None}, PRESERVED, r"messages\[1\] has lost it"),
        ({"encrypted_content": "AAAA"}, PRESERVED, "cannot be decrypted"),
        ({"encrypted_content": "no Base64"}, PRESERVED, "cannot be decrypted"),
        ({"content": "Other."}, PRESERVED, "belongs to another message"),
        ({}, DISPLAY, "preserve_thinking must be true"),
        ({}, {"preserve_thinking": True}, "thinking_display must be summarized where"),
        ({"encrypted_content": 7}, PRESERVED, "must be a string"),
    ],
)
def test_history_that_is_refused(
    change: dict[str, Any], extra: dict[str, Any], reason: str, ask: RowClient
) -> None:
    answer = to_history(ask(extra=DISPLAY).choices[0].message)
    with pytest.raises(openai.BadRequestError, match=reason):
        ask(HELLO, {**answer, **change}, HELLO, extra=extra)


def test_summary_may_be_missing_from_the_history(ask: RowClient) -> None:
    answer = to_history(ask(extra=DISPLAY).choices[0].message)
    del answer["reasoning_content"]
    ask(HELLO, answer, HELLO, extra=PRESERVED)


def test_answer_that_was_never_encrypted_needs_nothing(ask: RowClient) -> None:
    ask(HELLO, {"role": "assistant", "content": "Mine."}, HELLO, extra=PRESERVED)


def test_scripted_reasoning_is_the_summary(ask: RowClient, sandbox: Sandbox) -> None:
    sandbox.script(ScriptedAnswer(text="A cat.", reasoning="Whiskers."))
    message = ask(extra=DISPLAY).choices[0].message
    assert message.model_extra["reasoning_content"] == "Whiskers."
    sandbox.script(ScriptedAnswer(text="A dog."))
    again = ask(HELLO, to_history(message), HELLO, extra=PRESERVED).choices[0].message
    assert "encrypted_content" not in again.model_extra


def test_other_models_lack_the_switch(ask: RowClient) -> None:
    with pytest.raises(openai.BadRequestError, match="does not support thinking_display"):
        ask(extra=DISPLAY, model="qwen3.8-max")
    with pytest.raises(openai.BadRequestError, match="thinking_display must be summarized"):
        ask(extra={"thinking_display": "full"})
    with Sandbox(strict=False) as lenient:
        client = openai.OpenAI(base_url=lenient.base_url, api_key="sk-1")
        with client:
            RowClient(client)(extra=DISPLAY, model="qwen3.8-max")


def test_max_tokens_covers_reasoning(ask: RowClient) -> None:
    choice = ask(max_tokens=5).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("", "length")
    other = ask(max_tokens=5, model="qwen3.8-max").choices[0]
    assert other.message.content
    with pytest.raises(openai.BadRequestError, match=r"\[1, 393216\]"):
        ask(max_tokens=393_217)


def marked(**mark: Any) -> Any:
    return {"role": "user", "content": [{"type": "text", "text": LONG, **mark}]}


@pytest.mark.parametrize(
    ("mark", "name"),
    [
        ({"cache_control": {"type": "ephemeral"}}, "ephemeral_5m_input_tokens"),
        ({"cache_control": {"type": "ephemeral", "ttl": "5m"}}, "ephemeral_5m_input_tokens"),
        ({"cache_control": {"type": "ephemeral", "ttl": "1h"}}, "ephemeral_1h_input_tokens"),
        ({"prompt_cache_breakpoint": {"mode": "explicit"}}, "ephemeral_5m_input_tokens"),
    ],
)
def test_markers_of_the_cache(mark: Any, name: str, ask: RowClient, sandbox: Sandbox) -> None:
    first, second = ask(marked(**mark)), ask(marked(**mark))
    details = first.usage.prompt_tokens_details.model_extra
    assert details["cache_creation"][name] == details["cache_creation_input_tokens"] > 1_024
    assert second.usage.prompt_tokens_details.cached_tokens > 1_024
    assert sandbox.last_request.unknown_fields == ()


@pytest.mark.parametrize(
    ("mark", "model", "reason"),
    [
        (
            {"cache_control": {"type": "ephemeral", "ttl": "1d"}},
            "qwen4-max",
            "with a ttl of 5m or 1h",
        ),
        ({"cache_control": {"type": "ephemeral", "ttl": 300}}, "qwen4-max", "ttl of 5m or 1h"),
        (
            {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
            "qwen3.8-max",
            r"cache_control must be \{'type': 'ephemeral'\}\.",
        ),
        (
            {"prompt_cache_breakpoint": {"mode": "explicit"}},
            "qwen3.8-max",
            "prompt_cache_breakpoint is not supported by the model",
        ),
        ({"prompt_cache_breakpoint": True}, "qwen4-max", "must be {'mode': 'explicit'}"),
    ],
)
def test_markers_that_are_refused(mark: Any, model: str, reason: str, ask: RowClient) -> None:
    with pytest.raises(openai.BadRequestError, match=reason):
        ask(marked(**mark), model=model)
