"""One series in SQLite: its number, its bars and rollups, its coverage, its empty answers.

Every function works within the transaction of its caller.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tradewright.domain.bars import Bars
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import Interval, IntervalSet
from tradewright.domain.ports import Coverage, CoverageKind, EmptyAnswer
from tradewright.domain.timeframes import ONE_DAY, ONE_HOUR, Timeframe, Times
from tradewright.storage.merging import extended, newly_empty, outside

CHUNK_BARS: Final = 20_000
"""How many bars are turned into Python numbers at a time; more is not faster."""
_ROWS_AT_ONCE: Final = 50
"""How many bars one statement takes: in half the time that one each needs; more gain little."""
_VALUES_OF_ROW: Final = 1 + len(Bars.__slots__)
_INT64: Final = np.iinfo(np.int64)
_ROW: Final = np.dtype([(name, "i8" if name == "time" else "f8") for name in Bars.__slots__])
_PACKED_AT_ONCE: Final = 250
_PACK_ONE: Final = struct.Struct("=q5d")
_PACK: Final = struct.Struct("=" + "q5d" * _PACKED_AT_ONCE)
"""One row, and many, as ``_ROW`` has them."""

_FIND_SERIES: Final = (
    "SELECT id FROM series WHERE market = ? AND provider = ? AND symbol = ? AND timeframe = ?"
)
_ADD_SERIES: Final = (
    "INSERT INTO series (market, provider, symbol, timeframe) VALUES (?, ?, ?, ?) RETURNING id"
)
_READ_REVISION: Final = (
    "SELECT revision FROM series WHERE market = ? AND provider = ? AND symbol = ? AND timeframe = ?"
)
_RAISE_REVISION: Final = "UPDATE series SET revision = revision + 1 WHERE id = ?"
# The intervals are disjoint, so of those that start before the range only the last can reach into it.
READ_COVERAGE: Final = (
    'SELECT start, "end", kind FROM coverage WHERE series_id = ?1 AND start <= ?3 AND start >= coalesce('
    "(SELECT start FROM coverage WHERE series_id = ?1 AND start < ?2 ORDER BY start DESC LIMIT 1), ?2) "
    "ORDER BY start"
)
_ADD_COVERAGE: Final = 'INSERT INTO coverage (series_id, start, "end", kind) VALUES (?, ?, ?, ?)'
_DELETE_COVERAGE: Final = "DELETE FROM coverage WHERE series_id = ? AND start = ?"
_READ_EMPTY: Final = READ_COVERAGE.replace("coverage", "empty_answers").replace("kind", "answered_ms")
_ADD_EMPTY: Final = 'INSERT INTO empty_answers (series_id, start, "end", answered_ms) VALUES (?, ?, ?, ?)'
_DELETE_EMPTY: Final = "DELETE FROM empty_answers WHERE series_id = ? AND start = ?"


class _Put(NamedTuple):
    """The same statement for one bar and for ``_ROWS_AT_ONCE``."""

    one: str
    many: str


class BarTable:
    """A table of bars by series and time, and the statements on it."""

    def __init__(self, name: str) -> None:
        columns = ", ".join(Bars.__slots__)
        changes = ", ".join(f"{column} = excluded.{column}" for column in Bars.__slots__[1:])
        insert = f"INSERT INTO {name} (series_id, {columns}) VALUES "  # noqa: S608  # the names are our own
        row = f"({', '.join('?' * _VALUES_OF_ROW)})"
        one, many = insert + row, insert + ", ".join([row] * _ROWS_AT_ONCE)
        upsert = f" ON CONFLICT DO UPDATE SET {changes}"
        self._insert, self._upsert = _Put(one, many), _Put(one + upsert, many + upsert)
        self._delete = f"DELETE FROM {name} WHERE series_id = ? AND time = ?"  # noqa: S608
        self._select = (
            f"SELECT {columns} FROM {name} "  # noqa: S608
            "WHERE series_id = ? AND time >= ? AND time < ? ORDER BY time"
        )
        self._openings = (
            f"SELECT group_concat(time) FROM (SELECT time FROM {name} "  # noqa: S608
            "WHERE series_id = ? AND time >= ? AND time < ? ORDER BY time)"
        )

    def read(self, connection: sqlite3.Connection, series_id: int, start_ms: int, end_ms: int) -> Bars:
        """The bars that open in ``[start_ms, end_ms)``."""
        if start_ms >= end_ms:
            return Bars.empty()
        cursor = connection.execute(self._select, (series_id, storable_ms(start_ms), storable_ms(end_ms)))
        rows = _packed(cursor)
        return Bars(*(np.ascontiguousarray(rows[name]) for name in Bars.__slots__))

    def openings(self, connection: sqlite3.Connection, series_id: int, start_ms: int, end_ms: int) -> Times:
        """When the bars open that ``read`` gives. One step of one statement makes a text of them all: row by
        row SQLite would let go of the interpreter and wait for it again at each, which takes long beside
        a thread that is busy."""
        bounds = (series_id, storable_ms(start_ms), storable_ms(end_ms))
        (text,) = connection.execute(self._openings, bounds).fetchone()
        return np.empty(0, dtype=np.int64) if text is None else np.fromstring(text, dtype=np.int64, sep=",")

    def insert(self, connection: sqlite3.Connection, series_id: int, bars: Bars) -> None:
        """Add bars at times at which there is none."""
        _put(connection, self._insert, series_id, bars)

    def upsert(self, connection: sqlite3.Connection, series_id: int, bars: Bars) -> None:
        """Add bars, or replace those that are there."""
        _put(connection, self._upsert, series_id, bars)

    def delete(self, connection: sqlite3.Connection, series_id: int, times: Times) -> None:
        """Remove the bars at the times."""
        connection.executemany(self._delete, ((series_id, time) for time in times.tolist()))


def _packed(cursor: sqlite3.Cursor) -> NDArray[np.void]:
    """All rows of the cursor as one array, without a list of more than a few of them. numpy itself takes half
    as long again to make one of tuples."""
    packed = bytearray()
    rows = cursor.fetchmany(_PACKED_AT_ONCE)
    while len(rows) == _PACKED_AT_ONCE:
        packed += _PACK.pack(*chain.from_iterable(rows))
        rows = cursor.fetchmany(_PACKED_AT_ONCE)
    for row in rows:
        packed += _PACK_ONE.pack(*row)
    return np.frombuffer(packed, dtype=_ROW)


def _put(connection: sqlite3.Connection, statement: _Put, series_id: int, bars: Bars) -> None:
    for first in range(0, len(bars), CHUNK_BARS):
        part = bars[first : first + CHUNK_BARS]
        columns = (column.tolist() for column in part.columns())
        values = list(chain.from_iterable(zip([series_id] * len(part), *columns, strict=True)))
        whole = len(part) // _ROWS_AT_ONCE * _ROWS_AT_ONCE * _VALUES_OF_ROW
        connection.executemany(statement.many, _cut(values, 0, whole, _ROWS_AT_ONCE * _VALUES_OF_ROW))
        connection.executemany(statement.one, _cut(values, whole, len(values), _VALUES_OF_ROW))


def _cut(values: list[float], start: int, end: int, length: int) -> Iterator[list[float]]:
    return (values[first : first + length] for first in range(start, end, length))


BARS: Final = BarTable("bars")
ROLLUP_TABLES: Final[dict[Timeframe, BarTable]] = {
    ONE_HOUR: BarTable("hour_rollups"),
    ONE_DAY: BarTable("day_rollups"),
}


def known_id(connection: sqlite3.Connection, key: SeriesKey) -> int:
    """The series' number; 0, which no series has, where it is unknown."""
    found = connection.execute(_FIND_SERIES, _names(key)).fetchone()
    return int(found[0]) if found else 0


def lasting_id(connection: sqlite3.Connection, key: SeriesKey) -> int:
    """The series' number, which it is given where it has none."""
    return known_id(connection, key) or int(connection.execute(_ADD_SERIES, _names(key)).fetchone()[0])


def revision(connection: sqlite3.Connection, key: SeriesKey) -> int:
    """The series' revision; 0 where it is unknown."""
    found = connection.execute(_READ_REVISION, _names(key)).fetchone()
    return int(found[0]) if found else 0


def raise_revision(connection: sqlite3.Connection, series_id: int) -> None:
    connection.execute(_RAISE_REVISION, (series_id,))


def _names(key: SeriesKey) -> tuple[str, str, str, str]:
    return key.market, key.provider, key.symbol, key.timeframe


def storable_ms(time_ms: int) -> int:
    """The time, or the nearest that SQLite can hold."""
    return max(int(_INT64.min), min(int(_INT64.max), time_ms))


def touching_coverage(connection: sqlite3.Connection, series_id: int, start_ms: int, end_ms: int) -> Coverage:
    """The stored intervals that overlap or touch the range, whole."""
    found: dict[CoverageKind, list[Interval]] = {"complete": [], "outage": []}
    bounds = (series_id, storable_ms(start_ms), storable_ms(end_ms))
    for start, end, kind in connection.execute(READ_COVERAGE, bounds):
        found[kind].append(Interval(start, end))
    return Coverage(IntervalSet(tuple(found["complete"])), IntervalSet(tuple(found["outage"])))


def extend_coverage(
    connection: sqlite3.Connection,
    series_id: int,
    known: Coverage,
    complete: IntervalSet,
    outage: IntervalSet,
) -> None:
    """Add to ``known``, which is all that touches what is added."""
    before, after = _labelled(known), _labelled(extended(known, complete, outage))
    connection.executemany(_DELETE_COVERAGE, ((series_id, start) for start, _, _ in before - after))
    connection.executemany(_ADD_COVERAGE, ((series_id, *row) for row in after - before))


class _Labelled(NamedTuple):
    start: int
    end: int
    kind: CoverageKind


def _labelled(coverage: Coverage) -> set[_Labelled]:
    complete: Iterable[_Labelled] = (_Labelled(*item, "complete") for item in coverage.complete)
    outage: Iterable[_Labelled] = (_Labelled(*item, "outage") for item in coverage.outage)
    return {*complete, *outage}


def touching_empty(
    connection: sqlite3.Connection, series_id: int, start_ms: int, end_ms: int
) -> tuple[EmptyAnswer, ...]:
    """The noted empty answers that overlap or touch the range, whole, ascending."""
    bounds = (series_id, storable_ms(start_ms), storable_ms(end_ms))
    return tuple(EmptyAnswer(*row) for row in connection.execute(_READ_EMPTY, bounds))


def note_empty(connection: sqlite3.Connection, series_id: int, empty: IntervalSet, answered_ms: int) -> None:
    """Note the intervals, at least one, where nothing is known of them."""
    hull = empty.items[0].start, empty.items[-1].end
    known = touching_coverage(connection, series_id, *hull).known
    noted = touching_empty(connection, series_id, *hull)
    _add_empty(connection, series_id, newly_empty(empty, noted, known, answered_ms))


def forget_empty(connection: sqlite3.Connection, series_id: int, known: IntervalSet) -> None:
    """Cut out of the noted empty answers what is known now; ``known`` holds at least one interval."""
    noted = touching_empty(connection, series_id, known.items[0].start, known.items[-1].end)
    left = outside(noted, known)
    if left != noted:
        connection.executemany(_DELETE_EMPTY, ((series_id, each.start) for each in noted))
        _add_empty(connection, series_id, left)


def _add_empty(connection: sqlite3.Connection, series_id: int, answers: Iterable[EmptyAnswer]) -> None:
    rows = ((series_id, each.start, each.end, each.answered_ms) for each in answers)
    connection.executemany(_ADD_EMPTY, rows)
