"""The embedded store beside the bare upsert and the bare read of the same SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Iterator
from itertools import count, cycle
from pathlib import Path

import numpy as np

from bench.bare_sqlite import bare_write, open_bare
from bench.generated import MINUTE_MS, START_MS, minute_bars
from bench.measuring import Result, compare, report
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import ONE_HOUR
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase

WRITTEN = 200_000
PAGE = 1_000
READ = 10_000
YEAR = 366 * 24 * 60
HOURS = 1_000

SELECT = (
    "SELECT time, open, high, low, close, volume FROM bars WHERE series_id = ? AND time >= ? AND time < ?"
)


def bare_read(connection: sqlite3.Connection, start_ms: int, end_ms: int, series: int = 1) -> Bars:
    """Select rows and turn them into columns."""
    rows = connection.execute(SELECT, (series, start_ms, end_ms)).fetchall()
    values = np.array(rows)
    return Bars(values[:, 0].astype(np.int64), *(values[:, column] for column in range(1, 6)))


def key(symbol: str) -> SeriesKey:
    """Name a series of minutes."""
    return SeriesKey("crypto", "kraken", symbol, "1m")


async def write_pages(store: SQLiteBarStore, symbol: str, bars: Bars, size: int) -> None:
    """Write the bars in parts with the coverage of each."""
    for first in range(0, len(bars), size):
        part = bars[first : first + size]
        covered = IntervalSet.single(int(part.time[0]), int(part.time[-1]) + MINUTE_MS)
        await store.write(SeriesBars(key(symbol), part, covered))


async def read_alone(reading: Awaitable[Bars]) -> None:
    """Read, and return nothing: what a task of ``Runner.run`` returns is printed by the library, unseen,
    which takes longer than to read it."""
    await reading


def written(
    store: SQLiteBarStore, connection: sqlite3.Connection, runner: asyncio.Runner
) -> Iterator[Result]:
    """Measure writing to fresh series, in one part and in pages, and once more to the first of them."""
    bars, others = minute_bars(WRITTEN), minute_bars(WRITTEN, seed=2)
    ours, theirs = count(1), count(1)

    def write_ours(size: int, symbol: str | None = None, given: Bars = bars) -> None:
        runner.run(write_pages(store, symbol or f"S{next(ours)}/USD", given, size))

    def write_bare(size: int, series: int | None = None, given: Bars = bars) -> None:
        series = series or next(theirs)
        for first in range(0, WRITTEN, size):
            bare_write(connection, series, given[first : first + size].rows())

    yield compare(
        f"write {WRITTEN:,} bars, coverage and rollups",
        lambda: write_ours(WRITTEN),
        lambda: write_bare(WRITTEN),
        ratio_min=0.6,
    )
    yield compare(
        f"write them in pages of {PAGE:,}",
        lambda: write_ours(PAGE),
        lambda: write_bare(PAGE),
        ratio_min=0.6,
    )
    yield compare(
        f"write {WRITTEN:,} bars that are there",
        lambda: write_ours(WRITTEN, "S1/USD"),
        lambda: write_bare(WRITTEN, 1),
        ratio_min=0.6,
    )
    turns = (cycle((others, bars)), cycle((others, bars)))
    yield compare(
        f"write {WRITTEN:,} bars in place of others",
        lambda: write_ours(WRITTEN, "S2/USD", next(turns[0])),
        lambda: write_bare(WRITTEN, 2, next(turns[1])),
        ratio_min=0.6,
    )


def read(store: SQLiteBarStore, connection: sqlite3.Connection, runner: asyncio.Runner) -> Iterator[Result]:
    """Measure reading the last bars of the first series, and hours of a year of minutes."""
    end_ms = START_MS + WRITTEN * MINUTE_MS
    start_ms = end_ms - READ * MINUTE_MS
    if not runner.run(store.read(key("S1/USD"), start_ms, end_ms)).equals(
        bare_read(connection, start_ms, end_ms)
    ):
        raise SystemExit("Both stores hold different bars.")
    yield compare(
        f"read {READ:,} bars into columns",
        lambda: runner.run(read_alone(store.read(key("S1/USD"), start_ms, end_ms))),
        lambda: bare_read(connection, start_ms, end_ms),
        ratio_min=0.75,
    )
    year, series = minute_bars(YEAR), 10_000
    runner.run(write_pages(store, "YEAR/USD", year, YEAR))
    hours = resample(year, ONE_HOUR)
    bare_write(connection, series, hours.rows())
    bounds = int(hours.time[-HOURS]), int(hours.time[-1]) + 1
    instrument = key("YEAR/USD").instrument
    found = runner.run(store.read_resampled(instrument, ONE_HOUR, *bounds))
    if found.rows() != bare_read(connection, *bounds, series).rows():
        raise SystemExit("Both stores hold different hours.")
    yield compare(
        f"read {HOURS:,} bars of 1h of a year of 1m",
        lambda: runner.run(read_alone(store.read_resampled(instrument, ONE_HOUR, *bounds))),
        lambda: bare_read(connection, *bounds, series),
        ratio_min=0.5,
    )


def results(folder: Path, runner: asyncio.Runner) -> Iterator[Result]:
    """Measure writing, then reading what was written."""
    database = SQLiteDatabase(folder / "ours.sqlite3")
    runner.run(database.open())
    store = SQLiteBarStore(database)
    connection = open_bare(folder / "bare.sqlite3", "NORMAL")
    yield from written(store, connection, runner)
    yield from read(store, connection, runner)
    connection.close()
    runner.run(database.close())


def main() -> int:
    """Measure in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        return report(list(results(Path(folder), runner)))


if __name__ == "__main__":
    sys.exit(main())
