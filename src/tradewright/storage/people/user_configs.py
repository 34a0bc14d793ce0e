"""Preferences and credentials in ``user_configs_db``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import msgspec
from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tradewright.domain.errors import Conflict
from tradewright.domain.people import StoredCredential
from tradewright.storage.people.database import PeopleDatabase, hold
from tradewright.storage.people.user_configs_models import CredentialRow, PreferencesRow

ID_TAKEN = "There is a credential of this id."


class SqlPreferenceStore:
    """``PreferenceStore`` over SQLAlchemy."""

    def __init__(self, database: PeopleDatabase) -> None:
        self._database = database

    async def get(self, user_id: str) -> dict[str, object]:
        async def work(connection: AsyncConnection) -> dict[str, object]:
            return await _preferences(connection, user_id)

        return await self._database.read(work)

    async def merge(
        self, user_id: str, changes: Mapping[str, object], *, bytes_max: int
    ) -> dict[str, object] | None:
        async def work(connection: AsyncConnection) -> dict[str, object] | None:
            await hold(connection, f"preferences of {user_id}")
            merged = {**await _preferences(connection, user_id), **changes}
            document = msgspec.json.encode(
                {name: value for name, value in merged.items() if value is not None}, order="deterministic"
            )
            if len(document) > bytes_max:
                return None
            keep = _dialect(connection).insert(PreferencesRow)
            await connection.execute(
                keep.values(user_id=user_id, document=document.decode()).on_conflict_do_update(
                    index_elements=["user_id"], set_={"document": keep.excluded.document}
                )
            )
            return msgspec.json.decode(document, type=dict[str, object])

        return await self._database.write(work)

    async def delete(self, user_id: str) -> None:
        async def work(connection: AsyncConnection) -> None:
            await hold(connection, f"preferences of {user_id}")
            await connection.execute(delete(PreferencesRow).where(PreferencesRow.user_id == user_id))

        await self._database.write(work)


class SqlCredentialStore:
    """``CredentialStore`` over SQLAlchemy."""

    def __init__(self, database: PeopleDatabase) -> None:
        self._database = database

    async def add(self, credential: StoredCredential, *, kept_max: int) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            await hold(connection, f"credentials of {credential.user_id}")
            kept = select(func.count()).where(CredentialRow.user_id == credential.user_id)
            if (await connection.execute(kept)).scalar_one() >= kept_max:
                return False
            made = _dialect(connection).insert(CredentialRow).values(**asdict(credential))
            if (await connection.execute(made.on_conflict_do_nothing())).rowcount != 1:
                raise Conflict(ID_TAKEN)
            return True

        return await self._database.write(work)

    async def get(self, user_id: str, credential_id: str) -> StoredCredential | None:
        query = select(CredentialRow).where(
            CredentialRow.user_id == user_id, CredentialRow.id == credential_id
        )

        async def work(connection: AsyncConnection) -> StoredCredential | None:
            row = (await connection.execute(query)).one_or_none()
            return None if row is None else _credential(row)

        return await self._database.read(work)

    async def of_user(self, user_id: str) -> tuple[StoredCredential, ...]:
        query = select(CredentialRow).where(CredentialRow.user_id == user_id)
        return await self._all(query.order_by(CredentialRow.created_ms, CredentialRow.id))

    async def replace(self, old: StoredCredential, new: StoredCredential) -> bool:
        if (old.user_id, old.id) != (new.user_id, new.id):
            return False
        as_read = [
            getattr(CredentialRow, name).is_not_distinct_from(value) for name, value in asdict(old).items()
        ]
        return await self._changed(update(CredentialRow).where(*as_read).values(**asdict(new)))

    async def reseal(self, credential_id: str, old: bytes, new: bytes) -> bool:
        change = update(CredentialRow).where(CredentialRow.id == credential_id, CredentialRow.sealed == old)
        return await self._changed(change.values(sealed=new))

    async def delete(self, user_id: str, credential_id: str) -> bool:
        return await self._changed(
            delete(CredentialRow).where(CredentialRow.user_id == user_id, CredentialRow.id == credential_id)
        )

    async def delete_all(self, user_id: str) -> tuple[str, ...]:
        async def work(connection: AsyncConnection) -> tuple[str, ...]:
            await hold(connection, f"credentials of {user_id}")
            gone = delete(CredentialRow).where(CredentialRow.user_id == user_id)
            return tuple((await connection.execute(gone.returning(CredentialRow.id))).scalars())

        return await self._database.write(work)

    async def all(self, *, after: str | None = None, limit: int = 100) -> tuple[StoredCredential, ...]:
        query = select(CredentialRow).order_by(CredentialRow.id).limit(limit)
        return await self._all(query if after is None else query.where(CredentialRow.id > after))

    async def _all(self, query: Any) -> tuple[StoredCredential, ...]:
        async def work(connection: AsyncConnection) -> tuple[StoredCredential, ...]:
            return tuple(_credential(row) for row in await connection.execute(query))

        return await self._database.read(work)

    async def _changed(self, change: Any) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            return (await connection.execute(change)).rowcount == 1

        return await self._database.write(work)


def _dialect(connection: AsyncConnection) -> Any:  # the two modules share no type
    return sqlite if connection.dialect.name == "sqlite" else postgresql


async def _preferences(connection: AsyncConnection, user_id: str) -> dict[str, object]:
    query = select(PreferencesRow.document).where(PreferencesRow.user_id == user_id)
    document = (await connection.execute(query)).scalar_one_or_none()
    return {} if document is None else msgspec.json.decode(document, type=dict[str, object])


def _credential(row: Row[Any]) -> StoredCredential:
    return StoredCredential(**{field.name: getattr(row, field.name) for field in fields(StoredCredential)})
