"""Sources of an answer with `enable_search`, as LlamaIndex has them."""

from collections.abc import Callable
from typing import Any

from llama_index.core.base.llms.types import ChatMessage

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

SOURCE = {"index": 1, "title": "Weather", "url": "https://e.org/1", "site_name": "e", "icon": ""}
SEARCH: dict[str, Any] = {"enable_search": True, "search_options": {"enable_source": True}}


async def test_sources_are_in_additional_kwargs(
    make_llm: Callable[..., QwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    llm = make_llm("qwen3.8-max", protocol="native", enable_thinking=False)
    answer = ScriptedAnswer(text=("It ", "rains[1]."), search_results=(SOURCE,))
    qwen_vl_sandbox.script(*[answer] * 4)
    messages = [ChatMessage("Weather?")]
    streamed = [chunk async for chunk in await llm.astream_chat(messages, **SEARCH)]
    for response in (
        llm.chat(messages, **SEARCH),
        await llm.achat(messages, **SEARCH),
        list(llm.stream_chat(messages, **SEARCH))[-1],
        streamed[-1],
    ):
        found = response.additional_kwargs["search_info"]
        assert found["search_results"] == [SOURCE]
        assert response.message.content == "It rains[1]."
