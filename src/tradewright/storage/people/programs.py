"""What lets programs and new people in: API tokens and invitations, in ``auth_db``."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from sqlalchemy import Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from tradewright.domain.people import ApiToken, Invite, Scope
from tradewright.storage.people.auth_models import ApiTokenRow, InviteRow
from tradewright.storage.people.database import PeopleDatabase, hold
from tradewright.storage.people.sessions import lock_user


class SqlApiTokenStore:
    """``ApiTokenStore`` over SQLAlchemy."""

    def __init__(self, database: PeopleDatabase) -> None:
        self._database = database

    async def add(self, token: ApiToken, token_hash: bytes, *, kept_max: int) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            await lock_user(connection, token.user_id)
            kept = select(func.count()).where(ApiTokenRow.user_id == token.user_id)
            if (await connection.execute(kept)).scalar_one() >= kept_max:
                return False
            values = {**msgspec.structs.asdict(token), "scopes": " ".join(token.scopes)}
            await connection.execute(insert(ApiTokenRow).values(**values, token_hash=token_hash))
            return True

        return await self._database.write(work)

    async def find(self, token_hash: bytes) -> ApiToken | None:
        async def work(connection: AsyncConnection) -> ApiToken | None:
            query = select(ApiTokenRow).where(ApiTokenRow.token_hash == token_hash)
            row = (await connection.execute(query)).one_or_none()
            return None if row is None else _token(row)

        return await self._database.read(work)

    async def of_user(self, user_id: str) -> tuple[ApiToken, ...]:
        query = select(ApiTokenRow).where(ApiTokenRow.user_id == user_id)
        query = query.order_by(ApiTokenRow.created_ms.desc(), ApiTokenRow.id)

        async def work(connection: AsyncConnection) -> tuple[ApiToken, ...]:
            return tuple(_token(row) for row in await connection.execute(query))

        return await self._database.read(work)

    async def note_use(self, token_id: str, used_ms: int) -> None:
        async def work(connection: AsyncConnection) -> None:
            change = update(ApiTokenRow).where(ApiTokenRow.id == token_id)
            await connection.execute(change.values(last_used_ms=used_ms))

        await self._database.write(work)

    async def delete(self, user_id: str, token_id: str) -> bool:
        gone = delete(ApiTokenRow).where(ApiTokenRow.user_id == user_id, ApiTokenRow.id == token_id)

        async def work(connection: AsyncConnection) -> bool:
            return (await connection.execute(gone)).rowcount == 1

        return await self._database.write(work)


class SqlInviteStore:
    """``InviteStore`` over SQLAlchemy."""

    def __init__(self, database: PeopleDatabase) -> None:
        self._database = database

    async def add(self, invite: Invite, code_hash: bytes, *, open_max: int) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            await lock_user(connection, invite.created_by)
            await hold(connection, "invites")
            free = select(func.count()).where(
                InviteRow.used_by.is_(None), InviteRow.expires_ms > invite.created_ms
            )
            if (await connection.execute(free)).scalar_one() >= open_max:
                return False
            values = msgspec.structs.asdict(invite)
            await connection.execute(insert(InviteRow).values(**values, code_hash=code_hash))
            return True

        return await self._database.write(work)

    async def invites(self, *, limit: int = 100, behind: tuple[int, str] | None = None) -> tuple[Invite, ...]:
        query = select(InviteRow).order_by(InviteRow.created_ms.desc(), InviteRow.id).limit(limit)
        if behind is not None:
            time_ms, invite_id = behind
            later = and_(InviteRow.created_ms == time_ms, InviteRow.id > invite_id)
            query = query.where(or_(InviteRow.created_ms < time_ms, later))

        async def work(connection: AsyncConnection) -> tuple[Invite, ...]:
            return tuple(_invite(row) for row in await connection.execute(query))

        return await self._database.read(work)

    async def delete(self, invite_id: str) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            return (
                await connection.execute(delete(InviteRow).where(InviteRow.id == invite_id))
            ).rowcount == 1

        return await self._database.write(work)


def _token(row: Row[Any]) -> ApiToken:
    values = {name: getattr(row, name) for name in ApiToken.__struct_fields__}
    return ApiToken(**{**values, "scopes": cast("tuple[Scope, ...]", tuple(row.scopes.split()))})


def _invite(row: Row[Any]) -> Invite:
    return Invite(**{name: getattr(row, name) for name in Invite.__struct_fields__})
