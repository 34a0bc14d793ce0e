"""Programs beside the test that open or write the databases of people: forks of one process.

Usage: people_processes.py WHAT KIND PLACE …, where KIND is `sqlite` or `postgresql` and PLACE a file, or a
URL and a schema separated by a blank. All forks begin at once, with everything imported.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import alembic.command
from sqlalchemy import Engine, event

from tradewright.domain.people import NewAuditEvent
from tradewright.storage.people import (
    AUTH,
    Layout,
    PeopleDatabase,
    Place,
    PostgresSchema,
    SqlAttemptStore,
    SqlAuditStore,
    SQLiteFile,
    SqlSessionStore,
    SqlUserStore,
)
from tradewright.storage.postgres.address import Address
from tradewright.testing.people_material import NOW, record, session, token

IMPORTED_BEFORE_THE_FORKS = alembic.command


def place_of(kind: str, name: str) -> Place:
    """The place that the command line names."""
    if kind == "sqlite":
        return SQLiteFile(Path(name))
    url, schema = name.split(" ")
    return PostgresSchema(Address.of(url), schema)


def die_at(fatal: int) -> None:
    """Kill this process at the n-th moment at which a statement has run or a commit begins."""
    moments = 0

    def count(*_event: object) -> None:
        nonlocal moments
        moments += 1
        if moments == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "after_cursor_execute", count)
    event.listen(Engine, "commit", count)


def forked(work: Callable[[], Awaitable[None]], fatal: int = 0) -> int:
    """The id of a process that does this and ends with 0."""
    child = os.fork()
    if child == 0:
        if fatal:
            die_at(fatal)
        asyncio.run(work())  # type: ignore[arg-type]
        os._exit(0)
    return child


async def opened(place: Place, layout: Layout) -> None:
    """Open once."""
    database = PeopleDatabase(place, layout)
    await database.open(30)
    await database.close()


async def written(place: Place, number: int) -> None:
    """Append events, count failures and try to be the first user, many at a time."""
    database = PeopleDatabase(place, AUTH, timeout_s=60)
    await database.open(30)
    audit, attempts, users = SqlAuditStore(database), SqlAttemptStore(database), SqlUserStore(database)
    for turn in range(4):
        await asyncio.gather(
            *(audit.append(NewAuditEvent(time_ms=NOW, kind=f"{number}.{turn}.{n}")) for n in range(5)),
            *(attempts.add_failure(["a", f"b{n}"], NOW) for n in range(5)),
            *(users.add_first(record(f"u{number}x{turn}x{n}", "admin")) for n in range(5)),
        )
    await database.close()


@asynccontextmanager
async def stores_of(place: Place) -> AsyncIterator[tuple[SqlUserStore, SqlSessionStore]]:
    """Users and their sessions, open for a while."""
    database = PeopleDatabase(place, AUTH, timeout_s=60)
    await database.open(30)
    try:
        yield SqlUserStore(database), SqlSessionStore(database)
    finally:
        await database.close()


async def logged_in(place: Place) -> None:
    """Keep anna, with two sessions."""
    async with stores_of(place) as (users, sessions):
        await users.add(record("anna"))
        for name in "ab":
            made = session("id-anna", name)
            await sessions.add(made, token(made.id, name), kept_max=9)


async def shut_out(place: Place, fatal: int) -> None:
    """Print whether anna is shut out and how many sessions of hers there are; then shut her out, and die at
    that moment of it."""
    async with stores_of(place) as (users, sessions):
        found = await users.get("id-anna")
        assert found is not None
        print(found.user.disabled, len(await sessions.of_user("id-anna")), flush=True)
        if fatal:
            die_at(fatal)
        await users.set_disabled("id-anna", True)


def shut_out_until_done(place: Place) -> None:
    """Print what is there at first, what each death left behind, a moment later each time, and what is there
    when all went well."""
    asyncio.run(logged_in(place))
    status, fatal = -signal.SIGKILL, 0
    while status == -signal.SIGKILL:
        fatal += 1
        (status,) = ended(forked(partial(shut_out, place, fatal)))
    assert [status, *ended(forked(partial(shut_out, place, 0)))] == [0, 0]


def ended(*children: int) -> list[int]:
    """How each of them ended."""
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def main() -> None:
    what, kind, name, *rest = sys.argv[1:]
    if what == "open":  # several at once
        print(ended(*(forked(lambda: opened(place_of(kind, name), AUTH)) for _ in range(int(rest[0])))))
    elif what == "write":
        children = [forked(lambda n=n: written(place_of(kind, name), n)) for n in range(int(rest[0]))]  # type: ignore[misc]
        print(ended(*children))
    elif what == "shut_out":
        for each_kind, each_name in ((kind, name), *zip(rest[::2], rest[1::2], strict=True)):
            shut_out_until_done(place_of(each_kind, each_name))
            print("end", flush=True)
    else:  # each of the rest is `name:moment`: open the place of that name and die at that moment
        for each in rest:
            own_name, moment = each.split(":")
            place = place_of(kind, name.replace("NAME", own_name))
            print(*ended(forked(lambda place=place: opened(place, AUTH), int(moment))))  # type: ignore[misc]


if __name__ == "__main__":
    main()
