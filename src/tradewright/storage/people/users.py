"""Users in ``auth_db``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from tradewright.domain.errors import Conflict
from tradewright.domain.people import (
    LoginRecord,
    NameTaken,
    RegistrationClosed,
    Role,
    User,
    login_key,
    storable,
)
from tradewright.storage.people.auth_models import InviteRow, LoginNameRow, UserRow
from tradewright.storage.people.database import PeopleDatabase, hold
from tradewright.storage.people.sessions import end_sessions_of

LAST_ADMIN = "This is the last administrator who is enabled: make another one first."
NAME_TAKEN = "Somebody has this user name or e-mail address already."
REGISTRATION_CLOSED = "There is no such invitation, or it was used, or it has ended."


class SqlUserStore:
    """``UserStore`` over SQLAlchemy. Whatever changes who is there, or who is administrator, takes turns."""

    def __init__(self, database: PeopleDatabase) -> None:
        self._database = database

    async def add(self, record: LoginRecord, *, invite_hash: bytes | None = None) -> None:
        async def work(connection: AsyncConnection) -> None:
            await hold(connection, "users")
            if invite_hash is not None:
                await _use_up(connection, invite_hash, record.user)
            await _insert(connection, record)

        await self._database.write(work)

    async def add_first(self, record: LoginRecord) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            await hold(connection, "users")
            if await _count(connection):
                return False
            await _insert(connection, record)
            return True

        return await self._database.write(work)

    async def count(self) -> int:
        return await self._database.read(_count)

    async def get(self, user_id: str) -> LoginRecord | None:
        async def work(connection: AsyncConnection) -> LoginRecord | None:
            row = (await connection.execute(select(UserRow).where(UserRow.id == user_id))).one_or_none()
            return None if row is None else _record(row)

        return await self._database.read(work)

    async def find(self, login: str) -> LoginRecord | None:
        query = (
            select(UserRow)
            .join(LoginNameRow, LoginNameRow.user_id == UserRow.id)
            .where(LoginNameRow.key == login_key(login))
        )

        async def work(connection: AsyncConnection) -> LoginRecord | None:
            row = (await connection.execute(query)).one_or_none()
            return None if row is None else _record(row)

        if storable(login) != login:
            return None  # nobody has a name that can't be kept; its replacement could be somebody's
        return await self._database.read(work)

    async def users(self, *, after: str | None = None, limit: int = 100) -> tuple[User, ...]:
        query = select(UserRow).order_by(UserRow.id).limit(limit)
        if after is not None:
            query = query.where(UserRow.id > after)

        async def work(connection: AsyncConnection) -> tuple[User, ...]:
            return tuple(_user(row) for row in await connection.execute(query))

        return await self._database.read(work)

    async def set_password(
        self, user_id: str, password_hash: str, changed_ms: int, *, but: str | None = None
    ) -> tuple[str, ...] | None:
        change = update(UserRow).where(UserRow.id == user_id)
        change = change.values(password_hash=password_hash, password_changed_ms=changed_ms)

        async def work(connection: AsyncConnection) -> tuple[str, ...] | None:
            if (await connection.execute(change)).rowcount != 1:  # which locks the user's row
                return None
            return await end_sessions_of(connection, user_id, but=but)

        return await self._database.write(work)

    async def update_hash(self, user_id: str, old_hash: str, new_hash: str) -> bool:
        change = update(UserRow).where(UserRow.id == user_id, UserRow.password_hash == old_hash)
        return await self._changed(change.values(password_hash=new_hash))

    async def set_profile(
        self, user_id: str, *, email: str | None = None, username: str | None = None
    ) -> User | None:
        async def work(connection: AsyncConnection) -> User | None:
            await hold(connection, "users")
            row = await _locked(connection, user_id)
            if row is None:
                return None
            user = msgspec.structs.replace(
                _user(row), email=email or row.email, username=username or row.username
            )
            await connection.execute(delete(LoginNameRow).where(LoginNameRow.user_id == user_id))
            await _insert_names(connection, user)
            change = update(UserRow).where(UserRow.id == user_id)
            await connection.execute(change.values(email=user.email, username=user.username))
            return user

        return await self._database.write(work)

    async def set_role(self, user_id: str, role: Role) -> User | None:
        async def work(connection: AsyncConnection) -> User | None:
            return await _set(connection, user_id, role=role)

        return await self._database.write(work)

    async def set_disabled(self, user_id: str, disabled: bool) -> tuple[User, tuple[str, ...]] | None:
        async def work(connection: AsyncConnection) -> tuple[User, tuple[str, ...]] | None:
            user = await _set(connection, user_id, disabled=disabled)
            if user is None:
                return None
            ended = await end_sessions_of(connection, user_id, but=None) if disabled else ()
            return user, ended

        return await self._database.write(work)

    async def set_totp(
        self, user_id: str, secret: bytes | None, *, enabled: bool, recovery_hashes: Sequence[str] = ()
    ) -> bool:
        change = update(UserRow).where(UserRow.id == user_id)
        change = change.values(
            totp_secret=secret,
            totp_enabled=enabled and secret is not None,
            recovery_hashes=_written(recovery_hashes),
        )
        if secret is None:
            change = change.values(totp_last_step=None)
        return await self._changed(change)

    async def reseal_totp(self, user_id: str, old: bytes, new: bytes) -> bool:
        change = update(UserRow).where(UserRow.id == user_id, UserRow.totp_secret == old)
        return await self._changed(change.values(totp_secret=new))

    async def take_totp_step(self, user_id: str, step: int) -> bool:
        change = update(UserRow).where(
            UserRow.id == user_id, func.coalesce(UserRow.totp_last_step, step - 1) < step
        )
        return await self._changed(change.values(totp_last_step=step))

    async def take_recovery_code(self, user_id: str, code_hash: str) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            row = await _locked(connection, user_id)
            if row is None:
                return False
            left = list(_read(row.recovery_hashes))
            if code_hash not in left:
                return False
            left.remove(code_hash)
            change = update(UserRow).where(UserRow.id == user_id)
            await connection.execute(change.values(recovery_hashes=_written(left)))
            return True

        return await self._database.write(work)

    async def note_login(self, user_id: str, time_ms: int) -> None:
        await self._changed(update(UserRow).where(UserRow.id == user_id).values(last_login_ms=time_ms))

    async def delete(self, user_id: str) -> bool:
        async def work(connection: AsyncConnection) -> bool:
            await hold(connection, "users")
            row = await _locked(connection, user_id)
            if row is None:
                return False
            if await _count(connection) > 1:
                await _refuse_to_lose(connection, _user(row))
            await connection.execute(delete(UserRow).where(UserRow.id == user_id))
            return True

        return await self._database.write(work)

    async def _changed(self, change: Any) -> bool:  # the statement's type is SQLAlchemy's own affair
        async def work(connection: AsyncConnection) -> bool:
            return (await connection.execute(change)).rowcount == 1

        return await self._database.write(work)


async def _use_up(connection: AsyncConnection, invite_hash: bytes, user: User) -> None:
    change = update(InviteRow).where(
        InviteRow.code_hash == invite_hash,
        InviteRow.used_by.is_(None),
        InviteRow.expires_ms > user.created_ms,
        # Whoever may invite nobody any more has invited nobody.
        InviteRow.created_by.in_(
            select(UserRow.id).where(UserRow.role == "admin", UserRow.disabled.is_(False))
        ),
    )
    if (await connection.execute(change.values(used_by=user.id))).rowcount != 1:
        raise RegistrationClosed(REGISTRATION_CLOSED)


async def _insert(connection: AsyncConnection, record: LoginRecord) -> None:
    user = record.user
    await connection.execute(
        insert(UserRow).values(
            **msgspec.structs.asdict(user),
            password_hash=record.password_hash,
            totp_secret=record.totp_secret,
            totp_last_step=record.totp_last_step,
            recovery_hashes=_written(record.recovery_hashes),
        )
    )
    await _insert_names(connection, user)


async def _insert_names(connection: AsyncConnection, user: User) -> None:
    made = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(LoginNameRow)
    for key in sorted({login_key(user.email), login_key(user.username)}):
        statement = made.values(key=key, user_id=user.id).on_conflict_do_nothing()
        if (await connection.execute(statement)).rowcount != 1:
            raise NameTaken(NAME_TAKEN)


async def _count(connection: AsyncConnection) -> int:
    return (await connection.execute(select(func.count()).select_from(UserRow))).scalar_one()


async def _locked(connection: AsyncConnection, user_id: str) -> Row[Any] | None:
    query = select(UserRow).where(UserRow.id == user_id).with_for_update()
    return (await connection.execute(query)).one_or_none()


async def _set(connection: AsyncConnection, user_id: str, **values: str | bool) -> User | None:
    """Change these, under the lock of all users and of this one, which the transaction keeps."""
    await hold(connection, "users")
    row = await _locked(connection, user_id)
    if row is None:
        return None
    user = msgspec.structs.replace(_user(row), **values)
    if not _manages(user):
        await _refuse_to_lose(connection, _user(row))
    await connection.execute(update(UserRow).where(UserRow.id == user_id).values(**values))
    return user


async def _refuse_to_lose(connection: AsyncConnection, user: User) -> None:
    """``Conflict`` where this user is the last administrator who is enabled."""
    others = select(func.count()).where(
        UserRow.role == "admin", UserRow.disabled.is_(False), UserRow.id != user.id
    )
    if _manages(user) and not (await connection.execute(others)).scalar_one():
        raise Conflict(LAST_ADMIN)


def _manages(user: User) -> bool:
    return user.role == "admin" and not user.disabled


def _user(row: Row[Any]) -> User:
    return User(**{name: getattr(row, name) for name in User.__struct_fields__})


def _record(row: Row[Any]) -> LoginRecord:
    return LoginRecord(
        user=_user(row),
        password_hash=row.password_hash,
        totp_secret=row.totp_secret,
        totp_last_step=row.totp_last_step,
        recovery_hashes=_read(row.recovery_hashes),
    )


def _written(hashes: Sequence[str]) -> str:
    return msgspec.json.encode(list(hashes)).decode()


def _read(hashes: str) -> tuple[str, ...]:
    return msgspec.json.decode(hashes, type=tuple[str, ...])
