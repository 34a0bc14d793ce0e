"""A writer that is killed again and again never leaves bars, coverage and rollups that contradict each other.

    python -m bench.soak_store_kills [seconds]

A child writes blocks of bars with their coverage, and says after each that it was accepted. It is
killed at a random moment. Whatever the child said was accepted must be there, whole, nothing may be
covered without being there, and hours and days must be those of the minutes that are there. After the last
block a file holds what an undisturbed writer would have left.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.generated import MINUTE_MS, START_MS, minute_bars
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.storage.rollups import ROLLUPS
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase
from tradewright.testing.bar_store_rollup_checks import expect_resampled

KEY = SeriesKey("crypto", "kraken", "BTC/USD", "1m")
BLOCK = 500
BLOCKS = 400
SECONDS = 600.0


async def write(path: Path, first_block: int) -> None:
    """Write blocks from the given one on, and say so after each; what the child does."""
    bars = minute_bars(BLOCK * BLOCKS)
    database = SQLiteDatabase(path)
    await database.open()
    store = SQLiteBarStore(database)
    for block in range(first_block, BLOCKS):
        part = bars[block * BLOCK : (block + 1) * BLOCK]
        start_ms = START_MS + block * BLOCK * MINUTE_MS
        covered = IntervalSet.single(start_ms, start_ms + BLOCK * MINUTE_MS)
        await store.write(SeriesBars(KEY, part, covered))
        print(block, flush=True)
    await database.close()


async def check(path: Path, accepted: int) -> int:
    """Return how many blocks are stored; raise when the store contradicts itself or lost an accepted one."""
    everything = minute_bars(BLOCK * BLOCKS)
    end_ms = START_MS + BLOCK * BLOCKS * MINUTE_MS
    database = SQLiteDatabase(path)
    await database.open()
    store = SQLiteBarStore(database)
    bars, coverage = await store.read_with_coverage(KEY, START_MS, end_ms)
    for timeframe in ROLLUPS:
        await expect_resampled(store, KEY.instrument, bars, timeframe, START_MS, end_ms)
    await database.close()
    blocks, rest = divmod(len(bars), BLOCK)
    if rest or blocks < accepted or not bars.equals(everything[: len(bars)]):
        raise SystemExit(f"{len(bars)} bars are stored after {accepted} accepted blocks of {BLOCK}.")
    if coverage.complete != IntervalSet.single(START_MS, START_MS + len(bars) * MINUTE_MS):
        raise SystemExit(f"{len(bars)} bars are stored, and covered is {coverage.complete}.")
    return blocks


def killed_run(path: Path, first_block: int, patience_s: float) -> int:
    """Let a child write for a while, kill it, and return the number of blocks it saw accepted."""
    command = [sys.executable, "-m", "bench.soak_store_kills", "--write", str(path), str(first_block)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(patience_s)
    child.kill()
    said = child.communicate()[0].split()
    return int(said[-1]) + 1 if said else first_block


def main(seconds: float) -> int:
    """Kill writers for so long; print what was seen."""
    chance = random.Random(7)
    until = time.monotonic() + seconds
    kills = files = interrupted = 0
    while time.monotonic() < until:
        files += 1
        with tempfile.TemporaryDirectory() as folder:
            path, blocks = Path(folder) / "bars.sqlite3", 0
            while blocks < BLOCKS and time.monotonic() < until:
                accepted = killed_run(path, blocks, chance.uniform(0.2, 0.8))
                blocks = asyncio.run(check(path, accepted))
                kills += 1
                interrupted += blocks > accepted
    print(f"{kills} kills over {files} files: no accepted block lost, no coverage without its bars;")
    print(f"{interrupted} blocks were durable before their writer could say so.")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--write"]:
        asyncio.run(write(Path(sys.argv[2]), int(sys.argv[3])))
    else:
        sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
