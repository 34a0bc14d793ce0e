"""Turns Alpaca's market data into ours; refuses or drops what no market can have said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from tradewright.domain.bars import BarRow, Bars, impossible_rows
from tradewright.domain.instruments import Split
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ticks import OrderBook, PriceLevel, Side, Ticker, Trade
from tradewright.domain.timeframes import DAY_MS, Timeframe
from tradewright.plugins._alpaca_errors import malformed
from tradewright.plugins._alpaca_times import date_ms, our_opening, time_ms
from tradewright.plugins._left_out import left_out

_SIDES: Final[Mapping[str, Side]] = {"B": "buy", "S": "sell"}


def is_stock(symbol: str) -> bool:
    """Stocks are named by their ticker, pairs of crypto hold a slash."""
    return "/" not in symbol


def table(answer: object, what: str) -> Mapping[str, Any]:
    """The answer, which has to be an object."""
    if not isinstance(answer, Mapping):
        raise malformed(f"{what} is no object")
    return answer


def rows(answer: object, what: str) -> Sequence[Any]:
    """The answer, which has to be a list; nothing at all counts as an empty one."""
    if answer is None:
        return ()
    if not isinstance(answer, Sequence) or isinstance(answer, str | bytes):
        raise malformed(f"{what} is no list")
    return answer


def number(value: object) -> float | None:
    """A finite float, or None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def positive(value: object) -> float | None:
    """A number above zero; Alpaca writes 0 where there is no price."""
    found = number(value)
    return found if found is not None and found > 0 else None


def bar_row(row: object, timeframe: Timeframe, *, stock: bool) -> BarRow | None:
    """One bar, stamped as ours are; None where it can't be right."""
    if not isinstance(row, Mapping):
        return None
    their_ms = time_ms(row.get("t"))
    at = None if their_ms is None else our_opening(their_ms, timeframe, stock=stock)
    opened, high, low, close, volume = (number(row.get(name)) for name in "ohlcv")
    if at is None or opened is None or high is None or low is None or close is None or volume is None:
        return None
    return at, opened, high, low, close, volume


def bar_rows(listed: Sequence[Any], timeframe: Timeframe, *, stock: bool) -> tuple[list[BarRow], int]:
    """The sound bars, and how many were dropped."""
    found = [row for row in (bar_row(each, timeframe, stock=stock) for each in listed) if row is not None]
    if found:
        bad = impossible_rows(Bars.from_rows(found)).tolist()
        found = [row for row, is_bad in zip(found, bad, strict=True) if not is_bad]
    return found, len(listed) - len(found)


def bars_left_out(listed: Sequence[Any], sound: Bars, timeframe: Timeframe, *, stock: bool) -> IntervalSet:
    """The bars that there were rows of, and that are not among the ``sound`` ones."""

    def opening(row: object) -> int | None:
        their_ms = time_ms(row.get("t")) if isinstance(row, Mapping) else None
        return None if their_ms is None else our_opening(their_ms, timeframe, stock=stock) or their_ms

    return left_out(map(opening, listed), sound, timeframe)


def trade(row: object, *, stock: bool) -> Trade | None:
    """One trade; None where it can't be right.

    Ids of stocks are unique per exchange and day alone, so that theirs hold the time and the exchange.
    """
    if not isinstance(row, Mapping):
        return None
    at, price, amount = time_ms(row.get("t")), positive(row.get("p")), positive(row.get("s"))
    if at is None or price is None or amount is None or row.get("i") is None:
        return None
    named = f"{row['t']}:{row.get('x', '')}:{row['i']}" if stock else str(row["i"])
    taker = row.get("tks")
    return Trade(at, named, _SIDES.get(taker) if isinstance(taker, str) else None, price, amount)


def trades(listed: Sequence[Any], *, stock: bool) -> tuple[list[Trade], int]:
    """The sound trades, oldest first, and how many were dropped; an error where none is sound."""
    found = {each.id: each for each in (trade(row, stock=stock) for row in listed) if each is not None}
    if listed and not found:
        raise malformed(f"none of {len(listed)} trades is sound")
    ordered = sorted(found.values(), key=lambda each: each.time)
    return ordered, len(listed) - len(found)


@dataclass(frozen=True, slots=True)
class Quote:
    """The best bid and ask at ``t``; a side without an offer is None."""

    t: int
    bid: PriceLevel | None
    ask: PriceLevel | None

    @property
    def sound(self) -> bool:
        """Whether both sides are there and do not cross."""
        return self.bid is not None and self.ask is not None and self.bid[0] < self.ask[0]

    def book(self) -> OrderBook:
        """The book of one level that this is."""
        return OrderBook(t=self.t, bids=(self.bid,) if self.bid else (), asks=(self.ask,) if self.ask else ())


def quote(row: object) -> Quote | None:
    """A quote; None where it is none."""
    at = time_ms(row.get("t")) if isinstance(row, Mapping) else None
    if at is None or not isinstance(row, Mapping):
        return None
    return Quote(at, _level(row.get("bp"), row.get("bs")), _level(row.get("ap"), row.get("as")))


def _level(price: object, amount: object) -> PriceLevel | None:
    price, amount = positive(price), positive(amount)
    return None if price is None or amount is None else (price, amount)


def levels(listed: object) -> list[PriceLevel]:
    """The levels of one side of a book, amounts of zero among them, as they were sent."""
    found: list[PriceLevel] = []
    for row in rows(listed, "a side of the order book"):
        price, amount = (number(row.get(name)) for name in "ps") if isinstance(row, Mapping) else (None, None)
        if price is None or amount is None or price <= 0 or amount < 0:
            raise malformed("a level of the order book is none")
        found.append((price, amount))
    return found


def order_book(answer: object) -> OrderBook:
    """The whole book of one answer, best level first; an error where it is empty or crossed."""
    book = table(answer, "the order book")
    at = time_ms(book.get("t"))
    bids = sorted((level for level in levels(book.get("b")) if level[1]), reverse=True)
    asks = sorted(level for level in levels(book.get("a")) if level[1])
    result = OrderBook(t=at or 0, bids=tuple(bids), asks=tuple(asks))
    if at is None or not (bids or asks) or result.crossed:
        raise malformed("the order book is crossed, empty or without a time")
    return result


@dataclass(frozen=True, slots=True)
class DayFigures:
    """The running day of a market (for stocks its session), and the last price of the day before."""

    high: float | None = None
    low: float | None = None
    volume: float | None = None
    quote_volume: float | None = None
    previous_close: float | None = None

    @classmethod
    def of(cls, bar: object, previous: object) -> DayFigures:
        """From the two daily bars of a snapshot, either of which may be missing."""
        day = bar if isinstance(bar, Mapping) else {}
        before = previous if isinstance(previous, Mapping) else {}
        volume, mean = number(day.get("v")), number(day.get("vw"))
        return cls(
            positive(day.get("h")),
            positive(day.get("l")),
            volume,
            None if volume is None or mean is None else volume * mean,
            positive(before.get("c")),
        )


def ticker(last: Trade | None, best: Quote | None, day: DayFigures, now_ms: int) -> Ticker:
    """What these say together; ``MalformedAnswerPluginError`` where there is no last price."""
    if last is None:
        raise malformed("the ticker holds no price")
    sound = best if best is not None and best.sound else None
    change = None
    if day.previous_close:
        change = (last.price - day.previous_close) / day.previous_close * 100
    return Ticker(
        t=min(max(last.time, sound.t if sound else 0), now_ms) or now_ms,
        last=last.price,
        bid=sound.bid[0] if sound and sound.bid else None,
        ask=sound.ask[0] if sound and sound.ask else None,
        high=None if day.high is None else max(day.high, last.price),
        low=None if day.low is None else min(day.low, last.price),
        volume=day.volume,
        quote_volume=day.quote_volume,
        change_percent=change,
    )


def splits(answers: Sequence[Mapping[str, Any]], symbol: str, now_ms: int) -> list[Split]:
    """The splits of the symbol that have happened, ascending; of two on one day, the product."""
    found: dict[int, Decimal] = {}
    seen: list[object] = []
    for answer in answers:
        actions = table(answer.get("corporate_actions"), "the corporate actions")
        for kind in ("forward_splits", "reverse_splits"):
            for row in rows(actions.get(kind), kind):
                named = row.get("id") if isinstance(row, Mapping) else None
                if not isinstance(row, Mapping) or row.get("symbol") != symbol or named in seen:
                    continue
                if not isinstance(named, str):
                    raise malformed("a split has no id")
                seen.append(named)
                time, ratio = date_ms(row.get("ex_date")), _ratio(row.get("new_rate"), row.get("old_rate"))
                if time is None or ratio is None:
                    raise malformed("a split has no date or no rates")
                if time <= now_ms // DAY_MS * DAY_MS:
                    found[time] = found.get(time, Decimal(1)) * ratio
    return [Split(time, found[time]) for time in sorted(found)]


def _ratio(new: object, old: object) -> Decimal | None:
    if not isinstance(new, int | Decimal) or not isinstance(old, int | Decimal) or new <= 0 or old <= 0:
        return None
    return Decimal(new) / Decimal(old)
