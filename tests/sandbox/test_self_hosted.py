"""Servers that hold the model themselves: what each takes, refuses and ignores.

What is said of vLLM was measured on 0.32.0; the rest is from published source and documents.
"""

import http.server
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pybase64
import pytest
from PIL import Image

from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Fault, Sandbox, ScriptedAnswer
from qwen_vl_sandbox.specs.servers import SERVERS

MODEL = "Qwen/Qwen3-VL-8B-Instruct"
OLDER = "Qwen/Qwen2.5-VL-7B-Instruct"
PATH = "/v1/chat/completions"
CAT = CHELSEA.read_bytes()
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


SMALL = spell(drawn(64, 64))
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


@pytest.fixture(scope="module", params=list(SERVERS))
def every(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A sandbox of each server in turn."""
    with Sandbox(server=request.param) as sandbox:
        yield sandbox


def content_of(reply: Any) -> str:
    """The text of an answer."""
    assert reply.status == 200, reply.body[:500]
    content: str = reply.json["choices"][0]["message"]["content"]
    return content


@dataclass(frozen=True)
class Case:
    """A request that one server refuses."""

    server: str
    body: Any
    message: str
    status: int = 400
    kind: str = "BadRequestError"


def vllm(body: Any, message: str, status: int = 400, kind: str = "BadRequestError") -> Case:
    """A request that vLLM refuses."""
    return Case("vllm", body, message, status, kind)


SHAPE = "Bad Request"
ALL_FRAMES = {"media_io_kwargs": {"video": {"num_frames": -1}}}


def called(arguments: str) -> dict[str, Any]:
    """Write a conversation in which the model called a tool."""
    function = {"name": "crop", "arguments": arguments}
    call = {"id": "a", "type": "function", "function": function}
    answer = {"role": "assistant", "content": "", "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "a", "content": "Cropped."}
    return {"model": MODEL, "messages": [{"role": "user", "content": "Crop."}, answer, result]}


VLLM = [
    vllm(ask({"type": "video", "video": [SMALL] * 4}), "part type: 'video'"),
    vllm(ask({"type": "video", "video": "https://a.cn/1.mp4"}), "part type: 'video'"),
    vllm(ask({"video": [SMALL] * 4}), "part type: ''"),
    vllm(ask({"type": "image", "image": SMALL}), "part type: 'image'"),
    vllm(ask({"image": SMALL}), "part type: ''"),
    vllm(ask({"type": "image_url", "image_url": SMALL}), "must be an object", kind=SHAPE),
    vllm(ask({"type": "video_url", "video_url": SMALL}), "must be an object", kind=SHAPE),
    vllm(ask(video([SMALL])), "must be a string", kind=SHAPE),  # type: ignore[arg-type] - meant.
    vllm(ask(image(SMALL, detail="huge")), "detail must be one of", kind=SHAPE),
    vllm(ask("hi"), "must be an object", kind=SHAPE),
    vllm({"model": MODEL, "messages": [{"role": "user", "content": None}]}, "", kind=SHAPE),
    vllm({"model": MODEL, "messages": []}, "too short", kind=SHAPE),
    vllm(ask(image("")), "must be either a HTTP, data or file URL"),
    vllm(ask(image("ftp://a.cn/1.png")), "must be either"),
    vllm(ask(image("oss://a/1.png")), "must be either"),
    vllm(ask(image(SMALL.partition(",")[2])), "must be either"),
    vllm(ask(image("data:image/png;base64,_-_-")), "Invalid base64"),
    vllm(ask(image(SMALL[:60] + "\n" + SMALL[60:])), "Invalid base64"),
    vllm(ask(image(spell(b"no image"))), "cannot identify image file"),
    vllm(ask(image("data:image/png,raw")), "Only base64", 501, "NotImplementedError"),
    vllm(ask(image("file:///tmp/1.png")), "allowed-local-media", 500, "InternalServerError"),
    vllm(ask(image("http://no.invalid/1.png")), "Cannot load", 500, "InternalServerError"),
    vllm(ask(image(spell(drawn(1, 201)))), "aspect ratio must be smaller than 200"),
    vllm(ask(image(SMALL), mm_processor_kwargs={"max_pixels": "1"}), "must be an integer"),
    vllm(ask(image(SMALL), mm_processor_kwargs={"do_sample_frames": True}), "processor"),
    vllm(ask(image(SMALL), mm_processor_kwargs={"fps": [4.0]}), "processor"),
    vllm(ask(frames(4), media_io_kwargs={"video": {"num_frames": 0}}), "must be greater than 0"),
    vllm(ask(frames(1)), "t:1 must be larger than temporal_factor:2"),
    vllm(ask(video(spell(b"no video", "video/mp4"))), "Failed to load the video"),
    vllm(
        ask(video(spell(b"no video", "video/mp4")), model=OLDER),
        "Failed to load the video",
        500,
        "InternalServerError",
    ),
    vllm(ask(model="gpt-4"), "The model `gpt-4` does not exist.", 404, "NotFoundError"),
    vllm(ask(tools=[]), "not empty", kind=SHAPE),
    vllm(ask(tool_choice="auto"), "`tools` must be set", kind=SHAPE),
    vllm(ask(tools=[{"type": "function", "name": "x"}]), "object with a name", kind=SHAPE),
    vllm(ask(tools=[TOOL], tool_choice="any"), "Invalid tool_choice", kind=SHAPE),
    vllm(
        ask(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "x"}}),
        "not among the tools",
    ),
    vllm(
        {
            "messages": [
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "a", "function": {"name": "x", "arguments": {}}}],
                }
            ]
        },
        "arguments must be a string",
        kind=SHAPE,
    ),
    vllm(ask(response_format={"type": "xml"}), "must be text, json", kind=SHAPE),
    vllm(
        ask(response_format={"type": "json_schema", "json_schema": {"schema": SCHEMA}}),
        "name is required",
        kind=SHAPE,
    ),
    vllm(
        ask(response_format={"type": "json_schema", "json_schema": {"name": "x"}}),
        "needs a schema",
        kind=SHAPE,
    ),
    vllm(ask(stream_options={"include_usage": True}), "only be defined when", kind=SHAPE),
    vllm(ask(temperature=2.1), "temperature should be [0, 2]"),
    vllm(ask(top_p=0), "top_p should be (0, 1]"),
    vllm(ask(n=0), "n should be"),
    vllm(ask(max_tokens=0), "max_tokens should be [1"),
    vllm(ask(max_tokens=300_000), "max_tokens should be [1"),
    vllm([], "must be a JSON object", kind=SHAPE),
]
OTHERS = [
    Case("sglang", ask({"type": "video", "video": [SMALL] * 4}), "'video'", kind="BadRequest"),
    Case("sglang", ask(image(SMALL, detail="huge")), "detail", kind="BadRequest"),
    Case("sglang", ask(frames(4)), "Invalid base64", kind="BadRequest"),
    Case(
        "llamacpp",
        ask(video("https://a.cn/1.mp4")),
        "unsupported content[].type",
        kind="invalid_request_error",
    ),
    Case(
        "llamacpp",
        ask(image("file:///tmp/1.png")),
        "Invalid url value",
        kind="invalid_request_error",
    ),
    Case(
        "llamacpp",
        ask(tools=[TOOL], tool_choice="any"),
        "Invalid tool_choice",
        kind="invalid_request_error",
    ),
    Case(
        "ollama",
        ask(image("https://a.cn/1.png")),
        "image URLs are not currently supported",
        kind="invalid_request_error",
    ),
    Case(
        "ollama",
        ask(image(spell(drawn(64, 64, "GIF"), "image/gif"))),
        "invalid image input",
        kind="invalid_request_error",
    ),
    Case(
        "ollama",
        ask(video(SMALL)),
        "invalid message format",
        kind="invalid_request_error",
    ),
    Case("ollama", ask("hi"), "invalid message format", kind="invalid_request_error"),
    *(
        Case("ollama", called(text), "invalid tool call arguments", kind="invalid_request_error")
        for text in ("no", '{"city": ', "", "[1]")
    ),
    *(
        Case(
            "sglang",
            called(text),
            "Assistant tool call function.arguments must be valid JSON.",
            kind="BadRequest",
        )
        for text in ("no", '{"city": ', "", '{"x": NaN}')
    ),
    *(
        Case(
            "sglang",
            called(text),
            "Assistant tool call function.arguments must be a JSON object.",
            kind="BadRequest",
        )
        for text in ("[1]", '"Paris"', "null")
    ),
    *(
        Case(
            "llamacpp",
            called(text),
            "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] "
            f"parse error at line 1, column {column}",
            kind="server_error",
            status=500,
        )
        for text, column in (('{"city": ', 10), ("", 1))
    ),
    Case(
        "ollama",
        ask(reasoning_effort="huge"),
        "reasoning_effort must be one of",
        kind="invalid_request_error",
    ),
]


@pytest.mark.parametrize(
    "case", [*VLLM, *OTHERS], ids=lambda case: f"{case.server}: {case.message[:40]}"
)
def test_request_is_refused_as_by_that_server(send: Callable[..., Any], case: Case) -> None:
    """With its status, its kind of error and its body."""
    reply = send(case.server, case.body)
    assert reply.status == case.status, reply.body[:500]
    error = reply.json if case.server == "sglang" else reply.json["error"]
    assert error["type"] == case.kind
    assert case.message in error["message"]


def test_errors_have_each_servers_shape(send: Callable[..., Any]) -> None:
    """All fields of the four bodies."""
    bad = ask(response_format={"type": "xml"})
    assert set(send("vllm", bad).json["error"]) == {"message", "type", "param", "code"}
    assert send("vllm", bad).json["error"]["code"] == 400
    assert set(send("sglang", bad).json) == {"object", "message", "type", "param", "code"}
    assert set(send("llamacpp", bad).json["error"]) == {"code", "message", "type"}
    assert send("ollama", bad).json["error"]["code"] is None


TAKEN = [
    ("vllm", ask(image(SMALL))),
    ("vllm", ask({"image_url": SMALL}, {"text": "x"})),
    ("vllm", ask({"image_url": {"url": SMALL}})),
    ("vllm", ask(image(SMALL.replace("image/png", "")))),
    ("vllm", ask(image(SMALL.replace("image/png", "application/octet-stream;charset=x")))),
    ("vllm", ask(image(SMALL.rstrip("=")))),
    ("vllm", ask(image(spell(drawn(64, 64, "GIF"))))),
    ("vllm", ask(image(spell(drawn(1, 200))))),
    ("vllm", ask(image("https://a.cn/1.png"), video("https://a.cn/1.mp4"))),
    ("vllm", ask(video(spell(BIG_BUCK_BUNNY.read_bytes(), "text/plain")))),
    ("vllm", {"messages": [{"role": "developer", "content": [image(SMALL)]}]}),
    ("vllm", {"messages": [{"role": "narrator", "content": "hi"}]}),
    ("vllm", {"messages": [{"role": "tool", "content": [image(SMALL)]}]}),
    ("vllm", {"messages": [{"role": "function", "content": "x"}]}),
    ("vllm", ask(tools=[TOOL], tool_choice="required", reasoning_effort="high")),
    ("vllm", ask(frames(1), model=OLDER)),
    ("sglang", ask(image("/srv/1.png"), video("https://a.cn/1.mp4"))),
    ("sglang", ask(image(SMALL, detail="low"))),
    ("sglang", ask(tools=[TOOL], tool_choice=NAMED)),
    ("llamacpp", ask(image(SMALL.partition(",")[2]))),
    ("llamacpp", ask({"type": "input_video", "input_video": {"url": "https://a.cn/1.mp4"}})),
    ("llamacpp", ask(tools=[TOOL], tool_choice=NAMED)),
    ("llamacpp", ask(temperature=5, max_tokens=-1)),
    ("ollama", ask({"type": "image_url", "image_url": SMALL})),
    ("ollama", ask(image(SMALL.replace("image/png", "")))),
    ("ollama", ask(reasoning={"effort": "max"})),
    ("ollama", ask(tools=[TOOL], tool_choice="any")),
]


@pytest.mark.parametrize(("server", "body"), TAKEN, ids=range(len(TAKEN)))
def test_request_is_taken_as_by_that_server(
    send: Callable[..., Any], server: str, body: Any
) -> None:
    """Much of it the service itself would refuse."""
    assert send(server, body).status == 200, send(server, body).body[:500]


IGNORED = [
    ("vllm", ask(enable_thinking=True), ["enable_thinking"]),
    ("vllm", ask(thinking_budget=1), ["thinking_budget"]),
    ("vllm", ask(vl_high_resolution_images=True), ["vl_high_resolution_images"]),
    ("vllm", ask(guided_json={}), ["guided_json"]),
    ("vllm", ask({**image(SMALL), "min_pixels": 1}), ["messages[0].content[0].min_pixels"]),
    (
        "vllm",
        ask(image(SMALL, max_pixels=1)),
        ["messages[0].content[0].image_url.max_pixels"],
    ),
    ("vllm", ask(image(SMALL, detail="low")), ["messages[0].content[0].image_url.detail"]),
    ("vllm", ask(video("https://a.cn/1.mp4", fps=2)), ["messages[0].content[0].fps"]),
    ("vllm", ask(mm_processor_kwargs={"fps": 2}), ["mm_processor_kwargs.fps"]),
    ("vllm", ask(**ALL_FRAMES), ["media_io_kwargs.video.num_frames"]),
    ("vllm", ask(frames(4), **ALL_FRAMES), []),
    (
        "vllm",
        ask(stream=True, stream_options={"include_usage": True, "x": 1}),
        ["stream_options.x"],
    ),
    ("sglang", ask(mm_processor_kwargs={"max_pixels": 1}), ["mm_processor_kwargs"]),
    ("llamacpp", ask(image(SMALL, detail="high")), ["messages[0].content[0].image_url.detail"]),
    ("llamacpp", ask(tools=[TOOL], tool_choice=NAMED), ["tool_choice"]),
    ("ollama", ask(tools=[TOOL], tool_choice="required"), ["tool_choice"]),
    ("ollama", ask(chat_template_kwargs={}), ["chat_template_kwargs"]),
    ("ollama", ask(top_k=1), ["top_k"]),
]


@pytest.mark.parametrize(("server", "body", "names"), IGNORED, ids=range(len(IGNORED)))
def test_field_is_ignored_and_recorded(
    sandboxes: Callable[[str], Sandbox],
    connect: Callable[[Sandbox], Any],
    server: str,
    body: Any,
    names: list[str],
) -> None:
    """The request passes, and the recorder says what was in vain."""
    sandbox = sandboxes(server)
    assert connect(sandbox)(body, path=PATH).status == 200
    assert list(sandbox.last_request.unknown_fields) == names


@pytest.mark.parametrize("arguments", ["no", '{"city": ', "{'x': 3}"])
def test_broken_arguments_are_made_empty_by_vllm(
    sandboxes: Callable[[str], Sandbox], connect: Callable[[Sandbox], Any], arguments: str
) -> None:
    """The model reads that the call had none, and the recorder says so."""
    sandbox = sandboxes("vllm")
    send = connect(sandbox)
    used = [
        send(called(text), path=PATH).json["usage"]["prompt_tokens"] for text in (arguments, "{}")
    ]
    assert used[0] == used[1]
    unread = ["messages[1].tool_calls[0].function.arguments"]
    assert [list(each.unknown_fields) for each in sandbox.requests[-2:]] == [unread, []]


@pytest.mark.parametrize("arguments", ['{"x": ' + "1" * 5_000 + "}", "[" * 100_000 + "]" * 100_000])
def test_arguments_that_python_cannot_read_are_refused_by_vllm(
    send: Callable[..., Any], arguments: str
) -> None:
    """They are JSON, so that they are not made empty."""
    reply = send("vllm", called(arguments))
    assert (reply.status, reply.json["error"]["type"]) == (400, "BadRequestError")


def test_official_sdk_works_with_every_server(every: Sandbox) -> None:
    """Whole and as a stream, with an image."""
    with openai.OpenAI(base_url=every.base_url, api_key="none", max_retries=0) as client:
        messages: Any = ask(image(spell(CAT)), {"type": "text", "text": "What?"})["messages"]
        reply = client.chat.completions.create(model=MODEL, messages=messages)
        content = str(reply.choices[0].message.content)
        # 451x300 is scaled to 448x288.
        assert "an image: PNG 451x300, mean color #946f57 (brown), 128 tokens" in content
        stream = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
        texts = [chunk.choices[0].delta.content or "" for chunk in stream]
        assert "".join(texts) == content
        assert next(iter(client.models.list())).id == MODEL


def test_script_and_faults_work_by_every_server(
    every: Sandbox, connect: Callable[[Sandbox], Any]
) -> None:
    """As with the service."""
    every.clear()
    every.script(ScriptedAnswer(text=("A ", "cat."), reasoning="Whiskers."))
    every.fail(Fault(status=503, message="Later."))
    post = connect(every)
    failed = post(ask(), path=PATH)
    assert (failed.status, b"Later." in failed.body) == (503, True)
    message = post(ask(), path=PATH).json["choices"][0]["message"]
    assert message["content"] == "A cat."
    assert message.get("reasoning") or message.get("reasoning_content")


def test_key_is_needed_only_where_one_is_set(connect: Callable[[Sandbox], Any]) -> None:
    """The servers know no keys unless told; Ollama never does."""
    bare = {"Authorization": ""}
    with Sandbox(server="vllm") as sandbox:
        assert connect(sandbox)(ask(), path=PATH, headers=bare).status == 200
    with Sandbox(server="vllm", api_keys=["sk-1"]) as sandbox:
        refused = connect(sandbox)(ask(), path=PATH, headers=bare)
        assert (refused.status, refused.json) == (401, {"error": "Unauthorized"})
    with Sandbox(server="llamacpp", api_keys=["sk-1"]) as sandbox:
        refused = connect(sandbox)(ask(), path=PATH)
        assert refused.json["error"]["message"] == "Invalid API Key"
        listed = connect(sandbox)(method="GET", path="/v1/models")
        assert listed.status == 401
    with Sandbox(server="ollama", api_keys=["sk-1"]) as sandbox:
        assert connect(sandbox)(ask(), path=PATH, headers=bare).status == 200


@pytest.mark.parametrize(
    ("server", "body"),
    [
        ("vllm", b'{"detail":"Not Found"}'),
        ("sglang", b'{"detail":"Not Found"}'),
        ("llamacpp", b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}'),
        ("ollama", b"404 page not found"),
    ],
)
def test_other_path_is_not_found(send: Callable[..., Any], server: str, body: bytes) -> None:
    """The service's own URLs among them."""
    reply = send(server, ask(), path="/compatible-mode/v1/chat/completions")
    assert (reply.status, reply.body) == (404, body)
    assert send(server, ask(), method="GET").status == 405


def test_address_of_a_server_ends_in_v1() -> None:
    """There is no native protocol."""
    with Sandbox(server="ollama") as sandbox:
        assert sandbox.base_url == f"{sandbox.url}/v1"
        with pytest.raises(RuntimeError, match="no native protocol"):
            sandbox.native_base_url  # noqa: B018 - the property itself raises.


def test_unknown_server_is_an_error() -> None:
    """The message names those there are."""
    with pytest.raises(ValueError, match="'triton' is not one of dashscope, vllm"):
        Sandbox(server="triton")  # type: ignore[arg-type] - meant.


class Files(http.server.BaseHTTPRequestHandler):
    """A file server that moves its files about."""

    def do_GET(self) -> None:
        """Serve `/cat.png`; send `/old.png` there and `/away.png` elsewhere."""
        moved = {"/old.png": "/cat.png", "/away.png": "https://a.cn/1.png"}.get(self.path)
        status = {"/cat.png": 200, "/broken.png": 500}.get(self.path, 302 if moved else 404)
        data = CAT if status == 200 else b""
        self.send_response(status)
        if moved:
            self.send_header("Location", moved)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def files() -> Iterator[str]:
    """The root of a file server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_loopback_picture_is_fetched(send: Callable[..., Any], files: str) -> None:
    """Whatever its type; redirects are followed, but not away from this machine."""
    for name in ("cat.png", "old.png"):
        assert "PNG 451x300" in content_of(send("vllm", ask(image(f"{files}/{name}"))))
    away = content_of(send("vllm", ask(image(f"{files}/away.png"))))
    assert "not fetched, https://a.cn/1.png" in away


@pytest.mark.parametrize(
    ("server", "name", "status"),
    [
        ("vllm", "none.png", 422),
        ("vllm", "broken.png", 500),
        ("sglang", "none.png", 400),
        ("llamacpp", "broken.png", 400),
    ],
)
def test_file_that_cannot_be_had_is_an_error(
    send: Callable[..., Any], files: str, server: str, name: str, status: int
) -> None:
    """Of a video too the image's field is blamed."""
    reply = send(server, ask(image(f"{files}/{name}")))
    assert reply.status == status
    if status == 422:
        film = send(server, ask(video(f"{files}/{name}")))
        assert (film.status, film.json["error"]["param"]) == (422, "image_url")
