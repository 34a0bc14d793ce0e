"""A market service and an orchestrator over a venue whose every minute is known."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np

from tests.support.ledger import (
    START_MS,
    SYMBOL,
    LedgerPlugin,
    ledger_plugin,
    random_minutes,
)
from tests.support.loaders import loader_of
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, TIMEFRAMES
from tradewright.services.cache_manager import CacheManager
from tradewright.services.data_orchestrator import BarsAnswer, DataOrchestrator
from tradewright.services.market_service import MarketService
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_cache import MemoryCache
from tradewright.testing.clock import DrivenClock

INSTRUMENT = InstrumentKey("crypto", "ledger", SYMBOL)


def series(timeframe: str) -> SeriesKey:
    return INSTRUMENT.series(TIMEFRAMES[timeframe])


@dataclass
class House:
    """A market service and an orchestrator over one known venue."""

    plugin: type[LedgerPlugin]
    clock: DrivenClock
    bars: MemoryBarStore = field(default_factory=MemoryBarStore)
    repairs: list[tuple[SeriesKey, IntervalSet]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.instruments = MemoryInstrumentStore(self.bars)
        self.restart()

    def restart(self) -> None:
        """What is kept is kept; everything else begins anew."""
        self.markets = MarketService(
            loader_of(self.plugin), self.instruments, self.clock, provider_options={}
        )
        cache = CacheManager(MemoryCache(self.clock), self.clock)
        self.orchestrator = DataOrchestrator(self.markets, self.bars, self.clock, cache)
        self.orchestrator.repair = lambda key, holes: self.repairs.append((key, holes))

    async def ask(
        self, timeframe: str, start_ms: int | None = None, end_ms: int | None = None, limit: int = 500
    ) -> BarsAnswer:
        answer = await self.orchestrator.get_bars(
            series(timeframe), start_ms=start_ms, end_ms=end_ms, limit=limit
        )
        await remembered()  # so that the next may be answered from the cache
        return answer


async def remembered() -> None:
    """Return when what reads have found so far is in the cache, as far as the cache takes it."""
    while writes := [task for task in asyncio.all_tasks() if task.get_name().startswith("remembering/")]:
        await asyncio.wait(writes)


def house(
    minutes: Bars,
    now_ms: int,
    *,
    page_limit: int = 500,
    native: tuple[str, ...] = ("1m", "1h", "1d"),
    others: dict[str, Bars] | None = None,
) -> House:
    kind = ledger_plugin(minutes, page_limit=page_limit, native=native, others=others)
    return House(kind, DrivenClock(now_ms))


def assert_same(found: Bars, expected: Bars) -> None:
    """Times and prices to the bit, volume within what summing in another order may cost."""
    assert found.time.tolist() == expected.time.tolist()
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    assert np.allclose(found.volume, expected.volume, rtol=1e-12, atol=0)


DAYS = 4
MINUTES = random_minutes(7, DAYS * 1440)
NOW = START_MS + 3 * DAY_MS + 5 * HOUR_MS + 17 * MINUTE_MS + 23_000
