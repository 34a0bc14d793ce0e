"""Stores of people of every kind, opened for a while."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.postgres_schemas import execute
from tradewright.app_extensions.auth_db_setup import AuthDatabase
from tradewright.app_extensions.people import PeopleDatabases
from tradewright.app_extensions.user_configs_db_setup import UserConfigsDatabase
from tradewright.domain.people_stores import PeopleStores
from tradewright.storage.memory_user_configs import memory_people
from tradewright.storage.people import Place, PostgresSchema, SQLiteFile
from tradewright.storage.postgres.address import Address
from tradewright.testing.people_stores import OpenPeople

_EMPTY: Final = (
    "ALTER TABLE audit_events DISABLE TRIGGER audit_events_stay",
    "TRUNCATE users, audit_events, attempts, canary, preferences, credentials CASCADE",
    "ALTER TABLE audit_events ENABLE TRIGGER audit_events_stay",
)


@asynccontextmanager
async def in_memory(_name: str) -> AsyncIterator[PeopleStores]:
    """Open stores that keep nothing."""
    yield memory_people()


def in_files(directory: Path) -> OpenPeople:
    """How to open stores in files. The first ones are made and the others are copies, which is faster."""
    names = ("auth.sqlite3", "user_configs.sqlite3")

    @asynccontextmanager
    async def opened(name: str) -> AsyncIterator[PeopleStores]:
        template, folder = directory / "template", directory / name
        if not template.exists():
            template.mkdir()
            async with opened_people(*(SQLiteFile(template / each) for each in names)):
                pass
        if not folder.exists():
            shutil.copytree(template, folder)
        async with opened_people(*(SQLiteFile(folder / each) for each in names)) as people:
            yield people.stores

    return opened


def on_server(url: str, schema: str) -> OpenPeople:
    """How to open stores on a server, both databases in this schema. It holds one set of stores at a time:
    those of another name begin empty."""
    present = ""

    @asynccontextmanager
    async def opened(name: str) -> AsyncIterator[PeopleStores]:
        nonlocal present
        place = PostgresSchema(Address.of(url), schema)
        async with opened_people(place, place) as people:
            if name != present:
                await execute(url, f"SET search_path = {schema}", *_EMPTY)
                present = name
            yield people.stores

    return opened


@asynccontextmanager
async def opened_people(auth: Place, user_configs: Place) -> AsyncIterator[PeopleDatabases]:
    """Both databases, open. Their calls may take long: a hundred at a time queue up on a busy machine."""
    people = PeopleDatabases(
        AuthDatabase(auth, timeout_s=60), UserConfigsDatabase(user_configs, timeout_s=60)
    )
    await people.open()
    try:
        yield people
    finally:
        await people.close()
