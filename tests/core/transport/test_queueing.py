"""Requests that wait at the service, and the kinds of 429.

`X-DashScope-Wait-Timeout`: help.aliyun.com/zh/model-studio/rate-limiting-best-practices (2026-10).
Codes and messages: help.aliyun.com/zh/model-studio/rate-limit and error-code (2026).
"""

import pickle
import threading
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import APITimeoutError, ConfigurationError, RateLimitError
from qwen_vl.wire.errors import decode_error
from qwen_vl_sandbox import Sandbox

HEADER = "x-dashscope-wait-timeout"
MakeChat = Callable[..., ChatQwenVL]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("seconds", "sent"), [(0, "0"), (3, "3"), (30, "30"), (120.0, "120")])
def test_header_of_the_setting_and_of_the_call(
    seconds: Any, sent: str, streamed: bool, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    for model, options in (
        (make_chat(queue_seconds=seconds), {}),
        (make_chat(queue_seconds=60), {"queue_seconds": seconds}),
    ):
        list(model.stream("Hello", **options)) if streamed else model.invoke("Hello", **options)
        assert qwen_vl_sandbox.last_request.headers[HEADER] == sent
        assert "queue_seconds" not in qwen_vl_sandbox.last_request.json
    make_chat().invoke("Hello")
    assert HEADER not in qwen_vl_sandbox.last_request.headers


def test_header_through_llama_index_and_the_sdk(qwen_vl_sandbox: Sandbox) -> None:
    url = qwen_vl_sandbox.base_url
    QwenVL(api_base=url, api_key="sk-1", queue_seconds=30).complete("Hello")
    ours = qwen_vl_sandbox.last_request
    assert ours.headers[HEADER] == "30"
    with openai.OpenAI(base_url=url, api_key="sk-1") as client:
        client.chat.completions.create(
            model="qwen3-vl-plus",
            messages=[{"role": "user", "content": "Hello"}],
            extra_headers={"X-DashScope-Wait-Timeout": "30"},
        )
        sdk = qwen_vl_sandbox.last_request
        assert (sdk.json, sdk.headers[HEADER]) == (ours.json, "30")
        own = QwenVL(openai_client=client, api_base=url, queue_seconds=5)
        own.complete("Hello")
    assert qwen_vl_sandbox.last_request.headers[HEADER] == "5"


@pytest.mark.parametrize("seconds", [-1, 1, 2.9, 121, 3.5, float("nan"), True, "30"])
def test_other_values_are_refused(seconds: Any, make_chat: MakeChat) -> None:
    message = r"queue_seconds is .*; it must be 0, or a whole number from 3 to 120\."
    with pytest.raises(ConfigurationError, match=message):
        make_chat(queue_seconds=seconds)
    with pytest.raises(ConfigurationError, match=message):
        make_chat().invoke("Hello", queue_seconds=seconds)


def test_other_servers_have_no_queue() -> None:
    model = ChatQwenVL(server="vllm", base_url="http://localhost:1/v1", queue_seconds=3)
    with pytest.raises(ConfigurationError, match=r"hosted service, not by server='vllm'"):
        model.invoke("Hello")


class Timeouts:
    """Records the timeouts of each request on its way."""

    def __init__(self) -> None:
        self.seen: list[dict[str, float]] = []

    def __call__(self, request: Any) -> None:
        self.seen.append(request.extensions["timeout"])


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (None, {"connect": 5.0, "read": 630.0, "write": 600.0, "pool": 600.0}),
        (10, {"connect": 10, "read": 40, "write": 10, "pool": 10}),
        ((2, 20), {"connect": 2, "read": 50, "write": 20, "pool": 2}),
    ],
)
def test_time_to_read_is_extended(
    timeout: Any, expected: dict[str, float], make_chat: MakeChat
) -> None:
    timeouts = Timeouts()
    with httpx2.Client(event_hooks={"request": [timeouts]}) as client:
        model = make_chat(http_client=client, timeout=timeout, queue_seconds=30)
        model.invoke("Hello")
        list(model.stream("Hello"))
        model.invoke("Hello", queue_seconds=0)
        model.invoke("Hello", timeout=1)
    *extended, without, of_call = timeouts.seen
    assert extended == [expected, expected]
    assert without == {**expected, "read": expected["read"] - 30}
    assert of_call == {"connect": 1, "read": 31, "write": 1, "pool": 1}


def test_time_to_read_of_the_sdk_s_client(qwen_vl_sandbox: Sandbox) -> None:
    timeouts = Timeouts()
    http: Any = openai.DefaultHttpxClient(event_hooks={"request": [timeouts]})
    url = qwen_vl_sandbox.base_url
    with openai.OpenAI(base_url=url, api_key="sk-1", timeout=7, http_client=http) as client:
        model = ChatQwenVL(openai_client=client, base_url=url, queue_seconds=30)
        model.invoke("Hello")
        model.invoke("Hello", queue_seconds=0)
    assert [timeout["read"] for timeout in timeouts.seen] == [37, 7]


# The service lets it wait.
@pytest.mark.slow
@pytest.mark.parametrize("streamed", [False, True])
def test_request_waits_in_place_of_a_429(
    streamed: bool, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    model = make_chat(max_retries=0, timeout=1)

    def ask(**options: Any) -> str:
        if streamed:
            return "".join(chunk.text for chunk in model.stream("Hello", **options))
        return model.invoke("Hello", **options).text

    qwen_vl_sandbox.fail(burst_seconds=1.5)
    with pytest.raises(RateLimitError) as refused:
        ask()
    assert refused.value.quota == "burst"
    qwen_vl_sandbox.fail(burst_seconds=1.5)
    assert "Hello" in ask(queue_seconds=3)
    # The same time without the queue is too long for this model.
    qwen_vl_sandbox.fail(latency=1.5)
    with pytest.raises(APITimeoutError):
        ask()


@pytest.mark.parametrize("value", ["1", "2", "121", "-3", "3.5", "many"])
def test_sandbox_knows_the_range(value: str, make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    with pytest.raises(Exception, match="X-DashScope-Wait-Timeout must be 0, or 3 to 120"):
        make_chat().invoke("Hello", extra_headers={"X-DashScope-Wait-Timeout": value})


CASES = [
    # error-code and rate-limit pages (2026): code and message, of both protocols.
    ("limit_requests", "Requests rate limit exceeded, please try again later.", "requests"),
    ("Throttling.RateQuota", "Requests rate limit exceeded", "requests"),
    ("limit_burst_rate", "Request rate increased too quickly.", "burst"),
    ("Throttling.BurstRate", "Request rate increased too quickly.", "burst"),
    ("Throttling.AllocationQuota", "Allocated quota exceeded", "tokens"),
    (
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
        "tokens",
    ),
    ("Throttling", "Too many.", None),
    # Gateways keep the message and drop the code.
    ("429", "litellm.RateLimitError: Request rate increased too quickly.", "burst"),
    ("429", "litellm.RateLimitError: Allocated quota exceeded.", "tokens"),
    ("429", "litellm.RateLimitError: Requests rate limit exceeded.", "requests"),
    ("429", "Slow down.", None),
]


@pytest.mark.parametrize(("code", "message", "quota"), CASES)
def test_kinds_of_429(code: str, message: str, quota: str | None) -> None:
    inner = f'"code":"{code}","message":"{message}"'
    for body in (f'{{"error":{{{inner}}}}}', f'{{{inner},"request_id":"1"}}'):
        for status in (429, None):
            error = decode_error(status, body, {})
            if isinstance(error, RateLimitError):
                assert error.quota == quota
                assert pickle.loads(pickle.dumps(error)).quota == quota
        assert isinstance(decode_error(429, body, {}), RateLimitError)


@pytest.mark.parametrize(("code", "message", "quota"), CASES[:7:2])
def test_kinds_of_429_in_both_frameworks(
    code: str, message: str, quota: str | None, qwen_vl_sandbox: Sandbox
) -> None:
    options: Any = {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-1", "max_retries": 0}
    for ask in (
        ChatQwenVL(**options).invoke,
        lambda text: list(ChatQwenVL(**options).stream(text)),
        QwenVL(**options).complete,
    ):
        qwen_vl_sandbox.fail(status=429, code=code, message=message)
        with pytest.raises(RateLimitError) as refused:
            ask("Hello")
        again = pickle.loads(pickle.dumps(refused.value))
        assert (refused.value.quota, again.quota) == (quota, quota)
        assert type(again) is type(refused.value)


def test_many_wait_together(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(burst_seconds=0.2, times=20)
    model, answers = make_chat(queue_seconds=3, max_retries=0), []

    def ask() -> None:
        answers.append(model.invoke("Hello").text)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 20
