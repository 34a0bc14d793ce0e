"""What a call on the people's databases comes to when the database is locked, gone, frozen or overrun."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.support.own_postgres import own_postgres
from tests.support.postgres_schemas import own_schema
from tools.private_servers import PrivatePostgres
from tradewright.domain.errors import ConfigError, StorageUnavailable
from tradewright.storage.people import AUTH, PeopleDatabase, Place, PostgresSchema, SQLiteFile, SqlUserStore
from tradewright.storage.people.auth_models import UserRow
from tradewright.storage.postgres.address import Address
from tradewright.testing.people_material import record

IN_TIME_S = 5.0
"""Far more than a second of patience costs on a slow machine, and no wait without an end."""


@asynccontextmanager
async def opened(place: Place, timeout_s: float = 4.0) -> AsyncIterator[PeopleDatabase]:
    """An open database whose calls end so soon."""
    database = PeopleDatabase(place, AUTH, timeout_s=timeout_s)
    await database.open(30)
    try:
        yield database
    finally:
        await database.close()


async def refused(*calls: Awaitable[object]) -> float:
    """How long it took until the last of these calls was told that the database is not available."""
    began = time.monotonic()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} == {StorageUnavailable}, answers
    return time.monotonic() - began


async def eventually(work: Callable[[], Awaitable[object]], within_s: float = 30) -> None:
    """Return when ``work`` raises ``StorageUnavailable`` no more."""
    began = time.monotonic()
    while True:
        try:
            await work()
        except StorageUnavailable:
            assert time.monotonic() - began < within_s, "the store does not recover"
        else:
            return


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    """Return a server that the tests of this module may treat badly; each leaves it running."""
    with own_postgres() as found:
        yield found


async def test_before_opening_and_after_closing_calls_are_refused(tmp_path: Path) -> None:
    database = PeopleDatabase(SQLiteFile(tmp_path / "auth.sqlite3"), AUTH)
    users = SqlUserStore(database)
    await refused(users.count(), users.add(record("anna")), database.check())
    await database.open()
    await users.add(record("anna"))
    await database.open()
    await database.close()
    await database.close()
    await refused(users.count(), users.add(record("ben")), database.check())
    await database.open()
    assert await users.count() == 1
    await database.close()


async def test_a_lock_of_another_program_costs_writers_time_and_readers_none(tmp_path: Path) -> None:
    path = tmp_path / "auth.sqlite3"
    async with opened(SQLiteFile(path), timeout_s=0.6) as database:
        users = SqlUserStore(database)
        await users.add(record("anna"))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        ticking = asyncio.create_task(tick(), name="ticking")
        writers = asyncio.gather(*(refused(users.add(record(f"w{n}"))) for n in range(5)))
        assert await users.count() == 1, "readers go on"
        assert max(await writers) < IN_TIME_S
        assert turns > 100, "and so does the loop"
        ticking.cancel()
        late = asyncio.create_task(users.add(record("late")), name="late")
        await asyncio.wait({late}, timeout=0.1)
        other.execute("COMMIT")
        other.close()
        await late
        assert await users.count() == 2
        await database.check()


async def test_a_file_that_is_gone_or_damaged_is_an_error_and_never_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "auth.sqlite3"
    async with opened(SQLiteFile(path), timeout_s=2) as database:
        await SqlUserStore(database).add(record("anna"))
    async with opened(SQLiteFile(path), timeout_s=2) as database:
        path.unlink()
        await refused(SqlUserStore(database).count())
        assert not path.exists()
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(StorageUnavailable, match="not a database"):
        await PeopleDatabase(SQLiteFile(path), AUTH).open(5)
    folder = PeopleDatabase(SQLiteFile(tmp_path / "missing" / "auth.sqlite3"), AUTH)
    with pytest.raises(StorageUnavailable, match=r"missing.* can't be opened \(No such file or directory\)"):
        await folder.open(60)


async def test_a_cancelled_writer_leaves_nothing_and_is_in_nobodys_way(tmp_path: Path) -> None:
    async with opened(SQLiteFile(tmp_path / "auth.sqlite3")) as database:
        begun = asyncio.Event()

        async def forever(connection: AsyncConnection) -> None:
            await connection.execute(text("DELETE FROM users"))
            begun.set()
            await asyncio.Event().wait()

        users = SqlUserStore(database)
        await users.add(record("anna"))
        writing = asyncio.create_task(database.write(forever), name="writing")
        await asyncio.wait_for(begun.wait(), 5)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
        await users.add(record("ben"))
        assert await users.count() == 2


async def test_no_value_is_told_by_an_error(
    tmp_path: Path, postgres_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect of ours, such as a row that breaks a constraint, tells what happened and not to whom."""
    hushed = {"email": "hush@example.com", "username": "hush", "password_hash": "hushhash", "id": "hushid"}
    rest = {"role": "x", "created_ms": 1, "disabled": False, "totp_enabled": False}
    values = {**hushed, **rest, "password_changed_ms": 1, "recovery_hashes": "[]"}

    async def twice(connection: AsyncConnection) -> None:
        await connection.execute(insert(UserRow).values(**values))
        await connection.execute(insert(UserRow).values(**values))

    async with own_schema(postgres_url) as schema:
        for place in (
            SQLiteFile(tmp_path / "auth.sqlite3"),
            PostgresSchema(Address.of(postgres_url), schema),
        ):
            async with opened(place) as database:
                with (
                    pytest.raises(StorageUnavailable) as error,
                    caplog.at_level(logging.DEBUG, "tradewright"),
                ):
                    await database.write(twice)
                assert error.value.__cause__ is None
                assert error.value.__suppress_context__
    told = caplog.text
    assert "IntegrityError SQLITE_CONSTRAINT" in told
    assert "UniqueViolationError 23505" in told
    assert "hush" not in f"{told}{error.value!r}"


async def test_a_frozen_server_ends_every_call_in_time_and_is_used_again(server: PrivatePostgres) -> None:
    async with own_schema(server.url) as schema:
        place = PostgresSchema(Address.of(server.url), schema)
        async with opened(place, timeout_s=1) as database:
            users = SqlUserStore(database)
            await users.add(record("anna"))
            server.freeze()
            try:
                calls = [users.count() for _ in range(20)]  # more than there are connections
                took = await refused(
                    *calls, *(users.add(record(f"u{n}")) for n in range(10)), database.check()
                )
                assert took < IN_TIME_S
                late = PeopleDatabase(place, AUTH, timeout_s=1)
                with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1.*did not answer in time"):
                    await late.open(0.5)
            finally:
                server.thaw()
            await eventually(database.check)
            assert await users.find("anna") is not None


async def test_a_server_that_restarts_costs_readers_nothing_and_doubles_nothing(
    server: PrivatePostgres,
) -> None:
    async with (
        own_schema(server.url) as schema,
        opened(PostgresSchema(Address.of(server.url), schema)) as database,
    ):
        users = SqlUserStore(database)
        await users.add(record("anna"))
        server.stop_immediately()
        assert await refused(users.count(), users.add(record("lost"))) < IN_TIME_S
        server.start()
        answers = await asyncio.gather(*(users.count() for _ in range(10)), users.add_first(record("ben")))
        assert answers == [1] * 10 + [False], "connections that died are not noticed"


async def test_an_overrun_server_ends_every_call_in_time(postgres_url: str) -> None:
    async with (
        own_schema(postgres_url) as schema,
        opened(PostgresSchema(Address.of(postgres_url), schema), timeout_s=1) as database,
    ):

        async def slow(connection: AsyncConnection) -> None:
            await connection.execute(text("SELECT pg_sleep(20)"))

        assert await refused(*(database.read(slow) for _ in range(40))) < IN_TIME_S
        await eventually(database.check)
        await refused(*(database.read(slow) for _ in range(1_001)))


async def test_wrong_settings_are_told_at_once_and_without_the_password(postgres_url: str) -> None:
    server = postgres_url.rpartition("@")[2]
    for wrong in (f"postgresql://nobody:hushhush@{server}", postgres_url.rpartition("/")[0] + "/nowhere"):
        database = PeopleDatabase(PostgresSchema(Address.of(wrong), "tradewright_auth"), AUTH)
        with pytest.raises(ConfigError) as refusal:
            await database.open(20)
        assert "hushhush" not in str(refusal.value)
