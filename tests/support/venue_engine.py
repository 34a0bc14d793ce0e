"""The data engine in memory over an emulated Binance whose every minute is known, on a clock one drives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from tests.support.loaders import loader_of
from tests.venues.candle_venue import CandleVenue
from tests.venues.clock import HastyClock
from tests.venues.impatient import ImpatientPlugin
from tests.venues.truth import Market
from tradewright.domain.bars import Bars
from tradewright.domain.errors import TimeoutPluginError
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import MINUTE_MS, TIMEFRAMES
from tradewright.runtime.clock import Clock
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import BarsAnswer, DataOrchestrator
from tradewright.services.market_service import MarketService
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_cache import MemoryCache

KLINES: Final = "/api/v3/klines"
LISTED_WITHIN_S: Final = 60.0


@dataclass
class VenueEngine:
    """What reads, what it reads from, and the clock of both."""

    clock: HastyClock
    venue: CandleVenue
    store: MemoryBarStore
    markets: MarketService
    orchestrator: DataOrchestrator

    async def read(
        self, base: str, timeframe: str, start_ms: int | None, end_ms: int | None, limit: int = 5_000
    ) -> BarsAnswer:
        """An answer for ``base``/USDT; ``AssertionError`` where a bar of it differs from the truth."""
        before_ms = self.clock.now_ms()
        answer = await self.orchestrator.get_bars(
            key_of(base).series(TIMEFRAMES[timeframe]), start_ms=start_ms, end_ms=end_ms, limit=limit
        )
        self._compare(base, timeframe, answer, before_ms)
        return answer

    def _compare(self, base: str, timeframe: str, answer: BarsAnswer, before_ms: int) -> None:
        """Bars that can't change any more are the true ones."""
        length_ms = TIMEFRAMES[timeframe].length_ms
        settled_ms = before_ms - ImpatientPlugin.settling_ms - MINUTE_MS
        bars = answer.bars.take(answer.bars.time + length_ms <= settled_ms)
        truth = resample(self.venue.markets[f"{base}/USDT"].minutes, TIMEFRAMES[timeframe])
        truth = truth.take(np.isin(truth.time, bars.time))
        assert same_bars(bars, truth), f"another bar of {base} {timeframe} than there is"

    def calls(self) -> list[dict[str, str]]:
        """What the venue was asked for candles since ``forget_calls``."""
        return [dict(request.arguments) for request in self.venue.requests("klines")]

    def forget_calls(self) -> None:
        """Count anew."""
        self.venue.log.clear()


def key_of(base: str) -> InstrumentKey:
    """Of what is traded against USDT."""
    return InstrumentKey("crypto", "binance", f"{base}/USDT")


def same_bars(found: Bars, truth: Bars) -> bool:
    """Times and prices to the bit, volume within what summing in another order may cost."""
    return (
        np.array_equal(found.time, truth.time)
        and all(
            np.array_equal(getattr(found, name), getattr(truth, name))
            for name in ("open", "high", "low", "close")
        )
        and bool(np.isclose(found.volume, truth.volume, rtol=1e-9, atol=0).all())
    )


async def _list(markets: MarketService) -> None:
    """Ask the venue for its symbols; importing CCXT may take longer than a reader waits."""
    async with asyncio.timeout(LISTED_WITHIN_S):
        while True:
            with suppress(TimeoutPluginError):
                await markets.listing("crypto", "binance")
                return


@asynccontextmanager
async def venue_engine(
    traded: Sequence[Market], now_ms: int, *, venue_clock: Clock | None = None
) -> AsyncIterator[VenueEngine]:
    """Open it at that time; the venue may have a clock of its own."""
    clock = HastyClock(now_ms)
    store = MemoryBarStore()
    async with CandleVenue(traded, clock=venue_clock or clock) as venue:
        markets = MarketService(
            loader_of(ImpatientPlugin),
            MemoryInstrumentStore(store),
            clock,
            provider_options={"binance": venue.provider_options()},
        )
        orchestrator = DataOrchestrator(markets, store, clock, CacheManager(MemoryCache(clock), clock))
        try:
            await _list(markets)
            yield VenueEngine(clock, venue, store, markets, orchestrator)
        finally:
            await orchestrator.close()
            await markets.close()
