"""Audio for self-hosted servers and gateways: what they take of it, and what is refused.

llama.cpp: ggml-org/llama.cpp, `tools/server/server-common.cpp`, `oaicompat_chat_params_parse`.
OpenAI's API reference, Chat Completions: `input_audio` with Base64 and `wav` or `mp3`.
"""

import base64

import orjson
import pytest

from audio_samples import encode_audio, make_wav
from qwen_vl.content import Audio, Inline, Source, Turn, Url
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.media.prepare import prepare_media
from qwen_vl.request.types import Request
from qwen_vl.specs.servers import Server
from qwen_vl.wire.openai.encode import encode_request

WAV = make_wav(0.1)
URL = Url("https://example.com/call.mp3")


def encode(source: Source, server: Server) -> object:
    turn = Turn(role="user", parts=(Audio(source=source, where="messages[0].content[0]"),))
    request = Request(model="Qwen/Qwen2.5-Omni-7B", turns=(turn,), server=server)
    (message,) = orjson.loads(bytes(encode_request(prepare_media(request))))["messages"]
    (part,) = message["content"]
    return part


@pytest.mark.parametrize("server", ["llamacpp", "openai_compatible"])
def test_base64_stands_alone_in_openais_form(server: Server) -> None:
    data = base64.b64encode(WAV).decode()
    assert encode(Inline(WAV), server) == {
        "type": "input_audio",
        "input_audio": {"data": data, "format": "wav"},
    }


@pytest.mark.parametrize("server", ["vllm", "sglang"])
def test_urls_go_out_as_they_are(server: Server) -> None:
    assert encode(URL, server) == {"type": "audio_url", "audio_url": {"url": URL.url}}


@pytest.mark.parametrize(
    ("source", "server", "words"),
    [
        (URL, "llamacpp", "llama.cpp takes no audio by URL. Download it"),
        (URL, "openai_compatible", "takes no audio by URL"),
        (URL, "ollama", "Ollama takes no audio"),
        (Inline(WAV), "ollama", "Ollama takes no audio"),
        (
            Inline(encode_audio("flac", "flac", 0.5)),
            "llamacpp",
            "llama.cpp takes audio as WAV and MP3 only. Convert this FLAC file",
        ),
        (Url("oss://bucket/call.mp3"), "vllm", "no oss:// URLs"),
    ],
)
def test_what_a_server_does_not_take_is_refused(source: Source, server: Server, words: str) -> None:
    with pytest.raises(UnsupportedContentError) as caught:
        encode(source, server)
    assert words in str(caught.value)
    assert caught.value.where == "messages[0].content[0]"
