"""A server that sends just the bytes that it is told, and may leave its connections open."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
END_OF_BODY = b"0\r\n\r\n"


def chunked(*parts: bytes) -> list[bytes]:
    """Frame the parts of a body, without its end."""
    return [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]


def sse(*events: Any) -> bytes:
    """Write events."""
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def whole(body: bytes, status: bytes = b"200 OK") -> list[bytes]:
    """Write a whole response of JSON."""
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return [head % (status, len(body)), body]


@dataclass
class RawServer:
    """Answers every request with the same bytes.

    Args:
        writes: What is sent, one write each.
        holds: Whether the connection is left open behind them until the client closes it.
        closes: Whether it is closed behind them; otherwise it waits for the next request.
    """

    writes: Sequence[bytes] = ()
    holds: bool = False
    closes: bool = False
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: list[socket.socket] = field(default_factory=list)

    @property
    def base_url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/compatible-mode/v1"

    @property
    def n_connections(self) -> int:
        """How many connections were opened."""
        return len(self.connections)

    def serve(self, handler: StreamRequestHandler) -> None:
        """Serve one connection."""
        self.connections.append(handler.request)
        with suppress(ConnectionError):
            while self._read_request(handler):
                for data in self.writes:
                    handler.request.sendall(data)
                    # A packet of its own.
                    time.sleep(0.002)
                if self.holds:
                    handler.rfile.read()
                if self.holds or self.closes:
                    return

    def _read_request(self, handler: StreamRequestHandler) -> bool:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = handler.rfile.readline()
            if not line:
                return False
            head += line
        length = next(
            int(line.partition(b":")[2])
            for line in head.lower().splitlines()
            if line.startswith(b"content-length:")
        )
        self.requests.append(handler.rfile.read(length))
        return True


@contextmanager
def raw_server(
    writes: Sequence[bytes] = (), *, holds: bool = False, closes: bool = False
) -> Iterator[RawServer]:
    """Run a server in threads of its own."""
    server = RawServer(writes, holds, closes)

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            server.serve(self)

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as listener:
        server.port = listener.server_address[1]
        thread = threading.Thread(target=listener.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()
            for connection in server.connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
