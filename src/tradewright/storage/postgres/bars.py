"""Bars and coverage in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

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
from tradewright.domain.timeframes import ONE_MINUTE, TIMEFRAMES, Timeframe
from tradewright.storage.acceptance import check_all_storable, check_storable, registrations
from tradewright.storage.merging import clipped, total
from tradewright.storage.openings import OpeningsOfBars
from tradewright.storage.postgres.appending import write_all
from tradewright.storage.postgres.columns import storable_ms
from tradewright.storage.postgres.database import PostgresDatabase
from tradewright.storage.postgres.instruments import register
from tradewright.storage.postgres.knowledge import add_empty, read_coverage, read_empty
from tradewright.storage.postgres.rollups import rollups_of
from tradewright.storage.postgres.session import Session
from tradewright.storage.postgres.tables import FIND_SERIES, table_of
from tradewright.storage.postgres.writing import in_locking_order, lock_series, write_batch
from tradewright.storage.rollups import source_of, source_range

_BULK_BARS: Final = 5_000
"""A write of more is a bulk load and shares the connections of those."""

_HELD: Final = (
    "(EXISTS (SELECT 1 FROM coverage WHERE series_id = id) "
    "OR EXISTS (SELECT 1 FROM bars WHERE series_id = id) "
    "OR EXISTS (SELECT 1 FROM minutes WHERE series_id = id))"
)
_LIST_SERIES: Final = (
    "SELECT timeframe FROM series WHERE market = $1 AND provider = $2 AND symbol = $3 AND %held%"
).replace("%held%", _HELD)
_LIST_INSTRUMENTS: Final = (
    "SELECT DISTINCT market, provider, symbol FROM series WHERE (market, provider, symbol) > ($1, $2, $3) "
    "AND %held% ORDER BY market, provider, symbol LIMIT $4"
).replace("%held%", _HELD)
_NOTED_SILENCES: Final = (
    "SELECT market, provider, symbol, timeframe, start_ms, end_ms, answered_ms "
    "FROM empty_answers JOIN series ON series.id = series_id WHERE answered_ms > $1 AND answered_ms <= $2 "
    "ORDER BY answered_ms, market, provider, symbol, timeframe, start_ms LIMIT $3"
)
_VERSIONS: Final = (
    "SELECT current_setting('server_version') AS server, "
    "(SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS extension"
)


class PostgresBarStore(OpeningsOfBars):
    """A ``BarStore`` in a PostgreSQL database."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database

    async def read(self, key: SeriesKey, start_ms: int, end_ms: int) -> Bars:
        table = table_of(Timeframe.parse(key.timeframe))

        async def work(session: Session) -> Bars:
            return await table.read_series(session, key, start_ms, end_ms)

        many = table.takes_many_statements(start_ms, end_ms)
        return await self._database.read(work, snapshot=many)

    async def coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> Coverage:
        async def work(session: Session) -> Coverage:
            return await _coverage(session, await _known_id(session, key), start_ms, end_ms)

        return await self._database.read(work)

    async def read_with_coverage(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[Bars, Coverage]:
        async def work(session: Session) -> tuple[Bars, Coverage]:
            series_id = await _known_id(session, key)
            bars = await table_of(Timeframe.parse(key.timeframe)).read(session, series_id, start_ms, end_ms)
            return bars, await _coverage(session, series_id, start_ms, end_ms)

        return await self._database.read(work, snapshot=True)

    async def coverage_with_revision(
        self, key: SeriesKey, start_ms: int, end_ms: int
    ) -> tuple[Coverage, int]:
        async def work(session: Session) -> tuple[Coverage, int]:
            # The revision comes first: what comes after it is as new, or newer.
            series_id, revision = await _known_revision(session, key)
            return await _coverage(session, series_id, start_ms, end_ms), revision

        return await self._database.read(work)

    async def read_resampled(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> Bars:
        source, within = source_of(timeframe), source_range(timeframe, start_ms, end_ms)
        rollups = rollups_of(self._database.kind)

        async def work(session: Session) -> Bars:
            series_id = await _known_id(session, instrument.series(ONE_MINUTE))
            return await rollups.read(session, series_id, source, within)

        many = rollups.takes_many_statements(source, within)
        return resample(await self._database.read(work, snapshot=many), timeframe)

    async def read_resampled_with_coverage(
        self, instrument: InstrumentKey, timeframe: Timeframe, start_ms: int, end_ms: int
    ) -> tuple[Bars, Coverage, int]:
        source, within = source_of(timeframe), source_range(timeframe, start_ms, end_ms)
        rollups = rollups_of(self._database.kind)

        async def work(session: Session) -> tuple[Bars, Coverage, int]:
            # In this order what comes later is as new, or newer, and no snapshot is needed for that.
            series_id, revision = await _known_revision(session, instrument.series(ONE_MINUTE))
            coverage = await _coverage(session, series_id, start_ms, end_ms)
            return await rollups.read(session, series_id, source, within), coverage, revision

        many = rollups.takes_many_statements(source, within)
        finer, coverage, revision = await self._database.read(work, snapshot=many)
        return resample(finer, timeframe), coverage, revision

    async def revision(self, key: SeriesKey) -> int:
        async def work(session: Session) -> int:
            return (await _known_revision(session, key))[1]

        return await self._database.read(work)

    async def write(self, data: SeriesBars, *, outage: IntervalSet = NO_INTERVALS) -> None:
        check_storable(data)
        if not (len(data.bars) or data.covered or outage):
            return
        rollups = rollups_of(self._database.kind)

        async def work(session: Session) -> None:
            await write_batch(session, rollups, data, outage, replace=True)

        # Written twice, the same bars change nothing the second time.
        await self._database.write(work, repeatable=True, bulk=len(data.bars) > _BULK_BARS)

    async def write_many(self, batches: Sequence[SeriesBars]) -> None:
        check_all_storable(batches)
        filled = [batch for batch in batches if len(batch.bars) or batch.covered]
        if not filled:
            return

        async def work(session: Session) -> None:
            await write_all(session, self._database.kind, filled)

        bars = sum(len(batch.bars) for batch in filled)
        await self._database.write(work, repeatable=True, bulk=bars > _BULK_BARS)

    async def note_empty(self, key: SeriesKey, empty: IntervalSet, answered_ms: int) -> None:
        if not empty:
            return

        async def work(session: Session) -> None:
            await add_empty(session, await lock_series(session, key), empty, answered_ms)

        await self._database.write(work, repeatable=True)

    async def empty_answers(self, key: SeriesKey, start_ms: int, end_ms: int) -> tuple[EmptyAnswer, ...]:
        async def work(session: Session) -> tuple[EmptyAnswer, ...]:
            return await read_empty(session, await _known_id(session, key), start_ms, end_ms)

        if start_ms >= end_ms:
            return ()
        return clipped(await self._database.read(work), start_ms, end_ms)

    async def noted_silences(self, *, after_ms: int, until_ms: int, limit: int) -> tuple[NotedSilence, ...]:
        async def work(session: Session) -> tuple[NotedSilence, ...]:
            rows = await session.rows(_NOTED_SILENCES, storable_ms(after_ms), storable_ms(until_ms), limit)
            return tuple(NotedSilence(SeriesKey(*row[:4]), EmptyAnswer(*row[4:])) for row in rows)

        return await self._database.read(work)

    async def import_bars(
        self,
        batches: Sequence[SeriesBars],
        *,
        replace: bool,
        instruments: Sequence[Instrument] = (),
        progress: Callable[[int], None] | None = None,
    ) -> ImportCounts:
        registered, rollups = registrations(batches, instruments), rollups_of(self._database.kind)
        for batch in batches:
            check_storable(batch)
        filled = [batch for batch in batches if len(batch.bars) or batch.covered]

        async def work(session: Session) -> ImportCounts:
            for key in in_locking_order(filled):
                await lock_series(session, key)
            counts = [
                await write_batch(session, rollups, batch, NO_INTERVALS, replace=replace, progress=progress)
                for batch in filled
            ]
            await register(session, registered)
            return total(counts)

        rows = sum(len(batch.bars) for batch in filled)
        # What was counted once would be counted otherwise after a commit that nobody heard of.
        return await self._database.write(work, 60 + rows / 5_000, repeatable=False, bulk=True)

    async def series(self, instrument: InstrumentKey) -> tuple[SeriesKey, ...]:
        async def work(session: Session) -> set[str]:
            names = instrument.market, instrument.provider, instrument.symbol
            return {row[0] for row in await session.rows(_LIST_SERIES, *names)}

        found = await self._database.read(work)
        return tuple(instrument.series(timeframe) for name, timeframe in TIMEFRAMES.items() if name in found)

    async def stored_instruments(
        self, *, after: InstrumentKey | None = None, limit: int = 1_000
    ) -> tuple[InstrumentKey, ...]:
        names = (after.market, after.provider, after.symbol) if after else ("", "", "")

        async def work(session: Session) -> tuple[InstrumentKey, ...]:
            rows = await session.rows(_LIST_INSTRUMENTS, *names, limit)
            return tuple(InstrumentKey(*row) for row in rows)

        return await self._database.read(work)

    async def extent(self, key: SeriesKey) -> tuple[int, int] | None:
        table = table_of(Timeframe.parse(key.timeframe))

        async def work(session: Session) -> tuple[int, int] | None:
            return await table.extent(session, await _known_id(session, key))

        return await self._database.read(work)

    async def describe(self) -> StoreDescription:
        async def work(session: Session) -> tuple[str, str | None]:
            found = await session.row(_VERSIONS)
            return found["server"].split()[0], found["extension"]

        kind, place = self._database.kind, self._database.address.place
        server, extension = await self._database.read(work)
        if kind == "timescaledb":
            detail = f"Bars are kept in TimescaleDB {extension} on PostgreSQL {server} at {place}."
        else:
            detail = f"Bars are kept in PostgreSQL {server} at {place}."
        return StoreDescription(kind, detail)

    async def check(self) -> None:
        await self._database.check()


async def _known_id(session: Session, key: SeriesKey) -> int:
    """The series' number; 0, which no series has, where it is unknown."""
    return (await _known_revision(session, key))[0]


async def _known_revision(session: Session, key: SeriesKey) -> tuple[int, int]:
    """The series' number and revision; 0 and 0 where it is unknown."""
    found = await session.row_or_none(FIND_SERIES, *_names(key))
    return (int(found["id"]), int(found["revision"])) if found else (0, 0)


def _names(key: SeriesKey) -> tuple[str, str, str, str]:
    return key.market, key.provider, key.symbol, key.timeframe


async def _coverage(session: Session, series_id: int, start_ms: int, end_ms: int) -> Coverage:
    if start_ms >= end_ms:
        return Coverage()
    known = await read_coverage(session, series_id, start_ms, end_ms)
    return Coverage(known.complete.clip(start_ms, end_ms), known.outage.clip(start_ms, end_ms))
