"""The schema's history: numbered SQL files, each applied once, in a transaction of its own.

A row of ``schema_version`` holds the number of the last step and changes in the same transaction, so
a step that is killed in the middle, on either side, has not happened, and the next start does it again.
A transaction-wide advisory lock lets one runner work at a time. Everything stands in a schema of our own.

Where a step differs by what the server offers there are two files of its number; which is meant is
settled by the first step for good.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Literal, TypeAlias

import asyncpg

from tradewright.domain.errors import ConfigError
from tradewright.runtime.clock import Clock

Kind: TypeAlias = Literal["postgresql", "timescaledb"]
Observer: TypeAlias = Callable[[str], None]

_KINDS: Final[tuple[Kind, ...]] = ("postgresql", "timescaledb")
_APPLICATION: Final = "tradewright bars"
_LOCK: Final = 0x74776272
_LOCK_POLL_S: Final = 0.1
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,47}")
_STATEMENT_END: Final = re.compile(r";[ \t]*(?:\n|$)")

_MAKE_VERSION: Final = (
    "CREATE TABLE schema_version (application text NOT NULL, number integer NOT NULL, kind text NOT NULL)"
)
_INSERT_VERSION: Final = "INSERT INTO schema_version (application, number, kind) VALUES ($1, $2, $3)"
_SET_VERSION: Final = "UPDATE schema_version SET number = $1"
_READ_VERSION: Final = "SELECT application, number, kind FROM schema_version"
_COUNT_TABLES: Final = (
    "SELECT count(*) FILTER (WHERE relname = 'schema_version') AS marks, count(*) AS tables FROM pg_class "
    "WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)"
)
_EXTENSION: Final = (
    "SELECT EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'timescaledb') AS made, "
    "EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb') "
    "AND current_setting('timescaledb.disable_load', true) IS NOT NULL AS possible"
)
"""The loader's own setting is there where the server was started with the extension's library."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the schema; ``statements`` by the kind of the database."""

    number: int
    name: str
    statements: dict[Kind, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Version:
    """How far a schema has come; ``kind`` is None before the first step."""

    number: int
    kind: Kind | None


def check_schema_name(schema: str) -> str:
    """``schema`` where it needs no quotes; else ``ConfigError``."""
    if not _SCHEMA.fullmatch(schema):
        raise ConfigError(["A schema's name has up to 48 lower-case letters, digits and underscores."])
    return schema


def shipped_steps() -> tuple[Step, ...]:
    """The steps that come with the program, in order; they are numbered from 1 without a hole."""
    folder = resources.files(__package__).joinpath("migrations")
    found: dict[int, dict[Kind, tuple[str, ...]]] = {}
    names: dict[int, str] = {}
    for file in folder.iterdir():
        if not file.name.endswith(".sql"):
            continue
        title, *kind = file.name.removesuffix(".sql").split(".")
        number, statements = int(title.split("_", 1)[0]), statements_of(file.read_text("utf-8"))
        if names.setdefault(number, title) != title:
            raise RuntimeError(f"Two migrations have the number {number}.")
        for each in _KINDS:
            if not kind or kind == [each]:
                found.setdefault(number, {})[each] = statements
    if sorted(found) != list(range(1, len(found) + 1)) or any(
        len(each) < len(_KINDS) for each in found.values()
    ):
        raise RuntimeError("A migration is missing.")
    return tuple(Step(number, names[number], found[number]) for number in sorted(found))


def statements_of(script: str) -> tuple[str, ...]:
    """The statements of a file; each ends with a semicolon at the end of a line."""
    *statements, rest = _STATEMENT_END.split(script)
    if rest.strip():
        raise RuntimeError(f"A migration ends within a statement: {rest.strip()!r}")
    return tuple(statement.strip() for statement in statements)


async def migrate(
    connection: Any,  # the driver has no types
    schema: str,
    steps: Sequence[Step],
    clock: Clock,
    observe: Observer = lambda _moment: None,
) -> Kind:
    """Bring the schema to the newest step and return its kind.

    ``observe`` is told each moment at which a crash could leave something behind; tests kill the
    process there. ``ConfigError`` where the schema is newer than the program, is not ours, or needs
    TimescaleDB and the server has it no more.
    """
    check_schema_name(schema)
    while (version := await found_version(connection, schema, len(steps))).number < len(steps):
        step = steps[version.number]
        observe(f"before {step.name}")
        await _locked(connection, clock)
        try:
            if await found_version(connection, schema, len(steps)) == version:
                await _apply(connection, schema, step, version.kind, observe)
            await connection.execute("COMMIT")
        except asyncpg.PostgresError:
            await connection.execute("ROLLBACK")
            raise
        observe(f"after {step.name}")
    assert version.kind is not None
    if version.kind == "timescaledb" and not (await connection.fetchrow(_EXTENSION))["made"]:
        raise ConfigError(["The database was set up with TimescaleDB, which its server has no more."])
    return version.kind


async def _locked(connection: Any, clock: Clock) -> None:
    """Begin a transaction and hold the lock until it ends."""
    while True:
        await connection.execute("BEGIN")
        if await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
            return
        await connection.execute("ROLLBACK")
        await clock.sleep(_LOCK_POLL_S)


async def _apply(connection: Any, schema: str, step: Step, kind: Kind | None, observe: Observer) -> None:
    chosen = kind
    if chosen is None:
        chosen = await _offered(connection)
        if await connection.fetchval("SELECT to_regnamespace($1)", schema) is None:
            await connection.execute(f"CREATE SCHEMA {schema}")
        await connection.execute(_MAKE_VERSION)
        await connection.execute(_INSERT_VERSION, _APPLICATION, 0, chosen)
    for index, statement in enumerate(step.statements[chosen], start=1):
        await connection.execute(statement)
        observe(f"in {step.name} after statement {index}")
    await connection.execute(_SET_VERSION, step.number)
    observe(f"in {step.name} before commit")


async def _offered(connection: Any) -> Kind:
    """What the server offers. The extension is made where it can be and its licence allows what we need."""
    found = await connection.fetchrow(_EXTENSION)
    if not (found["made"] or found["possible"]):
        return "postgresql"
    await connection.execute("SAVEPOINT offered")
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        licence = await connection.fetchval("SELECT current_setting('timescaledb.license', true)")
    except asyncpg.PostgresError:
        licence = None
    if licence == "timescale":
        return "timescaledb"
    await connection.execute("ROLLBACK TO offered")
    return "postgresql"


async def found_version(connection: Any, schema: str, known: int) -> Version:
    """How far the schema has come; ``ConfigError`` where it is not ours, or beyond ``known`` steps."""
    found = await connection.fetchrow(_COUNT_TABLES, schema)
    foreign = ConfigError([f"The schema {schema} of the database belongs to another program."])
    if not found["tables"]:
        return Version(0, None)
    if not found["marks"]:
        raise foreign
    try:
        row = await connection.fetchrow(_READ_VERSION)
    except asyncpg.UndefinedColumnError:
        raise foreign from None
    if row is None or row["application"] != _APPLICATION or row["kind"] not in _KINDS:
        raise foreign
    if row["number"] > known:
        problem = (
            f"The database was written by a newer version of this program (schema {row['number']}, known "
            f"{known}): install that version, or use another database."
        )
        raise ConfigError([problem])
    return Version(row["number"], row["kind"])
