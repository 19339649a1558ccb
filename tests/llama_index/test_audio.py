"""Audio through LlamaIndex: the exact JSON of every block (Omni page, 2026-09)."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import AudioBlock, ChatMessage, DocumentBlock, TextBlock

from audio_samples import encode_audio, make_wav
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import MediaAccessError, MediaFormatError, UnsupportedContentError
from qwen_vl_sandbox import Sandbox

OMNI = "qwen3.8-omni-flash"
WAV = make_wav()
MP3 = encode_audio("mp3", "libmp3lame", 1.0, 16_000)
URL = "https://example.com/call.mp3"

MakeLlm = Callable[..., QwenVL]


def audio(data: str, kind: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}


WAV_PART = audio(f"data:;base64,{base64.b64encode(WAV).decode()}", "wav")
MP3_PART = audio(f"data:;base64,{base64.b64encode(MP3).decode()}", "mp3")

BLOCKS: dict[str, tuple[Callable[[Path], AudioBlock], dict[str, Any]]] = {
    "bytes": (lambda _: AudioBlock(audio=WAV), WAV_PART),
    "bytes with a format": (lambda _: AudioBlock(audio=MP3, format="wav"), MP3_PART),
    "Base64": (lambda _: AudioBlock(audio=base64.b64encode(MP3)), MP3_PART),
    "file object": (lambda _: AudioBlock(audio=io.BytesIO(MP3)), MP3_PART),
    "path": (lambda path: AudioBlock(path=path), WAV_PART),
    "URL": (lambda _: AudioBlock(url=URL), audio(URL, "mp3")),
    "URL with a format": (
        lambda _: AudioBlock(url="https://example.com/call", format="wav"),
        audio("https://example.com/call", "wav"),
    ),
    "data URL": (
        lambda _: AudioBlock(url=f"data:audio/mpeg;base64,{base64.b64encode(MP3).decode()}"),
        MP3_PART,
    ),
}


@pytest.mark.openai_wire
@pytest.mark.parametrize("shape", BLOCKS)
def test_every_block_becomes_the_documented_json(
    shape: str, make_llm: MakeLlm, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    path = tmp_path / "call.mp3"  # The name is wrong.
    path.write_bytes(WAV)
    make, sent = BLOCKS[shape]
    message = ChatMessage(blocks=[make(path), TextBlock(text="What is said?")])
    assert make_llm(OMNI).chat([message]).message.content

    (asked,) = qwen_vl_sandbox.last_request.json["messages"]
    assert asked["content"] == [sent, {"type": "text", "text": "What is said?"}]


@pytest.mark.parametrize("model", [OMNI, "qwen3.5-omni-plus"])
async def test_audio_tokens_are_reported(model: str, make_llm: MakeLlm) -> None:
    llm, messages = make_llm(model), [ChatMessage(blocks=[AudioBlock(audio=WAV)])]
    streamed = [chunk async for chunk in await llm.astream_chat(messages)]
    for response in (
        llm.chat(messages),
        await llm.achat(messages),
        list(llm.stream_chat(messages))[-1],
        streamed[-1],
    ):
        assert response.additional_kwargs["audio_tokens"] == 7
        assert "an audio file: WAV of 1.0 s" in str(response.message.content)


def test_other_models_refuse_audio_and_name_those_that_take_it(
    make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    with pytest.raises(UnsupportedContentError, match=r"qwen3\.8-omni-flash"):
        make_llm().chat([ChatMessage(blocks=[AudioBlock(audio=WAV)])])
    assert qwen_vl_sandbox.requests == []


def test_roots_bind_audio_files(make_llm: MakeLlm, tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(WAV)
    message = ChatMessage(blocks=[AudioBlock(path=path)])
    with pytest.raises(MediaAccessError):
        make_llm(OMNI, media_roots=[tmp_path / "open"]).chat([message])
    assert make_llm(OMNI, media_roots=[tmp_path]).chat([message]).message.content


def test_text_is_no_audio(make_llm: MakeLlm) -> None:
    with pytest.raises(MediaFormatError, match="looks like text"):
        make_llm(OMNI).chat([ChatMessage(blocks=[AudioBlock(audio=b"Dear reader", format="wav")])])


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    "block",
    [AudioBlock(audio=WAV), DocumentBlock(data=WAV, document_mimetype="audio/wav")],
    ids=["AudioBlock", "DocumentBlock"],
)
def test_audio_from_a_tool_follows_in_a_user_message(
    block: Any, make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "record", "arguments": "{}"}}
    messages = [
        ChatMessage("What is said?"),
        ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]}),
        ChatMessage(role="tool", blocks=[block], additional_kwargs={"tool_call_id": "a"}),
    ]
    make_llm(OMNI).chat(messages)
    assert qwen_vl_sandbox.last_request.json["messages"][3]["content"] == [
        {"type": "text", "text": "From tool call a:"},
        WAV_PART,
    ]
