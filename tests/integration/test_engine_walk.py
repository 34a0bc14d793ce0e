"""Hundreds of random steps through the data engine, over each store and venue, with every answer compared."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from tests.support.engine_walk import PairWorld, StockWorld, Walk, World
from tests.support.engine_walk.caches import CacheHome, MemoryCacheHome, RedisCacheHome
from tests.support.engine_walk.homes import Home, MemoryHome, PostgresHome, SQLiteHome
from tests.support.own_postgres import own_postgres
from tests.support.postgres_schemas import own_schema
from tools.private_servers import OwnRedis

STEPS = 200
AT_ALPACA = {
    # what happened
    "disturb": 2,
    "heal": 2,
    "restart": 2,
    "reopen": 2,
    "wait": 4,
    "processes killed": 1,
    "stores killed": 1,
    "jobs done": 2,
    # what was compared
    "answers": 50,
    "whole answers": 30,
    "bars compared": 2_000,
    "stored bars found": 1_500,
    "corrected bars compared": 20,
    "bars imported": 50,
    "bars audited": 5_000,
    "writes checked": 20,
    "pages of minutes": 15,
    "pages of native bars": 3,
    "pages kept for certain": 4,
    "gaps no_trades": 30,
    "parts from aggregate": 15,
    "parts from db": 10,
    "parts from plugin": 8,
}
AT_LEAST = {
    # what happened
    "disturb": 5,
    "heal": 3,
    "restart": 2,
    "reopen": 2,
    "wait": 5,
    "processes killed": 2,
    "stores killed": 2,
    "corrections that replace": 1,
    "jobs done": 3,
    "killed jobs done": 2,
    # what was compared
    "answers": 150,
    "whole answers": 80,
    "bars compared": 5_000,
    "stored bars found": 5_000,
    "corrected bars compared": 30,
    "bars imported": 500,
    "bars of jobs": 100,
    "bars audited": 30_000,
    "writes checked": 60,
    "pages of minutes": 40,
    "pages of native bars": 15,
    "pages kept for certain": 20,
    "pages wanted by several": 4,
    "empty pages": 5,
    "gaps no_trades": 100,
    "gaps not_fetched": 5,
    "probes of a listing": 13,
    "parts from aggregate": 50,
    "chunks from the cache": 5,
    "parts from db": 50,
    "parts from plugin": 30,
}
IN_SOME_WALK = (
    "jobs cancelled",
    "gaps outage",
    "outages judged",
    "probes of neighbours",
    "corrections that add",
    "native bars corrected",
    "questions completed after healing",
    "gaps with a reason",
    "reads cut off",
    "calm lives",
    "calls in vain, twice a minute at most",
)


def check(walk: Walk, *more: str) -> None:
    """The walk met what it is about."""
    met = walk.counts
    few = {what: met[what] for what, least in AT_LEAST.items() if met[what] < least}
    assert not few, f"too little of {few}"
    missing = [what for what in more if not met[what]]
    assert not missing, f"the walk never met {missing}"
    assert met["answers out of time"] * 20 < met["answers"]


async def walked(seed: int, home: Home, cache: CacheHome, folder: Path) -> Walk:
    walk = Walk(seed, home, cache, folder)
    await walk.run(STEPS)
    return walk


async def test_walks_over_the_memory_store(tmp_path: Path) -> None:
    met: Counter[str] = Counter()
    for seed in (1, 5):
        walk = await walked(seed, MemoryHome(), MemoryCacheHome(), tmp_path)
        check(walk)
        met += walk.counts
    missing = [what for what in IN_SOME_WALK if not met[what]]
    assert not missing, f"the walks never met {missing}"


@pytest.mark.parametrize(("world", "seed", "steps"), [(StockWorld, 1, 100), (PairWorld, 1, 60)])
async def test_walks_at_alpaca(tmp_path: Path, world: type[World], seed: int, steps: int) -> None:
    walk = Walk(seed, MemoryHome(), MemoryCacheHome(), tmp_path, world)
    await walk.run(steps)
    few = {what: walk.counts[what] for what, least in AT_ALPACA.items() if walk.counts[what] < least}
    assert not few, f"too little of {few}"


async def test_a_walk_over_sqlite_with_redis(tmp_path: Path, own_redis: OwnRedis) -> None:
    walk = await walked(8, SQLiteHome(tmp_path), RedisCacheHome(own_redis), tmp_path)
    check(walk, "cache: flush", "cache: kill", "cache: freeze")


async def test_a_walk_over_a_postgresql_that_is_killed(tmp_path: Path) -> None:
    with own_postgres() as server:
        walk = await walked(8, PostgresHome(server.url, "walk", server), MemoryCacheHome(), tmp_path)
    check(walk)


@pytest.mark.timescale
async def test_a_walk_over_timescaledb(tmp_path: Path, timescale_url: str) -> None:
    async with own_schema(timescale_url) as schema:
        walk = await walked(5, PostgresHome(timescale_url, schema), MemoryCacheHome(), tmp_path)
    check(walk)
