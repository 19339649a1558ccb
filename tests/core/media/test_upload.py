"""Local videos by way of the service's temporary storage: what leaves, once, and what recovers."""

import asyncio
import hashlib
import io
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from filelock import FileLock
from pydantic import SecretStr

from qwen_vl.client import AsyncQwenVLClient, QwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.content import Image, Inline, LocalFile, OpenFile, Source, Text, Turn, Url, Video
from qwen_vl.errors import (
    APIConnectionError,
    ConfigurationError,
    InvalidRequestError,
    MediaFormatError,
    MediaNotFoundError,
    MediaOptionError,
    MediaTooLargeError,
    MissingExtraError,
    PermissionDeniedError,
    ServiceError,
    UnsupportedContentError,
)
from qwen_vl.media import prepare_media
from qwen_vl.media.upload.cache import KEPT_SECONDS, UploadCache
from qwen_vl.media.upload.policy import UploadPolicy
from qwen_vl.media.upload.send import WatchedFile, _read_refusal, send_file
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_connection, build_request
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl.settings import QwenVLSettings
from qwen_vl.tokens.conversation import count_tokens
from qwen_vl_sandbox import RecordedRequest, Sandbox

KEY = "sk-sandbox-of-these-tests"
WALK = LocalFile(BIG_BUCK_BUNNY, is_trusted=True)
CHAT = "/compatible-mode/v1/chat/completions"
MIB = 2**20


@pytest.fixture
def connection(qwen_vl_sandbox: Sandbox) -> Connection:
    return Connection(base_url=qwen_vl_sandbox.base_url, api_key=SecretStr(KEY))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "uploads"


@pytest.fixture
def ask(connection: Connection, cache: Path) -> Callable[..., Reply]:
    """Ask about a video that is uploaded."""

    def send(source: Source = WALK, *, stream: bool = False, **fields: Any) -> Reply:
        client = QwenVLClient(fields.pop("connection", connection))
        return client.ask(question(source, cache, stream=stream, **fields))

    return send


def question(
    source: Source,
    cache: Path | bool,
    *,
    stream: bool = False,
    model: str = "qwen3-vl-plus",
    **video: Any,
) -> Request:
    part = Video(source=source, video_mode="upload", where="messages[0].content[0]", **video)
    turn = Turn(role="user", parts=(part, Text(text="What happens?")))
    policy = MediaPolicy(upload_cache=cache)
    return Request(model=model, turns=(turn,), stream=stream, policy=policy)


def paths(sandbox: Sandbox) -> list[str]:
    """Say what was asked of the sandbox, in short."""
    names = {CHAT: "chat", "/api/v1/uploads": "policy"}
    return [names.get(request.path, "storage") for request in sandbox.requests]


def of_storage(sandbox: Sandbox) -> RecordedRequest:
    return sandbox.requests[paths(sandbox).index("storage")]


# What leaves.


def test_address_is_sent_with_the_header_that_resolves_it(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox
) -> None:
    reply = ask(fps=1)
    (stored,) = qwen_vl_sandbox.uploads
    sent = qwen_vl_sandbox.last_request

    # Temp-URL page (2026).
    assert sent.json["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "video_url", "video_url": {"url": f"oss://{stored.key}"}, "fps": 1},
                {"type": "text", "text": "What happens?"},
            ],
        }
    ]
    assert sent.headers["x-dashscope-ossresourceresolve"] == "enable"
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "chat"]
    assert stored.n_bytes == BIG_BUCK_BUNNY.stat().st_size
    assert stored.content_type == "video/mp4"
    assert "bigbuckbunny" not in stored.key
    assert reply.usage
    assert reply.usage.video_tokens == 1784
    whole = Video(source=WALK, fps=1, video_mode="upload")
    assert count_tokens(whole, "qwen3-vl-plus") == 1784


def test_storage_never_sees_the_key(ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox) -> None:
    ask()
    policy, storage, _chat = qwen_vl_sandbox.requests
    assert policy.headers["authorization"].startswith("Bearer")
    assert "authorization" not in storage.headers
    assert KEY not in repr(storage.headers)


def test_policy_is_asked_for_the_model_that_reads_the_file(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox
) -> None:
    ask(model="qwen3.7-plus")
    assert qwen_vl_sandbox.uploads[0].model == "qwen3.7-plus"


@pytest.mark.parametrize(
    "make",
    [
        lambda: WALK,
        lambda: OpenFile(io.BytesIO(BIG_BUCK_BUNNY.read_bytes())),
        lambda: Inline(BIG_BUCK_BUNNY.read_bytes()),
    ],
    ids=["path", "open file", "bytes"],
)
def test_every_source_is_uploaded_whole(
    make: Callable[[], Source], ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox
) -> None:
    ask(make())
    assert qwen_vl_sandbox.uploads[0].n_bytes == BIG_BUCK_BUNNY.stat().st_size


def test_open_file_is_left_where_it_was(ask: Callable[..., Reply]) -> None:
    with BIG_BUCK_BUNNY.open("rb") as file:
        file.seek(17)
        ask(OpenFile(file))
        assert file.tell() == 17


def test_policy_holds_for_videos_that_say_nothing(
    connection: Connection, qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    settings = QwenVLSettings(video_mode="upload", upload_cache=cache)
    turn = Turn(
        role="user", parts=(Video(source=WALK), Video(source=Url("https://a.example/b.mp4")))
    )
    QwenVLClient(connection).ask(build_request(settings, [turn]))
    urls = [
        part["video_url"]["url"]
        for part in qwen_vl_sandbox.last_request.json["messages"][0]["content"]
    ]
    assert urls[0].startswith("oss://dashscope-instant/")
    assert urls[1] == "https://a.example/b.mp4"


async def test_asynchronous_client_does_the_same(
    connection: Connection, qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    reply = await AsyncQwenVLClient(connection).ask(question(WALK, cache, fps=1))
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "chat"]
    assert reply.usage
    assert reply.usage.video_tokens == 1784


def test_own_client_is_used(qwen_vl_sandbox: Sandbox, cache: Path) -> None:
    with openai.OpenAI(base_url=qwen_vl_sandbox.base_url, api_key=KEY) as own:
        settings = QwenVLSettings(openai_client=own)
        QwenVLClient(build_connection(settings)).ask(question(WALK, cache))
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "chat"]


async def test_loop_goes_on_while_a_file_is_uploaded(
    connection: Connection, qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    sending, gone_on = threading.Event(), threading.Event()
    waits: list[tuple[int, bool]] = []

    class Waiting(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            # For what only the loop does, which it cannot while it waits for this.
            sending.set()
            waits.append((threading.get_ident(), gone_on.wait(10)))
            return super().read(size)

    client = AsyncQwenVLClient(connection)
    file = Waiting(BIG_BUCK_BUNNY.read_bytes())
    asking = asyncio.create_task(client.ask(question(OpenFile(file), cache)))
    await asyncio.to_thread(sending.wait, 10)
    gone_on.set()
    await asking
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "chat"]
    # The head, the hash and the upload itself, all off the loop.
    assert len(waits) > 3
    assert {did_go_on for _, did_go_on in waits} == {True}
    assert threading.get_ident() not in {thread for thread, _ in waits}


def wait_for_locks(cache: Path) -> None:
    for lock in cache.glob("*.lock"):
        FileLock(lock).acquire(timeout=5).lock.release()


async def test_cancelled_call_stops_its_upload(
    connection: Connection, qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    sending, cancelled = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            # As the transport reads it, and not the hash before it.
            if size == 64 * 1024:
                sending.set()
                cancelled.wait(5)
            return super().read(size)

    file = Slow(BIG_BUCK_BUNNY.read_bytes())
    asking = asyncio.create_task(AsyncQwenVLClient(connection).ask(question(OpenFile(file), cache)))
    await asyncio.to_thread(sending.wait, 5)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    cancelled.set()
    # The thread lets go of the lock once it has given up.
    await asyncio.to_thread(wait_for_locks, cache)
    assert not qwen_vl_sandbox.uploads
    assert "chat" not in paths(qwen_vl_sandbox)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(
    ask: Callable[..., Reply], tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    large = tmp_path / "large.mp4"
    large.write_bytes(BIG_BUCK_BUNNY.read_bytes())
    os.truncate(large, 60 * MIB)
    qwen_vl_sandbox.script("A walk.")
    tracemalloc.start()
    ask(LocalFile(large, is_trusted=True), model="qwen3-vl-plus")
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert qwen_vl_sandbox.uploads[0].n_bytes == 60 * MIB
    # The sandbox, in the same process, reads the stored file once more to look at it.
    assert peak < 60 * MIB + 30 * MIB


# Once.


def test_second_use_uploads_nothing(ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox) -> None:
    ask()
    ask()
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "chat", "chat"]
    first, _, _, second = qwen_vl_sandbox.requests[-4:][0:4]
    assert first.path == "/api/v1/uploads"
    assert second.headers["x-dashscope-ossresourceresolve"] == "enable"


def test_same_file_twice_in_one_request_is_uploaded_once(
    connection: Connection, qwen_vl_sandbox: Sandbox
) -> None:
    video = Video(source=WALK, video_mode="upload")
    turn = Turn(role="user", parts=(video, video, Text(text="Which is longer?")))
    policy = MediaPolicy(upload_cache=False)
    QwenVLClient(connection).ask(Request(model="qwen3-vl-plus", turns=(turn,), policy=policy))
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "chat"]


def test_content_counts_and_not_the_name(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(BIG_BUCK_BUNNY.read_bytes())
    ask()
    ask(LocalFile(copy, is_trusted=True))
    assert paths(qwen_vl_sandbox).count("storage") == 1


@pytest.mark.parametrize(
    "change",
    [{"model": "qwen3.7-plus"}, {"connection": "another key"}],
    ids=["model", "account"],
)
def test_address_holds_for_one_model_and_one_account(
    change: dict[str, Any], ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox
) -> None:
    if "connection" in change:
        other = SecretStr("sk-of-somebody-else")
        change = {"connection": Connection(base_url=qwen_vl_sandbox.base_url, api_key=other)}
    ask()
    ask(**change)
    assert paths(qwen_vl_sandbox).count("storage") == 2


def test_nothing_is_remembered_if_not_wanted(
    connection: Connection, qwen_vl_sandbox: Sandbox
) -> None:
    for _ in range(2):
        QwenVLClient(connection).ask(question(WALK, cache=False))
    assert paths(qwen_vl_sandbox).count("storage") == 2


def test_folder_of_the_user_is_the_default(
    connection: Connection, qwen_vl_sandbox: Sandbox, cache_home: Path
) -> None:
    QwenVLClient(connection).ask(question(WALK, cache=True))
    folder = cache_home / "qwen-vl" / "uploads"
    (entry,) = folder.glob("*.json")
    assert orjson.loads(entry.read_bytes())["url"].startswith("oss://")
    assert folder.stat().st_mode & 0o077 == 0
    assert all(KEY.encode() not in file.read_bytes() for file in folder.iterdir())


PROGRAM = """
import sys
from pathlib import Path
from qwen_vl import LocalFile, MediaPolicy, QwenVLClient, Request, Text, Turn, Video
from qwen_vl.connection import Connection
from pydantic import SecretStr

base_url, key, cache, file = sys.argv[1:]
video = Video(source=LocalFile(Path(file), is_trusted=True), video_mode="upload")
turn = Turn(role="user", parts=(video, Text(text="What happens?")))
policy = MediaPolicy(upload_cache=Path(cache))
request = Request(model="qwen3-vl-plus", turns=(turn,), policy=policy)
connection = Connection(base_url=base_url, api_key=SecretStr(key))
print(QwenVLClient(connection).ask(request).usage.video_tokens)
"""


def start_process(sandbox: Sandbox, cache: Path) -> subprocess.Popen[str]:
    arguments = [sandbox.base_url, KEY, str(cache), str(BIG_BUCK_BUNNY)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_second_process_uploads_nothing(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    ask()
    output, _ = start_process(qwen_vl_sandbox, cache).communicate(timeout=50)
    assert output.strip() == "2972"
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "chat", "chat"]


@pytest.mark.slow
def test_two_processes_at_once_upload_once(qwen_vl_sandbox: Sandbox, cache: Path) -> None:
    # Long enough for the second to be there while the first has not finished.
    qwen_vl_sandbox.fail(endpoint="storage", latency=2.5)
    processes = [start_process(qwen_vl_sandbox, cache) for _ in range(2)]
    outputs = [process.communicate(timeout=50)[0].strip() for process in processes]
    assert outputs == ["2972", "2972"]
    assert sorted(paths(qwen_vl_sandbox)) == ["chat", "chat", "policy", "storage"]


def test_threads_at_once_upload_once(ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(endpoint="storage", latency=0.2)
    with ThreadPoolExecutor(6) as threads:
        replies = [future.result() for future in [threads.submit(ask) for _ in range(6)]]
    assert len({reply.text for reply in replies}) == 1
    assert paths(qwen_vl_sandbox).count("storage") == 1


async def test_tasks_at_once_upload_once(
    connection: Connection, qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    client = AsyncQwenVLClient(connection)
    await asyncio.gather(*(client.ask(question(WALK, cache)) for _ in range(6)))
    assert paths(qwen_vl_sandbox).count("storage") == 1


# What recovers.


def test_address_is_forgotten_before_the_service_drops_the_file(
    ask: Callable[..., Reply],
    qwen_vl_sandbox: Sandbox,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask()
    later = time.time() + KEPT_SECONDS - 3_500
    monkeypatch.setattr("qwen_vl.media.upload.cache.time.time", lambda: later)
    ask()
    assert paths(qwen_vl_sandbox).count("storage") == 2
    assert len(list(cache.glob("*.json"))) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_refused_address_is_uploaded_anew(
    stream: bool, ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox
) -> None:
    ask()
    qwen_vl_sandbox.expire_uploads()
    assert ask(stream=stream).text
    assert ask(stream=stream).text
    assert paths(qwen_vl_sandbox) == [
        *("policy", "storage", "chat"),
        *("chat", "policy", "storage", "chat"),
        "chat",
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_refused_address_is_uploaded_anew_without_blocking(
    stream: bool, connection: Connection, qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    client = AsyncQwenVLClient(connection)
    await client.ask(question(WALK, cache))
    qwen_vl_sandbox.expire_uploads()
    reply = await client.ask(question(WALK, cache, stream=stream))
    assert reply.text
    assert paths(qwen_vl_sandbox)[3:] == ["chat", "policy", "storage", "chat"]


@pytest.mark.parametrize("how", ["sync", "async"])
async def test_answer_that_has_begun_is_not_asked_for_again(
    how: str, connection: Connection, qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    client = AsyncQwenVLClient(connection)
    await client.ask(question(WALK, cache))
    qwen_vl_sandbox.fail(
        error_event_after=3, code="InvalidURL", message="Failed to download multimodal content"
    )
    request = question(WALK, cache, stream=True)
    reported: list[str] = []

    async def listen() -> None:
        if how == "sync":
            for delta in QwenVLClient(connection).stream(request):
                reported.append(delta.text)  # noqa: PERF401 - what came before the error counts.
        else:
            async for delta in client.stream(request):
                reported.append(delta.text)  # noqa: PERF401 - as above.

    with pytest.raises(ServiceError, match="Failed to download"):
        await listen()
    assert "".join(reported).count("I am the") == 1
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "chat", "chat"]


def test_fresh_upload_that_is_refused_is_not_tried_again(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(
        status=400, message="The provided URL does not appear to be valid.", times=2
    )
    with pytest.raises(InvalidRequestError, match="does not appear to be valid"):
        ask()
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "chat"]


def test_refusal_for_another_reason_keeps_the_address(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox
) -> None:
    ask()
    qwen_vl_sandbox.fail(status=400, message="Range of max_tokens should be [1, 32768]")
    with pytest.raises(InvalidRequestError, match="max_tokens"):
        ask()
    ask()
    assert paths(qwen_vl_sandbox).count("storage") == 1


def test_expired_policy_is_asked_for_again(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(
        endpoint="storage",
        status=403,
        code="AccessDenied",
        message="Invalid according to Policy: Policy expired.",
    )
    ask()
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "policy", "storage", "chat"]


def test_storage_that_fails_is_tried_again(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(endpoint="storage", status=503)
    ask()
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "policy", "storage", "chat"]


def test_storage_that_refuses_is_an_error(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    qwen_vl_sandbox.fail(
        endpoint="storage", status=403, code="AccessDenied", message="You have no right."
    )
    with pytest.raises(PermissionDeniedError, match="storage refused the file: You have no right"):
        ask()
    assert paths(qwen_vl_sandbox) == ["policy", "storage"]
    assert not list(cache.glob("*.json"))


def test_refused_policy_is_an_error(ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(endpoint="uploads", status=403)
    with pytest.raises(PermissionDeniedError):
        ask()
    assert paths(qwen_vl_sandbox) == ["policy"]


def test_storage_out_of_reach_is_an_error() -> None:
    policy = UploadPolicy(host="http://127.0.0.1:9/oss", folder="a", form={})
    watched = WatchedFile(io.BytesIO(b"film"), 4, threading.Event())
    with pytest.raises(APIConnectionError, match="temporary storage cannot be reached"):
        send_file(policy, watched, "video/mp4", threading.Event())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"url": 7}', b"\xff\xfe"])
def test_damaged_entry_counts_as_none(
    content: bytes, ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    ask()
    (entry,) = cache.glob("*.json")
    entry.write_bytes(content)
    ask()
    ask()
    assert paths(qwen_vl_sandbox).count("storage") == 2


def test_folder_that_is_none_is_told_and_the_file_sent(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    cache.write_text("a file in its place")
    with pytest.warns(UserWarning, match="Uploads cannot be remembered: .*upload_cache"):
        ask()
    assert paths(qwen_vl_sandbox) == ["policy", "storage", "chat"]


def test_old_entries_are_removed(cache: Path) -> None:
    kept = UploadCache.open(cache)
    kept.remember("a" * 64, "oss://a/b")
    old = time.time() - KEPT_SECONDS - 1
    os.utime(cache / f"{'a' * 64}.json", (old, old))
    kept.remember("b" * 64, "oss://a/c")
    assert [file.name for file in cache.glob("*.json")] == [f"{'b' * 64}.json"]


# What is refused, before anything leaves.


@pytest.fixture
def refused(ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox) -> Iterator[Callable[..., Reply]]:
    yield ask
    assert qwen_vl_sandbox.requests == []


def test_missing_file(refused: Callable[..., Reply]) -> None:
    with pytest.raises(MediaNotFoundError, match="content\\[0\\]"):
        refused(LocalFile(Path("nowhere.mp4"), is_trusted=True))


def test_what_is_no_video(refused: Callable[..., Reply]) -> None:
    with pytest.raises(MediaFormatError, match="Expected a video"):
        refused(Inline(b"%PDF-1.7 and so on"))


def test_empty_file(refused: Callable[..., Reply], tmp_path: Path) -> None:
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(MediaFormatError):
        refused(LocalFile(empty, is_trusted=True))


@pytest.mark.parametrize("option", [{"start": 1}, {"end": 2.0}, {"max_frames": 8}])
def test_what_cannot_be_cut_off(refused: Callable[..., Reply], option: dict[str, Any]) -> None:
    with pytest.raises(MediaOptionError, match='cannot be honoured with video_mode="upload"'):
        refused(**option)


def test_address_that_is_asked_to_be_uploaded(refused: Callable[..., Reply]) -> None:
    with pytest.raises(UnsupportedContentError, match="video_mode"):
        refused(Url("https://example.com/a.mp4"))


def test_broken_picture_beside_the_video(
    connection: Connection, qwen_vl_sandbox: Sandbox, cache: Path
) -> None:
    video = Video(source=WALK, video_mode="upload")
    turn = Turn(role="user", parts=(video, Image(source=Inline(b"no image"))))
    request = Request(model="qwen3-vl-plus", turns=(turn,), policy=MediaPolicy(upload_cache=cache))
    with pytest.raises(MediaFormatError):
        QwenVLClient(connection).ask(request)
    assert qwen_vl_sandbox.requests == []


def test_self_hosted_server_has_no_storage(cache: Path) -> None:
    own = Connection(base_url="http://127.0.0.1:9/v1", api_key=SecretStr(KEY))
    with pytest.raises(ConfigurationError, match=r'content\[0\]: video_mode="upload"'):
        QwenVLClient(own).ask(question(WALK, cache))
    with pytest.raises(ConfigurationError, match="self-hosted"):
        prepare_media(question(WALK, cache))


def test_file_longer_than_the_storage_takes(
    ask: Callable[..., Reply], qwen_vl_sandbox: Sandbox, tmp_path: Path
) -> None:
    huge = tmp_path / "huge.mp4"
    huge.write_bytes(BIG_BUCK_BUNNY.read_bytes())
    os.truncate(huge, 100 * MIB + 1)
    with pytest.raises(MediaTooLargeError, match=r"104,857,601 bytes.*104,857,600") as caught:
        ask(LocalFile(huge, is_trusted=True))
    assert caught.value.where == "messages[0].content[0]"
    assert paths(qwen_vl_sandbox) == ["policy"]


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data": 1}', b'{"data": {}}'])
def test_policy_of_another_form_is_an_error(body: bytes) -> None:
    with pytest.raises(ServiceError, match="gave no leave to upload"):
        UploadPolicy.read(body)


# What is shown.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("screen", [Terminal(), io.StringIO()], ids=["terminal", "none"])
def test_bar_is_shown_on_a_terminal_alone(
    screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("qwen_vl.media.upload.send._BAR_AFTER_SECONDS", 0.02)
    watched = WatchedFile(io.BytesIO(bytes(4 * MIB)), 4 * MIB, threading.Event())
    while watched.read(MIB):
        time.sleep(0.15)
    watched.bar.close()
    shown = screen.getvalue()
    assert ("Uploading" in shown and "4.00M" in shown) is screen.isatty()


def test_hash_is_that_of_what_was_read_since_the_beginning() -> None:
    watched = WatchedFile(io.BytesIO(b"film"), 4, threading.Event())
    watched.read(2)
    watched.seek(0)
    while watched.read(3):
        pass
    assert watched.sha256 == hashlib.sha256(b"film").hexdigest()


@pytest.mark.parametrize("package", ["filelock", "platformdirs", "tqdm"])
def test_missing_extra_is_reported_before_anything_is_sent(
    package: str,
    ask: Callable[..., Reply],
    qwen_vl_sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Python then finds no such module.
    monkeypatch.setitem(sys.modules, package, None)
    expected = (
        'messages[0].content[0] is to be uploaded, which needs: pip install "qwen-vl[upload]"'
    )
    with pytest.raises(MissingExtraError) as caught:
        ask()

    assert str(caught.value) == expected
    assert qwen_vl_sandbox.requests == []


def test_refusals_of_the_storage_are_read() -> None:
    xml = "<Error><Code>AccessDenied</Code><Message>No.</Message><RequestId>r-1</RequestId></Error>"
    error = _read_refusal(403, xml)
    assert (error.code, error.request_id, error.status) == ("AccessDenied", "r-1", 403)
    assert error.message == "The service's temporary storage refused the file: No."
    # An element without an end, and none at all.
    for text in ("<Error><Code>AccessDenied", "AccessDenied</Code>", ""):
        assert _read_refusal(403, text).code is None
    assert "HTTP 400" in _read_refusal(400, "").message
    odd = _read_refusal(399, "<html>Moved</html>")
    assert odd.message == (
        "The service's temporary storage did not store the file: it answered with HTTP status 399."
    )


@pytest.mark.parametrize(
    ("left", "is_found"),
    [(60, True), (KEPT_SECONDS - 60, True), (KEPT_SECONDS + 60, False), (-1, False)],
)
def test_uploads_are_remembered_as_long_as_the_service_keeps_them(
    left: float, is_found: bool, tmp_path: Path
) -> None:
    cache = UploadCache.open(tmp_path / "cache")
    entry = cache.name(sha256="a", model="m", account="b")
    cache.remember(entry, "oss://bucket/a")
    (path,) = (tmp_path / "cache").glob("*.json")
    held = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps({**held, "expires_at": time.time() + left}))
    assert cache.find(entry) == ("oss://bucket/a" if is_found else None)


def test_entries_have_at_most_16_kib(tmp_path: Path) -> None:
    cache = UploadCache.open(tmp_path / "cache")
    entry = cache.name(sha256="a", model="m", account="b")
    cache.remember(entry, "oss://bucket/a")
    (path,) = (tmp_path / "cache").glob("*.json")
    path.write_bytes(path.read_bytes().ljust(16_384))
    assert cache.find(entry) == "oss://bucket/a"
    path.write_bytes(path.read_bytes() + b" ")
    assert cache.find(entry) is None
