"""What ``auth_db`` keeps, in memory: for tests, and for whoever embeds the program without a database.

Nothing here waits, so every method is one step by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from tradewright.domain.errors import Conflict, NotFound
from tradewright.domain.people import (
    AUDIT_BEGINNING,
    DEVICES_KEPT,
    ApiToken,
    AuditEvent,
    Invite,
    LoginRecord,
    NameTaken,
    NewAuditEvent,
    RefreshToken,
    RegistrationClosed,
    Role,
    Session,
    User,
    login_key,
)


@dataclass
class MemoryAuth:
    """The tables that the stores share."""

    users: dict[str, LoginRecord] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    tokens: dict[bytes, RefreshToken] = field(default_factory=dict)
    devices: dict[str, dict[str, int]] = field(default_factory=dict)
    api_tokens: dict[bytes, ApiToken] = field(default_factory=dict)
    invites: dict[bytes, Invite] = field(default_factory=dict)

    def require_user(self, user_id: str) -> None:
        """``NotFound`` where there is no such user."""
        if user_id not in self.users:
            raise NotFound("The user is not there any more.")

    def end_sessions(self, session_ids: Sequence[str]) -> tuple[str, ...]:
        """Remove them with their tokens."""
        gone = {session_id for session_id in session_ids if self.sessions.pop(session_id, None) is not None}
        self.tokens = {key: token for key, token in self.tokens.items() if token.session_id not in gone}
        return tuple(session_id for session_id in session_ids if session_id in gone)

    def end_all(self, user_id: str, *, but: str | None) -> tuple[str, ...]:
        """Remove all of a user's but one."""
        own = [each.id for each in self.sessions.values() if each.user_id == user_id and each.id != but]
        return self.end_sessions(own)


class MemoryUserStore:
    """``UserStore`` in memory."""

    def __init__(self, auth: MemoryAuth) -> None:
        self._auth = auth

    async def add(self, record: LoginRecord, *, invite_hash: bytes | None = None) -> None:
        invite = None if invite_hash is None else self._auth.invites.get(invite_hash)
        user = record.user
        if invite_hash is not None and (
            invite is None
            or invite.used_by is not None
            or invite.expires_ms <= user.created_ms
            or not self._manages(invite.created_by)
        ):
            raise RegistrationClosed("There is no such invitation, or it was used, or it has ended.")
        self._keep(record)
        if invite_hash is not None and invite is not None:
            self._auth.invites[invite_hash] = msgspec.structs.replace(invite, used_by=user.id)

    def _manages(self, user_id: str) -> bool:
        """Whoever may invite nobody any more has invited nobody."""
        maker = self._auth.users.get(user_id)
        return maker is not None and maker.user.role == "admin" and not maker.user.disabled

    async def add_first(self, record: LoginRecord) -> bool:
        if self._auth.users:
            return False
        self._keep(record)
        return True

    async def count(self) -> int:
        return len(self._auth.users)

    async def get(self, user_id: str) -> LoginRecord | None:
        return self._auth.users.get(user_id)

    async def find(self, login: str) -> LoginRecord | None:
        user_id = self._auth.names.get(login_key(login))
        return None if user_id is None else self._auth.users[user_id]

    async def users(self, *, after: str | None = None, limit: int = 100) -> tuple[User, ...]:
        ids = sorted(user_id for user_id in self._auth.users if after is None or user_id > after)
        return tuple(self._auth.users[user_id].user for user_id in ids[:limit])

    async def set_password(
        self, user_id: str, password_hash: str, changed_ms: int, *, but: str | None = None
    ) -> tuple[str, ...] | None:
        record = self._auth.users.get(user_id)
        if record is None:
            return None
        user = msgspec.structs.replace(record.user, password_changed_ms=changed_ms)
        self._auth.users[user_id] = replace(record, user=user, password_hash=password_hash)
        return self._auth.end_all(user_id, but=but)

    async def update_hash(self, user_id: str, old_hash: str, new_hash: str) -> bool:
        record = self._auth.users.get(user_id)
        if record is None or record.password_hash != old_hash:
            return False
        self._auth.users[user_id] = replace(record, password_hash=new_hash)
        return True

    async def set_profile(
        self, user_id: str, *, email: str | None = None, username: str | None = None
    ) -> User | None:
        record = self._auth.users.get(user_id)
        if record is None:
            return None
        user = msgspec.structs.replace(
            record.user, email=email or record.user.email, username=username or record.user.username
        )
        self._keep(replace(record, user=user))
        return user

    async def set_role(self, user_id: str, role: Role) -> User | None:
        record = self._auth.users.get(user_id)
        return None if record is None else self._put(record, msgspec.structs.replace(record.user, role=role))

    async def set_disabled(self, user_id: str, disabled: bool) -> tuple[User, tuple[str, ...]] | None:
        record = self._auth.users.get(user_id)
        if record is None:
            return None
        user = self._put(record, msgspec.structs.replace(record.user, disabled=disabled))
        return user, self._auth.end_all(user_id, but=None) if disabled else ()

    async def set_totp(
        self, user_id: str, secret: bytes | None, *, enabled: bool, recovery_hashes: Sequence[str] = ()
    ) -> bool:
        record = self._auth.users.get(user_id)
        if record is None:
            return False
        self._auth.users[user_id] = replace(
            record,
            user=msgspec.structs.replace(record.user, totp_enabled=enabled and secret is not None),
            totp_secret=secret,
            totp_last_step=None if secret is None else record.totp_last_step,
            recovery_hashes=tuple(recovery_hashes),
        )
        return True

    async def reseal_totp(self, user_id: str, old: bytes, new: bytes) -> bool:
        record = self._auth.users.get(user_id)
        if record is None or record.totp_secret != old:
            return False
        self._auth.users[user_id] = replace(record, totp_secret=new)
        return True

    async def take_totp_step(self, user_id: str, step: int) -> bool:
        record = self._auth.users.get(user_id)
        if record is None or (record.totp_last_step is not None and record.totp_last_step >= step):
            return False
        self._auth.users[user_id] = replace(record, totp_last_step=step)
        return True

    async def take_recovery_code(self, user_id: str, code_hash: str) -> bool:
        record = self._auth.users.get(user_id)
        if record is None or code_hash not in record.recovery_hashes:
            return False
        left = list(record.recovery_hashes)
        left.remove(code_hash)
        self._auth.users[user_id] = replace(record, recovery_hashes=tuple(left))
        return True

    async def note_login(self, user_id: str, time_ms: int) -> None:
        record = self._auth.users.get(user_id)
        if record is not None:
            user = msgspec.structs.replace(record.user, last_login_ms=time_ms)
            self._auth.users[user_id] = replace(record, user=user)

    async def delete(self, user_id: str) -> bool:
        auth = self._auth
        record = auth.users.get(user_id)
        if record is None:
            return False
        if len(auth.users) > 1:
            self._refuse_to_lose(record.user)
        del auth.users[user_id]
        auth.names = {key: owner for key, owner in auth.names.items() if owner != user_id}
        auth.end_sessions([each.id for each in auth.sessions.values() if each.user_id == user_id])
        auth.devices.pop(user_id, None)
        auth.api_tokens = {key: each for key, each in auth.api_tokens.items() if each.user_id != user_id}
        auth.invites = {key: each for key, each in auth.invites.items() if each.created_by != user_id}
        return True

    def _keep(self, record: LoginRecord) -> None:
        keys = {login_key(record.user.email), login_key(record.user.username)}
        if any(self._auth.names.get(key, record.user.id) != record.user.id for key in keys):
            raise NameTaken("Somebody has this user name or e-mail address already.")
        others = {key: owner for key, owner in self._auth.names.items() if owner != record.user.id}
        self._auth.names = {**others, **dict.fromkeys(keys, record.user.id)}
        self._auth.users[record.user.id] = record

    def _put(self, record: LoginRecord, user: User) -> User:
        if user.role != "admin" or user.disabled:
            self._refuse_to_lose(record.user)
        self._auth.users[user.id] = replace(record, user=user)
        return user

    def _refuse_to_lose(self, user: User) -> None:
        admins = {
            record.user.id
            for record in self._auth.users.values()
            if record.user.role == "admin" and not record.user.disabled
        }
        if admins == {user.id}:
            raise Conflict("This is the last administrator who is enabled: make another one first.")


class MemorySessionStore:
    """``SessionStore`` in memory."""

    def __init__(self, auth: MemoryAuth) -> None:
        self._auth = auth

    async def add(self, session: Session, token: RefreshToken, *, kept_max: int) -> tuple[str, ...]:
        auth = self._auth
        auth.require_user(session.user_id)
        auth.sessions[session.id] = session
        auth.tokens[token.token_hash] = token
        if session.device_id is not None:
            devices = auth.devices.get(session.user_id, {})
            devices[session.device_id] = max(session.created_ms, devices.get(session.device_id, 0))
            newest = sorted(devices, key=lambda device: (-devices[device], device))[:DEVICES_KEPT]
            auth.devices[session.user_id] = {device: devices[device] for device in newest}
        others = [each.id for each in await self.of_user(session.user_id) if each.id != session.id]
        return auth.end_sessions(others[max(0, kept_max - 1) :])

    async def get(self, session_id: str) -> Session | None:
        return self._auth.sessions.get(session_id)

    async def of_user(self, user_id: str) -> tuple[Session, ...]:
        found = [each for each in self._auth.sessions.values() if each.user_id == user_id]
        return tuple(sorted(found, key=lambda each: (-each.last_used_ms, each.id)))

    async def token(self, token_hash: bytes) -> RefreshToken | None:
        return self._auth.tokens.get(token_hash)

    async def rotate(
        self, token_hash: bytes, successor: RefreshToken, sealed: bytes, used_ms: int, address: str
    ) -> bool:
        token = self._auth.tokens.get(token_hash)
        if token is None or token.used_ms is not None:
            return False
        self._auth.tokens[token_hash] = replace(token, used_ms=used_ms, successor=sealed)
        self._auth.tokens[successor.token_hash] = replace(successor, session_id=token.session_id)
        session = self._auth.sessions[token.session_id]
        self._auth.sessions[session.id] = msgspec.structs.replace(
            session, last_used_ms=used_ms, address=address
        )
        return True

    async def verify(self, session_id: str, verified_ms: int) -> bool:
        session = self._auth.sessions.get(session_id)
        if session is None:
            return False
        self._auth.sessions[session_id] = msgspec.structs.replace(session, verified_ms=verified_ms)
        return True

    async def end(self, session_id: str) -> bool:
        return bool(self._auth.end_sessions([session_id]))

    async def end_all(self, user_id: str, *, but: str | None = None) -> tuple[str, ...]:
        return self._auth.end_all(user_id, but=but)

    async def known_device(self, user_id: str, device_id: str, since_ms: int) -> bool:
        last_ms = self._auth.devices.get(user_id, {}).get(device_id)
        return last_ms is not None and last_ms >= since_ms

    async def forget_ended(self, now_ms: int, idle_ms: int) -> int:
        over = [
            each.id
            for each in self._auth.sessions.values()
            if each.expires_ms <= now_ms or each.last_used_ms < now_ms - idle_ms
        ]
        return len(self._auth.end_sessions(over))


class MemoryApiTokenStore:
    """``ApiTokenStore`` in memory."""

    def __init__(self, auth: MemoryAuth) -> None:
        self._auth = auth

    async def add(self, token: ApiToken, token_hash: bytes, *, kept_max: int) -> bool:
        self._auth.require_user(token.user_id)
        if len(await self.of_user(token.user_id)) >= kept_max:
            return False
        self._auth.api_tokens[token_hash] = token
        return True

    async def find(self, token_hash: bytes) -> ApiToken | None:
        return self._auth.api_tokens.get(token_hash)

    async def of_user(self, user_id: str) -> tuple[ApiToken, ...]:
        found = [each for each in self._auth.api_tokens.values() if each.user_id == user_id]
        return tuple(sorted(found, key=lambda each: (-each.created_ms, each.id)))

    async def note_use(self, token_id: str, used_ms: int) -> None:
        for key, token in self._auth.api_tokens.items():
            if token.id == token_id:
                self._auth.api_tokens[key] = msgspec.structs.replace(token, last_used_ms=used_ms)

    async def delete(self, user_id: str, token_id: str) -> bool:
        for key, token in self._auth.api_tokens.items():
            if (token.user_id, token.id) == (user_id, token_id):
                del self._auth.api_tokens[key]
                return True
        return False


class MemoryInviteStore:
    """``InviteStore`` in memory."""

    def __init__(self, auth: MemoryAuth) -> None:
        self._auth = auth

    async def add(self, invite: Invite, code_hash: bytes, *, open_max: int) -> bool:
        self._auth.require_user(invite.created_by)
        free = [
            each
            for each in self._auth.invites.values()
            if each.used_by is None and each.expires_ms > invite.created_ms
        ]
        if len(free) >= open_max:
            return False
        self._auth.invites[code_hash] = invite
        return True

    async def invites(self, *, limit: int = 100, behind: tuple[int, str] | None = None) -> tuple[Invite, ...]:
        place = (0, "") if behind is None else (-behind[0], behind[1])
        found = {(-each.created_ms, each.id): each for each in self._auth.invites.values()}
        places = sorted(each for each in found if behind is None or each > place)
        return tuple(found[each] for each in places[:limit])

    async def delete(self, invite_id: str) -> bool:
        for key, invite in self._auth.invites.items():
            if invite.id == invite_id:
                del self._auth.invites[key]
                return True
        return False


class MemoryAttemptStore:
    """``AttemptStore`` in memory."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[int, int]] = {}

    async def failures(self, keys: Sequence[str]) -> Mapping[str, tuple[int, int]]:
        return {key: self._failures[key] for key in keys if key in self._failures}

    async def add_failure(self, keys: Sequence[str], now_ms: int) -> None:
        for key in set(keys):
            count, last_ms = self._failures.get(key, (0, now_ms))
            self._failures[key] = count + 1, max(last_ms, now_ms)

    async def take_back(self, failures: Mapping[str, int]) -> None:
        for key, fewer in failures.items():
            count, last_ms = self._failures.pop(key, (0, 0))
            if count > fewer:
                self._failures[key] = count - fewer, last_ms

    async def clear(self, keys: Sequence[str]) -> None:
        for key in keys:
            self._failures.pop(key, None)

    async def forget(self, before_ms: int) -> None:
        self._failures = {key: each for key, each in self._failures.items() if each[1] >= before_ms}


class MemoryAuditStore:
    """``AuditStore`` in memory."""

    def __init__(self) -> None:
        self._events: list[AuditEvent] = []

    async def append(self, event: NewAuditEvent) -> AuditEvent:
        before = self._events[-1].digest if self._events else AUDIT_BEGINNING
        written = event.chained(len(self._events), before)
        self._events.append(written)
        return written

    async def newest(
        self, *, limit: int = 100, before: int | None = None, user_id: str | None = None
    ) -> tuple[AuditEvent, ...]:
        found = [
            event
            for event in reversed(self._events)
            if (before is None or event.position < before) and user_id in (None, event.user_id)
        ]
        return tuple(found[:limit])

    async def all(self) -> AsyncIterator[AuditEvent]:
        for event in tuple(self._events):
            yield event
