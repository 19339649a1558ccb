"""Names of tools that the hosted service refuses."""

from typing import Any

import pytest
from langchain_core.tools import tool
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import ConfigurationError
from qwen_vl_sandbox import Sandbox


@tool
def search(query: str) -> str:
    """Search documents."""
    return query


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {}}}


def test_tool_named_search_is_refused_where_it_is_bound() -> None:
    with pytest.raises(ConfigurationError, match=r"no tool named 'search'.*search_documents"):
        ChatQwenVL(api_key="x").bind_tools([search])


@pytest.mark.parametrize("name", ["search", "a b", "günther", "x" * 65, ""])
def test_name_is_refused_where_it_is_sent(name: str, qwen_vl_sandbox: Sandbox) -> None:
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="x")
    with pytest.raises(ConfigurationError, match="takes no tool named"):
        model.invoke("Hello", tools=[named(name)])
    assert qwen_vl_sandbox.requests == []


def test_llama_index_refuses_it_too(qwen_vl_sandbox: Sandbox) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="x")
    tools = [FunctionTool.from_defaults(lambda query: query, name="search", description="Search.")]
    with pytest.raises(ConfigurationError, match="no tool named 'search'"):
        llm.chat_with_tools(tools, chat_history=[ChatMessage("Hello")])


def test_other_servers_take_it() -> None:
    with Sandbox(server="vllm") as sandbox:
        model = ChatQwenVL(
            model="Qwen/Qwen3-VL-8B", server="vllm", base_url=sandbox.base_url, api_key="x"
        )
        assert model.bind_tools([search]).invoke("Hello").text
