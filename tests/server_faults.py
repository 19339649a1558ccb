"""What servers do wrong, one by one, and what comes of it: the table of docs/reliability.md."""

import gzip
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import SecretStr

from qwen_vl.client import QwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.content import Text, Turn
from qwen_vl.errors import QwenVLError
from qwen_vl.request.types import Request
from scripted_server import EVENTS, STREAM, WHOLE, Server, answer, event, good_answer

Handle = Callable[[socket.socket, bytes, int], None]
"""Gets the connection, the request, and how many requests came before it."""

JSON = "content-type: application/json"
SSE = "content-type: text/event-stream"
HTML = b"<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that a server does.

    Args:
        name: In the words of the table.
        handle: Does it.
        request: Options of the request.
        max_response_bytes: Of the connection.
        retry_partial_answers: Of the connection.
    """

    name: str
    handle: Handle
    timeout: float = 5.0
    deadline: float | None = None
    max_response_bytes: int = 10_000
    retry_partial_answers: bool = False


def status(text: str, *headers: str, body: bytes = b"{}") -> Handle:
    """Answer every request with a status."""

    def handle(connection: socket.socket, _request: bytes, _number: int) -> None:
        connection.sendall(answer(body, JSON, *headers, status=text))

    return handle


def once(fault: Handle) -> Handle:
    """Go wrong at the first request only."""

    def handle(connection: socket.socket, request: bytes, number: int) -> None:
        if number:
            connection.sendall(good_answer(request))
        else:
            fault(connection, request, number)

    return handle


def respond(whole: bytes, stream: bytes | None = None) -> Handle:
    """Send bytes, and close the connection."""

    def handle(connection: socket.socket, request: bytes, _number: int) -> None:
        is_stream = b'"stream":true' in request and stream is not None
        connection.sendall(stream if is_stream and stream is not None else whole)
        connection.shutdown(socket.SHUT_RDWR)

    return handle


def close(connection: socket.socket, _request: bytes, _number: int) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def wait(connection: socket.socket, _request: bytes, _number: int) -> None:
    connection.settimeout(10)
    connection.recv(1)


def drip(head: bytes) -> Handle:
    """Send a byte now and then, so that no single read takes long."""

    def handle(connection: socket.socket, _request: bytes, _number: int) -> None:
        connection.sendall(head)
        for _ in range(1_000):
            connection.sendall(b" ")
            time.sleep(0.02)

    return handle


def comments(connection: socket.socket, request: bytes, _number: int) -> None:
    if b'"stream":true' not in request:
        drip(f"HTTP/1.1 200 OK\r\n{JSON}\r\ncontent-length: 999999\r\n\r\n".encode())(
            connection, request, 0
        )
    connection.sendall(f"HTTP/1.1 200 OK\r\n{SSE}\r\n\r\n".encode())
    for _ in range(1_000):
        connection.sendall(b": keep-alive\n\n")
        time.sleep(0.02)


def head(kind: str, *more: str, length: int | None = None) -> bytes:
    lines = ["HTTP/1.1 200 OK", kind, *more]
    if length is not None:
        lines.append(f"content-length: {length}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def redirect(where: str, code: str = "307 Temporary Redirect") -> Handle:
    return once(status(code, f"location: {where}"))


ERROR = b'{"error":{"code":"InternalError","message":"No."}}'
CUT_WHOLE = head(JSON, length=len(WHOLE)) + WHOLE[:-20]
CUT_STREAM = head(SSE) + EVENTS[0]
BOMB = gzip.compress(bytes(5_000_000))

FAULTS: tuple[Fault, ...] = (
    Fault("429, once", once(status("429 Too Many Requests"))),
    Fault("429, always", status("429 Too Many Requests")),
    Fault("503, once", once(status("503 Service Unavailable"))),
    Fault("500, always", status("500 Internal Server Error")),
    Fault("a page of HTML with 502, once", once(status("502 Bad Gateway", body=HTML))),
    Fault("400", status("400 Bad Request")),
    Fault("401", status("401 Unauthorized")),
    Fault("403", status("403 Forbidden")),
    Fault("404", status("404 Not Found")),
    Fault("413", status("413 Payload Too Large")),
    Fault(
        "400 with `x-should-retry: true`, once",
        once(status("400 Bad Request", "x-should-retry: true")),
    ),
    Fault(
        "503 with `x-should-retry: false`",
        status("503 Service Unavailable", "x-should-retry: false"),
    ),
    Fault("a redirect to the same server", redirect("/v1/chat/completions")),
    Fault("a redirect to another server", redirect("http://127.0.0.1:9/v1/chat/completions")),
    Fault(
        "a redirect that changes the method (302)", redirect("/v1/chat/completions", "302 Found")
    ),
    Fault("closes the connection without an answer, once", once(close)),
    Fault("closes the connection without an answer, always", close),
    Fault("does not answer", wait, timeout=0.2),
    Fault("sends its headers a byte at a time", drip(b"HTTP/1.1 200 OK\r\nx: "), deadline=0.4),
    Fault("sends its answer a byte at a time", drip(head(JSON, length=999_999)), deadline=0.4),
    Fault("sends nothing but comments", comments, deadline=0.4),
    Fault("does not speak HTTP", respond(b"SSH-2.0-OpenSSH_9.2\r\n")),
    Fault("an answer that breaks off", respond(CUT_WHOLE, CUT_STREAM)),
    Fault(
        "an answer that breaks off, once, with `retry_partial_answers=True`",
        once(respond(CUT_WHOLE, CUT_STREAM)),
        retry_partial_answers=True,
    ),
    Fault("an empty answer", respond(head(JSON, length=0), head(SSE))),
    Fault(
        "JSON that is not an answer",
        respond(answer(b'{"a": 1}', JSON), head(SSE) + b'data: {"a": 1}\n\ndata: [DONE]\n\n'),
    ),
    Fault("text that is not JSON", respond(answer(b"hello", JSON), head(SSE) + b"data: hello\n\n")),
    Fault(
        "an error with status 200",
        respond(answer(ERROR, JSON), head(SSE) + b"data: " + ERROR + b"\n\n"),
    ),
    Fault(
        "a stream that ends without `[DONE]`, its answer whole",
        respond(answer(WHOLE, JSON), head(SSE) + b"".join(EVENTS)),
    ),
    Fault(
        "a stream that stays open behind `[DONE]`",
        lambda connection, request, _: (
            connection.sendall(
                head(SSE) + STREAM if b'"stream":true' in request else good_answer(request)
            ),
            wait(connection, b"", 0),
        )[1],
    ),
    Fault(
        "an answer that is too long",
        respond(answer(WHOLE + b" " * 50_000, JSON), head(SSE) + event({"content": "a" * 50_000})),
    ),
    Fault(
        "a gzip bomb",
        respond(
            answer(BOMB, JSON, "content-encoding: gzip"),
            answer(BOMB, SSE, "content-encoding: gzip"),
        ),
    ),
    Fault("damaged gzip", respond(answer(b"\x1f\x8bxxxxxxxx", JSON, "content-encoding: gzip"))),
)


def observe(fault: Fault, *, stream: bool) -> str:
    """Return what comes of a fault, in the words of the table."""
    numbers = iter(range(1_000))
    lock = threading.Lock()

    def handle(connection: socket.socket, request: bytes) -> None:
        with lock:
            number = next(numbers)
        fault.handle(connection, request, number)

    server = Server(handle)
    connection = Connection(
        base_url=server.url,
        api_key=SecretStr("sk-1"),
        max_retries=1,
        max_response_bytes=fault.max_response_bytes,
        retry_partial_answers=fault.retry_partial_answers,
    )
    turn = Turn(role="user", parts=(Text(text="Hi"),))
    request = Request(
        model="qwen3-vl-plus",
        turns=(turn,),
        stream=stream,
        timeout=fault.timeout,
        deadline=fault.deadline,
    )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outcome = "answer" if QwenVLClient(connection).ask(request).text else "empty answer"
    except QwenVLError as error:
        outcome = f"`{type(error).__name__}`"
    finally:
        server.close()
    n_requests = len(server.requests)
    times = {1: "", 2: ", asked twice"}.get(n_requests, f", asked {n_requests} times")
    return outcome + times


def write_table() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| the server | whole answer | stream |"
    yield "| --- | --- | --- |"
    for fault in FAULTS:
        yield f"| {fault.name} | {observe(fault, stream=False)} | {observe(fault, stream=True)} |"
