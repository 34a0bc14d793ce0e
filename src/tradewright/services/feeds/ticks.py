"""Feeds of trades, tickers and order books."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Final

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

    def watch(self, plugin: MarketPlugin) -> AsyncIterator[Sequence[Trade]]:
        return plugin.watch_trades(self.symbol)

    def put(self, item: Sequence[Trade], connection: int) -> None:
        self._queue.extend(item)
        while len(self._queue) > TRADES_WAITING_MAX:
            self._queue.popleft()
            self._overflowed = True

    @property
    def waiting(self) -> bool:
        return bool(self._queue)

    async def drain(self) -> bool:
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
        if self._seen:
            await self._begin_again(self.topics.values())

    async def ask(self, plugin: MarketPlugin) -> bool:
        page = await plugin.fetch_trades(self.symbol, TRADES_ASKED)
        if self._seen and page and not any(trade.id in self._seen for trade in page):
            # The page, however long the venue's pages are, does not reach back to what we have: trades
            # between may be lost for good.
            await self._begin_again(self.topics.values())
        return await self._publish(page)

    async def _publish(self, trades: Iterable[Trade]) -> bool:
        new = [
            trade for trade in {trade.id: trade for trade in trades}.values() if trade.id not in self._seen
        ]
        for trade in new:
            self._seen[trade.id] = None
        while len(self._seen) > TRADES_REMEMBERED:
            del self._seen[next(iter(self._seen))]
        for first in range(0, len(new), TRADES_PER_UPDATE):
            part = tuple(new[first : first + TRADES_PER_UPDATE])
            for topic in self.topics.values():
                await topic.publish_trades(part)
        return bool(new)


class TickerLogic(FeedLogic[Ticker]):
    """The newest ticker; older ones that come late are dropped."""

    watch_capability = Capability.WATCH_TICKER
    ask_capability = Capability.TICKER

    def __init__(
        self, symbol: str, new_epoch: Callable[[], str], wake: Callable[[], None], clock: Clock
    ) -> None:
        super().__init__(symbol, new_epoch, wake)
        self._times = _NewestTime(clock)
        self._waiting: Ticker | None = None
        self._last: Ticker | None = None

    def watch(self, plugin: MarketPlugin) -> AsyncIterator[Ticker]:
        return plugin.watch_ticker(self.symbol)

    def put(self, item: Ticker, connection: int) -> None:
        self._waiting = item

    @property
    def waiting(self) -> bool:
        return self._waiting is not None

    async def drain(self) -> bool:
        ticker, self._waiting = self._waiting, None
        if ticker is not None:
            await self._publish(ticker)
        return True

    async def synchronise(self, plugin: MarketPlugin) -> None:
        self._times.forget()
        await self.ask(plugin)

    async def give_up(self) -> None:
        """The next ticker is whole again."""
        self._times.forget()

    async def ask(self, plugin: MarketPlugin) -> bool:
        return await self._publish(await plugin.fetch_ticker(self.symbol))

    async def _publish(self, ticker: Ticker) -> bool:
        last = self._last
        if ticker == last or not self._times.admits(ticker.t):
            return False
        self._last = ticker
        for topic in self.topics.values():
            await topic.offer(ticker)
        return last is None or (last.last, last.bid, last.ask) != (ticker.last, ticker.bid, ticker.ask)


class OrderBookLogic(FeedLogic[OrderBook]):
    """The newest order book, its best levels whole; crossed ones and older ones are dropped."""

    watch_capability = Capability.WATCH_ORDER_BOOK
    ask_capability = Capability.ORDER_BOOK

    def __init__(
        self, symbol: str, new_epoch: Callable[[], str], wake: Callable[[], None], clock: Clock
    ) -> None:
        super().__init__(symbol, new_epoch, wake)
        self._times = _NewestTime(clock)
        self._waiting: OrderBook | None = None
        self._last: OrderBook | None = None

    def watch(self, plugin: MarketPlugin) -> AsyncIterator[OrderBook]:
        return plugin.watch_order_book(self.symbol)

    def put(self, item: OrderBook, connection: int) -> None:
        self._waiting = item

    @property
    def waiting(self) -> bool:
        return self._waiting is not None

    async def drain(self) -> bool:
        book, self._waiting = self._waiting, None
        if book is not None:
            await self._publish(book)
        return True

    async def synchronise(self, plugin: MarketPlugin) -> None:
        self._times.forget()
        await self.ask(plugin)

    async def give_up(self) -> None:
        """The next book is whole again."""
        self._times.forget()

    async def ask(self, plugin: MarketPlugin) -> bool:
        return await self._publish(await plugin.fetch_order_book(self.symbol, BOOK_DEPTH))

    async def _publish(self, book: OrderBook) -> bool:
        last = self._last
        if book.crossed or not self._times.admits(book.t):
            return False
        book = book.top(BOOK_DEPTH)
        if last is not None and (book.bids, book.asks) == (last.bids, last.asks):
            return False
        self._last = book
        for topic in self.topics.values():
            await topic.offer(book)
        return True
