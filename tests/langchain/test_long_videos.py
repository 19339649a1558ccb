"""Videos that are cut into frames or uploaded: both frameworks say how, and alike."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage, TextBlock, VideoBlock

from langchain_qwen_vl import ChatQwenVL
from langchain_qwen_vl import video_block as langchain_video_block
from llama_index.llms.qwen_vl import QwenVL, video_block
from qwen_vl.errors import MediaOptionError, UnsupportedContentError
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox

QUESTION = {"type": "text", "text": "What happens?"}
CUT = {"start": 1, "end": 4, "max_frames": 4}


def sent(sandbox: Sandbox) -> dict[str, Any]:
    part = sandbox.requests[-1].json["messages"][-1]["content"][0]
    assert isinstance(part, dict)
    return part


@pytest.mark.slow
@pytest.mark.parametrize(
    "block",
    [
        {"type": "video", "video": BIG_BUCK_BUNNY, **CUT},
        {"type": "video", "video": BIG_BUCK_BUNNY, "extras": CUT},
        {"type": "video_url", "video_url": {"url": BIG_BUCK_BUNNY, **CUT}},
        langchain_video_block(BIG_BUCK_BUNNY, **CUT),
    ],
)
def test_block_says_what_to_cut(
    block: dict[str, Any], chat: ChatQwenVL, qwen_vl_sandbox: Sandbox, speaking: dict[str, str]
) -> None:
    chat.invoke([HumanMessage([block, QUESTION])])

    part = sent(qwen_vl_sandbox)
    assert set(part) == {"type", "video", "fps"}
    assert len(part["video"]) == 4
    # From second 1 to the last frame before second 4.
    assert part["fps"] == pytest.approx(3 / 2.96, rel=1e-5)


@pytest.mark.slow
def test_block_call_and_model_say_which_way(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox, speaking: dict[str, str]
) -> None:
    block = {"type": "video", "video": BIG_BUCK_BUNNY}
    whole, cut = {**block, "video_mode": "inline"}, {**block, "video_mode": "frames"}
    chat = make_chat(video_mode="frames", max_frames=6)

    chat.invoke([HumanMessage([block, QUESTION])])
    assert len(sent(qwen_vl_sandbox)["video"]) == 6
    chat.invoke([HumanMessage([block, QUESTION])], max_frames=4)
    assert len(sent(qwen_vl_sandbox)["video"]) == 4
    chat.invoke([HumanMessage([block, QUESTION])], video_mode="inline", max_frames=None)
    assert sent(qwen_vl_sandbox)["type"] == "video_url"
    make_chat().invoke([HumanMessage([cut, QUESTION])])
    assert len(sent(qwen_vl_sandbox)["video"]) == 10
    make_chat(video_mode="frames").invoke([HumanMessage([whole, QUESTION])])
    assert sent(qwen_vl_sandbox)["type"] == "video_url"


async def test_video_is_cut_async(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox, speaking: dict[str, str]
) -> None:
    chat = make_chat(max_inline_bytes=1_000_000)
    answer = await chat.ainvoke(
        [HumanMessage([{"type": "video", "video": BIG_BUCK_BUNNY}, QUESTION])]
    )
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_token_details"]["video"] == 2972  # type: ignore[typeddict-item]
    assert len(sent(qwen_vl_sandbox)["video"]) == 10


FILM = BIG_BUCK_BUNNY.read_bytes()
HELD: dict[str, Callable[[], Any]] = {
    "bytes": lambda: FILM,
    "bytearray": lambda: bytearray(FILM),
    "memoryview": lambda: memoryview(FILM),
    "open file": lambda: io.BytesIO(FILM),
    "path": lambda: BIG_BUCK_BUNNY,
}


@pytest.mark.slow
@pytest.mark.parametrize("is_traced", [False, True])
@pytest.mark.parametrize("form", HELD)
@pytest.mark.media_alone
def test_long_video_is_cut_in_every_form(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox, form: str, *, is_traced: bool
) -> None:
    chat = make_chat(max_inline_bytes=100_000, max_frames=4)
    block = {"type": "video", "video": HELD[form]()}
    callbacks = [BaseCallbackHandler()] if is_traced else []
    chat.invoke([HumanMessage([block, QUESTION])], {"callbacks": callbacks})
    assert len(sent(qwen_vl_sandbox)["video"]) == 4


def test_count_of_a_message_is_that_of_its_frames(chat: ChatQwenVL) -> None:
    message = HumanMessage([{"type": "video", "video": BIG_BUCK_BUNNY, **CUT}, QUESTION])
    answer = chat.invoke([message])
    assert answer.usage_metadata is not None
    # Two pairs of frames of 33 x 18 squares.
    assert answer.usage_metadata["input_token_details"]["video"] == 1190  # type: ignore[typeddict-item]
    assert abs(chat.get_num_tokens_from_messages([message]) - 1190) < 20


def test_address_cannot_be_cut(chat: ChatQwenVL) -> None:
    block = {"type": "video", "url": "https://example.com/walk.mp4", **CUT}
    with pytest.raises(UnsupportedContentError, match=r"messages\[0\].content\[0\]: start and"):
        chat.invoke([HumanMessage([block, QUESTION])])


def test_other_modes_are_refused(chat: ChatQwenVL) -> None:
    block = {"type": "video", "video": BIG_BUCK_BUNNY}
    with pytest.raises(MediaOptionError, match=r"'whole'.*'auto', 'inline', 'frames'"):
        chat.invoke([HumanMessage([block, QUESTION])], video_mode="whole")


@pytest.mark.openai_wire
def test_both_frameworks_send_the_same_frames(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox, speaking: dict[str, str]
) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox", **speaking)
    blocks = [
        video_block(BIG_BUCK_BUNNY, **CUT),
        video_block(BIG_BUCK_BUNNY.read_bytes(), **CUT),
        VideoBlock(path=BIG_BUCK_BUNNY, video_mimetype="video/mp4;start=1;end=4;max_frames=4"),
    ]
    chat.invoke([HumanMessage([{"type": "video", "video": BIG_BUCK_BUNNY, **CUT}, QUESTION])])
    for block in blocks:
        # As it comes back from a store.
        stored = VideoBlock.model_validate_json(block.model_dump_json())
        llm.chat([ChatMessage([stored, TextBlock(text=QUESTION["text"])])])
    by_langchain, *by_llama_index = qwen_vl_sandbox.requests
    assert [request.body for request in by_llama_index] == [by_langchain.body] * 3


def test_call_of_llama_index_says_which_way(
    qwen_vl_sandbox: Sandbox, speaking: dict[str, str]
) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox", max_frames=6)
    message = ChatMessage([VideoBlock(path=BIG_BUCK_BUNNY), TextBlock(text="What happens?")])
    llm.chat([message])
    assert len(sent(qwen_vl_sandbox)["video"]) == 6
    llm.chat([message], video_mode="frames", max_frames=4)
    assert len(sent(qwen_vl_sandbox)["video"]) == 4


@pytest.mark.parametrize("name", ["start", "end", "max_frames"])
def test_option_of_a_block_that_is_no_number_is_refused(
    name: str, qwen_vl_sandbox: Sandbox, speaking: dict[str, str]
) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox", **speaking)
    block = VideoBlock(path=BIG_BUCK_BUNNY, video_mimetype=f"video/mp4;{name}=soon")
    with pytest.raises(MediaOptionError, match=f"{name} is 'soon', which is no"):
        llm.chat([ChatMessage([block])])


@pytest.mark.parametrize("way", ["block", "call", "model"])
async def test_video_is_uploaded_by_either_framework_once(
    way: str,
    make_chat: Callable[..., ChatQwenVL],
    qwen_vl_sandbox: Sandbox,
    speaking: dict[str, str],
) -> None:
    upload = {"video_mode": "upload"}
    of_block, of_call, of_model = ({} if way != at else upload for at in ("block", "call", "model"))
    chat = make_chat(**of_model)
    llm = QwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox", **speaking, **of_model)
    block = {"type": "video", "video": BIG_BUCK_BUNNY, "fps": 1.5, **of_block}
    same = [video_block(BIG_BUCK_BUNNY, fps=1.5, **of_block), TextBlock(text="What happens?")]

    await chat.ainvoke([HumanMessage([block, QUESTION])], **of_call)
    first = qwen_vl_sandbox.last_request
    llm.chat([ChatMessage(same)], **of_call)
    second = qwen_vl_sandbox.last_request

    (stored,) = qwen_vl_sandbox.uploads
    assert sent(qwen_vl_sandbox) == {
        "type": "video_url",
        "video_url": {"url": f"oss://{stored.key}"},
        "fps": 1.5,
    }
    assert first.body == second.body
    for request in (first, second):
        assert request.headers["x-dashscope-ossresourceresolve"] == "enable"
    # A policy, the file, and two questions.
    assert len(qwen_vl_sandbox.requests) == 4
