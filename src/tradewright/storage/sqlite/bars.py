"""The bar store in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import Instrument, InstrumentKey, SeriesKey
from tradewright.domain.intervals import NO_INTERVALS, IntervalSet
from tradewright.domain.ports import (
    Coverage,
    EmptyAnswer,
    ImportCounts,
    NotedSilence,
    SeriesBars,
    StoreDescription,
)
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import ONE_MINUTE, TIMEFRAMES, Timeframe, Times
from tradewright.storage.acceptance import check_all_storable, check_storable, registrations
from tradewright.storage.merging import clipped, total
from tradewright.storage.rollups import source_of, source_range
from tradewright.storage.sqlite.database import SQLiteDatabase
from tradewright.storage.sqlite.instruments import register
from tradewright.storage.sqlite.series import (
    BARS,
    ROLLUP_TABLES,
    BarTable,
    known_id,
    lasting_id,
    note_empty,
    revision,
    storable_ms,
    touching_coverage,
    touching_empty,
)
from tradewright.storage.sqlite.storing import store

_HOLDS_ANYTHING: Final = (
    "(EXISTS (SELECT 1 FROM bars WHERE series_id = id) "
    "OR EXISTS (SELECT 1 FROM coverage WHERE series_id = id))"
)
_LIST_SERIES: Final = (
    "SELECT timeframe FROM series WHERE market = ? AND provider = ? AND symbol = ? "  # noqa: S608
    f"AND {_HOLDS_ANYTHING}"
)
_LIST_INSTRUMENTS: Final = (
    "SELECT DISTINCT market, provider, symbol FROM series "  # noqa: S608
    f"WHERE (market, provider, symbol) > (?, ?, ?) AND {_HOLDS_ANYTHING} "
    "ORDER BY market, provider, symbol LIMIT ?"
)
_EXTENT: Final = (
    "SELECT (SELECT min(time) FROM bars WHERE series_id = ?1), "
    "(SELECT max(time) FROM bars WHERE series_id = ?1)"
)
_NOTED_SILENCES: Final = (
    'SELECT market, provider, symbol, timeframe, start, "end", answered_ms '
    "FROM empty_answers JOIN series ON series.id = series_id WHERE answered_ms > ? AND answered_ms <= ? "
    "ORDER BY answered_ms, market, provider, symbol, timeframe, start LIMIT ?"
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

    async def coverage_with_revision(
        self, key: SeriesKey, start_ms: int, end_ms: int
    ) -> tuple[Coverage, int]:
        return await self._database.read(
            lambda connection: (
                _coverage(connection, key, start_ms, end_ms),
                revision(connection, key),
            )
        )

    async def read_resampled(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Bars:
        minutes = instrument.series(ONE_MINUTE)
        return await self._database.read(
            lambda connection: _resampled(connection, minutes, timeframe, start_ms, end_ms)
        )

    async def read_resampled_with_coverage(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> tuple[Bars, Coverage, int]:
        minutes = instrument.series(ONE_MINUTE)
        return await self._database.read(
            lambda connection: (
                _resampled(connection, minutes, timeframe, start_ms, end_ms),
                _coverage(connection, minutes, start_ms, end_ms),
                revision(connection, minutes),
            )
        )

    async def read_openings(self, key: SeriesKey, start_ms: int, end_ms: int) -> Times:
        return await self._database.read(
            lambda connection: BARS.openings(connection, known_id(connection, key), start_ms, end_ms)
        )

    async def read_resampled_openings(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Times:
        minutes = instrument.series(ONE_MINUTE)

        def work(connection: sqlite3.Connection) -> Times:
            table, _, bounds = _finer(timeframe, start_ms, end_ms)
            finer = table.openings(connection, known_id(connection, minutes), *bounds)
            return np.unique(timeframe.floor_array(finer))

        return await self._database.read(work)

    async def revision(self, key: SeriesKey) -> int:
        return await self._database.read(lambda connection: revision(connection, key))

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        check_storable(data)
        await self._database.write(lambda connection: total(store(connection, data, outage, replace=True)))

    async def write_many(self, batches: Sequence[SeriesBars]) -> None:
        check_all_storable(batches)

        def work(connection: sqlite3.Connection) -> None:
            for data in batches:
                total(store(connection, data, replace=True))

        if batches:
            await self._database.write(work)

    async def note_empty(self, key: SeriesKey, empty: IntervalSet, answered_ms: int) -> None:
        if not empty:
            return
        await self._database.write(
            lambda connection: note_empty(connection, lasting_id(connection, key), empty, answered_ms)
        )

    async def empty_answers(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[EmptyAnswer, ...]:
        noted = await self._database.read(
            lambda connection: touching_empty(connection, known_id(connection, key), start_ms, end_ms)
        )
        return clipped(noted, start_ms, end_ms)

    async def noted_silences(self, *, after_ms: int, until_ms: int, limit: int) -> tuple[NotedSilence, ...]:
        bounds = (storable_ms(after_ms), storable_ms(until_ms), limit)
        rows = await self._database.read(
            lambda connection: connection.execute(_NOTED_SILENCES, bounds).fetchall()
        )
        return tuple(NotedSilence(SeriesKey(*row[:4]), EmptyAnswer(*row[4:])) for row in rows)

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
                count
                for batch in batches
                for count in store(connection, batch, replace=replace, progress=progress)
            )
            register(connection, registered)
            return counts

        rows = sum(len(batch.bars) for batch in batches)
        # What was imported can't be fetched again by us, so it is on the disk before we say so.
        return await self._database.write(work, timeout_s=60 + rows / 5_000, outlives_power_cut=True)

    async def series(self, instrument: InstrumentKey) -> tuple[SeriesKey, ...]:
        names = (instrument.market, instrument.provider, instrument.symbol)
        rows = await self._database.read(
            lambda connection: connection.execute(_LIST_SERIES, names).fetchall()
        )
        found = {name for (name,) in rows}
        return tuple(instrument.series(timeframe) for name, timeframe in TIMEFRAMES.items() if name in found)

    async def stored_instruments(
        self, *, after: InstrumentKey | None = None, limit: int = 1_000
    ) -> tuple[InstrumentKey, ...]:
        # Nothing has an empty name, so all names come after it.
        names = ("", "", "") if after is None else (after.market, after.provider, after.symbol)
        rows = await self._database.read(
            lambda connection: connection.execute(_LIST_INSTRUMENTS, (*names, limit)).fetchall()
        )
        return tuple(InstrumentKey(*row) for row in rows)

    async def describe(self) -> StoreDescription:
        return StoreDescription("sqlite", f"SQLite {sqlite3.sqlite_version}, in {self._database.path}.")

    async def extent(self, key: SeriesKey) -> tuple[int, int] | None:
        def work(connection: sqlite3.Connection) -> tuple[int, int] | None:
            first, last = connection.execute(_EXTENT, (known_id(connection, key),)).fetchone()
            return None if first is None else (first, last)

        return await self._database.read(work)

    async def check(self) -> None:
        await self._database.check()


def _read(connection: sqlite3.Connection, key: SeriesKey, start_ms: int, end_ms: int) -> Bars:
    return BARS.read(connection, known_id(connection, key), start_ms, end_ms)


def _finer(timeframe: Timeframe, start_ms: int, end_ms: int) -> tuple[BarTable, Timeframe, tuple[int, int]]:
    """Of what bars of ``timeframe`` are made: where they are kept, their own timeframe, and which of them."""
    source = source_of(timeframe)
    return ROLLUP_TABLES.get(source, BARS), source, source_range(timeframe, start_ms, end_ms)


def _resampled(
    connection: sqlite3.Connection, minutes: SeriesKey, timeframe: Timeframe, start_ms: int, end_ms: int
) -> Bars:
    table, source, bounds = _finer(timeframe, start_ms, end_ms)
    finer = table.read(connection, known_id(connection, minutes), *bounds)
    return finer if source is timeframe else resample(finer, timeframe)


def _coverage(connection: sqlite3.Connection, key: SeriesKey, start_ms: int, end_ms: int) -> Coverage:
    if start_ms >= end_ms:
        return Coverage()
    known = touching_coverage(connection, known_id(connection, key), start_ms, end_ms)
    return Coverage(known.complete.clip(start_ms, end_ms), known.outage.clip(start_ms, end_ms))
