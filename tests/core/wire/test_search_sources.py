"""Sources of an answer with `enable_search`, by the Web-search page (2026).

Its section on returning sources early shows these events: `search_results` in the first, and empty
lists in the others.
"""

from typing import Any

import orjson
import pytest

from qwen_vl.reply import Reply, ReplyBuilder
from qwen_vl.wire.native.decode import decode_reply
from qwen_vl.wire.native.stream import StreamDecoder
from qwen_vl.wire.openai.decode import decode_reply as decode_compatible

EAST = {
    "site_name": "eastday",
    "icon": "https://img.alicdn.com/a.ico",
    "index": 1,
    "title": "Weather of Hangzhou",
    "url": "https://tianqi.eastday.com/tianqi/hangzhou/20250917.html",
}
SINA = {**EAST, "site_name": "sina", "index": 2, "url": "https://cj.sina.com.cn/articles/1"}
EMPTY: dict[str, Any] = {"extra_tool_info": [], "search_results": []}


def body(text: str, info: Any = None, reason: str = "stop") -> dict[str, Any]:
    choice = {"message": {"content": text, "role": "assistant"}, "finish_reason": reason}
    output: dict[str, Any] = {"choices": [choice]}
    if info is not None:
        output["search_info"] = info
    usage = {"input_tokens": 2_940, "output_tokens": 1, "plugins": {"search": {"count": 1}}}
    return {"output": output, "usage": usage, "request_id": "785ed962"}


def streamed(*events: dict[str, Any]) -> tuple[list[Any], Reply]:
    decoder, builder, shown = StreamDecoder({}), ReplyBuilder(), []
    for number, event in enumerate(events, 1):
        raw = b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:%b\n\n" % (number, orjson.dumps(event))
        for delta in decoder.feed(raw):
            builder.add(delta)
            if delta.metadata and delta.metadata.search_info:
                shown.append(delta.metadata.search_info)
    return shown, builder.reply()


def test_sources_of_a_whole_answer_are_kept() -> None:
    info = {"extra_tool_info": [], "search_results": [EAST, SINA]}
    reply = decode_reply(orjson.dumps(body("Wear linen[1].", info)), {})
    assert reply.search_info == info
    assert reply.usage is not None
    assert reply.usage.raw["plugins"] == {"search": {"count": 1}}


@pytest.mark.parametrize("info", [None, {}, EMPTY, [], "x"])
def test_answer_without_a_search_has_no_sources(info: Any) -> None:
    assert decode_reply(orjson.dumps(body("Hi", info)), {}).search_info is None


def test_first_event_of_a_stream_has_the_sources() -> None:
    first = body("", {"search_results": [EAST, SINA]}, reason="null")
    shown, reply = streamed(first, body("By", EMPTY, reason="null"), body("", EMPTY))
    assert shown == [{"search_results": [EAST, SINA]}]
    assert reply.search_info == {"search_results": [EAST, SINA]}
    assert reply.text == "By"


def test_sources_that_events_repeat_or_add_to_are_listed_once() -> None:
    one = {"extra_tool_info": [], "search_results": [EAST]}
    both = {"extra_tool_info": [], "search_results": [EAST, SINA]}
    shown, reply = streamed(*(body("x", info, "null") for info in (one, one, both)), body("", both))
    assert shown == [one, {"search_results": [SINA]}]
    assert reply.search_info is not None
    assert reply.search_info["search_results"] == [EAST, SINA]


def test_sources_of_the_other_protocol_are_kept_where_a_server_sends_them() -> None:
    """The service sends none there, by its page; a gateway may."""
    choice = {"message": {"content": "Hi"}, "finish_reason": "stop"}
    info = {"search_results": [EAST]}
    for data in (
        {"choices": [choice], "search_info": info},
        {"choices": [{**choice, "message": {"content": "Hi", "search_info": info}}]},
    ):
        assert decode_compatible(orjson.dumps(data), {}).search_info == info
