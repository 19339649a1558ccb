"""Files of requests: lines that are written under the service's limits, and read again."""

import hashlib
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeAlias

from qwen_vl.errors import ConfigurationError, QwenVLError
from qwen_vl.media import prepare_media
from qwen_vl.request.rules import thinks
from qwen_vl.request.types import Request
from qwen_vl.specs.batch_file import MAX_LINE_BYTES, check_batch_file, find_file_limits
from qwen_vl.tokens.conversation import TokenCounter
from qwen_vl.wire.openai.batch import encode_line, encode_line_body

Encoded: TypeAlias = tuple[bytes, int] | Exception
"""The body of a line and its input tokens, or why there is none."""

_FOLDER = "shards"
RESULTS = "results"
"""Folder of a job for what is downloaded."""

_THREADS = 4
_AHEAD = 16
# Of a line's bytes, for media: Base64 is a third longer, and the text needs room too.
_MAX_MEDIA_BYTES = (MAX_LINE_BYTES - 200_000) * 3 // 4
_ID_CHARS = 32
_CUSTOM_ID = re.compile(rb'\{"custom_id":"([0-9a-f]+)"')


def shard_path(folder: Path, number: int) -> Path:
    """Return where a file of requests is.

    Args:
        folder: Of the job.
        number: Of the shard.
    """
    return folder / _FOLDER / f"{number:03}.jsonl"


def result_path(folder: Path, number: int, kind: str) -> Path:
    """Return where a file of answers or errors is put.

    Args:
        folder: Of the job.
        number: Of the shard.
        kind: `"output"` or `"error"`.
    """
    return folder / RESULTS / f"{number:03}.{kind}.jsonl"


class Writer:
    """Writes lines into files under the limits, each line once.

    Args:
        folder: Of the job.
        model: Model id.
        first: Number of the first file.
        max_lines: Fewer lines in a file than the service takes.
        max_bytes: Fewer bytes in a file.

    Raises:
        ConfigurationError: A limit is above the service's.
    """

    def __init__(
        self,
        folder: Path,
        model: str,
        *,
        first: int = 0,
        max_lines: int | None = None,
        max_bytes: int | None = None,
    ) -> None:
        most_lines, most_bytes = find_file_limits(model)
        for name, limit, most in (
            ("max_lines", max_lines, most_lines),
            ("max_bytes", max_bytes, most_bytes),
        ):
            if limit is not None and not 0 < limit <= most:
                raise ConfigurationError(f"{name} is {limit:,}; it must be from 1 to {most:,}.")
        self._folder = folder
        self._model = model
        self._max_lines = max_lines or most_lines
        self._max_bytes = max_bytes or most_bytes
        self._first = first
        self._shards: list[tuple[int, int]] = []
        self._file: BinaryIO | None = None
        (folder / _FOLDER).mkdir(parents=True, exist_ok=True)

    @property
    def shards(self) -> list[tuple[int, int, int]]:
        """Number, lines and bytes of each file."""
        return [(self._first + at, *sizes) for at, sizes in enumerate(self._shards)]

    def add(self, custom_id: str, body: bytes) -> int:
        """Write a line, and return the number of its file.

        Args:
            custom_id: Its id.
            body: From `encode_line_body`.
        """
        return self.add_line(encode_line(custom_id, self._model, body))

    def add_line(self, line: bytes) -> int:
        """Write a line that is encoded, and return the number of its file.

        Args:
            line: Ends with a line break.
        """
        n_lines, n_bytes = self._shards[-1] if self._shards else (0, 0)
        is_full = n_lines >= self._max_lines or n_bytes + len(line) > self._max_bytes
        if self._file is None or is_full:
            self.close()
            self._shards.append((0, 0))
            n_lines = n_bytes = 0
            path = shard_path(self._folder, self._first + len(self._shards) - 1)
            self._file = path.open("wb")
        self._file.write(line)
        self._shards[-1] = n_lines + 1, n_bytes + len(line)
        return self._first + len(self._shards) - 1

    def close(self) -> None:
        """Close the last file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def make_id(body: bytes) -> str:
    """Return the id of a line, a hash of its body.

    Args:
        body: From `encode_line_body`.
    """
    return hashlib.sha256(body).hexdigest()[:_ID_CHARS]


def prepare_bodies(requests: Iterable[tuple[str, Request]]) -> Iterator[tuple[str, Encoded]]:
    """Read and encode the media of requests, some at the same time, and return them in order.

    Args:
        requests: A key, and what to ask. All have one model and one mode of thinking.

    Returns:
        The key, and the body of a line with its input tokens, or why there is none.

    Raises:
        ConfigurationError: They differ in model or thinking, or cannot be in a batch file.
    """
    kind: tuple[str, bool] | None = None
    left = iter(requests)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="qwen-vl-batch") as threads:
        waiting: list[tuple[str, Future[Encoded]]] = []
        while True:
            for key, request in islice(left, _AHEAD - len(waiting)):
                found = request.model, thinks(request.known_model, request.parameters)
                if kind is None:
                    check_batch_file(
                        request.known_model, protocol=request.protocol, server=request.server
                    )
                    kind = found
                if found != kind:
                    raise ConfigurationError(
                        f"{key}: a batch file has one model and one mode of thinking "
                        f"(Batch-File page, 2026-10). The first request has {_describe(kind)}, "
                        f"this one {_describe(found)}. Prepare two jobs."
                    )
                if request.headers:
                    raise ConfigurationError(
                        f"{key}: a line of a batch file cannot have headers: "
                        f"{', '.join(request.headers)}. Leave extra_headers and queue_seconds out."
                    )
                waiting.append((key, threads.submit(_encode, request)))
            if not waiting:
                return
            key, future = waiting.pop(0)
            yield key, future.result()


def _encode(request: Request) -> Encoded:
    policy = request.policy
    room = replace(
        policy,
        max_inline_bytes=min(policy.max_inline_bytes, _MAX_MEDIA_BYTES),
        max_total_inline_bytes=min(policy.max_total_inline_bytes, _MAX_MEDIA_BYTES),
    )
    try:
        ready = prepare_media(replace(request, policy=room))
        counter = TokenCounter(
            model=ready.known_model,
            parameters=ready.parameters,
            policy=ready.policy,
            server=ready.server,
            model_family=ready.model_family,
            warns=False,
        )
        return encode_line_body(ready), counter.count_turns(ready.turns)
    except (QwenVLError, OSError) as error:
        return error


def _describe(kind: tuple[str, bool]) -> str:
    return f"{kind[0]}, {'thinking' if kind[1] else 'not thinking'}"


def read_lines(folder: Path, numbers: Iterable[int], custom_ids: set[str]) -> Iterator[bytes]:
    """Find lines that were written before.

    Args:
        folder: Of the job.
        numbers: Of the files, the oldest first.
        custom_ids: Which lines; each is returned once.
    """
    left = set(custom_ids)
    for number in numbers:
        with shard_path(folder, number).open("rb") as file:
            for line in file:
                custom_id = read_custom_id(line)
                if custom_id in left:
                    left.remove(custom_id)
                    yield line


def read_custom_id(line: bytes) -> str:
    """Return the id of a line.

    Args:
        line: As `Writer` wrote it.
    """
    match = _CUSTOM_ID.match(line)
    return match[1].decode() if match else ""
