"""Counted failures in ``auth_db``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tradewright.storage.people.auth_models import AttemptRow
from tradewright.storage.people.database import PeopleDatabase


class SqlAttemptStore:
    """``AttemptStore`` over SQLAlchemy. Of a key only the SHA-256 is kept, so it may be anything."""

    def __init__(self, database: PeopleDatabase) -> None:
        self._database = database

    async def failures(self, keys: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        names = {_hash(key): key for key in keys}
        query = select(AttemptRow).where(AttemptRow.key_hash.in_(list(names)))

        async def work(connection: AsyncConnection) -> dict[str, tuple[int, int]]:
            rows = await connection.execute(query)
            return {names[row.key_hash]: (row.failures, row.last_ms) for row in rows}

        return await self._database.read(work)

    async def add_failure(self, keys: Sequence[str], now_ms: int) -> None:
        # Always in one order, or two who count the same keys would wait for each other.
        hashes = sorted({_hash(key) for key in keys})

        async def work(connection: AsyncConnection) -> None:
            embedded = connection.dialect.name == "sqlite"
            count = (sqlite if embedded else postgresql).insert(AttemptRow)
            latest = (func.max if embedded else func.greatest)(AttemptRow.last_ms, count.excluded.last_ms)
            count = count.on_conflict_do_update(
                index_elements=["key_hash"],
                set_={"failures": AttemptRow.failures + 1, "last_ms": latest},
            )
            for key_hash in hashes:
                await connection.execute(count.values(key_hash=key_hash, failures=1, last_ms=now_ms))

        await self._database.write(work)

    async def take_back(self, failures: Mapping[str, int]) -> None:
        fewer = sorted((_hash(key), count) for key, count in failures.items())

        async def work(connection: AsyncConnection) -> None:
            for key_hash, count in fewer:
                this = AttemptRow.key_hash == key_hash
                left = update(AttemptRow).where(this, AttemptRow.failures > count)
                left = left.values(failures=AttemptRow.failures - count)
                if (await connection.execute(left)).rowcount == 0:
                    await connection.execute(delete(AttemptRow).where(this, AttemptRow.failures <= count))

        if fewer:
            await self._database.write(work)

    async def clear(self, keys: Sequence[str]) -> None:
        hashes = sorted({_hash(key) for key in keys})

        async def work(connection: AsyncConnection) -> None:
            for key_hash in hashes:
                await connection.execute(delete(AttemptRow).where(AttemptRow.key_hash == key_hash))

        await self._database.write(work)

    async def forget(self, before_ms: int) -> None:
        async def work(connection: AsyncConnection) -> None:
            await connection.execute(delete(AttemptRow).where(AttemptRow.last_ms < before_ms))

        await self._database.write(work)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
