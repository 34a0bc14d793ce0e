"""Two hundred slow queries under way in PostgreSQL while writes go on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from bench.generated import MINUTE_MS, START_MS, minute_bars
from tests.support.postgres_schemas import opened_database, own_schema
from tradewright.domain.bars import Bars
from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import SeriesBars
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase
from tradewright.storage.postgres.session import Session

READERS: Final = 200
SLOW_S: Final = 1.5
KEY: Final = SeriesKey("crypto", "kraken", "BTC/USD", "1m")


@dataclass
class SlowReaders:
    """How long writes took beside them, in seconds, and how many queries were answered or refused."""

    writes_s: list[float] = field(default_factory=list)
    answered: int = 0
    refused: int = 0
    at_once: int = 0

    async def run(self, url: str, writes: int, pause_s: float) -> None:
        """Write so often; ``AssertionError`` where a write is not there afterwards."""
        async with own_schema(url) as schema, opened_database(url, schema) as database:
            store = PostgresBarStore(database)
            bars = minute_bars(writes + 1)
            await self._write(store, bars[:1])
            self.writes_s.clear()
            readers = [
                asyncio.create_task(self._read(database), name=f"slow reader {number}")
                for number in range(READERS)
            ]
            try:
                for number in range(1, writes + 1):
                    self.at_once = max(self.at_once, sum(not reader.done() for reader in readers))
                    await self._write(store, bars[number : number + 1])
                    await asyncio.sleep(pause_s)
                ended = [reader for reader in readers if reader.done()]
                assert not ended, "the readers went on all the time"
            finally:
                for reader in readers:
                    reader.cancel()
                await asyncio.gather(*readers, return_exceptions=True)
            found = await store.read(KEY, START_MS, START_MS + (writes + 1) * MINUTE_MS)
            assert found.equals(bars), "what was accepted is not there"

    async def _read(self, database: PostgresDatabase) -> None:
        """Query after query that the server needs long for."""

        async def work(session: Session) -> None:
            await session.run("SELECT pg_sleep($1)", SLOW_S)

        while True:
            try:
                await database.read(work)
            except StorageUnavailable:
                self.refused += 1
                await asyncio.sleep(SLOW_S)
            else:
                self.answered += 1

    async def _write(self, store: PostgresBarStore, bar: Bars) -> None:
        start_ms = int(bar.time[0])
        covered = IntervalSet.single(start_ms, start_ms + MINUTE_MS)
        began_s = time.monotonic()
        await store.write(SeriesBars(KEY, bar, covered))
        self.writes_s.append(time.monotonic() - began_s)
