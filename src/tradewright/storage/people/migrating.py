"""Brings the schema of a database up to date: all of it in one transaction, by one runner at a time.

A start that is killed, on either side, has changed nothing, and the next one does it again. On PostgreSQL a
transaction-wide advisory lock lets one runner work, on SQLite the lock of the file. A schema that is newer
than the program, or another program's, is refused. Alembic is loaded only where there is something to do.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import column, table

from tradewright.domain.errors import ConfigError
from tradewright.runtime.clock import Clock
from tradewright.storage.people.engines import Place, PostgresSchema, writing
from tradewright.storage.people.layouts import MIGRATIONS, Layout

_LOCK: Final = 0x74777065
_POLL_S: Final = 0.05
_alembic_is_used: Final = threading.Lock()
"""Alembic keeps the migration it is at in the module, so in one process one runs at a time."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a start found and what it left; ``before`` is None where there was nothing."""

    before: str | None
    after: str


async def bring_up(
    engine: AsyncEngine, place: Place, layout: Layout, clock: Clock, *, target: str | None = None
) -> Migrated:
    """Bring the schema to ``target``, else to the newest version. ``ConfigError`` where it is none of ours
    or newer than the program; errors of the driver as they come."""
    newest = target or layout.revisions[-1]
    async with engine.connect() as connection:
        before = await connection.run_sync(_version, place, layout)
        await connection.rollback()
    if before == newest:
        return Migrated(before, newest)
    while not _alembic_is_used.acquire(blocking=False):
        await clock.sleep(_POLL_S)
    try:
        return await _upgrade(engine, place, layout, newest, clock)
    finally:
        _alembic_is_used.release()


async def _upgrade(engine: AsyncEngine, place: Place, layout: Layout, newest: str, clock: Clock) -> Migrated:
    async with writing(engine).connect() as connection:
        if isinstance(place, PostgresSchema):
            await _only_runner(connection, clock)
            await connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {place.schema}"))
        else:
            await connection.begin()
        before = await connection.run_sync(_version, place, layout)
        if before != newest:
            await connection.run_sync(_run, layout, newest)
        await connection.commit()
    return Migrated(before, newest)


async def _only_runner(connection: AsyncConnection, clock: Clock) -> None:
    """Begin a transaction and hold the lock until it ends."""
    while not (await connection.execute(text(f"SELECT pg_try_advisory_xact_lock({_LOCK:d})"))).scalar_one():
        await connection.rollback()
        await clock.sleep(_POLL_S)


def _run(connection: Connection, layout: Layout, newest: str) -> None:
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    for name, value in (
        ("script_location", str(MIGRATIONS)),
        ("version_locations", str(layout.folder)),
        ("path_separator", "newline"),
    ):
        config.set_main_option(name, value.replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["layout"] = layout
    command.upgrade(config, newest)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(f"PRAGMA application_id = {layout.application_id:d}")


def _version(connection: Connection, place: Place, layout: Layout) -> str | None:
    """The version that is there; None where there is nothing yet."""
    found = _tables(connection, place)
    embedded = connection.dialect.name == "sqlite"
    if embedded:
        mark = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
        if mark not in (0, layout.application_id) or (found and layout.version_table not in found):
            raise ConfigError([f"{place.name} is a database of another program: use another data directory."])
    if layout.version_table not in found:
        if found & set(layout.metadata.tables):
            raise ConfigError([f"{place.name} belongs to another program: use another database."])
        return None
    versions = table(layout.version_table, column("version_num"))
    rows = connection.execute(select(versions.c.version_num)).scalars().all()
    if not rows:
        return None
    if len(rows) > 1 or rows[0] not in layout.revisions:
        problem = (
            f"{place.name} was written by a newer version of this program (schema {rows[0]}, known "
            f"{layout.revisions[-1]}): install that version, or use another database."
        )
        raise ConfigError([problem])
    return str(rows[0])


def _tables(connection: Connection, place: Place) -> set[str]:
    if isinstance(place, PostgresSchema):
        query = text("SELECT tablename FROM pg_tables WHERE schemaname = :schema")
        return set(connection.execute(query, {"schema": place.schema}).scalars())
    return set(connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars())
