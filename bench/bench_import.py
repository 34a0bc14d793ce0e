"""The import of bars beside a bare loop over the same rows: into the store, and from a CSV file into it."""

from __future__ import annotations

import asyncio
import csv
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from bench.generated import MINUTE_MS, START_MS, minute_bars
from bench.measuring import Result, compare, report
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.services.bar_import import import_files
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore

ROWS = 200_000
SCHEMA = """
CREATE TABLE bars (
    series_id INTEGER NOT NULL, time INTEGER NOT NULL, open REAL NOT NULL, high REAL NOT NULL,
    low REAL NOT NULL, close REAL NOT NULL, volume REAL NOT NULL, PRIMARY KEY (series_id, time)
) STRICT, WITHOUT ROWID
"""
UPSERT = """
INSERT INTO bars VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET open = excluded.open,
    high = excluded.high, low = excluded.low, close = excluded.close, volume = excluded.volume
"""


def bare_write(connection: sqlite3.Connection, series: int, rows: Iterable[tuple[float, ...]]) -> None:
    """Upsert all rows in one transaction, durably."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(UPSERT, ((series, *row) for row in rows))
    connection.execute("COMMIT")


def bare_rows(path: Path) -> Iterator[tuple[float, ...]]:
    """Read a file without a single check."""
    with path.open(newline="") as file:
        for time, opening, high, low, close, volume in csv.reader(file):
            yield int(time), float(opening), float(high), float(low), float(close), float(volume)


def results(folder: Path, runner: asyncio.Runner) -> Iterator[Result]:
    """Measure imports of fresh series, of the same once more, and from a file."""
    bars = minute_bars(ROWS)
    file = folder / "bars.csv"
    file.write_text("".join(f"{row[0]},{','.join(map(repr, row[1:]))}\n" for row in bars.rows()))
    database = SQLiteDatabase(folder / "ours.sqlite3")
    runner.run(database.open())
    store, instruments = SQLiteBarStore(database), SQLiteInstrumentStore(database)
    connection = sqlite3.connect(folder / "bare.sqlite3", isolation_level=None)
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", SCHEMA):
        connection.execute(statement)
    ours, theirs = count(1), count(1)

    def import_fresh(symbol: str | None = None) -> None:
        key = SeriesKey("crypto", "kraken", symbol or f"S{next(ours)}/USD", "1m")
        covered = IntervalSet.single(START_MS, START_MS + ROWS * MINUTE_MS)
        runner.run(store.import_bars([SeriesBars(key, bars, covered)], replace=False))

    def import_file() -> None:
        importing = import_files(
            [file],
            market="crypto",
            provider="kraken",
            symbol=f"S{next(ours)}/USD",
            bars=store,
            instruments=instruments,
        )
        runner.run(importing)

    yield compare(
        f"import {ROWS:,} new bars",
        import_fresh,
        lambda: bare_write(connection, next(theirs), bars.rows()),
        ratio_min=0.6,
    )
    yield compare(
        f"import {ROWS:,} bars that are there",
        lambda: import_fresh("S1/USD"),
        lambda: bare_write(connection, 1, bars.rows()),
        ratio_min=0.6,
    )
    yield compare(
        f"import a CSV file of {ROWS:,} bars",
        import_file,
        lambda: bare_write(connection, next(theirs), bare_rows(file)),
        ratio_min=0.4,
    )
    connection.close()
    runner.run(database.close())


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        return report(list(results(Path(folder), runner)))


if __name__ == "__main__":
    sys.exit(main())
