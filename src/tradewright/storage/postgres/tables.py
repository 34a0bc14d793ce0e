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
from tradewright.storage.postgres.columns import COLUMNS, PACKED_BAR, bars_of, copy_data, storable_ms
from tradewright.storage.postgres.session import Session

PAGE_BARS: Final = 20_000
"""How many bars a write compares at a time."""
COPY_BARS: Final = 100_000
"""How many bars one COPY brings, and one statement reads, so that each gives a sign of life well before the
deadline."""
_COPY_FROM_BARS: Final = 500
"""From so many on, COPY is quicker than arrays; for reading it never is, since it can't be prepared."""

_SHORTEST_MONTH_MS: Final = 28 * DAY_MS

FIND_SERIES: Final = (
    "SELECT id, revision FROM series WHERE market = $1 AND provider = $2 AND symbol = $3 AND timeframe = $4"
)
_PAGE: Final = """
SELECT string_agg(%bar%, ''::bytea)
FROM (
    SELECT time, open, high, low, close, volume FROM %table%
    WHERE series_id = %series% AND time >= $1 AND time < $2 ORDER BY time LIMIT $3
) AS page
""".replace("%bar%", PACKED_BAR)
_READ: Final = _PAGE.replace("%series%", "$4")
_READ_SERIES: Final = _PAGE.replace(
    "%series%",
    "(SELECT id FROM series WHERE market = $4 AND provider = $5 AND symbol = $6 AND timeframe = $7)",
)
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
        return bars_of((await session.row(self._of_table(_READ), *bounds, limit, series_id))[0])

    async def read_series(self, session: Session, key: SeriesKey, start_ms: int, end_ms: int) -> Bars:
        """All bars of a series in a range; where one page holds them, in one round trip."""
        names = key.market, key.provider, key.symbol, key.timeframe
        if self.takes_many_statements(start_ms, end_ms):
            found = await session.row_or_none(FIND_SERIES, *names)
            return await self.read(session, int(found["id"]), start_ms, end_ms) if found else Bars.empty()
        bounds = storable_ms(start_ms), storable_ms(end_ms)
        return bars_of((await session.row(self._of_table(_READ_SERIES), *bounds, COPY_BARS, *names))[0])

    async def read(self, session: Session, series_id: int, start_ms: int, end_ms: int) -> Bars:
        """All of them, page by page."""
        pages: list[Bars] = []
        while start_ms < end_ms:
            pages.append(page := await self.page(session, series_id, start_ms, end_ms, COPY_BARS))
            if len(page) < COPY_BARS:
                break
            start_ms = int(page.time[-1]) + 1
        return Bars.concat(pages)

    def takes_many_statements(self, start_ms: int, end_ms: int) -> bool:
        """Whether a read of this range sees more than one moment, unless the transaction prevents it."""
        return end_ms - start_ms > COPY_BARS * self.length_ms

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
    if timeframe is ONE_MINUTE:
        return MINUTES
    shortest_ms = _SHORTEST_MONTH_MS if timeframe.unit == "month" else timeframe.length_ms
    return replace(NATIVE, length_ms=shortest_ms)


def rollup_table(source: Timeframe) -> BarTable:
    """Where the bars of this timeframe that are made of minutes, or the minutes themselves, are found."""
    return {ONE_MINUTE: MINUTES, ONE_HOUR: HOURS, ONE_DAY: DAYS}[source]
