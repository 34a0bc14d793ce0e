"""What the tests of several exchanges share: the truth, and an exchange made of emulator and plugin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.venues.bybit import BybitVenue
from tests.venues.candle_venue import CandleVenue
from tests.venues.clock import HastyClock
from tests.venues.generated import generate_minutes
from tests.venues.impatient import ImpatientPlugin
from tests.venues.kraken import KrakenVenue
from tests.venues.okx import OkxVenue
from tests.venues.rest_venue import RestVenue
from tests.venues.truth import Market
from tradewright.domain.bars import Bars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, Timeframe
from tradewright.plugins.base import PluginSetup
from tradewright.plugins.ccxt import CCXTPlugin

SYMBOL: Final = "BTC/USDT"
BEGIN_MS: Final = 1_696_118_400_000  # 2023-10-01
DAYS: Final = 45
NOW_MS: Final = BEGIN_MS + 40 * DAY_MS + 5 * 3_600_000 + 37_000
HOLE: Final = (BEGIN_MS + 20 * DAY_MS + 3_600_000, BEGIN_MS + 21 * DAY_MS + 7_200_000)
TRUTH: Final = generate_minutes(5, BEGIN_MS + 7 * MINUTE_MS, DAYS * 1_440, quiet=0.03, holes=[HOLE])

VENUES: Final[dict[str, type[RestVenue]]] = {
    venue.provider: venue for venue in (BybitVenue, CandleVenue, KrakenVenue, OkxVenue)
}


@dataclass(frozen=True, slots=True)
class Rig:
    """One exchange: the emulator, the plugin that speaks to it, and the clock of both."""

    venue: RestVenue
    plugin: CCXTPlugin
    clock: HastyClock

    @property
    def market(self) -> Market:
        return self.venue.markets[SYMBOL]

    def candle_requests(self) -> int:
        """How many pages of candles the venue was asked for."""
        names = ("klines", "OHLC", "candles", "kline")
        return sum(count for path, count in self.venue.counts.items() if path.endswith(names))

    def served_from(self, timeframe: Timeframe) -> int:
        """The oldest opening that the venue still serves."""
        reach = self.plugin.ohlcv_reach_bars
        forming = timeframe.floor(self.venue.now_ms())
        return 0 if reach is None else timeframe.shift(forming, 1 - reach)

    def truth(self, timeframe: Timeframe, start_ms: int, end_ms: int) -> Bars:
        """What a page of `[start_ms, end_ms)` must begin with, of what has closed."""
        closed = timeframe.floor(self.venue.now_ms())
        first = max(start_ms, self.served_from(timeframe))
        return resample(self.market.minutes, timeframe).between(first, min(end_ms, closed))


@asynccontextmanager
async def make_rig(provider: str, clock: HastyClock, truth: Bars = TRUTH) -> AsyncIterator[Rig]:
    """The exchange of that name."""
    async with VENUES[provider]([Market("BTC", "USDT", truth)], clock=clock) as venue:
        plugin = ImpatientPlugin(PluginSetup(provider, options=venue.provider_options(), clock=clock))
        try:
            yield Rig(venue, plugin, clock)
        finally:
            await plugin.close()
