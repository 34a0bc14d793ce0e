"""How much of the rate that a venue allows a whole backfill uses, storing all it gets.

Minutes of 500 days from the emulated Binance: CCXT, HTTP over the loopback, and the rate that Binance really
allows. The limit is what its pages take at that rate, had nothing else to be asked and no call to be waited
for. The job is timed from its submission to its end: with the markets, the venue's time, the search for the
listing and all that is stored.
"""

from __future__ import annotations

import asyncio
import math
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from bench.measuring import Result, report
from tests.support.loaders import loader_of
from tests.venues.candle_venue import PAGE, CandleVenue
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientPlugin
from tests.venues.truth import Market
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_MINUTE
from tradewright.runtime.clock import SystemClock
from tradewright.services.backfill_manager import BackfillManager
from tradewright.services.data_sources.plugin import PluginSource
from tradewright.services.market_service import MarketService
from tradewright.storage.sqlite import (
    SQLiteBackfillJobStore,
    SQLiteBarStore,
    SQLiteDatabase,
    SQLiteInstrumentStore,
)

KLINES = "/api/v3/klines"
INSTRUMENT = InstrumentKey("crypto", "binance", "BTC/USDT")
DAYS = 500
BEFORE_DAYS = 30
"""Listed so long before the job begins, so that there is something to search for."""
ALLOWED_PER_S = 50.0
"""Binance counts 6,000 a minute, and two for a page of klines."""
RUNS = 3
CLOCK = SystemClock()


async def write_texts(venue: CandleVenue, minutes: Bars) -> None:
    """Let the venue write its answers, which it keeps: another's work, that would take the time of ours."""
    async with aiohttp.ClientSession(venue.url) as session:
        for first in minutes.time[::PAGE].tolist():
            asked = {"symbol": "BTCUSDT", "interval": "1m", "startTime": str(first), "limit": str(PAGE)}
            async with session.get(KLINES, params=asked) as answer:
                await answer.read()


async def backfilled(venue: CandleVenue, minutes: Bars, folder: Path) -> float:
    """A backfill into a fresh database, from its beginning to its end; seconds in all."""
    database = SQLiteDatabase(folder / f"{time.monotonic_ns()}.sqlite3")
    await database.open()
    bars = SQLiteBarStore(database)
    markets = MarketService(
        loader_of(ImpatientPlugin),
        SQLiteInstrumentStore(database),
        CLOCK,
        provider_options={"binance": venue.provider_options()},
    )
    source = PluginSource(markets, bars, CLOCK)
    manager = BackfillManager(markets, source, bars, SQLiteBackfillJobStore(database), CLOCK)
    manager.start()
    start_ms, end_ms = int(minutes.time[0]), int(minutes.time[-1]) + MINUTE_MS
    began = time.perf_counter()
    job = await manager.submit(INSTRUMENT, start_ms, end_ms)
    with manager.watch() as changes:
        while job.open:
            job = await anext(changes)
    taken = time.perf_counter() - began
    stored = await bars.read(INSTRUMENT.series(ONE_MINUTE), start_ms, end_ms)
    if job.state != "done" or not stored.equals(minutes):
        raise SystemExit(f"The backfill is {job.state} with {len(stored)} bars: {job.error}")
    await manager.close()
    await markets.close()
    await database.close()
    return taken


async def results(folder: Path) -> list[Result]:
    """The same job several times, each with a program that knows nothing yet."""
    days = BEFORE_DAYS + DAYS
    start_ms = (CLOCK.now_ms() // DAY_MS - days) * DAY_MS
    truth = generate_minutes(1, start_ms, days * DAY_MS // MINUTE_MS)
    minutes = truth[BEFORE_DAYS * DAY_MS // MINUTE_MS :]
    pages = math.ceil(len(minutes) / PAGE)
    ours = []
    async with CandleVenue([Market("BTC", "USDT", truth)]) as venue:
        await write_texts(venue, minutes)
        await backfilled(venue, minutes[-PAGE:], folder)  # imports CCXT
        for _ in range(RUNS):
            asked = venue.counts[KLINES]
            ours.append(await backfilled(venue, minutes, folder))
            print(f"{venue.counts[KLINES] - asked} calls for {pages} pages")
    name = f"{DAYS} days of minutes, at the allowed rate"
    return [Result.of_pairs(name, ours, [pages / ALLOWED_PER_S] * RUNS, ratio_min=0.95)]


def main() -> int:
    """Measure in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return report(asyncio.run(results(Path(folder))))


if __name__ == "__main__":
    sys.exit(main())
