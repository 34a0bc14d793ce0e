"""The order book of a simulated market: what would stand around its last trade."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from tradewright.domain.ticks import OrderBook, PriceLevel, Trade
from tradewright.plugins._simulated_market import SimulatedMarket
from tradewright.plugins._simulated_random import Ints, bits, exponential, make_key

BOOK_STEP_MS: Final = 500
"""The book changes with every trade, and between trades at multiples of this."""
MOST_LEVELS: Final = 200
_RENEWAL_MS: Final = 6_000  # how long an amount stands at a price
_GAP: Final = 0.000012  # between levels, as a part of the price
_DEEPER: Final = 0.06  # how much more stands at each further level


class SimulatedBook:
    """A pure function of the last trade and the time.

    Amounts stand at prices, not at distances from the best: the price moves through a book that stays.
    """

    def __init__(self, market: SimulatedMarket, seed: int) -> None:
        self._market = market
        self._listing = market.listing
        self._key = make_key(seed, "book", market.listing.symbol)

    def quote(self, last: Trade) -> tuple[int, int]:
        """Best bid and best ask in ticks; the last trade's taker met one of them."""
        price = round(last.price * self._listing.ticks_per_unit)
        spread = int(self._market.minutes.spread_ticks(np.array([float(price)]))[0])
        bid = max(1, price if last.side == "sell" else price - spread)
        return bid, bid + spread

    def book(self, last: Trade, time_ms: int, depth: int) -> OrderBook:
        """``depth`` levels a side (fewer bids where the price comes to an end)."""
        bid, ask = self.quote(last)
        gap = 1 << max(0, int(bid * _GAP).bit_length() - 1)
        depth = min(depth, MOST_LEVELS)
        return OrderBook(
            t=time_ms,
            bids=tuple(self._levels(bid, -1, gap, depth, time_ms)),
            asks=tuple(self._levels(ask, 1, gap, depth, time_ms)),
        )

    def _levels(self, best: int, direction: int, gap: int, depth: int, time_ms: int) -> Iterator[PriceLevel]:
        cells = best // gap + direction * np.arange(1, 2 * depth + 16, dtype=np.int64)
        random = bits(self._key, cells)
        offset = (random % np.uint64(gap)).astype(np.int64)
        worse = (cells * gap + offset)[(random >> np.uint64(61)) > 1]  # a quarter of the cells is empty
        ticks = np.concatenate(([best], worse[(worse - best) * direction > 0]))[:depth]
        ticks = ticks[ticks >= 1]
        prices = (ticks / self._listing.ticks_per_unit).tolist()
        yield from zip(prices, self._amounts(ticks, direction, time_ms), strict=True)

    def _amounts(self, ticks: Ints, direction: int, time_ms: int) -> list[float]:
        listing = self._listing
        phase = (bits(self._key + 1, ticks) % np.uint64(_RENEWAL_MS)).astype(np.int64)
        renewal = (time_ms // BOOK_STEP_MS * BOOK_STEP_MS + phase) // _RENEWAL_MS
        mean = 2.0 * listing.trade_value / (ticks / listing.ticks_per_unit) / listing.lot
        chance = 0.1 + exponential(bits(self._key + 2 + direction, ticks, renewal))
        lots = 1 + np.floor(mean * chance * (1.0 + _DEEPER * np.arange(len(ticks)))).astype(np.int64)
        amounts: list[float] = (lots * listing.lot).tolist()
        return amounts
