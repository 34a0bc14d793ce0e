"""A silence of the emulated exchange is settled though no reader returns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.support.engine_walk import BTC, FIRST_NOW_MS, START_MS
from tests.support.loaders import loader_of
from tests.venues.candle_venue import CandleVenue
from tests.venues.clock import HastyClock
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientPlugin
from tests.venues.truth import Market
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, ONE_MINUTE
from tradewright.services.backfill_manager import BackfillManager
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import DataOrchestrator
from tradewright.services.market_service import MarketService
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_cache import MemoryCache
from tradewright.storage.memory_jobs import MemoryBackfillJobStore

SERIES = BTC.series(ONE_MINUTE)
HOLE = (START_MS + 5 * DAY_MS, START_MS + 8 * DAY_MS)
ASKED = (HOLE[0] + DAY_MS, HOLE[0] + DAY_MS + 2 * HOUR_MS)


@dataclass
class Server:
    """One server over stores that outlive it."""

    orchestrator: DataOrchestrator
    manager: BackfillManager


@asynccontextmanager
async def server(venue: CandleVenue, bars: MemoryBarStore, clock: HastyClock) -> AsyncIterator[Server]:
    options = {"binance": venue.provider_options()}
    instruments = MemoryInstrumentStore(bars)
    markets = MarketService(loader_of(ImpatientPlugin), instruments, clock, provider_options=options)
    orchestrator = DataOrchestrator(markets, bars, clock, CacheManager(MemoryCache(clock), clock))
    manager = BackfillManager(markets, orchestrator.venue, bars, MemoryBackfillJobStore(), clock)
    await markets.listing(BTC.market, BTC.provider)
    manager.start()
    try:
        yield Server(orchestrator, manager)
    finally:
        await manager.close()
        await orchestrator.close()
        await markets.close()


def venue_of(clock: HastyClock, *, all_silent: bool) -> CandleVenue:
    def market(base: str, seed: int, *, silent: bool) -> Market:
        holes = [HOLE] if silent else []
        return Market(base, "USDT", generate_minutes(seed, START_MS, 21 * 1_440, quiet=0, holes=holes))

    others = [market(base, seed, silent=all_silent) for seed, base in enumerate(("ETH", "XRP"), 2)]
    return CandleVenue([market("BTC", 1, silent=True), *others], clock=clock)


@pytest.mark.parametrize("all_silent", [True, False])
@pytest.mark.parametrize("restarted", [True, False])
async def test_a_silence_is_settled_though_nobody_asks_again(*, all_silent: bool, restarted: bool) -> None:
    clock, bars = HastyClock(FIRST_NOW_MS), MemoryBarStore()
    async with venue_of(clock, all_silent=all_silent) as venue:
        async with server(venue, bars, clock) as first:
            answer = await first.orchestrator.get_bars(SERIES, start_ms=ASKED[0], end_ms=ASKED[1])
            assert {gap.reason for gap in answer.gaps} == {"not_fetched"}
            if not restarted:
                await _settled(clock, bars, venue, all_silent=all_silent)
                return
        await clock.advance(3_600)
        async with server(venue, bars, clock):
            await _settled(clock, bars, venue, all_silent=all_silent)


async def _settled(clock: HastyClock, bars: MemoryBarStore, venue: CandleVenue, *, all_silent: bool) -> None:
    asked = len(venue.requests("klines"))
    known = IntervalSet()
    async with asyncio.timeout(20):
        while not known.contains(*ASKED):
            await clock.advance(5)
            await asyncio.sleep(0.005)  # the venue answers in real time
            coverage = await bars.coverage(SERIES, *ASKED)
            known = coverage.outage if all_silent else coverage.complete
    assert await bars.empty_answers(SERIES, *ASKED) == ()
    assert len(venue.requests("klines")) - asked <= 6
