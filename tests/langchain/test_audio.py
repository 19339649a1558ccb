"""Audio through LangChain: the exact JSON of every shape, answers and limits.

The service's form is that of the Omni page (2026-09), section "Audio + text input": `input_audio`
with `data`, a URL or a data URL without a type, and `format`.
"""

import base64
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dashscope
import openai
import pytest
from dashscope import MultiModalConversation
from dashscope.api_entities.http_request import close_shared_sync_session
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from audio_samples import encode_audio, make_wav
from langchain_qwen_vl import ChatQwenVL
from qwen_vl.errors import (
    ConfigurationError,
    MediaAccessError,
    MediaFormatError,
    UnsupportedContentError,
)
from qwen_vl_sandbox import Sandbox

OMNI = "qwen3.8-omni-flash"
WAV = make_wav()
MP3 = encode_audio("mp3", "libmp3lame", 1.0, 16_000)
WAV_TEXT = base64.b64encode(WAV).decode()
MP3_TEXT = base64.b64encode(MP3).decode()
URL = "https://example.com/call.mp3"

MakeChat = Callable[..., ChatQwenVL]


def audio(data: str, kind: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}


WAV_PART = audio(f"data:;base64,{WAV_TEXT}", "wav")
MP3_PART = audio(f"data:;base64,{MP3_TEXT}", "mp3")

SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "v1 Base64": ({"type": "audio", "base64": WAV_TEXT, "mime_type": "audio/wav"}, WAV_PART),
    "v1 URL": ({"type": "audio", "url": URL, "mime_type": "audio/mpeg"}, audio(URL, "mp3")),
    "v1 URL, format by its name": ({"type": "audio", "url": URL}, audio(URL, "mp3")),
    "v1 data URL": (
        {"type": "audio", "url": f"data:audio/mpeg;base64,{MP3_TEXT}"},
        MP3_PART,
    ),
    "v0 Base64": (
        {"type": "audio", "source_type": "base64", "data": MP3_TEXT, "mime_type": "audio/mpeg"},
        MP3_PART,
    ),
    "v0 URL": ({"type": "audio", "source_type": "url", "url": URL}, audio(URL, "mp3")),
    "OpenAI's": (audio(WAV_TEXT, "wav"), WAV_PART),
    "the service's": (audio(URL, "mp3"), audio(URL, "mp3")),
    "the service's data URL": (WAV_PART, WAV_PART),
    "wrong format stated": (audio(MP3_TEXT, "wav"), MP3_PART),
    "bytes": ({"type": "audio", "audio": MP3}, MP3_PART),
    "bytes as Base64": ({"type": "audio", "base64": WAV, "mime_type": "audio/wav"}, WAV_PART),
    "OpenAI's with bytes": (
        {"type": "input_audio", "input_audio": {"data": MP3, "format": "mp3"}},
        MP3_PART,
    ),
    "file block": ({"type": "file", "base64": WAV_TEXT, "mime_type": "audio/wav"}, WAV_PART),
    "Gemini's": ({"type": "media", "data": MP3_TEXT, "mime_type": "audio/mp3"}, MP3_PART),
    "native": ({"audio": URL}, audio(URL, "mp3")),
}


@pytest.mark.openai_wire
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_becomes_the_documented_json(
    shape: str, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    block, sent = SHAPES[shape]
    text = {"type": "text", "text": "What is said?"}
    assert make_chat(model=OMNI).invoke([HumanMessage([block, text])]).text

    assert qwen_vl_sandbox.last_request.json["messages"] == [
        {"role": "user", "content": [sent, text]}
    ]
    assert qwen_vl_sandbox.last_request.unknown_fields == ()


@pytest.mark.openai_wire
def test_file_objects_and_paths_are_read_once(
    make_chat: MakeChat, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    path = tmp_path / "call"
    path.write_bytes(MP3)
    for value in (path, io.BytesIO(MP3)):
        make_chat(model=OMNI).invoke([HumanMessage([{"type": "audio", "audio": value}])])
        (message,) = qwen_vl_sandbox.last_request.json["messages"]
        assert message["content"] == [MP3_PART]


def test_native_protocol_has_the_url_alone(
    qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`{"audio": …}`, as for the official SDK (Native-API page, 2026-09)."""
    chat = ChatQwenVL(
        model=OMNI, base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox", protocol="native"
    )
    chat.invoke([HumanMessage([SHAPES["v1 Base64"][0], {"type": "text", "text": "Hi"}])])
    (ours,) = qwen_vl_sandbox.last_request.json["input"]["messages"]
    assert ours["content"] == [{"audio": f"data:;base64,{WAV_TEXT}"}, {"text": "Hi"}]

    content = [{"audio": f"data:;base64,{WAV_TEXT}"}, {"text": "Hi"}]
    monkeypatch.setattr(dashscope, "base_http_api_url", qwen_vl_sandbox.native_base_url)
    messages: Any = [{"role": "user", "content": content}]
    MultiModalConversation.call(
        model=OMNI, messages=messages, api_key="sk-sandbox", enable_thinking=False
    )
    close_shared_sync_session()
    assert qwen_vl_sandbox.last_request.json["input"]["messages"] == [ours]


@pytest.mark.openai_wire
def test_official_sdk_sends_the_same_body(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    messages: Any = [
        {"role": "user", "content": [WAV_PART, {"type": "text", "text": "What is said?"}]}
    ]
    with openai.OpenAI(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox") as client:
        stream = client.chat.completions.create(
            model="qwen3.5-omni-plus",
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    theirs = qwen_vl_sandbox.last_request.json
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None

    answer = make_chat(model="qwen3.5-omni-plus").invoke(messages)
    assert qwen_vl_sandbox.last_request.json == theirs
    assert isinstance(answer.usage_metadata, dict)
    assert (
        answer.usage_metadata["input_token_details"]["audio"]
        == usage.prompt_tokens_details.audio_tokens
        == 7
    )


@pytest.mark.parametrize("model", [OMNI, "qwen3.5-omni-plus", "qwen3.5-omni-flash"])
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_audio_tokens_are_reported(
    model: str, is_streamed: bool, make_chat: MakeChat
) -> None:
    chat, message = make_chat(model=model), HumanMessage([SHAPES["v1 Base64"][0]])
    answers: list[AIMessage] = []
    if is_streamed:
        for chunks in (list(chat.stream([message])), [c async for c in chat.astream([message])]):
            whole = chunks[0]
            for chunk in chunks[1:]:
                whole += chunk
            answers.append(whole)
    else:
        answers += [chat.invoke([message]), await chat.ainvoke([message])]
    for answer in answers:
        assert answer.usage_metadata is not None
        assert answer.usage_metadata["input_token_details"]["audio"] == 7
        assert "an audio file: WAV of 1.0 s" in answer.text


@pytest.mark.parametrize(
    ("block", "kind", "words"),
    [
        ({"type": "audio", "file_id": "file-1"}, UnsupportedContentError, "file_id"),
        ({"type": "audio"}, UnsupportedContentError, "holds no audio"),
        ({"type": "audio", "base64": "ZGVhcg==", "mime_type": "audio/wav"}, MediaFormatError, "te"),
        ({"type": "audio", "audio": os.fspath("/etc/hostname")}, MediaAccessError, "media_roots"),
    ],
)
def test_block_without_audio_is_refused(
    block: dict[str, Any],
    kind: type[Exception],
    words: str,
    make_chat: MakeChat,
    qwen_vl_sandbox: Sandbox,
) -> None:
    with pytest.raises(kind, match=words):
        make_chat(model=OMNI).invoke([HumanMessage([block])])
    assert qwen_vl_sandbox.requests == []


@pytest.mark.openai_wire
def test_url_whose_format_nothing_shows_is_refused(make_chat: MakeChat) -> None:
    block = {"type": "audio", "url": "https://example.com/call"}
    with pytest.raises(MediaFormatError, match="format of the audio"):
        make_chat(model=OMNI).invoke([HumanMessage([block])])


@pytest.mark.parametrize("given", ["extra_body", "model_kwargs"])
def test_speech_is_refused_since_it_would_be_lost(given: str, make_chat: MakeChat) -> None:
    chat = make_chat(model=OMNI, **{given: {"modalities": ["text", "audio"]}})
    with pytest.raises(ConfigurationError, match="speech would be lost"):
        chat.invoke("Hello")
    text = {given: {"modalities": ["text"]}}
    assert make_chat(model=OMNI, **text).invoke("Hello").text


def history(*blocks: dict[str, Any]) -> list[Any]:
    call = {"name": "record", "args": {}, "id": "a"}
    return [
        HumanMessage("What is said?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage(["One minute ago:", *blocks], tool_call_id="a"),
    ]


@pytest.mark.openai_wire
def test_audio_from_a_tool_follows_in_a_user_message(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    """As images do: the message of a tool is text (OpenAI-Chat page, 2026-10)."""
    make_chat(model=OMNI).invoke(history(SHAPES["v1 Base64"][0]))

    assert qwen_vl_sandbox.last_request.json["messages"][2:] == [
        {
            "role": "tool",
            "tool_call_id": "a",
            "content": (
                "One minute ago:\n"
                "The media of this result, with audio, follows in the next message (1)."
            ),
        },
        {"role": "user", "content": [{"type": "text", "text": "From tool call a:"}, WAV_PART]},
    ]


@pytest.mark.openai_wire
def test_link_to_audio_is_followed_by_models_that_take_it(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    make_chat(model=OMNI).invoke(history({"type": "audio", "url": URL}))
    assert qwen_vl_sandbox.last_request.json["messages"][3]["content"][1] == audio(URL, "mp3")

    make_chat().invoke(history({"type": "audio", "url": URL}))
    assert qwen_vl_sandbox.last_request.json["messages"][2]["content"] == (
        f"One minute ago:\nLink: {URL} (audio/mp3)"
    )


def test_audio_is_counted_before_it_is_sent(make_chat: MakeChat) -> None:
    chat = make_chat(model=OMNI)
    block = {"type": "audio", "base64": base64.b64encode(make_wav(30.0)).decode()}
    with_audio = chat.get_num_tokens_from_messages([HumanMessage([{**block, "mime_type": "x"}])])
    assert with_audio - chat.get_num_tokens_from_messages([HumanMessage("")]) == 210
