"""PostgreSQL stores for tests, each in a schema of its own that is gone after the test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from tradewright.runtime.ids import SYSTEM_RANDOM
from tradewright.storage.postgres import PostgresBarStore, PostgresDatabase, PostgresInstrumentStore
from tradewright.testing.stores import OpenStores, Stores


@asynccontextmanager
async def own_schema(url: str) -> AsyncIterator[str]:
    """Yield the name of a schema that nobody has; what was put into it is dropped."""
    name = f"test_{SYSTEM_RANDOM.getrandbits(48):012x}"
    try:
        yield name
    finally:
        await execute(url, f"DROP SCHEMA IF EXISTS {name} CASCADE")


@asynccontextmanager
async def own_database(url: str) -> AsyncIterator[str]:
    """Yield the URL of a database that nobody has, on the same server; it is dropped afterwards."""
    name = f"test_{SYSTEM_RANDOM.getrandbits(48):012x}"
    await execute(url, f"CREATE DATABASE {name}")
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        await execute(url, f"DROP DATABASE {name} WITH (FORCE)")


async def execute(url: str, *statements: str) -> None:
    """Run statements as somebody beside the program would."""
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def fetch(url: str, query: str) -> list[Any]:
    """Return the rows of a query, asked by somebody beside the program."""
    connection = await asyncpg.connect(url)
    try:
        rows: list[Any] = await connection.fetch(query)
        return rows
    finally:
        await connection.close()


@asynccontextmanager
async def opened_database(url: str, schema: str, **options: Any) -> AsyncIterator[PostgresDatabase]:
    """Yield an open database on that schema."""
    database = PostgresDatabase(url, schema=schema, **options)
    try:
        await database.open(timeout_s=30)
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def in_schemas(url: str) -> AsyncIterator[OpenStores]:
    """Yield how to open stores, one schema for each name."""
    async with own_schema(url) as prefix:
        made: list[str] = []

        @asynccontextmanager
        async def opened(name: str) -> AsyncIterator[Stores]:
            if name not in made:
                made.append(name)
            schema = f"{prefix}_{made.index(name)}"
            async with opened_database(url, schema) as database:
                yield Stores(PostgresBarStore(database), PostgresInstrumentStore(database))

        try:
            yield opened
        finally:
            drops = (f"DROP SCHEMA IF EXISTS {prefix}_{index} CASCADE" for index in range(len(made)))
            await execute(url, *drops)
