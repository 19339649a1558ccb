"""Servers for the tests of the transport."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scripted_server import Handle, Server


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers that do what a function says, and closes them behind the test."""
    servers: list[Server] = []

    def start(handle: Handle, **options: Any) -> Server:
        servers.append(Server(handle, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
