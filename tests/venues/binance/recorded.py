"""Loads recorded 1m candles, and the trades they were made from, into a market at their own times."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import zip_longest
from pathlib import Path

import pyarrow.parquet as pq

from tests.venues.binance.klines import Kline, kline_span
from tests.venues.binance.market import SpotMarket, VenueTrade


def load_candles(market: SpotMarket, candles: Path) -> None:
    """Put the candles in; their counts and quote volumes come from the trades beside, where they are.

    The trades' file has the candles' name with `_trades_` for `_1m_`.
    """
    beside = candles.with_name(candles.name.replace("_1m_", "_trades_"))
    trades = _read_trades(beside) if beside != candles and beside.is_file() else []
    by_minute = _minutes(trades)
    for trade, following in zip_longest(trades, trades[1:]):
        same = following is not None and _aggregate_key(trade) == _aggregate_key(following)
        market.add_trade(trade, closes_aggregate=not same, klines=False)
    rows = pq.read_table(candles).to_pylist()
    for row in rows:
        kline = _candle(row)
        detail = by_minute.get(kline.open_ms)
        if detail is not None:
            kline.quote_volume, kline.trades = detail.quote_volume, detail.trades
            kline.taker_volume, kline.taker_quote_volume = detail.taker_volume, detail.taker_quote_volume
            kline.first_trade_id, kline.last_trade_id = detail.first_trade_id, detail.last_trade_id
        market.klines.add_minute(kline)
    for series in market.klines.live():
        if series.newest:
            series.close_before(series.newest.end_ms)


def _candle(row: dict[str, float]) -> Kline:
    open_ms, end_ms = kline_span("1m", int(row["time_ms"]))
    o, h, low, c, v = (Decimal(repr(row[name])) for name in ("open", "high", "low", "close", "volume"))
    return Kline(open_ms, end_ms, o, h, low, c, v)


def _read_trades(path: Path) -> list[VenueTrade]:
    return [
        VenueTrade(
            int(row["id"]),
            Decimal(repr(row["price"])),
            Decimal(repr(row["amount"])),
            row["time_ms"],
            row["time_ms"],
            row["side"] == "sell",
        )
        for row in pq.read_table(path).to_pylist()
    ]


def _minutes(trades: Sequence[VenueTrade]) -> dict[int, Kline]:
    minutes: dict[int, Kline] = {}
    for trade in trades:
        open_ms, _ = kline_span("1m", trade.time_ms)
        if open_ms in minutes:
            minutes[open_ms].merge(trade.as_kline())
        else:
            minutes[open_ms] = trade.as_kline()
    return minutes


def _aggregate_key(trade: VenueTrade) -> tuple[int, Decimal, bool]:
    return trade.time_ms, trade.price, trade.buyer_is_maker
