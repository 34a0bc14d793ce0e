"""What each minute of a simulated market comes to, before any of its trades is spelled out.

A minute's trades are made to fit these figures (``_simulated_trades``), so that years of bars need no trade.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.plugins._simulated_listing import LISTED_MS, Listing
from tradewright.plugins._simulated_profile import Hours
from tradewright.plugins._simulated_random import Floats, Ints, bits, exp, exponential, make_key, uniform
from tradewright.plugins._simulated_walk import Walk

FIRST_MINUTE: Final = LISTED_MS // MINUTE_MS
MOST_TRADES: Final = 240
"""Per minute, however busy."""
_MINUTES_PER_YEAR: Final = 525_960.0
_MATURING_YEARS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Minutes:
    """Columns of consecutive minutes: how many trades, their prices in ticks, their volume in lots.

    Where ``trades`` is 0 the other figures mean nothing.
    """

    minute: Ints
    trades: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    lots: Ints

    def __len__(self) -> int:
        return len(self.minute)

    def columns(self) -> tuple[Ints, ...]:
        """All columns in their order."""
        return self.minute, self.trades, self.open, self.high, self.low, self.close, self.lots

    def __getitem__(self, part: slice) -> Minutes:
        return Minutes(*(column[part] for column in self.columns()))

    @staticmethod
    def concat(first: Minutes, second: Minutes) -> Minutes:
        """Both, one after the other."""
        return Minutes(*map(np.concatenate, zip(first.columns(), second.columns(), strict=True)))

    def bars(self, listing: Listing) -> Bars:
        """1m bars of the minutes that have trades."""
        chosen = self.trades > 0
        opened, high, low, close = (
            column[chosen] / listing.ticks_per_unit for column in (self.open, self.high, self.low, self.close)
        )
        volume = self.lots[chosen].astype(np.float64) * listing.lot
        return Bars(self.minute[chosen] * MINUTE_MS, opened, high, low, close, volume)


class MinuteSource:
    """The minutes of one market; a pure function of the seed and the minute."""

    def __init__(self, listing: Listing, seed: int, hours: Hours) -> None:
        self.listing = listing
        self.hours = hours
        self._key = make_key(seed, "minutes", listing.symbol)
        self._walks = [(Walk(seed, factor, hours), load) for factor, load in listing.loads]
        self._variance = sum(load * load for _, load in self._walks)

    def minutes(self, first: int, count: int) -> Minutes:
        """``count`` minutes from ``first`` on; takes some 0.3 µs each, and half a millisecond at least."""
        minute = np.arange(first, first + count, dtype=np.int64)
        log_price = self._trend(np.arange(first, first + count + 1, dtype=np.int64))
        variance = np.zeros(count)
        for walk, load in self._walks:
            path = walk.path(first, count)
            log_price += load * path.value
            variance += load * load * path.mass
        busy = np.sqrt(variance * (self.hours.activity_scale / self._variance))
        price = exp(log_price)
        trades = self._trade_counts(minute, busy)
        prices = self._prices(minute, trades, price, np.diff(log_price), variance)
        return Minutes(minute, trades, *prices, self._lots(minute, trades, price[:-1], busy))

    def spread_ticks(self, price: Floats) -> Floats:
        """Between the best bid and the best ask, at least 1, for prices in ticks."""
        return np.maximum(1.0, np.rint(price * self.listing.spread))

    def _trend(self, minute: Ints) -> Floats:
        early, late = self.listing.log_prices
        years = (minute - FIRST_MINUTE) / _MINUTES_PER_YEAR
        maturity = 1.0 + np.maximum(years, 0.0) / _MATURING_YEARS
        return late - (late - early) / (maturity * maturity) + self.listing.growth_per_year * (years - 10.0)

    def _trade_counts(self, minute: Ints, busy: Floats) -> Ints:
        expected = self.listing.trades_per_minute * (0.5 + 0.5 * busy)
        chance = 0.6 + 0.4 * exponential(bits(self._key + 1, minute))
        count = np.minimum(np.floor(expected * chance), MOST_TRADES).astype(np.int64)
        count[~self.hours.is_open(minute) | (minute < FIRST_MINUTE)] = 0
        return count

    def _lots(self, minute: Ints, trades: Ints, price: Floats, busy: Floats) -> Ints:
        """Every trade has a lot; the rest follows the activity."""
        per_trade = self.listing.trade_value / (price * self.listing.lot) * (0.3 + 0.7 * busy)
        chance = 0.4 + 0.6 * exponential(bits(self._key + 2, minute))
        return trades + np.floor(trades * per_trade * chance).astype(np.int64)

    def _prices(
        self, minute: Ints, trades: Ints, price: Floats, change: Floats, variance: Floats
    ) -> tuple[Ints, Ints, Ints, Ints]:
        """Open, high, low and close in ticks. The extremes are those of a Brownian bridge."""
        ticks = price * self.listing.ticks_per_unit
        spread = self.spread_ticks(ticks[:-1])
        random = bits(self._key + 3, minute)
        bounces = (
            np.floor(uniform(random ^ np.uint64(mask)) * (spread + 1.0)) - np.floor(spread / 2.0)
            for mask in (0, 0xA5A5A5A5A5A5A5A5)
        )
        opened = np.maximum(1.0, np.rint(ticks[:-1]) + next(bounces))
        closed = np.maximum(1.0, np.rint(ticks[1:]) + next(bounces))
        closed = np.where(trades == 1, opened, closed)
        reach = 2.0 * variance
        up, down = (
            np.sqrt(change * change + reach * exponential(bits(self._key + number, minute)))
            for number in (4, 5)
        )
        highest, lowest = np.maximum(opened, closed), np.minimum(opened, closed)
        roomy = trades >= 4  # fewer trades have no place for extremes of their own
        high = np.where(
            roomy, np.maximum(highest, np.rint(ticks[:-1] * (1.0 + 0.5 * (change + up)))), highest
        )
        low = np.where(roomy, np.minimum(lowest, np.rint(ticks[:-1] * (1.0 + 0.5 * (change - down)))), lowest)
        low = np.maximum(1.0, low)
        return opened.astype(np.int64), high.astype(np.int64), low.astype(np.int64), closed.astype(np.int64)
