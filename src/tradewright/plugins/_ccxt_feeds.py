"""What each kind of stream makes of CCXT's answers: new bars, tickers, books, trades, orders."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar

from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.errors import MalformedAnswerPluginError, PluginError
from tradewright.domain.orders import VenueFill, VenueOrder
from tradewright.domain.ticks import BOOK_DEPTH, OrderBook, Ticker, Trade
from tradewright.domain.timeframes import Timeframe
from tradewright.plugins import _ccxt_orders as order_parse
from tradewright.plugins import _ccxt_parse as parse
from tradewright.plugins._ccxt_streams import Feed
from tradewright.plugins.base import BarUpdate
from tradewright.runtime.clock import Clock

_T = TypeVar("_T")

TRADES_WAITING_MAX: Final = 10_000
ORDERS_WAITING_MAX: Final = 10_000
FILLS_WAITING_MAX: Final = 10_000
IDS_REMEMBERED: Final = 5_000
BAD_BOOKS_MAX: Final = 50
BAD_BOOK_S_MAX: Final = 0.5


def ohlcv_feed(symbol: str, timeframe: Timeframe, dropped: Callable[[int], None]) -> Feed[BarUpdate]:
    """The forming bar at each change; when one opens, the one before comes along in its last state."""
    newest: BarRow | None = None

    def take(answer: object) -> BarUpdate | None:
        nonlocal newest
        rows, bad = parse.bar_rows(answer, timeframe)
        dropped(bad)
        by_time = {row[0]: row for row in ([newest] if newest else []) + rows}
        if not rows:
            return None
        ordered = [by_time[at] for at in sorted(by_time)]
        changed = ordered if newest is None or ordered[-1][0] > newest[0] else _since(ordered, rows)
        newest = ordered[-1]
        return BarUpdate(Bars.from_rows(changed))

    def merge(waiting: BarUpdate, newer: BarUpdate) -> BarUpdate:
        return BarUpdate(waiting.bars.merged_with(newer.bars))

    return Feed(
        f"ohlcv {timeframe.name}",
        symbol,
        watch=lambda exchange: exchange.watch_ohlcv(symbol, timeframe.name, params={}),
        unwatch=lambda exchange: exchange.un_watch_ohlcv(symbol, timeframe.name, params={}),
        unwatch_feature="unWatchOHLCV",
        take=take,
        merge=merge,
    )


def _since(ordered: list[BarRow], rows: list[BarRow]) -> list[BarRow]:
    """From the first changed row on, so that the last row is always the newest bar."""
    first = min(row[0] for row in rows)
    return [row for row in ordered if row[0] >= first]


def ticker_feed(symbol: str, params: Mapping[str, str], now_ms: Callable[[], int]) -> Feed[Ticker]:
    """The ticker at each change; who is slow gets the latest. ``now_ms`` is the venue's time."""
    return Feed(
        "ticker",
        symbol,
        watch=lambda exchange: exchange.watch_ticker(symbol, params=dict(params)),
        unwatch=lambda exchange: exchange.un_watch_ticker(symbol, params=dict(params)),
        unwatch_feature="unWatchTicker",
        take=lambda answer: parse.ticker(answer, now_ms()),
        merge=lambda _waiting, newer: newer,
    )


def order_book_feed(symbol: str, clock: Clock, now_ms: Callable[[], int]) -> Feed[OrderBook]:
    """Whole books of ``BOOK_DEPTH`` levels; who is slow gets the latest. One that can't be right, being
    crossed or in disorder, is left out, and when that lasts the stream fails, so that it is begun again from
    a snapshot: some exchange sends the two sides of a change one after the other."""
    bad, since_s = 0, 0.0

    def take(answer: Mapping[str, Any]) -> OrderBook | None:
        nonlocal bad, since_s
        book = parse.order_book(answer, now_ms(), BOOK_DEPTH)
        if book.sound:
            bad = 0
            return book
        now_s = clock.monotonic()
        since_s = since_s if bad else now_s
        bad += 1
        if bad > BAD_BOOKS_MAX or now_s - since_s > BAD_BOOK_S_MAX:
            raise MalformedAnswerPluginError(f"The order book of {symbol} stays crossed or in disorder.")
        return None

    return Feed(
        "order_book",
        symbol,
        watch=lambda exchange: exchange.watch_order_book(symbol, params={}),
        unwatch=lambda exchange: exchange.un_watch_order_book(symbol, params={}),
        unwatch_feature="unWatchOrderBook",
        take=take,
        merge=lambda _waiting, newer: newer,
    )


def trades_feed(symbol: str, dropped: Callable[[int], None]) -> Feed[tuple[Trade, ...]]:
    """New trades, each id once; who falls too far behind is told so by an error."""
    seen: dict[str, None] = {}

    def take(answer: object) -> tuple[Trade, ...] | None:
        found, bad = parse.trades(answer)
        dropped(bad)
        new = []
        for trade in found:
            if trade.id not in seen:
                seen[trade.id] = None
                new.append(trade)
        while len(seen) > IDS_REMEMBERED:
            del seen[next(iter(seen))]
        return tuple(new) or None

    def merge(waiting: tuple[Trade, ...], newer: tuple[Trade, ...]) -> tuple[Trade, ...]:
        if len(waiting) + len(newer) > TRADES_WAITING_MAX:
            raise PluginError(f"More than {TRADES_WAITING_MAX} trades of {symbol} wait to be taken.")
        return waiting + newer

    return Feed(
        "trades",
        symbol,
        watch=lambda exchange: exchange.watch_trades(symbol, params={}),
        unwatch=lambda exchange: exchange.un_watch_trades(symbol, params={}),
        unwatch_feature="unWatchTrades",
        take=take,
        merge=merge,
    )


def orders_feed() -> Feed[tuple[VenueOrder, ...]]:
    """The account's orders at each change; who falls too far behind is told so by an error."""

    def merge(waiting: tuple[VenueOrder, ...], newer: tuple[VenueOrder, ...]) -> tuple[VenueOrder, ...]:
        if len(waiting) + len(newer) > ORDERS_WAITING_MAX:
            raise PluginError(f"More than {ORDERS_WAITING_MAX} changes of orders wait to be taken.")
        return waiting + newer

    return Feed(
        "orders",
        "",
        watch=lambda exchange: exchange.watch_orders(),
        unwatch=lambda exchange: exchange.un_watch_orders(),
        unwatch_feature="unWatchOrders",
        take=lambda answer: tuple(order_parse.orders(answer)) or None,
        merge=merge,
    )


def fills_feed() -> Feed[tuple[VenueFill, ...]]:
    """The account's executions, each once; who falls too far behind is told so by an error."""
    seen: dict[tuple[str, str], None] = {}

    def take(answer: object) -> tuple[VenueFill, ...] | None:
        new = []
        for fill in order_parse.fills(answer):
            if (fill.symbol, fill.trade_id) not in seen:
                seen[fill.symbol, fill.trade_id] = None
                new.append(fill)
        while len(seen) > IDS_REMEMBERED:
            del seen[next(iter(seen))]
        return tuple(new) or None

    def merge(waiting: tuple[VenueFill, ...], newer: tuple[VenueFill, ...]) -> tuple[VenueFill, ...]:
        if len(waiting) + len(newer) > FILLS_WAITING_MAX:
            raise PluginError(f"More than {FILLS_WAITING_MAX} executions wait to be taken.")
        return waiting + newer

    return Feed(
        "my_trades",
        "",
        watch=lambda exchange: exchange.watch_my_trades(),
        unwatch=lambda exchange: exchange.un_watch_my_trades(),
        unwatch_feature="unWatchMyTrades",
        take=take,
        merge=merge,
    )


def balances_feed() -> Feed[bool]:
    """That balances have changed."""
    return Feed(
        "balances",
        "",
        watch=lambda exchange: exchange.watch_balance(),
        unwatch=lambda exchange: exchange.un_watch_balance(),
        unwatch_feature="unWatchBalance",
        take=lambda _answer: True,
        merge=lambda _waiting, _newer: True,
    )


def positions_feed() -> Feed[bool]:
    """That positions have changed."""
    return Feed(
        "positions",
        "",
        watch=lambda exchange: exchange.watch_positions(),
        unwatch=lambda exchange: exchange.un_watch_positions(),
        unwatch_feature="unWatchPositions",
        take=lambda _answer: True,
        merge=lambda _waiting, _newer: True,
    )


async def one_by_one(stream: AsyncIterator[tuple[_T, ...]]) -> AsyncIterator[_T]:
    """The items of a stream of batches; closing it closes the stream."""
    try:
        async for batch in stream:
            for item in batch:
                yield item
    finally:
        await stream.aclose()  # type: ignore[attr-defined]


async def after_each(stream: AsyncIterator[bool], read: Callable[[], Awaitable[_T]]) -> AsyncIterator[_T]:
    """What is read after each item of a stream, once for all that came while it was being read; closing it
    closes the stream."""
    try:
        async for _ in stream:
            yield await read()
    finally:
        await stream.aclose()  # type: ignore[attr-defined]
