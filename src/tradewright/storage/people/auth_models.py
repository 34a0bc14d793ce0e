"""The tables of ``auth_db``, for SQLite and PostgreSQL alike.

Times are epoch ms. The migrations make them; a test holds both together.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, LargeBinary, MetaData
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from tradewright.storage.people.columns import StoredId, StoredText


class AuthBase(DeclarativeBase):
    """What belongs to ``auth_db``."""

    metadata = MetaData()


class UserRow(AuthBase):
    """One person; ``recovery_hashes`` is a JSON list."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(StoredId, primary_key=True)
    email: Mapped[str] = mapped_column(StoredText)
    username: Mapped[str] = mapped_column(StoredText)
    role: Mapped[str] = mapped_column(StoredText)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    disabled: Mapped[bool]
    totp_enabled: Mapped[bool]
    last_login_ms: Mapped[int | None] = mapped_column(BigInteger)
    password_changed_ms: Mapped[int] = mapped_column(BigInteger)
    password_hash: Mapped[str] = mapped_column(StoredText)
    totp_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    totp_last_step: Mapped[int | None] = mapped_column(BigInteger)
    recovery_hashes: Mapped[str] = mapped_column(StoredText)


class LoginNameRow(AuthBase):
    """Names and addresses by what makes them the same. They share one table, so that nobody can take
    somebody's address for a user name."""

    __tablename__ = "login_names"
    __table_args__ = (Index("login_names_by_user", "user_id"),)

    key: Mapped[str] = mapped_column(StoredId, primary_key=True)
    user_id: Mapped[str] = mapped_column(StoredId, ForeignKey("users.id", ondelete="CASCADE"))


class SessionRow(AuthBase):
    """One login, for as long as it lasts."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("sessions_by_user", "user_id", "last_used_ms"),
        Index("sessions_by_use", "last_used_ms"),
        Index("sessions_by_end", "expires_ms"),
    )

    id: Mapped[str] = mapped_column(StoredId, primary_key=True)
    user_id: Mapped[str] = mapped_column(StoredId, ForeignKey("users.id", ondelete="CASCADE"))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    last_used_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    verified_ms: Mapped[int] = mapped_column(BigInteger)
    client: Mapped[str] = mapped_column(StoredText)
    address: Mapped[str] = mapped_column(StoredText)
    agent: Mapped[str] = mapped_column(StoredText)
    device_id: Mapped[str | None] = mapped_column(StoredId)


class RefreshTokenRow(AuthBase):
    """A session's refresh tokens, used or not."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("refresh_tokens_by_session", "session_id"),)

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    session_id: Mapped[str] = mapped_column(StoredId, ForeignKey("sessions.id", ondelete="CASCADE"))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    used_ms: Mapped[int | None] = mapped_column(BigInteger)
    successor: Mapped[bytes | None] = mapped_column(LargeBinary)


class DeviceRow(AuthBase):
    """When a user last logged in from a device."""

    __tablename__ = "known_devices"

    user_id: Mapped[str] = mapped_column(
        StoredId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True
    )
    device_id: Mapped[str] = mapped_column(StoredId, primary_key=True)
    last_login_ms: Mapped[int] = mapped_column(BigInteger)


class ApiTokenRow(AuthBase):
    """A program's token; ``scopes`` are separated by blanks."""

    __tablename__ = "api_tokens"
    __table_args__ = (Index("api_tokens_by_user", "user_id"),)

    id: Mapped[str] = mapped_column(StoredId, primary_key=True)
    user_id: Mapped[str] = mapped_column(StoredId, ForeignKey("users.id", ondelete="CASCADE"))
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    label: Mapped[str] = mapped_column(StoredText)
    scopes: Mapped[str] = mapped_column(StoredText)
    hint: Mapped[str] = mapped_column(StoredText)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    last_used_ms: Mapped[int | None] = mapped_column(BigInteger)


class InviteRow(AuthBase):
    """An invitation. Who used it stays written when they are gone: it is used for good."""

    __tablename__ = "invites"
    __table_args__ = (Index("invites_by_time", "created_ms"), Index("invites_by_maker", "created_by"))

    id: Mapped[str] = mapped_column(StoredId, primary_key=True)
    code_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    role: Mapped[str] = mapped_column(StoredText)
    hint: Mapped[str] = mapped_column(StoredText)
    created_by: Mapped[str] = mapped_column(StoredId, ForeignKey("users.id", ondelete="CASCADE"))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    used_by: Mapped[str | None] = mapped_column(StoredId)


class AttemptRow(AuthBase):
    """Failures under a key, of which only the SHA-256 is kept: it may be what anybody typed."""

    __tablename__ = "attempts"
    __table_args__ = (Index("attempts_by_time", "last_ms"),)

    key_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    failures: Mapped[int] = mapped_column(BigInteger)
    last_ms: Mapped[int] = mapped_column(BigInteger)


class CanaryRow(AuthBase):
    """The one sealed record by which a wrong encryption key shows itself; ``place`` is always 1."""

    __tablename__ = "canary"

    place: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sealed: Mapped[bytes] = mapped_column(LargeBinary)


class AuditRow(AuthBase):
    """An event of the audit log; triggers refuse to change or remove one. ``details`` is JSON."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("audit_events_by_user", "user_id", "position"),)

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    time_ms: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(StoredText)
    user_id: Mapped[str | None] = mapped_column(StoredId)
    actor_id: Mapped[str | None] = mapped_column(StoredId)
    address: Mapped[str] = mapped_column(StoredText)
    request_id: Mapped[str] = mapped_column(StoredText)
    details: Mapped[str] = mapped_column(StoredText)
    digest: Mapped[str] = mapped_column(StoredText)
