"""The server in its thread."""

import asyncio
import errno
import logging
import os
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

START_TIMEOUT_SECONDS = 10.0


class Running:
    """A server in its thread, from the bound socket to the joined thread."""

    def __init__(self, app: ASGIApp, host: str, port: int) -> None:
        self.pid = os.getpid()
        self._logger = logging.getLogger("uvicorn.error")
        self._level = self._logger.level
        self._socket = _listening(host, port)
        self.port = int(self._socket.getsockname()[1])
        config = uvicorn.Config(
            app,
            access_log=False,
            lifespan="off",
            log_config=None,
            # A connection cut on purpose is an exception to uvicorn, and no news here.
            log_level="critical",
            http="h11",
            loop="asyncio",
            server_header=False,
            timeout_graceful_shutdown=1,
            ws="none",
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._run, name="qwen-vl-sandbox", daemon=True)
        self._thread.start()
        if not self._server.ready.wait(START_TIMEOUT_SECONDS):
            raise RuntimeError("The sandbox did not start.")

    def stop(self) -> None:
        """End the server, and wait for its thread."""
        self._server.end()
        self._thread.join()
        self._socket.close()
        self._logger.setLevel(self._level)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))


def _listening(host: str, port: int) -> socket.socket:
    # asyncio turns off Nagle's delay only where the protocol is named; with it every
    # answer on a kept connection takes 40 ms.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if os.name == "posix":
            # Elsewhere the option would let two servers share a port.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise OSError(error.errno, _explain(error, host, port)) from error
    return listening


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} on {host} is in use. Choose another port, or 0 for a free one."
    return f"The sandbox cannot listen on port {port} of {host}: {error.strerror}."


class _Server(uvicorn.Server):
    """Reports when it is ready, and ends at once instead of at the next tick."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None

    async def main_loop(self) -> None:
        await self.on_tick(0)
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self.ready.set()
        await self._ended.wait()

    def end(self) -> None:
        """Ask the server to end; safe from any thread."""
        self.should_exit = True
        if self._loop is not None and self._ended is not None:
            self._loop.call_soon_threadsafe(self._ended.set)
