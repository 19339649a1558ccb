"""A server of which each test says what it does with a connection, and good answers for it."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

Handle = Callable[[socket.socket, bytes], None]

MESSAGE = {"role": "assistant", "content": "A cat."}
CHOICE = {"index": 0, "message": MESSAGE, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
WHOLE = json.dumps({"id": "c-1", "model": "m", "choices": [CHOICE], "usage": USAGE}).encode()


def event(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return (
        b"data: " + json.dumps({"id": "c-1", "model": "m", "choices": [choice]}).encode() + b"\n\n"
    )


EVENTS = [event({"role": "assistant", "content": "A cat"}), event({"content": "."}, "stop")]
STREAM = b"".join(EVENTS) + b"data: [DONE]\n\n"


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers))
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def good_answer(request: bytes) -> bytes:
    if b'"stream":true' in request:
        return answer(STREAM, "content-type: text/event-stream")
    return answer(WHOLE, "content-type: application/json")


class Server:
    """A socket that speaks as it was told, each connection in a thread of its own.

    Args:
        handle: Gets the connection and the first request on it, head and body.
        reads_body: Whether the body is read before.
        certificate: File with a key and its certificate, for TLS.
    """

    def __init__(
        self, handle: Handle, *, reads_body: bool = True, certificate: Path | None = None
    ) -> None:
        self._handle = handle
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._reads_body = reads_body
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.is_closed = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def origin(self) -> str:
        scheme = "http" if self._context is None else "https"
        return f"{scheme}://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"{self.origin}/v1"

    def close(self) -> None:
        self.is_closed.set()
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that has gone away is what many of these servers are made for.
        with contextlib.suppress(OSError):
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._serve_plain(connection)

    def _serve_plain(self, connection: socket.socket) -> None:
        with connection:
            while request := self._read(connection):
                self.requests.append(request)
                self._handle(connection, request)

    def _read(self, connection: socket.socket) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            data = connection.recv(65_536)
            if not data:
                return b""
            head += data
        head, _, body = head.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while self._reads_body and len(body) < length:
            body += connection.recv(65_536)
        return head + b"\r\n\r\n" + body
