"""Thousands of random steps through the data engine over each store, with everything compared.

    python -m bench.soak_engine_walk [steps over each store] [first seed] [stores, by comma]

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

from tests.support.engine_walk import Walk
from tests.support.engine_walk.caches import MemoryCacheHome, RedisCacheHome
from tests.support.engine_walk.homes import MemoryHome, PostgresHome, SQLiteHome
from tests.support.own_postgres import own_postgres
from tests.support.postgres_schemas import own_schema
from tools.private_servers import OwnRedis, own_redis

STEPS = 5_000
WALK_STEPS = 500
TIMESCALE = "TRADEWRIGHT_TEST_TIMESCALE_URL"
STORES = ("memory", "sqlite", "postgresql", "timescaledb")


async def walk(name: str, seed: int, folder: Path, redis: OwnRedis) -> Counter[str]:
    """Walk once; what was met."""
    cache = RedisCacheHome(redis) if name == "sqlite" else MemoryCacheHome()
    if name == "timescaledb":
        url = os.environ[TIMESCALE]
        async with own_schema(url) as schema:
            return await walked(Walk(seed, PostgresHome(url, schema), cache, folder))
    if name == "postgresql":
        with own_postgres() as server:
            return await walked(Walk(seed, PostgresHome(server.url, "walk", server), cache, folder))
    home = MemoryHome() if name == "memory" else SQLiteHome(folder)
    return await walked(Walk(seed, home, cache, folder))


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
    for name in names:
        if name == "timescaledb" and not os.environ.get(TIMESCALE):
            print(f"timescaledb: not walked, because {TIMESCALE} is not set")
            continue
        began, met = time.monotonic(), Counter[str]()
        seeds = range(first, first + max(1, steps // WALK_STEPS))
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder, own_redis() as redis:
                met += asyncio.run(walk(name, seed, Path(folder), redis))
        took_s = time.monotonic() - began
        told = ", ".join(f"{count:,} {what}" for what, count in sorted(met.items()))
        steps_walked = len(seeds) * WALK_STEPS
        print(
            f"{name}, seeds {first} to {seeds[-1]}: {steps_walked:,} steps in {took_s:.0f} s: {told}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
