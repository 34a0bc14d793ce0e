"""Starts that are killed (SIGKILL) at any time of their migrations, and the starts that follow."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.postgres_schemas import execute, fetch, opened_database
from tradewright.runtime.clock import SystemClock
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase
from tradewright.storage.postgres import migrations as postgres_migrations
from tradewright.storage.postgres.address import Address
from tradewright.storage.postgres.lending import connect
from tradewright.storage.sqlite import SQLiteBarStore, SQLiteDatabase
from tradewright.storage.sqlite import migrations as sqlite_migrations

SCHEMA: Final = "killed_start"
_RELATIONS: Final = (
    "SELECT relname, relkind::text FROM pg_class WHERE relnamespace = "
    "(SELECT oid FROM pg_namespace WHERE nspname = '{}') ORDER BY relname"
)
_LATER: Final = 1.2
"""Some are killed when all is done already."""


@dataclass
class MigrationKills:
    """What kills of one seed met."""

    seed: int
    kills: int = 0
    amid: int = 0
    """How many starts were killed before their migrations were done."""

    async def of_sqlite(self, folder: Path, kills: int) -> None:
        """Kill so many starts on a file; ``AssertionError`` where one leaves half a schema, or the next start
        does not succeed."""
        stages = _sqlite_stages(folder)
        takes_s = await _started("sqlite", str(folder / "undisturbed.sqlite3"))
        chance = random.Random(self.seed)
        for number in range(kills):
            path = folder / f"{self.seed}_{number}.sqlite3"
            await _started("sqlite", str(path), kill_after_s=chance.uniform(0, _LATER * takes_s))
            left = _sqlite_contents(path)
            assert left in stages, f"seed {self.seed}: half a schema after kill {number}"
            self.kills, self.amid = self.kills + 1, self.amid + (left != stages[-1])
            database = SQLiteDatabase(path)
            await database.open()
            await SQLiteBarStore(database).check()
            await database.close()
            assert _sqlite_contents(path) == stages[-1], f"seed {self.seed}: the start after kill {number}"
            path.unlink()

    async def of_postgres(self, url: str, kills: int) -> None:
        """The same on a server."""
        stages = await _postgres_stages(url)
        takes_s = await _started("postgresql", url)
        await execute(url, f"DROP SCHEMA {SCHEMA} CASCADE")
        chance = random.Random(self.seed)
        for number in range(kills):
            await _started("postgresql", url, kill_after_s=chance.uniform(0, _LATER * takes_s))
            left = await _postgres_contents(url)
            assert left in stages, f"seed {self.seed}: half a schema after kill {number}"
            self.kills, self.amid = self.kills + 1, self.amid + (left != stages[-1])
            async with opened_database(url, SCHEMA) as database:
                await PostgresBarStore(database).check()
            contents = await _postgres_contents(url)
            assert contents == stages[-1], f"seed {self.seed}: the start after kill {number}"
            await execute(url, f"DROP SCHEMA {SCHEMA} CASCADE")


async def _started(kind: str, place: str, *, kill_after_s: float | None = None) -> float:
    """Start a process that opens the database; kill it so long after it begins to. How long it was at it."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.migration_kills", kind, place),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    async with asyncio.timeout(60):
        assert await child.stdout.readline() == b"ready\n"
        child.stdin.write(b"go\n")
        began_s = time.monotonic()
        if kill_after_s is not None:
            await asyncio.sleep(kill_after_s)
            child.kill()
            await child.communicate()
        else:
            assert await child.stdout.readline() == b"done\n"
            took_s = time.monotonic() - began_s
            await child.communicate(b"enough\n")
            return took_s
    return kill_after_s


def _sqlite_stages(folder: Path) -> list[Any]:
    """What a file holds before the first step and after each."""
    steps, stages = sqlite_migrations.shipped_steps(), []
    for count in range(len(steps) + 1):
        path = folder / f"stage_{count}.sqlite3"
        connection = sqlite3.connect(path, isolation_level=None)
        sqlite_migrations.migrate(connection, steps[:count], _begin)
        connection.close()
        stages.append(_sqlite_contents(path))
    return stages


def _begin(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")


def _sqlite_contents(path: Path) -> Any:
    connection = sqlite3.connect(path)
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        return version, connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    finally:
        connection.close()


async def _postgres_stages(url: str) -> list[Any]:
    steps, stages = postgres_migrations.shipped_steps(), []
    for count in range(len(steps) + 1):
        connection = await connect(Address.of(url), SCHEMA, 30)
        if count:
            await postgres_migrations.migrate(connection, SCHEMA, steps[:count], SystemClock())
        await connection.close()
        stages.append(await _postgres_contents(url))
    await execute(url, f"DROP SCHEMA {SCHEMA} CASCADE")
    return stages


async def _postgres_contents(url: str) -> Any:
    relations = [tuple(row) for row in await fetch(url, _RELATIONS.format(SCHEMA))]
    if not relations:
        return 0, []
    ((number,),) = await fetch(url, f"SELECT number FROM {SCHEMA}.schema_version")
    return number, relations


async def _open(kind: str, place: str) -> None:
    """What the child does."""
    database = SQLiteDatabase(Path(place)) if kind == "sqlite" else PostgresDatabase(place, schema=SCHEMA)
    print("ready", flush=True)
    sys.stdin.readline()
    await database.open()
    print("done", flush=True)
    sys.stdin.readline()
    await database.close()


if __name__ == "__main__":
    asyncio.run(_open(*sys.argv[1:3]))
