"""The end of a stream: what little follows an answer is read, for the connection to be kept.

An HTTP connection can be used again only when its response was read to the end, and servers send
that end in a separate packet. Some never send it, and leave the connection open.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

_GRACE_SECONDS = 0.05
_MAX_CHUNKS = 8


def drain(response: Any, chunks: Iterator[bytes]) -> None:
    """Read the end of a response, if it comes at once; see `adrain`.

    Args:
        response: Of httpx or httpx2.
        chunks: The rest of its body.
    """
    stream = getattr(response, "extensions", {}).get("network_stream")
    read = getattr(stream, "read", None)
    if stream is None or read is None:
        return
    # A separate timeout for this read: that of the request may be ten minutes.
    stream.read = lambda max_bytes, timeout=None: read(  # noqa: ARG005 - httpcore's signature.
        max_bytes, timeout=_GRACE_SECONDS
    )
    try:
        for _, _ in zip(range(_MAX_CHUNKS), chunks, strict=False):
            pass
    finally:
        del stream.read


async def adrain(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of a response, if it comes at once.

    Args:
        chunks: The rest of its body.

    Raises:
        TimeoutError: It did not come; the connection cannot be used again.
    """
    async with asyncio.timeout(_GRACE_SECONDS):
        n_chunks = 0
        async for _ in chunks:
            n_chunks += 1
            if n_chunks == _MAX_CHUNKS:
                return
