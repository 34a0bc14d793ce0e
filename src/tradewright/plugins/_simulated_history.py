"""Bars of a simulated market, over years, in little memory and without holding up the event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from tradewright.domain.bars import Bars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, MINUTE_MS, ONE_DAY, TIMEFRAMES, Timeframe
from tradewright.plugins._simulated_listing import LISTED_MS
from tradewright.plugins._simulated_market import Recent, SimulatedMarket

_CHUNK_MS: Final = 16_384 * MINUTE_MS
_SMALLEST_CHUNK_MS: Final = 1_024 * MINUTE_MS
_KEPT_MONTHS: Final = 240
_MONTH: Final = TIMEFRAMES["1M"]


class SimulatedHistory:
    """Pages of bars. The daily bars of past months are kept, since the coarse timeframes are made of them."""

    def __init__(self, market: SimulatedMarket) -> None:
        self._market = market
        self._months = Recent(_KEPT_MONTHS, self._past_month)
        self._lock = threading.Lock()

    async def page(self, timeframe: Timeframe, start_ms: int, end_ms: int, limit: int, now_ms: int) -> Bars:
        """The earliest ``limit`` bars that open in ``[start_ms, end_ms)``, as of ``now_ms``."""
        first_ms = timeframe.floor(LISTED_MS)
        present_ms = timeframe.end(timeframe.floor(now_ms))
        position = timeframe.ceil(max(first_ms, min(start_ms, present_ms)))
        end_ms = timeframe.ceil(max(first_ms, min(end_ms, present_ms)))
        forming = self._market.forming_minute(now_ms)
        parts: list[Bars] = []
        missing = limit
        while position < end_ms and missing > 0:
            length_ms = min(_CHUNK_MS, max(_SMALLEST_CHUNK_MS, missing * timeframe.length_ms))
            chunk_end = min(end_ms, timeframe.shift(position, max(1, length_ms // timeframe.length_ms)))
            part = await asyncio.to_thread(self._chunk, timeframe, position, chunk_end, now_ms, forming)
            parts.append(part)
            missing -= len(part)
            position = chunk_end
        return Bars.concat(parts)[:limit]

    def _chunk(self, timeframe: Timeframe, start_ms: int, end_ms: int, now_ms: int, forming: Bars) -> Bars:
        if timeframe.length_ms < DAY_MS:
            return resample(self._minutes(start_ms, end_ms, now_ms, forming), timeframe)
        months: list[Bars] = []
        month_ms = _MONTH.floor(start_ms)
        while month_ms < min(end_ms, now_ms + 1):
            if _MONTH.end(month_ms) <= now_ms:
                with self._lock:
                    months.append(self._months.get(month_ms))
            else:
                months.append(self._days(month_ms, _MONTH.end(month_ms), now_ms, forming))
            month_ms = _MONTH.end(month_ms)
        return resample(Bars.concat(months).between(start_ms, end_ms), timeframe)

    def _past_month(self, month_ms: int) -> Bars:
        end_ms = _MONTH.end(month_ms)
        return self._days(month_ms, end_ms, end_ms, Bars.empty())

    def _days(self, start_ms: int, end_ms: int, now_ms: int, forming: Bars) -> Bars:
        return resample(self._minutes(start_ms, end_ms, now_ms, forming), ONE_DAY)

    def _minutes(self, start_ms: int, end_ms: int, now_ms: int, forming: Bars) -> Bars:
        """The 1m bars in ``[start_ms, end_ms)``: closed ones, and the forming one where it lies inside."""
        first = start_ms // MINUTE_MS
        count = min(end_ms, now_ms) // MINUTE_MS - first
        market = self._market
        closed = market.minutes.minutes(first, count).bars(market.listing) if count > 0 else Bars.empty()
        return Bars.concat((closed, forming.between(start_ms, end_ms)))
