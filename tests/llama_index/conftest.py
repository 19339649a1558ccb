"""What every test of the LlamaIndex integration may use."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from llama_index.core.memory import Memory

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl_sandbox import Sandbox


@pytest.fixture
def make_llm(qwen_vl_sandbox: Sandbox, speaking: dict[str, str]) -> Callable[..., QwenVL]:
    """Make a `QwenVL` that asks the sandbox, by either protocol."""

    def make(model: str = "qwen3-vl-plus", **fields: Any) -> QwenVL:
        settings = {"api_base": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox-7712"}
        return QwenVL(model, **{**settings, **speaking, **fields})

    return make


@pytest.fixture
def llm(make_llm: Callable[..., QwenVL]) -> QwenVL:
    """A `QwenVL` with its default model that asks the sandbox."""
    return make_llm()


@pytest.fixture
async def memory() -> AsyncIterator[Memory]:
    """LlamaIndex's memory, whose database is closed at the end, which it does not do itself."""
    memory = Memory.from_defaults(session_id="1", token_limit=1_000_000)
    yield memory
    if memory.sql_store._async_engine is not None:
        await memory.sql_store._async_engine.dispose()
