"""One simulated market as it stands at a moment: its newest trades, its forming minute, what comes next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.resampling import bars_from_ticks
from tradewright.domain.ticks import Trade
from tradewright.domain.timeframes import MINUTE_MS
from tradewright.plugins._simulated_listing import Listing
from tradewright.plugins._simulated_minutes import FIRST_MINUTE, Minutes, MinuteSource
from tradewright.plugins._simulated_profile import Hours
from tradewright.plugins._simulated_trades import Trades, TradeSource

_T = TypeVar("_T")
_BLOCK_MINUTES: Final = 64
_KEPT_BLOCKS: Final = 32
_KEPT_MINUTES: Final = 8
_LOOK_BACK_MINUTES: Final = 7 * 1_440


class Recent(Generic[_T]):
    """Keeps the ``size`` values that were used last."""

    def __init__(self, size: int, make: Callable[[int], _T]) -> None:
        self._size = size
        self._make = make
        self._values: OrderedDict[int, _T] = OrderedDict()

    def get(self, number: int) -> _T:
        """The value of that number, made where it is not kept."""
        if number in self._values:
            self._values.move_to_end(number)
            return self._values[number]
        value = self._values[number] = self._make(number)
        if len(self._values) > self._size:
            self._values.popitem(last=False)
        return value

    def __len__(self) -> int:
        return len(self._values)


class SimulatedMarket:
    """The present of one market. Small steps only, each of a millisecond or so; not for several threads.

    ``minutes`` and ``trades`` are the truth it is made of, and may be used from any thread.
    """

    def __init__(self, listing: Listing, seed: int, hours: Hours) -> None:
        self.listing = listing
        self.hours = hours
        self.minutes = MinuteSource(listing, seed, hours)
        self.trades = TradeSource(listing, seed)
        self._blocks = Recent(
            _KEPT_BLOCKS, lambda number: self.minutes.minutes(number * _BLOCK_MINUTES, _BLOCK_MINUTES)
        )
        self._trades = Recent(_KEPT_MINUTES, lambda minute: self.trades.trades(self._one_minute(minute)))

    def trades_of(self, minute: int) -> Trades:
        """All trades of a minute, those to come included: for the exchange's own eyes."""
        return self._trades.get(minute)

    def trades_between(self, after_ms: int, until_ms: int) -> Iterator[Trades]:
        """The trades in ``(after_ms, until_ms]``, minute by minute, leaving out the minutes without any."""
        for minute in range(max(after_ms // MINUTE_MS, FIRST_MINUTE), until_ms // MINUTE_MS + 1):
            if self._one_minute(minute).trades[0]:
                part = self.trades_of(minute).between(after_ms, until_ms)
                if len(part):
                    yield part

    def next_trade_ms(self, after_ms: int, until_ms: int) -> int:
        """When the first trade in ``(after_ms, until_ms)`` will be made; ``until_ms`` where there is none."""
        return next((int(part.time[0]) for part in self.trades_between(after_ms, until_ms)), until_ms)

    def last_trade(self, now_ms: int) -> Trade | None:
        """The newest trade made by ``now_ms``; None where there was none for a week."""
        until_ms = self.hours.last_open_ms(now_ms)
        minute = until_ms // MINUTE_MS
        oldest = max(FIRST_MINUTE, minute - _LOOK_BACK_MINUTES)
        while minute >= oldest:
            made = self.trades_of(minute).between(0, until_ms)
            if len(made):
                return made[-1:].listed(self.listing)[0]
            minute = self._traded_before(minute, oldest)
        return None

    def latest(self, now_ms: int, limit: int) -> list[Trade]:
        """The newest trades made by ``now_ms``, at most ``limit``, not more than a week old, newest last.

        Uses nothing but ``minutes`` and ``trades``, so it may be called in any thread.
        """
        until_ms = self.hours.last_open_ms(now_ms)
        last, count = until_ms // MINUTE_MS, _BLOCK_MINUTES
        minutes = self.minutes.minutes(last + 1 - count, count)
        while int(minutes[:-1].trades.sum()) < limit and count < _LOOK_BACK_MINUTES:
            count *= 4
            minutes = self.minutes.minutes(last + 1 - count, count)
        after = np.cumsum(minutes.trades[::-1])[::-1]  # the trades from each minute on
        enough = int((after - minutes.trades[-1] >= limit).sum())  # the last minute may not be over
        needed = minutes[max(0, enough - 1) :]
        made = self.trades.trades(needed).between(0, until_ms)
        return made[max(0, len(made) - limit) :].listed(self.listing)

    def forming_minute(self, now_ms: int) -> Bars:
        """The bar of the minute that ``now_ms`` lies in, of the trades so far; empty before the first one."""
        minute_ms = now_ms // MINUTE_MS * MINUTE_MS
        parts = [self.bar(part) for part in self.trades_between(minute_ms - 1, now_ms)]
        return Bars.concat(parts)

    def bar(self, trades: Trades) -> Bars:
        """The 1m bars of the trades."""
        price = trades.price / self.listing.ticks_per_unit
        return bars_from_ticks(trades.time, price, trades.lots.astype(np.float64) * self.listing.lot)

    def _traded_before(self, minute: int, oldest: int) -> int:
        """The newest minute with trades before ``minute``; one before ``oldest`` where there is none."""
        while minute > oldest:
            block = self._blocks.get((minute - 1) // _BLOCK_MINUTES)
            traded = np.flatnonzero(block.trades[: minute - int(block.minute[0])])
            if len(traded):
                return int(block.minute[traded[-1]])
            minute = int(block.minute[0])
        return oldest - 1

    def _one_minute(self, minute: int) -> Minutes:
        place = minute % _BLOCK_MINUTES
        return self._blocks.get(minute // _BLOCK_MINUTES)[place : place + 1]
