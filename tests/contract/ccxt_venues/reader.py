"""The data engine over one exchange, each of whose answers is compared with the truth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np

from tests.contract.ccxt_venues.rig import SYMBOL, Rig
from tests.support.loaders import loader_of
from tests.venues.impatient import ImpatientPlugin
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import Timeframe
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import BarsAnswer, DataOrchestrator
from tradewright.services.market_service import MarketService
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_cache import MemoryCache


@dataclass(frozen=True, slots=True)
class Reader:
    """The data engine over one exchange."""

    rig: Rig
    orchestrator: DataOrchestrator

    async def ask(
        self, timeframe: Timeframe, start_ms: int, end_ms: int, *, whole: bool = True
    ) -> BarsAnswer:
        """The answer, compared with the truth; where it must be `whole`, all is there that is served."""
        key = InstrumentKey("crypto", self.rig.venue.provider, SYMBOL).series(timeframe)
        answer = await self.orchestrator.get_bars(key, start_ms=start_ms, end_ms=end_ms, limit=2_000)
        self._check(timeframe, start_ms, end_ms, answer, whole=whole)
        return answer

    def _check(
        self, timeframe: Timeframe, start_ms: int, end_ms: int, answer: BarsAnswer, *, whole: bool
    ) -> None:
        now_ms = self.rig.venue.now_ms()
        truth = resample(self.rig.market.minutes, timeframe)
        truth = truth.between(start_ms, min(end_ms, timeframe.floor(now_ms)))
        closed = answer.bars.between(0, timeframe.floor(now_ms))
        known = truth.take(np.isin(truth.time, closed.time))
        assert_same(closed, known)
        missing = truth.time[~np.isin(truth.time, closed.time)]
        border = self.rig.plugin.served_from(timeframe, now_ms)
        assert not whole or (missing < border).all(), "bars that the venue serves were not fetched"
        unknown = np.zeros(len(missing), dtype=bool)
        for gap in answer.gaps:
            inside = (missing >= gap.start) & (missing < gap.end)
            assert gap.reason == "not_fetched" or not inside.any(), f"{gap} had trades"
            unknown |= inside
        assert unknown.all(), "bars are missing without a word"


def assert_same(found: Bars, expected: Bars) -> None:
    assert found.time.tolist() == expected.time.tolist()
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert np.allclose(found.volume, expected.volume, rtol=1e-9, atol=0)


@asynccontextmanager
async def open_reader(rig: Rig) -> AsyncIterator[Reader]:
    """The engine, with nothing stored yet."""
    bars = MemoryBarStore()
    options = {rig.venue.provider: rig.venue.provider_options()}
    markets = MarketService(
        loader_of(ImpatientPlugin), MemoryInstrumentStore(bars), rig.clock, provider_options=options
    )
    cache = CacheManager(MemoryCache(rig.clock), rig.clock)
    orchestrator = DataOrchestrator(markets, bars, rig.clock, cache)
    try:
        yield Reader(rig, orchestrator)
    finally:
        await orchestrator.close()
        await markets.close()
