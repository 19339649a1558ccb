"""Options by the names that other adapters have for them."""

import warnings
from typing import Any

import pytest

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.content import Text, Turn
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.build import build_request
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

URL = "http://localhost:1/v1"
ALIASES = [
    ("model_name", "qwen3-vl-flash", "model"),
    ("openai_api_base", URL, "base_url"),
    ("api_base", URL, "base_url"),
    ("openai_api_key", "sk-other", "api_key"),
    ("request_timeout", 3, "timeout"),
    ("stop_sequences", ["END"], "stop"),
]
# name: what to pass instead
FOREIGN = {
    "verify": "http_client",
    "verify_ssl": "http_client",
    "client": "http_client",
    "async_client": "http_client",
    "session": "http_client",
    "transport": "http_client",
    "proxies": "http_client",
    "openai_proxy": "HTTPS_PROXY",
    "headers": "default_headers",
    "extra_request_headers": "default_headers",
    "endpoint": "base_url",
    "azure_endpoint": "base_url",
    "endpoint_url": "base_url",
    "api_url": "base_url",
    "dashscope_base_url": "base_url",
    "dashscope_api_base": "base_url",
    "host": "base_url",
    "timeout_seconds": "timeout",
    "num_retries": "max_retries",
    "retry": "max_retries",
    "model_id": "model",
    "engine": "model",
    "deployment_name": "model",
    "max_new_tokens": "max_tokens",
    "num_predict": "max_tokens",
    "region_name": "region",
    "workspace_id": "workspace",
    "api_version": "Leave it out",
    "openai_organization": "Leave it out",
    "disabled_params": "Leave it out",
    "include_response_headers": "Leave it out",
    "is_chat_model": "Leave it out",
    "should_use_structured_outputs": "Leave it out",
    "default_query": "http_client",
    "http_socket_options": "http_client",
    "openai_api_type": "Leave it out",
    "store": "Leave it out",
    "tiktoken_model_name": "Leave it out",
    "truncation": "Leave it out",
    "tokenizer": "Leave it out",
    "reasoning": "reasoning_effort",
}
ANSWER = [Turn(role="user", parts=(Text(text="Hello"),))]


def shown(value: Any) -> Any:
    return value.get_secret_value() if hasattr(value, "get_secret_value") else value


@pytest.mark.parametrize("cls", [ChatQwenVL, QwenVL])
@pytest.mark.parametrize(("name", "value", "field"), ALIASES)
def test_usual_name_means_the_setting(cls: Any, name: str, value: Any, field: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = cls(**{name: value})
    assert shown(getattr(model, field)) == value
    if name == "model_name":
        assert model.model_name == value


@pytest.mark.parametrize("cls", [ChatQwenVL, QwenVL])
def test_two_names_of_one_setting(cls: Any) -> None:
    with pytest.raises(ConfigurationError, match="api_base and base_url mean the same"):
        cls(api_base=URL, base_url="http://localhost:2/v1")
    assert cls(api_base=URL, base_url=URL).base_url == URL


@pytest.mark.parametrize("cls", [ChatQwenVL, QwenVL])
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_name_raises_with_the_right_one(cls: Any, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}.*{FOREIGN[name]}"):
        cls(**{name: "x"})
    for holder in ("model_kwargs", *(["additional_kwargs"] if cls is QwenVL else [])):
        with pytest.raises(ConfigurationError, match=FOREIGN[name]):
            cls(**{holder: {name: "x"}})
    with pytest.raises(ConfigurationError, match=FOREIGN[name]):
        build_request(QwenVLSettings(), ANSWER, **{name: "x"})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("audio_config", "Leave it out: answers are text."),
        ("incremental_output", "Leave it out: streams have deltas, and the text so far."),
        ("modalities", "Leave it out: answers are text."),
        ("strict", "Pass it to a call: chat_with_tools(…, strict=True)."),
    ],
)
def test_option_of_another_llm_is_explained(name: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        QwenVL(**{name: True})
    assert str(caught.value) == f"'{name}' is not a setting of QwenVL. {hint}"


@pytest.mark.parametrize("name", ["dashscope_api_key", "access_token", "password"])
@pytest.mark.parametrize("cls", [ChatQwenVL, QwenVL])
def test_key_by_another_name_raises_without_showing_it(cls: Any, name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        cls(**{name: "sk-secret"})
    assert "sk-secret" not in str(caught.value)


def test_similar_name_is_suggested() -> None:
    with pytest.warns(UserWarning, match="Did you mean temperature"):
        ChatQwenVL(temprature=1)
    with pytest.raises(ConfigurationError, match="Did you mean temperature"):
        QwenVL(temprature=1)


def test_documented_parameter_without_a_field(qwen_vl_sandbox: Sandbox) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ChatQwenVL(
            model="qwen3.7-plus",
            base_url=qwen_vl_sandbox.base_url,
            api_key="sk-sandbox",
            enable_search=True,
        )
        model.invoke("Hello", enable_thinking=False)
    assert qwen_vl_sandbox.last_request.json["enable_search"] is True
    with pytest.raises(ConfigurationError) as caught:
        QwenVL(enable_search=True)
    assert str(caught.value) == (
        "'enable_search' is not a setting of QwenVL. Pass additional_kwargs={'enable_search': …}."
    )


@pytest.mark.parametrize("place", ["model", "call"])
def test_extra_body_in_model_kwargs(place: str, qwen_vl_sandbox: Sandbox) -> None:
    extras = {"model_kwargs": {"extra_body": {"enable_thinking": False, "top_k": 5}}}
    of_model, of_call = (extras, {}) if place == "model" else ({}, extras)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox", **of_model)
        model.invoke("Hello", **of_call)
    assert qwen_vl_sandbox.last_request.json == {
        "model": "qwen3-vl-plus",
        "messages": [{"role": "user", "content": "Hello"}],
        "enable_thinking": False,
        "top_k": 5,
    }


def test_nearer_extra_body_takes_precedence() -> None:
    settings = QwenVLSettings(
        model_kwargs={"extra_body": {"top_k": 1, "seed": 1, "top_p": 0.1, "max_tokens": 1}},
        extra_body={"seed": 2, "top_p": 0.2, "max_tokens": 2},
    )
    parameters = build_request(
        settings,
        ANSWER,
        model_kwargs={"extra_body": {"top_p": 0.3, "max_tokens": 3}},
        extra_body={"max_tokens": 4},
    ).parameters
    assert [parameters[name] for name in ("top_k", "seed", "top_p", "max_tokens")] == [1, 2, 0.3, 4]


def test_usual_names_of_one_call(qwen_vl_sandbox: Sandbox) -> None:
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    model.invoke("Hello", model_name="qwen3-vl-flash", request_timeout=3)
    assert qwen_vl_sandbox.last_request.json["model"] == "qwen3-vl-flash"
    assert "request_timeout" not in qwen_vl_sandbox.last_request.json
    with pytest.raises(ConfigurationError, match="base_url cannot be set for one call"):
        model.invoke("Hello", api_base=URL)


def test_parameters_of_a_newer_service_are_sent(qwen_vl_sandbox: Sandbox) -> None:
    with pytest.warns(UserWarning, match="repetition_window is not a parameter"):
        model = ChatQwenVL(
            base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox", repetition_window=8
        )
    model.invoke("Hello")
    assert qwen_vl_sandbox.last_request.json["repetition_window"] == 8


def test_extra_body_is_sent_by_any_name(qwen_vl_sandbox: Sandbox) -> None:
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
    model.invoke("Hello", extra_body={"endpoint": "near"})
    assert qwen_vl_sandbox.last_request.json["endpoint"] == "near"
