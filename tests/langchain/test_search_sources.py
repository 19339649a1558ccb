"""Sources of an answer with `enable_search`, as LangChain has them."""

from collections.abc import Callable
from typing import Any

from langchain_qwen_vl import ChatQwenVL
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

SOURCES: tuple[dict[str, Any], ...] = tuple(
    {
        "site_name": "eastday",
        "icon": "https://img.alicdn.com/a.ico",
        "index": index,
        "title": f"Weather {index}",
        "url": f"https://tianqi.eastday.com/{index}.html",
    }
    for index in (1, 2)
)
SEARCH: dict[str, Any] = {"enable_search": True, "search_options": {"enable_source": True}}


async def test_sources_are_in_the_metadata(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(model="qwen3.8-max", protocol="native", enable_thinking=False)
    answer = ScriptedAnswer(text=("It ", "rains[1]."), search_results=SOURCES)
    expected = {"extra_tool_info": [], "search_results": list(SOURCES)}
    qwen_vl_sandbox.script(*[answer] * 4)

    whole = [chat.invoke("Weather?", **SEARCH), await chat.ainvoke("Weather?", **SEARCH)]
    for chunks in (
        list(chat.stream("Weather?", **SEARCH)),
        [chunk async for chunk in chat.astream("Weather?", **SEARCH)],
    ):
        held = [chunk for chunk in chunks if "search_info" in chunk.response_metadata]
        assert len(held) == 1
        total = chunks[0]
        for chunk in chunks[1:]:
            total += chunk
        whole.append(total)
    for message in whole:
        assert message.text == "It rains[1]."
        assert message.response_metadata["search_info"] == expected
    assert whole[0].response_metadata["token_usage"]["plugins"] == {"search": {"count": 1}}


def test_sources_come_only_if_they_are_asked_for(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(*[ScriptedAnswer(text="It rains.", search_results=SOURCES)] * 2)
    chat = make_chat(model="qwen3.8-max", protocol="native", enable_thinking=False)
    assert "search_info" not in chat.invoke("Weather?", enable_search=True).response_metadata
    # The other protocol returns none (Web-search page, 2026).
    chat = make_chat(model="qwen3.8-max", protocol="openai", enable_thinking=False)
    assert "search_info" not in chat.invoke("Weather?", **SEARCH).response_metadata
