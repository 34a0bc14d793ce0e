"""The PostgreSQL store beside the bare upsert, `psql \\copy` and binary COPY of the same server.

    python -m bench.bench_postgres

measures on a private server, or on those that TRADEWRIGHT_TEST_POSTGRES_URL and
TRADEWRIGHT_TEST_TIMESCALE_URL name.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from bench.bare_postgres import BarePostgres
from bench.bench_resampling import bare_resampled
from bench.generated import MINUTE_MS, START_MS, minute_bars
from bench.measuring import Result, compare, report
from tools.private_servers import postgres_program, private_postgres
from tradewright.domain.bars import Bars
from tradewright.domain.instruments import InstrumentKey, SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.domain.timeframes import ONE_HOUR, ONE_MINUTE
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase

SCHEMA = "bench"
WRITTEN = 200_000
YEAR = 525_600
YEAR_END_MS = START_MS + YEAR * MINUTE_MS

READ_RUNS = 21
HOURS = (1_000, 8_760)
LIVE = 500
LIVE_RATIO_MIN = 0.12
"""All series are written in half a dozen statements, but beside their minutes each has its row locked, its
coverage lengthened, and an hour and a day changed: five times what the bare statement touches."""

Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Bench:
    """Both stores of one server, ready to be measured."""

    def __init__(self, url: str, run: Run, folder: Path) -> None:
        self.run = run
        self.url = url
        self.database = PostgresDatabase(url, schema=SCHEMA)
        self.store = PostgresBarStore(self.database)
        run(self.database.open())
        self.bare = run(BarePostgres.connected(url, hypertable=self.database.kind == "timescaledb"))
        self.csv = folder / "bars.csv"

    def close(self) -> None:
        """Leave nothing in the database."""
        self.run(self.database.close())
        self.run(self.bare.close(SCHEMA))

    def key(self, number: int) -> SeriesKey:
        """The series of that number."""
        return InstrumentKey("crypto", "kraken", f"S{number}/USD").series(ONE_MINUTE)

    def write(self, number: int, bars: Bars) -> None:
        """Write bars with their coverage, as whoever fetched them does."""
        covered = IntervalSet.single(int(bars.time[0]), int(bars.time[-1]) + MINUTE_MS)
        self.run(self.store.write(SeriesBars(self.key(number), bars, covered)))

    async def bare_hours_of_minutes(self, start_ms: int) -> Bars:
        """Hours made of the bare table's minutes."""
        return bare_resampled(await self.bare.copy_out(100, start_ms, YEAR_END_MS), ONE_HOUR.length_ms)

    def psql_copy(self, series: int) -> None:
        """Load the file of a year into the bare table."""
        program = postgres_program("psql") or "psql"
        script = f"\\copy bare_minutes FROM '{self.csv.with_suffix(f'.{series}')}' WITH (FORMAT csv)"
        subprocess.run([program, "-X", "-q", "-d", self.url, "-c", script], check=True)


def writing(bench: Bench) -> Iterator[Result]:
    """Into new series, the same bars again, and other bars in their place."""
    first, other = minute_bars(WRITTEN), minute_bars(WRITTEN, seed=2)
    ours, theirs = count(1), count(1)
    yield compare(
        f"write {WRITTEN:,} new bars, beside the bare upsert",
        lambda: bench.write(next(ours), first),
        lambda: bench.run(bench.bare.upsert(next(theirs), first)),
        ratio_min=0.6,
    )
    yield compare(
        "the same bars again, beside the bare upsert",
        lambda: bench.write(1, first),
        lambda: bench.run(bench.bare.upsert(1, first)),
        ratio_min=0.6,
    )
    turns = (count(), count())
    versions = (other, first)
    yield compare(
        "other bars in their place, beside the bare upsert",
        lambda: bench.write(1, versions[next(turns[0]) % 2]),
        lambda: bench.run(bench.bare.upsert(1, versions[next(turns[1]) % 2])),
        ratio_min=0.6,
    )


def loading(bench: Bench) -> Iterator[Result]:
    """A year of a new series."""
    year = minute_bars(YEAR)
    ours, theirs = count(100), count(100)
    for series in range(100, 110):
        rows = (f"{series},{','.join(map(repr, row))}\n" for row in year.rows())
        bench.csv.with_suffix(f".{series}").write_text("".join(rows))
    yield compare(
        "a year of new bars, beside psql \\copy",
        lambda: bench.write(next(ours), year),
        lambda: bench.psql_copy(next(theirs)),
        ratio_min=0.9,
    )
    bench.run(bench.bare.vacuum(SCHEMA))


def reading(bench: Bench) -> Iterator[Result]:
    """Minutes of a stored year."""
    bench.run(bench.bare.vacuum(SCHEMA))
    for bars in (1_000, 10_000, 100_000, YEAR):
        start_ms = YEAR_END_MS - bars * MINUTE_MS
        mine = bench.run(bench.store.read(bench.key(100), start_ms, YEAR_END_MS))
        if not mine.equals(bench.run(bench.bare.copy_out(100, start_ms, YEAR_END_MS))) or len(mine) != bars:
            raise SystemExit("Both stores hold different bars.")
        times = max(1, 20_000 // bars)  # one short read is over before a clock says much about it

        async def ours(start_ms: int = start_ms, times: int = times) -> None:
            for _ in range(times):
                await bench.store.read(bench.key(100), start_ms, YEAR_END_MS)

        async def theirs(start_ms: int = start_ms, times: int = times) -> None:
            for _ in range(times):
                await bench.bare.copy_out(100, start_ms, YEAR_END_MS)

        yield compare(
            f"{times} x read {bars:,} bars, beside binary COPY",
            lambda ours=ours: bench.run(ours()),  # type: ignore[misc]
            lambda theirs=theirs: bench.run(theirs()),  # type: ignore[misc]
            ratio_min=1 / 1.3,
            runs=7 if bars == YEAR else READ_RUNS,
        )


def resampling(bench: Bench) -> Iterator[Result]:
    """Hours of a year, beside a bare select of the rollups; on TimescaleDB also while they are stale, beside
    the bare read of their minutes and a bare reduction of these: there is nothing else to make them of."""
    refresher = bench.database.refresher()
    if refresher is not None:
        for bars in HOURS:
            yield hours(bench, bars, "stale", bench.bare_hours_of_minutes)
        bench.run(refresher.refresh())
        bench.run(bench.bare.vacuum(SCHEMA))
    series = bench.run(bench.bare.series_id(SCHEMA, bench.key(100)))
    for bars in HOURS:
        yield hours(
            bench,
            bars,
            "kept" if refresher is None else "refreshed",
            lambda start_ms: bench.bare.select(f"{SCHEMA}.hour_rollups", series, start_ms, YEAR_END_MS),
        )


def hours(bench: Bench, bars: int, state: str, limit: Callable[[int], Coroutine[Any, Any, Bars]]) -> Result:
    """The last hours of the year beside the same hours out of the bare table."""
    start_ms = YEAR_END_MS - bars * ONE_HOUR.length_ms
    times = max(1, 4_000 // bars)

    def read() -> Coroutine[Any, Any, Bars]:
        return bench.store.read_resampled(bench.key(100).instrument, ONE_HOUR, start_ms, YEAR_END_MS)

    mine, theirs = bench.run(read()), bench.run(limit(start_ms))
    if len(mine) != bars or not np.array_equal(mine.close, theirs.close):
        raise SystemExit("Both stores hold different hours.")

    async def repeated(asked: Callable[[], Coroutine[Any, Any, Bars]]) -> None:
        for _ in range(times):
            await asked()

    return compare(
        f"{times} x read {bars:,} hours ({state}), beside bare ones",
        lambda: bench.run(repeated(read)),
        lambda: bench.run(repeated(lambda: limit(start_ms))),
        ratio_min=0.5,
        runs=READ_RUNS,
    )


def live(bench: Bench) -> Iterator[Result]:
    """One closed bar of each of many series, as live feeds close them: ours with coverage, rollups and all
    checks; the limit one statement, and nothing else."""
    one = minute_bars(1)
    mine, theirs_moved = count(1), count(1)
    series = range(1_000, 1_000 + LIVE)

    def shifted(minutes: int) -> Bars:
        return Bars(one.time + MINUTE_MS * minutes, *one.values())

    def ours() -> None:
        bars = shifted(next(mine))
        covered = IntervalSet.single(int(bars.time[0]), int(bars.time[0]) + MINUTE_MS)
        batches = [SeriesBars(bench.key(number), bars, covered) for number in series]
        bench.run(bench.store.write_many(batches))

    def theirs() -> None:
        bench.run(bench.bare.upsert_each(series, shifted(next(theirs_moved)).rows()[0]))

    yield compare(
        f"{LIVE} series' live bars, beside one bare upsert", ours, theirs, ratio_min=LIVE_RATIO_MIN, runs=21
    )


def measure(url: str, folder: Path) -> int:
    """Measure on one server and print its kind with the results."""
    with asyncio.Runner() as runner:
        # Not by the runner's own run(): it writes out the last result, number by number, each time.
        bench = Bench(url, runner.get_loop().run_until_complete, folder)
        print(bench.run(bench.store.describe()).detail)
        try:
            steps = (writing, loading, reading, resampling, live)
            return report([result for step in steps for result in step(bench)])
        finally:
            bench.close()


def main() -> int:
    """Measure on every server that is named, or on a private one."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o711)
        named = [os.environ.get(f"TRADEWRIGHT_TEST_{name}_URL") for name in ("POSTGRES", "TIMESCALE")]
        urls = [url for url in named if url]
        if not urls:
            urls = [stack.enter_context(private_postgres(folder / "postgres")).url]
        return max(measure(url, folder) for url in urls)


if __name__ == "__main__":
    sys.exit(main())
