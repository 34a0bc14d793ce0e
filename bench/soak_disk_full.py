"""A disk that fills up again and again: nothing accepted is lost, and writing goes on once there is room.

    python -m bench.soak_disk_full [rounds of each store]

SQLite and a PostgreSQL of its own each have their files on a tmpfs of their own, which needs the right to
mount one (root, or `unshare -rm`). Bars are written until the disk is full, which must be said as an error
of ours; what was accepted must be there while it is full; then room is made, and the time is taken until a
write is accepted again, at most thirty seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from bench.generated import MINUTE_MS, START_MS, minute_bars
from tools.private_servers import private_postgres
from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import BarStore, SeriesBars
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase

ROUNDS, ROUNDS_OF_A_DISK = 50, 10
BLOCK, BLOCKS = 500, 2_000
SQLITE_MB, POSTGRES_MB = 64, 160
BACK_S_MAX = 30.0
KEY = SeriesKey("crypto", "kraken", "BTC/USD", "1m")


OpenStore: TypeAlias = Callable[[Path], AbstractAsyncContextManager[BarStore]]


@contextlib.contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    """Yield a directory that is a file system of that size."""
    folder.mkdir()
    options = f"size={size_mb}m,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@dataclass
class FullDisk:
    """One store on one disk, and what was seen."""

    store: BarStore
    disk: Path
    accepted: int = 0
    refused: int = 0
    back_s: list[float] = field(default_factory=list)

    def ballast(self) -> None:
        """Take room away until nearly nothing is left."""
        with contextlib.suppress(OSError), (self.disk / "ballast").open("ab") as file:
            while True:
                file.write(bytes(64 * 1024))
                file.flush()

    async def fill(self, bars: int) -> None:
        """One round: full, looked at, and with room again."""
        self.ballast()
        refused = 0
        while refused < 3 and self.accepted < BLOCKS:
            refused += not await self.write()
        self.refused += refused
        if refused < 3:
            raise SystemExit("The disk did not fill up.")
        await self.check()
        (self.disk / "ballast").unlink()
        began_s = time.monotonic()
        while not await self.write():
            if time.monotonic() - began_s > 4 * BACK_S_MAX:
                raise SystemExit("It does not write again.")
            await asyncio.sleep(0.05)
        self.back_s.append(time.monotonic() - began_s)
        for _ in range(bars):
            await self.write()
        await self.check()

    async def write(self) -> bool:
        """Whether the next block was accepted."""
        first = self.accepted * BLOCK
        start_ms = START_MS + first * MINUTE_MS
        covered = IntervalSet.single(start_ms, start_ms + BLOCK * MINUTE_MS)
        try:
            await self.store.write(SeriesBars(KEY, EVERYTHING[first : first + BLOCK], covered))
        except StorageUnavailable:
            return False
        self.accepted += 1
        return True

    async def check(self) -> None:
        """All that was accepted is there, and nothing is covered that is not."""
        deadline_s = time.monotonic() + BACK_S_MAX
        while True:
            try:
                bars, coverage = await self.store.read_with_coverage(KEY, 0, 2**62)
                break
            except StorageUnavailable:
                if time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(0.1)
        blocks, rest = divmod(len(bars), BLOCK)
        whole = IntervalSet.single(START_MS, START_MS + len(bars) * MINUTE_MS)
        if rest or blocks < self.accepted or not bars.equals(EVERYTHING[: len(bars)]):
            raise SystemExit(f"{len(bars)} bars are stored after {self.accepted} accepted blocks of {BLOCK}.")
        if blocks and coverage.complete != whole:
            raise SystemExit(f"{len(bars)} bars are stored, and covered is {coverage.complete}.")
        self.accepted = blocks


@asynccontextmanager
async def sqlite_on(disk: Path) -> AsyncIterator[BarStore]:
    """A store in a file on the disk."""
    database = SQLiteDatabase(disk / "bars.sqlite3")
    await database.open()
    try:
        yield SQLiteBarStore(database)
    finally:
        await database.close()


@asynccontextmanager
async def postgres_on(disk: Path) -> AsyncIterator[BarStore]:
    """A store at a server whose files are on the disk."""
    settings = {"wal_keep_size": "0", "min_wal_size": "32MB", "max_wal_size": "48MB"}
    with private_postgres(disk / "postgres", settings) as server:
        database = PostgresDatabase(server.url)
        await database.open()
        try:
            yield PostgresBarStore(database)
        finally:
            await database.close()


async def fill_disks(folder: Path, name: str, opened: OpenStore, size_mb: int, rounds: int) -> list[FullDisk]:
    """One disk after the other, each some rounds."""
    seen: list[FullDisk] = []
    for number in range(max(1, rounds // ROUNDS_OF_A_DISK)):
        with small_disk(folder / f"{name}{number}", size_mb) as disk:
            async with opened(disk) as store:
                full = FullDisk(store, disk)
                for _ in range(min(rounds, ROUNDS_OF_A_DISK)):
                    await full.fill(2)
                seen.append(full)
    return seen


async def soak(folder: Path, rounds: int) -> int:
    """Fill both, and print what was seen."""
    broken = 0
    for name, opened, size_mb in (("SQLite", sqlite_on, SQLITE_MB), ("PostgreSQL", postgres_on, POSTGRES_MB)):
        began_s = time.monotonic()
        seen = await fill_disks(folder, name, opened, size_mb, rounds)
        back_s = [each for full in seen for each in full.back_s]
        refused, accepted = (sum(each) for each in zip(*((f.refused, f.accepted) for f in seen), strict=True))
        broken += max(back_s) > BACK_S_MAX
        taken_s = time.monotonic() - began_s
        print(f"{name}: full {len(back_s)} times ({taken_s:.0f} s), {refused} writes refused,")
        print(f"{accepted:,} blocks of {BLOCK:,} accepted, none lost;", end=" ")
        print(f"writes again after {max(back_s):.2f} s at most.", flush=True)
    return int(broken > 0)


EVERYTHING = minute_bars(BLOCK * BLOCKS)

if __name__ == "__main__":
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as temporary:
        Path(temporary).chmod(0o711)
        sys.exit(asyncio.run(soak(Path(temporary), int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)))
