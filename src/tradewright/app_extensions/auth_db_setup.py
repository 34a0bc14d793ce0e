"""``auth_db``: users, sessions, tokens, invitations, counted failures and the audit log."""

from __future__ import annotations

from typing import Final

from tradewright.config import BaseConfig
from tradewright.domain.people_stores import (
    ApiTokenStore,
    AttemptStore,
    AuditStore,
    CanaryStore,
    InviteStore,
    SessionStore,
    UserStore,
)
from tradewright.runtime.clock import Clock, SystemClock
from tradewright.storage.people import (
    AUTH,
    CALL_TIMEOUT_S,
    PeopleDatabase,
    Place,
    SqlApiTokenStore,
    SqlAttemptStore,
    SqlAuditStore,
    SqlCanaryStore,
    SqlInviteStore,
    SqlSessionStore,
    SqlUserStore,
    end_every_session,
    place_of,
)

AUTH_FILE: Final = "auth.sqlite3"


class AuthDatabase:
    """The stores that stand on ``auth_db``: the file ``auth.sqlite3`` of the data directory, or a schema of
    a PostgreSQL database.

    Made without I/O. Until ``open`` and after ``close`` the stores
    raise ``StorageUnavailable``, and at any time ``timeout_s`` after a call began.
    """

    def __init__(
        self, place: Place, clock: Clock | None = None, *, timeout_s: float = CALL_TIMEOUT_S
    ) -> None:
        self.database = PeopleDatabase(place, AUTH, timeout_s=timeout_s, clock=clock or SystemClock())
        self.users: UserStore = SqlUserStore(self.database)
        self.sessions: SessionStore = SqlSessionStore(self.database)
        self.api_tokens: ApiTokenStore = SqlApiTokenStore(self.database)
        self.invites: InviteStore = SqlInviteStore(self.database)
        self.attempts: AttemptStore = SqlAttemptStore(self.database)
        self.audit: AuditStore = SqlAuditStore(self.database)
        self.canary: CanaryStore = SqlCanaryStore(self.database)

    async def end_every_session(self) -> int:
        """Everybody has to log in again; how many sessions ended."""
        return await end_every_session(self.database)


def auth_db_of(config: BaseConfig, clock: Clock) -> AuthDatabase:
    """``auth_db`` as ``TRADEWRIGHT_AUTH_DATABASE_URL`` names it; without it, in the data directory.
    ``ConfigError`` where that is no address."""
    place = place_of(config.data_dir / AUTH_FILE, config.auth_database_url, AUTH.schema)
    return AuthDatabase(place, clock)
