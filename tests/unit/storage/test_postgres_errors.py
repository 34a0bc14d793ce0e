"""What a PostgreSQL store says when something is wrong, and what it tries again by itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.support.postgres_schemas import execute, opened_database, own_database, own_schema
from tradewright.app_extensions.db_pool import BarDatabase
from tradewright.domain.errors import ConfigError, StorageUnavailable, TradewrightError
from tradewright.domain.instruments import SeriesKey
from tradewright.domain.ports import ImportCounts
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase
from tradewright.storage.postgres.session import Session
from tradewright.testing.store_material import ALL_TIME, KEY, batch

COLLIDES = "DO $$ BEGIN RAISE EXCEPTION 'in the way' USING ERRCODE = '{}'; END $$"
SECRET = "s3cr3t-of-the-operator"


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    """Return an open database in a schema of its own."""
    async with own_schema(postgres_url) as schema, opened_database(postgres_url, schema) as opened:
        yield opened


@pytest.mark.parametrize("state", ["40001", "40P01", "23505"])
async def test_collisions_are_tried_again_and_duplicates_three_times(
    database: PostgresDatabase, state: str
) -> None:
    for collisions in range(5):
        tries = 0

        async def work(session: Session, collisions: int = collisions) -> int:
            nonlocal tries
            tries += 1
            if tries <= collisions:
                await session.run(COLLIDES.format(state))
            return tries

        if collisions <= 3 or state != "23505":
            assert await database.write(work, repeatable=False) == collisions + 1
        else:
            with pytest.raises(asyncpg.UniqueViolationError):  # so often, it is a defect of ours
                await database.write(work, repeatable=False)


async def test_collisions_without_end_are_told_after_a_while(database: PostgresDatabase) -> None:
    tries = 0

    async def work(session: Session) -> None:
        nonlocal tries
        tries += 1
        await session.run(COLLIDES.format("40001"))

    with pytest.raises(StorageUnavailable, match="in each other's way"):
        await database.write(work, timeout_s=1.5, repeatable=False)
    assert tries > 4


async def test_the_servers_default_isolation_is_not_ours(postgres_url: str) -> None:
    async with own_database(postgres_url) as url:
        name = url.rsplit("/", 1)[1]
        await execute(url, f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
        async with opened_database(url, "tradewright") as opened:

            async def isolation(session: Session) -> str:
                return str((await session.row("SHOW transaction_isolation"))[0])

            assert await opened.write(isolation, repeatable=True) == "read committed"


async def test_writers_of_the_same_series_in_any_order_do_not_collide(database: PostgresDatabase) -> None:
    store = PostgresBarStore(database)
    keys = [f"S{index}/USDT" for index in range(6)]

    async def load(names: list[str]) -> ImportCounts:
        batches = [batch([0, 1], key=SeriesKey(KEY.market, KEY.provider, name, "1m")) for name in names]
        return await store.import_bars(batches, replace=True)

    for _ in range(5):
        counts = await asyncio.gather(load(keys), load(keys[::-1]), load(keys[3:] + keys[:3]))
        assert {each.inserted + each.unchanged for each in counts} == {12}


async def test_a_lost_import_is_told_and_not_repeated(database: PostgresDatabase, postgres_url: str) -> None:
    tries = 0

    async def ends_its_connection_in_the_commit(session: Session) -> None:
        nonlocal tries
        tries += 1
        await session.row("SELECT 1")
        session.commit_sent = True
        await session.run("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(StorageUnavailable):
        await database.write(ends_its_connection_in_the_commit, repeatable=False)
    assert tries == 1
    with pytest.raises(StorageUnavailable):
        await database.write(ends_its_connection_in_the_commit, repeatable=True)
    assert tries > 2


async def test_a_slow_statement_ends_and_keeps_its_connection(postgres_url: str) -> None:
    async with (
        own_schema(postgres_url) as schema,
        opened_database(postgres_url, schema, readers=1, step_timeout_s=1) as database,
    ):

        async def backend(session: Session) -> int:
            return int((await session.row("SELECT pg_backend_pid()"))[0])

        before = await database.read(backend)
        with pytest.raises(StorageUnavailable, match="in time"):
            await database.read(lambda session: session.run("SELECT pg_sleep(20)"))
        assert await database.read(backend) == before


async def test_a_defect_of_ours_is_no_outage(database: PostgresDatabase) -> None:
    with pytest.raises(asyncpg.UndefinedColumnError):
        await database.read(lambda session: session.row("SELECT nothing_like_that FROM series"))
    await PostgresBarStore(database).check()


async def test_a_database_that_takes_no_writes_says_so(database: PostgresDatabase) -> None:
    async def work(session: Session) -> None:
        await session.run("SET TRANSACTION READ ONLY")
        await session.run("UPDATE pulse SET beats = 0")

    with pytest.raises(StorageUnavailable, match="takes no writes"):
        await database.write(work, repeatable=True)


def _with(url: str, *, password: str | None = None, port: int | None = None, path: str | None = None) -> str:
    parts = urlsplit(url)
    place = f"{parts.hostname}:{port or parts.port}"
    return f"postgresql://{parts.username}:{password or parts.password}@{place}{path or parts.path}"


async def test_no_error_holds_a_password(
    postgres_url: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        closed_port = nobody.getsockname()[1]
        wrong: list[tuple[str, type[TradewrightError]]] = [
            (_with(postgres_url, password=SECRET), ConfigError),
            (_with(postgres_url, path=f"/not_there?password={SECRET}"), ConfigError),
            (_with(postgres_url, password=SECRET, port=closed_port), StorageUnavailable),
            (f"postgresql://user:{SECRET}@127.0.0.1:notaport/x", ConfigError),
            (f"postgresql://user:{SECRET}@[::1/x", ConfigError),
            (f"mysql://user:{SECRET}@127.0.0.1/x", ConfigError),
            (f"{SECRET}", ConfigError),
        ]
        for url, kind in wrong:
            with pytest.raises(kind) as refusal:
                await BarDatabase(url).open(timeout_s=0.5)
            said = f"{refusal.value!s} {refusal.value!r} {getattr(refusal.value, 'problems', '')}"
            assert SECRET not in said, url
            assert "\n" not in str(refusal.value)
    assert SECRET not in caplog.text + "".join(capsys.readouterr())
    assert SECRET not in repr(PostgresDatabase(f"postgresql://user:{SECRET}@host/x").address)


async def test_a_closed_database_says_so(postgres_url: str) -> None:
    async with own_schema(postgres_url) as schema:
        pool = BarDatabase(postgres_url, schema=schema)
        with pytest.raises(StorageUnavailable):
            await pool.bars.read(KEY, *ALL_TIME)
        await pool.open()
        await pool.open()
        await pool.bars.write(batch([0]))
        await pool.close()
        await pool.close()
        with pytest.raises(StorageUnavailable, match="closed"):
            await pool.bars.read(KEY, *ALL_TIME)
        await pool.open()
        assert len(await pool.bars.read(KEY, *ALL_TIME)) == 1
        await pool.close()


async def test_a_command_opens_the_stores_from_a_url(postgres_url: str) -> None:
    pool = BarDatabase(postgres_url)
    try:
        await pool.open()
        assert (await pool.bars.describe()).kind == "postgresql"
        assert await pool.instruments.registered_providers("crypto") == ()
    finally:
        await pool.close()
        await execute(postgres_url, "DROP SCHEMA IF EXISTS tradewright CASCADE")


async def test_the_kernel_watches_over_idle_connections(database: PostgresDatabase) -> None:
    async def option(session: Session) -> int:
        transport = session._connection._transport  # what the driver does not promise is guarded here
        peer = transport.get_extra_info("socket")
        return int(peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    assert await database.read(option)
