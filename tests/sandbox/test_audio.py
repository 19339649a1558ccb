"""Audio in the sandbox, by the rules of the Omni page (2026-09)."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from audio_samples import encode_audio, make_wav

OMNI = "qwen3.8-omni-flash"


def data_url(data: bytes) -> str:
    return f"data:;base64,{base64.b64encode(data).decode()}"


def ask(*urls: str, model: str = OMNI, kind: str = "wav", **fields: Any) -> dict[str, Any]:
    parts = [{"type": "input_audio", "input_audio": {"data": u, "format": kind}} for u in urls]
    return {"model": model, "messages": [{"role": "user", "content": parts}], **fields}


def test_audio_is_measured_and_counted(post: Callable[..., Any]) -> None:
    reply = post(ask(data_url(make_wav(10.0)), enable_thinking=False))

    answer = reply.json
    assert "an audio file: WAV of 10.0 s, 70 tokens" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["prompt_tokens_details"]["audio_tokens"] == 70


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (ask(data_url(make_wav()), model="qwen3-vl-plus"), "is not supported by the model"),
        (ask(base64.b64encode(make_wav()).decode()), "does not appear to be valid"),
        (ask(data_url(b"Dear reader")), "Invalid audio file"),
        (ask(data_url(make_wav()), kind="mp3"), "format does not match"),
        (ask(data_url(encode_audio("mp3", "libmp3lame", 1.0, 16_000))), "format does not match"),
        (ask(data_url(make_wav(181.0)), model="qwen-omni-turbo", stream=True), "too long"),
        (ask(*[data_url(make_wav())] * 251), "At most 250 audio files by Base64"),
        (ask(*[data_url(make_wav())] * 2, model="qwen3-omni-flash", stream=True), "At most 1"),
        (ask("data:;base64," + "A" * 10_485_760), "max bytes per data-uri item : 10485760"),
        (ask(data_url(make_wav()), model="qwen3.5-omni-plus"), "only support stream mode"),
    ],
)
def test_audio_outside_the_limits_is_refused(
    post: Callable[..., Any], body: dict[str, Any], words: str
) -> None:
    reply = post(body)

    assert reply.status == 400
    assert words in reply.json["error"]["message"]


def test_native_audio_bears_no_format(post: Callable[..., Any]) -> None:
    content = [{"audio": data_url(make_wav(3.0))}, {"text": "What is said?"}]
    body = {"model": OMNI, "input": {"messages": [{"role": "user", "content": content}]}}
    body["parameters"] = {"enable_thinking": False}
    reply = post(body, path="/api/v1/services/aigc/multimodal-generation/generation")

    usage = reply.json["usage"]
    assert (usage["audio_tokens"], usage["input_tokens_details"]["audio_tokens"]) == (21, 21)
