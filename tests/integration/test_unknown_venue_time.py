"""Our clock is wrong, and the venue does not tell us its own."""

from __future__ import annotations

import pytest

from tests.support.engine_walk import BTC, FIRST_NOW_MS, START_MS
from tests.support.loaders import loader_of
from tests.venues.candle_venue import CandleVenue
from tests.venues.clock import HastyClock
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientPlugin
from tests.venues.truth import Market
from tradewright.domain.timeframes import MINUTE_MS, ONE_MINUTE
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import DataOrchestrator
from tradewright.services.market_service import MarketService
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_cache import MemoryCache


@pytest.mark.parametrize("ahead_ms", [-160_000, 160_000])
async def test_a_bar_is_not_final_because_our_clock_says_so(ahead_ms: int) -> None:
    clock = HastyClock(FIRST_NOW_MS)
    market = Market("BTC", "USDT", generate_minutes(1, START_MS, 21 * 1_440, quiet=0))
    async with CandleVenue([market], clock=clock) as venue:
        bars = MemoryBarStore()
        options = {"binance": venue.provider_options()}
        loader = loader_of(ImpatientPlugin)
        markets = MarketService(loader, MemoryInstrumentStore(bars), clock, provider_options=options)
        cache = CacheManager(MemoryCache(clock), clock)
        orchestrator = DataOrchestrator(markets, bars, clock, cache)
        key = BTC.series(ONE_MINUTE)
        try:
            venue.faults.wrong_clock(-ahead_ms)
            venue.faults.malformed("/api/v3/time", times=None)
            answer = await orchestrator.get_bars(key, limit=20)
            assert len(answer.bars)
            known = (await bars.coverage(key, START_MS, clock.now_ms())).known
            assert known
            assert known.items[-1].end <= ONE_MINUTE.floor(clock.now_ms() - ahead_ms)

            await venue.heal()
            await clock.advance(10 * MINUTE_MS / 1000)
            start, end = int(answer.bars.time[0]), int(answer.bars.time[-1]) + MINUTE_MS
            later = await orchestrator.get_bars(key, start_ms=start, end_ms=end)
            assert later.bars.equals(market.minutes.between(start, end))
        finally:
            await orchestrator.close()
            await markets.close()


async def test_what_is_missing_of_the_last_minutes_is_told_although_the_venue_is_down() -> None:
    clock = HastyClock(FIRST_NOW_MS)
    market = Market("BTC", "USDT", generate_minutes(1, START_MS, 21 * 1_440, quiet=0))
    async with CandleVenue([market], clock=clock) as venue:
        bars = MemoryBarStore()
        options = {"binance": venue.provider_options()}
        loader = loader_of(ImpatientPlugin)
        instruments = MemoryInstrumentStore(bars)
        markets = MarketService(loader, instruments, clock, provider_options=options)
        await markets.instrument(BTC)
        await markets.close()
        markets = MarketService(loader, instruments, clock, provider_options=options)
        orchestrator = DataOrchestrator(markets, bars, clock, CacheManager(MemoryCache(clock), clock))
        venue.faults.refuse_connections()
        try:
            answer = await orchestrator.get_bars(BTC.series(ONE_MINUTE), limit=20)
            (gap,) = answer.gaps
            assert gap.end == ONE_MINUTE.floor(clock.now_ms() - ImpatientPlugin.settling_ms)
        finally:
            await orchestrator.close()
            await markets.close()
