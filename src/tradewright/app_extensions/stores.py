"""The stores that the configuration names: embedded, or on a PostgreSQL server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from tradewright.app_extensions.db_pool import BarDatabase
from tradewright.config import BaseConfig
from tradewright.domain.errors import TradewrightError
from tradewright.domain.ports import BackfillJobStore, BarStore, InstrumentStore
from tradewright.runtime.clock import Clock
from tradewright.storage.sqlite import (
    SQLiteBackfillJobStore,
    SQLiteBarStore,
    SQLiteDatabase,
    SQLiteInstrumentStore,
)

BARS_FILE: Final = "bars.sqlite3"


class StoreSet(Protocol):
    """Stores that stand on one database. Made without I/O; unusable before ``open`` and after ``close``."""

    bars: BarStore
    instruments: InstrumentStore
    jobs: BackfillJobStore

    async def open(self) -> None:
        """Bring the database up; may be called again. ``ConfigError`` and ``StorageUnavailable`` say why it
        can't be."""
        ...

    async def close(self) -> None:
        """Let go of it; may be called twice."""
        ...


@dataclass
class GivenStores:
    """Stores that somebody else opens and closes."""

    bars: BarStore
    instruments: InstrumentStore
    jobs: BackfillJobStore

    async def open(self) -> None:
        """They are open."""

    async def close(self) -> None:
        """Whoever opened them closes them."""


class EmbeddedStores:
    """The stores in one SQLite file of the data directory."""

    def __init__(self, config: BaseConfig) -> None:
        self.database = SQLiteDatabase(config.data_dir / BARS_FILE)
        self.bars: BarStore = SQLiteBarStore(self.database)
        self.instruments: InstrumentStore = SQLiteInstrumentStore(self.database)
        self.jobs: BackfillJobStore = SQLiteBackfillJobStore(self.database)

    async def open(self) -> None:
        try:
            await self.database.open()
        except TradewrightError:
            await self.database.close()
            raise

    async def close(self) -> None:
        await self.database.close()


def stores_of(config: BaseConfig, clock: Clock) -> EmbeddedStores | BarDatabase:
    """The stores as ``TRADEWRIGHT_DATABASE_URL`` names them; without it, those of the data directory.
    ``ConfigError`` where the address can't be used."""
    if config.database_url is None:
        return EmbeddedStores(config)
    return BarDatabase(config.database_url, clock=clock)
