"""LangChain's caches of answers: whose answer a model gets."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.outputs import Generation

from langchain_qwen_vl import ChatQwenVL
from qwen_vl_sandbox import Sandbox

KEYS = ("sk-of-the-first-account", "sk-of-the-second")


class SQLCache(BaseCache):
    """A cache on disk, as several packages have it."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.execute("CREATE TABLE answers (prompt, model, answer)")
        self._answers: dict[tuple[str, str], Any] = {}

    def lookup(self, prompt: str, llm_string: str) -> Any:
        return self._answers.get((prompt, llm_string))

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        row = (prompt, llm_string, repr(return_val))
        self._database.execute("INSERT INTO answers VALUES (?, ?, ?)", row)
        self._database.commit()
        self._answers[prompt, llm_string] = return_val

    def clear(self, **kwargs: Any) -> None:
        self._answers.clear()

    def close(self) -> None:
        self._database.close()


def ask(sandbox: Sandbox, cache: BaseCache, **fields: Any) -> None:
    settings = {"base_url": sandbox.base_url, "api_key": KEYS[0], **fields}
    ChatQwenVL(cache=cache, **settings).invoke("Hi")


OTHERS: dict[str, Callable[[Sandbox], dict[str, Any]]] = {
    "key": lambda _: {"api_key": KEYS[1]},
    "headers": lambda _: {"default_headers": {"X-Tenant": "2"}},
    "endpoint": lambda sandbox: {"base_url": sandbox.base_url.replace("127.0.0.1", "localhost")},
    "protocol": lambda sandbox: {"base_url": sandbox.native_base_url, "protocol": "native"},
    "own client": lambda sandbox: {
        "openai_client": openai.OpenAI(base_url=sandbox.base_url, api_key=KEYS[1])
    },
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_answer_of_another_account_or_endpoint_is_not_used(
    other: Callable[[Sandbox], dict[str, Any]], qwen_vl_sandbox: Sandbox
) -> None:
    cache, fields = InMemoryCache(), other(qwen_vl_sandbox)
    for _ in range(2):
        ask(qwen_vl_sandbox, cache)
        ask(qwen_vl_sandbox, cache, **fields)
    assert len(qwen_vl_sandbox.requests) == 2
    if "openai_client" in fields:
        fields["openai_client"].close()


def test_environment_counts(qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_BASE_URL", qwen_vl_sandbox.base_url)
    cache = InMemoryCache()
    for _ in range(2):
        for key in KEYS:
            monkeypatch.setenv("DASHSCOPE_API_KEY", key)
            ChatQwenVL(cache=cache).invoke("Hi")
    assert len(qwen_vl_sandbox.requests) == 2


async def test_async_calls_find_answers_of_sync_ones(qwen_vl_sandbox: Sandbox) -> None:
    cache = InMemoryCache()
    chat = ChatQwenVL(cache=cache, base_url=qwen_vl_sandbox.base_url, api_key=KEYS[0])
    first = await chat.ainvoke("Hi")
    assert chat.invoke("Hi").content == first.content
    assert len(qwen_vl_sandbox.requests) == 1


def test_key_is_not_in_the_cache(qwen_vl_sandbox: Sandbox, tmp_path: Path) -> None:
    cache = SQLCache(tmp_path / "answers.db")
    ask(qwen_vl_sandbox, cache, default_headers={"X-Key": KEYS[1]})
    cache.close()
    written = (tmp_path / "answers.db").read_bytes()
    assert b"I am the qwen-vl sandbox" in written
    assert not any(key.encode() in written for key in KEYS)


def test_answer_is_found_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASHSCOPE_API_KEY", raising=False)

    class Full(InMemoryCache):
        def lookup(self, prompt: str, llm_string: str) -> list[Generation]:
            return [Generation(text="remembered")]

    assert ChatQwenVL(cache=Full()).invoke("Hi").content == "remembered"
