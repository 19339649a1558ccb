"""Servers that hold the model themselves: how each counts and answers.

What is said of vLLM was measured on 0.32.0; the rest is from published source and documents.
"""

import io
from collections.abc import Callable
from typing import Any

import orjson
import pybase64
import pytest
from PIL import Image

from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox.specs.servers import SERVERS

MODEL = "Qwen/Qwen3-VL-8B-Instruct"
OLDER = "Qwen/Qwen2.5-VL-7B-Instruct"
ALL_FRAMES = {"media_io_kwargs": {"video": {"num_frames": -1}}}
TOOL = {
    "type": "function",
    "function": {
        "name": "crop",
        "parameters": {
            "type": "object",
            "properties": {"x": {"type": "integer"}},
            "required": ["x"],
        },
    },
}
NAMED = {"type": "function", "function": {"name": "crop"}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


def spell(data: bytes, media_type: str = "image/png") -> str:
    """Spell bytes as a data URL."""
    return f"data:{media_type};base64,{pybase64.b64encode(data).decode()}"


def drawn(width: int, height: int, kind: str = "PNG") -> bytes:
    """Draw an image."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "#ff0000").save(file, kind)
    return file.getvalue()


JPEG = pybase64.b64encode(drawn(640, 480, "JPEG")).decode()


def image(url: Any, **inside: Any) -> dict[str, Any]:
    """Write an image part."""
    return {"type": "image_url", "image_url": {"url": url, **inside}}


def video(url: str, **beside: Any) -> dict[str, Any]:
    """Write a video part."""
    return {"type": "video_url", "video_url": {"url": url}, **beside}


def ask(*parts: Any, model: str = MODEL, **fields: Any) -> dict[str, Any]:
    """Write a request with one user message of these parts, or of "hi"."""
    content = list(parts) or "hi"
    return {"model": model, "messages": [{"role": "user", "content": content}], **fields}


def frames(count: int) -> dict[str, Any]:
    """Write a list of frames as one URL."""
    return video("data:video/jpeg;base64," + ",".join([JPEG] * count))


def content_of(reply: Any) -> str:
    """The text of an answer."""
    assert reply.status == 200, reply.body[:500]
    content: str = reply.json["choices"][0]["message"]["content"]
    return content


def used(reply: Any) -> dict[str, Any]:
    """The usage of an answer."""
    assert reply.status == 200, reply.body[:500]
    usage: dict[str, Any] = reply.json["usage"]
    return usage


# The measured table of vLLM; 640x480 and 1920x1080 with both families.
@pytest.mark.parametrize(
    ("model", "size", "kwargs", "tokens"),
    [
        (MODEL, (640, 480), {}, 300),
        (OLDER, (640, 480), {}, 391),
        (MODEL, (1920, 1080), {}, 2040),
        (OLDER, (1920, 1080), {}, 2691),
        (MODEL, (640, 480), {"max_pixels": 65_536}, 54),
        (OLDER, (640, 480), {"max_pixels": 65_536}, 70),
        (MODEL, (640, 480), {"min_pixels": 1_048_576}, 1036),
        (OLDER, (640, 480), {"size": {"shortest_edge": 4_096, "longest_edge": 100_000}}, 117),
        (MODEL, (640, 480), {"images_kwargs": {"min_pixels": 4_096, "max_pixels": 100_000}}, 88),
    ],
)
def test_vllm_counts_pictures_as_measured(
    send: Callable[..., Any],
    model: str,
    size: tuple[int, int],
    kwargs: dict[str, Any],
    tokens: int,
) -> None:
    """The usage tells them without markers, the prompt holds two more."""
    url = spell(drawn(*size))
    usage = used(send("vllm", ask(image(url), model=model, mm_processor_kwargs=kwargs)))
    plain = used(send("vllm", ask({"type": "text", "text": ""}, model=model)))
    assert usage["prompt_tokens_details"]["multimodal_tokens"] == {"image": tokens}
    assert usage["prompt_tokens"] == plain["prompt_tokens"] + tokens + 2


def test_vllm_counts_frame_lists(send: Callable[..., Any]) -> None:
    """One frame a second if nothing is said; 32 of them if nothing is said."""
    reply = send("vllm", ask(frames(8), media_io_kwargs={"video": {"fps": 8}}))
    assert "a video: 8 frames sent, JPEG 640x480, 8 fps" in content_of(reply)
    # 4 pairs of 300 tokens, each with a stamp of 6 and two markers.
    assert used(reply)["prompt_tokens_details"]["multimodal_tokens"] == {"video": 4 * 308}
    assert "32 frames sent, JPEG 640x480, 1 fps" in content_of(send("vllm", ask(frames(40))))
    whole = send("vllm", ask(frames(40), **ALL_FRAMES))
    assert "40 frames sent" in content_of(whole)


def test_vllm_samples_videos_by_media_io_kwargs(send: Callable[..., Any]) -> None:
    """Nothing else has a say in it."""
    film = video(spell(BIG_BUCK_BUNNY.read_bytes(), "video/mp4"), fps=9)
    plain = send("vllm", ask(film))
    assert "10 frames sampled" in content_of(plain)
    faster = send("vllm", ask(film, media_io_kwargs={"video": {"fps": 4, "num_frames": 2}}))
    assert "21 frames sampled" in content_of(faster)


@pytest.mark.parametrize(
    ("server", "key"),
    [
        ("vllm", "reasoning"),
        ("sglang", "reasoning_content"),
        ("llamacpp", "reasoning_content"),
        ("ollama", "reasoning"),
    ],
)
def test_reasoning_has_each_servers_key(send: Callable[..., Any], server: str, key: str) -> None:
    """In a whole answer and in a stream; it is off unless asked for."""
    silent = send(server, ask()).json["choices"][0]["message"]
    assert not silent.get(key)
    body = ask(reasoning_effort="high")
    message = send(server, body).json["choices"][0]["message"]
    assert message[key].startswith("The request holds 1 messages")
    chunks = streamed(send(server, {**body, "stream": True}))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert "".join(delta.get(key) or "" for delta in deltas) == message[key]


@pytest.mark.parametrize("server", ["vllm", "sglang", "llamacpp"])
def test_template_switches_reasoning(send: Callable[..., Any], server: str) -> None:
    """By `chat_template_kwargs`, against the effort if need be."""
    key = SERVERS[server].reasoning_key
    switched = ask(chat_template_kwargs={"enable_thinking": True})
    assert send(server, switched).json["choices"][0]["message"][key]
    off = ask(chat_template_kwargs={"enable_thinking": False}, reasoning_effort="high")
    assert not send(server, off).json["choices"][0]["message"].get(key)


def test_reasoning_is_placed_as_asked(send: Callable[..., Any]) -> None:
    """Left out by one server, left in the text by another."""
    body = ask(chat_template_kwargs={"enable_thinking": True})
    left_out = send("vllm", {**body, "include_reasoning": False}).json["choices"][0]["message"]
    assert (left_out["reasoning"], left_out["content"][:4]) == (None, "I am")
    within = send("sglang", {**body, "separate_reasoning": False}).json["choices"][0]["message"]
    assert within["content"].startswith("<think>\nThe request")


def streamed(reply: Any) -> list[dict[str, Any]]:
    """The events of a stream."""
    lines = [line[6:] for line in reply.body.split(b"\n") if line.startswith(b"data: ")]
    assert lines[-1] == b"[DONE]", reply.body[:500]
    return [orjson.loads(line) for line in lines[:-1]]


def test_vllm_streams_as_measured(send: Callable[..., Any]) -> None:
    """Its first chunk, its last, its usage, and no comment lines."""
    options = {"include_usage": True, "continuous_usage_stats": True}
    reply = send("vllm", ask(stream=True, stream_options=options))
    chunks = streamed(reply)
    assert b": keep-alive" not in reply.body
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[-2]["choices"][0]["delta"] == {}
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert (chunks[-1]["choices"], chunks[-1]["usage"]["completion_tokens"] > 0) == ([], True)
    assert all("usage" in chunk for chunk in chunks)
    cut = streamed(send("vllm", ask(stream=True, max_tokens=3)))
    assert (cut[-1]["choices"][0]["finish_reason"], len(cut)) == ("length", 4)
    assert cut[-1]["choices"][0]["delta"]["content"]


@pytest.mark.parametrize(
    ("choice", "content", "finish"),
    [("auto", None, "tool_calls"), ("required", "", "tool_calls"), (NAMED, "", "stop")],
    ids=["auto", "required", "named"],
)
def test_vllm_calls_tools_as_measured(
    send: Callable[..., Any], choice: Any, content: str | None, finish: str
) -> None:
    """A call by name ends with "stop"."""
    body = ask({"type": "text", "text": "crop x=3"}, tools=[TOOL], tool_choice=choice)
    answer = send("vllm", body).json["choices"][0]
    message = answer["message"]
    assert (message["content"], answer["finish_reason"]) == (content, finish)
    call = message["tool_calls"][0]
    assert call["id"].startswith("chatcmpl-tool-")
    assert call["function"] == {"name": "crop", "arguments": '{"x":3}'}
    chunks = streamed(send("vllm", {**body, "stream": True}))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    pieces = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert pieces[0]["function"] == {"name": "crop"}
    assert all(set(piece) == {"index", "function"} for piece in pieces[1:])
    assert "".join(piece["function"].get("arguments", "") for piece in pieces) == '{"x":3}'
    assert chunks[-1]["choices"][0]["finish_reason"] == finish


def test_vllm_cuts_a_call_into_text(send: Callable[..., Any]) -> None:
    """What is left of it is content."""
    body = ask({"type": "text", "text": "crop x=3"}, tools=[TOOL], max_tokens=6)
    answer = send("vllm", body).json["choices"][0]
    assert (answer["finish_reason"], answer["message"]["tool_calls"]) == ("length", [])
    assert answer["message"]["content"].startswith("<tool_call>\n{")


def test_ollama_gives_a_call_in_one_piece(send: Callable[..., Any]) -> None:
    """Each delta names the role."""
    body = ask({"type": "text", "text": "crop x=3"}, tools=[TOOL], stream=True)
    chunks = streamed(send("ollama", body))
    call = chunks[0]["choices"][0]["delta"]["tool_calls"][0]
    assert call["function"] == {"name": "crop", "arguments": '{"x":3}'}
    assert {chunk["choices"][0]["delta"]["role"] for chunk in chunks} == {"assistant"}


@pytest.mark.parametrize(
    ("server", "value"),
    [
        ("vllm", {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}),
        ("sglang", {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}),
        ("llamacpp", {"type": "json_schema", "schema": SCHEMA}),
        ("llamacpp", {"type": "json_object", "schema": SCHEMA}),
        ("ollama", {"type": "json_schema", "json_schema": {"schema": SCHEMA}}),
    ],
)
def test_schema_is_kept_to(send: Callable[..., Any], server: str, value: Any) -> None:
    """In each server's spelling, without the word "json"."""
    assert orjson.loads(content_of(send(server, ask(response_format=value)))) == {"n": 0}


@pytest.mark.parametrize(
    ("server", "fields", "text"),
    [
        ("vllm", {"structured_outputs": {"choice": ["cat", "dog"]}}, "cat"),
        ("vllm", {"structured_outputs": {"regex": "[0-9]{3}"}}, "000"),
        ("vllm", {"structured_outputs": {"json": SCHEMA}}, '{"n":0}'),
        ("sglang", {"regex": "[0-9]{3}"}, "000"),
        ("llamacpp", {"json_schema": SCHEMA}, '{"n":0}'),
    ],
)
def test_other_forms_are_kept_to(
    send: Callable[..., Any], server: str, fields: dict[str, Any], text: str
) -> None:
    """Choices, patterns and schemas in fields of their own."""
    assert content_of(send(server, ask(**fields))) == text
