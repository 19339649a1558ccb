"""Roles, histories and what is done with content that stands where the service takes none."""

import copy
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.memory import Memory

from llama_index.llms.qwen_vl import QwenVL
from llama_index.llms.qwen_vl.messages import to_turns
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

CAT = "https://example.com/cat.png"
IMAGE = {"type": "image_url", "image_url": {"url": CAT}}
WALK = "https://example.com/walk.mp4"
VIDEO = {"type": "video_url", "video_url": {"url": WALK}}
QUESTION = ChatMessage("What is this?")


def said(role: str, *blocks: Any, **beside: Any) -> ChatMessage:
    made = [TextBlock(text=block) if isinstance(block, str) else block for block in blocks]
    return ChatMessage(role=MessageRole(role), blocks=made, additional_kwargs=beside)


def send(llm: QwenVL, sandbox: Sandbox, *messages: ChatMessage) -> list[dict[str, Any]]:
    llm.chat(list(messages))
    sent: list[dict[str, Any]] = sandbox.last_request.json["messages"]
    return sent


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("assistant", "assistant"),
        ("chatbot", "assistant"),
        ("model", "assistant"),
    ],
)
def test_roles(role: str, expected: str, llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    sent = send(llm, qwen_vl_sandbox, said(role, "Hello"), QUESTION)
    assert sent == [
        {"role": expected, "content": "Hello"},
        {"role": "user", "content": "What is this?"},
    ]


def test_name_of_a_speaker(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    sent = send(llm, qwen_vl_sandbox, said("user", "Hello", name="Ada"))
    assert sent == [{"role": "user", "name": "Ada", "content": "Hello"}]


@pytest.mark.parametrize("empty", [said("system"), said("system", ""), said("system", "", "")])
def test_system_message_without_a_word_is_left_out(
    empty: ChatMessage, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    sent = send(llm, qwen_vl_sandbox, empty, QUESTION)
    assert sent == [{"role": "user", "content": "What is this?"}]


def test_media_of_a_system_message_is_moved(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    system = said("system", "Be brief.", ImageBlock(url=CAT), VideoBlock(url=WALK))
    with pytest.warns(UserWarning, match=r"messages\[0\].*in a user message after it"):
        sent = send(llm, qwen_vl_sandbox, system, QUESTION)
    assert sent == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [IMAGE, VIDEO]},
        {"role": "user", "content": "What is this?"},
    ]


def test_media_of_an_assistant_is_not_lost_in_silence(
    llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    answer = said("assistant", "Here it is.", ImageBlock(url=CAT))
    with pytest.warns(UserWarning, match=r"messages\[1\].blocks\[1\].*is not sent"):
        sent = send(llm, qwen_vl_sandbox, QUESTION, answer, QUESTION)
    assert sent[1] == {"role": "assistant", "content": "Here it is."}


CALL = ToolCallBlock(tool_call_id="a", tool_name="look", tool_kwargs={"at": "左"})
SENT_CALL = {
    "id": "a",
    "type": "function",
    "function": {"name": "look", "arguments": '{"at": "左"}'},
}


@pytest.mark.parametrize("role", ["tool", "function"])
def test_media_of_a_tool_follows_in_a_user_message(
    role: str, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    second = ToolCallBlock(tool_call_id="b", tool_name="look", tool_kwargs="{}")
    sent = send(
        llm,
        qwen_vl_sandbox,
        QUESTION,
        said("assistant", ThinkingBlock(content="Hm."), CALL, second),
        said(role, "Here:", ImageBlock(url=CAT), tool_call_id="a"),
        said(role, VideoBlock(url=WALK, fps=2), tool_call_id="b"),
        said("user", "And now?"),
    )
    note = "The pictures or videos of this result follow in the next message (1)."
    assert sent[1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                SENT_CALL,
                {**SENT_CALL, "id": "b", "function": {"name": "look", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": f"Here:\n{note}"},
        {"role": "tool", "tool_call_id": "b", "content": note},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "From tool call a:"},
                IMAGE,
                {"type": "text", "text": "From tool call b:"},
                {**VIDEO, "fps": 2},
            ],
        },
        {"role": "user", "content": "And now?"},
    ]


def test_tool_message_without_an_id(llm: QwenVL) -> None:
    with pytest.raises(UnsupportedContentError, match=r"messages\[1\].*tool_call_id"):
        llm.chat([QUESTION, said("tool", "42")])


@pytest.mark.parametrize("arguments", [{"at": "左"}, '{"at": "左"}'])
def test_arguments_beside_the_blocks(
    arguments: object, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    call = {"id": "a", "function": {"name": "look", "arguments": arguments}}
    answer = said("assistant", tool_calls=[call])
    sent = send(llm, qwen_vl_sandbox, QUESTION, answer, said("tool", "42", tool_call_id="a"))
    assert sent[1]["tool_calls"][0]["function"]["arguments"] == '{"at": "左"}'


@pytest.mark.parametrize("is_block", [False, True])
@pytest.mark.parametrize("arguments", ['{"at": "le', "[1]", '{"x": NaN}', '{"at": "\ud83d"}'])
def test_broken_arguments_are_sent_as_json_that_holds_them(
    arguments: str, is_block: bool, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    call = {"id": "a", "function": {"name": "look", "arguments": arguments}}
    block = ToolCallBlock(tool_call_id="a", tool_name="look", tool_kwargs=arguments)
    answer = said("assistant", block) if is_block else said("assistant", tool_calls=[call])
    sent = send(llm, qwen_vl_sandbox, QUESTION, answer, said("tool", "No.", tool_call_id="a"))
    written = sent[1]["tool_calls"][0]["function"]["arguments"]
    assert orjson.loads(written) == {
        "_invalid_arguments": arguments.encode("utf-8", "backslashreplace").decode()
    }


def test_list_of_arguments_beside_the_blocks_is_sent_as_json(
    llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    call = {"id": "a", "function": {"name": "look", "arguments": ["left"]}}
    answer = said("assistant", tool_calls=[call])
    sent = send(llm, qwen_vl_sandbox, QUESTION, answer, said("tool", "No.", tool_call_id="a"))
    written = sent[1]["tool_calls"][0]["function"]["arguments"]
    assert orjson.loads(written) == {"_invalid_arguments": '["left"]'}


def test_arguments_beside_the_blocks_that_are_no_json(llm: QwenVL) -> None:
    call = {"id": "a", "function": {"name": "look", "arguments": {"at": object()}}}
    with pytest.raises(UnsupportedContentError, match=r"messages\[1\]: The arguments"):
        llm.chat([QUESTION, said("assistant", tool_calls=[call])])


@pytest.mark.parametrize("values", [{"role": "user", "content": "Hello"}, "Hello"])
def test_what_is_no_message_is_told_as_such(values: object) -> None:
    with pytest.raises(UnsupportedContentError, match=rf"messages\[1\]: A {type(values).__name__}"):
        to_turns([QUESTION, values])  # type: ignore[list-item]


def test_sound_of_a_tool(llm: QwenVL) -> None:
    with pytest.raises(UnsupportedContentError, match="cannot hold a reasoning"):
        llm.chat(
            [QUESTION, said("tool", ThinkingBlock(content="Hm."), tool_call_id="a")],
            tool_media_errors="raise",
        )


OLD_CALL = {
    "id": "a",
    "type": "function",
    "function": {"name": "look", "arguments": '{"at": "左"}'},
}


@pytest.mark.parametrize(
    "call",
    [
        OLD_CALL,
        SimpleNamespace(id="a", function=SimpleNamespace(name="look", arguments='{"at": "左"}')),
    ],
    ids=["dict", "object of an SDK"],
)
@pytest.mark.parametrize("beside", [[], [CALL]], ids=["alone", "and a block"])
def test_calls_beside_the_blocks_are_sent_once(
    call: Any, beside: list[Any], llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    answer = said("assistant", *beside, tool_calls=[call])
    sent = send(llm, qwen_vl_sandbox, QUESTION, answer, said("tool", "42", tool_call_id="a"))
    assert sent[1]["tool_calls"] == [SENT_CALL]


def test_call_without_a_name(llm: QwenVL) -> None:
    with pytest.raises(UnsupportedContentError, match=r"tool_calls'\]\[0\].*name"):
        llm.chat([QUESTION, said("assistant", tool_calls=[{"id": "a"}])])


def test_arguments_that_are_no_json(llm: QwenVL) -> None:
    call = ToolCallBlock(tool_call_id="a", tool_name="look", tool_kwargs={"at": object()})
    with pytest.raises(UnsupportedContentError, match="not JSON"):
        llm.chat([QUESTION, said("assistant", call)])


def test_thinking_of_earlier_answers_is_not_sent_again(
    llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    answer = said("assistant", ThinkingBlock(content="Hm."), "A cat.")
    sent = send(llm, qwen_vl_sandbox, QUESTION, answer, QUESTION)
    assert sent[1] == {"role": "assistant", "content": "A cat."}


def test_thinking_is_sent_again_where_it_is_wanted(make_llm: Any, qwen_vl_sandbox: Sandbox) -> None:
    llm = make_llm("qwen3.8-flash", preserve_thinking=True)
    answer = said("assistant", ThinkingBlock(content="Hm."), "A cat.")
    sent = send(llm, qwen_vl_sandbox, QUESTION, answer, QUESTION)
    assert sent[1] == {"role": "assistant", "content": "A cat.", "reasoning_content": "Hm."}


def test_beginning_of_an_answer(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    sent = send(llm, qwen_vl_sandbox, QUESTION, said("assistant", "It is", partial=True))
    assert sent[1] == {"role": "assistant", "content": "It is", "partial": True}


@pytest.mark.parametrize("block", [ThinkingBlock(content="Hm."), CALL])
def test_thinking_and_calls_of_a_user(block: ThinkingBlock | ToolCallBlock, llm: QwenVL) -> None:
    with pytest.raises(UnsupportedContentError, match="Put it in an assistant's message"):
        llm.chat([said("user", block, "Hello")])


def test_empty_user_message_says_why(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    with pytest.raises(UnsupportedContentError, match=r"messages\[0\]: The message is empty"):
        llm.chat([ChatMessage(role=MessageRole.USER)])
    assert qwen_vl_sandbox.requests == []


async def test_chat_engine_that_drops_a_picture_says_why(llm: QwenVL, memory: Memory) -> None:
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory)
    question = said("user", ImageBlock(url=CAT))
    with pytest.raises(UnsupportedContentError, match="SimpleChatEngine"):
        await engine.achat(question)  # type: ignore[arg-type]  # It takes str, and users pass this.


def test_nothing_of_the_callers_is_changed(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    history = [
        said("system", "Be brief."),
        said("user", ImageBlock(path=CHELSEA), "What is this?"),
        said("assistant", ThinkingBlock(content="Hm."), CALL, tool_calls=[OLD_CALL]),
        said("tool", "Here:", ImageBlock(url=CAT), tool_call_id="a"),
    ]
    before = copy.deepcopy(history)
    llm.chat(history)
    list(llm.stream_chat(history))
    llm.chat_with_tools([], user_msg="And now?", chat_history=history)
    assert history == before
    assert qwen_vl_sandbox.last_request.json["messages"][-1]["content"] == "And now?"


def test_call_of_the_form_that_openai_has_given_up(llm: QwenVL) -> None:
    call = {"name": "look", "arguments": "{}"}
    with pytest.raises(UnsupportedContentError, match="function_call"):
        llm.chat([QUESTION, said("assistant", function_call=call)])
