"""The embedded store beside the bare upsert and the bare read of the same SQLite."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np

from bench.bare_sqlite import bare_write, open_bare
from bench.generated import MINUTE_MS, START_MS, minute_bars
from bench.measuring import Result, compare, report
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase

WRITTEN = 200_000
READ = 10_000

SELECT = (
    "SELECT time, open, high, low, close, volume FROM bars WHERE series_id = ? AND time >= ? AND time < ?"
)


def bare_read(connection: sqlite3.Connection, start_ms: int, end_ms: int) -> Bars:
    """Select rows and turn them into columns."""
    rows = connection.execute(SELECT, (1, start_ms, end_ms)).fetchall()
    values = np.array(rows)
    return Bars(values[:, 0].astype(np.int64), *(values[:, column] for column in range(1, 6)))


def results(folder: Path, runner: asyncio.Runner) -> Iterator[Result]:
    """Measure writing to fresh series, then reading from the first of them."""
    bars = minute_bars(WRITTEN)
    end_ms = START_MS + WRITTEN * MINUTE_MS
    database = SQLiteDatabase(folder / "ours.sqlite3")
    runner.run(database.open())
    store = SQLiteBarStore(database)
    connection = open_bare(folder / "bare.sqlite3", "NORMAL")

    ours, theirs = count(1), count(1)
    covered = IntervalSet.single(START_MS, end_ms)

    def write_ours() -> None:
        key = SeriesKey("crypto", "kraken", f"S{next(ours)}/USD", "1m")
        runner.run(store.write(SeriesBars(key, bars, covered)))

    yield compare(
        f"write {WRITTEN:,} bars with their coverage",
        write_ours,
        lambda: bare_write(connection, next(theirs), bars.rows()),
        ratio_min=0.6,
    )

    first = SeriesKey("crypto", "kraken", "S1/USD", "1m")
    start_ms = end_ms - READ * MINUTE_MS
    if not runner.run(store.read(first, start_ms, end_ms)).equals(bare_read(connection, start_ms, end_ms)):
        raise SystemExit("Both stores hold different bars.")
    yield compare(
        f"read {READ:,} bars into columns",
        lambda: runner.run(store.read(first, start_ms, end_ms)),
        lambda: bare_read(connection, start_ms, end_ms),
        ratio_min=0.75,
    )
    connection.close()
    runner.run(database.close())


def main() -> int:
    """Measure in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        return report(list(results(Path(folder), runner)))


if __name__ == "__main__":
    sys.exit(main())
