"""When bars open, of stores that read whole bars as quickly."""

from __future__ import annotations

from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.ports import BarStore
from tradewright.domain.timeframes import Timeframe, Times


class OpeningsOfBars:
    """The part of a ``BarStore`` that needs no more than the rest of it."""

    async def read_openings(self: BarStore, key: SeriesKey, start_ms: int, end_ms: int) -> Times:
        return (await self.read(key, start_ms, end_ms)).time

    async def read_resampled_openings(
        self: BarStore, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Times:
        return (await self.read_resampled(instrument, timeframe, start_ms, end_ms)).time
