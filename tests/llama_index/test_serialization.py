"""Stored, copied and sent elsewhere: nothing is lost, and no key goes along."""

import asyncio
import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import openai
import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms import LLM
from llama_index.core.llms.utils import resolve_llm

from llama_index.llms.qwen_vl import QwenVL
from llama_index.multi_modal_llms.qwen_vl import QwenVLMultiModal
from qwen_vl.errors import ConfigurationError
from qwen_vl_sandbox import Sandbox

KEY = "sk-hidden-9876"
SETTINGS = {
    "temperature": 0.25,
    "fps": 0.5,
    "max_pixels": 655_360,
    "enable_thinking": False,
    "additional_kwargs": {"enable_search": False},
    "extra_body": {"color": "red"},
    "media_roots": ["/images"],
    "system_prompt": "Be brief.",
}


@pytest.fixture(params=[QwenVL, QwenVLMultiModal])
def used(
    request: pytest.FixtureRequest, qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> QwenVL:
    """One that has open connections of both kinds."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-environment-1")
    llm: QwenVL = request.param(
        api_base=qwen_vl_sandbox.base_url,
        api_key=KEY,
        default_headers={"X-Secret": "hidden-header"},
        **SETTINGS,
    )
    llm.complete("Hello")
    asyncio.run(llm.acomplete("Hello"))
    return llm


def settings_of(llm: QwenVL) -> dict[str, Any]:
    return {name: getattr(llm, name) for name in SETTINGS}


COPIES: dict[str, Callable[[QwenVL], Any]] = {
    "pickle": lambda llm: pickle.loads(pickle.dumps(llm)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "model_copy": lambda llm: llm.model_copy(),
    "deep model_copy": lambda llm: llm.model_copy(deep=True),
    "to_dict": lambda llm: type(llm).from_dict(llm.to_dict()),
    "to_json": lambda llm: type(llm).from_json(llm.to_json()),
}


@pytest.mark.parametrize("how", COPIES)
async def test_copy_works(how: str, used: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    made = COPIES[how](used)
    assert type(made) is type(used)
    assert settings_of(made) == SETTINGS
    assert made.complete("Hello").text
    assert (await made.acomplete("Hello")).text
    # Copies in memory keep the key; what is stored reads the environment of where it is read.
    shown = qwen_vl_sandbox.last_request.headers["authorization"]
    assert shown == ("Bearer …9876" if "copy" in how else "Bearer …nt-1")


@pytest.mark.parametrize(
    "show",
    [
        repr,
        str,
        lambda llm: json.dumps(llm.to_dict()),
        lambda llm: llm.to_json(),
        lambda llm: repr(llm.model_dump()),
        lambda llm: repr(llm.to_payload()),
        lambda llm: repr(pickle.dumps(llm)),
        lambda llm: repr(llm.metadata),
    ],
)
def test_key_is_nowhere_to_be_seen(show: Callable[[QwenVL], str], used: QwenVL) -> None:
    shown = show(used)
    assert KEY not in shown
    # A pickle is the program's own, and would not work behind a gateway without its headers.
    assert "hidden-header" not in shown or shown.startswith("b'\\x80")


def test_settings_llm(used: QwenVL) -> None:
    before = Settings._llm
    try:
        Settings.llm = used
        assert Settings.llm is used
        assert isinstance(resolve_llm(used), LLM)
        assert Settings.llm.complete("Hello").text
    finally:
        Settings._llm = before


def test_own_client(qwen_vl_sandbox: Sandbox) -> None:
    with openai.OpenAI(base_url=qwen_vl_sandbox.base_url, api_key="sk-own-5555") as client:
        llm = QwenVL(openai_client=client)
        assert llm.chat([ChatMessage("Hello")]).message.content
        assert copy.deepcopy(llm).openai_client is client
        with pytest.raises(ConfigurationError, match="cannot be pickled"):
            pickle.dumps(llm)
        assert "openai_client" not in llm.to_dict()
    assert qwen_vl_sandbox.last_request.headers["authorization"] == "Bearer …5555"


async def test_two_loops_and_many_at_once(qwen_vl_sandbox: Sandbox) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key=KEY)
    answers = await asyncio.gather(*(llm.acomplete(f"Say {n}.") for n in range(24)))
    assert [f"Say {n}." in answer.text for n, answer in enumerate(answers)] == [True] * 24
    assert "Hello" in (await asyncio.to_thread(asyncio.run, llm.acomplete("Hello"))).text
