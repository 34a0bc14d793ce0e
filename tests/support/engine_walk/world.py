"""What is true: emulated markets with holes, the clock they stand on, and what the venue corrects."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tests.venues.candle_venue import CandleVenue
from tests.venues.clock import HastyClock
from tests.venues.generated import generate_minutes
from tests.venues.truth import Market
from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.instruments import InstrumentKey
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, HOUR_MS, MINUTE_MS, Timeframe

START_MS: Final = 1_704_067_200_000  # 2024-01-01, a Monday
DAYS: Final = 40
FIRST_NOW_MS: Final = START_MS + 20 * DAY_MS + 7 * HOUR_MS + 11 * MINUTE_MS + 5_000
BTC: Final = InstrumentKey("crypto", "binance", "BTC/USDT")
ETH: Final = InstrumentKey("crypto", "binance", "ETH/USDT")


class World:
    """The markets of one seed, behind an emulated venue."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.outage = self._stretch(2_000, 3_000)
        alone = self._stretch(2_000, 3_000)
        short = [self._stretch(1, 400) for _ in range(12)]
        holes = {"BTC": [self.outage, alone, *short], "ETH": [self.outage], "XRP": [self.outage]}
        markets = [self._market(base, number, part) for number, (base, part) in enumerate(holes.items(), 1)]
        self._markets = {InstrumentKey("crypto", "binance", market.symbol): market for market in markets}
        self.clock = HastyClock(FIRST_NOW_MS)
        self.venue = CandleVenue(markets, clock=self.clock)
        self._before: dict[InstrumentKey, Bars] = {}

    def _stretch(self, shortest: int, longest: int) -> tuple[int, int]:
        start = START_MS + self.chance.randrange(1_440, 18 * 1_440) * MINUTE_MS
        return start, start + self.chance.randrange(shortest, longest) * MINUTE_MS

    def _market(self, base: str, number: int, holes: Sequence[tuple[int, int]]) -> Market:
        minutes = generate_minutes(
            self.seed * 10 + number, START_MS, DAYS * 1_440, quiet=0.05 * number, holes=holes
        )
        return Market(base, "USDT", minutes)

    def minutes(self, key: InstrumentKey) -> Bars:
        """All true minutes, those of the future too."""
        return self._markets[key].minutes

    def truths(self, key: InstrumentKey, timeframe: Timeframe) -> list[Bars]:
        """The true bars; while a correction is on its way, what was true before it as well."""
        truths = [self._markets[key].series(timeframe).bars]
        if key in self._before:
            truths.append(resample(self._before[key], timeframe))
        return truths

    def all_silent(self, start_ms: int, end_ms: int) -> bool:
        """Whether no market had a trade there; of minutes that were corrected just now the old one counts."""
        known = [self._before.get(key, market.minutes) for key, market in self._markets.items()]
        return not any(len(minutes.between(start_ms, end_ms)) for minutes in known)

    def some_silent(self, start_ms: int, end_ms: int) -> bool:
        """Whether in some minute of it no market had a trade."""
        known = [self._before.get(key, market.minutes) for key, market in self._markets.items()]
        traded = np.unique(np.concatenate([each.between(start_ms, end_ms).time for each in known]))
        return len(traded) < (end_ms - start_ms) // MINUTE_MS

    def revise(self, key: InstrumentKey, row: BarRow) -> Callable[[], None]:
        """The venue says another minute from now on. Both are right until what is returned is called."""
        self._before[key] = self.minutes(key)
        self._markets[key].revise(row)
        return lambda: self._before.clear()
