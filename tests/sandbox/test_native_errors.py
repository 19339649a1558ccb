"""What the service documents as refused on its native protocol, and failures there."""

import http.client
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from qwen_vl_sandbox import Sandbox

PATH = "/api/v1/services/aigc/multimodal-generation/generation"
SSE = {"X-DashScope-SSE": "enable"}
NATIVE = "Native-API page, 2026-09"
ERRORS = "Errors page, 2026-07"
READING = "OCR page, 2026-07"
TINY = "https://a.cn/1.png"
TOOL = {"type": "function", "function": {"name": "zoom", "description": "Look closer."}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def ask(*parts: Any, model: str = "qwen3-vl-plus", **parameters: Any) -> dict[str, Any]:
    """Write a request with one user message of these parts, or of "hi"."""
    content = list(parts) or [{"text": "hi"}]
    messages = [{"role": "user", "content": content}]
    return {"model": model, "input": {"messages": messages}, "parameters": parameters}


@dataclass(frozen=True)
class Case:
    """A request and its refusal; `source` is the page that says so."""

    source: str
    body: Any
    message: str
    status: int = 400
    code: str = "InvalidParameter"
    stream: bool = False


CASES = [
    Case(ERRORS, ask(model="qwen-vl-max"), "Model not exist.", 404, "ModelNotFound"),
    Case("SDK's measure", ask(model="qwen-vl-max-latest"), "denied", 403, "Model.AccessDenied"),
    Case(NATIVE, [], "must be a JSON object"),
    Case(NATIVE, {"model": "qwen3-vl-plus"}, "'messages'"),
    Case(NATIVE, {"model": "qwen3-vl-plus", "input": []}, "input must be an object"),
    Case(NATIVE, {"model": "qwen3-vl-plus", "parameters": []}, "parameters must be an object"),
    Case(NATIVE, {"model": "qwen3-vl-plus", "messages": [{"role": "user"}]}, "'messages'"),
    Case(ERRORS, ask({"foo": 1}), "should be a message of a certain modal."),
    Case(ERRORS, ask("hi"), "should be a message of a certain modal."),
    Case(ERRORS, ask({"image": TINY, "text": "x"}), "should be a message of a certain modal."),
    Case(
        ERRORS,
        ask({"type": "image_url", "image_url": {"url": TINY}}),
        "should be a message of a certain modal.",
    ),
    Case(NATIVE, ask({"image": {"url": TINY}}), "image must be a string"),
    Case(NATIVE, ask({"text": 1}), "must be a string"),
    Case(NATIVE, ask({"audio": "https://a.cn/1.mp3"}), "does not support audio"),
    Case(NATIVE, ask({"image": TINY, "fps": 2}), "cannot be set on a 'image' part"),
    Case(NATIVE, ask({"text": "x", "max_frames": 4}), "cannot be set on a 'text' part"),
    Case(NATIVE, ask({"text": "x"}, fps=2), "must stand in a content part"),
    Case(NATIVE, ask({"video": []}), "the range of sequence images shoule be (4, 2000)"),
    Case(NATIVE, ask({"video": {"url": TINY}}), "video must be a list of strings"),
    Case(NATIVE, ask({"video": TINY, "max_frames": 2001}), "max_frames should be [4, 2000]"),
    Case(NATIVE, ask({"video": TINY, "fps": 11}), "fps should be [0.1, 10]"),
    Case(READING, ask({"image": TINY, "enable_rotate": True}), "enable_rotate is not supported"),
    Case("Vision page, 2026-08", ask({"image": "file:///a.png"}), "does not appear to be valid"),
    Case("Temp-URL page", ask({"image": "oss://a/b.png"}), "does not appear to be valid"),
    Case(NATIVE, ask(enable_thinking=True), "must be set to false for non-streaming calls"),
    Case(
        ERRORS,
        ask(enable_thinking=True, incremental_output=False),
        'The incremental_output parameter must be "true" when enable_thinking is true',
        stream=True,
    ),
    Case(
        ERRORS,
        ask(model="qwen3.7-plus"),
        'The incremental_output parameter must be "true" when enable_thinking is true',
        stream=True,
    ),
    Case(NATIVE, ask(incremental_output="yes"), "must be a boolean"),
    Case(NATIVE, ask(result_format="xml"), "result_format must be message or text"),
    Case(NATIVE, ask(temperature=2), "temperature should be [0, 2)"),
    Case(NATIVE, ask(response_format=SCHEMA, model="qwen3.8-max"), "text or json_object"),
    Case(
        NATIVE,
        ask(tools=[{"type": "function", "function": {"name": "zoom"}}]),
        "description is required",
    ),
    Case(
        ERRORS,
        ask(tools=[TOOL], tool_choice="required", model="qwen3.8-max"),
        "does not support being set to required or object in thinking mode",
    ),
    Case(READING, ask(ocr_options={"task": "table_parsing"}), "does not support ocr_options"),
    Case(READING, ask(model="qwen-vl-ocr", ocr_options=1), "must be an object"),
    Case(READING, ask(model="qwen-vl-ocr", ocr_options={"task": "x"}), "task must be one of"),
    Case(
        READING,
        ask(model="qwen-vl-ocr", ocr_options={"task": "table_parsing", "task_config": 1}),
        "task_config must be an object",
    ),
    Case(
        READING,
        ask(
            model="qwen-vl-ocr",
            ocr_options={
                "task": "key_information_extraction",
                "task_config": {"result_schema": "total"},
            },
        ),
        "result_schema must be an object",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.source}: {case.message[:40]}")
def test_request_is_refused_as_documented(post: Callable[..., Any], case: Case) -> None:
    """Code and message stand at the top of the body."""
    reply = post(case.body, path=PATH, headers=SSE if case.stream else {})
    assert reply.status == case.status, reply.body[:500]
    assert reply.json["code"] == case.code
    assert case.message in reply.json["message"]
    assert reply.json["request_id"] == reply.headers["x-request-id"]


UNSURE = [
    (ask(model="qwen3.8-max", response_format=SCHEMA), {}),
    (ask(tools=[{"type": "function", "function": {"name": "zoom"}}]), {}),
    (ask(ocr_options={"task": "table_parsing"}), {}),
    (ask({"image": TINY, "enable_rotate": True}), {}),
    (ask(model="qwen3.7-plus"), SSE),
]


@pytest.mark.parametrize(("body", "headers"), UNSURE, ids=range(len(UNSURE)))
def test_lenient_sandbox_lets_pass_what_is_not_settled(
    connect: Callable[[Sandbox], Any], body: dict[str, Any], headers: dict[str, str]
) -> None:
    """Without `strict` only what a page refuses is refused."""
    with Sandbox(strict=False) as sandbox:
        assert connect(sandbox)(body, path=PATH, headers=headers).status == 200


def test_key_that_is_missing_is_answered_401(post: Callable[..., Any]) -> None:
    """In the native shape."""
    reply = post(ask(), path=PATH, headers={"Authorization": ""})
    assert (reply.status, reply.json["code"]) == (401, "InvalidApiKey")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "InvalidParameter"),
        (401, "InvalidApiKey"),
        (403, "AccessDenied"),
        (404, "ModelNotFound"),
        (429, "Throttling.RateQuota"),
        (500, "InternalError"),
        (503, "ModelServingError"),
        (504, "GatewayTimeout"),
    ],
)
def test_fault_has_the_documented_code(
    qwen_vl_sandbox: Sandbox, post: Callable[..., Any], status: int, code: str
) -> None:
    """Another one than on the other protocol (Errors page, 2026-07)."""
    qwen_vl_sandbox.fail(status=status)
    reply = post(ask(), path=PATH)
    assert (reply.status, reply.json["code"]) == (status, code)


@pytest.mark.parametrize("headers", [{}, SSE], ids=["whole", "stream"])
def test_error_in_200_is_an_error_all_the_same(
    qwen_vl_sandbox: Sandbox, post: Callable[..., Any], headers: dict[str, str]
) -> None:
    """As a body, or as an event of a stream."""
    qwen_vl_sandbox.fail(error_in_200=True, code="DataInspectionFailed", message="No.")
    reply = post(ask(), path=PATH, headers=headers)
    assert reply.status == 200
    if headers:
        head, data = reply.body.rstrip(b"\n").split(b"\ndata:")
        assert head == b"id:1\nevent:error\n:HTTP_STATUS/500"
    error = orjson.loads(data) if headers else reply.json
    assert (error["code"], error["message"]) == ("DataInspectionFailed", "No.")


def test_error_event_ends_the_stream(qwen_vl_sandbox: Sandbox, post: Callable[..., Any]) -> None:
    """HTTP 200, some events, then an error and nothing more."""
    qwen_vl_sandbox.fail(error_event_after=2, message="Sorry.")
    reply = post(ask(), path=PATH, headers=SSE)
    blocks = [b for b in reply.body.split(b"\n\n") if b and not b.startswith(b": ")]
    assert (reply.status, len(blocks)) == (200, 3)
    assert b"event:error" in blocks[-1]
    assert orjson.loads(blocks[-1].partition(b"\ndata:")[2])["message"] == "Sorry."


def test_cut_and_broken_streams(qwen_vl_sandbox: Sandbox, post: Callable[..., Any]) -> None:
    """As on the other protocol."""
    qwen_vl_sandbox.fail(broken_event=True)
    broken = post(ask(), path=PATH, headers=SSE).body.split(b"\n\n")[1]
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(broken.partition(b"\ndata:")[2])
    qwen_vl_sandbox.fail(cut_after_chunks=2)
    with pytest.raises(http.client.IncompleteRead) as caught:
        post(ask(), path=PATH, headers=SSE)
    assert caught.value.partial.count(b"event:result") == 2
