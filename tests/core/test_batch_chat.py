"""Batch Chat: its host, what is refused before sending, whole answers, and many at once.

www.alibabacloud.com/help/en/model-studio/openai-compatible-batch-chat and its copies (2026-10-11).
"""

import asyncio
import pickle
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import httpx2
import openai
import orjson
import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from llama_index.core.llms import ChatMessage
from pydantic import BaseModel

from langchain_qwen_vl import ChatQwenVL, get_usage
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.client import _uploads_url
from qwen_vl.connection import find_base_url
from qwen_vl.content import Text, Turn
from qwen_vl.errors import ConfigurationError, InvalidRequestError
from qwen_vl.request.build import build_connection, build_request
from qwen_vl.samples import CHELSEA
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.batch_chat import BATCH_MODELS, check_batch
from qwen_vl.transport.base import Endpoint
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

# The page's own base URL.
URL = "https://batch.dashscope.aliyuncs.com/compatible-mode/v1"
QUESTION = Turn(role="user", parts=(Text(text="Hello"),))


class Cat(BaseModel):
    """A cat."""

    name: str


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return where


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(batch=True) as running:
        yield running


def settings(**fields: Any) -> QwenVLSettings:
    return QwenVLSettings(**{"service_tier": "batch", "api_key": "sk-1", **fields})


def make(cls: Any, sandbox: Sandbox, model: str = "qwen3.7-plus", **fields: Any) -> Any:
    options = {"base_url": sandbox.base_url, "api_key": "sk-1", "service_tier": "batch"}
    return cls(model=model, **{**options, **fields})


@pytest.mark.parametrize(
    ("fields", "environ"),
    [
        ({}, {}),
        ({"region": "cn-beijing"}, {}),
        ({"base_url": URL}, {"DASHSCOPE_REGION": "us-east-1"}),
        ({}, {"DASHSCOPE_REGION": "cn-beijing"}),
        ({}, {"DASHSCOPE_BASE_URL": "https://dashscope.aliyuncs.com/api/v1"}),
        ({}, {"DASHSCOPE_API_BASE": URL, "DASHSCOPE_REGION": "us-east-1"}),
        ({"region": "cn-beijing"}, {"DASHSCOPE_BASE_URL": "https://dashscope-intl.aliyuncs.com"}),
        # unsure: whether such a workspace's key is accepted; the host is nobody's.
        ({}, {"DASHSCOPE_WORKSPACE": "ws-1"}),
    ],
)
def test_host(
    fields: dict[str, Any], environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert build_connection(settings(**fields)).base_url == URL


@pytest.mark.parametrize(
    ("fields", "environ", "reason"),
    [
        ({"region": "ap-southeast-1"}, {}, "'ap-southeast-1' is set"),
        ({"workspace": "ws-1"}, {}, "no workspace's, and 'ws-1' is set"),
        ({}, {"DASHSCOPE_REGION": "us-east-1"}, "in cn-beijing only"),
        ({}, {"DASHSCOPE_BASE_URL": "https://dashscope-intl.aliyuncs.com"}, "not at https://das"),
        ({"base_url": "https://dashscope.aliyuncs.com/compatible-mode/v1"}, {}, "Pass base_url="),
        ({"base_url": "https://ws.cn-beijing.maas.aliyuncs.com"}, {}, "not at https://ws.cn"),
    ],
)
def test_other_hosts_and_regions_are_refused(
    fields: dict[str, Any],
    environ: dict[str, str],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=reason):
        build_connection(settings(**fields))


def test_url_of_another_kind_is_taken(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = "https://gateway.example.com/batch/v1"
    assert build_connection(settings(base_url=gateway)).base_url == gateway
    monkeypatch.setenv("DASHSCOPE_BASE_URL", sandbox.base_url)
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-1")
    assert "Hello" in ChatQwenVL(model="qwen3.7-plus", service_tier="batch").invoke("Hello").text


def test_openai_client_is_of_that_host(sandbox: Sandbox) -> None:
    with openai.OpenAI(base_url=sandbox.base_url, api_key="sk-1") as client:
        model = ChatQwenVL(model="qwen3.7-plus", openai_client=client, service_tier="batch")
        assert "Hello" in model.invoke("Hello").text
    other = "https://dashscope.aliyuncs.com/compatible-mode/v1"
    with openai.OpenAI(base_url=other, api_key="sk-1") as client:
        model = ChatQwenVL(model="qwen3.7-plus", openai_client=client, service_tier="batch")
        with pytest.raises(ConfigurationError, match="Batch Chat is at"):
            model.invoke("Hello")


@pytest.mark.parametrize(
    ("fields", "call", "read"),
    [
        # The page: a call waits at most 3,600 seconds.
        ({}, {}, 3_600.0),
        ({"timeout": 60}, {}, 60),
        ({"timeout": 60}, {"timeout": 90}, 90),
        ({}, {"timeout": 90}, 90),
        ({"queue_seconds": 30}, {}, 3_630.0),
    ],
)
@pytest.mark.parametrize("client", ["httpx2", "openai"])
def test_hour_to_answer(
    client: str, fields: dict[str, Any], call: dict[str, Any], read: float, sandbox: Sandbox
) -> None:
    seen: list[float] = []
    hooks: Any = {"request": [lambda request: seen.append(request.extensions["timeout"]["read"])]}
    if client == "httpx2":
        with httpx2.Client(event_hooks=hooks) as own:
            make(ChatQwenVL, sandbox, http_client=own, **fields).invoke("Hello", **call)
    else:
        http: Any = openai.DefaultHttpxClient(event_hooks=hooks)
        with openai.OpenAI(base_url=sandbox.base_url, api_key="sk-1", http_client=http) as sdk:
            make(ChatQwenVL, sandbox, openai_client=sdk, **fields).invoke("Hello", **call)
        if "timeout" in fields and not call:
            # The client's own takes precedence over the setting, as everywhere.
            read = 600
    assert seen == [read]


@pytest.mark.parametrize("model", sorted(BATCH_MODELS))
def test_models_of_the_page(model: str, sandbox: Sandbox) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_request(settings(model=model), [QUESTION])
    # The sandbox has its own list.
    with openai.OpenAI(base_url=sandbox.base_url, api_key="sk-1") as client:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])


@pytest.mark.parametrize(
    "model", ["qwen3-vl-flash", "qwen3.7-plus-2026-05-26", "qwen-vl-ocr", "qwen5-max", "mine"]
)
def test_other_models_are_refused_before_sending(model: str, sandbox: Sandbox) -> None:
    for cls in (ChatQwenVL, QwenVL):
        asked = make(cls, sandbox, model)
        ask = asked.invoke if cls is ChatQwenVL else asked.complete
        with pytest.raises(ConfigurationError, match=rf"does not have '{model}'\. It has qwen-fl"):
            ask("Hello")
        with pytest.raises(ConfigurationError, match=f"does not have '{model}'"):
            make(ChatQwenVL, sandbox).invoke("Hello", model=model)
    assert not sandbox.requests
    with (
        openai.OpenAI(base_url=sandbox.base_url, api_key="sk-1") as client,
        pytest.raises(openai.BadRequestError, match="does not support Batch Chat"),
    ):
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Hello"}])


def test_model_that_pages_disagree_about_is_asked_with_a_warning(sandbox: Sandbox) -> None:
    # The model's page: yes in English and Japanese, no in Chinese.
    model = make(ChatQwenVL, sandbox, "qwen4-max")
    with pytest.warns(UserWarning, match="contradict each other about qwen4-max at Batch Chat"):
        assert "Hello" in model.invoke("Hello").text


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"protocol": "native"}, "and protocol='native' exclude each other"),
        ({"server": "vllm", "base_url": "http://localhost:1/v1"}, "and server='vllm' exclude"),
        (
            {"server": "openai_compatible", "base_url": "http://localhost:1/v1"},
            "and server='openai_compatible' exclude",
        ),
    ],
)
def test_other_protocols_and_servers(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        build_request(settings(model="qwen3.7-plus", **fields), [QUESTION])
    with pytest.raises(ConfigurationError, match="for one call"):
        build_request(QwenVLSettings(), [QUESTION], service_tier="batch")


def test_body_is_that_of_the_sdk(sandbox: Sandbox) -> None:
    # The page: an ordinary call, thinking set at the top level.
    model = make(ChatQwenVL, sandbox, enable_thinking=False)
    model.invoke("Hello")
    ours = orjson.loads(sandbox.last_request.body)
    with openai.OpenAI(base_url=sandbox.base_url, api_key="sk-1") as client:
        client.chat.completions.create(
            model="qwen3.7-plus",
            messages=[{"role": "user", "content": "Hello"}],
            extra_body={"enable_thinking": False},
        )
    assert orjson.loads(sandbox.last_request.body) == ours
    assert ours == {
        "model": "qwen3.7-plus",
        "messages": [{"role": "user", "content": "Hello"}],
        "enable_thinking": False,
    }


def test_nothing_is_streamed_underneath(sandbox: Sandbox) -> None:
    chat, llm = make(ChatQwenVL, sandbox), make(QwenVL, sandbox)
    message = [ChatMessage("Hello")]

    async def ask() -> list[Any]:
        return [
            await chat.ainvoke("Hello"),
            [chunk async for chunk in chat.astream("Hello")],
            await llm.achat(message),
            [part async for part in await llm.astream_chat(message)],
        ]

    whole, chunks, response, parts = asyncio.run(ask())
    assert [part.delta for part in parts] == [response.message.content]
    assert [part.delta for part in llm.stream_chat(message)] == [llm.chat(message).message.content]
    for streamed in (chunks, list(chat.stream("Hello"))):
        # LangChain itself adds an empty last one.
        answer, last = streamed
        assert isinstance(answer, AIMessageChunk)
        assert (answer.text, last.text) == (whole.text, "")
        assert answer.additional_kwargs == whole.additional_kwargs
        assert get_usage(answer + last) == get_usage(whole)
        assert (answer + last).response_metadata["finish_reason"] == "stop"
    chat.model_copy(update={"streaming": True}).invoke("Hello")
    assert not any("stream" in request.json for request in sandbox.requests)
    assert not any("stream_options" in request.json for request in sandbox.requests)


def test_images_tools_and_schemas(sandbox: Sandbox) -> None:
    chat = make(ChatQwenVL, sandbox)
    question = HumanMessage([{"type": "image", "image": CHELSEA}, "What is this?"])
    assert "PNG 451x300" in chat.invoke([question]).text
    sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("look", {"where": "left"}, id="1"),)))
    *_, answer = [chunk for chunk in chat.bind_tools([look]).stream("Look.") if chunk.tool_calls]
    assert answer.tool_calls[0]["args"] == {"where": "left"}
    assert isinstance(chat.with_structured_output(Cat).invoke("Name a cat."), Cat)


def test_sandbox_refuses_streams_and_other_endpoints(sandbox: Sandbox) -> None:
    with openai.OpenAI(base_url=sandbox.base_url, api_key="sk-1") as client:
        with pytest.raises(openai.BadRequestError, match="does not support streams"):
            client.chat.completions.create(
                model="qwen3.7-plus",
                messages=[{"role": "user", "content": "Hello"}],
                stream=True,
            )
        with pytest.raises(openai.NotFoundError):
            client.models.list()
    native = ChatQwenVL(protocol="native", base_url=sandbox.base_url, api_key="sk-1")
    with pytest.raises(Exception, match="not implemented in the sandbox"):
        native.invoke("Hello")
    with pytest.raises(InvalidRequestError, match="does not support streams"):
        list(ChatQwenVL(base_url=sandbox.base_url, api_key="sk-1").stream("Hello"))
    with pytest.raises(ValueError, match="the server 'vllm' lacks it"):
        Sandbox(server="vllm", batch=True)


def test_uploads_go_to_the_region_s_own_host() -> None:
    # unsure: no page names another.
    assert _uploads_url(Endpoint(URL, "sk-1", 0)) == (
        "https://dashscope.aliyuncs.com/api/v1/uploads"
    )


def test_setting_is_kept() -> None:
    model = ChatQwenVL(api_key="sk-1", service_tier="batch", queue_seconds=30)
    again = pickle.loads(pickle.dumps(model))
    assert (again.service_tier, again.queue_seconds) == ("batch", 30)
    assert model._identifying_params["service_tier"] == "batch"
    assert (
        find_base_url(
            None, region=None, workspace=None, protocol="openai", server="dashscope", is_batch=True
        )
        == URL
    )
    check_batch("qwen3.7-plus", protocol="openai", server="dashscope")


MANY = 1_500


# 1,500 calls.
@pytest.mark.slow
async def test_many_calls_wait_at_once(sandbox: Sandbox) -> None:
    sandbox.fail(latency=4.0, times=MANY)
    model = make(ChatQwenVL, sandbox, enable_thinking=False, max_retries=0)
    waiting = [asyncio.create_task(model.ainvoke(f"Number {n}.")) for n in range(MANY)]
    answers = await asyncio.gather(*waiting)
    assert all(f"Number {n}." in answer.text for n, answer in enumerate(answers))
    assert sandbox.n_requests == MANY


# Hundreds of threads.
@pytest.mark.slow
def test_many_threads_wait_at_once(sandbox: Sandbox) -> None:
    sandbox.fail(latency=1.0, times=200)
    model, texts = make(ChatQwenVL, sandbox, max_retries=0), []

    def ask(number: int) -> None:
        texts.append(model.invoke(f"Number {number}.").text)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 200
