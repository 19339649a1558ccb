"""Work that a forked child does while a test waits, and a server that answers what it was asked."""

import faulthandler
import gc
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import IO, Any

_FORKING = threading.Lock()
_PATIENCE_SECONDS = 20


class Echo(BaseHTTPRequestHandler):
    """Answers each question with itself and the port that it came from.

    Of two processes that share a connection, one would get the other's answer.
    """

    protocol_version = "HTTP/1.1"
    wbufsize = 65_536
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        """Answer whole or in pieces."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        asked = body["messages"][-1]["content"]
        if isinstance(asked, list):
            asked = asked[-1]["text"]
        # Long enough that others ask meanwhile.
        time.sleep(0.005)
        words = f"{asked} from {self.client_address[1]}"
        if body.get("stream"):
            self._stream(words)
        else:
            message = {"role": "assistant", "content": words}
            self._send(_choice("message", message, finish_reason="stop"))

    def _send(self, answer: dict[str, Any]) -> None:
        whole = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(whole)))
        self.end_headers()
        self.wfile.write(whole)

    def _stream(self, words: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for letter in words:
            self._event(_choice("delta", {"content": letter}, finish_reason=None))
            time.sleep(0.001)
        self._event(_choice("delta", {}, finish_reason="stop"))
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, answer: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(answer).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


def _choice(key: str, held: dict[str, Any], *, finish_reason: str | None) -> dict[str, Any]:
    choice = {"index": 0, key: held, "finish_reason": finish_reason}
    return {"id": "1", "model": "echo", "choices": [choice]}


def in_child(work: Callable[[], Any], fork: Callable[[], int] = os.fork) -> Any:
    """Do something in a forked child, and return what it returned there, as JSON.

    Args:
        work: What to do.
        fork: Another way to fork.

    Raises:
        AssertionError: It raised something, or took so long that it must be waiting for ever. The
            message says where each of its threads waits, or which signal ended it.
    """
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as stacks:
        pid = _fork(work, fork, writing, stacks)
        os.close(writing)
        try:
            with os.fdopen(reading, "rb") as pipe:
                is_there = select.select([pipe], [], [], _PATIENCE_SECONDS)[0]
                reported = json.loads(pipe.read() or b"null") if is_there else None
            if not is_there:
                os.kill(pid, signal.SIGUSR1)
                time.sleep(1)
        finally:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        stacks.seek(0)
        assert reported is not None, (
            f"{'ended without a word' if is_there else 'waits forever'}, "
            f"status {os.waitstatus_to_exitcode(status)}\n{stacks.read().decode()}"
        )
    assert "error" not in reported, reported["error"]
    return reported["result"]


def _fork(work: Callable[[], Any], fork: Callable[[], int], writing: int, stacks: IO[bytes]) -> int:
    with warnings.catch_warnings():
        # Newer versions of Python warn of forks beside threads, such as those of the test runner.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Libraries that guard their own state refuse two forks at the same moment.
        with _FORKING:
            # What other tests have left, decoders for example, would be freed in the child, and
            # wait there for threads and locks that only the parent has.
            gc.collect()
            pid = fork()
    if pid == 0:
        faulthandler.enable(stacks)
        faulthandler.register(signal.SIGUSR1, stacks)
        _do_and_exit(work, writing)
    return pid


def _do_and_exit(work: Callable[[], Any], writing: int) -> None:
    complaints: list[str] = []
    sys.unraisablehook = lambda problem: complaints.append(repr(problem.exc_value))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            reported = {"result": work()}
        if complaints:
            reported = {"error": complaints}
    except BaseException:  # noqa: BLE001 - whatever it is, the parent should know.
        reported = {"error": traceback.format_exc()}
    os.write(writing, json.dumps(reported).encode())
    os._exit(0)


@contextmanager
def serve(*arguments: str) -> Iterator[int]:
    """Run the server in a process of its own, and give its port.

    Args:
        *arguments: Of `main`.
    """
    command = [sys.executable, __file__, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.kill()


def main() -> None:
    """Serve, and print the port; with a certificate as argument, by TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    if sys.argv[1:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_port, flush=True)  # noqa: T201 - its output.
    server.serve_forever()


if __name__ == "__main__":
    main()
