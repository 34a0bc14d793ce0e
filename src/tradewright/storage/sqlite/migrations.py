"""The schema's history: numbered SQL files, each applied once, in a transaction of its own.

``PRAGMA user_version`` holds the number of the last step and changes in the same transaction, so a
step that is killed in the middle has not happened, and the next start does it again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Final, TypeAlias

from tradewright.domain.errors import ConfigError

APPLICATION_ID: Final = 0x74776272

Begin: TypeAlias = Callable[[sqlite3.Connection], None]
Observer: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the schema."""

    number: int
    name: str
    statements: tuple[str, ...]


def shipped_steps() -> tuple[Step, ...]:
    """The steps that come with the program, in order; they are numbered from 1 without a hole."""
    files = resources.files(__package__).joinpath("migrations").iterdir()
    names = sorted(file.name for file in files if file.name.endswith(".sql"))
    steps = []
    for number, name in enumerate(names, start=1):
        if int(name.split("_", 1)[0]) != number:
            raise RuntimeError(f"Migration {name} stands where number {number} should.")
        script = resources.files(__package__).joinpath("migrations", name).read_text("utf-8")
        steps.append(Step(number, name.removesuffix(".sql"), tuple(_statements(script))))
    return tuple(steps)


def _statements(script: str) -> list[str]:
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    if pending.strip():
        raise RuntimeError(f"A migration ends within a statement: {pending.strip()!r}")
    return statements


def migrate(
    connection: sqlite3.Connection,
    steps: Sequence[Step],
    begin: Begin,
    observe: Observer = lambda _moment: None,
) -> None:
    """Bring the schema to the newest step.

    ``begin`` starts a write transaction and waits for whoever has one, so of several programs that
    start at once one does a step and the others find it done. ``observe`` is told each moment
    at which a crash could leave something behind; tests kill the process there.
    ``ConfigError`` where the file is newer than the program or is not ours.
    """
    while (step := _next_step(connection, steps)) is not None:
        observe(f"before {step.name}")
        begin(connection)
        try:
            if _next_step(connection, steps) == step:
                for index, statement in enumerate(step.statements, start=1):
                    connection.execute(statement)
                    observe(f"in {step.name} after statement {index}")
                connection.execute(f"PRAGMA user_version = {step.number:d}")
                observe(f"in {step.name} before commit")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        observe(f"after {step.name}")


def _next_step(connection: sqlite3.Connection, steps: Sequence[Step]) -> Step | None:
    version, application_id, tables = _state(connection)
    if version > len(steps):
        problem = (
            f"The database {_path(connection)} was written by a newer version of this program "
            f"(schema {version}, known {len(steps)}): install that version, or use another data directory."
        )
        raise ConfigError([problem])
    if application_id != (APPLICATION_ID if version else 0) or (tables and not version):
        raise ConfigError(
            [f"{_path(connection)} is a database of another program: use another data directory."]
        )
    return steps[version] if version < len(steps) else None


def _state(connection: sqlite3.Connection) -> tuple[int, int, int]:
    """Schema version, owner's mark and number of tables, all of one moment."""
    outer = connection.in_transaction
    if not outer:
        connection.execute("BEGIN")
    try:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    finally:
        if not outer and connection.in_transaction:
            connection.execute("ROLLBACK")
    return version, application_id, tables


def _path(connection: sqlite3.Connection) -> str:
    return str(connection.execute("PRAGMA database_list").fetchone()[2])
