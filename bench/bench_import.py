"""The import of bars beside a bare loop over the same rows: into the store, and from a CSV file into it."""

from __future__ import annotations

import asyncio
import csv
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from bench.bare_sqlite import bare_write, open_bare
from bench.generated import MINUTE_MS, START_MS, minute_bars
from bench.measuring import Result, compare, report
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.services.bar_import import import_files
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase, SQLiteInstrumentStore

ROWS = 200_000


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
    connection = open_bare(folder / "bare.sqlite3", "FULL")
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
        ratio_min=0.6,
    )
    connection.close()
    runner.run(database.close())


def main() -> int:
    """Measure and report."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        return report(list(results(Path(folder), runner)))


if __name__ == "__main__":
    sys.exit(main())
