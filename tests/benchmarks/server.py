"""A loopback endpoint that costs next to nothing: ready answers, bodies counted and thrown away."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import orjson

_MODEL = {"id": "chatcmpl-1", "created": 1764115200, "model": "qwen3-vl-plus"}
_USAGE = {
    "prompt_tokens": 1280,
    "completion_tokens": 2000,
    "total_tokens": 3280,
    "prompt_tokens_details": {"text_tokens": 24, "image_tokens": 1256},
    "completion_tokens_details": {"text_tokens": 2000},
}


LINK = "link"
"""Name of the whole answer to a request that comes over a slow link."""

LINK_BYTES_PER_SECOND = 20_000_000 / 8
"""20 Mbit/s."""


def _whole() -> bytes:
    message = {"role": "assistant", "content": "A tabby cat looks past the camera."}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    body = {**_MODEL, "object": "chat.completion", "choices": [choice], "usage": _USAGE}
    return _answer(b"application/json", orjson.dumps(body))


def _delta(kind: str, index: int) -> dict[str, Any]:
    word = f" word{index}"
    if kind == "plain":
        return {"content": word}
    if kind == "reasoning":
        return {"content": None, "reasoning_content": word}
    function: dict[str, Any] = {"arguments": '{"text": "' if index == 0 else word}
    if index == 0:
        function["name"] = "write"
    call_id = "call_1" if index == 0 else ""
    call = {"index": 0, "id": call_id, "type": "function", "function": function}
    return {"content": None, "tool_calls": [call]}


def _stream(kind: str, n_chunks: int) -> bytes:
    deltas = [_delta(kind, index) for index in range(n_chunks - 1)]
    if kind == "arguments":
        deltas.append({"tool_calls": [{"index": 0, "function": {"arguments": '"}'}}]})
    else:
        deltas.append({"content": "."})
    finish = "tool_calls" if kind == "arguments" else "stop"
    events = [_event([{"index": 0, "delta": {"role": "assistant", "content": ""}}])]
    events += [_event([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    events.append(_event([{"index": 0, "delta": {"content": ""}, "finish_reason": finish}]))
    events.append(_event([], _USAGE))
    return _answer(b"text/event-stream", b"".join([*events, b"data: [DONE]\n\n"]))


def _event(choices: list[dict[str, Any]], usage: dict[str, Any] | None = None) -> bytes:
    body = {**_MODEL, "object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return b"data: " + orjson.dumps(body) + b"\n\n"


def _answer(media_type: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\nx-request-id: r-1\r\n\r\n"
    return head % (media_type, len(body)) + body


class _Requests(asyncio.Protocol):
    """Counts each request's body, and gives the answer that its path names."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._head = b""
        self._left = 0
        self._path = b""
        self._arrives = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._take(len(data))
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self._head[:end].split(b"\r\n")
        # `/NAME/v1/chat/completions`: the name stands for the answer.
        self._path = lines[0].split(b"/")[1]
        self._left = self._length = next(
            int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length")
        )
        n_body = len(self._head) - end - 4
        self._head = b""
        self._take(n_body)

    def _take(self, n_bytes: int) -> None:
        self._left -= n_bytes
        if self._path == LINK.encode():
            self._delay(n_bytes)
        elif self._left <= 0:
            self._answer()

    def _delay(self, n_bytes: int) -> None:
        """Read on, or answer, when a slow link would have brought what was read."""
        loop = asyncio.get_running_loop()
        self._arrives = max(self._arrives, loop.time()) + n_bytes / LINK_BYTES_PER_SECOND
        self._transport.pause_reading()
        loop.call_at(self._arrives, self._arrive)

    def _arrive(self) -> None:
        self._transport.resume_reading()
        if self._left <= 0:
            self._answer()

    def _answer(self) -> None:
        answer = self._answers.get(self._path)
        if answer is None:
            kind, _, n_chunks = self._path.decode().partition("-")
            answer = self._answers[self._path] = _stream(kind, int(n_chunks))
        self._answers[b"length"] = b"%d" % self._length
        self._transport.write(answer)


def _serve(pipe: Connection) -> None:
    async def serve() -> None:
        answers = {name: _whole() for name in (b"whole", LINK.encode())}
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Requests(answers), "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        while (question := await loop.run_in_executor(None, pipe.recv)) is not None:
            pipe.send(int(answers.get(question, b"0")))

    asyncio.run(serve())


class Loopback:
    """The endpoint, in a process of its own.

    Args:
        pipe: To that process.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self.url = f"http://127.0.0.1:{pipe.recv()}"
        """Followed by `/whole/v1` or, for streams, by `/plain-2000/v1`: kind and pieces."""

    def last_length(self) -> int:
        """Tell how many bytes the last request's body had."""
        self._pipe.send(b"length")
        return int(self._pipe.recv())


@contextmanager
def loopback() -> Iterator[Loopback]:
    """Run the endpoint."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield Loopback(ours)
    finally:
        ours.send(None)
        process.join(5)
        process.kill()
