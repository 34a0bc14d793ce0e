"""A PostgreSQL server that is killed, stopped and frozen again and again: what its clients see of it.

    python -m bench.soak_postgres_faults [kills] [stops] [freezes]

Writers and readers are at work all the time. No accepted bar may be lost, none doubled, no coverage be
without its bars; no read may fail later than two seconds after the server is back; no call may take more
than five seconds while it is frozen.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.generated import MINUTE_MS, START_MS, minute_bars
from tools.private_servers import PrivatePostgres, private_postgres
from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase

KILLS, STOPS, FREEZES = 50, 100, 20
WRITERS, READERS = 4, 4
BLOCK, BLOCKS = 50, 20_000
CALL_S_MAX, LATE_READ_S_MAX = 5.0, 2.0


@dataclass
class Seen:
    """What the clients saw."""

    accepted: list[int] = field(default_factory=lambda: [0] * WRITERS)
    up_since_s: float = 0.0
    frozen: bool = False
    down: bool = False
    failed_reads: int = 0
    late_read_errors: int = 0
    slowest_s: float = 0.0
    done: bool = False


def key(writer: int) -> SeriesKey:
    """The series of one writer."""
    return SeriesKey("crypto", "kraken", f"S{writer}/USD", "1m")


async def write(store: PostgresBarStore, seen: Seen, writer: int) -> None:
    """Write block after block, each until it is accepted."""
    bars = minute_bars(BLOCK * BLOCKS)
    while not seen.done and seen.accepted[writer] < BLOCKS:
        block = seen.accepted[writer]
        start_ms = START_MS + block * BLOCK * MINUTE_MS
        covered = IntervalSet.single(start_ms, start_ms + BLOCK * MINUTE_MS)
        began = time.monotonic()
        try:
            await store.write(SeriesBars(key(writer), bars[block * BLOCK : (block + 1) * BLOCK], covered))
        except StorageUnavailable:
            await asyncio.sleep(0.05)
        else:
            seen.accepted[writer] += 1
        seen.slowest_s = max(seen.slowest_s, time.monotonic() - began)


async def read(store: PostgresBarStore, seen: Seen, reader: int) -> None:
    """Read what was accepted, and note what fails."""
    while not seen.done:
        writer = reader % WRITERS
        accepted, began = seen.accepted[writer], time.monotonic()
        start_ms = START_MS + max(0, accepted - 10) * BLOCK * MINUTE_MS
        try:
            bars = await store.read(key(writer), start_ms, START_MS + accepted * BLOCK * MINUTE_MS)
        except StorageUnavailable:
            seen.failed_reads += 1
            late = not (seen.down or seen.frozen) and time.monotonic() - seen.up_since_s > LATE_READ_S_MAX
            seen.late_read_errors += late
            await asyncio.sleep(0.02)
        else:
            if len(bars) != min(10, accepted) * BLOCK:
                raise SystemExit(f"Of {accepted} accepted blocks {len(bars)} bars were read.")
        seen.slowest_s = max(seen.slowest_s, time.monotonic() - began)


async def treat(server: PrivatePostgres, seen: Seen, counts: tuple[int, int, int]) -> None:
    """Kill, stop and freeze the server, in any order."""
    chance = random.Random(11)
    kills, stops, freezes = counts
    ends: list[Callable[[], None]] = [server.kill] * kills + [server.stop_immediately] * stops
    acts: list[Callable[[], None] | None] = [*ends, *[None] * freezes]
    chance.shuffle(acts)
    for act in acts:
        await asyncio.sleep(chance.uniform(0.1, 0.6))
        if act is None:
            seen.frozen = True
            server.freeze()
            await asyncio.sleep(chance.uniform(1, 12))
            server.thaw()
            seen.frozen, seen.up_since_s = False, time.monotonic()
            await asyncio.sleep(2.5)
        else:
            seen.down = True
            await asyncio.to_thread(act)
            server.launch()
            await asyncio.to_thread(server.wait)
            seen.down, seen.up_since_s = False, time.monotonic()


async def soak(server: PrivatePostgres, counts: tuple[int, int, int]) -> int:
    """Let clients work on a server that is treated badly, then check what is stored."""
    database, seen = PostgresDatabase(server.url), Seen()
    await database.open()
    store = PostgresBarStore(database)
    async with asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(write(store, seen, number), name=f"writer {number}")
        for number in range(READERS):
            group.create_task(read(store, seen, number), name=f"reader {number}")
        await treat(server, seen, counts)
        await asyncio.sleep(3)
        seen.done = True
    for writer in range(WRITERS):
        await check(store, writer, seen.accepted[writer])
    await database.close()
    kills, stops, freezes = counts
    print(
        f"{kills} kills, {stops} immediate stops, {freezes} freezes; {sum(seen.accepted):,} blocks accepted:"
    )
    print("none lost, none doubled, no coverage without its bars;")
    print(
        f"{seen.failed_reads} reads failed meanwhile, {seen.late_read_errors} of them later than 2 s after;"
    )
    print(f"the slowest call took {seen.slowest_s:.2f} s.")
    return int(seen.late_read_errors > 0 or seen.slowest_s > CALL_S_MAX)


async def check(store: PostgresBarStore, writer: int, accepted: int) -> None:
    """Raise where the store contradicts what its writer was told."""
    bars, coverage = await store.read_with_coverage(key(writer), 0, 2**62)
    blocks, rest = divmod(len(bars), BLOCK)
    if (
        rest
        or blocks not in (accepted, accepted + 1)
        or not bars.equals(minute_bars(BLOCK * BLOCKS)[: len(bars)])
    ):
        raise SystemExit(f"{len(bars)} bars are stored after {accepted} accepted blocks of {BLOCK}.")
    if coverage.complete != IntervalSet.single(START_MS, START_MS + len(bars) * MINUTE_MS):
        raise SystemExit(f"{len(bars)} bars are stored, and covered is {coverage.complete}.")


def main(counts: tuple[int, int, int]) -> int:
    """Soak a private server."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        with private_postgres(Path(folder) / "postgres") as server:
            return asyncio.run(soak(server, counts))


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:4]]
    sys.exit(main((given[0], given[1], given[2]) if len(given) == 3 else (KILLS, STOPS, FREEZES)))
