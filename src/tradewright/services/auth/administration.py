"""What administrators do with users: see them, give them roles, shut them out. Nobody's keys are among it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tradewright.domain.errors import NotFound
from tradewright.domain.people import Role, User
from tradewright.domain.people_stores import UserStore
from tradewright.services.auth.api_tokens import ApiTokens
from tradewright.services.auth.audit import AuditLog
from tradewright.services.auth.sessions import Sessions
from tradewright.services.auth.visits import Visit


class Administration:
    """Lists and changes users. The last enabled administrator stays one (``Conflict``)."""

    def __init__(
        self,
        users: UserStore,
        sessions: Sessions,
        tokens: ApiTokens,
        audit: AuditLog,
        shut_out: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._tokens = tokens
        self._audit = audit
        self._shut_out = shut_out

    async def users(self, *, after: str | None = None, limit: int = 100) -> tuple[User, ...]:
        """Users by id ascending."""
        return await self._users.users(after=after, limit=limit)

    async def user(self, user_id: str) -> User:
        """One of them; ``NotFound``."""
        record = await self._users.get(user_id)
        if record is None:
            raise _unknown()
        return record.user

    async def set_role(self, user_id: str, role: Role, actor_id: str | None, visit: Visit) -> User:
        """Change what the user may do, which holds at once; ``NotFound``, ``Conflict``."""
        user = await self._users.set_role(user_id, role)
        if user is None:
            raise _unknown()
        self._forget()
        await self._audit.note("user.role", visit, user_id=user_id, actor_id=actor_id, role=role)
        return user

    async def set_disabled(self, user_id: str, disabled: bool, actor_id: str | None, visit: Visit) -> User:
        """Shut the user out, which ends every session, or let them in again, and their API tokens with them;
        ``NotFound``, ``Conflict``."""
        changed = await self._users.set_disabled(user_id, disabled)
        if changed is None:
            raise _unknown()
        user, ended = changed
        self._forget()
        await self._sessions.gone(ended)
        if disabled and self._shut_out is not None:
            await self._shut_out(user_id)
        kind = "user.disabled" if disabled else "user.enabled"
        await self._audit.note(kind, visit, user_id=user_id, actor_id=actor_id)
        return user

    async def another_administrator(self, user_id: str) -> bool:
        """Whether the server could do without that user: another administrator is there, or nobody at all."""
        after: str | None = None
        others = False
        while page := await self._users.users(after=after, limit=100):
            others = others or any(user.id != user_id for user in page)
            if any(user.role == "admin" and not user.disabled and user.id != user_id for user in page):
                return True
            after = page[-1].id
        return not others

    def _forget(self) -> None:
        self._sessions.forget()
        self._tokens.forget()


def _unknown() -> NotFound:
    return NotFound("There is no such user.")
