"""What a transport keeps open, for tests that look at it."""

from typing import Any


def find_pools(transport: Any) -> list[Any]:
    """Return the httpcore2 pools of a transport, in the order in which they were opened."""
    return [pool._pool for pool in transport._client._transport.slots.pools]
