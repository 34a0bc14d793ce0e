"""Sessions: begun by a login, kept alive by refresh tokens, looked at on every request."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeVar

import msgspec

from tradewright.domain.people import (
    ROLE_SCOPES,
    Caller,
    InvalidToken,
    RefreshToken,
    Session,
    User,
)
from tradewright.domain.people_stores import SessionStore, UserStore
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.services.auth.access_tokens import AccessClaims, AccessTokens
from tradewright.services.auth.audit import AuditLog
from tradewright.services.auth.endings import Endings
from tradewright.services.auth.refresh_tokens import (
    LENGTH_MAX,
    new_refresh_token,
    open_successor,
    seal_successor,
    token_hash,
)
from tradewright.services.auth.visits import Visit

_log = logging.getLogger(__name__)

GRACE_MS: Final = 20_000
IDLE_MS: Final = 7 * 86_400_000
LIFETIME_MS: Final = 30 * 86_400_000
KEPT_MAX: Final = 20
BELIEVED_S: Final = 1.0
_REMEMBERED_MAX: Final = 10_000
_AGENT_MAX: Final = 200

Client = Literal["browser", "api"]
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, slots=True)
class Granted:
    """What a login or a refresh hands out."""

    user: User
    session: Session
    access_token: str = field(repr=False)
    expires_in_s: int
    refresh_token: str = field(repr=False)


class BriefMemory(Generic[ValueT]):
    """What was looked up less than ``BELIEVED_S`` ago, by key; bounded. What is forgotten while it is being
    looked up is not kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: OrderedDict[bytes | str, tuple[float, ValueT]] = OrderedDict()
        self.generation = 0

    def get(self, key: bytes | str) -> ValueT | None:
        """The value, where it is still to be believed."""
        found = self._kept.get(key)
        if found is None or self._clock.monotonic() >= found[0]:
            return None
        return found[1]

    def put(self, key: bytes | str, value: ValueT, generation: int) -> None:
        """Keep it, unless something was forgotten since ``generation``."""
        if generation != self.generation:
            return
        self._kept[key] = self._clock.monotonic() + BELIEVED_S, value
        self._kept.move_to_end(key)
        while len(self._kept) > _REMEMBERED_MAX:
            self._kept.popitem(last=False)

    def forget(self) -> None:
        """Look everything up anew."""
        self.generation += 1
        self._kept.clear()


class Sessions:
    """Begins, renews, checks and ends sessions. What ends one in this process is felt at once, elsewhere
    within ``BELIEVED_S``."""

    def __init__(
        self,
        store: SessionStore,
        users: UserStore,
        access: AccessTokens,
        audit: AuditLog,
        endings: Endings,
        clock: Clock,
    ) -> None:
        self._store = store
        self._users = users
        self._access = access
        self._audit = audit
        self._endings = endings
        self._clock = clock
        self._known: BriefMemory[tuple[Session, User]] = BriefMemory(clock)

    async def begin(self, user: User, visit: Visit, client: Client, device_id: str | None) -> Granted:
        """A new session of somebody who has just proved who they are."""
        now_ms = self._clock.now_ms()
        session = Session(
            id=new_id(16),
            user_id=user.id,
            created_ms=now_ms,
            last_used_ms=now_ms,
            expires_ms=now_ms + LIFETIME_MS,
            verified_ms=now_ms,
            client=client,
            address=visit.address,
            agent=visit.agent[:_AGENT_MAX],
            device_id=device_id,
        )
        token = new_refresh_token()
        first = RefreshToken(token_hash(token), session.id, now_ms)
        await self.gone(await self._store.add(session, first, kept_max=KEPT_MAX))
        return self._granted(user, session, token)

    async def refresh(self, token: str, visit: Visit) -> Granted:
        """The next tokens of the session. A token that was used is answered with the same successor for
        ``GRACE_MS``; after that whoever uses it has what was stolen, or was stolen from: the session ends.
        ``InvalidToken`` where there is no such token."""
        known = await self._store.token(token_hash(token)) if len(token) <= LENGTH_MAX else None
        session = await self._store.get(known.session_id) if known else None
        if known is None or session is None:
            raise _ended()
        record = await self._users.get(session.user_id)
        if record is None or record.user.disabled or self._is_over(session):
            await self.end(session.id)
            raise _ended()
        successor = await self._successor(token, known, session, visit)
        session = msgspec.structs.replace(session, last_used_ms=self._clock.now_ms(), address=visit.address)
        return self._granted(record.user, session, successor)

    async def _successor(self, token: str, known: RefreshToken, session: Session, visit: Visit) -> str:
        now_ms = self._clock.now_ms()
        if known.used_ms is None:
            successor = new_refresh_token()
            made = RefreshToken(token_hash(successor), session.id, now_ms)
            sealed = seal_successor(token, successor)
            if await self._store.rotate(known.token_hash, made, sealed, now_ms, visit.address):
                return successor
            # Somebody was quicker, with the same token.
            again = await self._store.token(known.token_hash)
            if again is None:
                raise _ended()
            known = again
        if known.used_ms is not None and known.successor is not None and now_ms - known.used_ms < GRACE_MS:
            kept = open_successor(token, known.successor)
            if kept is not None:
                return kept
        await self._end_stolen(session, visit)
        raise _ended()

    async def _end_stolen(self, session: Session, visit: Visit) -> None:
        await self.end(session.id)
        _log.warning("A refresh token was used twice: session %s of user %s has ended.", session.id[:6],
                     session.user_id)  # fmt: skip
        await self._audit.note("refresh.reused", visit, user_id=session.user_id, session=session.id)

    async def caller(self, claims: AccessClaims) -> Caller:
        """Who the claims speak for now; ``InvalidToken`` where the session has ended or the user may not
        come in any more."""
        session, user = await self._looked_up(claims.session_id)
        if user.id != claims.user_id or user.disabled or self._is_over(session):
            raise _ended()
        return Caller(
            user_id=user.id,
            role=user.role,
            scopes=ROLE_SCOPES[user.role],
            expires_ms=claims.expires_ms,
            session_id=session.id,
            verified_ms=session.verified_ms,
        )

    async def _looked_up(self, session_id: str) -> tuple[Session, User]:
        known = self._known.get(session_id)
        if known is not None:
            return known
        generation = self._known.generation
        session = await self._store.get(session_id)
        record = await self._users.get(session.user_id) if session else None
        if session is None or record is None:
            raise _ended()
        self._known.put(session_id, (session, record.user), generation)
        return session, record.user

    async def of_user(self, user_id: str) -> tuple[Session, ...]:
        """A user's sessions that have not ended, the last used first."""
        return tuple(each for each in await self._store.of_user(user_id) if not self._is_over(each))

    async def of_token(self, token: str) -> Session | None:
        """The session that a refresh token, used or not, keeps alive."""
        known = await self._store.token(token_hash(token)) if len(token) <= LENGTH_MAX else None
        return await self._store.get(known.session_id) if known else None

    async def verify(self, session_id: str) -> int:
        """The person has proved anew who they are; the time of it."""
        now_ms = self._clock.now_ms()
        if not await self._store.verify(session_id, now_ms):
            raise _ended()
        self._known.forget()
        return now_ms

    async def known_device(self, user: User, device_id: str) -> bool:
        """Whether the user has logged in from there since the password was last changed."""
        return await self._store.known_device(user.id, device_id, user.password_changed_ms)

    async def end(self, session_id: str) -> bool:
        """End one; False where there was none."""
        ended = await self._store.end(session_id)
        await self.gone([session_id] if ended else [])
        return ended

    async def end_all(self, user_id: str, *, but: str | None = None) -> tuple[str, ...]:
        """End all of a user's but one; their ids."""
        ended = await self._store.end_all(user_id, but=but)
        await self.gone(ended)
        return ended

    async def is_alive(self, user_id: str, session_id: str) -> bool:
        """Whether that user's session has not ended, and they may still come in."""
        try:
            session, user = await self._looked_up(session_id)
        except InvalidToken:
            return False
        return user.id == user_id and not user.disabled and not self._is_over(session)

    async def gone(self, session_ids: Sequence[str]) -> None:
        """These are not kept any more: tell whoever holds something open for them."""
        self._known.forget()
        await self._endings.announce(session_ids)

    def forget(self) -> None:
        """Something about a user has changed: look sessions up anew."""
        self._known.forget()

    async def forget_ended(self) -> None:
        """Remove what has ended by age."""
        await self._store.forget_ended(self._clock.now_ms(), IDLE_MS)

    def _is_over(self, session: Session) -> bool:
        now_ms = self._clock.now_ms()
        return now_ms >= session.expires_ms or now_ms - session.last_used_ms >= IDLE_MS

    def _granted(self, user: User, session: Session, token: str) -> Granted:
        access, expires_in_s = self._access.make(session, user.role)
        return Granted(user, session, access, expires_in_s, token)


def _ended() -> InvalidToken:
    return InvalidToken("The session has ended: log in again.")
