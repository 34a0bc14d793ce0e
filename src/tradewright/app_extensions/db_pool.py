"""The database of bars on a PostgreSQL server, opened before the server serves and closed after it."""

from __future__ import annotations

from typing import Final

from tradewright.domain.ports import BackfillJobStore, BarStore, InstrumentStore
from tradewright.runtime.clock import Clock, SystemClock
from tradewright.runtime.tasks import TaskSupervisor
from tradewright.storage.postgres import (
    PostgresBackfillJobStore,
    PostgresBarStore,
    PostgresDatabase,
    PostgresInstrumentStore,
)

_START_TIMEOUT_S: Final = 60.0


class BarDatabase:
    """The stores of bars, instruments and backfill jobs that a URL names, plain or on TimescaleDB as its
    server offers.

    Made without I/O. Until ``open`` and after ``close`` the stores raise ``StorageUnavailable``.
    """

    def __init__(self, url: str, *, schema: str = "tradewright", clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self.database = PostgresDatabase(url, schema=schema, clock=self._clock)
        self.bars: BarStore = PostgresBarStore(self.database)
        self.instruments: InstrumentStore = PostgresInstrumentStore(self.database)
        self.jobs: BackfillJobStore = PostgresBackfillJobStore(self.database)
        self._tasks: TaskSupervisor | None = None

    async def open(self, timeout_s: float = _START_TIMEOUT_S) -> None:
        """Wait for the server and bring the schema up to date; may be called again.

        ``ConfigError`` where the URL, the database or its policies have to be changed by the operator;
        ``StorageUnavailable`` after ``timeout_s``.
        """
        await self.database.open(timeout_s)
        refresher = self.database.refresher()
        if refresher is not None and self._tasks is None:
            self._tasks = TaskSupervisor("postgres")
            self._tasks.keep("refresh of stale aggregates", refresher.run, self._clock)

    async def close(self) -> None:
        """End what was opened; may be called twice."""
        if self._tasks is not None:
            await self._tasks.close()
            self._tasks = None
        await self.database.close()
