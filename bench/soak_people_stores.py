"""The people's databases under races and kills: what must happen once happens once, nothing is half done.

    python -m bench.soak_people_stores [rotations] [set-ups]

On SQLite and on PostgreSQL: ten at a time use one refresh token, and exactly one may win, with one successor;
a hundred at a time want to be the first user, and one may be; events are appended to the audit log by many at
once, and its digests must be whole. Then a start is killed at each moment of its migration, from nothing and
from the first version: the schema is as it was or whole, and the next start makes it whole.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from tests.support.people import opened_people
from tests.support.people_processes import forked, opened
from tests.support.postgres_schemas import execute
from tools.private_servers import private_postgres
from tradewright.domain.people import NewAuditEvent
from tradewright.domain.people_stores import PeopleStores
from tradewright.runtime.clock import SystemClock
from tradewright.storage.people import AUTH, Place, PostgresSchema, SQLiteFile
from tradewright.storage.people.migrating import bring_up
from tradewright.storage.postgres.address import Address
from tradewright.testing.people_material import NOW, hashed, record, session, token
from tradewright.testing.people_stores import check_chain

ROTATIONS, SET_UPS = 1_000, 20
RIVALS, APPLICANTS = 10, 100
MOMENTS_MAX = 200


async def rotate(people: PeopleStores, rotations: int) -> tuple[int, int]:
    """Use token after token, ten at a time; how many had not one winner, how many lost the session."""
    await people.users.add(record("anna"))
    mine, present, wrong, lost = session("id-anna", "s"), "first", 0, 0
    await people.sessions.add(mine, token(mine.id, present), kept_max=9)
    for turn in range(rotations):
        names = [f"{turn} {rival}" for rival in range(RIVALS)]
        answers = await asyncio.gather(
            *(
                people.sessions.rotate(hashed(present), token(mine.id, name), name.encode(), NOW, "")
                for name in names
            )
        )
        winners = [name for name, won in zip(names, answers, strict=True) if won]
        kept = [name for name in names if await people.sessions.token(hashed(name)) is not None]
        used = await people.sessions.token(hashed(present))
        fits = used is not None and [used.successor] == [name.encode() for name in winners]
        wrong += len(winners) != 1 or kept != winners or not fits
        lost += await people.sessions.get(mine.id) is None
        present = winners[0]
        await people.audit.append(NewAuditEvent(time_ms=NOW, kind="rotated"))
    return wrong, lost


async def set_up(people: PeopleStores, rounds: int) -> int:
    """In how many rounds not exactly one of a hundred was the first user."""
    wrong = 0
    for each in await people.users.users():
        await people.users.delete(each.id)
    for _ in range(rounds):
        answers = await asyncio.gather(
            *(people.users.add_first(record(f"u{n}", "admin")) for n in range(APPLICANTS))
        )
        wrong += sum(answers) != 1 or await people.users.count() != 1
        (first,) = await people.users.users()
        await people.users.delete(first.id)
    return wrong


async def chain_is_whole(people: PeopleStores, appended: int) -> bool:
    """Append many at once; whether every digest is right and no position is left out."""
    await asyncio.gather(*(people.audit.append(NewAuditEvent(time_ms=NOW, kind=f"{n}")) for n in range(200)))
    events = [event async for event in people.audit.all()]
    check_chain(events)
    return [event.position for event in events] == list(range(1, appended + 201))


async def race(name: str, auth: Place, user_configs: Place, rotations: int, rounds: int) -> int:
    """All races on one kind of database; how many went wrong."""
    began = time.monotonic()
    async with opened_people(auth, user_configs) as people:
        wrong, lost = await rotate(people.stores, rotations)
        took_s = time.monotonic() - began
        doubled = await set_up(people.stores, rounds)
        whole = await chain_is_whole(people.stores, rotations)
    print(
        f"{name}: {rotations:,} tokens used by {RIVALS} at once in {took_s:.0f} s, {wrong} without one "
        f"winner, {lost} sessions lost; {rounds} set-ups by {APPLICANTS} at once, {doubled} without one "
        f"first user; audit log {'whole' if whole else 'BROKEN'}"
    )
    return wrong + lost + doubled + (not whole)


def schema_of(path: Path) -> list[tuple[str, str]]:
    """Every definition in a file."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name"
        ).fetchall()
    finally:
        connection.close()


async def first_version(path: Path) -> None:
    """A file with the first version of the schema."""
    place = SQLiteFile(path)
    place.prepare()
    engine = place.migrating_engine(10)
    await bring_up(engine, place, AUTH, SystemClock(), target=AUTH.revisions[0])
    await engine.dispose()


def kill_starts(folder: Path) -> int:
    """Kill a start at each moment of its migration; how many left something half made."""
    asyncio.run(opened(SQLiteFile(folder / "whole"), AUTH))
    asyncio.run(first_version(folder / "old"))
    whole, old, kills, half = schema_of(folder / "whole"), schema_of(folder / "old"), 0, 0
    for origin, before in ((None, []), (folder / "old", old)):
        for moment in range(1, MOMENTS_MAX):
            path = folder / f"{moment} {origin is None}"
            if origin is not None:
                shutil.copy(origin, path)
            child = forked(lambda path=path: opened(SQLiteFile(path), AUTH), moment)  # type: ignore[misc]
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code == 0:
                break
            assert code == -signal.SIGKILL
            kills += 1
            half += schema_of(path) not in (before, whole)
            asyncio.run(opened(SQLiteFile(path), AUTH))
            half += schema_of(path) != whole
    print(f"SQLite: {kills} starts killed, each at its own moment of the migration; {half} half made")
    return half


def main() -> int:
    rotations = int(sys.argv[1]) if len(sys.argv) > 1 else ROTATIONS
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else SET_UPS
    with tempfile.TemporaryDirectory(prefix="tradewright-soak-") as made:
        folder = Path(made)
        folder.chmod(0o711)
        wrong = kill_starts(folder)
        files = SQLiteFile(folder / "auth.sqlite3"), SQLiteFile(folder / "user_configs.sqlite3")
        wrong += asyncio.run(race("SQLite", *files, rotations, rounds))
        with private_postgres(folder / "postgres") as server:
            place = PostgresSchema(Address.of(server.url), "tradewright_auth")
            wrong += asyncio.run(race("PostgreSQL", place, place, rotations, rounds))
            asyncio.run(execute(server.url, "DROP SCHEMA tradewright_auth CASCADE"))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
