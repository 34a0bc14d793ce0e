"""Thousands of random steps through the data engine over each store and venue, with everything compared.

    python -m bench.soak_engine_walk [steps of each] [first seed] [stores, by comma] [venues, by comma]

The venues are `binance`, `alpaca-stocks` and `alpaca-crypto`, all emulated; where none is named, every store
is walked at Binance, and memory at all of them.

Walks of some hundred steps each, since after that most is known and little is asked for: in memory, on
SQLite with a Redis of its own, on a PostgreSQL of its own, and on the TimescaleDB that
`TRADEWRIGHT_TEST_TIMESCALE_URL` names, if it does. Ends with a status other than 0 at the first thing
that differs from the truth, and names the seed and the step.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.support.engine_walk import BinanceWorld, PairWorld, StockWorld, Walk, World
from tests.support.engine_walk.caches import MemoryCacheHome, RedisCacheHome
from tests.support.engine_walk.homes import MemoryHome, PostgresHome, SQLiteHome
from tests.support.own_postgres import own_postgres
from tests.support.postgres_schemas import own_schema
from tools.private_servers import OwnRedis, own_redis

STEPS = 5_000
WALK_STEPS = 500
TIMESCALE = "TRADEWRIGHT_TEST_TIMESCALE_URL"
STORES = ("memory", "sqlite", "postgresql", "timescaledb")
VENUES: dict[str, type[World]] = {
    "binance": BinanceWorld,
    "alpaca-stocks": StockWorld,
    "alpaca-crypto": PairWorld,
}


async def walk(name: str, world: type[World], seed: int, folder: Path, redis: OwnRedis) -> Counter[str]:
    """Walk once; what was met."""
    cache = RedisCacheHome(redis) if name == "sqlite" else MemoryCacheHome()
    if name == "timescaledb":
        url = os.environ[TIMESCALE]
        async with own_schema(url) as schema:
            return await walked(Walk(seed, PostgresHome(url, schema), cache, folder, world))
    if name == "postgresql":
        with own_postgres() as server:
            home = PostgresHome(server.url, "walk", server)
            return await walked(Walk(seed, home, cache, folder, world))
    own = MemoryHome() if name == "memory" else SQLiteHome(folder)
    return await walked(Walk(seed, own, cache, folder, world))


async def walked(one: Walk) -> Counter[str]:
    """Let it walk."""
    await one.run(WALK_STEPS)
    return one.counts


def main(arguments: list[str]) -> int:
    """Walk over each store."""
    logging.basicConfig(level=logging.CRITICAL)  # the walk breaks things, and what breaks says so
    steps = int(arguments[0]) if arguments else STEPS
    first = int(arguments[1]) if len(arguments) > 1 else 100
    names = arguments[2].split(",") if len(arguments) > 2 else STORES
    venues = arguments[3].split(",") if len(arguments) > 3 else ("binance",)
    plan = [(name, venue) for venue in venues for name in names]
    if len(arguments) <= 3:
        plan += [("memory", venue) for venue in VENUES if venue != "binance" and "memory" in names]
    for name, venue in plan:
        if name == "timescaledb" and not os.environ.get(TIMESCALE):
            print(f"timescaledb: not walked, because {TIMESCALE} is not set")
            continue
        walk_many(name, venue, range(first, first + max(1, steps // WALK_STEPS)))
    return 0


def walk_many(name: str, venue: str, seeds: range) -> None:
    """Walk once with each seed, and tell what was met."""
    began, met = time.monotonic(), Counter[str]()
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder, own_redis() as redis:
            met += asyncio.run(walk(name, VENUES[venue], seed, Path(folder), redis))
    took_s = time.monotonic() - began
    told = ", ".join(f"{count:,} {what}" for what, count in sorted(met.items()))
    print(
        f"{name} at {venue}, seeds {seeds[0]} to {seeds[-1]}: {len(seeds) * WALK_STEPS:,} steps"
        f" in {took_s:.0f} s: {told}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
