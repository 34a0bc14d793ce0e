"""The audit log: the database refuses to change it, digests show what was changed, processes share it."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from tests.support import people_processes
from tests.support.people import opened_people
from tests.support.postgres_schemas import execute, own_schema
from tradewright.domain.people import AuditEvent, NewAuditEvent
from tradewright.domain.people_stores import PeopleStores
from tradewright.storage.people import PostgresSchema, SQLiteFile
from tradewright.storage.postgres.address import Address
from tradewright.testing.people_material import NOW
from tradewright.testing.people_stores import check_chain

EVENTS = 6


async def written(people: PeopleStores) -> list[AuditEvent]:
    """Some events, as they were appended."""
    return [
        await people.audit.append(
            NewAuditEvent(time_ms=NOW + n, kind="login.failed", user_id="anna", details={"n": n})
        )
        for n in range(EVENTS)
    ]


REFUSED = [
    "UPDATE audit_events SET kind = 'login' WHERE position = 2",
    "UPDATE audit_events SET position = position + 100",
    "DELETE FROM audit_events WHERE position = 6",
    "DELETE FROM audit_events",
]


async def test_a_file_refuses_changes_and_shows_those_that_were_forced(tmp_path: Path) -> None:
    files = SQLiteFile(tmp_path / "auth.sqlite3"), SQLiteFile(tmp_path / "user_configs.sqlite3")
    async with opened_people(*files) as people:
        events = await written(people.stores)
        connection = sqlite3.connect(files[0].path, isolation_level=None)
        replacing = "INSERT OR REPLACE INTO audit_events SELECT 3, 1, kind, user_id, actor_id, address, "
        replacing += "request_id, details, digest FROM audit_events WHERE position = 3"
        beyond = replacing.replace("SELECT 3", "SELECT 99")
        for statement in (*REFUSED, replacing, beyond):
            with pytest.raises(sqlite3.IntegrityError, match="audit events"):
                connection.execute(statement)
        assert [event async for event in people.stores.audit.all()] == events

        async def forced(statement: str) -> None:
            connection.execute(statement)

        for trigger in ("never_change", "stay", "are_appended"):
            connection.execute(f"DROP TRIGGER audit_events_{trigger}")
        await expect_found(people.stores, forced)
        connection.close()


async def test_a_server_refuses_changes_and_shows_those_that_were_forced(postgres_url: str) -> None:
    async with own_schema(postgres_url) as schema:
        place = PostgresSchema(Address.of(postgres_url), schema)
        path = f"SET search_path = {schema}"
        async with opened_people(place, place) as people:
            events = await written(people.stores)
            for statement in (*REFUSED, "TRUNCATE audit_events"):
                with pytest.raises(asyncpg.RaiseError, match="audit events"):
                    await execute(postgres_url, path, statement)
            assert [event async for event in people.stores.audit.all()] == events

            async def forced(statement: str) -> None:
                await execute(postgres_url, path, statement)

            await forced("ALTER TABLE audit_events DISABLE TRIGGER ALL")
            await expect_found(people.stores, forced)


async def expect_found(people: PeopleStores, forced: Callable[[str], Awaitable[None]]) -> None:
    """Each change that somebody forces on the log is found, at the event where it was made."""
    check_chain([event async for event in people.audit.all()])
    changes = [
        ("time_ms = time_ms + 1", "time_ms = time_ms - 1"),
        ("kind = 'login'", "kind = 'login.failed'"),
        ("user_id = 'ben'", "user_id = 'anna'"),
        ("actor_id = 'ben'", "actor_id = NULL"),
        ("address = 'x'", "address = ''"),
        ("request_id = 'x'", "request_id = ''"),
        ("details = '{\"n\":7}'", "details = '{\"n\":2}'"),
        ("digest = 'x' || digest", "digest = substr(digest, 2)"),
    ]
    for change, back in changes:
        await forced(f"UPDATE audit_events SET {change} WHERE position = 3")
        with pytest.raises(AssertionError, match="event 3 was changed"):
            check_chain([event async for event in people.audit.all()])
        await forced(f"UPDATE audit_events SET {back} WHERE position = 3")
        check_chain([event async for event in people.audit.all()])
    await forced("DELETE FROM audit_events WHERE position = 4")
    with pytest.raises(AssertionError, match="event 5 was changed"):
        check_chain([event async for event in people.audit.all()])


@pytest.fixture(params=["sqlite", "postgresql"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SQLiteFile | PostgresSchema]:
    """Where a database is made."""
    if request.param == "sqlite":
        yield SQLiteFile(tmp_path / "auth.sqlite3")
    else:
        url = request.getfixturevalue("postgres_url")
        async with own_schema(url) as schema:
            yield PostgresSchema(Address.of(url), schema)


async def test_processes_share_one_chain_one_count_and_one_first_user(
    place: SQLiteFile | PostgresSchema, tmp_path: Path
) -> None:
    embedded = isinstance(place, SQLiteFile)
    name = str(place.path) if isinstance(place, SQLiteFile) else f"{place.address.url} {place.schema}"
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        people_processes.__file__,
        *("write", "sqlite" if embedded else "postgresql", name, "2"),
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(program.communicate(), 90)
    assert said.decode().split() == ["[0,", "0]"]
    async with opened_people(place, SQLiteFile(tmp_path / "user_configs.sqlite3")) as people:
        events = [event async for event in people.stores.audit.all()]
        assert len({event.kind for event in events}) == 40
        assert [event.position for event in events] == list(range(1, 41))
        check_chain(events)
        found = await people.stores.attempts.failures(["a", *(f"b{n}" for n in range(5))])
        assert {key: count for key, (count, _) in found.items()} == {
            "a": 40,
            **{f"b{n}": 8 for n in range(5)},
        }
        assert await people.stores.users.count() == 1
