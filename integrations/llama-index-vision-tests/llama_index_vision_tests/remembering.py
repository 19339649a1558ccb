"""A memory of agents that leaves nothing open."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from llama_index.core.memory import Memory
from sqlalchemy.ext.asyncio import create_async_engine


@asynccontextmanager
async def opened_memory() -> AsyncIterator[Memory]:
    """Open a `Memory` that lives within a block.

    `Memory` never closes the database that it opens itself.
    """
    engine = create_async_engine("sqlite+aiosqlite:///:memory:")
    try:
        yield Memory.from_defaults(session_id="images", token_limit=100_000, async_engine=engine)
    finally:
        await engine.dispose()
