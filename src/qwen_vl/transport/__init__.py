"""HTTP to the endpoint: bytes in, bytes out, and errors that say what they mean."""

from qwen_vl.connection import Connection
from qwen_vl.transport.base import (
    Answer,
    AsyncStream,
    AsyncTransport,
    Endpoint,
    Outgoing,
    Stream,
    Transport,
)
from qwen_vl.transport.drain import adrain, drain
from qwen_vl.transport.errors import errors_translated

__all__ = [
    "Answer",
    "AsyncStream",
    "AsyncTransport",
    "Endpoint",
    "Outgoing",
    "Stream",
    "Transport",
    "adrain",
    "drain",
    "errors_translated",
    "open_async_transport",
    "open_transport",
]


def open_transport(connection: Connection) -> Transport:
    """Return the way to an endpoint; nothing is connected yet.

    Args:
        connection: How to reach it.

    Raises:
        ConfigurationError: The key, the URL, a header or the environment's proxy cannot be used,
            or there is only a client for asynchronous calls.
    """
    connection.require_client(is_async=False)
    # Neither package is loaded before the first request: each takes its time.
    if connection.openai_client is not None:
        from qwen_vl.transport.sdk import SdkTransport  # noqa: PLC0415

        return SdkTransport(connection.openai_client, connection.max_response_bytes)
    from qwen_vl.transport.http import HttpTransport  # noqa: PLC0415

    return HttpTransport(connection)


def open_async_transport(connection: Connection) -> AsyncTransport:
    """Return the way to an endpoint for one event loop; see `open_transport`.

    Args:
        connection: How to reach it.
    """
    connection.require_client(is_async=True)
    if connection.async_openai_client is not None:
        from qwen_vl.transport.sdk import AsyncSdkTransport  # noqa: PLC0415

        return AsyncSdkTransport(connection.async_openai_client, connection.max_response_bytes)
    from qwen_vl.transport.http import AsyncHttpTransport  # noqa: PLC0415

    return AsyncHttpTransport(connection)
