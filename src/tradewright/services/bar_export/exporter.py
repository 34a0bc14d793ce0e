"""Reads stored bars window by window and hands them on as the bytes of a file."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from tradewright.domain.bars import Bars
from tradewright.domain.errors import InvalidInput, LimitExceeded
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import BarStore
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe
from tradewright.runtime.clock import Clock
from tradewright.services.bar_export.writers import BarWriter, CSVBarWriter, ParquetBarWriter
from tradewright.services.data_sources.aggregate import ResampledMinutes
from tradewright.services.data_sources.base import BarRequest, ReadBudget, SourceChain
from tradewright.services.data_sources.db import DbSource
from tradewright.services.market_service import MarketService

ExportFormat: TypeAlias = Literal["csv", "parquet"]

EXPORTS_AT_ONCE: Final = 2
WINDOW_BARS: Final = 20_000
RETRY_AFTER_S: Final = 5.0

_WRITERS: Final[dict[ExportFormat, type[BarWriter]]] = {"csv": CSVBarWriter, "parquet": ParquetBarWriter}
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class BarExport:
    """A file that is made while ``parts`` is read; whoever has it reads it to the end or closes it."""

    file_name: str
    content_type: str
    parts: AsyncGenerator[bytes]


class BarExporter:
    """Makes files of what is stored, and never asks a venue. Bars of a higher timeframe are those that a
    chart would get from the store: made of minutes where these cover all of a bar, else the provider's own.
    """

    def __init__(self, store: BarStore, markets: MarketService, clock: Clock) -> None:
        self._store = store
        self._markets = markets
        self._clock = clock
        self._minutes = SourceChain(DbSource(store))
        self._higher = SourceChain(ResampledMinutes(store), DbSource(store))
        self._running = 0

    async def export(
        self, key: SeriesKey, start_ms: int | None, end_ms: int | None, file_format: ExportFormat
    ) -> BarExport:
        """The stored whole bars that open in ``[start_ms, end_ms)``, without bounds all of them.

        Raises ``UnknownMarket``, ``UnknownProvider``, ``UnknownSymbol``, ``UnknownTimeframe``,
        ``InvalidInput``, and ``LimitExceeded`` where ``EXPORTS_AT_ONCE`` are being made already.
        """
        timeframe = Timeframe.parse(key.timeframe)
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise InvalidInput("The start lies after the end.", {"start": "not after end"})
        calendar = await self._markets.calendar(await self._markets.instrument(key.instrument))
        now_ms = self._clock.now_ms()
        request = BarRequest(
            key.instrument,
            calendar,
            timeframe,
            NO_INTERVALS,
            now_ms,
            final_ms=now_ms,
            budget=ReadBudget(0.0, 0),
        )
        start, end = await self._range(key, timeframe, start_ms, end_ms)
        writer = _WRITERS[file_format]()
        name = f"{_plain(key.provider)}-{_plain(key.symbol)}-{key.timeframe}.{writer.suffix}"
        return BarExport(name, writer.content_type, self._parts(writer, request, start, end))

    async def _parts(
        self, writer: BarWriter, request: BarRequest, start: int, end: int
    ) -> AsyncGenerator[bytes]:
        if self._running >= EXPORTS_AT_ONCE:
            raise LimitExceeded("Too many exports are running; try again in a moment.", RETRY_AFTER_S)
        self._running += 1
        try:
            yield await asyncio.to_thread(writer.begin)
            async for bars in self._windows(request, start, end):
                yield await asyncio.to_thread(writer.add, bars)
            last = await asyncio.to_thread(writer.end)
            if last:
                yield last
        finally:
            self._running -= 1

    async def _windows(self, request: BarRequest, start: int, end: int) -> AsyncIterator[Bars]:
        timeframe = request.timeframe
        chain = self._minutes if timeframe is ONE_MINUTE else self._higher
        cursor = timeframe.ceil(start)
        while cursor < end:
            stop = min(timeframe.shift(cursor, WINDOW_BARS), timeframe.ceil(end))
            answer = await chain.fetch(request.narrowed(IntervalSet.single(cursor, stop)))
            if len(answer.bars):
                yield answer.bars
            cursor = stop

    async def _range(
        self, key: SeriesKey, timeframe: Timeframe, start_ms: int | None, end_ms: int | None
    ) -> tuple[int, int]:
        """The wanted range without what lies before the first and after the last stored bar."""
        minutes = await self._store.extent(key.instrument.series(ONE_MINUTE))
        own = await self._store.extent(key)
        known = [extent for extent in (minutes, own) if extent is not None]
        if not known:
            return 0, 0
        first = timeframe.floor(min(extent[0] for extent in known))
        last = max(extent[1] for extent in known) + 1
        return max(first, start_ms or 0), last if end_ms is None else min(last, end_ms)


def _plain(name: str) -> str:
    """A name as it may stand in a file's: letters, digits and hyphens."""
    return _UNSAFE.sub("-", name).strip("-")
