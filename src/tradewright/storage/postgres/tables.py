"""The tables that hold bars, and the statements that read and change them, the same for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.timeframes import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    ONE_DAY,
    ONE_HOUR,
    ONE_MINUTE,
    Timeframe,
    Times,
)
from tradewright.storage.postgres.columns import COLUMNS, bars_of, bars_of_copy, copy_data, storable_ms
from tradewright.storage.postgres.session import Session

PAGE_BARS: Final = 20_000
"""How many bars a write compares at a time."""
COPY_BARS: Final = 100_000
"""How many bars one COPY brings, so that each gives a sign of life well before the deadline."""
_COPY_FROM_BARS: Final = 500
"""From so many on, COPY is quicker than arrays."""
_STREAM_FROM_BARS: Final = 600
"""Likewise for reading: a streamed answer costs a statement that is not prepared, a packed one memory."""

FIND_SERIES: Final = (
    "SELECT id, revision FROM series WHERE market = $1 AND provider = $2 AND symbol = $3 AND timeframe = $4"
)
# All columns in one row, each as one packed array: the parser of the driver never sees a single bar.
_PAGE: Final = """
SELECT array_send(array_agg(time)), array_send(array_agg(open)), array_send(array_agg(high)),
    array_send(array_agg(low)), array_send(array_agg(close)), array_send(array_agg(volume))
FROM (
    SELECT time, open, high, low, close, volume FROM %table%
    WHERE series_id = %series% AND time >= $1 AND time < $2 ORDER BY time LIMIT $3
) AS page
"""
_READ: Final = _PAGE.replace("%series%", "$4")
_READ_SERIES: Final = _PAGE.replace(
    "%series%",
    "(SELECT id FROM series WHERE market = $4 AND provider = $5 AND symbol = $6 AND timeframe = $7)",
)
_STREAM: Final = """
SELECT time, open, high, low, close, volume FROM %table%
WHERE series_id = %series% AND time >= %start% AND time < %end% ORDER BY time
"""
_EXTENT: Final = "SELECT min(time), max(time) FROM %table% WHERE series_id = $1"
_PUT: Final = """
INSERT INTO %table% (series_id, time, open, high, low, close, volume)
SELECT $1, * FROM unnest(
    $2::bigint[], $3::double precision[], $4::double precision[], $5::double precision[],
    $6::double precision[], $7::double precision[]
)
ON CONFLICT (series_id, time) DO UPDATE SET open = excluded.open, high = excluded.high, low = excluded.low,
    close = excluded.close, volume = excluded.volume
"""
# The bounds say nothing new, but by them a hypertable looks into few of its chunks.
_DELETE: Final = (
    "DELETE FROM %table% WHERE series_id = $1 AND time = ANY($2::bigint[]) AND time >= $3 AND time <= $4"
)


@dataclass(frozen=True, slots=True)
class BarTable:
    """One table, or view, of bars in the search path; ``length_ms`` is that of its shortest bar."""

    name: str
    length_ms: int

    def _of_table(self, statement: str) -> str:
        return statement.replace("%table%", self.name)

    async def page(
        self, session: Session, series_id: int, start_ms: int, end_ms: int, limit: int = PAGE_BARS
    ) -> Bars:
        """The first ``limit`` stored bars that open in ``[start_ms, end_ms)``."""
        bounds = storable_ms(start_ms), storable_ms(end_ms)
        return bars_of(await session.row(self._of_table(_READ), *bounds, limit, series_id))

    async def read_series(self, session: Session, key: SeriesKey, start_ms: int, end_ms: int) -> Bars:
        """All bars of a series in a range; for a short one, in one round trip."""
        names = key.market, key.provider, key.symbol, key.timeframe
        if self._is_short(start_ms, end_ms):
            values = storable_ms(start_ms), storable_ms(end_ms), 2 * _STREAM_FROM_BARS, *names
            return bars_of(await session.row(self._of_table(_READ_SERIES), *values))
        found = await session.row_or_none(FIND_SERIES, *names)
        return await self.read(session, int(found["id"]), start_ms, end_ms) if found else Bars.empty()

    async def read(self, session: Session, series_id: int, start_ms: int, end_ms: int) -> Bars:
        """All of them."""
        if start_ms >= end_ms:
            return Bars.empty()
        if self.takes_many_statements(start_ms, end_ms):
            first, last = await self.extent(session, series_id) or (0, -1)
            start_ms, end_ms = max(start_ms, first), min(end_ms, last + 1)
        if self._is_short(start_ms, end_ms):
            # Twice as many, since months are counted by the longest.
            return await self.page(session, series_id, start_ms, end_ms, 2 * _STREAM_FROM_BARS)
        step_ms = COPY_BARS * self.length_ms
        parts = [
            await self._stream(session, series_id, first_ms, min(end_ms, first_ms + step_ms))
            for first_ms in range(start_ms, end_ms, step_ms)
        ]
        return Bars.concat(parts)

    def _is_short(self, start_ms: int, end_ms: int) -> bool:
        return end_ms - start_ms <= _STREAM_FROM_BARS * self.length_ms

    def takes_many_statements(self, start_ms: int, end_ms: int) -> bool:
        """Whether a read of this range sees more than one moment, unless the transaction prevents it."""
        return end_ms - start_ms > COPY_BARS * self.length_ms

    async def _stream(self, session: Session, series_id: int, start_ms: int, end_ms: int) -> Bars:
        query = self._of_table(_STREAM)
        for name, number in (("%series%", series_id), ("%start%", start_ms), ("%end%", end_ms)):
            query = query.replace(name, f"{number:d}")  # COPY takes no parameters; these are integers
        return bars_of_copy(await session.copy_out(query))

    async def extent(self, session: Session, series_id: int) -> tuple[int, int] | None:
        """The opening of the first and of the last stored bar."""
        first, last = await session.row(self._of_table(_EXTENT), series_id)
        return None if first is None else (first, last)

    async def put(self, session: Session, series_id: int, new: Bars, changed: Bars) -> None:
        """Store bars of which none is there (``new``) and others in place of those that are."""
        bars = new.merged_with(changed)
        if len(bars) < _COPY_FROM_BARS:
            if len(bars):
                columns = (column.tolist() for column in bars.columns())
                await session.run(self._of_table(_PUT), series_id, *columns)
            return
        await self.delete(session, series_id, changed.time)
        for first in range(0, len(bars), COPY_BARS):
            part = bars[first : first + COPY_BARS]
            await session.copy_in(self.name, COLUMNS, copy_data(series_id, part))

    async def delete(self, session: Session, series_id: int, times: Times) -> None:
        """Remove the bars of these times, which ascend."""
        for first in range(0, len(times), PAGE_BARS):
            part: list[int] = np.asarray(times[first : first + PAGE_BARS]).tolist()
            await session.run(self._of_table(_DELETE), series_id, part, part[0], part[-1])


MINUTES: Final = BarTable("minutes", MINUTE_MS)
NATIVE: Final = BarTable("bars", MINUTE_MS)
HOURS: Final = BarTable("hour_rollups", HOUR_MS)
DAYS: Final = BarTable("day_rollups", DAY_MS)


def table_of(timeframe: Timeframe) -> BarTable:
    """Where the bars of a series of this timeframe are stored."""
    return MINUTES if timeframe is ONE_MINUTE else replace(NATIVE, length_ms=timeframe.length_ms)


def rollup_table(source: Timeframe) -> BarTable:
    """Where the bars of this timeframe that are made of minutes, or the minutes themselves, are found."""
    return {ONE_MINUTE: MINUTES, ONE_HOUR: HOURS, ONE_DAY: DAYS}[source]
