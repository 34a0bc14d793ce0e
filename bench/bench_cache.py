"""A hit of the cache in Redis beside a bare GET of the same bytes.

Both are bounded in time: the GET by the timeouts of its socket, as redis-py offers them, the hit by the
deadline of the cache.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator

from redis.asyncio import Redis

from bench.generated import MINUTE_MS, START_MS, minute_bars
from bench.measuring import Result, compare, report
from tools.private_servers import own_redis
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage
from tradewright.domain.timeframes import ONE_MINUTE
from tradewright.runtime.clock import SystemClock
from tradewright.services.cache_manager import CacheManager
from tradewright.services.cached_chunks import CHUNK_BARS, chunk_index, chunk_start
from tradewright.storage.guarded_cache import GuardedCache
from tradewright.storage.redis.cache import RedisCache
from tradewright.storage.redis.client import make_client

STORED = 20_000
ASKED = 1_000
CALLS = 200
RUNS = 41  # many short ones: both are over before something else on the machine changes
BAR_BYTES = 48
MARKET = InstrumentKey("crypto", "kraken", "BTC/USD")


async def hits(manager: CacheManager, start_ms: int) -> None:
    """Ask for the same bars again and again; all of them have to be there."""
    for _ in range(CALLS):
        found = await manager.get_1m_bars(MARKET, 0, start_ms, start_ms + ASKED * MINUTE_MS)
        if len(found.bars) != ASKED:
            raise SystemExit("The cache does not hold what was stored.")


async def put(client: Redis, key: str, value: bytes) -> None:
    """Keep a value for ``gets``."""
    await client.set(key, value)


async def gets(client: Redis, key: str) -> None:
    """Ask for the same value again and again; each is looked at, too."""
    for _ in range(CALLS):
        value = await client.get(key)
        if not value:
            raise SystemExit("Redis does not hold what was stored.")


def results(url: str, runner: asyncio.Runner) -> Iterator[Result]:
    """Measure a hit that lies in one chunk, then one that lies in two, which most do."""
    clock = SystemClock()
    cache = GuardedCache(RedisCache(make_client(url, step_timeout_s=None), clock), clock)
    manager = CacheManager(cache, clock)
    bare = make_client(url)
    covered = Coverage(IntervalSet.single(START_MS, START_MS + STORED * MINUTE_MS))
    runner.run(manager.store_1m_bars(MARKET, 0, minute_bars(STORED), covered))
    first_ms = chunk_start(ONE_MINUTE, chunk_index(ONE_MINUTE, START_MS) + 1)
    for chunks, start_ms in ((1, first_ms), (2, first_ms + CHUNK_BARS // 2 * MINUTE_MS)):
        key = f"bare:{chunks}"
        runner.run(put(bare, key, bytes(chunks * CHUNK_BARS * BAR_BYTES)))

        def ours(start_ms: int = start_ms) -> None:
            runner.run(hits(manager, start_ms))

        def limit(key: str = key) -> None:
            runner.run(gets(bare, key))

        name = f"{CALLS:,} hits of {ASKED:,} bars in {chunks} chunk{'s'[: chunks - 1]}"
        yield compare(name, ours, limit, ratio_min=0.77, runs=RUNS)
    runner.run(manager.close())
    runner.run(bare.aclose())


def main() -> int:
    """Measure against a Redis of our own."""
    with own_redis() as redis, asyncio.Runner() as runner:
        return report(list(results(redis.url, runner)))


if __name__ == "__main__":
    sys.exit(main())
