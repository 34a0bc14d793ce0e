"""Sessions, their refresh tokens and the devices behind them, in ``auth_db``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import msgspec
from sqlalchemy import Row, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tradewright.domain.errors import NotFound
from tradewright.domain.people import DEVICES_KEPT, RefreshToken, Session
from tradewright.storage.people.auth_models import DeviceRow, RefreshTokenRow, SessionRow, UserRow
from tradewright.storage.people.database import PeopleDatabase

NO_SUCH_USER = "The user is not there any more."


class SqlSessionStore:
    """``SessionStore`` over SQLAlchemy. A session's row is locked before its tokens are, always."""

    def __init__(self, database: PeopleDatabase) -> None:
        self._database = database

    async def add(self, session: Session, token: RefreshToken, *, kept_max: int) -> tuple[str, ...]:
        async def work(connection: AsyncConnection) -> tuple[str, ...]:
            await lock_user(connection, session.user_id)
            await connection.execute(insert(SessionRow).values(**msgspec.structs.asdict(session)))
            await connection.execute(insert(RefreshTokenRow).values(**asdict(token)))
            if session.device_id is not None:
                await _note_device(connection, session.user_id, session.device_id, session.created_ms)
            return await _thin_out(connection, session, kept_max)

        return await self._database.write(work)

    async def get(self, session_id: str) -> Session | None:
        async def work(connection: AsyncConnection) -> Session | None:
            query = select(SessionRow).where(SessionRow.id == session_id)
            row = (await connection.execute(query)).one_or_none()
            return None if row is None else _session(row)

        return await self._database.read(work)

    async def of_user(self, user_id: str) -> tuple[Session, ...]:
        query = (
            select(SessionRow)
            .where(SessionRow.user_id == user_id)
            .order_by(SessionRow.last_used_ms.desc(), SessionRow.id)
        )

        async def work(connection: AsyncConnection) -> tuple[Session, ...]:
            return tuple(_session(row) for row in await connection.execute(query))

        return await self._database.read(work)

    async def token(self, token_hash: bytes) -> RefreshToken | None:
        async def work(connection: AsyncConnection) -> RefreshToken | None:
            query = select(RefreshTokenRow).where(RefreshTokenRow.token_hash == token_hash)
            row = (await connection.execute(query)).one_or_none()
            return None if row is None else RefreshToken(**row._mapping)

        return await self._database.read(work)

    async def rotate(
        self, token_hash: bytes, successor: RefreshToken, sealed: bytes, used_ms: int, address: str
    ) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            query = select(RefreshTokenRow.session_id).where(RefreshTokenRow.token_hash == token_hash)
            session_id = (await connection.execute(query)).scalar_one_or_none()
            session = select(SessionRow.id).where(SessionRow.id == session_id).with_for_update()
            if (await connection.execute(session)).scalar_one_or_none() is None:
                return False
            use = update(RefreshTokenRow).where(
                RefreshTokenRow.token_hash == token_hash, RefreshTokenRow.used_ms.is_(None)
            )
            if (await connection.execute(use.values(used_ms=used_ms, successor=sealed))).rowcount != 1:
                return False
            values = {**asdict(successor), "session_id": session_id}
            await connection.execute(insert(RefreshTokenRow).values(**values))
            note = update(SessionRow).where(SessionRow.id == session_id)
            await connection.execute(note.values(last_used_ms=used_ms, address=address))
            return True

        return await self._database.write(work)

    async def verify(self, session_id: str, verified_ms: int) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            change = update(SessionRow).where(SessionRow.id == session_id).values(verified_ms=verified_ms)
            return (await connection.execute(change)).rowcount == 1

        return await self._database.write(work)

    async def end(self, session_id: str) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            return (
                await connection.execute(delete(SessionRow).where(SessionRow.id == session_id))
            ).rowcount == 1

        return await self._database.write(work)

    async def end_all(self, user_id: str, *, but: str | None = None) -> tuple[str, ...]:
        async def work(connection: AsyncConnection) -> tuple[str, ...]:
            # Under the user's lock no login that is under way can slip in behind.
            if not await lock_user(connection, user_id, missing_is_error=False):
                return ()
            return await end_sessions_of(connection, user_id, but=but)

        return await self._database.write(work)

    async def known_device(self, user_id: str, device_id: str, since_ms: int) -> bool:
        query = select(DeviceRow.last_login_ms).where(
            DeviceRow.user_id == user_id,
            DeviceRow.device_id == device_id,
            DeviceRow.last_login_ms >= since_ms,
        )

        async def work(connection: AsyncConnection) -> bool:
            return (await connection.execute(query)).one_or_none() is not None

        return await self._database.read(work)

    async def forget_ended(self, now_ms: int, idle_ms: int) -> int:
        over = or_(SessionRow.expires_ms <= now_ms, SessionRow.last_used_ms < now_ms - idle_ms)

        async def work(connection: AsyncConnection) -> int:
            return (await connection.execute(delete(SessionRow).where(over))).rowcount

        return await self._database.write(work)


async def end_sessions_of(connection: AsyncConnection, user_id: str, *, but: str | None) -> tuple[str, ...]:
    """End all of a user's but one, under the lock of the user that the transaction holds; their ids."""
    gone = delete(SessionRow).where(SessionRow.user_id == user_id)
    if but is not None:
        gone = gone.where(SessionRow.id != but)
    return tuple((await connection.execute(gone.returning(SessionRow.id))).scalars())


async def end_every_session(database: PeopleDatabase) -> int:
    """End everybody's; how many there were."""

    async def work(connection: AsyncConnection) -> int:
        return (await connection.execute(delete(SessionRow))).rowcount

    return await database.write(work)


async def lock_user(connection: AsyncConnection, user_id: str, *, missing_is_error: bool = True) -> bool:
    """Keep the user, and what is counted for them, as they are until the transaction ends."""
    query = select(UserRow.id).where(UserRow.id == user_id).with_for_update()
    found = (await connection.execute(query)).scalar_one_or_none() is not None
    if not found and missing_is_error:
        raise NotFound(NO_SUCH_USER)
    return found


async def _note_device(connection: AsyncConnection, user_id: str, device_id: str, time_ms: int) -> None:
    embedded = connection.dialect.name == "sqlite"
    note = (sqlite if embedded else postgresql).insert(DeviceRow)
    latest = (func.max if embedded else func.greatest)(DeviceRow.last_login_ms, note.excluded.last_login_ms)
    await connection.execute(
        note.values(user_id=user_id, device_id=device_id, last_login_ms=time_ms).on_conflict_do_update(
            index_elements=["user_id", "device_id"], set_={"last_login_ms": latest}
        )
    )
    newest = select(DeviceRow.device_id).where(DeviceRow.user_id == user_id)
    newest = newest.order_by(DeviceRow.last_login_ms.desc(), DeviceRow.device_id).limit(DEVICES_KEPT)
    await connection.execute(
        delete(DeviceRow).where(DeviceRow.user_id == user_id, DeviceRow.device_id.not_in(newest))
    )


async def _thin_out(connection: AsyncConnection, session: Session, kept_max: int) -> tuple[str, ...]:
    query = select(SessionRow.id).where(SessionRow.user_id == session.user_id, SessionRow.id != session.id)
    query = query.order_by(SessionRow.last_used_ms.desc(), SessionRow.id).offset(max(0, kept_max - 1))
    gone = tuple((await connection.execute(query)).scalars())
    if gone:
        await connection.execute(delete(SessionRow).where(SessionRow.id.in_(gone)))
    return gone


def _session(row: Row[Any]) -> Session:
    return Session(**row._mapping)
