"""Migrations on a server: all or nothing, whichever side dies; one runner at a time; refusals."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import asyncpg
import pytest

from tests.support.postgres_schemas import execute, fetch, opened_database, own_schema
from tradewright.domain.errors import ConfigError
from tradewright.runtime.clock import SystemClock
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase
from tradewright.storage.postgres.address import Address
from tradewright.storage.postgres.lending import connect
from tradewright.storage.postgres.migrations import Kind, Step, migrate, shipped_steps, statements_of
from tradewright.testing.store_material import ALL_TIME, KEY, batch

CRASHING_START = Path(__file__).with_name("crashing_postgres_start.py")
SERVERS: Final = ["postgres_url", pytest.param("timescale_url", marks=pytest.mark.timescale)]
KINDS: Final[dict[str, Kind]] = {"postgres_url": "postgresql", "timescale_url": "timescaledb"}
EVERYTHING: Final = """
SELECT relname, relkind FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = '{}')
ORDER BY relname
"""


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a server of each kind."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
async def schema(url: str) -> AsyncIterator[str]:
    """Return the name of a schema that is not there."""
    async with own_schema(url) as name:
        yield name


async def contents(url: str, schema: str) -> tuple[int, list[tuple[str, bytes]]]:
    """Return the version and every relation of a schema."""
    relations = [tuple(row) for row in await fetch(url, EVERYTHING.format(schema))]
    if not relations:
        return 0, []
    ((number,),) = await fetch(url, f"SELECT number FROM {schema}.schema_version")
    return number, relations


async def migrated(url: str, schema: str, steps: tuple[Step, ...]) -> None:
    """Bring a schema up to the last of the steps."""
    connection = await connect(Address.of(url), schema, 30)
    await migrate(connection, schema, steps, SystemClock())
    await connection.close()


async def test_killed_at_every_moment_nothing_is_half_done(
    url: str, schema: str, request: pytest.FixtureRequest
) -> None:
    steps = shipped_steps()
    kind = KINDS[request.node.callspec.params["url"]]
    stages = []
    for count in range(len(steps) + 1):
        if count:
            await migrated(url, schema, steps[:count])
        stages.append(await contents(url, schema))
    await execute(url, f"DROP SCHEMA {schema} CASCADE")
    moments = sum(len(step.statements[kind]) + 3 for step in steps)
    seen = set()
    for fatal in range(1, moments + 2):
        arguments = (sys.executable, CRASHING_START, url, schema, str(fatal))
        ended = await asyncio.create_subprocess_exec(*arguments)
        code = await asyncio.wait_for(ended.wait(), 60)
        assert code == (-signal.SIGKILL if fatal <= moments else 0)
        left = await contents(url, schema)
        assert left in stages, f"a half-made schema after moment {fatal}"
        seen.add(left[0])
        async with opened_database(url, schema):
            assert await contents(url, schema) == stages[-1], "the next start finishes"
        await execute(url, f"DROP SCHEMA {schema} CASCADE")
    assert seen == set(range(len(steps) + 1))


async def test_a_backend_that_dies_in_a_step_is_nothing(url: str, schema: str) -> None:
    steps = shipped_steps()
    dying = "SELECT pg_terminate_backend(pg_backend_pid())"
    last = Step(
        len(steps) + 1, "dying", dict.fromkeys(steps[0].statements, ("CREATE TABLE half (a int)", dying))
    )
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await migrated(url, schema, (*steps, last))
    number, relations = await contents(url, schema)
    assert number == len(steps)
    assert "half" not in [name for name, _ in relations]
    async with opened_database(url, schema) as database:
        await PostgresBarStore(database).check()


async def test_of_many_starts_at_once_each_succeeds(url: str, schema: str) -> None:
    starts = [PostgresDatabase(url, schema=schema) for _ in range(6)]
    await asyncio.gather(*(database.open() for database in starts))
    stores = [PostgresBarStore(database) for database in starts]
    await asyncio.gather(*(store.write(batch([n], (n, n + 1))) for n, store in enumerate(stores)))
    assert len(await stores[0].read(KEY, *ALL_TIME)) == len(starts)
    await asyncio.gather(*(database.close() for database in starts))


async def test_a_newer_schema_is_refused_and_bars_survive_a_later_step(url: str, schema: str) -> None:
    steps = shipped_steps()
    async with opened_database(url, schema) as database:
        await PostgresBarStore(database).write(batch([1, 2], (0, 3)))
    statement = ("ALTER TABLE series ADD COLUMN note text",)
    later = Step(len(steps) + 1, "later", dict.fromkeys(steps[0].statements, statement))
    async with opened_database(url, schema, steps=(*steps, later)) as newer:
        assert len(await PostgresBarStore(newer).read(KEY, *ALL_TIME)) == 2
    with pytest.raises(ConfigError, match="newer version") as refusal:
        await PostgresDatabase(url, schema=schema).open()
    assert "\n" not in refusal.value.problems[0]
    assert (await contents(url, schema))[0] == len(steps) + 1, "and nothing was changed"


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE {}.notes (text text)",
        "CREATE TABLE {}.schema_version (other int)",
        "CREATE TABLE {}.schema_version (application text, number int, kind text)",
    ],
)
async def test_the_schema_of_another_program_is_left_alone(url: str, schema: str, statement: str) -> None:
    await execute(url, f"CREATE SCHEMA {schema}", statement.format(schema))
    before = await fetch(url, EVERYTHING.format(schema))
    with pytest.raises(ConfigError, match="another program"):
        await PostgresDatabase(url, schema=schema).open()
    assert await fetch(url, EVERYTHING.format(schema)) == before


async def test_an_empty_schema_is_taken(url: str, schema: str) -> None:
    await execute(url, f"CREATE SCHEMA {schema}")
    async with opened_database(url, schema) as database:
        await PostgresBarStore(database).check()


async def test_a_failing_step_is_undone_and_those_before_it_stay(url: str, schema: str) -> None:
    steps = shipped_steps()
    statements = ("CREATE TABLE half (a int)", "CREATE TABLE half (a int)")
    bad = Step(len(steps) + 1, "bad", dict.fromkeys(steps[0].statements, statements))
    with pytest.raises(asyncpg.DuplicateTableError):
        await PostgresDatabase(url, schema=schema, steps=(*steps, bad)).open()
    number, relations = await contents(url, schema)
    assert number == len(steps)
    assert "half" not in [name for name, _ in relations]


async def test_the_database_itself_refuses_what_no_market_made(url: str, schema: str) -> None:
    async with opened_database(url, schema):
        pass
    good = {"open": "2", "high": "3", "low": "1", "close": "2", "volume": "0"}
    bad = [{name: value} for name in good for value in ("'NaN'", "'Infinity'", "'-Infinity'", "-1", "NULL")]
    bad += [{"open": "4"}, {"close": "0.5"}, {"low": "0"}, {"high": "1.5"}]
    for table in ("minutes", "bars"):
        for change in bad:
            values = ", ".join((good | change).values())
            with pytest.raises(asyncpg.IntegrityConstraintViolationError):
                await execute(url, f"INSERT INTO {schema}.{table} VALUES (1, 60000, {values})")
        await execute(url, f"INSERT INTO {schema}.{table} VALUES (1, 60000, {', '.join(good.values())})")


def test_a_file_of_statements_is_cut_at_its_semicolons() -> None:
    assert statements_of("SELECT ';' AS a;\nSELECT\n  1;\n") == ("SELECT ';' AS a", "SELECT\n  1")
    with pytest.raises(RuntimeError, match="within a statement"):
        statements_of("SELECT 1;\nSELECT")
