"""The limits that the PostgreSQL store is held against: one table, the driver, nothing around it."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import asyncpg
import numpy as np

from tradewright.domain.bars import BarRow, Bars
from tradewright.domain.instruments import SeriesKey

COLUMNS = ("series_id", "time", "open", "high", "low", "close", "volume")
SCHEMA = """
DROP TABLE IF EXISTS bare_minutes;
CREATE TABLE bare_minutes (
    series_id integer NOT NULL, time bigint NOT NULL, open double precision NOT NULL,
    high double precision NOT NULL, low double precision NOT NULL, close double precision NOT NULL,
    volume double precision NOT NULL, PRIMARY KEY (series_id, time)
)
"""
HYPERTABLE = """
SELECT create_hypertable(
    'bare_minutes', 'time', chunk_time_interval => 2592000000, create_default_indexes => false
)
"""
UPSERT = """
INSERT INTO bare_minutes SELECT * FROM incoming ON CONFLICT (series_id, time) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume
"""
UPSERT_EACH = """
INSERT INTO bare_minutes SELECT * FROM unnest(
    $1::integer[], $2::bigint[], $3::double precision[], $4::double precision[], $5::double precision[],
    $6::double precision[], $7::double precision[]
) ON CONFLICT (series_id, time) DO UPDATE SET
    open = excluded.open, high = excluded.high, low = excluded.low, close = excluded.close,
    volume = excluded.volume
"""
SELECT = """
SELECT time, open, high, low, close, volume FROM {} WHERE series_id = {:d} AND time >= {:d} AND time < {:d}
ORDER BY time
"""
FIELDS = [("time", ">i8"), *((name, ">f8") for name in ("open", "high", "low", "close", "volume"))]
HEAD, END = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"


def copy_row(fields: list[tuple[str, str]]) -> np.dtype[np.void]:
    """A row of binary COPY: how many fields it has, and each field behind its length."""
    parts = [part for name, kind in fields for part in ((f"{name}_length", ">i4"), (name, kind))]
    return np.dtype([("fields", ">i2"), *parts])


ROW = copy_row(FIELDS)
ROW_OF_SERIES = copy_row([("series_id", ">i4"), *FIELDS])


def copy_in_data(series: int, bars: Bars) -> bytes:
    """Bars as binary COPY takes them."""
    rows = np.empty(len(bars), ROW_OF_SERIES)
    rows["fields"], rows["series_id"], rows["series_id_length"] = len(COLUMNS), series, 4
    for (name, _), column in zip(FIELDS, bars.columns(), strict=True):
        rows[f"{name}_length"], rows[name] = 8, column
    return HEAD + rows.tobytes() + END


class BarePostgres:
    """One connection and one table."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @classmethod
    async def connected(cls, url: str, *, hypertable: bool) -> BarePostgres:
        """Connect, and make the table anew."""
        connection = await asyncpg.connect(url)
        await connection.execute(SCHEMA)
        if hypertable:
            await connection.execute(HYPERTABLE)
        await connection.execute("CREATE TEMPORARY TABLE incoming (LIKE bare_minutes)")
        await connection.execute("SET jit = off")
        return cls(connection)

    async def close(self, schema: str) -> None:
        """Drop the table and what was measured beside it."""
        await self._connection.execute("DROP TABLE bare_minutes")
        await self._connection.execute(f"DROP SCHEMA {schema} CASCADE")
        await self._connection.close()

    async def upsert(self, series: int, bars: Bars) -> None:
        """COPY into a temporary table, then INSERT ON CONFLICT, in one transaction."""
        async with self._connection.transaction():
            await self._connection.execute("TRUNCATE incoming")
            data = BytesIO(copy_in_data(series, bars))
            await self._connection.copy_to_table("incoming", source=data, columns=COLUMNS, format="binary")
            await self._connection.execute(UPSERT)

    async def upsert_each(self, series: Sequence[int], row: BarRow) -> None:
        """One row for each of the series, all in one statement and one transaction."""
        columns = ([value] * len(series) for value in row)
        await self._connection.execute(UPSERT_EACH, series, *columns)

    async def copy_out(self, series: int, start_ms: int, end_ms: int) -> Bars:
        """Columns out of a binary COPY."""
        return await self.select("bare_minutes", series, start_ms, end_ms)

    async def select(self, table: str, series: int, start_ms: int, end_ms: int) -> Bars:
        """The same from any table."""
        pieces: list[bytes] = []

        async def take(data: bytes) -> None:
            pieces.append(data)

        query = SELECT.format(table, series, start_ms, end_ms)
        await self._connection.copy_from_query(query, output=take, format="binary")
        data = b"".join(pieces)
        count = (len(data) - len(HEAD) - len(END)) // ROW.itemsize
        rows = np.frombuffer(data, ROW, offset=len(HEAD), count=count)
        return Bars(rows["time"].astype(np.int64), *(rows[name].astype(np.float64) for name, _ in FIELDS[1:]))

    async def series_id(self, schema: str, key: SeriesKey) -> int:
        """The number under which the store keeps a series."""
        query = f"SELECT id FROM {schema}.series WHERE symbol = $1"
        number: int = await self._connection.fetchval(query, key.symbol)
        return number

    async def vacuum(self, schema: str) -> None:
        """Give both tables what the server would give them some time later."""
        await self._connection.execute("VACUUM ANALYZE bare_minutes")
        await self._connection.execute(f"VACUUM ANALYZE {schema}.minutes")
