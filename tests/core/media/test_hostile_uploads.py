"""Uploads where the endpoint, the storage, or another user of the machine is hostile or broken."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from qwen_vl.client import AsyncQwenVLClient, QwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.content import LocalFile, Text, Turn, Video
from qwen_vl.errors import ConfigurationError, QwenVLError, ServiceError
from qwen_vl.media.upload.cache import KEPT_SECONDS, UploadCache
from qwen_vl.media.upload.policy import UploadPolicy
from qwen_vl.request.build import build_media_policy
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.upload_hosts import UploadHosts
from scripted_server import Server, answer, good_answer

STORED = answer(b"", status="200 OK")
# The fields of the Temp-URL page (2026).
POLICY = {
    "policy": "eyJl",
    "signature": "g5K+",
    "upload_dir": "dashscope-instant/ab/2026-11-29/cd",
    "expire_in_seconds": 300,
    "max_file_size_mb": 100,
    "capacity_limit_mb": 999_999_999,
    "oss_access_key_id": "LTAI",
    "x_oss_object_acl": "private",
    "x_oss_forbid_overwrite": "true",
}
posix_only = pytest.mark.skipif(os.name != "posix", reason="Modes of files are those of POSIX.")


class Service:
    """The endpoint and its storage on one server.

    Args:
        policy: Changes to the documented policy.
        stores: Answers the storage's requests.
    """

    def __init__(self, policy: dict[str, Any], stores: Callable[[socket.socket], None]) -> None:
        self._policy = policy
        self._stores = stores
        self.server = Server(self._handle)
        self.uploads: list[bytes] = []

    @property
    def connection(self) -> Connection:
        return Connection(
            base_url=f"{self.server.origin}/compatible-mode/v1",
            api_key=SecretStr("sk-1"),
            max_retries=0,
        )

    def _handle(self, connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET /api/v1/uploads"):
            data = {"upload_host": f"{self.server.origin}/oss", **POLICY, **self._policy}
            known = {name: value for name, value in data.items() if value is not None}
            connection.sendall(answer(json.dumps({"data": known}).encode()))
        elif request.startswith(b"POST /oss"):
            self.uploads.append(request)
            self._stores(connection)
        else:
            connection.sendall(good_answer(request))


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    with contextlib.ExitStack() as stack:

        def start(
            policy: dict[str, Any] | None = None,
            stores: Callable[[socket.socket], None] = lambda to: to.sendall(STORED),
        ) -> Service:
            service = Service(policy or {}, stores)
            stack.callback(service.server.close)
            return service

        yield start


def question(cache: Path | bool = False, **policy: Any) -> Request:
    video = Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=True), video_mode="upload")
    return Request(
        model="qwen3-vl-plus",
        turns=(Turn(role="user", parts=(video, Text(text="What happens?"))),),
        policy=MediaPolicy(upload_cache=cache, **policy),
    )


# The storage's answer.


@pytest.mark.parametrize("status", ["200 OK", "204 No Content"])
def test_what_is_stored_is_remembered(
    status: str, serve: Callable[..., Service], tmp_path: Path
) -> None:
    service = serve(stores=lambda to: to.sendall(answer(b"", status=status)))
    for _ in range(2):
        QwenVLClient(service.connection).ask(question(tmp_path / "uploads"))
    assert len(service.uploads) == 1


@pytest.mark.parametrize(
    "status",
    [
        *("201 Created", "202 Accepted", "206 Partial Content", "226 IM Used"),
        *("300 Multiple Choices", "301 Moved Permanently", "302 Found", "303 See Other"),
        *("304 Not Modified", "307 Temporary Redirect", "308 Permanent Redirect"),
        *("400 Bad Request", "503 Service Unavailable"),
    ],
)
def test_other_status_is_an_error_and_not_remembered(
    status: str, serve: Callable[..., Service], tmp_path: Path
) -> None:
    where = "location: http://127.0.0.1:9/elsewhere"
    service = serve(stores=lambda to: to.sendall(answer(b"", where, status=status)))
    with pytest.raises(ServiceError) as caught:
        QwenVLClient(service.connection).ask(question(tmp_path / "uploads"))
    assert caught.value.status == int(status[:3])
    assert len(service.uploads) == 1
    assert not list((tmp_path / "uploads").glob("*.json"))
    assert not any(b"chat/completions" in request for request in service.server.requests)


def test_answer_without_end_is_read_no_further_than_an_error_is_long(
    serve: Callable[..., Service],
) -> None:
    sent = []

    def stores(to: socket.socket) -> None:
        to.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n<Error><Code>AccessDenied</Code>")
        with contextlib.suppress(OSError):
            while len(sent) < 1_000:
                to.sendall(b" " * 65_536)
                sent.append(65_536)

    with pytest.raises(ServiceError, match="storage refused the file"):
        QwenVLClient(serve(stores=stores).connection).ask(question())
    # What the buffers of both sockets take is more than what is read.
    assert sum(sent) < 16 * 2**20


# Where the policy sends the file.


@pytest.mark.parametrize(
    "host",
    [
        "https://example.com",
        "http://bucket.oss-cn-beijing.aliyuncs.com",
        "https://bucket.oss-cn-beijing.aliyuncs.com:8443",
        "https://aliyuncs.com.example.com",
        "https://notaliyuncs.com",
        "https://example.com/.aliyuncs.com",
        "https://example.com?.aliyuncs.com",
        "https://example.com#.aliyuncs.com",
        "https://user:pw@bucket.aliyuncs.com",
        "https://bucket.aliyuncs.com@example.com",
        "https://example.com\\@bucket.aliyuncs.com",
        "https://bucket.aliyuncs.com?x=1",
        "http://127.0.0.1:9",
        "http://localhost",
        "http://[::1]:9",
        "http://169.254.169.254/latest",
        "ftp://bucket.aliyuncs.com",
        "file:///etc/passwd",
        "oss://bucket/key",
        "bucket.aliyuncs.com",
        "//bucket.aliyuncs.com",
        "https://",
        "https://[",
        "https://bucket.aliyuncs.com:99999",
        "https://bucket.aliyuncs.com\r\nHost: example.com",
        "https://bucket.aliyuncs.com\u2028",
        "https://b\u00fccket.example.com",
    ],
)
def test_file_goes_to_no_other_host(host: str, serve: Callable[..., Service]) -> None:
    service = serve({"upload_host": host})
    with pytest.raises(ServiceError, match="gave no leave to upload") as caught:
        QwenVLClient(service.connection).ask(question())
    assert "pw" not in str(caught.value)
    assert not any(b"chat/completions" in request for request in service.server.requests)


def test_other_port_of_the_endpoint_gets_nothing(serve: Callable[..., Service]) -> None:
    other = serve()
    service = serve({"upload_host": f"{other.server.origin}/oss"})
    with pytest.raises(ServiceError, match="which upload_hosts does not allow"):
        QwenVLClient(service.connection).ask(question())
    assert not other.server.requests


def test_host_that_is_allowed_gets_the_file(serve: Callable[..., Service]) -> None:
    other = serve()
    service = serve({"upload_host": f"{other.server.origin}/oss"})
    request = question(upload_hosts=(other.server.origin,))
    QwenVLClient(service.connection).ask(request)
    assert len(other.uploads) == 1


@pytest.mark.parametrize(
    ("pattern", "url"),
    [
        ("*.aliyuncs.com", "https://bucket.oss-cn-beijing.aliyuncs.com"),
        ("*.aliyuncs.com", "https://BUCKET.OSS-CN-BEIJING.ALIYUNCS.COM/"),
        ("storage.example.com", "https://storage.example.com:443/oss"),
        ("storage.example.com:8443", "https://storage.example.com:8443"),
        ("http://10.0.0.1:9000", "http://10.0.0.1:9000/bucket"),
        ("[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_patterns_match(pattern: str, url: str) -> None:
    UploadHosts([pattern], "https://example.com").check(url)


@pytest.mark.parametrize("pattern", ["", "*", "*.*", "https://a/b", "a b", "user@host", "ftp://a"])
def test_pattern_that_is_not_a_host(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="upload_hosts"):
        build_media_policy(QwenVLSettings(upload_hosts=[pattern]))


def test_text_is_not_taken_for_a_list_of_hosts() -> None:
    with pytest.raises((ConfigurationError, ValueError), match="upload_hosts"):
        build_media_policy(QwenVLSettings(upload_hosts="*.aliyuncs.com"))


# The other fields of the policy.

ODD_VALUES = [None, "", 7.5, True, [], {}, [1], {"a": 1}, "a\r\nb", "\x00", "é", "x" * 100_000]


@pytest.mark.parametrize("value", ODD_VALUES, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("name", [*POLICY, "upload_host"])
def test_odd_field_is_our_error_or_does_no_harm(
    name: str, value: object, serve: Callable[..., Service]
) -> None:
    service = serve({name: value})
    refusals: list[str] = []
    try:
        QwenVLClient(service.connection).ask(question())
    except QwenVLError as error:
        refusals.append(str(error))
    assert len(service.uploads) + len(refusals) == 1
    assert all("gave no leave to upload" in refusal for refusal in refusals)


@pytest.mark.parametrize(
    "folder", ["/", "../other", "a/../b", "a//b", "a\nb", "a?b", "a#b", "a b", ".", "a/."]
)
def test_folder_that_is_none(folder: str) -> None:
    data = {**POLICY, "upload_host": "https://bucket.aliyuncs.com", "upload_dir": folder}
    with pytest.raises(ServiceError, match="upload_dir of another form"):
        UploadPolicy.read(json.dumps({"data": data}).encode())


def read_policy(size: str) -> UploadPolicy:
    data = json.dumps({**POLICY, "upload_host": "https://b.aliyuncs.com", "max_file_size_mb": 1})
    body = data.replace('"max_file_size_mb": 1', f'"max_file_size_mb": {size}')
    return UploadPolicy.read(f'{{"data": {body}}}'.encode())


@pytest.mark.parametrize("size", ["-1", "0", '"100"', "1e300", "null", "true", "[]"])
def test_odd_size_limit_counts_as_none(size: str) -> None:
    assert read_policy(size).max_bytes is None


@pytest.mark.parametrize("size", ["NaN", "Infinity", "1e999"])
def test_size_limit_that_is_not_json(size: str) -> None:
    with pytest.raises(ServiceError, match="gave no leave to upload: its answer lacks data"):
        read_policy(size)


def test_secrets_of_a_policy_are_not_shown() -> None:
    data = {**POLICY, "upload_host": "https://bucket.aliyuncs.com"}
    policy = UploadPolicy.read(json.dumps({"data": data}).encode())
    assert "g5K+" not in repr(policy)
    assert "g5K+" not in str(policy)


# What is remembered on disk.


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


def remembered(cache: Path) -> Path:
    (entry,) = cache.glob("*.json")
    return entry


@pytest.fixture
def asked(serve: Callable[..., Service], cache: Path) -> Service:
    service = serve()
    QwenVLClient(service.connection).ask(question(cache))
    return service


def sent_urls(service: Service) -> list[str]:
    bodies = [
        json.loads(request.partition(b"\r\n\r\n")[2])
        for request in service.server.requests
        if b"chat/completions" in request
    ]
    return [body["messages"][0]["content"][0]["video_url"]["url"] for body in bodies]


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "https://example.com/a.mp4",
            "http://127.0.0.1/",
            "oss://",
            "oss://a",
        ),
        *(
            "data:video/mp4;base64,AAAA",
            "oss://a/b c",
            "oss://a/b\nc",
            "oss://u:p@a/b",
            "",
            7,
            None,
        ),
        *("OSS://a/b", " oss://a/b", "oss://a/" + "b" * 5_000, ["oss://a/b"], "oss://a/é"),
    ],
)
def test_url_of_another_form_is_not_sent(url: object, asked: Service, cache: Path) -> None:
    entry = remembered(cache)
    held = json.loads(entry.read_bytes())
    entry.write_text(json.dumps({**held, "url": url}))
    QwenVLClient(asked.connection).ask(question(cache))
    assert len(asked.uploads) == 2
    assert sent_urls(asked)[1].startswith("oss://dashscope-instant/ab/")


@pytest.mark.parametrize(
    "expires_at",
    [
        *("1", True, None, [], -1, 0, 1e300),
        pytest.param(time.time() + 10 * KEPT_SECONDS, id="in 20 days"),
    ],
)
def test_odd_expiry_is_not_believed(expires_at: object, asked: Service, cache: Path) -> None:
    entry = remembered(cache)
    held = json.loads(entry.read_bytes())
    entry.write_text(json.dumps({**held, "expires_at": expires_at}))
    QwenVLClient(asked.connection).ask(question(cache))
    assert len(asked.uploads) == 2


@posix_only
def test_folder_and_files_are_private(asked: Service, cache: Path) -> None:
    del asked
    assert cache.stat().st_mode & 0o777 == 0o700
    modes = {file.suffix: file.stat().st_mode & 0o777 for file in cache.iterdir()}
    assert modes == {".json": 0o600, ".lock": 0o600}


@posix_only
@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o755, 0o701, 0o720])
def test_folder_of_others_is_not_used(
    mode: int, serve: Callable[..., Service], cache: Path
) -> None:
    cache.mkdir()
    cache.chmod(mode)
    service = serve()
    with pytest.warns(UserWarning, match=r"accessible to other users \(mode .*chmod 700"):
        QwenVLClient(service.connection).ask(question(cache))
    assert len(service.uploads) == 1
    assert not list(cache.iterdir())
    # Whose folder it is was not decided here.
    assert cache.stat().st_mode & 0o7777 == mode


def make_pipe(entry: Path) -> None:
    os.mkfifo(entry, 0o600)


def make_link(entry: Path) -> None:
    target = entry.with_name("elsewhere")
    soon = time.time() + 60
    target.write_text(json.dumps({"url": "oss://theirs/a.mp4", "expires_at": soon}))
    target.chmod(0o600)
    entry.symlink_to(target)


def make_folder(entry: Path) -> None:
    entry.mkdir()


def make_open_file(entry: Path) -> None:
    soon = time.time() + 60
    entry.write_text(json.dumps({"url": "oss://theirs/a.mp4", "expires_at": soon}))
    entry.chmod(0o666)


def make_endless(entry: Path) -> None:
    entry.touch(0o600)
    os.truncate(entry, 2**40)


@posix_only
@pytest.mark.parametrize("make", [make_pipe, make_link, make_open_file, make_endless])
def test_entry_that_is_not_a_private_file_is_not_read(
    make: Callable[[Path], None], asked: Service, cache: Path
) -> None:
    entry = remembered(cache)
    entry.unlink()
    make(entry)
    QwenVLClient(asked.connection).ask(question(cache))
    assert len(asked.uploads) == 2
    assert all(url.startswith("oss://dashscope-instant/ab/") for url in sent_urls(asked))


@posix_only
def test_folder_in_an_entry_s_place_is_reported(asked: Service, cache: Path) -> None:
    entry = remembered(cache)
    entry.unlink()
    make_folder(entry)
    with pytest.warns(UserWarning, match="Uploads cannot be remembered"):
        QwenVLClient(asked.connection).ask(question(cache))
    assert len(asked.uploads) == 2


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="Only root can give a file to another user."
)
def test_file_or_folder_of_another_user_is_not_used(asked: Service, cache: Path) -> None:
    os.chown(remembered(cache), 65_534, -1)
    QwenVLClient(asked.connection).ask(question(cache))
    assert len(asked.uploads) == 2
    os.chown(cache, 65_534, -1)
    with pytest.warns(UserWarning, match="belongs to another user"):
        QwenVLClient(asked.connection).ask(question(cache))
    assert len(asked.uploads) == 3


def test_entry_is_still_found_as_it_was_written(cache: Path) -> None:
    kept = UploadCache.open(cache)
    kept.remember("a" * 64, "oss://dashscope-instant/ab/2026-11-29/cd/walk.mp4")
    assert kept.find("a" * 64) == "oss://dashscope-instant/ab/2026-11-29/cd/walk.mp4"


# A call that is cancelled.


def wait_until(is_so: Callable[[], bool], seconds: float = 20) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends
        time.sleep(0.01)


@pytest.mark.parametrize("reads_body", [True, False], ids=["no answer", "no reading"])
async def test_cancelled_upload_lets_go_of_its_thread_and_connection(
    reads_body: bool, serve: Callable[..., Service], tmp_path: Path
) -> None:
    is_open, is_cancelled, is_closed = (threading.Event() for _ in range(3))

    def hold(to: socket.socket, _request: bytes) -> None:
        is_open.set()
        is_cancelled.wait(20)
        with contextlib.suppress(OSError):
            while to.recv(65_536):
                pass
        is_closed.set()

    storage = Server(hold, reads_body=reads_body)
    service = serve({"upload_host": f"{storage.origin}/oss"})
    request = question(upload_hosts=(storage.origin,))
    asking = asyncio.create_task(AsyncQwenVLClient(service.connection).ask(request))
    await asyncio.to_thread(is_open.wait, 20)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    def are_gone() -> bool:
        ours = ("qwen-vl-upload", "qwen-vl-post")
        return not any(thread.name.startswith(ours) for thread in threading.enumerate())

    # The thread ends while the storage still does nothing, which then sees the end of the
    # connection.
    await asyncio.to_thread(wait_until, are_gone)
    is_cancelled.set()
    await asyncio.to_thread(wait_until, is_closed.is_set)
    storage.close()


PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from pydantic import SecretStr
from qwen_vl.client import AsyncQwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.content import LocalFile, Text, Turn, Video
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY

async def main():
    video = Video(source=LocalFile(BIG_BUCK_BUNNY, is_trusted=True), video_mode="upload")
    turn = Turn(role="user", parts=(video, Text(text="What happens?")))
    policy = MediaPolicy(upload_cache=False, upload_hosts=(sys.argv[2],))
    request = Request(model="qwen3-vl-plus", turns=(turn,), policy=policy)
    connection = Connection(base_url=sys.argv[1], api_key=SecretStr("sk-1"), max_retries=0)
    asking = asyncio.create_task(AsyncQwenVLClient(connection).ask(request))
    await asyncio.to_thread(sys.stdin.readline)
    asking.cancel()

asyncio.run(main())
print("ended", flush=True)
"""


@pytest.mark.parametrize("stuck", ["storage", "connect"])
def test_process_ends_although_its_upload_hangs(stuck: str, serve: Callable[..., Service]) -> None:
    full: list[socket.socket] = []
    is_asked = threading.Event()

    def hold(to: socket.socket, _request: bytes) -> None:
        is_asked.set()
        to.recv(1)

    if stuck == "storage":
        storage = Server(hold)
        origin = storage.origin
    else:
        # Nobody accepts, and the queue is full: the next connection is never made.
        listening = socket.create_server(("127.0.0.1", 0), backlog=0)
        full.append(listening)
        origin = f"http://127.0.0.1:{listening.getsockname()[1]}"
        for _ in range(4):
            waiting = socket.socket()
            waiting.settimeout(0)
            waiting.connect_ex(listening.getsockname())
            full.append(waiting)
        is_asked.set()
    service = serve({"upload_host": f"{origin}/oss"})
    command = [sys.executable, "-c", PROGRAM, service.connection.base_url or "", origin]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert is_asked.wait(30)
        while not any(b"uploads" in request for request in service.server.requests):
            time.sleep(0.01)
        # It takes a step of the connection, 60 seconds, where nothing ends it.
        output, _ = process.communicate(b"\n", timeout=30)
    assert output == b"ended\n"
    assert process.returncode == 0
    for held in full:
        held.close()
