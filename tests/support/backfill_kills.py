"""``tradewright backfill`` as a process that is killed, over the emulated Binance with made-up candles."""

from __future__ import annotations

import asyncio
import hashlib
import random
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.ledger import START_MS, random_minutes
from tests.support.processes import environment
from tests.venues.binance import BinanceVenue, generate_capture
from tradewright.runtime.clock import SystemClock

DAYS = 9
END_MS = START_MS + DAYS * 86_400_000
DEADLINE_S = 60.0
CLOCK = SystemClock()
QUERY = (
    "SELECT bars.* FROM bars JOIN series ON series.id = series_id WHERE timeframe = '1m' AND time >= ? "
    "AND time < ? ORDER BY time"
)


@asynccontextmanager
async def candle_venue(folder: Path, *, answer_s: float) -> AsyncIterator[BinanceVenue]:
    """A Binance with nine days of XRP/ETH minutes, of which some had no trade, that takes its time."""
    bars = random_minutes(3, DAYS * 1440)
    columns = dict(zip(("time_ms", "open", "high", "low", "close", "volume"), bars.columns(), strict=True))
    file = folder / "candles_1m_.parquet"
    pq.write_table(pa.table(columns), file)
    async with BinanceVenue(generate_capture(1, 60), xrpeth=file) as venue:
        venue.faults.delay(answer_s, "/api/v3/klines")
        yield venue


@dataclass
class Command:
    """The command line over one data directory."""

    data_dir: Path
    config: Path

    @classmethod
    def over(cls, venue: BinanceVenue, folder: Path, name: str) -> Command:
        """A data directory of that name, from which the venue is reached."""
        config = folder / "tradewright.toml"
        config.write_text(venue.provider_toml())
        return cls(folder / name, config)

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Begin a run of it."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tradewright",
            "backfill",
            *arguments,
            env=environment(self.data_dir, {"TRADEWRIGHT_CONFIG": str(self.config)}),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str) -> tuple[int | None, str, str]:
        """A run of it to its end: exit code, what it said, and what it complained of."""
        process = await self.start(*arguments)
        async with asyncio.timeout(DEADLINE_S):
            said, complained = await process.communicate()
        return process.returncode, said.decode(), complained.decode()

    def rows(self) -> list[tuple[object, ...]]:
        """The stored minutes."""
        return self._query(QUERY, START_MS, END_MS)

    def checksum(self) -> str:
        """Of all stored minutes."""
        return hashlib.sha256(repr(self.rows()).encode()).hexdigest()

    def open_job(self) -> str | None:
        """The id of the job that is to be taken up."""
        query = "SELECT id FROM backfill_jobs WHERE state IN ('queued', 'running')"
        found = self._query(query)
        return str(found[0][0]) if found else None

    def state(self, job_id: str) -> str:
        """The job's state."""
        return str(self._query("SELECT state FROM backfill_jobs WHERE id = ?", job_id)[0][0])

    def owner(self) -> str | None:
        """Who works at the open job: ``server``, ``command``, or nobody."""
        query = (
            "SELECT CASE WHEN owner IN (SELECT id FROM backfill_servers) THEN 'server' ELSE 'command' END "
            "FROM backfill_jobs WHERE state = 'running'"
        )
        found = self._query(query)
        return str(found[0][0]) if found else None

    async def until_owned_by(self, owner: str) -> None:
        """Wait until that one works at the open job."""
        async with asyncio.timeout(DEADLINE_S):
            while self.owner() != owner:
                await CLOCK.sleep(0.02)

    def end_lease(self) -> None:
        """Make it as if eight seconds had passed since the owner was killed."""
        with closing(sqlite3.connect(self._file)) as connection, connection:
            connection.execute("UPDATE backfill_jobs SET lease_ends_ms = 0")
            connection.execute("UPDATE backfill_servers SET lease_ends_ms = 0")

    @property
    def _file(self) -> Path:
        return self.data_dir / "bars.sqlite3"

    def _query(self, query: str, *values: object) -> list[tuple[object, ...]]:
        if not self._file.exists():
            return []
        with closing(sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True)) as connection:
            try:
                return connection.execute(query, values).fetchall()
            except sqlite3.OperationalError:
                return []  # it was killed before there were tables


def wanted(*more: str) -> tuple[str, ...]:
    """What is asked for."""
    key = ("--market", "crypto", "--provider", "binance", "--symbol", "XRP/ETH")
    return (*key, "--start", str(START_MS), "--end", str(END_MS), *more)


async def killed_history(
    venue: BinanceVenue, command: Command, chance: random.Random, kills: int, *more: str
) -> int:
    """Backfill, killed so many times at random moments; how many runs had begun to store when killed."""
    interrupted = 0
    for _ in range(kills):
        job_id = command.open_job()
        before, requests = len(command.rows()), venue.requests("klines")
        process = await command.start(*(("--resume", job_id) if job_id else wanted(*more)))
        async with asyncio.timeout(DEADLINE_S):
            # From its first call on, or from its first stored page on, at any moment of a run.
            early = chance.random() < 0.25
            while process.returncode is None and (
                venue.requests("klines") == requests if early else len(command.rows()) == before
            ):
                await CLOCK.sleep(0.02)
            await CLOCK.sleep(chance.uniform(0.0, 0.6))
        if process.returncode is None:
            process.kill()
        await process.communicate()
        if command.open_job() is not None:
            command.end_lease()
        interrupted += len(command.rows()) > before
        if command.open_job() is None and command.rows():
            break
    return interrupted
