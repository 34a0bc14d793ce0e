"""The streams of the simulated exchange: what the clock has reached, as it reaches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.ticks import BOOK_DEPTH, OrderBook, Ticker, Trade
from tradewright.domain.timeframes import MINUTE_MS, Timeframe
from tradewright.plugins._simulated_book import BOOK_STEP_MS, SimulatedBook
from tradewright.plugins._simulated_history import SimulatedHistory
from tradewright.plugins._simulated_market import SimulatedMarket
from tradewright.plugins._simulated_ticker import SimulatedTicker
from tradewright.plugins.base import BarUpdate
from tradewright.runtime.clock import Clock
from tradewright.runtime.tasks import TaskSupervisor

_LONGEST_PAUSE_MS: Final = 1_000  # so that a step of the wall clock is noticed soon
_PIECE_MS: Final = 8 * MINUTE_MS  # how much is caught up at once after the clock leapt ahead


class Pauses:
    """The waits of all streams of one plugin; ``close`` ends them at once."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.closed = False
        self._sleeps = TaskSupervisor("simulated")

    async def until(self, time_ms: int) -> bool:
        """Wait for that time, but not longer than a second; False once closed."""
        if self.closed:
            return False
        delay_s = min(time_ms - self.clock.now_ms(), _LONGEST_PAUSE_MS) / 1000
        sleep = self._sleeps.start("pause", self.clock.sleep(max(delay_s, 0.0)))
        try:
            await asyncio.wait((sleep,))
        finally:
            sleep.cancel()
        return not self.closed

    async def close(self) -> None:
        """End every wait, and let none begin."""
        self.closed = True
        await self._sleeps.close()


async def watch_trades(market: SimulatedMarket, pauses: Pauses) -> AsyncGenerator[list[Trade], None]:
    """The trades from now on, each once; those of one minute at most in one list."""
    seen_ms = pauses.clock.now_ms()
    while await pauses.until(market.next_trade_ms(seen_ms, seen_ms + _LONGEST_PAUSE_MS)):
        now_ms = pauses.clock.now_ms()
        for piece_ms in range(seen_ms, now_ms, _PIECE_MS):
            for part in market.trades_between(piece_ms, min(piece_ms + _PIECE_MS, now_ms)):
                yield part.listed(market.listing)
            if now_ms - piece_ms > _PIECE_MS:
                await pauses.clock.sleep(0)
        seen_ms = max(seen_ms, now_ms)


async def watch_ticker(
    market: SimulatedMarket, ticker: SimulatedTicker, pauses: Pauses
) -> AsyncGenerator[Ticker, None]:
    """The ticker now, and after each trade."""
    yield await ticker.ticker(pauses.clock.now_ms())
    async with aclosing(watch_trades(market, pauses)) as batches:
        async for _ in batches:
            yield await ticker.ticker(pauses.clock.now_ms())


async def watch_order_book(
    market: SimulatedMarket, book: SimulatedBook, pauses: Pauses
) -> AsyncGenerator[OrderBook, None]:
    """The book now, and at each of its changes."""
    shown: OrderBook | None = None
    going = True
    while going:
        now_ms = pauses.clock.now_ms()
        current = book_at(market, book, now_ms, BOOK_DEPTH)
        if current is not None and (
            shown is None or (current.bids, current.asks) != (shown.bids, shown.asks)
        ):
            shown = current
            yield current
        step_ms = (now_ms // BOOK_STEP_MS + 1) * BOOK_STEP_MS
        going = await pauses.until(market.next_trade_ms(now_ms, step_ms))


def book_at(market: SimulatedMarket, book: SimulatedBook, now_ms: int, depth: int) -> OrderBook | None:
    """The book at that time, or at the close before it; None before the first trade."""
    last = market.last_trade(now_ms)
    return book.book(last, market.hours.last_open_ms(now_ms), depth) if last else None


async def watch_ohlcv(
    market: SimulatedMarket, history: SimulatedHistory, timeframe: Timeframe, pauses: Pauses
) -> AsyncGenerator[BarUpdate, None]:
    """The forming bar now and after each trade, and once more, final, at its end."""
    seen_ms = pauses.clock.now_ms()
    open_ms = timeframe.floor(seen_ms)
    bar = await history.page(timeframe, open_ms, open_ms + 1, 1, seen_ms)
    if len(bar):
        yield BarUpdate(bar, final=False)
    while True:
        end_ms = timeframe.end(open_ms)
        next_ms = market.next_trade_ms(seen_ms, min(end_ms, seen_ms + _LONGEST_PAUSE_MS))
        if not await pauses.until(next_ms):
            return
        now_ms = pauses.clock.now_ms()
        while end_ms <= now_ms:
            bar = await _grown(market, pauses, timeframe, bar, seen_ms, end_ms - 1)
            if len(bar):
                yield BarUpdate(bar, final=True)
            bar, seen_ms, open_ms = Bars.empty(), end_ms - 1, end_ms
            end_ms = timeframe.end(open_ms)
            await pauses.clock.sleep(0)
        grown = await _grown(market, pauses, timeframe, bar, seen_ms, now_ms)
        seen_ms = max(seen_ms, now_ms)
        if grown is not bar:
            bar = grown
            yield BarUpdate(bar, final=False)


async def _grown(
    market: SimulatedMarket, pauses: Pauses, timeframe: Timeframe, bar: Bars, after_ms: int, until_ms: int
) -> Bars:
    """The bar with the trades in ``(after_ms, until_ms]`` added; the same object where there are none."""
    for piece_ms in range(after_ms, until_ms, _PIECE_MS):
        for part in market.trades_between(piece_ms, min(piece_ms + _PIECE_MS, until_ms)):
            new = market.bar(part).rows()[0]
            bar = Bars.from_rows(
                [_joined(bar.rows()[0], new) if len(bar) else (timeframe.floor(new[0]), *new[1:])]
            )
        if until_ms - piece_ms > _PIECE_MS:
            await pauses.clock.sleep(0)
    return bar


def _joined(bar: BarRow, new: BarRow) -> BarRow:
    time, opened, high, low, _, volume = bar
    return time, opened, max(high, new[2]), min(low, new[3]), new[4], volume + new[5]
