"""The 24-hour ticker of a simulated market, taken from its trades."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import numpy as np
from msgspec.structs import replace

from tradewright.domain.ticks import Ticker
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS
from tradewright.plugins._simulated_book import SimulatedBook
from tradewright.plugins._simulated_market import SimulatedMarket
from tradewright.plugins._simulated_minutes import Minutes
from tradewright.plugins._simulated_random import Ints
from tradewright.plugins._simulated_trades import Trades

_DAY_MINUTES: Final = DAY_MS // MINUTE_MS
_AT_ONCE_MINUTES: Final = 16  # more than these are counted in a thread


@dataclass(frozen=True, slots=True)
class _Window:
    """Whole minutes, and what was paid in each of them, in ticks times lots."""

    minutes: Minutes
    paid: Ints

    def __getitem__(self, part: slice) -> _Window:
        return _Window(self.minutes[part], self.paid[part])


@dataclass(frozen=True, slots=True)
class _Sums:
    """Prices in ticks, volume in lots, what was paid in ticks times lots."""

    open: int
    high: int
    low: int
    lots: int
    paid: int


class SimulatedTicker:
    """Keeps the last day's minutes, so that a ticker costs one new minute now and then."""

    def __init__(self, market: SimulatedMarket, book: SimulatedBook) -> None:
        self._market = market
        self._book = book
        self._window = self._count(0, 0)

    async def ticker(self, now_ms: int) -> Ticker:
        """The ticker over ``(now - 24 h, now]``; of a closed market, as it was at its close.

        ``change_percent`` is from the first trade of those hours to the last.
        """
        time_ms = self._market.hours.last_open_ms(now_ms)
        newest = self._market.last_trade(time_ms)
        if newest is None:
            return Ticker(t=time_ms)
        since_ms = time_ms - DAY_MS
        before, current = since_ms // MINUTE_MS, time_ms // MINUTE_MS
        window = await self._whole_minutes(before + 1)
        edges = [self._market.trades_of(minute).between(since_ms, time_ms) for minute in (before, current)]
        bid, ask = self._book.quote(newest)
        per_unit, lot = self._market.listing.ticks_per_unit, self._market.listing.lot
        state = Ticker(t=time_ms, last=newest.price, bid=bid / per_unit, ask=ask / per_unit)
        sums = _sums(window, edges[0], edges[1])
        if sums is None:
            return replace(state, volume=0.0, quote_volume=0.0)
        return replace(
            state,
            high=sums.high / per_unit,
            low=sums.low / per_unit,
            volume=sums.lots * lot,
            quote_volume=sums.paid / per_unit * lot,
            change_percent=round((newest.price * per_unit / sums.open - 1.0) * 100.0, 4),
        )

    async def _whole_minutes(self, first: int) -> _Window:
        """The 1439 whole minutes from ``first`` on, those that are new counted now."""
        kept = self._window
        last = first + _DAY_MINUTES - 1
        kept_first = int(kept.minutes.minute[0]) if len(kept.minutes) else 0
        kept_last = kept_first + len(kept.minutes)
        if not kept_first <= first <= kept_last <= last:
            self._window = await asyncio.to_thread(self._count, first, last - first)
            return self._window
        if last - kept_last > _AT_ONCE_MINUTES:
            new = await asyncio.to_thread(self._count, kept_last, last - kept_last)
        elif last > kept_last:
            new = self._count(kept_last, last - kept_last)
        else:
            return kept[first - kept_first :]
        joined = _Window(Minutes.concat(kept.minutes, new.minutes), np.concatenate((kept.paid, new.paid)))
        self._window = joined[first - kept_first :]
        return self._window

    def _count(self, first: int, count: int) -> _Window:
        minutes = self._market.minutes.minutes(first, count)
        trades = self._market.trades.trades(minutes)
        paid = np.concatenate(([0], np.cumsum(trades.price * trades.lots)))
        ends = np.cumsum(minutes.trades)
        return _Window(minutes, paid[ends] - paid[ends - minutes.trades])


def _sums(window: _Window, before: Trades, current: Trades) -> _Sums | None:
    """What the whole minutes and the parts of minutes on both sides come to; None where no trade was made."""
    minutes = window.minutes
    traded = minutes.trades > 0
    first = np.concatenate((before.price[:1], minutes.open[traded][:1], current.price[:1]))
    if not len(first):
        return None
    return _Sums(
        open=int(first[0]),
        high=int(np.concatenate((before.price, minutes.high[traded], current.price)).max()),
        low=int(np.concatenate((before.price, minutes.low[traded], current.price)).min()),
        lots=int(before.lots.sum() + minutes.lots[traded].sum() + current.lots.sum()),
        paid=int(
            (before.price * before.lots).sum() + window.paid.sum() + (current.price * current.lots).sum()
        ),
    )
