"""Thousands of random steps through the data engine, over each store, with every answer compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine_walk import Walk
from tests.support.postgres_schemas import in_schemas
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore
from tradewright.testing.store_material import Stores


def check(walk: Walk) -> None:
    """The walk met what it is about."""
    met = walk.counts
    assert met["answers"] > 250
    assert met["bars"] > 8_000
    for what in ("no_trades", "not_fetched", "outage", "disturb", "heal", "restart", "pages"):
        assert met[what], f"the walk never met {what}"


@pytest.mark.parametrize("seed", [1, 5])
async def test_a_walk_over_the_memory_store(seed: int) -> None:
    bars = MemoryBarStore()
    walk = Walk(seed, Stores(bars, MemoryInstrumentStore(bars)))
    await walk.run(400)
    check(walk)


async def test_a_walk_over_sqlite(tmp_path: Path) -> None:
    database = SQLiteDatabase(tmp_path / "bars.sqlite3")
    await database.open()
    try:
        walk = Walk(8, Stores(SQLiteBarStore(database), SQLiteInstrumentStore(database)))
        await walk.run(400)
    finally:
        await database.close()
    check(walk)


async def test_a_walk_over_postgresql(postgres_url: str) -> None:
    await walk_in(postgres_url, 8)


@pytest.mark.timescale
async def test_a_walk_over_timescaledb(timescale_url: str) -> None:
    await walk_in(timescale_url, 5)


async def walk_in(url: str, seed: int) -> None:
    async with in_schemas(url) as open_stores, open_stores("walk") as stores:
        walk = Walk(seed, stores)
        await walk.run(400)
    check(walk)
