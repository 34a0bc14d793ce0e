"""Stores of every kind, opened for a while."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tests.support.postgres_schemas import in_schemas
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore
from tradewright.testing.stores import Stores


@asynccontextmanager
async def in_memory() -> AsyncIterator[Stores]:
    """Open stores that keep nothing."""
    bars = MemoryBarStore()
    yield Stores(bars, MemoryInstrumentStore(bars))


@asynccontextmanager
async def on_sqlite() -> AsyncIterator[Stores]:
    """Open stores in a file."""
    with tempfile.TemporaryDirectory() as folder:
        database = SQLiteDatabase(Path(folder) / "bars.sqlite3")
        await database.open()
        try:
            yield Stores(SQLiteBarStore(database), SQLiteInstrumentStore(database))
        finally:
            await database.close()


def on_server(url: str) -> Callable[[], AbstractAsyncContextManager[Stores]]:
    """Say how to open stores in a schema of their own."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Stores]:
        async with in_schemas(url) as open_stores, open_stores("walk") as stores:
            yield stores

    return opened
