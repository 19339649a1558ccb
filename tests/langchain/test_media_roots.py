"""Files outside of `media_roots` are never read, where their path stands."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from audio_samples import make_wav
from langchain_qwen_vl import ChatQwenVL
from qwen_vl.content import LocalFileUrl
from qwen_vl.errors import MediaAccessError, MediaFormatError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

MakeChat = Callable[..., ChatQwenVL]

OMNI = "qwen3.8-omni-flash"
KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU=\n"
DER = b"\x30\x82\x04\xa4\x02\x01\x00\x00" * 40
WAV = make_wav()

pytestmark = pytest.mark.media_alone

SHAPES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "image": lambda value: {"type": "image", "url": value},
    "image_url": lambda value: {"type": "image_url", "image_url": {"url": value}},
    "video": lambda value: {"type": "video", "video": value},
    "frames": lambda value: {"type": "video", "video": [value] * 4},
    "audio": lambda value: {"type": "audio", "url": value},
    "input_audio": lambda value: {
        "type": "input_audio",
        "input_audio": {"data": value, "format": "wav"},
    },
    "PDF": lambda value: {"type": "file", "url": value, "mime_type": "application/pdf"},
    "native": lambda value: {"image": value},
    "Gemini": lambda value: {"type": "media", "file_uri": value, "mime_type": "image/png"},
}


# The `data` of input_audio is Base64 to LangChain, and never a path.
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape != "input_audio"])
def test_block_from_json_reads_nothing_outside(
    shape: str, make_chat: MakeChat, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    for media_roots in (None, [tmp_path]):
        for text in (str(CHELSEA), CHELSEA.as_uri(), "/nowhere/lost.png"):
            block = json.loads(json.dumps(SHAPES[shape](text)))
            with pytest.raises(MediaAccessError):
                make_chat(model=OMNI, media_roots=media_roots).invoke([HumanMessage([block])])
    assert qwen_vl_sandbox.requests == []


@pytest.mark.parametrize("shape", ["image", "video", "audio", "PDF"])
def test_roots_bind_paths_of_the_program_too(
    shape: str, make_chat: MakeChat, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(model=OMNI, media_roots=[tmp_path])
    with pytest.raises(MediaAccessError):
        chat.invoke([HumanMessage([SHAPES[shape](CHELSEA)])])
    assert qwen_vl_sandbox.requests == []


def test_trust_in_a_path_does_not_survive_json(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    message = HumanMessage([SHAPES["image"](LocalFileUrl.of(CHELSEA))])
    chat = make_chat()
    assert chat.invoke([message]).text

    with pytest.raises(MediaAccessError):
        chat.invoke([HumanMessage(json.loads(json.dumps(message.content)))])
    assert len(qwen_vl_sandbox.requests) == 1


@pytest.mark.parametrize("data", [KEY, DER, b"Dear reader"], ids=["PEM", "DER", "text"])
def test_what_is_no_audio_is_not_sent_as_audio(
    data: bytes, make_chat: MakeChat, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    path = tmp_path / "voice.wav"
    path.write_bytes(data)
    encoded = base64.b64encode(data).decode()
    for block in (
        SHAPES["audio"](path),
        SHAPES["audio"](str(path)),
        SHAPES["input_audio"](encoded),
        {"type": "audio", "base64": encoded, "mime_type": "audio/wav"},
    ):
        with pytest.raises(MediaFormatError, match="Expected audio"):
            make_chat(model=OMNI, media_roots=[tmp_path]).invoke([HumanMessage([block])])
    assert qwen_vl_sandbox.requests == []


def test_audio_inside_the_roots_is_sent(
    make_chat: MakeChat, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    path = tmp_path / "voice.wav"
    path.write_bytes(WAV)
    make_chat(model=OMNI, media_roots=[tmp_path]).invoke(
        [HumanMessage([SHAPES["audio"](str(path))])]
    )
    assert base64.b64encode(WAV) in qwen_vl_sandbox.last_request.body
