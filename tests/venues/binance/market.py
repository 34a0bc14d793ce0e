"""The state of one symbol as the venue would know it now: trades, klines, book, 24 h figures."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Final

from tests.venues.binance.capture import BookSnapshot, Level
from tests.venues.binance.klines import Kline, KlineBoard, eight

DAY_MS: Final = 86_400_000
TRADES_KEPT: Final = 50_000
_NO_LEVEL: Final[Level] = ("0.00000000", "0.00000000")


@dataclass(frozen=True, slots=True)
class VenueTrade:
    """One trade with its times on the venue's clock."""

    id: int
    price: Decimal
    amount: Decimal
    time_ms: int
    event_ms: int
    buyer_is_maker: bool

    def row(self) -> dict[str, object]:
        """The REST form."""
        return {
            "id": self.id,
            "price": eight(self.price),
            "qty": eight(self.amount),
            "quoteQty": eight(self.price * self.amount),
            "time": self.time_ms,
            "isBuyerMaker": self.buyer_is_maker,
            "isBestMatch": True,
        }

    def event(self, symbol: str) -> dict[str, object]:
        """The websocket form."""
        return {
            "e": "trade",
            "E": self.event_ms,
            "s": symbol,
            "t": self.id,
            "p": eight(self.price),
            "q": eight(self.amount),
            "T": self.time_ms,
            "m": self.buyer_is_maker,
            "M": True,
        }

    def as_kline(self) -> Kline:
        """A kline of this one trade."""
        quote = self.price * self.amount
        taken = Decimal(0) if self.buyer_is_maker else self.amount
        taken_quote = Decimal(0) if self.buyer_is_maker else quote
        return Kline(
            open_ms=self.time_ms,
            end_ms=self.time_ms + 1,
            open=self.price,
            high=self.price,
            low=self.price,
            close=self.price,
            volume=self.amount,
            quote_volume=quote,
            trades=1,
            taker_volume=taken,
            taker_quote_volume=taken_quote,
            first_trade_id=self.id,
            last_trade_id=self.id,
        )


@dataclass(frozen=True, slots=True)
class AggregateTrade:
    """Trades of one taker order at one price."""

    id: int
    price: Decimal
    amount: Decimal
    first_id: int
    last_id: int
    time_ms: int
    buyer_is_maker: bool

    def row(self) -> dict[str, object]:
        """The REST form; the websocket form adds `e`, `E` and `s`."""
        return {
            "a": self.id,
            "p": eight(self.price),
            "q": eight(self.amount),
            "f": self.first_id,
            "l": self.last_id,
            "T": self.time_ms,
            "m": self.buyer_is_maker,
            "M": True,
        }


class Book:
    """Levels by price, changed by snapshots and diffs."""

    def __init__(self) -> None:
        self.last_id = 0
        self._bids: dict[Decimal, str] = {}
        self._asks: dict[Decimal, str] = {}

    def reset(self, snapshot: BookSnapshot, last_id: int) -> tuple[list[Level], list[Level]]:
        """Take over a snapshot; returns the changes (bids, asks) that lead to it from before."""
        self.last_id = last_id
        bids = {Decimal(price): amount for price, amount in snapshot.bids}
        asks = {Decimal(price): amount for price, amount in snapshot.asks}
        changes = _difference(self._bids, bids), _difference(self._asks, asks)
        self._bids, self._asks = bids, asks
        return changes

    def apply(self, bids: Iterable[Level], asks: Iterable[Level], last_id: int) -> None:
        """Change levels; an amount of zero removes one."""
        self.last_id = last_id
        for side, levels in ((self._bids, bids), (self._asks, asks)):
            for price, amount in levels:
                if Decimal(amount):
                    side[Decimal(price)] = amount
                else:
                    side.pop(Decimal(price), None)

    def top(self, limit: int) -> tuple[list[Level], list[Level]]:
        """The best `limit` bids and asks."""
        bids, asks = heapq.nlargest(limit, self._bids), heapq.nsmallest(limit, self._asks)
        return [(eight(p), self._bids[p]) for p in bids], [(eight(p), self._asks[p]) for p in asks]


def _difference(before: dict[Decimal, str], after: dict[Decimal, str]) -> list[Level]:
    gone = [(eight(price), "0.00000000") for price in before if price not in after]
    new = [(eight(price), amount) for price, amount in after.items() if before.get(price) != amount]
    return gone + new


class SpotMarket:
    """One symbol. Everything in it has happened: it never holds a trade of the future."""

    def __init__(self, symbol: str, base: str, quote: str, tick: str, step: str) -> None:
        self.symbol = symbol
        self.base = base
        self.quote = quote
        self.tick = tick
        self.step = step
        self.trades: deque[VenueTrade] = deque(maxlen=TRADES_KEPT)
        self.aggregates: deque[AggregateTrade] = deque(maxlen=TRADES_KEPT)
        self.klines = KlineBoard()
        self.book = Book()
        self.best: tuple[int, Level, Level] = (0, _NO_LEVEL, _NO_LEVEL)
        self._open_aggregate: list[VenueTrade] = []
        self._aggregate_id = 1_000_000

    def add_trade(self, trade: VenueTrade, *, closes_aggregate: bool, klines: bool = True) -> None:
        """A trade happened; with `klines` false, candles are given apart."""
        self.trades.append(trade)
        if klines:
            self.klines.add(trade.as_kline(), trade.time_ms)
        self._open_aggregate.append(trade)
        if closes_aggregate:
            self.aggregates.append(self._aggregate())

    def _aggregate(self) -> AggregateTrade:
        first, last = self._open_aggregate[0], self._open_aggregate[-1]
        amount = sum((trade.amount for trade in self._open_aggregate), Decimal(0))
        self._open_aggregate = []
        self._aggregate_id += 1
        return AggregateTrade(
            self._aggregate_id, first.price, amount, first.id, last.id, first.time_ms, first.buyer_is_maker
        )

    def day(self, now_ms: int) -> Kline | None:
        """The last 24 hours (whole minutes) as one kline; None where nothing was traded."""
        minutes = self.klines.series("1m").since(now_ms - DAY_MS)
        if not minutes:
            return None
        first = minutes[0]
        whole = Kline(first.open_ms, now_ms, first.open, first.high, first.low, first.close, Decimal(0))
        for minute in minutes:
            whole.merge(minute)
        return whole

    @property
    def last_price(self) -> Decimal:
        """The price of the newest trade or candle; zero before the first."""
        newest = self.klines.series("1m").newest
        return self.trades[-1].price if self.trades else newest.close if newest else Decimal(0)

    def ticker(self, now_ms: int) -> dict[str, object]:
        """The REST form of the rolling 24 h ticker."""
        day = self.day(now_ms)
        last = self.last_price
        opened = day.open if day else last
        _, bid, ask = self.best
        figures: dict[str, Decimal] = {
            "priceChange": last - opened,
            "weightedAvgPrice": day.quote_volume / day.volume if day and day.volume else Decimal(0),
            "prevClosePrice": opened,
            "lastPrice": last,
            "lastQty": self.trades[-1].amount if self.trades else Decimal(0),
            "openPrice": opened,
            "highPrice": day.high if day else last,
            "lowPrice": day.low if day else last,
            "volume": day.volume if day else Decimal(0),
            "quoteVolume": day.quote_volume if day else Decimal(0),
        }
        return {
            "symbol": self.symbol,
            **{name: eight(value) for name, value in figures.items()},
            "priceChangePercent": f"{(last - opened) / opened * 100 if opened else Decimal(0):.3f}",
            "bidPrice": bid[0],
            "bidQty": bid[1],
            "askPrice": ask[0],
            "askQty": ask[1],
            "openTime": now_ms - DAY_MS,
            "closeTime": now_ms,
            "firstId": day.first_trade_id if day else -1,
            "lastId": day.last_trade_id if day else -1,
            "count": day.trades if day else 0,
        }

    def trades_from(self, trade_id: int, limit: int) -> list[VenueTrade]:
        """The first `limit` trades whose id is at least that."""
        return [trade for trade in self.trades if trade.id >= trade_id][:limit]

    def aggregates_between(
        self, start_ms: int | None, end_ms: int | None, from_id: int | None, limit: int
    ) -> list[AggregateTrade]:
        """Aggregate trades of a time span or from an id on; the newest ones where nothing is said."""
        chosen = sorted(self.aggregates, key=attrgetter("id"))
        if from_id is not None:
            return [one for one in chosen if one.id >= from_id][:limit]
        if end_ms is not None:
            chosen = [one for one in chosen if one.time_ms <= end_ms]
        if start_ms is not None:
            return [one for one in chosen if one.time_ms >= start_ms][:limit]
        return chosen[-limit:]
