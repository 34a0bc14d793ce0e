"""Tokens for programs: random, kept as hashes, bounded in what they may do and for how long."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from tradewright.domain.errors import LimitExceeded, NotFound
from tradewright.domain.people import (
    ROLE_SCOPES,
    TOKEN_HOLDER,
    ApiToken,
    Caller,
    InvalidToken,
    MissingScope,
    Role,
    Scope,
    User,
)
from tradewright.domain.people_stores import ApiTokenStore, UserStore
from tradewright.runtime.clock import Clock
from tradewright.runtime.ids import new_id
from tradewright.services.auth.audit import AuditLog
from tradewright.services.auth.endings import Endings
from tradewright.services.auth.refresh_tokens import token_hash
from tradewright.services.auth.sessions import BriefMemory
from tradewright.services.auth.visits import Visit

PREFIX: Final = "tw_"
DAYS_MAX: Final = 365
KEPT_MAX: Final = 50
_LENGTH: Final = len(PREFIX) + 43
_HINT_LETTERS: Final = 8
_NOTED_EVERY_MS: Final = 60_000


class ApiTokens:
    """Makes, checks and deletes them. A token never does more than its user's role lets them do."""

    def __init__(
        self, store: ApiTokenStore, users: UserStore, audit: AuditLog, endings: Endings, clock: Clock
    ) -> None:
        self._store = store
        self._users = users
        self._audit = audit
        self._endings = endings
        self._clock = clock
        self._known: BriefMemory[tuple[ApiToken, User]] = BriefMemory(clock)

    async def make(
        self, user_id: str, role: Role, label: str, scopes: Sequence[Scope], days: int, visit: Visit
    ) -> tuple[ApiToken, str]:
        """A new token and its text, told once. ``LimitExceeded`` where the user has ``KEPT_MAX``,
        ``MissingScope`` where the role has not what the token shall have."""
        granted = tuple(scope for scope in ROLE_SCOPES[role] if scope in scopes)
        if set(granted) != set(scopes):
            raise MissingScope("Your role allows no such token.")
        text = PREFIX + secrets.token_urlsafe(32)
        now_ms = self._clock.now_ms()
        token = ApiToken(
            id=new_id(),
            user_id=user_id,
            label=label,
            scopes=granted,
            hint=text[:_HINT_LETTERS],
            created_ms=now_ms,
            expires_ms=now_ms + days * 86_400_000,
        )
        if not await self._store.add(token, token_hash(text), kept_max=KEPT_MAX):
            raise LimitExceeded(f"You have {KEPT_MAX} API tokens: delete some first.")
        await self._audit.note("token.created", visit, user_id=user_id, token=token.id,
                               scopes=" ".join(token.scopes), days=days)  # fmt: skip
        return token, text

    async def of_user(self, user_id: str) -> tuple[ApiToken, ...]:
        """A user's, newest first."""
        return await self._store.of_user(user_id)

    async def delete(self, user_id: str, token_id: str, visit: Visit) -> None:
        """Remove it; ``NotFound`` where that user has none of that id."""
        if not await self._store.delete(user_id, token_id):
            raise NotFound("There is no such API token.")
        self._known.forget()
        await self._endings.announce([TOKEN_HOLDER + token_id])
        await self._audit.note("token.deleted", visit, user_id=user_id, token=token_id)

    async def delete_all(self, user_id: str, visit: Visit) -> int:
        """Remove all of a user's; how many."""
        tokens = await self.of_user(user_id)
        for token in tokens:
            with suppress(NotFound):  # they delete it themselves at this moment
                await self.delete(user_id, token.id, visit)
        return len(tokens)

    async def is_alive(self, user_id: str, token_id: str) -> bool:
        """Whether that user's token has not ended, and they may still come in."""
        record = await self._users.get(user_id)
        if record is None or record.user.disabled:
            return False
        now_ms = self._clock.now_ms()
        return any(each.id == token_id and now_ms < each.expires_ms for each in await self.of_user(user_id))

    def forget(self) -> None:
        """Something about a user has changed: look tokens up anew."""
        self._known.forget()

    async def caller(self, text: str) -> Caller:
        """Who the token speaks for; ``InvalidToken`` where it is none, or has ended."""
        if len(text) != _LENGTH:
            raise _invalid()
        token, user = await self._looked_up(token_hash(text))
        now_ms = self._clock.now_ms()
        if now_ms >= token.expires_ms or user.disabled:
            raise _invalid()
        return Caller(
            user_id=user.id,
            role=user.role,
            scopes=tuple(scope for scope in token.scopes if scope in ROLE_SCOPES[user.role]),
            expires_ms=token.expires_ms,
            token_id=token.id,
        )

    async def _looked_up(self, key: bytes) -> tuple[ApiToken, User]:
        known = self._known.get(key)
        if known is not None:
            return known
        generation = self._known.generation
        token = await self._store.find(key)
        record = await self._users.get(token.user_id) if token else None
        if token is None or record is None:
            raise _invalid()
        now_ms = self._clock.now_ms()
        if token.last_used_ms is None or now_ms - token.last_used_ms >= _NOTED_EVERY_MS:
            await self._store.note_use(token.id, now_ms)
        self._known.put(key, (token, record.user), generation)
        return token, record.user


def _invalid() -> InvalidToken:
    return InvalidToken("The API token is not valid.")
