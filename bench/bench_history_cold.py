"""The first request for 1,000 bars of 1h out of a year of stored minutes, over HTTP, beside the bare read of
the rollup.

Each series is asked for once, of a server that knows nothing of it: no answer is kept and no cache holds it.
The bare read is one of rows in a plain table of hours in the same kind of database, turned into JSON by the
quickest encoder there is and sent by a plain Quart route under the same server.
"""

from __future__ import annotations

import asyncio
import http.client
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from bench.bare_sqlite import bare_write, open_bare
from bench.bench_history import running
from bench.generated import MINUTE_MS, START_MS, minute_bars
from bench.measuring import Result, report
from tests.support.processes import serving
from tools.private_servers import free_port
from tradewright.app_extensions.stores import BARS_FILE
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import Instrument, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.resampling import resample
from tradewright.domain.timeframes import HOUR_MS, ONE_HOUR
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase

YEAR = 365 * 24 * 60
HOURS = 1_000
SERIES = 15
START = START_MS + (-START_MS) % HOUR_MS
END_MS = START + YEAR * MINUTE_MS
FIRST_MS = END_MS - HOURS * HOUR_MS


def symbol(number: int) -> str:
    """The series of that number; the first is for warming up."""
    return f"C{number}/USD"


async def store_minutes(folder: Path, minutes: Bars) -> None:
    """Put the minutes where the server will look for them, as an import does."""
    database = SQLiteDatabase(folder / BARS_FILE)
    await database.open()
    store = SQLiteBarStore(database)
    for number in range(SERIES + 1):
        key = SeriesKey("crypto", "archive", symbol(number), "1m")
        batch = SeriesBars(key, minutes, IntervalSet.single(START, END_MS))
        instrument = Instrument(market="crypto", symbol=key.symbol, base=f"C{number}", quote="USD")
        await store.import_bars([batch], replace=False, instruments=[instrument])
    await database.close()


def store_hours(file: Path, hours: Bars) -> None:
    """The same as plain rows of hours."""
    connection = open_bare(file, "NORMAL")
    for number in range(SERIES + 1):
        bare_write(connection, number, hours.rows())
    connection.close()


class Asking:
    """One connection that stays open."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)

    def rows(self, path: str) -> tuple[float, list[list[float]]]:
        """Seconds until the whole answer was there, and its bars."""
        began = time.perf_counter()
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read()
        taken = time.perf_counter() - began
        if answer.status != 200:
            raise SystemExit(f"{path} answered {answer.status}: {body[:200]!r}")
        rows: list[list[float]] = msgspec.json.decode(body)["bars"]
        return taken, rows


def measure(folder: Path) -> Result:
    """Ask both for each series, in turn."""
    minutes = minute_bars(YEAR)
    minutes = Bars(minutes.time - START_MS + START, *minutes.values())
    hours = resample(minutes, ONE_HOUR)
    (folder / "data").mkdir()
    asyncio.run(store_minutes(folder / "data", minutes))
    store_hours(folder / "bare.sqlite3", hours)
    port = free_port()
    bare = f"http://127.0.0.1:{port}"
    program = [sys.executable, "-m", "bench.plain_hours", str(port), str(folder / "bare.sqlite3")]
    ours_s, limit_s = [], []
    with serving(folder / "data") as server, running(program, f"{bare}/hours?series=0&start=0&end=1"):
        mine, theirs = Asking(server.url), Asking(bare)
        for number in range(SERIES + 1):
            path = (
                f"/api/v1/market/ohlcv?market=crypto&provider=archive&symbol={symbol(number)}&timeframe=1h"
                f"&start={FIRST_MS}&end={END_MS}&limit={HOURS}"
            )
            taken, rows = mine.rows(path)
            bare_taken, bare_rows = theirs.rows(f"/hours?series={number}&start={FIRST_MS}&end={END_MS}")
            if len(rows) != HOURS or [row[:5] for row in rows] != [row[:5] for row in bare_rows]:
                raise SystemExit("Both answer other bars.")
            if number:
                ours_s.append(taken)
                limit_s.append(bare_taken)
    return Result.of_pairs(f"{HOURS:,} hours of a year, never asked for", ours_s, limit_s, ratio_min=0.5)


def main() -> int:
    """Measure in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return report([measure(Path(folder))])


if __name__ == "__main__":
    sys.exit(main())
