"""SQLAlchemy's engines, on a file or on a server, with every wait bounded."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import asyncpg
from sqlalchemy import URL, Connection, NullPool, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tradewright.domain.errors import StorageUnavailable
from tradewright.storage.postgres.address import Address
from tradewright.storage.postgres.lending import keep_alive, server_settings
from tradewright.storage.postgres.migrations import check_schema_name

# aiosqlite logs statements with their parameters at DEBUG, and so what is stored of people: it gets to say
# warnings alone, whatever levels are configured.
logging.getLogger("aiosqlite").addFilter(lambda record: record.levelno >= logging.WARNING)

_WRITING: Final = "tradewright_writes"
_BUSY_S: Final = 0.1
"""How long SQLite waits for another program's lock before the call looks whether it still may."""
_WAL_KEPT_BYTES: Final = 16 * 2**20


class Place(Protocol):
    """Where a database is. ``name`` is what people may see of it."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str:
        """What it stands on, for people."""
        ...

    def is_made(self) -> bool:
        """Whether there is something to look at before a first start; may block."""
        ...

    def prepare(self) -> None:
        """Make what has to be there before a connection; may block. ``StorageUnavailable`` where it can't."""
        ...

    def engine(self, timeout_s: float) -> AsyncEngine:
        """An engine for calls that end within ``timeout_s``."""
        ...

    def migrating_engine(self, timeout_s: float) -> AsyncEngine:
        """An engine that keeps no connection; its statements may take their time."""
        ...


@dataclass(frozen=True, slots=True)
class SQLiteFile:
    """A file, readable by its owner alone."""

    path: Path
    pool_size: int = 4

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def kind(self) -> str:
        return "SQLite"

    def is_made(self) -> bool:
        return self.path.exists()

    def prepare(self) -> None:
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.fchmod(descriptor, 0o600)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageUnavailable(f"{self.path} can't be opened ({error.strerror}).") from error

    def engine(self, timeout_s: float) -> AsyncEngine:
        return self._made(pool_size=self.pool_size, max_overflow=0, pool_timeout=timeout_s)

    def migrating_engine(self, timeout_s: float) -> AsyncEngine:
        return self._made(poolclass=NullPool)

    def _made(self, **options: Any) -> AsyncEngine:
        # `rw`: a file that is gone is an error, and never made anew and empty.
        url = URL.create(
            "sqlite+aiosqlite",
            database=self.path.absolute().as_uri(),
            query={"mode": "rw", "uri": "true"},
        )
        engine = create_async_engine(
            url,
            hide_parameters=True,
            connect_args={"timeout": _BUSY_S, "isolation_level": None},
            **options,
        )
        event.listen(engine.sync_engine, "connect", _set_up)
        event.listen(engine.sync_engine, "begin", _begin)
        return engine


def _set_up(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute("PRAGMA foreign_keys = ON")
        # A session that was ended, a token that was used: neither may come back after a power cut.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA trusted_schema = OFF")
        cursor.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES:d}")
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail instead of waiting for its turn.
    writes = connection.get_execution_options().get(_WRITING, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@dataclass(frozen=True, slots=True)
class PostgresSchema:
    """One schema of a database on a server."""

    address: Address
    schema: str
    pool_size: int = 6

    def __post_init__(self) -> None:
        check_schema_name(self.schema)

    @property
    def name(self) -> str:
        return f"{self.address.place} (schema {self.schema})"

    @property
    def kind(self) -> str:
        return "PostgreSQL"

    def is_made(self) -> bool:
        return True

    def prepare(self) -> None:
        """The server is there or is not."""

    def engine(self, timeout_s: float) -> AsyncEngine:
        return self._made({}, timeout_s, pool_size=self.pool_size, max_overflow=0, pool_timeout=timeout_s)

    def migrating_engine(self, timeout_s: float) -> AsyncEngine:
        return self._made({"statement_timeout": "0", "lock_timeout": "0"}, timeout_s, poolclass=NullPool)

    def _made(self, settings: dict[str, str], timeout_s: float, **options: Any) -> AsyncEngine:
        wanted = {**server_settings(self.schema, timeout_s), "search_path": self.schema, **settings}
        command_timeout_s = None if settings else timeout_s + 0.5

        async def connect() -> Any:  # the driver has no types
            connection = await asyncpg.connect(
                self.address.url,
                timeout=timeout_s,
                command_timeout=command_timeout_s,
                server_settings=wanted,
            )
            await keep_alive(connection)
            return connection

        return create_async_engine(
            "postgresql+asyncpg://", async_creator=connect, hide_parameters=True, **options
        )


def reading(engine: AsyncEngine) -> AsyncEngine:
    """The engine for calls that only read."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="AUTOCOMMIT")
    return engine


def writing(engine: AsyncEngine) -> AsyncEngine:
    """The engine for calls that write: on SQLite they hold the write lock from the beginning."""
    return engine.execution_options(**{_WRITING: True})


def place_of(file: Path, url: str | None, schema: str) -> Place:
    """The schema in the database that ``url`` names, else the file. ``ConfigError`` where the URL is none."""
    return SQLiteFile(file) if url is None else PostgresSchema(Address.of(url), schema)
