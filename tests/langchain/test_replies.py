"""What comes back: text, reasoning, token counts and metadata, whole and streamed."""

import asyncio
import gc
import io
import threading
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter

from connection_pools import find_pools
from langchain_qwen_vl import ChatQwenVL, __version__, get_usage
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.build import build_connection
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

MakeChat = Callable[..., ChatQwenVL]

IMAGE = HumanMessage([{"type": "image", "image": CHELSEA}, "What is this?"])
USAGE = {
    "prompt_tokens": 2600,
    "completion_tokens": 40,
    "total_tokens": 2640,
    "prompt_tokens_details": {
        "image_tokens": 2000,
        "video_tokens": 500,
        "audio_tokens": None,
        "text_tokens": 100,
        "cached_tokens": 64,
        "cache_creation_input_tokens": 1024,
    },
    "completion_tokens_details": {"reasoning_tokens": 30, "text_tokens": 40},
}


def gather(chunks: Any) -> tuple[AIMessageChunk, list[AIMessageChunk]]:
    kept = list(chunks)
    whole = kept[0]
    for chunk in kept[1:]:
        whole += chunk
    return whole, kept


@pytest.mark.openai_wire
def test_answer_carries_usage_and_metadata(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(text="A cat.", usage=USAGE))
    answer = chat.invoke([IMAGE])

    assert answer.content == "A cat."
    assert answer.usage_metadata == {
        "input_tokens": 2600,
        "output_tokens": 40,
        "total_tokens": 2640,
        "input_token_details": {
            "image": 2000,
            "video": 500,
            "cache_read": 64,
            "cache_creation": 1024,
        },
        "output_token_details": {"reasoning": 30},
    }
    metadata = answer.response_metadata
    assert metadata["model_name"] == "qwen3-vl-plus"
    assert metadata["finish_reason"] == "stop"
    assert metadata["token_usage"] == USAGE
    assert metadata["request_id"]
    assert metadata["model_provider"] == chat._get_ls_params()["ls_provider"] == "qwen_vl"


def test_stream_adds_up_to_the_same_message(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.script(*[ScriptedAnswer(text="A cat.", reasoning="Hm.", usage=USAGE)] * 2)
    whole, _ = gather(chat.stream([IMAGE]))
    answer = chat.invoke([IMAGE])

    assert whole.content == answer.content
    assert whole.content_blocks == answer.content_blocks
    assert whole.usage_metadata == answer.usage_metadata
    unlike = {"id", "request_id"}
    assert {k: v for k, v in whole.response_metadata.items() if k not in unlike} == {
        k: v for k, v in answer.response_metadata.items() if k not in unlike
    }


def test_each_fact_stands_on_one_chunk_alone(chat: ChatQwenVL) -> None:
    _, chunks = gather(chat.stream([IMAGE]))

    assert len(chunks) > 3
    for name in ("model_name", "request_id", "finish_reason", "token_usage"):
        assert sum(name in chunk.response_metadata for chunk in chunks) == 1, name
    assert sum(chunk.usage_metadata is not None for chunk in chunks) == 1
    assert all(isinstance(chunk.content, str) for chunk in chunks)


@pytest.mark.openai_wire
def test_stream_without_usage_asks_for_none(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    whole, _ = gather(make_chat(stream_usage=False).stream("Hello"))

    assert whole.usage_metadata is None
    assert "stream_options" not in qwen_vl_sandbox.last_request.json


@pytest.mark.parametrize("output_version", [None, "v1"])
@pytest.mark.parametrize("streamed", [False, True])
def test_reasoning_is_a_standard_block(
    streamed: bool, output_version: str | None, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(enable_thinking=True, output_version=output_version)
    qwen_vl_sandbox.script(ScriptedAnswer(text="A cat.", reasoning="Whiskers, a tail."))
    answer = gather(chat.stream([IMAGE]))[0] if streamed else chat.invoke([IMAGE])

    kinds = [(block["type"], block.get(block["type"])) for block in answer.content_blocks]
    assert kinds == [("reasoning", "Whiskers, a tail."), ("text", "A cat.")]
    assert answer.text == "A cat."


@pytest.mark.parametrize(
    ("model", "settings", "is_streamed"),
    [
        ("qwen3-vl-plus", {}, False),
        ("qwen3-vl-plus", {"enable_thinking": True}, True),
        ("qwen3.8-flash", {}, True),
        ("qwen3.8-flash", {"enable_thinking": False}, False),
        ("qwen-next", {}, True),
    ],
)
async def test_call_that_may_think_is_streamed_underneath(
    model: str,
    settings: dict[str, Any],
    is_streamed: bool,
    make_chat: MakeChat,
    qwen_vl_sandbox: Sandbox,
) -> None:
    chat = make_chat(model=model, **settings)
    answers = [chat.invoke([IMAGE]), await chat.ainvoke([IMAGE])]

    for answer, request in zip(answers, qwen_vl_sandbox.requests, strict=True):
        assert ("stream" in request.json) is is_streamed
        assert answer.usage_metadata is not None
        assert bool(answer.additional_kwargs.get("reasoning_content")) is is_streamed


def test_thinking_may_be_asked_for_in_one_call(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    chat.invoke([IMAGE], enable_thinking=True, thinking_budget=64)

    body = qwen_vl_sandbox.last_request.json
    assert (body["enable_thinking"], body["thinking_budget"], body["stream"]) == (True, 64, True)
    assert chat.enable_thinking is None


def test_truncated_answer_is_marked_and_warned_about(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(text="Once upon", partial=True))
    with pytest.warns(UserWarning, match="time limit"):
        answer = chat.invoke("Tell me a story.")

    assert answer.response_metadata["is_truncated"] is True


def test_parameters_leave_at_the_top_level(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    values = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 20,
        "max_tokens": 64,
        "seed": 7,
        "presence_penalty": 0.5,
        "repetition_penalty": 1.1,
        "logprobs": True,
        "top_logprobs": 2,
        "enable_thinking": False,
        "vl_high_resolution_images": True,
    }
    chat = make_chat(**values, stop=["END"], model_kwargs={"user": "u-1"})
    answer = chat.invoke("Hello", extra_body={"enable_search": False})

    body = qwen_vl_sandbox.last_request.json
    assert body == {
        "model": "qwen3-vl-plus",
        "messages": [{"role": "user", "content": "Hello"}],
        **values,
        "stop": ["END"],
        "user": "u-1",
        "enable_search": False,
    }
    assert answer.response_metadata["logprobs"]["content"]


def test_call_counts_before_instance(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    chat = make_chat(temperature=0.5, top_k=20, stop=["A"])
    chat.invoke("Hello", temperature=0.1, top_k=None, stop=["B"], model="qwen3.7-plus")

    body = qwen_vl_sandbox.last_request.json
    assert (body["temperature"], body["stop"], body["model"]) == (0.1, ["B"], "qwen3.7-plus")
    assert "top_k" not in body


def test_traces_name_this_package_s_version(chat: ChatQwenVL) -> None:
    assert chat.metadata is not None
    assert chat.metadata["lc_versions"]["langchain-qwen-vl"] == __version__


def test_nothing_stands_for_empty_lists(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    make_chat(stop=[]).bind_tools([]).invoke("Hello", stop=[])

    assert qwen_vl_sandbox.last_request.json.keys() == {"model", "messages"}


def test_unknown_options_go_through_with_a_warning(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    with pytest.warns(UserWarning, match="new_switch"):
        chat = make_chat(new_switch=1)
    with pytest.warns(UserWarning, match="newer_switch"):
        chat.invoke("Hello", newer_switch=2)

    body = qwen_vl_sandbox.last_request.json
    assert (body["new_switch"], body["newer_switch"]) == (1, 2)


def test_headers_and_key_leave_as_given(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    chat = make_chat(default_headers={"X-DashScope-WorkSpace": "ws-1"})
    chat.invoke("Hello", extra_headers={"X-DashScope-DataInspection": '{"input":"cip"}'})

    headers = qwen_vl_sandbox.last_request.headers
    assert headers["x-dashscope-workspace"] == "ws-1"
    assert headers["x-dashscope-datainspection"] == '{"input":"cip"}'
    assert headers["content-type"] == "application/json"


def test_messages_of_the_caller_stay_as_they_are(chat: ChatQwenVL) -> None:
    blocks = [{"type": "image", "image": CHELSEA, "extras": {"max_pixels": 400_000}}, "Well?"]
    message = HumanMessage(list(blocks))
    chat.invoke([message])
    list(chat.stream([message]))

    assert message.content == blocks
    assert message.content[0]["image"] is CHELSEA


async def test_async_calls_run_at_the_same_time(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(latency=0.5, times=3)
    calls = [asyncio.create_task(chat.ainvoke([IMAGE])) for _ in range(3)]
    while len(qwen_vl_sandbox.requests) < 3:  # noqa: ASYNC110 - it counts in another thread.
        await asyncio.sleep(0.01)

    # All three are under way before the first is answered.
    assert not any(call.done() for call in calls)
    assert all(answer.text for answer in await asyncio.gather(*calls))


async def test_batches_keep_their_order(chat: ChatQwenVL) -> None:
    questions = [f"Question {number}?" for number in range(5)]

    for answers in (chat.batch(questions), await chat.abatch(questions)):
        assert [
            question in answer.text for question, answer in zip(questions, answers, strict=True)
        ]
        assert all(f"Question {number}?" in answer.text for number, answer in enumerate(answers))


async def test_pictures_are_encoded_off_the_event_loop(chat: ChatQwenVL) -> None:
    class Watched(io.BytesIO):
        thread: int | None = None

        def read(self, size: int | None = -1) -> bytes:
            self.thread = threading.get_ident()
            return super().read(size)

    for how in ("ainvoke", "astream"):
        image = Watched(CHELSEA.read_bytes())
        question = [HumanMessage([{"type": "image", "image": image}])]
        if how == "ainvoke":
            await chat.ainvoke(question)
        else:
            assert [chunk async for chunk in chat.astream(question)]
        assert image.thread not in {None, threading.get_ident()}


async def test_async_stream_that_is_given_up_frees_its_connection(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(chunk_delay=0.02)
    stream = chat.astream([IMAGE])
    await anext(stream)
    await stream.aclose()
    # LangChain leaves its own generator to the collector, and that to the loop's next turn.
    gc.collect()
    await asyncio.sleep(0.05)
    client = chat._clients.asynchronous(build_connection(chat))
    (held,) = client._loops.get().values()
    (pool,) = find_pools(held.pool.transport)

    assert all(connection.is_idle() or connection.is_closed() for connection in pool.connections)


def test_each_event_loop_gets_connections_of_its_own(chat: ChatQwenVL) -> None:
    # A pool that outlives its loop fails with "Event loop is closed".
    texts = [asyncio.run(chat.ainvoke("Hello")).text for _ in range(3)]

    assert len(set(texts)) == 1


async def test_astream_gives_what_stream_gives(chat: ChatQwenVL) -> None:
    chunks = [chunk async for chunk in chat.astream([IMAGE])]

    assert [c.content for c in chunks] == [c.content for c in chat.stream([IMAGE])]


def test_stream_that_is_given_up_frees_its_connection(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(chunk_delay=0.02, times=1)
    stream = chat.stream([IMAGE])
    next(stream)
    stream.close()
    (pool,) = find_pools(chat._clients.sync(build_connection(chat))._transport())

    assert all(connection.is_idle() or connection.is_closed() for connection in pool.connections)


def test_callbacks_see_tokens_and_usage(make_chat: MakeChat) -> None:
    class Seen(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []

        def on_llm_new_token(self, token: str, **_: Any) -> None:
            self.tokens.append(token)

    seen, usage = Seen(), UsageMetadataCallbackHandler()
    answer = make_chat(streaming=True).invoke([IMAGE], {"callbacks": [seen, usage]})

    assert "".join(seen.tokens) == answer.text
    assert usage.usage_metadata["qwen3-vl-plus"]["input_token_details"]["image"] == 128


def test_streaming_can_be_turned_off(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    chunks = list(make_chat(disable_streaming=True).stream("Hello"))

    assert len(chunks) == 1
    assert isinstance(chunks[0], AIMessage)
    assert "stream" not in qwen_vl_sandbox.last_request.json


def test_rate_limiter_is_asked(make_chat: MakeChat) -> None:
    class Counting(InMemoryRateLimiter):
        asked = 0

        def acquire(self, *, blocking: bool = True) -> bool:
            self.asked += 1
            return True

    limiter = Counting(requests_per_second=1000)
    make_chat(rate_limiter=limiter).invoke("Hello")

    assert limiter.asked == 1


def test_real_picture_arrives_with_its_size_and_tokens(chat: ChatQwenVL) -> None:
    answer = chat.invoke([IMAGE])

    assert "PNG 451x300" in answer.text
    assert answer.usage_metadata is not None
    # 14 x 9 visual tokens and two markers (Vision page, 2026-08).
    assert abs(answer.usage_metadata["input_token_details"]["image"] - 128) <= 2


def test_real_video_arrives_with_its_length(chat: ChatQwenVL) -> None:
    answer = chat.invoke([HumanMessage([{"type": "video", "video": BIG_BUCK_BUNNY, "fps": 2}])])

    assert "MP4 1280x720, 5.3 s" in answer.text
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_token_details"]["video"] > 1000


@pytest.mark.parametrize("stream", [False, True])
def test_usage_is_typed_and_that_of_the_metadata(chat: ChatQwenVL, stream: bool) -> None:
    question = HumanMessage(
        [
            {"type": "image", "image": CHELSEA},
            {"type": "video", "video": BIG_BUCK_BUNNY, "fps": 1},
            "What is this?",
        ]
    )
    answer = gather(chat.stream([question]))[0] if stream else chat.invoke([question])

    usage = get_usage(answer)

    metadata = answer.usage_metadata
    assert metadata is not None
    assert usage.image_tokens == metadata["input_token_details"]["image"] == 128
    assert usage.video_tokens == metadata["input_token_details"]["video"] == 1784
    assert usage.input_tokens == metadata["input_tokens"] > 128 + 1784
    assert usage.output_tokens == metadata["output_tokens"] > 0
    assert usage.total_tokens == metadata["total_tokens"]
    assert usage.audio_tokens is None
    assert usage.raw == answer.response_metadata["token_usage"]


def test_usage_of_a_message_without_counts_is_an_error(make_chat: MakeChat) -> None:
    without = list(make_chat(stream_usage=False).stream("Hello"))[-1]
    for message in (without, HumanMessage("Hello")):
        with pytest.raises(ConfigurationError, match="stream_usage=False"):
            get_usage(message)
