"""Bars and coverage in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import Instrument, InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, Interval, IntervalSet
from tradewright.domain.ports import Coverage, CoverageKind, ImportCounts, SeriesBars
from tradewright.domain.timeframes import TIMEFRAMES, Timeframe
from tradewright.storage.acceptance import check_storable, registrations
from tradewright.storage.merging import Spans, difference, extended, total
from tradewright.storage.sqlite.database import SQLiteDatabase
from tradewright.storage.sqlite.instruments import register

_CHUNK_BARS: Final = 20_000
"""How many bars are turned into Python numbers at a time; more is not faster."""
_INT64: Final = np.iinfo(np.int64)
_ROW: Final = np.dtype([(name, "i8" if name == "time" else "f8") for name in Bars.__slots__])

_FIND_SERIES: Final = (
    "SELECT id FROM series WHERE market = ? AND provider = ? AND symbol = ? AND timeframe = ?"
)
_ADD_SERIES: Final = (
    "INSERT INTO series (market, provider, symbol, timeframe) VALUES (?, ?, ?, ?) RETURNING id"
)
_READ_BARS: Final = (
    "SELECT time, open, high, low, close, volume FROM bars "
    "WHERE series_id = ? AND time >= ? AND time < ? ORDER BY time"
)
_PUT_BAR: Final = (
    "INSERT INTO bars (series_id, time, open, high, low, close, volume) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low, "
    "close = excluded.close, volume = excluded.volume"
)
_DELETE_BARS: Final = "DELETE FROM bars WHERE series_id = ? AND time >= ? AND time < ?"
_DELETE_BAR: Final = "DELETE FROM bars WHERE series_id = ? AND time = ?"
# The intervals are disjoint, so of those that start before the range only the last can reach into it.
_READ_COVERAGE: Final = (
    'SELECT start, "end", kind FROM coverage WHERE series_id = ?1 AND start <= ?3 AND start >= coalesce('
    "(SELECT start FROM coverage WHERE series_id = ?1 AND start < ?2 ORDER BY start DESC LIMIT 1), ?2) "
    "ORDER BY start"
)
_ADD_COVERAGE: Final = 'INSERT INTO coverage (series_id, start, "end", kind) VALUES (?, ?, ?, ?)'
_DELETE_COVERAGE: Final = "DELETE FROM coverage WHERE series_id = ? AND start = ?"
_LIST_SERIES: Final = (
    "SELECT timeframe FROM series WHERE market = ? AND provider = ? AND symbol = ? "
    "AND (EXISTS (SELECT 1 FROM bars WHERE series_id = id) "
    "OR EXISTS (SELECT 1 FROM coverage WHERE series_id = id))"
)
_EXTENT: Final = (
    "SELECT (SELECT min(time) FROM bars WHERE series_id = ?1), "
    "(SELECT max(time) FROM bars WHERE series_id = ?1)"
)


class SQLiteBarStore:
    """A ``BarStore`` in an embedded database."""

    def __init__(self, database: SQLiteDatabase) -> None:
        self._database = database

    async def read(self, key: SeriesKey, start_ms: int, end_ms: int) -> Bars:
        return await self._database.read(lambda connection: _read(connection, key, start_ms, end_ms))

    async def coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> Coverage:
        return await self._database.read(lambda connection: _coverage(connection, key, start_ms, end_ms))

    async def read_with_coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[Bars, Coverage]:
        return await self._database.read(
            lambda connection: (
                _read(connection, key, start_ms, end_ms),
                _coverage(connection, key, start_ms, end_ms),
            )
        )

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        check_storable(data)
        if not (len(data.bars) or data.covered or outage):
            return

        def work(connection: sqlite3.Connection) -> None:
            series_id = _series_id(connection, data.key)
            connection.executemany(_DELETE_BARS, ((series_id, start, end) for start, end in data.covered))
            _put(connection, series_id, data.bars)
            _extend_coverage(connection, series_id, data.covered, outage)

        await self._database.write(work)

    async def import_bars(
        self,
        batches: Sequence[SeriesBars],
        *,
        replace: bool,
        instruments: Sequence[Instrument] = (),
        progress: Callable[[int], None] | None = None,
    ) -> ImportCounts:
        registered = registrations(batches, instruments)

        def work(connection: sqlite3.Connection) -> ImportCounts:
            for batch in batches:
                check_storable(batch)  # here, in the thread, because it may take a while
            counts = total(
                [count for batch in batches for count in _import(connection, batch, replace, progress)]
            )
            register(connection, registered)
            return counts

        rows = sum(len(batch.bars) for batch in batches)
        # What was imported can't be fetched again by us, so it is on the disk before we say so.
        return await self._database.write(work, timeout_s=60 + rows / 5_000, outlives_power_cut=True)

    async def series(self, instrument: InstrumentKey) -> tuple[SeriesKey, ...]:
        def work(connection: sqlite3.Connection) -> set[str]:
            names = (instrument.market, instrument.provider, instrument.symbol)
            return {name for (name,) in connection.execute(_LIST_SERIES, names)}

        found = await self._database.read(work)
        return tuple(instrument.series(timeframe) for name, timeframe in TIMEFRAMES.items() if name in found)

    async def extent(self, key: SeriesKey) -> tuple[int, int] | None:
        def work(connection: sqlite3.Connection) -> tuple[int, int] | None:
            first, last = connection.execute(_EXTENT, (_known_id(connection, key),)).fetchone()
            return None if first is None else (first, last)

        return await self._database.read(work)

    async def check(self) -> None:
        await self._database.check()


def _known_id(connection: sqlite3.Connection, key: SeriesKey) -> int:
    """The series' number; 0, which no series has, where it is unknown."""
    found = connection.execute(_FIND_SERIES, _names(key)).fetchone()
    return int(found[0]) if found else 0


def _series_id(connection: sqlite3.Connection, key: SeriesKey) -> int:
    return _known_id(connection, key) or int(connection.execute(_ADD_SERIES, _names(key)).fetchone()[0])


def _names(key: SeriesKey) -> tuple[str, str, str, str]:
    return key.market, key.provider, key.symbol, key.timeframe


def _storable_ms(time_ms: int) -> int:
    """The time, or the nearest that SQLite can hold."""
    return max(int(_INT64.min), min(int(_INT64.max), time_ms))


def _read(connection: sqlite3.Connection, key: SeriesKey, start_ms: int, end_ms: int) -> Bars:
    return _read_series(connection, _known_id(connection, key), start_ms, end_ms)


def _read_series(connection: sqlite3.Connection, series_id: int, start_ms: int, end_ms: int) -> Bars:
    cursor = connection.execute(_READ_BARS, (series_id, _storable_ms(start_ms), _storable_ms(end_ms)))
    # Straight from the cursor into one packed array: no list of rows is ever held.
    rows = np.fromiter(cursor, dtype=_ROW)
    return Bars(*(np.ascontiguousarray(rows[name]) for name in Bars.__slots__))


def _coverage(connection: sqlite3.Connection, key: SeriesKey, start_ms: int, end_ms: int) -> Coverage:
    if start_ms >= end_ms:
        return Coverage()
    known = _stored_coverage(connection, _known_id(connection, key), start_ms, end_ms)
    return Coverage(known.complete.clip(start_ms, end_ms), known.outage.clip(start_ms, end_ms))


def _stored_coverage(connection: sqlite3.Connection, series_id: int, start_ms: int, end_ms: int) -> Coverage:
    """The stored intervals that overlap or touch the range, whole."""
    found: dict[CoverageKind, list[Interval]] = {"complete": [], "outage": []}
    bounds = (series_id, _storable_ms(start_ms), _storable_ms(end_ms))
    for start, end, kind in connection.execute(_READ_COVERAGE, bounds):
        found[kind].append(Interval(start, end))
    return Coverage(IntervalSet(tuple(found["complete"])), IntervalSet(tuple(found["outage"])))


def _extend_coverage(
    connection: sqlite3.Connection, series_id: int, complete: IntervalSet, outage: IntervalSet
) -> None:
    both = (*complete, *outage)
    if not both:
        return
    known = _stored_coverage(
        connection, series_id, min(start for start, _ in both), max(end for _, end in both)
    )
    before, after = _labelled(known), _labelled(extended(known, complete, outage))
    connection.executemany(_DELETE_COVERAGE, ((series_id, start) for start, _, _ in before - after))
    connection.executemany(_ADD_COVERAGE, ((series_id, *row) for row in after - before))


def _labelled(coverage: Coverage) -> set[tuple[int, int, CoverageKind]]:
    complete: Iterable[tuple[int, int, CoverageKind]] = ((*item, "complete") for item in coverage.complete)
    outage: Iterable[tuple[int, int, CoverageKind]] = ((*item, "outage") for item in coverage.outage)
    return {*complete, *outage}


def _put(connection: sqlite3.Connection, series_id: int, bars: Bars) -> None:
    for first in range(0, len(bars), _CHUNK_BARS):
        part = bars[first : first + _CHUNK_BARS]
        columns = (column.tolist() for column in part.columns())
        connection.executemany(_PUT_BAR, zip([series_id] * len(part), *columns, strict=True))


def _import(
    connection: sqlite3.Connection, data: SeriesBars, replace: bool, progress: Callable[[int], None] | None
) -> Iterator[ImportCounts]:
    """Store one batch, window by window, so that memory does not grow with the series."""
    bars, covered = data.bars, Spans(data.covered)
    if not (len(bars) or data.covered):
        return
    series_id = _series_id(connection, data.key)
    single = bars.time[~covered.contain(bars.time)].tolist()
    touched = data.covered.union(IntervalSet.of((time, time + 1) for time in single))
    for start, end in _windows(touched, Timeframe.parse(data.key.timeframe).length_ms * _CHUNK_BARS):
        imported = bars.between(start, end)
        stored = _read_series(connection, series_id, start, end)
        found = difference(data.key, stored, imported, covered, replace=replace)
        connection.executemany(_DELETE_BAR, ((series_id, time) for time in found.removed.tolist()))
        _put(connection, series_id, found.changed)
        _put(connection, series_id, found.new)
        if progress is not None:
            progress(len(imported))
        yield found.counts
    _extend_coverage(connection, series_id, data.covered, NO_INTERVALS)


def _windows(touched: IntervalSet, length_ms: int) -> Iterator[Interval]:
    """Windows of at most ``length_ms`` that hold all of ``touched``; close neighbours share one."""
    start = end = None
    for item in touched:
        if start is not None and end is not None:
            if item.end - start <= length_ms:
                end = item.end
                continue
            yield Interval(start, end)
        start, end = item
        while end - start > length_ms:
            yield Interval(start, start + length_ms)
            start += length_ms
    if start is not None and end is not None:
        yield Interval(start, end)
