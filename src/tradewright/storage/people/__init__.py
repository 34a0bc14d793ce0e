"""What is kept of people, through SQLAlchemy on SQLite or PostgreSQL: ``auth_db`` and ``user_configs_db``."""

from tradewright.storage.people.attempts import SqlAttemptStore
from tradewright.storage.people.audit import SqlAuditStore
from tradewright.storage.people.canary import SqlCanaryStore
from tradewright.storage.people.database import CALL_TIMEOUT_S, PeopleDatabase
from tradewright.storage.people.engines import Place, PostgresSchema, SQLiteFile, place_of
from tradewright.storage.people.layouts import AUTH, USER_CONFIGS, Layout
from tradewright.storage.people.programs import SqlApiTokenStore, SqlInviteStore
from tradewright.storage.people.sessions import SqlSessionStore, end_every_session
from tradewright.storage.people.user_configs import SqlCredentialStore, SqlPreferenceStore
from tradewright.storage.people.users import SqlUserStore

__all__ = [
    "AUTH",
    "CALL_TIMEOUT_S",
    "USER_CONFIGS",
    "Layout",
    "PeopleDatabase",
    "Place",
    "PostgresSchema",
    "SQLiteFile",
    "SqlApiTokenStore",
    "SqlAttemptStore",
    "SqlAuditStore",
    "SqlCanaryStore",
    "SqlCredentialStore",
    "SqlInviteStore",
    "SqlPreferenceStore",
    "SqlSessionStore",
    "SqlUserStore",
    "end_every_session",
    "place_of",
]
