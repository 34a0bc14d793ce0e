"""How bars get into the database: compared with what is there, so that only what differs is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.domain.ports import ImportCounts, SeriesBars
from tradewright.domain.timeframes import ONE_MINUTE, Timeframe
from tradewright.storage.merging import Difference, Spans, difference, total
from tradewright.storage.postgres.knowledge import extend_coverage, forget_empty, read_knowledge
from tradewright.storage.postgres.rollups import Rollups
from tradewright.storage.postgres.session import Session
from tradewright.storage.postgres.tables import COPY_BARS, PAGE_BARS, BarTable, table_of
from tradewright.storage.rollups import Stretch

_BRIDGED_BARS: Final = 500
"""Stretches of a write that lie closer than this are compared in one go."""

# Whoever writes a series holds its row until the end, so what was read of it stays what it was.
_LOCK_SERIES: Final = (
    "SELECT id FROM series WHERE market = $1 AND provider = $2 AND symbol = $3 AND timeframe = $4 "
    "FOR NO KEY UPDATE"
)
_ADD_SERIES: Final = (
    "INSERT INTO series (market, provider, symbol, timeframe) VALUES ($1, $2, $3, $4) "
    "ON CONFLICT (market, provider, symbol, timeframe) DO UPDATE SET market = excluded.market RETURNING id"
)
_RAISE_REVISION: Final = "UPDATE series SET revision = revision + 1 WHERE id = $1"


async def lock_series(session: Session, key: SeriesKey) -> int:
    """The number of the series, which is made where it is new; nobody else writes it until the commit."""
    names = key.market, key.provider, key.symbol, key.timeframe
    found = await session.row_or_none(_LOCK_SERIES, *names)
    return int((found or await session.row(_ADD_SERIES, *names))[0])


@dataclass(frozen=True, slots=True)
class _Window:
    """A piece of a series with all its stored bars and all that are to be written."""

    start: int
    end: int
    stored: Bars
    written: Bars

    def after(self, found: Difference) -> Bars:
        """The bars of the window once ``found`` was applied."""
        if not len(self.stored):
            return self.written
        kept = self.stored.take(~np.isin(self.stored.time, found.removed))
        return kept.merged_with(self.written)


async def write_batch(
    session: Session,
    rollups: Rollups,
    data: SeriesBars,
    outage: IntervalSet,
    *,
    replace: bool,
    progress: Callable[[int], None] | None = None,
) -> ImportCounts:
    """Bring one batch into its series, with coverage, rollups and all that follows from it.

    Memory does not grow with the series: it is compared window by window.
    """
    series_id, table = await lock_series(session, data.key), table_of(Timeframe.parse(data.key.timeframe))
    covered, hull = Spans(data.covered), _hull(data, outage)
    known, noted = await read_knowledge(session, series_id, *hull)
    known_spans, counts = Spans(known.known), []
    otherwise = bool(known.outage.intersect(data.covered))
    async for window in _windows(session, table, series_id, data):
        found = difference(data.key, window.stored, window.written, covered, replace=replace)
        otherwise = otherwise or found.contradicts(known_spans)
        await table.delete(session, series_id, found.removed)
        await table.put(session, series_id, found.new, found.changed)
        if data.key.timeframe == ONE_MINUTE.name and len(touched := found.touched):
            stretch = Stretch(window.start, window.end, window.after(found))
            await rollups.follow(session, series_id, stretch, touched)
        if progress is not None:
            progress(len(window.written))
        counts.append(found.counts)
    await extend_coverage(session, series_id, known, data.covered, outage)
    await forget_empty(session, series_id, noted, data.covered.union(outage))
    if otherwise:
        await session.run(_RAISE_REVISION, series_id)
    return total(counts)


def _hull(data: SeriesBars, outage: IntervalSet) -> Interval:
    """From the first to the last moment of a batch."""
    both = [*data.covered, *outage]
    if len(data.bars):
        both.append(Interval(int(data.bars.time[0]), int(data.bars.time[-1]) + 1))
    return Interval(min(start for start, _ in both), max(end for _, end in both))


async def _windows(
    session: Session, table: BarTable, series_id: int, data: SeriesBars
) -> AsyncIterator[_Window]:
    """All that the batch touches, in pieces that hold a bounded number of bars."""
    single = data.bars.time[~Spans(data.covered).contain(data.bars.time)].tolist()
    touched = data.covered.union(IntervalSet.of((time, time + 1) for time in single))
    bridged = touched.bridged(_BRIDGED_BARS * Timeframe.parse(data.key.timeframe).length_ms)
    for start, end in bridged:
        while start < end:
            stored = await table.page(session, series_id, start, end)
            written = data.bars.between(start, end)[:COPY_BARS]
            last = min(_cut(stored, PAGE_BARS, end), _cut(written, COPY_BARS, end))
            yield _Window(start, last, stored.between(start, last), written.between(start, last))
            start = last


def _cut(bars: Bars, full: int, end: int) -> int:
    """Where a piece has to end so that it holds no bar beside these, of which there may be more when full."""
    return int(bars.time[-1]) + 1 if len(bars) == full else end


def in_locking_order(batches: Iterable[SeriesBars]) -> list[SeriesKey]:
    """The series of an import in the order in which every import locks them."""
    return sorted({batch.key for batch in batches})
