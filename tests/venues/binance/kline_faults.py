"""Pages of klines with what may be wrong in pages of candles, on command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from tests.venues.binance.klines import Kline, KlineSeries
from tests.venues.candle_faults import CandleFaults, Page
from tests.venues.truth import Candle

_BEYOND: Final = 3
"""How many klines a page that overlaps reaches beyond what was asked."""


def broken(faults: CandleFaults, symbol: str, series: KlineSeries, chosen: Sequence[Kline]) -> list[Kline]:
    """The klines to answer; those that no fault touches keep all of their digits."""
    before, after = list[Kline](), list[Kline]()
    if chosen:
        before = series.select(None, chosen[0].open_ms - 1, _BEYOND)
        after = series.select(chosen[-1].open_ms + 1, None, _BEYOND)
    by_end = {one.end_ms: one for one in (*before, *chosen, *after)}
    page = Page(symbol, *([_candle(one) for one in part] for part in (list(chosen), before, after)))
    return [_told(by_end[one.end_ms], one) for one in faults.apply(page)]


def _candle(kline: Kline) -> Candle:
    return Candle(
        open_ms=kline.open_ms,
        end_ms=kline.end_ms,
        open=float(kline.open),
        high=float(kline.high),
        low=float(kline.low),
        close=float(kline.close),
        volume=float(kline.volume),
        closed=kline.closed,
    )


def _told(kline: Kline, candle: Candle) -> Kline:
    """The kline with what a fault made of it."""
    high = kline.high if candle.high == float(kline.high) else Decimal(str(candle.high))
    volume = kline.volume if candle.volume == float(kline.volume) else Decimal(str(candle.volume))
    return replace(kline, open_ms=candle.open_ms, high=high, volume=volume)
