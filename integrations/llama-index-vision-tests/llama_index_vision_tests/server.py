"""A web server on this machine that remembers who downloaded what."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


@dataclass(frozen=True, slots=True)
class Download:
    """One request for a file.

    Attributes:
        path: The path of the URL.
        headers: The request's headers, their names in lower case.
    """

    path: str
    headers: Mapping[str, str]


class MediaServer:
    """Serves files from memory on a free port of 127.0.0.1.

    Attributes:
        downloads: Every request so far, in order.

    Example:
        >>> import urllib.request
        >>> with MediaServer({"/a.txt": (b"hello", "text/plain")}) as server:
        ...     content = urllib.request.urlopen(server.url("/a.txt")).read()
        >>> content, [download.path for download in server.downloads]
        (b'hello', ['/a.txt'])
    """

    def __init__(self, files: Mapping[str, tuple[bytes, str]]) -> None:
        self.downloads: list[Download] = []
        downloads = self.downloads

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                downloads.append(Download(self.path, headers))
                if self.path not in files:
                    self.send_error(404)
                    return
                content, media_type = files[self.path]
                self.send_response(200)
                self.send_header("Content-Type", media_type)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for.

            def log_message(self, *args: object) -> None:
                """Keep the tests' output free of requests."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def url(self, path: str) -> str:
        """Return the URL of a file."""
        return f"http://127.0.0.1:{self._server.server_port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
