"""A local server in place of LangSmith's and Langfuse's, for the examples of the documentation."""

import gzip
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_MEDIA = {"mediaId": "1", "uploadUrl": None}


class TraceServer(ThreadingHTTPServer):
    """Keeps what tracers send, in `sent.txt`."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, folder: Path) -> None:
        self.sent = folder / "sent.txt"
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: TraceServer

    def do_GET(self) -> None:
        self._answer({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["content-encoding"] == "gzip":
            body = gzip.decompress(body)
        with self.server.sent.open("ab") as file:
            file.write(f"POST {self.path}\n".encode() + body + b"\n")
        self._answer(_MEDIA if urlsplit(self.path).path == "/api/public/media" else {})

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@contextmanager
def serve_traces(folder: Path) -> Iterator[TraceServer]:
    """Serve until the block ends; the environment names the server.

    Args:
        folder: Gets `sent.txt`.
    """
    with TraceServer(folder) as server:
        variables = {
            "LANGSMITH_ENDPOINT": server.url,
            "LANGSMITH_API_KEY": "ls-1",
            "LANGFUSE_BASE_URL": server.url,
            "LANGFUSE_PUBLIC_KEY": "pk-1",
            "LANGFUSE_SECRET_KEY": "sk-1",
        }
        threading.Thread(target=server.serve_forever, daemon=True).start()
        os.environ |= variables
        try:
            yield server
        finally:
            for name in variables:
                del os.environ[name]
            # Langfuse's, for the whole process: what others trace later would have no server.
            if trace := sys.modules.get("opentelemetry.trace"):
                trace.get_tracer_provider().shutdown()
            server.shutdown()
