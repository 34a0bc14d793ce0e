"""The sealed record in ``auth_db`` by which a wrong encryption key shows itself."""

from __future__ import annotations

from typing import Final

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tradewright.storage.people.auth_models import CanaryRow
from tradewright.storage.people.database import PeopleDatabase

_PLACE: Final = 1


class SqlCanaryStore:
    """``CanaryStore`` over SQLAlchemy."""

    def __init__(self, database: PeopleDatabase) -> None:
        self._database = database

    async def keep_first(self, sealed: bytes) -> bytes:
        async def work(connection: AsyncConnection) -> bytes:
            made = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(CanaryRow)
            await connection.execute(made.values(place=_PLACE, sealed=sealed).on_conflict_do_nothing())
            return (await connection.execute(select(CanaryRow.sealed))).scalar_one()

        return await self._database.write(work)

    async def kept(self) -> bytes | None:
        async def work(connection: AsyncConnection) -> bytes | None:
            return (await connection.execute(select(CanaryRow.sealed))).scalar_one_or_none()

        return await self._database.read(work)

    async def reseal(self, old: bytes, new: bytes) -> bool:
        change = update(CanaryRow).where(CanaryRow.sealed == old).values(sealed=new)

        async def work(connection: AsyncConnection) -> bool:
            return (await connection.execute(change)).rowcount == 1

        return await self._database.write(work)
