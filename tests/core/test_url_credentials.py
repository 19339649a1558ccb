"""A user and a password in `base_url`: sent, and shown nowhere."""

import base64
import copy
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.load import dumpd, dumps
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import APIConnectionError, ConfigurationError
from qwen_vl_sandbox import Sandbox

SECRET = "pa55w0rd"
NAME = "Qwen/Qwen3-VL-8B-Instruct"


def basic(credentials: bytes) -> str:
    """The header, as the sandbox records it: its end alone."""
    return f"Basic …{base64.b64encode(credentials).decode()[-4:]}"


BASIC = basic(f"ada:{SECRET}".encode())


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(server="vllm") as running:
        yield running


def with_password(url: str) -> str:
    return url.replace("://", f"://ada:{SECRET}@")


def make(cls: Any, url: str, **fields: Any) -> Any:
    return cls(model=NAME, server="vllm", base_url=with_password(url), max_retries=0, **fields)


def ask(model: Any) -> None:
    if isinstance(model, ChatQwenVL):
        model.invoke("Hello")
    else:
        model.complete("Hello")


CLASSES = [ChatQwenVL, QwenVL]


@pytest.mark.parametrize("cls", CLASSES)
def test_password_is_sent(cls: Any, sandbox: Sandbox) -> None:
    model = make(cls, sandbox.base_url)
    for each in (model, copy.copy(model), copy.deepcopy(model), model.model_copy()):
        ask(each)
        assert sandbox.last_request.headers["authorization"] == BASIC
    assert model.base_url == sandbox.base_url


@pytest.mark.parametrize("cls", CLASSES)
def test_password_that_is_set_later_is_sent(cls: Any, sandbox: Sandbox) -> None:
    model = cls(model=NAME, server="vllm", base_url=sandbox.base_url)
    model.base_url = with_password(sandbox.base_url)
    ask(model)
    assert sandbox.last_request.headers["authorization"] == BASIC
    assert SECRET not in repr(model)
    changed = model.model_copy(update={"base_url": with_password(sandbox.base_url)})
    ask(changed)
    model.base_url = sandbox.base_url
    ask(model)
    assert sandbox.last_request.headers["authorization"] == "Bearer …"


def test_password_with_escapes(sandbox: Sandbox) -> None:
    url = sandbox.base_url.replace("://", "://ada%40x:a%2Fb@")
    ChatQwenVL(model=NAME, server="vllm", base_url=url).invoke("Hello")
    assert sandbox.last_request.headers["authorization"] == basic(b"ada@x:a/b")


SHOWN: dict[str, Callable[[Any], object]] = {
    "repr": repr,
    "str": str,
    "dict": lambda model: model.model_dump(),
    "JSON": lambda model: model.model_dump_json(),
    "pickle": pickle.dumps,
    "state": lambda model: model.__getstate__(),
}


@pytest.mark.parametrize("way", SHOWN)
@pytest.mark.parametrize("cls", CLASSES)
def test_password_is_shown_nowhere(cls: Any, way: str, sandbox: Sandbox) -> None:
    shown = repr(SHOWN[way](make(cls, sandbox.base_url)))
    assert SECRET not in shown


def test_password_is_not_in_langchain_s_dumps_and_runs(sandbox: Sandbox) -> None:
    model = make(ChatQwenVL, sandbox.base_url)
    runs = RunCollectorCallbackHandler()
    model.invoke("Hello", {"callbacks": [runs]})
    shown = f"{dumps(model)}{dumpd(model)}{model._identifying_params}"
    shown += "".join(run.model_dump_json() for run in runs.traced_runs)
    assert runs.traced_runs
    assert SECRET not in shown


def test_password_is_not_in_llama_index_s_dumps(sandbox: Sandbox) -> None:
    model = make(QwenVL, sandbox.base_url)
    assert SECRET not in f"{model.to_json()}{model.to_dict()}"


@pytest.mark.parametrize("cls", CLASSES)
def test_password_is_not_in_errors_and_logs(cls: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(APIConnectionError) as caught:
        ask(make(cls, "http://127.0.0.1:9/v1"))
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert SECRET not in shown + repr(caught.value) + repr(pickle.dumps(caught.value))


@pytest.mark.parametrize("cls", CLASSES)
def test_password_together_with_a_key_raises(cls: Any, sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="user or a password") as caught:
        ask(make(cls, sandbox.base_url, api_key="sk-one"))
    assert SECRET not in str(caught.value)
    assert sandbox.requests == []


def test_password_of_the_environment(
    qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_BASE_URL", with_password(qwen_vl_sandbox.base_url))
    with pytest.raises(ConfigurationError, match="user or a password"):
        ChatQwenVL(api_key="sk-one").invoke("Hello")
