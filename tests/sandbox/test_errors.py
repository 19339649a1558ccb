"""What the service documents as refused, one line each, with the page it comes from."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pybase64
import pytest
from PIL import Image

from audio_samples import make_wav
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, ROCKET
from qwen_vl_sandbox import Sandbox

TOOL = {"type": "function", "function": {"name": "zoom"}}
FORCED = {"type": "function", "function": {"name": "zoom"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
JSON = {"type": "json_object"}
INVALID = "invalid_parameter_error"


def spell(data: bytes, media_type: str) -> str:
    """Spell bytes as a data URL."""
    return f"data:{media_type};base64,{pybase64.b64encode(data).decode()}"


def drawn(width: int, height: int, kind: str = "PNG") -> str:
    """Draw an image and spell it as a data URL."""
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, kind)
    return spell(file.getvalue(), f"image/{kind.lower()}")


SMALL = drawn(64, 64)
WAV = f"data:;base64,{pybase64.b64encode(make_wav(0.1)).decode()}"
CAT = CHELSEA.read_bytes()
FILM = BIG_BUCK_BUNNY.read_bytes()


def image(url: Any, inside: Mapping[str, Any] | None = None, **beside: Any) -> dict[str, Any]:
    """Write an image part."""
    return {"type": "image_url", "image_url": {"url": url, **(inside or {})}, **beside}


def video(url: str, **beside: Any) -> dict[str, Any]:
    """Write a video part."""
    return {"type": "video_url", "video_url": {"url": url}, **beside}


def frames(count: int, **beside: Any) -> dict[str, Any]:
    """Write a frame list."""
    return {"type": "video", "video": [SMALL] * count, **beside}


def said(role: str, content: Any, **fields: Any) -> dict[str, Any]:
    """Write a message."""
    return {"role": role, "content": content, **fields}


def called(*ids: str) -> dict[str, Any]:
    """Write an assistant message with calls."""
    function = {"name": "zoom", "arguments": "{}"}
    calls = [{"id": name, "type": "function", "function": function} for name in ids]
    return said("assistant", None, tool_calls=calls)


@dataclass(frozen=True)
class Case:
    """A request and its refusal; `source` is the page that says so."""

    source: str
    body: dict[str, Any]
    message: str
    status: int = 400
    code: str = INVALID
    headers: Mapping[str, str] = field(default_factory=dict)


def ask(*parts: Any, model: str = "qwen3-vl-plus", **fields: Any) -> dict[str, Any]:
    """Write a request with one user message of these parts, or of "hi"."""
    return {"model": model, "messages": [said("user", list(parts) or "hi")], **fields}


def talk(*messages: Any, model: str = "qwen3-vl-plus", **fields: Any) -> dict[str, Any]:
    """Write a request of these messages."""
    return {"model": model, "messages": list(messages), **fields}


VISION = "Vision page, 2026-08"
CHAT = "OpenAI-Chat page, 2026-10"
NATIVE = "Native-API page, 2026-09"
ERRORS = "Errors page, 2026-07"
RATE = "Rate-limit page, 2026-11"

MODELS = [
    Case("retirement notice, 2026-07", ask(model=model), "Model not exist.", 404, "model_not_found")
    for model in ("qwen-vl-max", "qwen-vl-plus", "qvq-max", "qwq-plus", "qwen-max", "qwen-turbo")
] + [
    Case("SDK's measure, 2026-10", ask(model="qwen-vl-max-latest"), "", 403, "access_denied"),
    Case(ERRORS, ask(image(SMALL), model="qwen-plus"), "input content must be a string"),
    Case(CHAT, ask(model=""), "model"),
]
MESSAGES = [
    Case(CHAT, {"model": "qwen3-vl-plus"}, "messages"),
    Case(CHAT, talk(), "messages"),
    Case(CHAT, talk("hi"), "must be an object"),
    Case(CHAT, talk(said("developer", "hi")), "is not one of ['system', 'user'"),
    Case(CHAT, talk(said("user", None)), "content must be a string or a list"),
    Case(CHAT, talk(said("user", [])), "content must be a string or a list"),
    Case(CHAT, talk(said("assistant", None)), "content must be a string or a list"),
    Case(CHAT, talk(said("system", [image(SMALL)]), said("user", "hi")), "only user messages"),
    Case(CHAT, talk(said("user", "hi"), said("assistant", [image(SMALL)])), "only user messages"),
    Case(
        CHAT,
        talk(said("user", "hi"), called("a"), said("tool", [], tool_call_id="a")),
        "must be a string",
    ),
    Case(ERRORS, talk(said("user", "hi"), said("tool", "x", tool_call_id="a")), "must be a respon"),
    Case(
        ERRORS,
        talk(said("user", "hi"), called("a"), said("tool", "x", tool_call_id="b")),
        "must be a response",
    ),
    Case(
        ERRORS,
        talk(said("user", "hi"), called("a", "b"), said("tool", "x", tool_call_id="a")),
        "did not have response messages: b",
    ),
    Case(
        ERRORS,
        talk(said("user", "hi"), called("a"), said("user", "x")),
        "did not have response messages: a",
    ),
    Case(CHAT, talk(said("user", "hi", partial=True)), "partial is for the last message"),
    Case(
        "Partial-mode page, 2026-07",
        talk(said("user", "hi"), said("assistant", "I", partial=True), model="qwen3.6-plus"),
        "partial is not supported in thinking mode",
    ),
    Case(CHAT, talk(said("assistant", None, tool_calls=["x"])), "must be an object of type"),
    Case(CHAT, talk(said("assistant", None, tool_calls=[{"id": "a"}])), "must be an object"),
    Case(CHAT, talk(said("assistant", "x", tool_calls="y")), "tool_calls must be a list"),
]
PARTS = [
    Case("public threads", ask("hi"), "item must be dict and key[type] should in dict"),
    Case("public threads", ask({"image": SMALL}), "item must be dict and key[type] should in dict"),
    Case(CHAT, ask({"type": "image", "image": SMALL}), "'image' is not supported"),
    Case(CHAT, ask({"type": ["text"], "text": "hi"}), "is not supported"),
    Case(CHAT, ask({"type": "text"}), "text is required"),
    Case(CHAT, ask({"type": "text", "text": 1}), "must be a string"),
    Case(CHAT, ask({"type": "image_url", "image_url": SMALL}), "must be an object with a url"),
    Case(CHAT, ask({"type": "image_url"}), "must be an object with a url"),
    Case(CHAT, ask({"type": "video", "video": "https://a.cn/x.mp4"}), "must be a list of strings"),
    Case(
        CHAT,
        ask({"type": "input_audio", "input_audio": {"data": "x", "format": "mp3"}}),
        "is not supported",
    ),
    Case(CHAT, ask({"type": "input_audio"}, model="qwen3.8-omni-flash"), "must be an object"),
    Case("Cache page, 2026-10", ask(image(SMALL, cache_control={"type": "x"})), "cache_control"),
    Case(
        "Cache page, 2026-10",
        ask(*[{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}] * 5),
        "At most 4 cache_control markers",
    ),
]
MEDIA_OPTIONS = [
    Case(CHAT, ask(image(SMALL, {"min_pixels": 65_536})), "must stand beside 'image_url'"),
    Case(CHAT, ask(image(SMALL, {"max_pixels": 65_536})), "must stand beside 'image_url'"),
    Case(CHAT, ask(image(SMALL, fps=2)), "cannot be set on a 'image_url' part"),
    Case(CHAT, ask(frames(4, max_frames=4)), "cannot be set on a 'video' part"),
    Case(CHAT, ask(image(SMALL), max_pixels=65_536), "not at the top level"),
    Case(CHAT, ask(frames(4), fps=2), "not at the top level"),
    Case(CHAT, ask(image(SMALL, min_pixels=65_535)), "should be [65536, 16777216]"),
    Case(CHAT, ask(image(SMALL, max_pixels=16_777_217)), "should be [65536, 16777216]"),
    Case(
        CHAT,
        ask(image(SMALL, max_pixels=12_845_057), model="qwen2.5-vl-7b-instruct"),
        "should be [3136, 12845056]",
    ),
    Case(CHAT, ask(image(SMALL, max_pixels="65536")), "must be an integer"),
    Case(CHAT, ask(image(SMALL, max_pixels=True)), "must be an integer"),
    Case(CHAT, ask(image(SMALL, min_pixels=99_999, max_pixels=65_536)), "not be greater than"),
    Case(NATIVE, ask(frames(4, fps=0.05)), "fps should be [0.1, 10]"),
    Case(NATIVE, ask(frames(4, fps=10.5)), "fps should be [0.1, 10]"),
    Case(NATIVE, ask(frames(4, max_pixels=2_048_001)), "should be [4096, 2048000]"),
    Case(NATIVE, ask(frames(4, min_pixels=4_095)), "should be [4096, 2048000]"),
    Case(NATIVE, ask(frames(4, total_pixels=134_217_729)), "should be [1, 134217728]"),
    Case(
        NATIVE,
        ask(frames(4, max_pixels=786_433), model="qwen3-vl-8b-instruct"),
        "should be [4096, 786432]",
    ),
]
IMAGES = [
    Case(VISION, ask(image("file:///tmp/cat.png")), "does not appear to be valid"),
    Case(VISION, ask(image("/images/cat.png")), "does not appear to be valid"),
    Case(VISION, ask(image("https:///cat.png")), "does not appear to be valid"),
    Case(VISION, ask(image("http://[::1/cat.png")), "does not appear to be valid"),
    Case("Temp-URL page", ask(image("oss://bucket/cat.png")), "does not appear to be valid"),
    Case(ERRORS, ask(image("https://no.invalid/cat.png")), "Failed to download multimodal content"),
    Case(VISION, ask(image("data:image/png,rawbytes")), "does not appear to be valid"),
    Case(VISION, ask(image("data:image/png;base64,@@@@")), "does not appear to be valid"),
    Case(VISION, ask(image("data:image/png;base64,abc")), "does not appear to be valid"),
    Case(ERRORS, ask(image(spell(CAT[:9000], "image/png"))), "Failed to decode the image"),
    Case(
        ERRORS,
        ask(image(spell(ROCKET.read_bytes()[:9000], "image/jpeg"))),
        "Failed to decode the image",
    ),
    Case(ERRORS, ask(image(spell(b"not an image", "image/png"))), "image format is illegal"),
    Case(ERRORS, ask(image("data:image/png;base64,")), "image format is illegal"),
    Case(VISION, ask(image(drawn(64, 64, "GIF"))), "image format is illegal"),
    Case(VISION, ask(image(spell(CAT, "image/jpeg"))), "PNG bytes were sent as 'image/jpeg'"),
    Case(VISION, ask(image(spell(CAT, "image/tiff"))), "PNG bytes were sent as 'image/tiff'"),
    Case(VISION, ask(image(drawn(10, 64))), "length and width do not meet the model restrictions"),
    Case(VISION, ask(image(drawn(64, 10))), "length and width do not meet the model restrictions"),
    Case(VISION, ask(image(drawn(11, 2201))), "length and width do not meet the model restri"),
    Case(VISION, ask(image(drawn(4000, 2200, "BMP"))), "image format is illegal"),
    Case(ERRORS, ask(image(drawn(10_000, 9_000))), "image size is not supported"),
    Case(VISION, ask(image("data:png;base64,AAAA")), "does not appear to be valid"),
    Case(VISION, ask(image("data:;base64," + SMALL.partition(",")[2])), "image format is illegal"),
    Case(
        VISION,
        ask(image("data:image/png;base64," + "A" * 20_971_520)),
        "Exceeded limit on max bytes per data-uri item : 20971520",
    ),
    Case(
        VISION,
        ask(image("data:image/png;base64," + "A" * 10_485_760), model="qwen2.5-vl-7b-instruct"),
        "Exceeded limit on max bytes per data-uri item : 10485760",
    ),
    Case(VISION, ask(*[image(SMALL)] * 251), "At most 250 images by Base64"),
    Case(VISION, ask(*[image("https://a.cn/1.png")] * 257), "At most 256 images by URL"),
]
VIDEOS = [
    Case(ERRORS, ask(video(spell(FILM[:90_000], "video/mp4"))), "Invalid video file."),
    Case(ERRORS, ask(video(spell(CAT, "text/plain"))), "The video file is too short."),
    Case(ERRORS, ask(video(spell(b"no video", "video/mp4"))), "Invalid video file."),
    Case(
        VISION,
        ask(video("data:video/mp4;base64," + "A" * 10_485_760)),
        "Exceeded limit on max bytes per data-uri item : 10485760",
    ),
    Case(ERRORS, ask(frames(3)), "the range of sequence images shoule be (4, 2000)"),
    Case(ERRORS, ask(frames(2001)), "the range of sequence images shoule be (4, 2000)"),
    Case(
        ERRORS,
        ask(frames(513), model="qwen3-vl-8b-instruct"),
        "the range of sequence images shoule be (4, 512)",
    ),
    Case(
        ERRORS,
        ask(frames(81), model="qwen2-vl-7b-instruct"),
        "the range of sequence images shoule be (4, 80)",
    ),
    Case(VISION, ask(*[video("https://a.cn/1.mp4")] * 65), "At most 64 videos"),
    Case(VISION, ask(video("https://a.cn/1.mp4"), model="qwen-vl-ocr"), "does not support video"),
]
THINKING = [
    Case(NATIVE, ask(enable_thinking=True), "must be set to false for non-streaming calls"),
    Case(NATIVE, ask(model="qwen3-vl-8b-thinking"), "This model only support stream mode"),
    Case(NATIVE, ask(model="qvq-max-2025-03-25"), "This model only support stream mode"),
    Case(
        ERRORS,
        ask(model="qwen3-vl-8b-thinking", enable_thinking=False, stream=True),
        "is restricted to True",
    ),
    Case(ERRORS, ask(model="qwen3.8-2.4t-a95b", reasoning_effort="none"), "is restricted to True"),
    Case(
        CHAT,
        ask(model="qwen3.8-max", reasoning_effort="low", thinking_budget=10),
        "cannot be set at the same time",
    ),
    Case(CHAT, ask(model="qwen3.8-max", reasoning_effort="huge"), "must be one of"),
    Case(CHAT, ask(thinking_budget=81_921), "thinking_budget should be [1, 81920]"),
    Case(CHAT, ask(enable_thinking="yes"), "must be a boolean"),
]
FORMATS = [
    Case("Structured page, 2026-10", ask(response_format=JSON), "must contain the word 'json'"),
    Case(
        ERRORS,
        ask({"type": "text", "text": "json"}, model="qwen3.6-plus", response_format=JSON),
        "Json mode response is not supported when enable_thinking is true",
    ),
    Case("Structured page, 2026-10", ask(response_format=SCHEMA), "'json_schema'"),
    Case(
        "Structured page, 2026-10", ask(model="qwen3.6-plus", response_format=SCHEMA), "'json_sch"
    ),
    Case(
        "Structured page, 2026-10",
        ask(
            model="qwen3.8-max",
            response_format={"type": "json_schema", "json_schema": {"name": "x" * 65}},
        ),
        "1 to 64 characters",
    ),
    Case(
        "Structured page, 2026-10", ask(model="qwen-vl-ocr", response_format=JSON), "'json_object'"
    ),
    Case(
        "Structured page, 2026-10",
        ask(
            model="qwen3.8-max",
            response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": []}},
        ),
        "schema must be an object",
    ),
    Case(CHAT, ask(model="qwen3.8-max", response_format={"type": "xml"}), "must be text, json"),
    Case(CHAT, ask(model="qwen3.8-max", response_format="json_object"), "must be text, json"),
]
TOOLS = [
    Case(CHAT, ask(tools=[]), "[] is too short - 'tools'"),
    Case(VISION, ask(tools=[TOOL], model="qwen-vl-max-2025-08-13"), "does not support tools"),
    Case(VISION, ask(tools=[TOOL], model="qwen-vl-ocr"), "does not support tools"),
    Case(NATIVE, ask(tools=[{"type": "function", "function": {"name": "a b"}}]), "must match"),
    Case(NATIVE, ask(tools=[{"type": "function", "function": {"name": "a" * 65}}]), "must match"),
    Case(NATIVE, ask(tools=[{"type": "function", "function": {"name": "search"}}]), "not be 'sear"),
    Case(NATIVE, ask(tools=[{"type": "code", "code": {}}]), "must be 'function'"),
    Case(
        "public threads",
        ask(tools=[TOOL], tool_choice="required", model="qwen3.8-max"),
        "does not support being set to required or object in thinking mode",
    ),
    Case(
        "public threads",
        ask(tools=[TOOL], tool_choice=FORCED, model="qwen3.7-plus"),
        "does not support being set to required or object in thinking mode",
    ),
    Case(NATIVE, ask(tools=[TOOL], tool_choice="any"), "tool_choice must be"),
    Case(
        NATIVE,
        ask(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "x"}}),
        "not among the tools",
    ),
    Case(NATIVE, ask(tool_choice="required"), "tool_choice needs tools"),
    Case(NATIVE, ask(tools=[{"type": "function"}]), "function must be an object"),
    Case(
        NATIVE,
        ask(tools=[{"type": "function", "function": {"name": "x", "parameters": "y"}}]),
        "parameters must be an object",
    ),
]
SAMPLING = [
    Case(NATIVE, ask(temperature=2), "temperature should be [0, 2)"),
    Case(NATIVE, ask(temperature=-0.1), "temperature should be [0, 2)"),
    Case(NATIVE, ask(top_p=0), "top_p should be (0, 1]"),
    Case(NATIVE, ask(top_p=1.1), "top_p should be (0, 1]"),
    Case(NATIVE, ask(top_k=-1), "top_k should be [0,"),
    Case(NATIVE, ask(repetition_penalty=0), "repetition_penalty should be (0,"),
    Case(NATIVE, ask(presence_penalty=2.5), "presence_penalty should be [-2, 2]"),
    Case(NATIVE, ask(seed=2**31), "seed should be [0, 2147483647]"),
    Case(NATIVE, ask(n=2), "n should be [1, 1]"),
    Case(NATIVE, ask(logprobs=True, top_logprobs=6), "top_logprobs should be [0, 5]"),
    Case(NATIVE, ask(top_logprobs=1), "top_logprobs needs logprobs"),
    Case(ERRORS, ask(max_tokens=0), "Range of max_tokens should be [1, 32768]"),
    Case(ERRORS, ask(max_tokens=32_769), "Range of max_tokens should be [1, 32768]"),
    Case(NATIVE, ask(stop=["x", 1]), "not a mix"),
    Case(NATIVE, ask(stream_options={"include_usage": True}), "only allowed when 'stream'"),
    Case(NATIVE, ask(stream="true"), "must be a boolean"),
    Case(
        ERRORS, talk(said("user", "four" * 260_096)), "Range of input length should be [1, 260096]"
    ),
]
ALL = [*MODELS, *MESSAGES, *PARTS, *MEDIA_OPTIONS, *IMAGES, *VIDEOS, *THINKING, *FORMATS, *TOOLS]


@pytest.mark.parametrize(
    "case", [*ALL, *SAMPLING], ids=lambda case: f"{case.source}: {case.message[:40]}"
)
def test_request_is_refused_as_documented(post: Callable[..., Any], case: Case) -> None:
    """The status, the code and the message are those of the page."""
    reply = post(case.body, headers=case.headers)
    assert reply.status == case.status, reply.body[:500]
    assert (reply.error["code"], reply.error["param"]) == (case.code, None)
    assert case.message in reply.error["message"]
    assert reply.json["request_id"] == reply.headers["x-request-id"]


ACCEPTED = [
    ask(image("oss://bucket/cat.png")),
    ask(image(SMALL, {"detail": "high"})),
    ask(image(SMALL, min_pixels=65_536, max_pixels=16_777_216)),
    ask(frames(4, fps=0.1, min_pixels=4_096, max_pixels=2_048_000, total_pixels=134_217_728)),
    ask(image(drawn(11, 11))),
    ask(image(drawn(11, 2200))),
    ask(image(drawn(64, 64, "WEBP")), image(drawn(64, 64, "BMP")), image(drawn(64, 64, "TIFF"))),
    ask(image(spell(ROCKET.read_bytes(), "image/jpg"))),
    ask(*[image("https://a.cn/1.png")] * 257, model="qwen3.7-plus"),
    ask(temperature=0, top_p=1, top_k=None, seed=0, n=1, presence_penalty=-2, max_tokens=32_768),
    ask(model="qwen3.8-max", reasoning_effort="minimal"),
    ask(model="qwen3-vl-8b-thinking", stream=True),
    ask(enable_thinking=True, stream=True),
    ask(tools=[TOOL], tool_choice="required"),
    ask(tools=[TOOL], tool_choice=FORCED, model="qwen3.8-max", enable_thinking=False),
    ask(model="qwen3.8-max", response_format=SCHEMA),
    ask({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}},
        model="qwen3.8-omni-flash"),
    talk(said("system", [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]),
         said("user", "hi")),
    talk(said("user", "hi"), called("a", "b"), said("tool", "x", tool_call_id="b"),
         said("tool", "y", tool_call_id="a"), said("user", "and?")),
    talk(said("user", "hi"), said("assistant", "I s", partial=True)),
    talk(said("user", "hi"), said("assistant", "x", reasoning_content="y"), said("user", "z")),
]  # fmt: skip


@pytest.mark.parametrize("body", ACCEPTED, ids=range(len(ACCEPTED)))
def test_request_within_the_limits_is_answered(
    post: Callable[..., Any], body: dict[str, Any]
) -> None:
    """The neighbours of the refusals pass."""
    reply = post(body, headers={"X-DashScope-OssResourceResolve": "enable"})
    assert reply.status == 200, reply.body[:500]


UNSURE = [
    ask(stream_options={"include_usage": True}),
    ask(image(SMALL, {"max_pixels": 65_536})),
    ask(image(SMALL), max_pixels=65_536),
    ask(image(spell(CAT, "image/jpeg"))),
    ask(enable_thinking=True),
    ask({"type": "text", "text": "json"}, model="qwen3.6-plus", response_format=JSON),
]


@pytest.mark.parametrize("body", UNSURE, ids=range(len(UNSURE)))
def test_lenient_sandbox_lets_pass_what_is_not_settled(
    connect: Callable[[Sandbox], Any], body: dict[str, Any]
) -> None:
    """Without `strict` only what a page refuses is refused."""
    with Sandbox(strict=False) as sandbox:
        assert connect(sandbox)(body).status == 200


def test_body_that_is_no_json_is_refused(post: Callable[..., Any]) -> None:
    """Broken JSON and JSON that is not an object."""
    assert "not valid JSON" in post(b"{").error["message"]
    assert "must be a JSON object" in post([]).error["message"]


def test_body_above_the_limit_is_answered_413(post: Callable[..., Any]) -> None:
    """The whole body may have 64 MiB (Rate-limit page, 2026-11)."""
    assert post(b" " * (64 * 1024 * 1024 + 1)).status == 413


def test_pictures_above_16_mib_once_decoded_are_answered_413(post: Callable[..., Any]) -> None:
    """Each is small enough, all together are not (Rate-limit page, 2026-11)."""
    padded = spell(CAT + bytes(9 * 1024 * 1024), "image/png")
    assert post(ask(image(padded))).status == 200
    assert post(ask(image(padded), image(padded))).status == 413


def test_key_that_is_missing_is_answered_401(post: Callable[..., Any]) -> None:
    """The message is the one of the Errors page (2026-07)."""
    for wrong in ("", "Bearer", "Bearer ", "Basic abc"):
        reply = post(ask(), headers={"Authorization": wrong})
        assert (reply.status, reply.error["code"]) == (401, "invalid_api_key")
        assert reply.error["message"] == "Incorrect API key provided."


def test_key_that_is_not_listed_is_answered_401(connect: Callable[[Sandbox], Any]) -> None:
    """With `api_keys` only these pass."""
    with Sandbox(api_keys=["sk-other"]) as sandbox:
        post = connect(sandbox)
        assert post(ask()).status == 401
        assert post(ask(), headers={"Authorization": "Bearer sk-other"}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("POST", "/compatible-mode/v1/responses", 404, "not implemented in the sandbox"),
        ("GET", "/nowhere", 404, "not found"),
        ("GET", "/compatible-mode/v1/chat/completions", 405, "not implemented"),
    ],
)
def test_other_endpoint_is_answered_in_the_services_shape(
    post: Callable[..., Any], method: str, path: str, status: int, words: str
) -> None:
    """Nothing but the two endpoints is there, and the answer says so."""
    reply = post({}, method=method, path=path)
    assert reply.status == status
    assert words in reply.error["message"]


def test_other_endpoint_of_the_native_protocol_is_answered_in_its_shape(
    post: Callable[..., Any],
) -> None:
    """Code and message stand at the top."""
    reply = post({}, path="/api/v1/chat/completions")
    assert reply.status == 404
    assert "not implemented in the sandbox" in reply.json["message"]
