"""The clients that belong to one model object."""

import threading
from typing import Any

from qwen_vl.client import AsyncQwenVLClient, QwenVLClient
from qwen_vl.connection import Connection


class ClientCache:
    """The clients of one model object: made at their first use, made again when it changes.

    Deep copies and pickles of the object begin without any, since connections cannot be copied.
    Shallow copies share the cache, and may use it from other threads: whoever asks gets a client
    of the connection asked for, whatever another has put here in the meantime.
    """

    def __init__(self) -> None:
        self._sync: tuple[Connection, QwenVLClient] | None = None
        self._async: tuple[Connection, AsyncQwenVLClient] | None = None
        # Threads that begin together would each open connections of their own.
        self._making = threading.Lock()

    def sync(self, connection: Connection) -> QwenVLClient:
        """Give the client of this connection."""
        with self._making:
            held = self._sync
            if held is None or held[0] != connection:
                self._sync = held = (connection, QwenVLClient(connection))
            return held[1]

    def asynchronous(self, connection: Connection) -> AsyncQwenVLClient:
        """Give the asynchronous client of this connection."""
        with self._making:
            held = self._async
            if held is None or held[0] != connection:
                self._async = held = (connection, AsyncQwenVLClient(connection))
            return held[1]

    def __deepcopy__(self, memo: dict[int, Any]) -> "ClientCache":
        return ClientCache()

    def __reduce__(self) -> tuple[type["ClientCache"], tuple[()]]:
        return ClientCache, ()
