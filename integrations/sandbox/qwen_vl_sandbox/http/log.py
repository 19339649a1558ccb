"""One line for each request: what came, what was answered, and how long it took."""

import time
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen_vl_sandbox.recorder import Recorder

_SCOPE_KEY = "qwen_vl_sandbox.log"
_MIN_HIDDEN_CHARS = 4
_MAX_MESSAGE_CHARS = 200


@dataclass(slots=True)
class LogEntry:
    """What the endpoints note of one request.

    Args:
        model: Model id.
        received: What the request held, one note each; for a rejected one, why.
    """

    model: str = ""
    received: list[str] = field(default_factory=list)


def log_entry(request: Request) -> LogEntry:
    """Return what is noted of a request; nobody reads it where nothing is logged."""
    entry: LogEntry = request.scope.setdefault(_SCOPE_KEY, LogEntry())
    return entry


class RequestLog:
    """Writes a line for each request that an application has answered.

    The key is not in it: of the headers, nothing is written.

    Args:
        app: The application.
        recorder: Has the file to write to, if there is one.
    """

    def __init__(self, app: ASGIApp, recorder: Recorder) -> None:
        self._app = app
        self._ledger = recorder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, and write its line once the answer has ended."""
        file = self._ledger.log
        if file is None or scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        entry = scope[_SCOPE_KEY] = LogEntry()
        status = "aborted"

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, watch)
        finally:
            milliseconds = (time.perf_counter() - started) * 1_000
            parts = (scope["method"], scope["path"], entry.model or "-", status)
            line = f"{' '.join(parts)}: {', '.join(entry.received) or 'no body'}"
            file.write(f"{_hide_key(_on_one_line(line), scope)} ({milliseconds:.0f} ms)\n")
            file.flush()


def shorten(message: str) -> str:
    """Return the beginning of a message.

    Example:
        >>> shorten("Model not exist.")
        'Model not exist.'
    """
    is_short = len(message) <= _MAX_MESSAGE_CHARS
    return message if is_short else f"{message[:_MAX_MESSAGE_CHARS]}…"


def _on_one_line(line: str) -> str:
    """Replace what would move the terminal's cursor, or forge another line."""
    return "".join(sign if sign.isprintable() else "�" for sign in line)


def _hide_key(line: str, scope: Scope) -> str:
    """Hide the key where a client has put it into the path or the body too."""
    for name, value in scope["headers"]:
        key = value.decode("latin-1").partition(" ")[2].strip()
        if name == b"authorization" and len(key) >= _MIN_HIDDEN_CHARS:
            line = line.replace(key, "…")
    return line
