"""The clients that belong to one model object."""

import threading
from typing import Any

from qwen_vl.client import AsyncQwenVLClient, QwenVLClient
from qwen_vl.connection import Connection
from qwen_vl.process_local import ProcessLocal


class _Clients:
    """The clients of one process."""

    def __init__(self) -> None:
        self.sync: tuple[Connection, QwenVLClient] | None = None
        self.asynchronous: tuple[Connection, AsyncQwenVLClient] | None = None
        # Threads that begin together would each open connections of their own.
        self.making = threading.Lock()


class ClientCache:
    """The clients of one model object: made at their first use, made again when it changes.

    Deep copies and pickles of the object begin without any, since connections cannot be copied,
    and so does a forked child, whose connections would be its parent's.
    Shallow copies share the cache, and may use it from other threads: whoever asks gets a client
    of the connection asked for, whatever another has put here in the meantime.
    """

    def __init__(self) -> None:
        self._clients = ProcessLocal(_Clients)

    def sync(self, connection: Connection) -> QwenVLClient:
        """Give the client of this connection."""
        clients = self._clients.get()
        with clients.making:
            held = clients.sync
            if held is None or held[0] != connection:
                clients.sync = held = (connection, QwenVLClient(connection))
            return held[1]

    def asynchronous(self, connection: Connection) -> AsyncQwenVLClient:
        """Give the asynchronous client of this connection."""
        clients = self._clients.get()
        with clients.making:
            held = clients.asynchronous
            if held is None or held[0] != connection:
                clients.asynchronous = held = (connection, AsyncQwenVLClient(connection))
            return held[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> "ClientCache":
        return ClientCache()

    def __reduce__(self) -> tuple[type["ClientCache"], tuple[()]]:
        return ClientCache, ()
