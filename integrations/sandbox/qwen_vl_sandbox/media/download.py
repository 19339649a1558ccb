"""One GET to this machine, bounded in bytes and in time as a whole."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import SplitResult

STEP_TIMEOUT_SECONDS = 5.0
"""Of one step: to connect, or to receive some bytes."""

TOTAL_TIMEOUT_SECONDS = 10.0
"""Of the whole: a server that sends a byte now and then is not waited for longer.

unsure: the service documents no timeout of its downloads.
"""

_PIECE = 65_536


class UnreachableError(Exception):
    """The server cannot be reached, or does not speak HTTP, or is too slow."""


class TooLongError(Exception):
    """The body is longer than wanted."""


@dataclass(frozen=True, slots=True)
class Download:
    """An answer.

    Args:
        status: HTTP status.
        headers: Its headers.
        data: Its body.
    """

    status: int
    headers: http.client.HTTPMessage
    data: bytes


def download(parts: SplitResult, limit: int) -> Download:
    """Get what is at a URL. Redirects are not followed.

    Args:
        parts: The URL.
        limit: Maximum number of bytes of the body.

    Raises:
        http.client.InvalidURL: The host or the port is not valid.
        TooLongError: The body has more bytes.
        UnreachableError: Nothing came, or too slowly.
    """
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(parts.netloc.rpartition("@")[2], timeout=STEP_TIMEOUT_SECONDS)
    try:
        connection.connect()
        target = parts.path or "/"
        with _ended_in_time(connection.sock):
            connection.request("GET", f"{target}?{parts.query}" if parts.query else target)
            with connection.getresponse() as response:
                return Download(response.status, response.headers, _read(response, limit))
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(str(error)) from error
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse, limit: int) -> bytes:
    if response.length is not None and response.length > limit:
        raise TooLongError
    pieces: list[bytes] = []
    size = 0
    while piece := response.read(_PIECE):
        size += len(piece)
        if size > limit:
            raise TooLongError
        pieces.append(piece)
    return b"".join(pieces)


@contextlib.contextmanager
def _ended_in_time(connected: socket.socket) -> Iterator[None]:
    def end() -> None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(connected, socket.SHUT_RDWR)

    timer = threading.Timer(TOTAL_TIMEOUT_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
