"""Hours and days of the stored minutes: tables that each write keeps, or TimescaleDB's aggregates.

What differs between the two kinds of database stands behind ``Rollups``; the rest of the package is the
same for both.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import DAY_MS, ONE_DAY, ONE_MINUTE, Timeframe, Times
from tradewright.storage.postgres.columns import storable_ms, times_of
from tradewright.storage.postgres.migrations import Kind
from tradewright.storage.postgres.session import Session
from tradewright.storage.postgres.tables import MINUTES, PAGE_BARS, BarTable, rollup_table
from tradewright.storage.rollups import ROLLUPS, Stretch, reach, rolled_up

_MARK_STALE: Final = (
    "INSERT INTO stale_days (series_id, day_ms) SELECT $1, unnest($2::bigint[]) ORDER BY 2 "
    "ON CONFLICT (series_id, day_ms) DO UPDATE SET mark = nextval('stale_marks')"
)
_READ_STALE: Final = (
    "SELECT string_agg(int8send(day_ms), ''::bytea ORDER BY day_ms) FROM stale_days "
    "WHERE series_id = $1 AND day_ms > $2 AND day_ms < $3"
)


class Rollups(Protocol):
    """How hours and days follow the minutes."""

    async def follow(self, session: Session, series_id: int, stretch: Stretch, touched: Times) -> None:
        """A write changed minutes at the ``touched`` times inside ``stretch``, in the same transaction."""
        ...

    async def read(self, session: Session, series_id: int, source: Timeframe, within: Interval) -> Bars:
        """The bars of ``source``, a minute or a rollup, that open ``within``; its bounds are aligned."""
        ...

    def takes_many_statements(self, source: Timeframe, within: Interval) -> bool:
        """Whether that sees more than one moment, unless the caller's transaction prevents it."""
        ...


class KeptRollups:
    """Tables, changed in the transactions that change the minutes."""

    async def follow(self, session: Session, series_id: int, stretch: Stretch, touched: Times) -> None:
        source = ONE_MINUTE
        for rollup in ROLLUPS:
            span, finer, table = reach(stretch, touched, rollup), rollup_table(source), rollup_table(rollup)
            before, after = await _around(session, finer, series_id, stretch, span)
            change, stretch = rolled_up(stretch.widened(before, after, span), touched, rollup)
            await table.delete(session, series_id, change.emptied)
            await table.put(session, series_id, Bars.empty(), change.bars)
            source = rollup

    async def read(self, session: Session, series_id: int, source: Timeframe, within: Interval) -> Bars:
        return await rollup_table(source).read(session, series_id, *within)

    def takes_many_statements(self, source: Timeframe, within: Interval) -> bool:
        return rollup_table(source).takes_many_statements(*within)


async def _around(
    session: Session, table: BarTable, series_id: int, stretch: Stretch, span: Interval
) -> tuple[Bars, Bars]:
    """The stored bars of ``span`` before and after the stretch: at once, where what is between is little."""
    if span == (stretch.start, stretch.end):
        return Bars.empty(), Bars.empty()
    if span.end - span.start <= DAY_MS:
        stored = await table.read(session, series_id, *span)
        return stored.between(span.start, stretch.start), stored.between(stretch.end, span.end)
    before = await table.read(session, series_id, span.start, stretch.start)
    return before, await table.read(session, series_id, stretch.end, span.end)


class ContinuousAggregates:
    """TimescaleDB's aggregates, which are refreshed later.

    A write marks the days that it touches as stale, in its own transaction. Of a stale day, a reader
    makes the bars out of minutes; a refresh takes away the marks that it saw. So what is read is right
    at every moment, whatever becomes of a refresh.
    """

    async def follow(self, session: Session, series_id: int, stretch: Stretch, touched: Times) -> None:
        days = np.unique(ONE_DAY.floor_array(touched))
        for first in range(0, len(days), PAGE_BARS):
            await session.run(_MARK_STALE, series_id, days[first : first + PAGE_BARS].tolist())

    async def read(self, session: Session, series_id: int, source: Timeframe, within: Interval) -> Bars:
        table = rollup_table(source)
        if source is ONE_MINUTE:
            return await table.read(session, series_id, *within)
        bounds = storable_ms(within.start - DAY_MS), storable_ms(within.end)
        days = times_of((await session.row(_READ_STALE, series_id, *bounds))[0])
        stale = IntervalSet.of((day, day + DAY_MS) for day in days.tolist()).clip(*within)
        refreshed = Bars.empty()
        if not stale.contains(*within):
            refreshed = await table.read(session, series_id, *within)
        if not stale:
            return refreshed
        parts = [resample(await MINUTES.read(session, series_id, *each), source) for each in stale]
        fresh = refreshed.take(~np.isin(ONE_DAY.floor_array(refreshed.time), days))
        return fresh.merged_with(Bars.concat(parts))

    def takes_many_statements(self, source: Timeframe, within: Interval) -> bool:
        return source is not ONE_MINUTE or MINUTES.takes_many_statements(*within)


def rollups_of(kind: Kind) -> Rollups:
    """How a database of this kind does it."""
    return ContinuousAggregates() if kind == "timescaledb" else KeptRollups()
