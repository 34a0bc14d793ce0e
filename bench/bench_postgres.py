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

from bench.bare_postgres import BarePostgres
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
    """Minutes and hours of a stored year."""
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
        )
    yield from resampling(bench)


def resampling(bench: Bench) -> Iterator[Result]:
    """Hours of a year, beside a bare select of the rollups; on TimescaleDB also while they are stale."""
    instrument, refresher = bench.key(100).instrument, bench.database.refresher()
    series = bench.run(bench.bare.series_id(SCHEMA, bench.key(100)))
    states = ["kept"] if refresher is None else ["stale", "refreshed"]
    results = []
    for state in states:
        if state == "refreshed" and refresher is not None:
            bench.run(refresher.refresh())
            bench.run(bench.bare.vacuum(SCHEMA))
        for bars in (1_000, 8_760):
            start_ms = YEAR_END_MS - bars * ONE_HOUR.length_ms
            hours = bench.run(bench.store.read_resampled(instrument, ONE_HOUR, start_ms, YEAR_END_MS))
            assert len(hours) == bars
            results.append(
                compare(
                    f"{bars:,} hours ({state}), beside a select of them",
                    lambda start_ms=start_ms: bench.run(  # type: ignore[misc]
                        bench.store.read_resampled(instrument, ONE_HOUR, start_ms, YEAR_END_MS)
                    ),
                    lambda start_ms=start_ms: bench.run(  # type: ignore[misc]
                        bench.bare.select(f"{SCHEMA}.hour_rollups", series, start_ms, YEAR_END_MS)
                    ),
                    ratio_min=0.0 if state == "stale" else 0.5,
                )
            )
    return iter(results)


def live(bench: Bench) -> Iterator[Result]:
    """One bar each of many series, beside one upsert each."""
    one = minute_bars(1)
    moved = count(1)

    def shifted() -> Bars:
        return Bars(one.time + MINUTE_MS * next(moved), *one.values())

    def ours() -> None:
        bars = shifted()
        covered = IntervalSet.single(int(bars.time[0]), int(bars.time[0]) + MINUTE_MS)

        async def all_at_once() -> None:
            writes = (
                bench.store.write(SeriesBars(bench.key(1_000 + number), bars, covered))
                for number in range(100)
            )
            await asyncio.gather(*writes)

        bench.run(all_at_once())

    def theirs() -> None:
        bars = shifted()
        for number in range(100):
            bench.run(bench.bare.upsert_one(1_000 + number, bars.rows()[0]))

    yield compare("100 series' live bars, beside 100 bare upserts", ours, theirs, ratio_min=0.0)


def measure(url: str, folder: Path) -> int:
    """Measure on one server and print its kind with the results."""
    with asyncio.Runner() as runner:
        # Not by the runner's own run(): it writes out the last result, number by number, each time.
        bench = Bench(url, runner.get_loop().run_until_complete, folder)
        print(bench.run(bench.store.describe()).detail)
        try:
            steps = (writing, loading, reading, live)
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
