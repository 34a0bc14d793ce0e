"""A PostgreSQL server that freezes, dies and comes back: every call ends in time, and nothing is doubled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial

import pytest

from tests.support.own_postgres import own_postgres
from tests.support.postgres_schemas import fetch, opened_database, own_schema
from tools.private_servers import PrivatePostgres
from tradewright.domain.errors import StorageUnavailable
from tradewright.domain.intervals import IntervalSet
from tradewright.domain.ports import Coverage
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase
from tradewright.testing.store_material import ALL_TIME, KEY, bars_at, batch, minutes

RESTARTS = 3
"""In every run; `bench/soak_postgres_faults.py` does many more."""
IN_TIME_S = 10.0
"""Far more than a second of patience costs on a slow machine, and no wait without an end."""


@pytest.fixture(scope="module")
def server() -> Iterator[PrivatePostgres]:
    """Return a server that the tests of this module may treat badly; each leaves it running."""
    with own_postgres() as server:
        yield server


@pytest.fixture
async def database(server: PrivatePostgres) -> AsyncIterator[PostgresDatabase]:
    """Return an open database in a schema of its own."""
    async with own_schema(server.url) as schema, opened_database(server.url, schema) as opened:
        yield opened


@pytest.fixture
async def hasty(server: PrivatePostgres) -> AsyncIterator[PostgresDatabase]:
    """Return one that gives up a silent server after a second, so that tests do not take long."""
    async with (
        own_schema(server.url) as schema,
        opened_database(server.url, schema, step_timeout_s=1) as opened,
    ):
        yield opened


async def eventually(work: Callable[[], Awaitable[object]], within_s: float = 30) -> float:
    """Return how long it took until ``work`` raised ``StorageUnavailable`` no more."""
    began = time.monotonic()
    while True:
        try:
            await work()
        except StorageUnavailable:
            assert time.monotonic() - began < within_s, "the store does not recover"
        else:
            return time.monotonic() - began


async def test_every_call_ends_in_time_while_the_server_is_frozen(
    server: PrivatePostgres, hasty: PostgresDatabase
) -> None:
    store = PostgresBarStore(hasty)
    await store.write(batch([0, 1], (0, 2)))

    async def taken(call: Awaitable[object]) -> float:
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            await call
        return time.monotonic() - began

    server.freeze()
    try:
        calls = [
            *(store.read(KEY, *ALL_TIME) for _ in range(25)),  # more than there are connections
            *(store.write(batch([index])) for index in range(10)),
            store.import_bars([batch([5])], replace=True),
            store.check(),
            store.describe(),
        ]
        assert max(await asyncio.gather(*map(taken, calls))) < IN_TIME_S
        assert await taken(store.read(KEY, *ALL_TIME)) < IN_TIME_S, "with all connections gone"
        assert await taken(PostgresDatabase(server.url).open(timeout_s=1)) < IN_TIME_S
        async with asyncio.timeout(IN_TIME_S):
            await hasty.close()
    finally:
        server.thaw()
    async with opened_database(server.url, hasty.schema) as again:
        await eventually(PostgresBarStore(again).check)
        assert (await PostgresBarStore(again).read(KEY, *ALL_TIME)).equals(bars_at([0, 1]))


async def test_a_cancelled_call_gives_its_connection_back(server: PrivatePostgres) -> None:
    async with (
        own_schema(server.url) as schema,
        opened_database(server.url, schema, readers=1, writers=1, step_timeout_s=2) as database,
    ):
        store = PostgresBarStore(database)
        await store.write(batch([0]))
        server.freeze()
        waiting = [asyncio.create_task(store.read(KEY, *ALL_TIME), name=f"read {n}") for n in range(3)]
        await asyncio.wait(waiting, timeout=0.2)
        for each in waiting:
            each.cancel()
        async with asyncio.timeout(IN_TIME_S):
            await asyncio.gather(*waiting, return_exceptions=True)
        server.thaw()
        await eventually(lambda: store.read(KEY, *ALL_TIME))
        await eventually(lambda: store.write(batch([1])))


async def test_connections_that_were_ended_cost_no_answer(
    server: PrivatePostgres, database: PostgresDatabase
) -> None:
    store = PostgresBarStore(database)
    await store.write(batch([0], (0, 1)))
    for index in range(1, 6):
        await asyncio.gather(*(store.read(KEY, *ALL_TIME) for _ in range(5)))
        await fetch(
            server.url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tradewright'",
        )
        await asyncio.gather(*(store.read(KEY, *ALL_TIME) for _ in range(5)))
        await store.write(batch([index], (index, index + 1)))
    bars, known = await store.read_with_coverage(KEY, *ALL_TIME)
    assert bars.equals(bars_at(list(range(6))))
    assert known == Coverage(minutes((0, 6)))


async def test_a_killed_server_costs_no_bar_and_doubles_none(
    server: PrivatePostgres, database: PostgresDatabase
) -> None:
    store, done = PostgresBarStore(database), asyncio.Event()
    accepted: list[int] = []

    async def write() -> None:
        while not done.is_set():
            index = len(accepted)
            await eventually(partial(store.write, batch([index], (index, index + 1))))
            accepted.append(index)

    async def read() -> None:
        while not done.is_set():
            seen = len(accepted)
            try:
                bars = await store.read(KEY, *ALL_TIME)
            except StorageUnavailable:
                continue
            assert len(bars) >= seen, "what was accepted is there"

    async def progress() -> None:
        seen, until = len(accepted), time.monotonic() + 30
        while len(accepted) < seen + 5:
            assert time.monotonic() < until, "nothing is accepted any more"
            await asyncio.sleep(0.01)

    async with asyncio.TaskGroup() as group:
        group.create_task(write(), name="writer")
        group.create_task(read(), name="reader")
        for number in range(RESTARTS):
            await progress()
            await asyncio.to_thread(server.kill if number % 2 else server.stop_immediately)
            server.launch()
        await progress()
        done.set()
    bars, known = await store.read_with_coverage(KEY, *ALL_TIME)
    assert bars.equals(bars_at(accepted))
    assert known == Coverage(minutes((0, len(accepted))))


async def test_a_short_restart_is_waited_out_by_readers(
    server: PrivatePostgres, database: PostgresDatabase
) -> None:
    store = PostgresBarStore(database)
    await store.write(batch([0]))
    server.stop_immediately()
    began = time.monotonic()
    with pytest.raises(StorageUnavailable, match="can't be reached"):
        await store.read(KEY, *ALL_TIME)
    assert 1 < time.monotonic() - began < IN_TIME_S, "two seconds of an outage are waited out"
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        await store.read(KEY, *ALL_TIME)
    assert time.monotonic() - began < 1, "later calls are told at once"
    server.start()
    assert len(await store.read(KEY, *ALL_TIME)) == 1


async def test_a_start_waits_for_the_server(server: PrivatePostgres) -> None:
    async with own_schema(server.url) as schema:
        server.stop_immediately()
        database = PostgresDatabase(server.url, schema=schema)
        with pytest.raises(StorageUnavailable, match=r"127\.0\.0\.1:") as failure:
            await database.open(timeout_s=0.5)
        assert server.url.split(":")[2].split("@")[0] not in str(failure.value), "no password is told"
        opening = asyncio.create_task(database.open(timeout_s=30), name="opening")
        server.launch()
        await opening
        await PostgresBarStore(database).check()
        await database.close()


async def test_heavy_readers_leave_the_writers_their_connections(
    server: PrivatePostgres, database: PostgresDatabase
) -> None:
    store = PostgresBarStore(database)
    await store.write(batch([0]))

    async def slow() -> None:
        await database.read(lambda session: session.run("SELECT pg_sleep(3.5)"))

    readers = [asyncio.create_task(slow(), name=f"slow {number}") for number in range(100)]
    await asyncio.wait(readers, timeout=0.2)
    began = time.monotonic()
    for index in range(1, 11):
        await store.write(batch([index], (index, index + 1)))
    assert time.monotonic() - began < 3.5, "ten writes beside a hundred slow reads"
    for reader in readers:
        reader.cancel()
    await asyncio.gather(*readers, return_exceptions=True)


async def test_bulk_loads_leave_room_for_live_bars(server: PrivatePostgres) -> None:
    async with (
        own_schema(server.url) as schema,
        opened_database(server.url, schema, writers=2, step_timeout_s=1) as database,
    ):
        begun, hold = asyncio.Event(), asyncio.Event()

        async def bulk(_session: object) -> None:
            begun.set()
            await hold.wait()

        load = asyncio.create_task(database.write(bulk, repeatable=True, bulk=True), name="bulk load")
        await begun.wait()
        with pytest.raises(StorageUnavailable, match="bulk"):
            await database.write(bulk, repeatable=True, bulk=True)
        async with asyncio.timeout(IN_TIME_S):
            await PostgresBarStore(database).write(batch([0]))
        hold.set()
        await load


async def test_by_default_a_silent_server_is_given_up_within_seconds(
    database: PostgresDatabase, server: PrivatePostgres
) -> None:
    store = PostgresBarStore(database)
    server.freeze()
    began = time.monotonic()
    try:
        with pytest.raises(StorageUnavailable):
            await store.read(KEY, *ALL_TIME)
    finally:
        server.thaw()
    assert time.monotonic() - began < IN_TIME_S
    await eventually(store.check)


async def test_more_calls_than_can_be_kept_are_refused(server: PrivatePostgres) -> None:
    async with (
        own_schema(server.url) as schema,
        opened_database(server.url, schema, pending_max=5, readers=1) as database,
    ):
        store = PostgresBarStore(database)
        ended = await asyncio.gather(*(store.read(KEY, *ALL_TIME) for _ in range(20)), return_exceptions=True)
        refused = [each for each in ended if isinstance(each, StorageUnavailable)]
        assert len(refused) == 15
        assert "keep up" in refused[0].message


async def test_a_held_lock_is_waited_for(hasty: PostgresDatabase) -> None:
    store = PostgresBarStore(hasty)
    await store.write(batch([0]))
    hold, held = asyncio.Event(), asyncio.Event()

    async def holding(session: object) -> None:
        assert hasattr(session, "row")
        await session.row("SELECT id FROM series FOR UPDATE")
        held.set()
        await hold.wait()

    holder = asyncio.create_task(hasty.write(holding, repeatable=True), name="holder")
    await held.wait()
    writing = asyncio.create_task(store.write(batch([1])), name="waiting")
    done, _ = await asyncio.wait({writing}, timeout=1.2)  # longer than one lock timeout
    assert not done
    hold.set()
    await asyncio.gather(holder, writing)
    assert len(await store.read(KEY, *ALL_TIME)) == 2


async def test_covered_nothing_is_no_bar(database: PostgresDatabase) -> None:
    store = PostgresBarStore(database)
    day = IntervalSet.single(0, 2**50)
    await store.write(batch([0]))
    await store.write(batch([], key=KEY), outage=day)
    assert len(await store.read(KEY, *ALL_TIME)) == 1
