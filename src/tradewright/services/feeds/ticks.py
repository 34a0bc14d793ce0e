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
from tradewright.services.feeds.logic import FeedLogic

TRADES_ASKED: Final = 500
TRADES_REMEMBERED: Final = 20_000
TRADES_WAITING_MAX: Final = 50_000
TRADES_PER_UPDATE: Final = 200
CLOCK_TOLERANCE_MS: Final = 5_000

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
    """Each trade once, by its id, in the order in which the venue gave them."""

    watch_capability = Capability.WATCH_TRADES
    ask_capability = Capability.TRADES

    def __init__(self, symbol: str, new_epoch: Callable[[], str], wake: Callable[[], None]) -> None:
        super().__init__(symbol, new_epoch, wake)
        self._queue: deque[Trade] = deque()
        self._seen: dict[str, None] = {}
        self._overflowed = False
        self._delivering = self._joined = 0
        """The connection that delivers, and the last one for which the venue was asked while it did."""

    def watch(self, plugin: MarketPlugin) -> AsyncIterator[Sequence[Trade]]:
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
        if self._overflowed:
            self._overflowed = False
            await self._begin_again(self.topics.values())
        trades = list(self._queue)
        self._queue.clear()
        await self._publish(trades)
        return True

    async def synchronise(self, plugin: MarketPlugin) -> None:
        await self.ask(plugin)

    async def give_up(self) -> None:
        self._joined = self._delivering
        if self._seen:
            await self._begin_again(self.topics.values())

    async def ask(self, plugin: MarketPlugin) -> bool:
        delivering = self._delivering
        page = await plugin.fetch_trades(self.symbol, TRADES_ASKED)
        self._joined = delivering
        waiting = {trade.id for trade in self._queue}
        trades = [*takewhile(lambda trade: trade.id not in waiting, page), *self._queue]
        continues = not self._overflowed and any(trade.id in self._seen for trade in trades)
        self._queue.clear()
        self._overflowed = False
        if self._seen and trades and not continues:
            # The page, however long the venue's pages are, does not reach back to what we have: trades
            # between may be lost for good.
            await self._begin_again(self.topics.values())
        # With a page begins what viewers see: in one piece, so that a snapshot holds all of it or nothing.
        return await self._publish([*trades, *page], TRADES_PER_UPDATE if continues else TRADES_ASKED)

    async def _publish(self, trades: Iterable[Trade], per_update: int = TRADES_PER_UPDATE) -> bool:
        new = [
            trade for trade in {trade.id: trade for trade in trades}.values() if trade.id not in self._seen
        ]
        for trade in new:
            self._seen[trade.id] = None
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
    """The newest order book, its best levels whole; crossed ones are dropped."""

    watch_capability = Capability.WATCH_ORDER_BOOK
    ask_capability = Capability.ORDER_BOOK

    def watch(self, plugin: MarketPlugin) -> AsyncIterator[OrderBook]:
        return plugin.watch_order_book(self.symbol)

    async def _fetch(self, plugin: MarketPlugin) -> OrderBook:
        return await plugin.fetch_order_book(self.symbol, BOOK_DEPTH)

    async def _take(self, state: OrderBook) -> bool:
        last = self._last
        if state.crossed or not self._times.admits(state.t):
            return False
        book = state.top(BOOK_DEPTH)
        if last is not None and (book.bids, book.asks) == (last.bids, last.asks):
            return False
        await self._publish(book)
        return True
