"""Turns CCXT's unified structures into ours; refuses or drops what no market can have said."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.bars import BarRow, Bars, PageOfBars, impossible_rows
from tradewright.domain.errors import (
    InvalidInput,
    MalformedAnswerPluginError,
)
from tradewright.domain.instruments import Instrument, OrderType, check_symbol
from tradewright.domain.ticks import OrderBook, PriceLevel, Side, Ticker, Trade
from tradewright.domain.timeframes import Timeframe
from tradewright.plugins._ccxt_quirks import stops_of_market
from tradewright.plugins._left_out import left_out

MARKET: Final = "crypto"
MOST_TRADED_MAX: Final = 100
_DECIMAL_PLACES: Final = 2
_TICK_SIZE: Final = 4
_TIME_MS_MAX: Final = 253_402_300_800_000  # the year 10000

_ORDER_TYPES: Final[Mapping[str, OrderType]] = {
    "createMarketOrder": "market",
    "createLimitOrder": "limit",
    "createStopMarketOrder": "stop",
    "createStopLimitOrder": "stop_limit",
}


def number(value: object) -> float | None:
    """A finite float, or None for everything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        result = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return result if math.isfinite(result) else None


def time_ms(value: object) -> int | None:
    """An epoch time in milliseconds, or None for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < _TIME_MS_MAX:
        return None
    return int(value)


def page_of_bars(answer: object, timeframe: Timeframe) -> tuple[Bars, int]:
    """The sound rows of an OHLCV answer as bars, sorted, of those of one time the last; and how many rows
    were dropped, where the page tells of each which bar it was.
    Raises as ``bar_rows``, whose answer it is, only quicker where all is plain numbers."""
    found, dropped = _sound_bars(answer, timeframe)
    if not dropped or not isinstance(answer, Sequence):
        return found, dropped
    return PageOfBars.of(found, left_out(map(_time_of, answer), found, timeframe)), dropped


def _sound_bars(answer: object, timeframe: Timeframe) -> tuple[Bars, int]:
    table = _table(answer)
    if table is None:
        rows, dropped = bar_rows(answer, timeframe)
        return Bars.from_unordered(rows), dropped
    in_time = table[(table[:, 0] > 0) & (table[:, 0] < _TIME_MS_MAX)]
    time = in_time[:, 0].astype(np.int64)
    opened, high, low, close, volume = np.ascontiguousarray(in_time[:, 1:].T)
    found = Bars(time, opened, high, low, close, volume)
    found = found.take((timeframe.floor_array(time) == time) & ~impossible_rows(found))
    if not len(found):
        raise _none_sound(table.tolist(), timeframe)
    dropped = len(table) - len(found)
    if (np.diff(found.time) <= 0).any():
        found = found.take(np.argsort(found.time, kind="stable"))
        found = found.take(np.append(np.diff(found.time) > 0, True))
    return found, dropped


def _table(answer: object) -> NDArray[np.float64] | None:
    """The first six columns; None where a row is short or a value is no number."""
    if not isinstance(answer, list) or not answer or set(map(type, answer)) != {list}:
        return None
    rows = [row[:6] for row in answer]
    if not {kind for row in rows for kind in map(type, row)} <= {int, float}:
        return None
    try:
        table = np.array(rows, dtype=np.float64)
    except (OverflowError, ValueError):
        return None
    return table if table.ndim == 2 and table.shape[1] == 6 else None


def bar_rows(answer: object, timeframe: Timeframe) -> tuple[list[BarRow], int]:
    """The sound rows among those of an OHLCV answer, and how many were dropped.

    Raises ``MalformedAnswerPluginError`` where the answer is no list of rows or no row is sound.
    """
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        raise MalformedAnswerPluginError("The venue's bars are no list.")
    rows = [row for row in map(_bar_row, answer) if row is not None and timeframe.floor(row[0]) == row[0]]
    if rows:
        bad = impossible_rows(Bars.from_rows(rows))
        rows = [row for row, is_bad in zip(rows, bad.tolist(), strict=True) if not is_bad]
    if len(answer) and not rows:
        raise _none_sound(answer, timeframe)
    return rows, len(answer) - len(rows)


def _none_sound(answer: Sequence[object], timeframe: Timeframe) -> MalformedAnswerPluginError:
    return MalformedAnswerPluginError(
        f"None of the venue's {len(answer)} bars can be right.",
        unknown=left_out(map(_time_of, answer), Bars.empty(), timeframe),
    )


def _time_of(row: object) -> int | None:
    return time_ms(row[0]) if isinstance(row, Sequence) and not isinstance(row, str) and row else None


def _bar_row(row: object) -> BarRow | None:
    if not isinstance(row, Sequence) or isinstance(row, str) or len(row) < 6:
        return None
    at = time_ms(row[0])
    opened, high, low, close, volume = (number(value) for value in row[1:6])
    if at is None or opened is None or high is None or low is None or close is None or volume is None:
        return None
    return at, opened, high, low, close, volume


def ticker(answer: Mapping[str, Any], now_ms: int) -> Ticker:
    """A ticker; ``MalformedAnswerPluginError`` where it holds no price at all."""
    result = Ticker(
        t=time_ms(answer.get("timestamp")) or now_ms,
        last=number(answer.get("last")),
        bid=number(answer.get("bid")),
        ask=number(answer.get("ask")),
        high=number(answer.get("high")),
        low=number(answer.get("low")),
        volume=number(answer.get("baseVolume")),
        quote_volume=number(answer.get("quoteVolume")),
        change_percent=number(answer.get("percentage")),
    )
    if result.last is None and result.bid is None and result.ask is None:
        raise MalformedAnswerPluginError("The venue's ticker holds no price.")
    return result


def most_traded(tickers: object, markets: Mapping[str, Any]) -> list[str]:
    """Symbols by their quote volume, the most first, at most ``MOST_TRADED_MAX`` of each kind of market.

    Volumes in different currencies are no measure of one another, so of each kind those are taken that
    are quoted in the currency in which most are.
    """
    kinds: dict[str, dict[str, list[tuple[float, str]]]] = {}
    for symbol, row in tickers.items() if isinstance(tickers, Mapping) else ():
        market = markets.get(symbol)
        volume = number(row.get("quoteVolume")) if isinstance(row, Mapping) else None
        if market is not None and volume is not None and volume > 0:
            quotes = kinds.setdefault(str(market.get("type")), {})
            quotes.setdefault(str(market.get("quote")), []).append((volume, symbol))
    chosen = [max(quotes.values(), key=len) for quotes in kinds.values()]
    return [symbol for rows in chosen for _, symbol in sorted(rows, reverse=True)[:MOST_TRADED_MAX]]


def order_book(answer: Mapping[str, Any], now_ms: int, depth: int) -> OrderBook:
    """The best ``depth`` levels; ``MalformedAnswerPluginError`` where a level is none."""
    return OrderBook(
        t=time_ms(answer.get("timestamp")) or now_ms,
        bids=_levels(answer.get("bids"), depth),
        asks=_levels(answer.get("asks"), depth),
    )


def _levels(side: object, depth: int) -> tuple[PriceLevel, ...]:
    if not isinstance(side, Sequence) or isinstance(side, str):
        raise MalformedAnswerPluginError("The venue's order book lacks a side.")
    levels: list[PriceLevel] = []
    for level in side[:depth]:
        price, amount = (number(value) for value in level[:2])
        if price is None or amount is None or price <= 0 or amount <= 0:
            raise MalformedAnswerPluginError("A level of the venue's order book can't be right.")
        levels.append((price, amount))
    return tuple(levels)


def trades(answer: object) -> tuple[list[Trade], int]:
    """The sound trades in the venue's order, and how many were dropped.

    A venue without trade ids gets ids made of what the trade is, so that it is the same when seen again.
    """
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        raise MalformedAnswerPluginError("The venue's trades are no list.")
    alike: Counter[str] = Counter()
    result: list[Trade] = []
    for row in answer:
        trade = _trade(row, alike) if isinstance(row, Mapping) else None
        if trade is not None:
            result.append(trade)
    if len(answer) and not result:
        raise MalformedAnswerPluginError(f"None of the venue's {len(answer)} trades can be right.")
    return result, len(answer) - len(result)


def _trade(row: Mapping[str, Any], alike: Counter[str]) -> Trade | None:
    at, price, amount = time_ms(row.get("timestamp")), number(row.get("price")), number(row.get("amount"))
    if at is None or price is None or amount is None or price <= 0 or amount <= 0:
        return None
    named = row.get("side")
    side: Side | None = named if named in ("buy", "sell") else None
    if row.get("id") is not None:
        return Trade(at, str(row["id"]), side, price, amount)
    made = f"{at}-{side}-{price!r}-{amount!r}"
    alike[made] += 1
    return Trade(at, f"{made}-{alike[made]}", side, price, amount)


def instruments(exchange: Any) -> list[Instrument]:
    """All spot markets and perpetual swaps by symbol, without those whose name we can't carry."""
    order_types = exchange_order_types(exchange)
    result = []
    for market in exchange.markets.values():
        if market.get("type") not in ("spot", "swap"):
            continue
        try:
            check_symbol(market["symbol"])
        except InvalidInput:
            continue
        types = market_order_types(exchange.id, market, order_types)
        result.append(_instrument(market, exchange.precisionMode, types))
    return sorted(result, key=lambda instrument: instrument.symbol)


def exchange_order_types(exchange: Any) -> tuple[OrderType, ...]:
    """The types that CCXT can place at the exchange."""
    return tuple(ours for theirs, ours in _ORDER_TYPES.items() if exchange.has.get(theirs) is True)


def market_order_types(
    provider: str, market: Mapping[str, Any], types: tuple[OrderType, ...]
) -> tuple[OrderType, ...]:
    """The exchange's types, but for stop orders as the market itself says, where it does."""
    stops = stops_of_market(provider, market)
    if stops is None or stops == ("stop" in types):
        return types
    return (*types, "stop") if stops else tuple(one for one in types if one != "stop")


def _instrument(market: Mapping[str, Any], mode: int, order_types: tuple[OrderType, ...]) -> Instrument:
    precision, limits = market.get("precision") or {}, market.get("limits") or {}
    return Instrument(
        market=MARKET,
        symbol=market["symbol"],
        base=str(market.get("base") or ""),
        quote=str(market.get("quote") or ""),
        type=market["type"],
        active=market.get("active") is not False,
        price_tick=step(precision.get("price"), mode),
        amount_step=step(precision.get("amount"), mode),
        min_amount=positive((limits.get("amount") or {}).get("min")),
        min_cost=positive((limits.get("cost") or {}).get("min")),
        order_types=order_types,
    )


def step(value: object, mode: int) -> Decimal | None:
    """The smallest step of a price or amount; None where CCXT does not know, or counts digits."""
    if mode == _TICK_SIZE:
        return positive(value)
    if mode == _DECIMAL_PLACES:
        places = number(value)
        return Decimal(1).scaleb(-int(places)) if places is not None and abs(places) <= 30 else None
    return None


def positive(value: object) -> Decimal | None:
    """The number as the venue wrote it; None for what is not above zero."""
    if value is None or isinstance(value, bool):
        return None
    try:
        result = Decimal(str(value))
    except InvalidOperation:
        return None
    return result if result.is_finite() and result > 0 else None
