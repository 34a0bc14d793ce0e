"""Brings every database of the settings up to date, and tells what was done."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tradewright.app_extensions.people import people_of
from tradewright.app_extensions.stores import stores_of
from tradewright.config import BaseConfig
from tradewright.runtime.clock import SystemClock


async def migrate_all(config: BaseConfig) -> AsyncIterator[str]:
    """A line for each database. ``ConfigError`` and ``StorageUnavailable`` say why one can't be opened; those
    before it are up to date then."""
    clock = SystemClock()
    stores = stores_of(config, clock)
    try:
        await stores.open()
        found = await stores.bars.describe()
        before = stores.database.schema_found
        told = _told(f"{before:04}" if before else None, f"{stores.database.known:04}")
        yield f"bars: {told} ({found.detail.rstrip('.')})"
    finally:
        await stores.close()
    for database in people_of(config, clock).databases:
        try:
            await database.open()
            assert database.migrated is not None
            told = _told(database.migrated.before, database.migrated.after)
            yield f"{database.layout.name}: {told} ({database.place.kind} at {database.place.name})"
        finally:
            await database.close()


def _told(before: str | None, after: str) -> str:
    if before is None:
        return f"made, schema {after}"
    return f"up to date, schema {after}" if before == after else f"brought from schema {before} to {after}"
