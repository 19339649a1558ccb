"""What a sandbox refuses and drops, so that neither a web page nor a long run does harm."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import pytest

from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.http.uploads import STORAGE_PATH
from qwen_vl_sandbox.media import download as download_module
from qwen_vl_sandbox.specs.servers import ServerName
from qwen_vl_sandbox.storage import Storage, account_of
from scripted_server import Server, answer

MIB = 2**20
KEY = {"Authorization": "Bearer sk-1"}
QUESTION = {"model": "qwen3-vl-plus", "messages": [{"role": "user", "content": "Hi"}]}


def post(sandbox: Sandbox, **headers: str) -> httpx2.Response:
    url = f"{sandbox.base_url}/chat/completions"
    return httpx2.post(url, json=QUESTION, headers=KEY | headers)


# Who may ask.


@pytest.mark.parametrize("server", ["dashscope", "vllm"])
@pytest.mark.parametrize(
    "host",
    [
        *("example.com", "example.com:8000", "127.0.0.1.example.com", "localhost.example.com"),
        *("127.0.0.1@example.com", "", "127.0.0.1 example.com", "[::1", "rebind.localhost"),
    ],
)
def test_other_host_is_refused(host: str, server: ServerName) -> None:
    with Sandbox(server=server) as sandbox:
        assert post(sandbox, Host=host).status_code == 403
        assert sandbox.n_requests == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LocalHost:80", "[::1]:8000", "10.0.0.7"]
)
def test_this_machine_s_names_are_answered(host: str) -> None:
    with Sandbox() as sandbox:
        assert post(sandbox, Host=host).status_code == 200


def test_host_that_is_allowed_is_answered() -> None:
    with Sandbox(allowed_hosts=["sandbox.test"]) as sandbox:
        assert post(sandbox, Host="sandbox.test:8000").status_code == 200
        assert post(sandbox, Host="other.test").status_code == 403


@pytest.mark.parametrize("origin", ["https://example.com", "null", "http://example.com:8000"])
def test_web_page_is_refused(origin: str) -> None:
    """A page may send `text/plain` anywhere without being asked for leave."""
    with Sandbox(server="vllm") as sandbox:
        url = f"{sandbox.base_url}/chat/completions"
        page = {"Origin": origin, "Content-Type": "text/plain"}
        assert httpx2.post(url, json=QUESTION, headers=page).status_code == 403
        assert sandbox.n_requests == 0


def test_page_of_this_machine_is_answered() -> None:
    with Sandbox() as sandbox:
        assert post(sandbox, Origin="http://localhost:3000").status_code == 200


# What is kept.


def test_oldest_requests_are_dropped() -> None:
    with Sandbox(max_recorded_bytes=1_000) as sandbox:
        for number in range(10):
            text = f"{number}" * 200
            body = QUESTION | {"messages": [{"role": "user", "content": text}]}
            httpx2.post(f"{sandbox.base_url}/chat/completions", json=body, headers=KEY)
        kept = [request.json["messages"][0]["content"][0] for request in sandbox.requests]
        assert kept == ["7", "8", "9"]
        assert sandbox.n_requests == 10
        sandbox.clear()
        assert (sandbox.n_requests, sandbox.requests) == (0, [])


def test_newest_request_is_kept_even_if_it_is_too_long() -> None:
    with Sandbox(max_recorded_bytes=10) as sandbox:
        for _ in range(2):
            post(sandbox)
        assert len(sandbox.requests) == 1
        assert sandbox.last_request.json == QUESTION


def test_large_bodies_are_not_all_kept() -> None:
    body = b'{"model": "' + b"x" * (20 * MIB) + b'"}'
    with Sandbox() as sandbox:
        for _ in range(8):
            httpx2.post(f"{sandbox.base_url}/chat/completions", content=body, headers=KEY)
        assert sandbox.n_requests == 8
        assert sum(len(request.body) for request in sandbox.requests) <= 64 * MIB


def test_body_above_the_service_s_limit_is_not_kept() -> None:
    with Sandbox() as sandbox:
        url = f"{sandbox.base_url}/chat/completions"
        reply = httpx2.post(url, content=bytes(65 * MIB), headers=KEY)
        assert reply.status_code == 413
        assert not sandbox.requests


def test_upload_without_end_is_not_kept() -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'

    def endless() -> Iterator[bytes]:
        yield head
        for _ in range(110):
            yield bytes(MIB)
        yield b"\r\n--b--\r\n"

    with Sandbox() as sandbox:
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        reply = httpx2.post(sandbox.url + STORAGE_PATH, content=endless(), headers=kind)
        assert reply.status_code == 400
        assert "EntityTooLarge" in reply.text
        assert not sandbox.uploads


def test_oldest_files_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qwen_vl_sandbox.storage.MAX_STORED_BYTES", 2_500)
    with Sandbox() as sandbox:
        keys = []
        for _ in range(4):
            asked = {"action": "getPolicy", "model": "qwen3-vl-plus"}
            url = f"{sandbox.native_base_url}/uploads"
            policy = httpx2.get(url, params=asked, headers=KEY).json()["data"]
            key = f"{policy['upload_dir']}/a.png"
            form = {
                "OSSAccessKeyId": policy["oss_access_key_id"],
                "Signature": policy["signature"],
                "policy": policy["policy"],
                "key": key,
                "x-oss-object-acl": policy["x_oss_object_acl"],
                "x-oss-forbid-overwrite": policy["x_oss_forbid_overwrite"],
            }
            files = {"file": ("a.png", bytes(1_000))}
            httpx2.post(policy["upload_host"], data=form, files=files).raise_for_status()
            keys.append(key)
        storage: Storage = sandbox._ledger.storage
        account = account_of(KEY["Authorization"])
        kept = [storage.find(key, "qwen3-vl-plus", account) is not None for key in keys]
        assert kept == [False, False, True, True]
        assert len(sandbox.uploads) == 4


# What is fetched.


def ask_about(sandbox: Sandbox, url: str) -> dict[str, Any]:
    part = {"type": "image_url", "image_url": {"url": url}}
    body = {"model": "qwen3-vl-plus", "messages": [{"role": "user", "content": [part]}]}
    if not sandbox.base_url.endswith("compatible-mode/v1"):
        body["model"] = "Qwen/Qwen3-VL-8B-Instruct"
    reply = httpx2.post(f"{sandbox.base_url}/chat/completions", json=body, headers=KEY, timeout=60)
    found: dict[str, Any] = reply.json()
    return found


def drip(connection: socket.socket, pieces: Iterator[bytes], is_over: threading.Event) -> None:
    with contextlib.suppress(OSError):
        for piece in pieces:
            connection.sendall(piece)
            if is_over.wait(0.05):
                return


def drip_head() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX-Slow: "
    while True:
        yield b"x"


def drip_body() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 1000000\r\n\r\n"
    while True:
        yield b"x"


@pytest.mark.parametrize("server", ["dashscope", "vllm"])
@pytest.mark.parametrize("pieces", [drip_head, drip_body])
def test_slow_server_is_not_waited_for_forever(
    pieces: Callable[[], Iterator[bytes]], server: ServerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download_module, "TOTAL_TIMEOUT_SECONDS", 0.3)
    is_over = threading.Event()
    slow = Server(lambda connection, _: drip(connection, pieces(), is_over))
    with Sandbox(server=server) as sandbox:
        # The server never ends by itself.
        assert ask_about(sandbox, f"{slow.origin}/a.png")["error"]
    is_over.set()
    slow.close()


@pytest.mark.parametrize("server", ["dashscope", "vllm"])
def test_endless_answer_is_not_read(server: ServerName) -> None:
    sent: list[int] = []

    def handle(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n")
        with contextlib.suppress(OSError):
            while sum(sent) < 2_000 * MIB:
                connection.sendall(bytes(MIB))
                sent.append(MIB)
        connection.close()

    endless = Server(handle)
    with Sandbox(server=server) as sandbox:
        assert ask_about(sandbox, f"{endless.origin}/a.png")["error"]
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and sum(sent) == 0:
        time.sleep(0.01)
    # The limit of a body, and what is on its way.
    assert sum(sent) <= 80 * MIB
    endless.close()


@pytest.mark.parametrize("length", ["x", "-1", "1e3", "9" * 400, "1, 1"])
def test_odd_length_is_an_error_of_the_service(length: str) -> None:
    head = (f"content-type: image/png\r\ncontent-length: {length}").encode()
    odd = Server(
        lambda connection, _: (
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n" + answer(b"")),
            connection.close(),
        )[1]
    )
    with Sandbox() as sandbox:
        error = ask_about(sandbox, f"{odd.origin}/a.png")["error"]
    assert "sandbox itself has failed" not in error["message"]
    odd.close()
