"""Migrations of the people's databases: all or nothing when killed, one runner at a time, refusals."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection

from tests.support import people_processes
from tests.support.postgres_schemas import execute, fetch, own_schema
from tradewright.domain.errors import ConfigError, StorageUnavailable
from tradewright.runtime.clock import SystemClock
from tradewright.storage.people import (
    AUTH,
    USER_CONFIGS,
    Layout,
    PeopleDatabase,
    Place,
    PostgresSchema,
    SQLiteFile,
    SqlUserStore,
)
from tradewright.storage.people.migrating import Migrated, bring_up
from tradewright.storage.postgres.address import Address
from tradewright.testing.people_material import record

LAYOUTS = [AUTH, USER_CONFIGS]
KEPT = "INSERT INTO attempts (key_hash, failures, last_ms) VALUES ('a', 7, 8)"
Contents = list[tuple[Any, ...]]

_RELATIONS = """
SELECT relname::text, relkind::text FROM pg_class
WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = '{0}')
UNION ALL SELECT tgname::text, 'trigger' FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
WHERE NOT tgisinternal AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = '{0}')
ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """Where databases of one kind are made, looked into, and changed from outside."""

    kind: str
    place: Callable[[str], Place]
    argument: Callable[[str], str]
    contents: Callable[[str], Awaitable[Contents]]
    execute: Callable[[str, str], Awaitable[None]]
    copy: Callable[[str, str], Awaitable[None]]


def _files(folder: Path) -> Ground:
    def file(name: str) -> Path:
        return folder / f"{name}.sqlite3"

    async def contents(name: str) -> Contents:
        connection = sqlite3.connect(file(name))
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            return connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
            ).fetchall()
        finally:
            connection.close()

    async def run(name: str, statement: str) -> None:
        connection = sqlite3.connect(file(name), isolation_level=None)
        connection.execute(statement)
        connection.close()

    async def copy(name: str, other: str) -> None:
        shutil.copy(file(name), file(other))

    return Ground(
        "sqlite", lambda name: SQLiteFile(file(name)), lambda name: str(file(name)), contents, run, copy
    )


@asynccontextmanager
async def _schemas(url: str) -> AsyncIterator[Ground]:
    async with own_schema(url) as prefix:

        def schema(name: str) -> str:
            return f"{prefix}_{name}"

        async def contents(name: str) -> Contents:
            return [tuple(row) for row in await fetch(url, _RELATIONS.format(schema(name)))]

        async def run(name: str, statement: str) -> None:
            await execute(url, f"SET search_path = {schema(name)}", statement)

        async def copy(_name: str, other: str) -> None:
            await _migrated(PostgresSchema(Address.of(url), schema(other)), AUTH, AUTH.revisions[0])

        try:
            yield Ground(
                "postgresql",
                lambda name: PostgresSchema(Address.of(url), schema(name)),
                lambda name: f"{url} {schema(name)}",
                contents,
                run,
                copy,
            )
        finally:
            names = await fetch(
                url, f"SELECT nspname FROM pg_namespace WHERE starts_with(nspname, '{prefix}')"
            )
            await execute(url, *(f"DROP SCHEMA {name} CASCADE" for (name,) in names))


@pytest.fixture(params=["sqlite", "postgresql"])
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    """Where databases of each kind are made."""
    if request.param == "sqlite":
        yield _files(tmp_path)
    else:
        async with _schemas(request.getfixturevalue("postgres_url")) as found:
            yield found


async def _migrated(place: Place, layout: Layout, target: str | None = None) -> Migrated:
    place.prepare()
    engine = place.migrating_engine(10)
    try:
        return await bring_up(engine, place, layout, SystemClock(), target=target)
    finally:
        await engine.dispose()


async def _opened(place: Place, layout: Layout = AUTH) -> Migrated | None:
    database = PeopleDatabase(place, layout)
    await database.open(20)
    await database.check()
    await database.close()
    return database.migrated


async def _processes(*arguments: str) -> list[str]:
    program = await asyncio.create_subprocess_exec(
        sys.executable, people_processes.__file__, *arguments, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(program.communicate(), 60)
    assert program.returncode == 0
    return said.decode().splitlines()


async def test_killed_at_every_moment_nothing_is_half_done(ground: Ground) -> None:
    """From nothing, and from the first version with something in it."""
    await _opened(ground.place("whole"))
    whole = await ground.contents("whole")
    first, *_, last = AUTH.revisions
    assert await _migrated(ground.place("old"), AUTH, first) == Migrated(None, first)
    old = await ground.contents("old")
    # On the server a kill is the same wherever it comes within the transaction; a share is enough.
    step = 6 if ground.kind == "sqlite" else 11
    from_nothing = {f"nothing{number}": number for number in range(1, 66, step)}
    from_old = {f"old{number}": number for number in range(1, 36, step)}
    for name in from_old:
        await ground.copy("old", name)
        await ground.execute(name, KEPT)
    moments = {**from_nothing, **from_old}
    said = await _processes(
        "die", ground.kind, ground.argument("NAME"), *(f"{name}:{moment}" for name, moment in moments.items())
    )
    codes = dict(zip(moments, map(int, said), strict=True))
    for begun, before in ((from_nothing, []), (from_old, old)):
        assert {codes[name] for name in begun} == {0, -signal.SIGKILL}, "some moments lie behind the end"
        left = {name: await ground.contents(name) for name in begun}
        assert all(each in (before, whole) for each in left.values()), "nothing is half made"
        unfinished = [name for name in begun if left[name] == before]
        assert len(unfinished) > 1
        assert all(codes[name] for name in unfinished)
        for name in unfinished[:: max(1, len(unfinished) // 3)]:
            await _opened(ground.place(name))
            assert await ground.contents(name) == whole, "the next start finishes"
    for name in from_old:
        with pytest.raises((sqlite3.IntegrityError, asyncpg.UniqueViolationError)):
            await ground.execute(name, KEPT)
    assert await _opened(ground.place("old")) == Migrated(first, last)
    assert await _opened(ground.place("old")) == Migrated(last, last)


async def test_of_many_processes_that_start_at_once_each_succeeds(ground: Ground) -> None:
    assert await _processes("open", ground.kind, ground.argument("shared"), "3") == [str([0] * 3)]
    await _opened(ground.place("whole"))
    assert await ground.contents("shared") == await ground.contents("whole")
    more = [
        PeopleDatabase(ground.place("within"), layout) for layout in (AUTH, USER_CONFIGS) for _ in range(2)
    ]
    if ground.kind == "sqlite":
        more = more[:2]
    await asyncio.gather(*(database.open(20) for database in more))
    await asyncio.gather(*(database.check() for database in more))
    await asyncio.gather(*(database.close() for database in more))


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
async def test_models_and_migrations_agree(ground: Ground, layout: Layout) -> None:
    await _opened(ground.place("whole"), layout)
    engine = ground.place("whole").migrating_engine(10)

    def differences(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"version_table": layout.version_table})
        found: list[Any] = compare_metadata(context, layout.metadata)
        return found

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []
        await connection.rollback()
        await ground.execute("whole", "CREATE TABLE surplus (a int)")
        assert await connection.run_sync(differences), "a difference is seen"
    await engine.dispose()


async def test_a_newer_database_is_refused_in_one_sentence(ground: Ground) -> None:
    await _opened(ground.place("newer"))
    await ground.execute("newer", f"UPDATE {AUTH.version_table} SET version_num = '0999'")
    before = await ground.contents("newer")
    with pytest.raises(ConfigError) as refusal:
        await _opened(ground.place("newer"))
    (problem,) = refusal.value.problems
    assert "newer version of this program (schema 0999, known" in problem
    assert "\n" not in problem
    assert await ground.contents("newer") == before


@pytest.mark.parametrize("statement", ["CREATE TABLE users (id int)", "CREATE TABLE sessions (id int)"])
async def test_tables_of_another_program_are_left_alone(ground: Ground, statement: str) -> None:
    place = ground.place("other")
    if isinstance(place, PostgresSchema):
        await execute(place.address.url, f"CREATE SCHEMA {place.schema}")
    await ground.execute("other", statement)
    before = await ground.contents("other")
    with pytest.raises(ConfigError, match="another program"):
        await _opened(place)
    assert await ground.contents("other") == before


async def test_a_file_is_its_owners_alone_and_marked_as_ours(tmp_path: Path) -> None:
    path = tmp_path / "a folder with 100% é" / "auth.sqlite3"
    path.parent.mkdir()
    database = PeopleDatabase(SQLiteFile(path), AUTH)
    await database.open()
    await SqlUserStore(database).add(record("anna"))
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    await database.close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (AUTH.application_id,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    path.chmod(0o644)
    await _opened(SQLiteFile(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "a file that others may read is closed again"
    with pytest.raises(ConfigError, match="another program"):
        await _opened(SQLiteFile(path), USER_CONFIGS)


async def test_a_start_waits_for_another_runner_and_gives_up_in_time(tmp_path: Path) -> None:
    path = tmp_path / "locked.sqlite3"
    runner = sqlite3.connect(path, isolation_level=None)
    runner.execute("PRAGMA journal_mode = WAL")
    runner.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match=r"locked\.sqlite3"):
        await PeopleDatabase(SQLiteFile(path), AUTH).open(timeout_s=0.4)
    waiting = PeopleDatabase(SQLiteFile(path), AUTH)
    opening = asyncio.create_task(waiting.open(timeout_s=30), name="opening")
    done, _ = await asyncio.wait({opening}, timeout=0.3)
    assert not done
    runner.execute("ROLLBACK")
    await opening
    await waiting.check()
    await waiting.close()
    runner.close()


async def test_both_databases_may_stand_in_one_schema(postgres_url: str) -> None:
    async with own_schema(postgres_url) as schema:
        place = PostgresSchema(Address.of(postgres_url), schema)
        for layout in LAYOUTS:
            assert await _opened(place, layout) == Migrated(None, layout.revisions[-1])
        for layout in LAYOUTS:
            assert await _opened(place, layout) == Migrated(layout.revisions[-1], layout.revisions[-1])
