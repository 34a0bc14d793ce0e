"""Ten thousand shuffled deliveries, each with duplicates and corrections, leave what was said last.

    python -m bench.soak_store_shuffles [shuffles] [words of stores]

In memory, on SQLite, on a PostgreSQL of its own, and on the TimescaleDB that `TRADEWRIGHT_TEST_TIMESCALE_URL`
names, if it does; words choose among them. Each shuffle is a seed, from 0 on.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from tests.support.opened_stores import in_memory, on_server, on_sqlite
from tests.support.own_postgres import own_postgres
from tradewright.testing.bar_store_delivery_checks import check_shuffled_deliveries
from tradewright.testing.stores import Stores

SHUFFLES = 10_000
AT_ONCE = 4


async def check(name: str, opened: AbstractAsyncContextManager[Stores], shuffles: int) -> None:
    """Run all of them over one store, some at a time, and print how long it took."""
    began_s = time.monotonic()
    async with opened as stores, asyncio.TaskGroup() as group:
        for lane in range(AT_ONCE):
            seeds = range(lane, shuffles, AT_ONCE)
            group.create_task(check_shuffled_deliveries(stores, seeds), name=f"shuffles {lane}")
    taken_s = time.monotonic() - began_s
    print(f"{name}: {shuffles:,} shuffles equal the model ({taken_s:.0f} s).", flush=True)


def main(arguments: list[str]) -> int:
    """Check over each store."""
    shuffles = int(arguments[0]) if arguments else SHUFFLES
    words = arguments[1:]
    with own_postgres() as server:
        stores: dict[str, Callable[[], AbstractAsyncContextManager[Stores]]] = {
            "memory": in_memory,
            "SQLite": on_sqlite,
            "PostgreSQL": on_server(server.url),
        }
        if timescale := os.environ.get("TRADEWRIGHT_TEST_TIMESCALE_URL"):
            stores["TimescaleDB"] = on_server(timescale)
        else:
            print("TimescaleDB: not shuffled, because TRADEWRIGHT_TEST_TIMESCALE_URL is not set")
        for name, opened in stores.items():
            if not words or any(word.lower() in name.lower() for word in words):
                asyncio.run(check(name, opened(), shuffles))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
