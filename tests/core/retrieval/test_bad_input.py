"""Bad files and faults of the service, while a folder is indexed: an error, and nothing stored."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image

from qwen_vl.embedding.embedder import Embedder
from qwen_vl.errors import (
    AnswerFormatError,
    APITimeoutError,
    AuthenticationError,
    ContentModerationError,
    InvalidRequestError,
    MediaFormatError,
    MediaRatioError,
    MediaTooLargeError,
    MediaTooSmallError,
    PermissionDeniedError,
    QwenVLError,
    RateLimitError,
    ServerError,
    ServiceError,
)
from qwen_vl.retrieval.indexer import Indexer
from qwen_vl.retrieval.store import IndexStore
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox


def write_png(path: Path, width: int, height: int) -> None:
    """Write a PNG that says it is large, and has no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(b""), b"IEND"]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
            for chunk in chunks
        )
    )


def save(path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "red").save(path)


FILES: dict[str, tuple[str, Callable[[Path], object], type[QwenVLError]]] = {
    "empty image": ("a.png", lambda path: path.write_bytes(b""), MediaFormatError),
    "text": ("a.png", lambda path: path.write_text("hello"), MediaFormatError),
    "web page": ("a.jpg", lambda path: path.write_text("<!doctype html>"), MediaFormatError),
    "torn image": ("a.png", lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"), MediaFormatError),
    "bomb": ("a.png", lambda path: write_png(path, 60_000, 60_000), MediaTooLargeError),
    "tiny image": ("a.png", lambda path: save(path, (4, 4)), MediaTooSmallError),
    "thin image": ("a.png", lambda path: save(path, (2_300, 11)), MediaRatioError),
    "empty PDF": ("a.pdf", lambda path: path.write_bytes(b""), MediaFormatError),
    "PDF without pages": ("a.pdf", lambda path: path.write_bytes(b"%PDF-1.7\n"), MediaFormatError),
    "image as PDF": ("a.pdf", lambda path: path.write_bytes(b"GIF89a"), MediaFormatError),
    "empty video": ("a.mp4", lambda path: path.write_bytes(b""), MediaFormatError),
    "text as video": ("a.mp4", lambda path: path.write_text("hello"), MediaFormatError),
}


@pytest.mark.parametrize("name", FILES)
def test_bad_file_is_reported(
    name: str,
    store: IndexStore,
    tmp_path: Path,
    make_embedder: Callable[..., Embedder],
    qwen_vl_sandbox: Sandbox,
) -> None:
    file, write, expected = FILES[name]
    (tmp_path / "files").mkdir()
    write(tmp_path / "files" / file)

    report = Indexer(store, make_embedder()).index(tmp_path / "files")

    [failure] = report.failures
    assert type(failure.error) is expected
    assert failure.name.startswith(file)
    assert file in str(failure.error)
    assert (len(store), qwen_vl_sandbox.requests) == (0, [])


def answer(*vectors: Any) -> bytes:
    entries = [{"index": index, "embedding": vector} for index, vector in vectors]
    return orjson.dumps({"output": {"embeddings": entries}, "request_id": "r"})


GOOD = [0.5] * 256
ANSWERS: dict[str, tuple[bytes, str]] = {
    "a short list": (answer((0, GOOD)), "lacks a vector"),
    "no vectors": (answer(), "lacks a vector"),
    "one of them twice": (answer((0, GOOD), (0, GOOD)), "two vectors"),
    "one of another request": (answer((0, GOOD), (2, GOOD)), "index 2"),
    "without an index": (answer((0, GOOD), (None, GOOD)), "index None"),
    "of another length": (answer((0, GOOD), (1, GOOD[:255])), "255 numbers; 256"),
    "of the model's own length": (answer((0, GOOD * 10), (1, GOOD * 10)), "2560 numbers; 256"),
    "an empty vector": (answer((0, GOOD), (1, [])), "empty vector"),
    "no vector": (answer((0, GOOD), (1, None)), "empty vector"),
    "not a number": (answer((0, GOOD), (1, [None] * 256)), "not a finite number"),
    "NaN": (answer((0, GOOD), (1, GOOD)).replace(b"0.5", b"NaN"), "not a finite number"),
    "infinity": (answer((0, GOOD), (1, GOOD)).replace(b"0.5", b"-Infinity"), "not a finite"),
    "numbers as text": (answer((0, GOOD), (1, ["1"] * 256)), "not a finite number"),
}


@pytest.fixture
def two_images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    save(tmp_path / "images/a.png", (32, 32))
    save(tmp_path / "images/b.png", (40, 40))
    return tmp_path / "images"


@pytest.mark.parametrize("name", ANSWERS)
def test_wrong_answer_stores_nothing(
    name: str,
    store: IndexStore,
    two_images: Path,
    make_embedder: Callable[..., Embedder],
    qwen_vl_sandbox: Sandbox,
) -> None:
    body, message = ANSWERS[name]
    # The request of both, and that of each alone.
    for _ in range(3):
        qwen_vl_sandbox.script_raw(body)

    report = Indexer(store, make_embedder()).index(two_images)

    alone = {"a short list"}  # Which is a whole one for one image.
    assert len(report.failures) == (0 if name in alone else 2)
    assert all(type(failure.error) is AnswerFormatError for failure in report.failures)
    qwen_vl_sandbox.script_raw(body)
    with pytest.raises(AnswerFormatError, match=message):
        make_embedder().embed([two_images / "a.png", two_images / "b.png"])
    assert len(store) == 2 - len(report.failures)


FAULTS: dict[str, tuple[dict[str, Any], type[QwenVLError], int]] = {
    "too many requests": ({"status": 429, "retry_after": 0.01}, RateLimitError, 3),
    "out of order": ({"status": 500, "retry_after": 0.01}, ServerError, 3),
    "key refused": ({"status": 401}, AuthenticationError, 1),
    "no access": ({"status": 403}, PermissionDeniedError, 1),
    "error in a 200": ({"error_in_200": True}, ServiceError, 1),
    "slow": ({"latency": 5}, APITimeoutError, 1),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_ends_the_run_and_stores_nothing(
    name: str,
    store: IndexStore,
    two_images: Path,
    settings: QwenVLSettings,
    qwen_vl_sandbox: Sandbox,
) -> None:
    fault, expected, n_requests = FAULTS[name]
    for _ in range(3):
        qwen_vl_sandbox.fail(**fault)
    reach = {**settings.model_dump(exclude_unset=True), "deadline": 0.5, "max_retries": 2}

    with pytest.raises(expected):
        Indexer(store, Embedder(QwenVLSettings(**reach))).index(two_images)

    assert (len(store), qwen_vl_sandbox.n_requests) == (0, n_requests)


def test_what_the_service_does_not_want_to_see_is_left_out(
    store: IndexStore,
    two_images: Path,
    make_embedder: Callable[..., Embedder],
    qwen_vl_sandbox: Sandbox,
) -> None:
    body = b'{"code": "DataInspectionFailed", "message": "Inappropriate.", "request_id": "r"}'
    # The request of both, and that of the first alone.
    for _ in range(2):
        qwen_vl_sandbox.script_raw(body, status=400)

    report = Indexer(store, make_embedder()).index(two_images)

    [failure] = report.failures
    assert isinstance(failure.error, ContentModerationError | InvalidRequestError)
    assert failure.name == "a.png"
    assert [one.unit.name for one in store.find_all()] == ["b.png"]
