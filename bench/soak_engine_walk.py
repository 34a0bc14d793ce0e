"""Thousands of random steps through the data engine over each store, with every answer compared.

    python -m bench.soak_engine_walk [steps of each walk] [first seed]

Walks in memory, on SQLite, on a PostgreSQL of its own, and on the TimescaleDB that
`TRADEWRIGHT_TEST_TIMESCALE_URL` names, if it does. Ends with a status other than 0
at the first answer that differs from the truth, and names the seed and the step.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tests.support.engine_walk import Walk
from tests.support.own_postgres import own_postgres
from tests.support.postgres_schemas import in_schemas
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore
from tradewright.testing.store_material import Stores

STEPS = 5_000


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


async def walk(name: str, opened: AbstractAsyncContextManager[Stores], seed: int, steps: int) -> None:
    """Walk once and print what was met."""
    began = time.monotonic()
    async with opened as stores:
        one = Walk(seed, stores)
        await one.run(steps)
    met = ", ".join(f"{count:,} {what}" for what, count in sorted(one.counts.items()))
    print(f"{name}, seed {seed}: {steps:,} steps in {time.monotonic() - began:.0f} s: {met}", flush=True)


def main(arguments: list[str]) -> int:
    """Walk over each store."""
    steps = int(arguments[0]) if arguments else STEPS
    seed = int(arguments[1]) if len(arguments) > 1 else 100
    with own_postgres() as server:
        stores: dict[str, Callable[[], AbstractAsyncContextManager[Stores]]] = {
            "memory": in_memory,
            "SQLite": on_sqlite,
            "PostgreSQL": on_server(server.url),
        }
        timescale = os.environ.get("TRADEWRIGHT_TEST_TIMESCALE_URL")
        if timescale:
            stores["TimescaleDB"] = on_server(timescale)
        else:
            print("TimescaleDB: not walked, because TRADEWRIGHT_TEST_TIMESCALE_URL is not set")
        for number, (name, opened) in enumerate(stores.items()):
            asyncio.run(walk(name, opened(), seed + number, steps))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
