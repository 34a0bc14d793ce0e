"""Feeds of trades, tickers and order books."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import takewhile
from typing import Final, TypeVar

from tradewright.domain.capabilities import Capability
from tradewright.domain.ticks import BOOK_DEPTH, OrderBook, Ticker, Trade
from tradewright.plugins.base import MarketPlugin
from tradewright.runtime.clock import Clock
from tradewright.services.feeds.logic import FeedLogic, SpoiledStream

TRADES_ASKED: Final = 500
TRADES_REMEMBERED: Final = 5_000
TRADES_WAITING_MAX: Final = 50_000
TRADES_PER_UPDATE: Final = 200
CLOCK_TOLERANCE_MS: Final = 5_000
BAD_BOOKS_IN_ROW_MAX: Final = 3
QUESTIONS_MAX: Final = 3
"""How often missing trades are asked for before they are given up."""

StateT = TypeVar("StateT", Ticker, OrderBook)


class _NewestTime:
    """Tells what comes late. A time that can't be yet is no measure for others: it would silence them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._newest_ms: int | None = None

    def forget(self) -> None:
        """Take the next time as it comes: another connection may speak of an earlier one."""
        self._newest_ms = None

    def admits(self, time_ms: int) -> bool:
        """Whether nothing newer was admitted before."""
        if self._newest_ms is not None and time_ms < self._newest_ms:
            return False
        if time_ms <= self._clock.now_ms() + CLOCK_TOLERANCE_MS:
            self._newest_ms = time_ms
        return True


class TradesLogic(FeedLogic[Sequence[Trade]]):
    """Each trade once, by its id, in the order in which the venue gave them.

    Where the venue counts its trades, a missing number is asked for before anything newer is told; one
    that can't be had makes viewers begin anew, so that they know.
    """

    watch_capability = Capability.WATCH_TRADES
    ask_capability = Capability.TRADES

    def __init__(self, symbol: str, new_epoch: Callable[[], str], wake: Callable[[], None]) -> None:
        super().__init__(symbol, new_epoch, wake)
        self._queue: deque[Trade] = deque()
        self._seen: dict[str, None] = {}
        self._overflowed = False
        self._delivering = self._joined = 0
        """The connection that delivers, and the last one for which the venue was asked while it did."""
        self._counted = False
        self._newest_number: int | None = None
        self._questions = 0
        """How often the trades before the oldest that waits were asked for in vain."""

    def watch(self, plugin: MarketPlugin) -> AsyncIterator[Sequence[Trade]]:
        self._counted = plugin.counts_trades
        return plugin.watch_trades(self.symbol)

    def put(self, item: Sequence[Trade], connection: int) -> None:
        self._delivering = connection
        self._queue.extend(item)
        while len(self._queue) > TRADES_WAITING_MAX:
            self._queue.popleft()
            self._overflowed = True

    @property
    def waiting(self) -> bool:
        return bool(self._queue)

    async def drain(self) -> bool:
        if self._delivering != self._joined:
            return False  # what was traded between the last answer and the stream's beginning is in neither
        trades = self._in_order(self._queue)
        if self._counted and not self._overflowed and self._unbroken(trades, self._newest_number)[1]:
            if self._questions < QUESTIONS_MAX:
                self._questions += 1
                return False
            self._overflowed = True
        if self._overflowed:
            self._overflowed = False
            await self._begin_again(self.topics.values())
        self._questions = 0
        self._queue.clear()
        await self._publish(trades)
        return True

    async def synchronise(self, plugin: MarketPlugin) -> None:
        await self.ask(plugin)

    async def give_up(self) -> None:
        self._joined, self._questions = self._delivering, QUESTIONS_MAX
        if self._seen:
            await self._begin_again(self.topics.values())

    async def ask(self, plugin: MarketPlugin) -> bool:
        delivering = self._delivering
        page = await plugin.fetch_trades(self.symbol, TRADES_ASKED)
        self._joined = delivering
        waiting = {trade.id for trade in self._queue}
        older = takewhile(lambda trade: trade.id not in waiting, page)
        together = {trade.id: trade for trade in (*older, *self._queue, *page)}
        trades = self._in_order(together.values())
        continues = not self._overflowed and self._reaches_back(trades)
        self._queue.clear()
        self._overflowed = False
        if self._seen and trades and not continues:
            # The page, however long the venue's pages are, does not reach back to what we have: trades
            # between may be lost for good.
            await self._begin_again(self.topics.values())
        if self._counted:
            trades, rest = self._unbroken(trades, self._newest_number if continues else None)
            self._queue.extend(rest)
        # With a page begins what viewers see: in one piece, so that a snapshot holds all of it or nothing.
        return await self._publish(trades, TRADES_PER_UPDATE if continues else TRADES_ASKED)

    def _in_order(self, trades: Iterable[Trade]) -> list[Trade]:
        """By number where the venue counts them; a few of them may have come out of order."""
        listed = list(trades)
        if self._counted and all(trade.id.isdecimal() for trade in listed):
            return sorted(listed, key=lambda trade: int(trade.id))
        self._counted = False
        return listed

    @staticmethod
    def _unbroken(trades: list[Trade], newest: int | None) -> tuple[list[Trade], list[Trade]]:
        """Those that continue what was told up to that number, and those behind a number that is missing."""
        for index, trade in enumerate(trades):
            number = int(trade.id)
            if newest is not None and number > newest + 1:
                return trades[:index], trades[index:]
            newest = max(number, newest or number)
        return trades, []

    def _reaches_back(self, trades: list[Trade]) -> bool:
        if any(trade.id in self._seen for trade in trades):
            return True
        newest = self._newest_number
        return self._counted and bool(trades) and newest is not None and int(trades[0].id) == newest + 1

    async def _publish(self, trades: Iterable[Trade], per_update: int = TRADES_PER_UPDATE) -> bool:
        by_id = {trade.id: trade for trade in trades}
        new = [trade for trade in by_id.values() if trade.id not in self._seen]
        if self._counted and (newest := self._newest_number) is not None:
            new = [trade for trade in new if int(trade.id) > newest]
        for trade in new:
            self._seen[trade.id] = None
            if self._counted:
                self._newest_number = max(int(trade.id), self._newest_number or 0)
        while len(self._seen) > TRADES_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        for first in range(0, len(new), per_update):
            part = tuple(new[first : first + per_update])
            for topic in self.topics.values():
                await topic.publish_trades(part)
        return bool(new)


class StateLogic(FeedLogic[StateT]):
    """A feed of whole states, of which only the newest matters; older ones that come late are dropped."""

    def __init__(
        self, symbol: str, new_epoch: Callable[[], str], wake: Callable[[], None], clock: Clock
    ) -> None:
        super().__init__(symbol, new_epoch, wake)
        self._times = _NewestTime(clock)
        self._waiting: StateT | None = None
        self._last: StateT | None = None

    def put(self, item: StateT, connection: int) -> None:
        self._waiting = item

    @property
    def waiting(self) -> bool:
        return self._waiting is not None

    async def drain(self) -> bool:
        state, self._waiting = self._waiting, None
        if state is not None:
            await self._take(state)
        return True

    async def synchronise(self, plugin: MarketPlugin) -> None:
        self._times.forget()
        await self.ask(plugin)

    async def give_up(self) -> None:
        """The next state is whole again."""
        self._times.forget()

    async def ask(self, plugin: MarketPlugin) -> bool:
        return await self._take(await self._fetch(plugin))

    @abstractmethod
    async def _fetch(self, plugin: MarketPlugin) -> StateT:
        """The state now."""

    @abstractmethod
    async def _take(self, state: StateT) -> bool:
        """Publish the state where it is newer and sound; whether it was news."""

    async def _publish(self, state: StateT) -> None:
        self._last = state
        for topic in self.topics.values():
            await topic.offer(state)


class TickerLogic(StateLogic[Ticker]):
    """The newest ticker."""

    watch_capability = Capability.WATCH_TICKER
    ask_capability = Capability.TICKER

    def watch(self, plugin: MarketPlugin) -> AsyncIterator[Ticker]:
        return plugin.watch_ticker(self.symbol)

    async def _fetch(self, plugin: MarketPlugin) -> Ticker:
        return await plugin.fetch_ticker(self.symbol)

    async def _take(self, state: Ticker) -> bool:
        last = self._last
        if state == last or not self._times.admits(state.t):
            return False
        await self._publish(state)
        return last is None or (last.last, last.bid, last.ask) != (state.last, state.bid, state.ask)


class OrderBookLogic(StateLogic[OrderBook]):
    """The newest order book, its best levels whole. One that can't be right is never published; where a
    stream gives several in a row, it is begun anew."""

    watch_capability = Capability.WATCH_ORDER_BOOK
    ask_capability = Capability.ORDER_BOOK

    def __init__(
        self, symbol: str, new_epoch: Callable[[], str], wake: Callable[[], None], clock: Clock
    ) -> None:
        super().__init__(symbol, new_epoch, wake, clock)
        self._bad_in_row = 0

    def watch(self, plugin: MarketPlugin) -> AsyncIterator[OrderBook]:
        return plugin.watch_order_book(self.symbol)

    async def drain(self) -> bool:
        await super().drain()
        if self._bad_in_row >= BAD_BOOKS_IN_ROW_MAX:
            self._bad_in_row = 0
            raise SpoiledStream(f"The order book of {self.symbol} is crossed or in disorder.")
        return True

    async def _fetch(self, plugin: MarketPlugin) -> OrderBook:
        return await plugin.fetch_order_book(self.symbol, BOOK_DEPTH)

    async def _take(self, state: OrderBook) -> bool:
        last, book = self._last, state.top(BOOK_DEPTH)
        self._bad_in_row = 0 if book.sound else self._bad_in_row + 1
        if not book.sound or not self._times.admits(state.t):
            return False
        if last is not None and (book.bids, book.asks) == (last.bids, last.asks):
            return False
        await self._publish(book)
        return True
