"""What each kind of stream makes of Alpaca's messages: new bars, tickers, books, trades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from tradewright.domain.bars import BarRow, Bars, impossible_rows
from tradewright.domain.errors import PluginError
from tradewright.domain.ticks import BOOK_DEPTH, OrderBook, PriceLevel, Ticker, Trade
from tradewright.domain.timeframes import ONE_MINUTE
from tradewright.plugins import _alpaca_parse as parse
from tradewright.plugins._alpaca_errors import malformed
from tradewright.plugins._alpaca_socket import Feed
from tradewright.plugins._alpaca_times import time_ms
from tradewright.plugins.base import BarUpdate
from tradewright.runtime.clock import Clock

KINDS: Final = ("ohlcv", "trades", "ticker", "order_book")
TRADES_WAITING_MAX: Final = 10_000
IDS_REMEMBERED: Final = 5_000
MINUTES_REMEMBERED: Final = 5
CROSSED_IN_ROW_MAX: Final = 50
CLOCK_TOLERANCE_MS: Final = 1_000

VOLUME_ONLY: Final = frozenset("BCGHIMNPQRUVWZ479")
"""Conditions of trades that count towards a bar's volume but not its prices (odd lots, late reports, …)."""


def bars_feed(symbol: str, now_ms: Callable[[], int]) -> Feed[BarUpdate]:
    """Minutes: each as the venue closed it, corrected where it corrects it, and the forming one made of the
    trades since its beginning. The venue's own minute takes the place of ours. ``now_ms`` is its time."""
    minutes = _Minutes(symbol, now_ms)

    def merge(waiting: BarUpdate, newer: BarUpdate) -> BarUpdate:
        return BarUpdate(waiting.bars.merged_with(newer.bars), newer.final, waiting.told | newer.told)

    return Feed("ohlcv", symbol, ("bars", "updatedBars", "trades"), minutes.take, merge)


class _Minutes:
    """The last few minutes of one symbol, as far as they were seen."""

    def __init__(self, symbol: str, now_ms: Callable[[], int]) -> None:
        self._stock = parse.is_stock(symbol)
        self._now_ms = now_ms
        self._rows: dict[int, BarRow] = {}
        self._told: set[int] = set()
        self._closed_until_ms = 0
        # The minute in which we began is not known from its beginning.
        self._whole_from_ms = ONE_MINUTE.end(ONE_MINUTE.floor(now_ms()))

    def take(self, channel: str, message: Any) -> BarUpdate | None:
        return self._trade(message) if channel == "trades" else self._bar(message)

    def _bar(self, message: Any) -> BarUpdate:
        row = parse.bar_row(message, ONE_MINUTE, stock=self._stock)
        if row is None or impossible_rows(Bars.from_rows([row]))[0]:
            raise malformed("a minute of its stream can't be right")
        ends_ms = ONE_MINUTE.end(row[0])
        if ends_ms <= self._now_ms() + CLOCK_TOLERANCE_MS:
            self._closed_until_ms = max(self._closed_until_ms, ends_ms)
            self._told.add(row[0])
        self._rows[row[0]] = row
        return self._changed_since(row[0])

    def _trade(self, message: Any) -> BarUpdate | None:
        trade = parse.trade(message, stock=self._stock)
        if trade is None:
            raise malformed("a trade of its stream can't be right")
        at = ONE_MINUTE.floor(trade.time)
        newest_ms = max(self._rows, default=0)
        if at < max(self._whole_from_ms, self._closed_until_ms, newest_ms):
            return None  # a minute that was not seen whole, or that the venue has told already
        if at > ONE_MINUTE.floor(self._now_ms() + CLOCK_TOLERANCE_MS):
            return None
        conditions = message.get("c") if isinstance(message, Mapping) else None
        priced = not (isinstance(conditions, list) and VOLUME_ONLY.intersection(map(str, conditions)))
        row = self._rows.get(at)
        if row is None:
            if not priced:
                return None
            price = trade.price
            self._rows[at] = at, price, price, price, price, trade.amount
        else:
            _, opened, high, low, close, volume = row
            if priced:
                high, low, close = max(high, trade.price), min(low, trade.price), trade.price
            self._rows[at] = at, opened, high, low, close, volume + trade.amount
        return self._changed_since(at)

    def _changed_since(self, first_ms: int) -> BarUpdate:
        """From the first changed minute on, so that the last one is always the newest."""
        for at in sorted(self._rows)[:-MINUTES_REMEMBERED]:
            del self._rows[at]
            self._told.discard(at)
        rows = [self._rows[at] for at in sorted(self._rows) if at >= first_ms]
        if not rows:  # a correction of a minute long gone
            rows = [self._rows[max(self._rows)]]
        final = ONE_MINUTE.end(rows[-1][0]) <= self._closed_until_ms
        told = frozenset(row[0] for row in rows if row[0] in self._told)
        return BarUpdate(Bars.from_rows(rows), final, told)


def trades_feed(symbol: str) -> Feed[tuple[Trade, ...]]:
    """New trades, each id once; who falls too far behind is told so by an error."""
    seen: dict[str, None] = {}
    stock = parse.is_stock(symbol)

    def take(_channel: str, message: Any) -> tuple[Trade, ...] | None:
        trade = parse.trade(message, stock=stock)
        if trade is None:
            raise malformed("a trade of its stream can't be right")
        if trade.id in seen:
            return None
        seen[trade.id] = None
        if len(seen) > IDS_REMEMBERED:
            for old in tuple(islice(seen, IDS_REMEMBERED // 2)):
                del seen[old]
        return (trade,)

    def merge(waiting: tuple[Trade, ...], newer: tuple[Trade, ...]) -> tuple[Trade, ...]:
        if len(waiting) + len(newer) > TRADES_WAITING_MAX:
            raise PluginError(f"More than {TRADES_WAITING_MAX} trades of {symbol} wait to be taken.")
        return waiting + newer

    return Feed("trades", symbol, ("trades",), take, merge)


def ticker_feed(
    symbol: str, last: Trade | None, best: parse.Quote | None, day: parse.DayFigures, clock: Clock
) -> Feed[Ticker]:
    """The ticker at each change, beginning from a snapshot; who is slow gets the latest."""
    stock = parse.is_stock(symbol)

    def take(channel: str, message: Any) -> Ticker | None:
        nonlocal last, best, day
        if channel == "trades":
            trade = parse.trade(message, stock=stock)
            if trade is None:
                raise malformed("a trade of its stream can't be right")
            last = trade
        elif channel == "quotes":
            best = parse.quote(message)
            if best is None:
                raise malformed("a quote of its stream can't be right")
            if not best.sound:
                return None
        else:
            figures = parse.DayFigures.of(message, None)
            day = replace(figures, previous_close=day.previous_close)
        return parse.ticker(last, best, day, clock.now_ms())

    channels = ("trades", "quotes", "dailyBars")
    return Feed("ticker", symbol, channels, take, lambda _waiting, newer: newer, keeps_state=True)


def quote_book_feed(symbol: str) -> Feed[OrderBook]:
    """The best bid and ask of a stock as a book of one level; without one of them it is none."""

    def take(_channel: str, message: Any) -> OrderBook | None:
        best = parse.quote(message)
        if best is None:
            raise malformed("a quote of its stream can't be right")
        return best.book() if best.sound else None

    return Feed("order_book", symbol, ("quotes",), take, lambda _waiting, newer: newer, keeps_state=True)


def order_book_feed(symbol: str) -> Feed[OrderBook]:
    """Whole books of ``BOOK_DEPTH`` levels, from the venue's whole one and its changes. A crossed book is
    left out, and when it stays crossed the stream fails, so that it is begun again."""
    book = _Book(symbol)
    return Feed(
        "order_book", symbol, ("orderbooks",), book.take, lambda _waiting, newer: newer, keeps_state=True
    )


class _Book:
    """The levels of one pair by price."""

    def __init__(self, symbol: str) -> None:
        self._symbol = symbol
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self._whole = False
        self._crossed = 0

    def take(self, _channel: str, message: Any) -> OrderBook | None:
        at = time_ms(message.get("t"))
        if at is None:
            raise malformed("a book of its stream has no time")
        if message.get("r") is True:
            self._bids.clear()
            self._asks.clear()
            self._whole = True
        for side, changes in ((self._bids, message.get("b")), (self._asks, message.get("a"))):
            for price, amount in parse.levels(changes):
                if amount:
                    side[price] = amount
                else:
                    side.pop(price, None)
        if not self._whole or not self._bids or not self._asks:
            return None
        result = OrderBook(t=at, bids=_best(self._bids, reverse=True), asks=_best(self._asks, reverse=False))
        self._crossed = self._crossed + 1 if result.crossed else 0
        if self._crossed > CROSSED_IN_ROW_MAX:
            raise malformed(f"the order book of {self._symbol} stays crossed")
        return None if result.crossed else result


def _best(side: Mapping[float, float], *, reverse: bool) -> tuple[PriceLevel, ...]:
    return tuple((price, side[price]) for price in sorted(side, reverse=reverse)[:BOOK_DEPTH])
