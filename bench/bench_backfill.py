"""How much of the rate that a venue allows a backfill uses, storing all it gets.

The limit is a bare loop over the same pages, through the same rate limiter, with as many calls under way as
it lets through, that keeps nothing. Compared is the time between calls from the first tenth of a job to its
last: it begins with few calls at once, and at its end too little is left for all. What both cost is told.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench.measuring import Result, report
from tests.support.backfilling import INSTRUMENT, TimedLedger, timed_ledger
from tests.support.ledger import START_MS, random_minutes
from tests.support.loaders import loader_of
from tradewright.domain.bars import Bars
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE, Timeframe
from tradewright.plugins.base import PluginSetup
from tradewright.runtime.clock import SystemClock
from tradewright.runtime.rate_limit import RateLimiter
from tradewright.services.backfill_manager import BackfillManager
from tradewright.services.data_sources.plugin import PluginSource
from tradewright.services.market_service import MarketService
from tradewright.storage.sqlite import (
    SQLiteBackfillJobStore,
    SQLiteBarStore,
    SQLiteDatabase,
    SQLiteInstrumentStore,
)

PAGE = 100
SECONDS = 8
RUNS = 3
CLOCK = SystemClock()


class QuickLedger(TimedLedger):
    """A venue that only waits: what it answers costs it nothing."""

    async def fetch_ohlcv(
        self, symbol: str, timeframe: Timeframe, *, start_ms: int, end_ms: int, limit: int | None = None
    ) -> Bars:
        if limit is not None:
            return await super().fetch_ohlcv(symbol, timeframe, start_ms=start_ms, end_ms=end_ms, limit=limit)
        assert self.limiter is not None
        await self.limiter.acquire()
        self.attempts.append(time.perf_counter())
        await self.clock.sleep(self.call_s)
        return self.minutes.between(start_ms, end_ms)[:PAGE]


def venue(minutes: Bars, per_second: float, call_s: float) -> type[TimedLedger]:
    """A venue that allows so many calls a second, each of which takes so long."""
    timed = timed_ledger(minutes, page_limit=PAGE, call_s=call_s)
    kind: type[TimedLedger] = type("OwnQuickLedger", (QuickLedger,), dict(vars(timed)))
    kind.limiter = RateLimiter(CLOCK, per_second=per_second)
    return kind


def per_call_s(kind: type[TimedLedger]) -> float:
    """The mean time between two calls in the middle eight tenths of them."""
    first, last = len(kind.attempts) // 10, len(kind.attempts) * 9 // 10
    return (kind.attempts[last] - kind.attempts[first]) / (last - first)


async def bare(kind: type[TimedLedger], pages: int) -> float:
    """The same pages, asked for as fast as they may be; seconds in all."""
    plugin = kind(PluginSetup(provider="ledger"))
    page_ms = PAGE * MINUTE_MS
    began = time.perf_counter()
    await asyncio.gather(
        *(
            plugin.fetch_ohlcv("BTC/USDT", ONE_MINUTE, start_ms=page, end_ms=page + page_ms)
            for page in range(START_MS, START_MS + pages * page_ms, page_ms)
        )
    )
    return time.perf_counter() - began


async def backfilled(kind: type[TimedLedger], pages: int, folder: Path) -> float:
    """A backfill into a fresh database, from its beginning to its end; seconds in all."""
    database = SQLiteDatabase(folder / f"{time.monotonic_ns()}.sqlite3")
    await database.open()
    bars = SQLiteBarStore(database)
    markets = MarketService(loader_of(kind), SQLiteInstrumentStore(database), CLOCK, provider_options={})
    source = PluginSource(markets, bars, CLOCK)
    manager = BackfillManager(markets, source, bars, SQLiteBackfillJobStore(database), CLOCK)
    manager.start()
    began = time.perf_counter()
    end_ms = START_MS + pages * PAGE * MINUTE_MS
    job = await manager.submit(INSTRUMENT, START_MS, end_ms)
    with manager.watch() as changes:
        while job.open:
            job = await anext(changes)
    taken = time.perf_counter() - began
    stored = await bars.read(INSTRUMENT.series(ONE_MINUTE), START_MS, end_ms)
    if job.state != "done" or not stored.equals(kind.minutes.between(START_MS, end_ms)):
        raise SystemExit(f"The backfill is {job.state} with {len(stored)} bars: {job.error}")
    await manager.close()
    await markets.close()
    await database.close()
    return taken


async def results(folder: Path) -> list[Result]:
    """A fast venue far away, one that is near, and a slow one further away; each for some seconds."""
    found = []
    for per_second, call_s in ((50.0, 0.1), (50.0, 0.02), (20.0, 0.25)):
        pages = round(per_second * SECONDS)
        minutes = random_minutes(1, PAGE * pages + 2_000, quiet=0.0)
        ours, limit, whole = [], [], []
        for _ in range(RUNS):
            mine, theirs = (venue(minutes, per_second, call_s) for _ in range(2))
            whole.append(await backfilled(mine, pages, folder) / await bare(theirs, pages))
            ours.append(per_call_s(mine))
            limit.append(per_call_s(theirs))
        print(
            f"{pages} pages from beginning to end: {statistics.median(whole):.2f} times the bare loop's time"
        )
        name = f"a call of a backfill at {per_second:.0f}/s, {call_s * 1000:.0f} ms away"
        found.append(Result(name, statistics.median(ours), statistics.median(limit), 0.95))
    return found


def main() -> int:
    """Measure in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return report(asyncio.run(results(Path(folder))))


if __name__ == "__main__":
    sys.exit(main())
