"""Where a walk keeps its bars, and how that is closed, killed and opened again."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from tools.private_servers import PrivatePostgres
from tradewright.domain.ports import BackfillJobStore, BarStore, InstrumentStore
from tradewright.storage.memory import MemoryBarStore, MemoryInstrumentStore
from tradewright.storage.memory_jobs import MemoryBackfillJobStore
from tradewright.storage.postgres import (
    PostgresBackfillJobStore,
    PostgresBarStore,
    PostgresDatabase,
    PostgresInstrumentStore,
)
from tradewright.storage.sqlite import (
    SQLiteBackfillJobStore,
    SQLiteBarStore,
    SQLiteDatabase,
    SQLiteInstrumentStore,
)

OPEN_S = 60.0


@dataclass(frozen=True, slots=True)
class House:
    """The stores of one process."""

    bars: BarStore
    instruments: InstrumentStore
    jobs: BackfillJobStore


class Home(ABC):
    """What outlives the processes. ``kill`` and ``close`` may come while the stores are in use."""

    @abstractmethod
    async def open(self) -> House:
        """Open the stores."""

    @abstractmethod
    async def close(self) -> None:
        """Close them in order."""

    @abstractmethod
    async def kill(self, cut: Callable[[], None]) -> None:
        """End them without a word; from ``cut`` on no process hears of them any more."""


class MemoryHome(Home):
    """Stores that outlive the processes of a walk, since they are the walk's."""

    def __init__(self) -> None:
        bars = MemoryBarStore()
        self._house = House(bars, MemoryInstrumentStore(bars), MemoryBackfillJobStore())

    async def open(self) -> House:
        return self._house

    async def close(self) -> None:
        """Nothing was opened."""

    async def kill(self, cut: Callable[[], None]) -> None:
        cut()


class SQLiteHome(Home):
    """A file. Killed, it is what a machine finds that lost its process: the file and its log as they were
    on the disk at that moment, with nothing written back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lives = 0
        self._path = folder / "bars-0.sqlite3"
        self._database = SQLiteDatabase(self._path)

    async def open(self) -> House:
        self._database = SQLiteDatabase(self._path)
        await self._database.open()
        database = self._database
        return House(
            SQLiteBarStore(database), SQLiteInstrumentStore(database), SQLiteBackfillJobStore(database)
        )

    async def close(self) -> None:
        await self._database.close()

    async def kill(self, cut: Callable[[], None]) -> None:
        cut()
        self._lives += 1
        path = self._folder / f"bars-{self._lives}.sqlite3"
        await asyncio.to_thread(self._leave_as_it_is, path)
        await self._database.close()
        self._path = path

    def _leave_as_it_is(self, path: Path) -> None:
        with closing(sqlite3.connect(self._path, isolation_level=None, timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")  # nobody commits meanwhile, and nothing is written back
            for ending in ("", "-wal"):
                file = self._path.with_name(self._path.name + ending)
                if file.exists():
                    shutil.copyfile(file, path.with_name(path.name + ending))
            connection.execute("ROLLBACK")


class PostgresHome(Home):
    """A schema at a server; with ``server`` one that is killed and started again, else only the
    connections to it are dropped."""

    def __init__(self, url: str, schema: str, server: PrivatePostgres | None = None) -> None:
        self._url = url
        self._schema = schema
        self._server = server
        self._database = PostgresDatabase(url, schema=schema)

    async def open(self) -> House:
        self._database = PostgresDatabase(self._url, schema=self._schema)
        await self._database.open(timeout_s=OPEN_S)
        database = self._database
        return House(
            PostgresBarStore(database), PostgresInstrumentStore(database), PostgresBackfillJobStore(database)
        )

    async def close(self) -> None:
        await self._database.close()

    async def kill(self, cut: Callable[[], None]) -> None:
        if self._server is not None:
            self._server.kill()
        cut()
        await self._database.close()
        if self._server is not None:
            self._server.launch()
