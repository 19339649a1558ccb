"""The server: life, recording, the fixture, the command line."""

import contextlib
import http.client
import http.server
import io
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import openai
import pytest

from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import RecordedRequest, Sandbox, serve, server
from qwen_vl_sandbox import __main__ as command

BODY = {"model": "qwen3-vl-plus", "messages": [{"role": "user", "content": "你好"}]}
Post = Callable[..., Any]


def looked_at(url: str, kind: str = "image_url") -> dict[str, Any]:
    """Write a request with one medium."""
    part = {"type": kind, kind: {"url": url}}
    return {"model": "qwen3-vl-plus", "messages": [{"role": "user", "content": [part]}]}


def run_python(*arguments: str) -> str:
    """Run another Python and give its output."""
    command_line = [sys.executable, "-W", "error", *arguments]
    done = subprocess.run(command_line, capture_output=True, text=True, check=True)
    return done.stdout


def test_sandbox_leaves_nothing_behind(
    connect: Callable[[Sandbox], Post], data_url: Callable[[Path, str], str]
) -> None:
    """No thread, no socket, no changed logger."""
    threads, level = set(threading.enumerate()), logging.getLogger("uvicorn.error").level
    with Sandbox() as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        assert connect(sandbox)(looked_at(data_url(CHELSEA, "image/png"))).status == 200
    assert set(threading.enumerate()) == threads
    assert logging.getLogger("uvicorn.error").level == level
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_stopped_sandbox_refuses_connections() -> None:
    """A refused connection is the SDK's connection error."""
    with Sandbox() as sandbox:
        pass
    with (
        openai.OpenAI(base_url=sandbox.base_url, api_key="any", max_retries=0) as client,
        pytest.raises(openai.APIConnectionError),
    ):
        client.models.list()


def test_sandbox_stops_while_an_answer_is_on_its_way(
    connect: Callable[[Sandbox], Post],
) -> None:
    """A slow answer does not hold the exit up."""
    with Sandbox() as sandbox:
        sandbox.fail(latency=60)
        post = connect(sandbox)
        answers: list[Any] = []

        def ask() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                answers.append(post(BODY))

        thread = threading.Thread(target=ask)
        thread.start()
        while not sandbox.requests:
            time.sleep(0.01)
    thread.join()
    # What came, if anything, is that the answer was cut.
    assert 200 not in [answer.status for answer in answers]


def test_sandbox_starts_again_on_its_port(connect: Callable[[Sandbox], Post]) -> None:
    """What was recorded stays."""
    sandbox = Sandbox()
    with sandbox:
        first = sandbox.base_url
        connect(sandbox)(BODY)
    with sandbox:
        assert sandbox.base_url == first
        connect(sandbox)(BODY)
    assert len(sandbox.requests) == 2


def test_address_before_the_start_is_an_error() -> None:
    """The port is not known yet."""
    with pytest.raises(RuntimeError, match="not been started"):
        Sandbox().base_url  # noqa: B018 - the property itself raises.


def test_taken_port_is_an_error() -> None:
    """Two sandboxes cannot share a port."""
    with Sandbox() as sandbox, pytest.raises(OSError, match="in use"):
        Sandbox(int(sandbox.url.rpartition(":")[2])).start()


def test_request_is_recorded(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """Method, path, headers and body, but not the key."""
    post(BODY, headers={"Authorization": "Bearer sk-0123456789abcd", "X-Own": "1"})
    request = qwen_vl_sandbox.last_request
    assert (request.method, request.path) == ("POST", "/compatible-mode/v1/chat/completions")
    assert (request.json, request.headers["x-own"]) == (BODY, "1")
    assert request.headers["authorization"] == "Bearer …abcd"
    assert "0123456789" not in repr(request)


def test_short_key_is_not_shown_at_all(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """Four characters of a short key would be most of it."""
    post(BODY, headers={"Authorization": "Bearer sk-1234"})
    assert qwen_vl_sandbox.last_request.headers["authorization"] == "Bearer …"


def test_unknown_fields_are_recorded_and_ignored(qwen_vl_sandbox: Sandbox, post: Post) -> None:
    """The service's pages do not say what becomes of them."""
    part = {"type": "text", "text": "hi", "color": "red"}
    body = {**BODY, "messages": [{"role": "user", "content": [part]}], "frequency_penalty": 1}
    assert post(body).status == 200
    assert qwen_vl_sandbox.last_request.unknown_fields == (
        "frequency_penalty",
        "messages[0].content[0].color",
    )


def test_last_request_of_a_fresh_sandbox_is_an_error(qwen_vl_sandbox: Sandbox) -> None:
    """There is none to show."""
    with pytest.raises(LookupError, match="received no request"):
        qwen_vl_sandbox.last_request  # noqa: B018 - the property itself raises.


@pytest.mark.parametrize("turn", [1, 2])
def test_fixture_starts_each_test_afresh(qwen_vl_sandbox: Sandbox, post: Post, turn: int) -> None:
    """Neither requests nor scripts nor faults of the test before are there."""
    assert qwen_vl_sandbox.requests == []
    assert post(BODY).status == 200
    qwen_vl_sandbox.script("left over")
    qwen_vl_sandbox.fail(status=500)


def test_plugin_brings_nothing_heavy() -> None:
    """Every pytest run imports it."""
    code = (
        "import sys, qwen_vl_sandbox.pytest_plugin\n"
        "heavy = {'starlette', 'uvicorn', 'av', 'PIL', 'openai', 'pydantic'}\n"
        "print(heavy & sys.modules.keys())"
    )
    assert run_python("-c", code) == "set()\n"


@pytest.mark.parametrize("missing", ["av", "python_multipart", "starlette", "uvicorn"])
def test_missing_extra_is_named(missing: str) -> None:
    """The error says what to install."""
    code = (
        # `multipart` is an older name of `python_multipart` that its package still has.
        f"import sys; sys.modules[{missing!r}] = sys.modules['multipart'] = None\n"
        "try:\n    from qwen_vl_sandbox import Sandbox\n"
        "except ImportError as error:\n    print(error)"
    )
    assert 'pip install "qwen-vl[sandbox]"' in run_python("-c", code)


def test_module_runs_until_interrupted() -> None:
    """`python -m qwen_vl_sandbox` says where it listens and ends at Ctrl-C."""
    arguments = [sys.executable, "-W", "error", "-m", "qwen_vl_sandbox", "--port", "0"]
    # A child ignores Ctrl-C if its parent does, as one that a script runs in the background.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        signal.signal(signal.SIGINT, inherited)
        assert process.stdout is not None
        line = process.stdout.readline()
        more = [process.stdout.readline() for _ in range(5)]
        process.send_signal(2)
        _, errors = process.communicate(timeout=10)
    url = re.search(r"http://127\.0\.0\.1:[1-9][0-9]*/compatible-mode/v1", line)
    assert url
    assert more[3:] == [
        "export DASHSCOPE_API_KEY=sk-sandbox\n",
        f"export DASHSCOPE_BASE_URL={url[0]}\n",
    ]
    assert (process.returncode, errors) == (0, "")


def test_command_line_hands_its_options_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--lenient` is `strict=False`, `--ocr` is `reads=True`; `--server` is the server."""
    calls: list[Any] = []
    monkeypatch.setattr(server, "serve", lambda *args, **kwargs: calls.append((args, kwargs)))
    command.main(["--port", "81", "--host", "127.0.0.2", "--lenient", "--ocr"])
    command.main(["--server", "vllm", "--allow-host", "a.test", "--allow-host", "b.test"])
    assert calls == [
        (
            (81, "127.0.0.2"),
            {"strict": False, "server": "dashscope", "allowed_hosts": [], "reads": True},
        ),
        (
            (8000, "127.0.0.1"),
            {
                "strict": True,
                "server": "vllm",
                "allowed_hosts": ["a.test", "b.test"],
                "reads": False,
            },
        ),
    ]
    assert callable(serve)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--port", "{taken}"], 1, "Error: Port {taken} on 127.0.0.1 is in use."),
        (["--host", "nowhere.invalid", "--port", "0"], 1, "of nowhere.invalid: "),
        (["--port", "65536"], 2, "65536 is not between 0 and 65535"),
        (["--port", "-1"], 2, "--port"),
        (["--port", "http"], 2, "--port"),
    ],
)
def test_command_line_explains_why_it_cannot_listen(
    arguments: list[str],
    code: int,
    words: str,
    capsys: pytest.CaptureFixture[str],
    qwen_vl_sandbox: Sandbox,
) -> None:
    """One line, not a traceback."""
    taken = qwen_vl_sandbox.url.rpartition(":")[2]
    with pytest.raises(SystemExit) as caught:
        command.main([argument.format(taken=taken) for argument in arguments])
    # A text is what Python prints as one line, with exit code 1.
    shown = capsys.readouterr().err if code != 1 else str(caught.value.code)
    assert (caught.value.code == code) is (code != 1)
    assert words.format(taken=taken) in shown
    assert "Traceback" not in shown
    assert code != 1 or "\n" not in shown


def test_command_line_names_a_missing_extra() -> None:
    """One line, not a traceback."""
    code = (
        "import sys, runpy; sys.modules['uvicorn'] = None\n"
        "runpy.run_module('qwen_vl_sandbox', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == 'Error: The sandbox needs uvicorn: pip install "qwen-vl[sandbox]"\n'


def test_log_has_a_line_for_each_request(
    connect: Callable[[Sandbox], Post], data_url: Callable[[Path, str], str]
) -> None:
    """Method, path, model, status, what was received and the time; never the key."""
    log = io.StringIO()
    with Sandbox() as sandbox:
        sandbox.log_requests(log)
        post = connect(sandbox)
        post(looked_at(data_url(CHELSEA, "image/png")))
        post({**BODY, "model": "qwen3-vl-plus\n\x1b[31mPOST / sk-test-key 200"})
        post({**BODY, "stream": True})
        post(b"{")
        post(BODY, headers={"Authorization": ""})
        post(None, method="GET", path="/nowhere/sk-test-key?sk-test-key")
    chat = r"POST /compatible-mode/v1/chat/completions"
    wanted = [
        rf"{chat} qwen3-vl-plus 200: 1 message, image PNG 451x300, [0-9]+ tokens",
        rf"{chat} qwen3-vl-plus..\[31mPOST / … 200 [24]0[04]?: .*",
        rf"{chat} qwen3-vl-plus 200: 1 message, [0-9]+ tokens",
        rf"{chat} - 400: body of 1 B, rejected: The request body is not valid JSON.",
        rf"{chat} qwen3-vl-plus 401: body of [0-9]+ B, rejected: Incorrect API key provided.",
        r"GET /nowhere/… - 404: .*",
    ]
    lines = log.getvalue().splitlines()
    assert len(lines) == len(wanted)
    for line, pattern in zip(lines, wanted, strict=True):
        assert re.fullmatch(rf"{pattern} \([0-9]+ ms\)", line), line


def test_recorded_request_reads_its_body() -> None:
    """`json` parses the bytes."""
    assert RecordedRequest("POST", "/", {}, b'{"a": 1}').json == {"a": 1}


class Files(http.server.SimpleHTTPRequestHandler):
    """A file server whose answers can be made wrong."""

    def do_GET(self) -> None:
        """Serve `/cat.png`, or the same without a length, with a wrong type, or not."""
        data = CHELSEA.read_bytes()
        self.send_response(404 if self.path == "/none.png" else 200)
        kind = "application/octet-stream" if self.path == "/type.png" else "image/png"
        self.send_header("Content-Type", kind)
        if self.path == "/large.png":
            self.send_header("Content-Length", str(21 * 1024 * 1024))
        elif self.path != "/length.png":
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def files() -> Iterator[str]:
    """The root of a file server."""
    handler = partial(Files, directory=str(Path(__file__).parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_loopback_picture_is_fetched(post: Post, files: str) -> None:
    """A link to this machine is followed and its image decoded."""
    answer = post(looked_at(f"{files}/cat.png?a=1")).json["choices"][0]["message"]["content"]
    assert "an image: PNG 451x300, mean color #946f57 (brown), 128 tokens" in answer


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("none.png", 400, "Failed to download multimodal content"),
        ("length.png", 500, "Missing Content-Length of multimodal url"),
        ("type.png", 400, "Wrong Content-Type of multimodal url"),
        ("large.png", 400, "Multimodal file size is too large"),
    ],
)
def test_loopback_file_is_held_to_the_rules(
    post: Post, files: str, name: str, status: int, words: str
) -> None:
    """The Vision page (2026-08) tells what a file server must send."""
    reply = post(looked_at(f"{files}/{name}"))
    assert (reply.status, words in reply.error["message"]) == (status, True)


def test_link_to_a_closed_port_cannot_be_downloaded(post: Post) -> None:
    """Nothing listens there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    reply = post(looked_at(f"http://localhost:{port}/cat.png"))
    assert "Failed to download multimodal content" in reply.error["message"]


@pytest.mark.parametrize(
    "url",
    [
        "https://help-static-aliyun-doc.aliyuncs.com/file/dog_and_girl.jpeg",
        "https://example.com/cat.png?Signature=secret",
    ],
)
def test_other_link_is_not_followed(post: Post, url: str) -> None:
    """The answer says so; an image that is not fetched has no known size, and no tokens."""
    body = post(looked_at(url)).json
    content = body["choices"][0]["message"]["content"]
    assert f"not fetched, {url.partition('?')[0]}" in content
    assert "secret" not in content
    assert "of unknown size: 0 tokens" in content
    assert body["usage"]["prompt_tokens_details"]["image_tokens"] is None


def test_unseen_video_is_told(post: Post) -> None:
    """A video elsewhere counts nothing."""
    answer = post(looked_at("https://example.com/a.mp4", "video_url")).json
    assert "a video: not fetched" in answer["choices"][0]["message"]["content"]
